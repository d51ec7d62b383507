//! Small figures of single games, by hand.
