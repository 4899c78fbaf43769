//! The whole system: a real server, real systems, crashes.

pub mod faulty;
pub mod postgres;
