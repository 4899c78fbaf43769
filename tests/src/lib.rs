//! The whole system: a real server, real systems, crashes.

pub mod audit;
pub mod browser;
pub mod cli;
pub mod database;
pub mod faulty;
pub mod firewall;
pub mod in_process;
pub mod inventory;
pub mod issuer;
pub mod line;
pub mod mariadb;
pub mod oidc;
pub mod openapi;
pub mod openldap;
pub mod openssh;
pub mod people;
pub mod pki;
pub mod poll;
pub mod postgres;
mod prepared;
pub mod raw;
pub mod rsyslog;
pub mod samba;
pub mod scram;
pub mod server;
pub mod vault;
pub mod webhooks;
