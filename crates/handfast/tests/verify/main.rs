//! Verification: every fault of the test PKI, through every entry point, with the expected cause and
//! position.
//!
//! A case is verified by the policy, by the connection, by the blocking stream and by the asynchronous
//! one, over TLS 1.2 and 1.3; as a server's chain by clients and as a client's chain by servers. Every
//! error must contain the chain that was sent.

mod anchors;
mod blind_spots;
mod case;
mod evidence;
mod faults;
mod files;
mod issuers;
mod limits;
mod lists;
mod names;
mod ocsp;
mod policies;
mod revocation;
mod sessions;
mod tampering;
