//! Decisions: check-out, rotation, policy and password rules. Pure and synchronous: no clock, no randomness, no I/O.
