//! The program itself, as people and scripts start it. Stand-ins for the server do what a real one cannot be made to;
//! the real one is met in the whole-system tests.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail like the tests")]

mod exec;
mod factors;
mod program;
mod terminal;
mod words;
