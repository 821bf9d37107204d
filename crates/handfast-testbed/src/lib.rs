//! Both ends of every test: a PKI made at run time with every fault, and real peers.

pub mod careless;
pub mod crl;
mod der;
pub mod draft;
pub mod golden;
pub mod launch;
pub mod misbehaving;
pub mod ocsp;
pub mod peers;
pub mod pki;
pub mod proxies;
pub mod servers;
pub mod skipped;
pub mod tangle;
