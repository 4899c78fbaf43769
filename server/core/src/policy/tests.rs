//! The decision against a second, naive one that was written from the design and not from the policy files.

mod closure;
mod conditions;
mod edges;
mod limits;
mod matrix;
mod reference;
mod weight;
mod world;
