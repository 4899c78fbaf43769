//! Networks, by their prefix.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::text_form;

/// An IPv4 or IPv6 network: `192.0.2.0/24`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpNet);

/// What is wrong with a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a network is e.g. 192.0.2.0/24, 2001:db8::/32 or one address, with no bit set behind its prefix; an IPv4 one is \
     written as such"
)]
pub struct BadNetwork;

impl Network {
    /// Whether the address is in it. An IPv4 address in IPv6's clothes is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether everything in these networks is in those: of each, all addresses.
    pub fn all_within(inner: &[Self], outer: &[Self]) -> bool {
        let outer = IpNet::aggregate(&outer.iter().map(|network| network.0).collect());
        inner.iter().all(|network| outer.iter().any(|around| around.contains(&network.0)))
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let network = network.map_err(|_| BadNetwork)?;
        // Such a network would hold no address as requests have it.
        let mapped = matches!(network, IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some());
        if mapped || network.trunc() != network { Err(BadNetwork) } else { Ok(Self(network)) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_form!(Network, r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$", 43);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nets(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_network_has_one_form() {
        for (text, form) in
            [("192.0.2.0/24", "192.0.2.0/24"), ("192.0.2.7", "192.0.2.7/32"), ("2001:DB8::/32", "2001:db8::/32")]
        {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), form);
        }
        for text in ["", "192.0.2.7/24", "192.0.2.0/33", "::ffff:192.0.2.0/120", "example.com", "192.0.2.0/24 "] {
            assert_eq!(text.parse::<Network>(), Err(BadNetwork), "{text}");
        }
        assert!(nets(&["192.0.2.0/24"])[0].contains("::ffff:192.0.2.9".parse().unwrap()));
    }

    #[test]
    fn two_halves_hold_the_whole() {
        let halves = nets(&["10.0.0.0/9", "10.128.0.0/9"]);
        assert!(Network::all_within(&nets(&["10.0.0.0/8"]), &halves));
        assert!(!Network::all_within(&nets(&["10.0.0.0/7"]), &halves));
        assert!(!Network::all_within(&nets(&["10.0.0.0/8", "192.0.2.1"]), &halves));
    }

    proptest! {
        /// In a world of 16 addresses, within is within for each address.
        #[test]
        fn within_means_every_address(inner in small(), outer in small()) {
            let holds = |nets: &[Network], n: u8| nets.iter().any(|net| net.contains([192, 0, 2, n].into()));
            let every = (0..16).all(|n| !holds(&inner, n) || holds(&outer, n));
            prop_assert_eq!(Network::all_within(&inner, &outer), every);
        }
    }

    fn small() -> impl Strategy<Value = Vec<Network>> {
        let one = (0_u8..16, 28_u8..=32)
            .prop_map(|(n, prefix)| Network(IpNet::new([192, 0, 2, n].into(), prefix).unwrap().trunc()));
        prop::collection::vec(one, 0..6)
    }
}
