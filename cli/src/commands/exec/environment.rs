//! What a command finds in its environment: the secret, and what the system's own tools read.

use std::io::Write as _;
use std::path::Path;

use claviger_client::api::Login;
use claviger_client::api::wire::{Revealed, SystemSpec, TlsMode};
use tempfile::{NamedTempFile, TempDir};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::output::word;

/// What the command finds in its environment.
pub struct Environment {
    /// Names and values.
    pub variables: Vec<(String, Zeroizing<String>)>,
    /// Files that the variables name, without any secret; deleted when the command has ended.
    files: Option<Files>,
}

#[expect(dead_code, reason = "held for what its drop does")]
enum Files {
    One(NamedTempFile),
    Folder(TempDir),
}

impl Environment {
    /// The secret alone under the given name, or what the system's own tools read.
    pub fn of(revealed: Revealed, name: Option<&str>) -> Result<Self, Failure> {
        let secret = revealed.secret.into_secret();
        let mut environment = Self { variables: Vec::new(), files: None };
        if let Some(name) = name {
            environment.set(name, secret.expose());
            return Ok(environment);
        }
        match &revealed.system {
            SystemSpec::Postgresql { host, port, database, tls, ca_certificate } => {
                environment.set("PGHOST", host);
                environment.set("PGPORT", &port.to_string());
                environment.set("PGDATABASE", database);
                environment.set("PGUSER", revealed.login.as_str());
                environment.set("PGPASSWORD", secret.expose());
                environment.set("PGSSLMODE", &word(tls));
                environment.libpq_roots(*tls, ca_certificate.as_deref())?;
            }
            SystemSpec::Mysql { host, port, tls, ca_certificate, .. } => {
                environment.set("MYSQL_HOST", host);
                environment.set("MYSQL_TCP_PORT", &port.to_string());
                environment.set("MYSQL_USER", user_of(&revealed.login));
                environment.set("MYSQL_PWD", secret.expose());
                let folder = mariadb_options(host, *port, user_of(&revealed.login), *tls, ca_certificate.as_deref())
                    .map_err(|error| Failure::failed(format!("cannot write the options for the system: {error}")))?;
                environment.set("MYSQL_HOME", &folder.path().to_string_lossy());
                environment.files = Some(Files::Folder(folder));
            }
            SystemSpec::Ldap { host, port, start_tls, ca_certificate, base, login_attribute, .. } => {
                environment.set("LDAPBASE", base);
                environment.set("LDAPBINDDN", &dn_of(&revealed.login, login_attribute, base));
                environment.set("LDAP_PASSWORD", secret.expose());
                environment.directory((host, *port, *start_tls), ca_certificate.as_deref())?;
            }
            SystemSpec::ActiveDirectory { host, port, start_tls, ca_certificate, domain, .. } => {
                environment.set("LDAPBINDDN", &name_in_domain(&revealed.login, domain));
                environment.set("LDAP_PASSWORD", secret.expose());
                environment.directory((host, *port, *start_tls), ca_certificate.as_deref())?;
            }
            SystemSpec::Linux { host, port, .. } => {
                environment.set("LINUX_HOST", host);
                environment.set("LINUX_PORT", &port.to_string());
                environment.set("LINUX_USER", revealed.login.as_str());
                environment.set("SSHPASS", secret.expose()); // what `sshpass -e` reads
            }
            SystemSpec::Manual { .. } => {
                environment.set("ACCOUNT_LOGIN", revealed.login.as_str());
                environment.set("ACCOUNT_SECRET", secret.expose());
            }
            SystemSpec::Http { host, port, tls, ca_certificate, .. } => {
                let scheme = if *tls == TlsMode::Disable { "http" } else { "https" };
                environment.set("API_URL", &format!("{scheme}://{}:{port}", bracketed(host)));
                environment.set("API_LOGIN", revealed.login.as_str());
                environment.set("API_SECRET", secret.expose());
                if let Some(pem) = ca_certificate {
                    environment.roots("CURL_CA_BUNDLE", pem)?;
                }
            }
        }
        Ok(environment)
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), Zeroizing::new(value.to_owned())));
    }

    /// Where OpenLDAP's tools find a directory, and how they know it.
    fn directory(
        &mut self,
        (host, port, start_tls): (&str, u16, bool),
        ca_certificate: Option<&str>,
    ) -> Result<(), Failure> {
        let scheme = if start_tls { "ldap" } else { "ldaps" };
        self.set("LDAPURI", &format!("{scheme}://{}:{port}", bracketed(host)));
        if let Some(pem) = ca_certificate {
            let file = file_of(pem)
                .map_err(|error| Failure::failed(format!("cannot write the system's CA certificate: {error}")))?;
            self.set("LDAPTLS_CACERT", &file.path().to_string_lossy());
            self.files = Some(Files::One(file));
        }
        Ok(())
    }

    /// The CA to trust, in a file that this variable names.
    fn roots(&mut self, name: &str, pem: &str) -> Result<(), Failure> {
        let file = file_of(pem)
            .map_err(|error| Failure::failed(format!("cannot write the system's CA certificate: {error}")))?;
        self.set(name, &file.path().to_string_lossy());
        self.files = Some(Files::One(file));
        Ok(())
    }

    /// libpq reads CA certificates from a file only.
    fn libpq_roots(&mut self, tls: TlsMode, ca_certificate: Option<&str>) -> Result<(), Failure> {
        if let Some(pem) = ca_certificate {
            self.roots("PGSSLROOTCERT", pem)?;
        } else if tls == TlsMode::VerifyFull && std::env::var_os("PGSSLROOTCERT").is_none() {
            self.set("PGSSLROOTCERT", "system"); // the machine's own CAs, as the vault does; libpq 16 and newer
        }
        Ok(())
    }
}

