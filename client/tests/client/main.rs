//! The client against servers that a real one cannot be made to be: busy, garbled, slow, half, hostile.
//! The real server is met in the whole-system tests.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail like the tests")]

mod answers;
mod broken;
mod follow;
mod retries;
mod sessions;
mod tls;
