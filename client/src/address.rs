//! Where the server is. Plain HTTP is for this machine only.

use std::net::IpAddr;

use reqwest::Url;

use crate::{Error, Result};

/// The server's address: a scheme, a host and perhaps a port, and nothing else.
#[derive(Clone)]
pub(crate) struct Address(Url);

impl Address {
    /// Reads `https://host[:port]`, or `http://` and a loopback address.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let url = Url::parse(text).map_err(|error| {
            Error::usage(format!(
                "the address '{text}' cannot be read ({error}); it is like https://vault.example:8200"
            ))
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::usage("the address holds a user name or password; give them another way"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(Error::usage(format!("the address '{text}' has more than a host and a port")));
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_loopback(&url) => Ok(Self(url)),
            "http" => Err(Error::usage(format!(
                "the address '{text}' is plain http, which would send secrets in clear; use https, or http to this \
                 machine only (localhost, 127.0.0.1, [::1])"
            ))),
            other => Err(Error::usage(format!("the address '{text}' has the scheme '{other}'; use https"))),
        }
    }

    /// The URL of a path of the API. Paths are made of parsed names and ids, whose characters need no escaping.
    pub(crate) fn join(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }

    /// As people write it, without the slash at the end.
    pub(crate) fn text(&self) -> String {
        self.0.as_str().trim_end_matches('/').to_owned()
    }
}

/// Whether the host is this machine: `localhost`, or a literal loopback address.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_goes_anywhere_and_http_only_to_this_machine() {
        for good in [
            "https://vault.example",
            "https://10.0.0.7:8200/",
            "http://localhost:8200",
            "http://127.0.0.1:1",
            "http://[::1]:8200",
        ] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://vault.example",
            "http://10.0.0.7",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://[::2]",
        ] {
            let error = Address::parse(bad).err().unwrap().to_string();
            assert!(error.contains("plain http"), "{error}");
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for bad in ["", "vault.example", "ftp://vault.example", "https://v/v1", "https://v/?a", "https://v/#a"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        let with_password = Address::parse("https://anna:hunter2@vault.example").err().unwrap().to_string();
        assert!(!with_password.contains("hunter2"), "{with_password}");
        assert_eq!(Address::parse("https://v:8200").unwrap().join("/v1/me").as_str(), "https://v:8200/v1/me");
    }
}
