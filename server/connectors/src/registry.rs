//! Which connector serves which system.

use std::sync::Arc;

use claviger_api::wire::SystemSpec;

use crate::{ActiveDirectory, Connector, Deadlines, Dial, Http, Ldap, Linux, Manual, Mysql, Postgresql, Reach};

/// One connector a kind of system.
#[derive(Clone)]
pub struct Registry {
    postgresql: Arc<dyn Connector>,
    mysql: Arc<dyn Connector>,
    ldap: Arc<dyn Connector>,
    linux: Arc<dyn Connector>,
    active_directory: Arc<dyn Connector>,
    http: Arc<dyn Connector>,
    manual: Arc<dyn Connector>,
}

impl Registry {
    /// The connectors as shipped, reaching their systems through `dial`.
    pub fn standard(dial: Arc<dyn Dial>) -> Self {
        let servers = Reach::new(Arc::clone(&dial), Deadlines::STANDARD);
        Self {
            postgresql: Arc::new(Postgresql::new(servers.clone())),
            mysql: Arc::new(Mysql::new(servers.clone())),
            ldap: Arc::new(Ldap::new(servers.clone())),
            linux: Arc::new(Linux::new(Reach::new(dial, Deadlines::LINUX))),
            active_directory: Arc::new(ActiveDirectory::new(servers.clone())),
            http: Arc::new(Http::new(servers)),
            manual: Arc::new(Manual),
        }
    }

    /// The same registry with something around each connector, e.g. what a test counts or breaks.
    #[must_use]
    pub fn wrapped(self, wrap: impl Fn(Arc<dyn Connector>) -> Arc<dyn Connector>) -> Self {
        Self {
            postgresql: wrap(self.postgresql),
            mysql: wrap(self.mysql),
            ldap: wrap(self.ldap),
            linux: wrap(self.linux),
            active_directory: wrap(self.active_directory),
            http: wrap(self.http),
            manual: wrap(self.manual),
        }
    }

    /// The connector of a system.
    pub fn connector(&self, system: &SystemSpec) -> Arc<dyn Connector> {
        match system {
            SystemSpec::Postgresql { .. } => Arc::clone(&self.postgresql),
            SystemSpec::Mysql { .. } => Arc::clone(&self.mysql),
            SystemSpec::Ldap { .. } => Arc::clone(&self.ldap),
            SystemSpec::Linux { .. } => Arc::clone(&self.linux),
            SystemSpec::ActiveDirectory { .. } => Arc::clone(&self.active_directory),
            SystemSpec::Http { .. } => Arc::clone(&self.http),
            SystemSpec::Manual { .. } => Arc::clone(&self.manual),
        }
    }
}
