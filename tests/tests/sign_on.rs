//! Single sign-on, at a certified provider and at one that lies.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

#[path = "sign_on/binding.rs"]
mod binding;
#[path = "sign_on/command_line.rs"]
mod command_line;
#[path = "sign_on/house.rs"]
mod house;
#[path = "sign_on/people.rs"]
mod people;
