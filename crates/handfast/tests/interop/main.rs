//! Our client and server against other implementations: OpenSSL, GnuTLS, nginx, curl, wget, Python.
//!
//! For TLS 1.2 and 1.3, with and without client certificates, full and resumed handshakes: the two
//! ends must agree on the result, and each ending must be recognized.

mod ends;
mod exporter;
mod office;
mod our_client;
mod our_server;
mod quirks;
