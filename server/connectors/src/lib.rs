//! One file a kind of system: how its logins are probed, changed, created and removed; and the laws each must keep.
