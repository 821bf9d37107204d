//! Both our ends against other people's programs: OpenSSL, GnuTLS, nginx, curl, wget, Python.
//!
//! For TLS 1.2 and 1.3, with and without client certificates, full and resumed handshakes: the two
//! ends must agree on what happened, and each end of an exchange must be judged for what it was.

mod ends;
mod exporter;
mod office;
mod our_client;
mod our_server;
mod quirks;
