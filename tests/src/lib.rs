//! The whole system: a real server, real systems, crashes.
