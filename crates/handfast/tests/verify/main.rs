//! Who gets past the verifier and who does not: every fault of the test PKI, through every entry
//! point, with the cause and the place that must be named.
//!
//! A case is judged by the policy alone, by the bare connection, by the blocking stream and by the
//! asynchronous one, over TLS 1.2 and 1.3; as a server's chain by clients and as a client's chain by
//! servers. The chain that was sent must be inside every refusal.

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
