//! The connectors on real systems: the laws, and what is particular to each kind.

mod connectors {
    mod active_directory;
    mod active_directory_rig;
    mod http;
    mod http_rig;
    mod ldap;
    mod ldap_rig;
    mod linux;
    mod linux_rig;
    mod linux_users;
    mod mysql;
    mod mysql_rig;
    mod postgresql;
    mod rig;
}
