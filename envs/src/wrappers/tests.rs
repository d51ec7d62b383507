//! Tests of wrappers.
