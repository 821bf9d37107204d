//! HTTP/2 as a client that minds no rule sees it: frames by hand over TLS (RFC 9113).

#![cfg(feature = "server")]

mod budget;
mod client;
mod exchanges;
#[path = "../server_common/mod.rs"]
mod server_common;
mod violations;
