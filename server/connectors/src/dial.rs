//! How a connector reaches an address. Today directly; a relay in the customer's network will be another [`Dial`].

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
pub use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// A name is resolved within this, or not at all.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Each address is given this long to take a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Of the addresses that a name has, at most so many are tried.
pub const ADDRESSES_MAX: usize = 4;

/// A connection to a system, in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A way to systems.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Connects to a host name or address.
    async fn dial(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, DialError>;
}

/// Why there is no connection. None of these tells anything about a secret.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("{host} cannot be resolved: {reason}")]
    NoAddress {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// The address is one that customers' systems do not have.
    #[error("{address} is not an address the vault connects to; if a system is really there, list it as allowed")]
    Forbidden {
        /// The resolved address.
        address: IpAddr,
    },
    /// Nobody took the connection.
    #[error("no connection to {address}: {reason}")]
    Refused {
        /// The resolved address.
        address: SocketAddr,
        /// What the network said.
        reason: io::Error,
    },
    /// No answer in time.
    #[error("no answer from {host} within {} s", .after.as_secs())]
    TimedOut {
        /// Who was asked.
        host: String,
        /// For how long.
        after: Duration,
    },
}

/// A direct connection. The name is resolved once and what it resolves to is what is checked and connected to, so
/// that a name cannot point elsewhere a moment later.
///
/// Private ranges (RFC 1918, RFC 4193) are where customers' systems live and are allowed. Loopback, link-local, cloud
/// metadata and similar addresses lead to the vault's own machine and are refused unless listed.
pub struct Direct {
    allowed: Vec<IpNet>,
}

impl Direct {
    /// Connects also to addresses in `allowed` that would be refused.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether a connection may go to this address.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = reached(address);
        match place(address) {
            Place::Ordinary => true,
            Place::Guarded => self.allowed.iter().any(|net| net.contains(&address)),
            Place::Nowhere => false,
        }
    }
}

#[async_trait]
impl Dial for Direct {
    async fn dial(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, DialError> {
        let mut failure = DialError::NoAddress { host: host.to_owned(), reason: "it has no address".to_owned() };
        for address in resolve(host, port).await? {
            if !self.permits(address.ip()) {
                failure = DialError::Forbidden { address: address.ip() };
                continue;
            }
            match connect(host, address).await {
                Ok(stream) => return Ok(Box::new(stream)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
    match timeout(RESOLVE_TIMEOUT, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => Ok(addresses.take(ADDRESSES_MAX).collect()),
        Ok(Err(error)) => Err(DialError::NoAddress { host: host.to_owned(), reason: error.to_string() }),
        Err(_) => Err(DialError::TimedOut { host: host.to_owned(), after: RESOLVE_TIMEOUT }),
    }
}

async fn connect(host: &str, address: SocketAddr) -> Result<TcpStream, DialError> {
    let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(reason)) => return Err(DialError::Refused { address, reason }),
        Err(_) => return Err(DialError::TimedOut { host: host.to_owned(), after: CONNECT_TIMEOUT }),
    };
    stream.set_nodelay(true).map_err(|reason| DialError::Refused { address, reason })?;
    Ok(stream)
}

/// What kind of place an address is.
enum Place {
    /// A customer's system can be there.
    Ordinary,
    /// The vault's own machine, its link, or a cloud's metadata service: only when listed.
    Guarded,
    /// No system can be there.
    Nowhere,
}

/// Metadata and platform services outside the link-local range: AWS over IPv6, Alibaba, Azure's host, Oracle.
const METADATA: [IpAddr; 4] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

fn place(address: IpAddr) -> Place {
    let nowhere = match address {
        // 0.0.0.0/8 and 240.0.0.0/4 with broadcast (RFC 6890).
        IpAddr::V4(v4) => v4.is_multicast() || matches!(v4.octets().first(), Some(0 | 240..=255)),
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unspecified(),
    };
    let guarded = match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    };
    if nowhere {
        Place::Nowhere
    } else if guarded || METADATA.contains(&address) {
        Place::Guarded
    } else {
        Place::Ordinary
    }
}

/// The address that a connection really reaches: IPv4 may be written inside IPv6, as mapped (RFC 4291 §2.5.5.2),
/// compatible (§2.5.5.1), NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn reached(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            embedded(high, low)
        }
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => embedded(high, low),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(direct: &Direct, address: &str) -> bool {
        direct.permits(address.parse().unwrap())
    }

    #[test]
    fn anvil_ssrf_customers_live_in_private_ranges_and_nobody_in_the_guarded_ones() {
        let direct = Direct::new(vec![]);
        for open in ["10.1.2.3", "172.16.0.9", "192.168.7.7", "100.64.0.1", "203.0.113.9", "fd12::1", "2001:db8::1"] {
            assert!(permits(&direct, open), "{open}");
        }
        for guarded in [
            "127.0.0.1",
            "127.8.9.10",
            "::1",
            "169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
        ] {
            assert!(!permits(&direct, guarded), "{guarded}");
            let listed = Direct::new(vec![IpNet::from(guarded.parse::<IpAddr>().unwrap())]);
            assert!(permits(&listed, guarded), "{guarded} when listed");
        }
        for nowhere in ["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1"] {
            let listed = Direct::new(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
            assert!(!permits(&listed, nowhere), "{nowhere} is refused even when listed");
        }
    }

    #[test]
    fn anvil_ssrf_an_ipv4_address_in_ipv6_clothes_is_seen() {
        let direct = Direct::new(vec![]);
        for dressed in ["::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1"]
        {
            assert!(!permits(&direct, dressed), "{dressed}");
        }
        assert!(permits(&direct, "::ffff:10.0.0.1"));
        assert!(permits(&Direct::new(vec!["127.0.0.0/8".parse().unwrap()]), "::ffff:127.0.0.1"));
    }

    #[tokio::test]
    async fn anvil_ssrf_what_a_name_resolves_to_is_what_is_checked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001"] {
            let refused = Direct::new(vec![]).dial(host, port).await.err().expect(host);
            assert!(matches!(refused, DialError::Forbidden { .. }), "{host}: {refused}");
        }
        let listed = Direct::new(vec!["127.0.0.1/32".parse().unwrap()]);
        assert!(listed.dial("127.0.0.1", port).await.is_ok());
        assert!(matches!(listed.dial("nowhere.invalid", port).await, Err(DialError::NoAddress { .. })));
    }
}
