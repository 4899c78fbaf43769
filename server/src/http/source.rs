//! Where a request came from: the peer, or what a listed proxy says of it.

use std::net::{IpAddr, SocketAddr};

use claviger_connectors::IpNet;

/// The address to blame for a request.
///
/// `X-Forwarded-For` counts only where the peer is a listed proxy. Each proxy adds at the right the address it was
/// connected from, so the list is read from the right, over the proxies that are listed, to the first address that is
/// not. What stands further left, or is no address, is the sender's own claim.
pub fn source<'h>(peer: IpAddr, forwarded_for: impl DoubleEndedIterator<Item = &'h str>, proxies: &[IpNet]) -> IpAddr {
    let listed = |address: &IpAddr| proxies.iter().any(|net| net.contains(address));
    let mut nearest = peer.to_canonical();
    for hop in forwarded_for.rev().flat_map(|line| line.rsplit(',')) {
        if !listed(&nearest) {
            break;
        }
        let Some(before) = address(hop.trim()) else { break };
        nearest = before;
    }
    nearest
}

/// `192.0.2.1`, `2001:db8::1`, or either with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.parse::<IpAddr>().ok();
    let address = bare.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(peer: &str, headers: &[&str], proxies: &[&str]) -> String {
        let proxies: Vec<IpNet> = proxies.iter().map(|net| net.parse().unwrap()).collect();
        source(peer.parse().unwrap(), headers.iter().copied(), &proxies).to_string()
    }

    #[test]
    fn anvil_forwarded_for_counts_only_from_listed_proxies() {
        assert_eq!(of("192.0.2.9", &["198.51.100.1"], &[]), "192.0.2.9", "the list is empty by default");
        assert_eq!(of("192.0.2.9", &["198.51.100.1"], &["10.0.0.0/8"]), "192.0.2.9", "the peer is not listed");
        assert_eq!(of("10.0.0.1", &["198.51.100.1"], &["10.0.0.0/8"]), "198.51.100.1");
    }

    #[test]
    fn anvil_forwarded_for_is_the_right_most_hop_that_is_not_listed() {
        let proxies = ["10.0.0.0/8", "2001:db8:1::/48"];
        assert_eq!(of("10.0.0.1", &["203.0.113.66, 198.51.100.1, 10.2.2.2"], &proxies), "198.51.100.1");
        assert_eq!(of("10.0.0.1", &["203.0.113.66", "198.51.100.1"], &proxies), "198.51.100.1", "lines in order");
        assert_eq!(of("2001:db8:1::5", &["[2001:db8:2::7]:443"], &proxies), "2001:db8:2::7");
        assert_eq!(of("10.0.0.1", &["10.3.3.3"], &proxies), "10.3.3.3", "a listed client is itself");
    }

    #[test]
    fn anvil_forwarded_for_what_is_no_address_is_not_believed() {
        let proxies = ["10.0.0.0/8"];
        assert_eq!(of("10.0.0.1", &["198.51.100.1, unknown"], &proxies), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &["198.51.100.1, "], &proxies), "10.0.0.1");
        assert_eq!(of("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], &proxies), "198.51.100.1", "one form of an address");
    }
}