/// An IPv6 address in a URL stands in brackets.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// The distinguished name of a login, as the vault makes it.
fn dn_of(login: &Login, attribute: &str, base: &str) -> String {
    match login.as_str().strip_prefix("dn:") {
        Some(dn) => dn.to_owned(),
        None => format!("{attribute}={},{base}", login.in_a_dn()),
    }
}

/// What a domain takes for a login, as the vault does it.
fn name_in_domain(login: &Login, domain: &str) -> String {
    match (login.as_str().strip_prefix("dn:"), login.as_str()) {
        (Some(entry), _) => entry.to_owned(),
        (None, principal) if principal.contains('@') => principal.to_owned(),
        (None, name) => format!("{domain}\\{name}"),
    }
}

fn file_of(pem: &str) -> std::io::Result<NamedTempFile> {
    let mut file = NamedTempFile::with_prefix("claviger-ca-")?;
    file.write_all(pem.as_bytes())?;
    file.flush()?;
    Ok(file)
}

/// The user's name alone: the host part of an account is the server's business.
fn user_of(login: &Login) -> &str {
    login.as_str().rsplit_once('@').map_or(login.as_str(), |(user, _)| user)
}

/// MariaDB's tools read the user's name and how to check the server from an option file only, and look for one in the
/// folder that `MYSQL_HOME` names. The password is not in it.
fn mariadb_options(
    host: &str,
    port: u16,
    user: &str,
    tls: TlsMode,
    ca_certificate: Option<&str>,
) -> std::io::Result<TempDir> {
    let folder = TempDir::with_prefix("claviger-mariadb-")?;
    let mut options =
        format!("[client]\nhost={}\nport={port}\nuser={}\nprotocol=tcp\n", option_value(host), option_value(user));
    options.push_str(match tls {
        TlsMode::Disable => "skip-ssl\n",
        TlsMode::Prefer => "",
        TlsMode::Require | TlsMode::VerifyCa => "ssl\n",
        TlsMode::VerifyFull => "ssl\nssl-verify-server-cert\n",
    });
    if let Some(pem) = ca_certificate {
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, pem)?;
        options.extend(["ssl-ca=", &option_value(&file.to_string_lossy()), "\n"]);
    }
    write_options(folder.path(), &options)?;
    Ok(folder)
}

fn write_options(folder: &Path, options: &str) -> std::io::Result<()> {
    std::fs::write(folder.join("my.cnf"), options)
}

