//! From where a client comes, for what each may have a share of.

use std::net::{IpAddr, Ipv6Addr};

/// Of IPv6 a client has a network of 64 bits for itself.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address => address,
    }
}
