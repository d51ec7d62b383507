//! The Go Text Protocol, both ways: other programs as players here ([`Engine`]), and an agent of here as an engine that other
//! programs use ([`serve`]).
//!
//! Moves are written as the game writes them: `D4` and `pass` in Go, columns in Connect Four. The side that moves first is
//! black. In Othello, where only those pass who must, programs differ in whether they hear of passes; both kinds can play.
//!
//! # Source
//! Farnebäck (2002), *Specification of the Go Text Protocol, version 2*, draft 2.

mod engine;
mod server;

pub use engine::Engine;
pub use server::{ServerOptions, serve};

/// The names of both sides.
const COLOURS: [&str; 2] = ["b", "w"];

/// The move of a side that does not move.
const PASS: &str = "pass";

/// The side that a word names.
fn side(word: &str) -> Option<usize> {
    match word.to_ascii_lowercase().as_str() {
        "b" | "black" => Some(0),
        "w" | "white" => Some(1),
        _ => None,
    }
}

/// The action that a move's name stands for, in capital letters or small ones.
fn action(names: &[String], word: &str) -> Option<u32> {
    names.iter().position(|name| name.eq_ignore_ascii_case(word)).map(|action| action as u32)
}