/// Between quotes nothing but a backslash has a meaning of its own.
fn option_value(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn revealed(system: &serde_json::Value) -> Revealed {
        serde_json::from_value(serde_json::json!({
            "checkout": {
                "id": "co_0197a3c2e1f07b1a8c3d4e5f60718293",
                "account": "acme/db01/postgres",
                "account_id": "ac_0197a3c2e1f07b1a8c3d4e5f60718293",
                "principal": "anna",
                "principal_id": "pr_0197a3c2e1f07b1a8c3d4e5f60718293",
                "state": "active",
                "reason": "x",
                "ttl_seconds": 1800,
                "created_at": "2026-11-23T08:00:00Z",
            },
            "login": "postgres",
            "secret": "p'w",
            "version": 1,
            "system": system,
            "event_index": 3,
        }))
        .unwrap()
    }

    fn variables(environment: &Environment) -> BTreeMap<&str, &str> {
        environment.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    #[test]
    fn postgresql_tools_find_what_they_read() {
        let system = serde_json::json!({"kind": "postgresql", "host": "db", "port": 6432, "tls": "verify-ca", "ca_certificate": "PEM"});
        let environment = Environment::of(revealed(&system), None).unwrap();
        let variables = variables(&environment);
        assert_eq!(variables["PGHOST"], "db");
        assert_eq!(variables["PGPORT"], "6432");
        assert_eq!(variables["PGDATABASE"], "postgres");
        assert_eq!(variables["PGUSER"], "postgres");
        assert_eq!(variables["PGPASSWORD"], "p'w");
        assert_eq!(variables["PGSSLMODE"], "verify-ca");
        let ca = variables["PGSSLROOTCERT"].to_owned();
        assert_eq!(std::fs::read_to_string(&ca).unwrap(), "PEM");
        drop(environment);
        assert!(std::fs::metadata(ca).is_err(), "the file is gone with the command");
    }

    #[test]
    fn a_named_variable_is_the_only_one() {
        let system = serde_json::json!({"kind": "postgresql", "host": "db"});
        let environment = Environment::of(revealed(&system), Some("DB_PASSWORD")).unwrap();
        assert_eq!(variables(&environment), BTreeMap::from([("DB_PASSWORD", "p'w")]));
    }

    #[test]
    fn mariadb_tools_find_what_they_read() {
        let system = serde_json::json!({"kind": "mysql", "host": "db", "tls": "verify-full", "ca_certificate": "PEM"});
        let mut revealed = revealed(&system);
        revealed.login = "o\\\"neill@10.%".parse().unwrap();
        let environment = Environment::of(revealed, None).unwrap();
        let variables = variables(&environment);
        assert_eq!(variables["MYSQL_HOST"], "db");
        assert_eq!(variables["MYSQL_TCP_PORT"], "3306");
        assert_eq!(variables["MYSQL_USER"], "o\\\"neill");
        assert_eq!(variables["MYSQL_PWD"], "p'w");
        let folder = variables["MYSQL_HOME"].to_owned();
        let options = std::fs::read_to_string(format!("{folder}/my.cnf")).unwrap();
        let ca = format!("ssl-ca=\"{folder}/ca.pem\"");
        let wanted = ["[client]", "port=3306", "user=\"o\\\\\"neill\"", "ssl-verify-server-cert", ca.as_str()];
        assert!(wanted.iter().all(|line| options.lines().any(|it| it == *line)), "{options}");
        assert!(!options.contains("p'w"), "the secret is in no file");
        assert_eq!(std::fs::read_to_string(format!("{folder}/ca.pem")).unwrap(), "PEM");
        drop(environment);
        assert!(std::fs::metadata(folder).is_err(), "the folder is gone with the command");
    }

    #[test]
    fn tools_of_a_linux_host_find_what_they_read() {
        let key = "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ";
        let system = serde_json::json!({"kind": "linux", "host": "web01", "host_keys": [key]});
        let environment = Environment::of(revealed(&system), None).unwrap();
        let expected = [("LINUX_HOST", "web01"), ("LINUX_PORT", "22"), ("LINUX_USER", "postgres"), ("SSHPASS", "p'w")];
        assert_eq!(variables(&environment), BTreeMap::from(expected));
    }

    #[test]
    fn tools_of_a_directory_find_what_they_read() {
        let system =
            serde_json::json!({"kind": "ldap", "host": "fd12::1", "base": "ou=people,dc=x", "ca_certificate": "PEM"});
        let mut revealed = revealed(&system);
        revealed.login = "o,neill".parse().unwrap();
        let environment = Environment::of(revealed, None).unwrap();
        let variables = variables(&environment);
        assert_eq!(variables["LDAPURI"], "ldaps://[fd12::1]:636");
        assert_eq!(variables["LDAPBASE"], "ou=people,dc=x");
        assert_eq!(variables["LDAPBINDDN"], "uid=o\\2cneill,ou=people,dc=x");
        assert_eq!(variables["LDAP_PASSWORD"], "p'w");
        assert_eq!(std::fs::read_to_string(variables["LDAPTLS_CACERT"]).unwrap(), "PEM");
    }

    #[test]
    fn tools_find_what_they_read_of_a_domain() {
        let system = serde_json::json!({"kind": "active_directory", "host": "dc1.corp.example", "domain": "CORP"});
        for (login, name) in [
            ("anna", "CORP\\anna"),
            ("anna@corp.example", "anna@corp.example"),
            ("dn:CN=Anna @ home,DC=corp", "CN=Anna @ home,DC=corp"),
        ] {
            let mut revealed = revealed(&system);
            revealed.login = login.parse().unwrap();
            let environment = Environment::of(revealed, None).unwrap();
            let variables = variables(&environment);
            assert_eq!(variables["LDAPURI"], "ldaps://dc1.corp.example:636");
            assert_eq!(variables["LDAPBINDDN"], name);
            assert_eq!(variables["LDAP_PASSWORD"], "p'w");
        }
    }
}
