//! The connectors on real systems: the laws, and what is particular to each kind.

mod connectors {
    mod postgresql;
    mod rig;
}
