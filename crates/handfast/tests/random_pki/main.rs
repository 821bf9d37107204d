//! Random public key infrastructures whose verdict and faulty certificate are known by construction.
//!
//! `recipe` generates a small PKI: a chain, further certificates and cross-signs, faults. `build` makes a
//! `model` of it, which makes the certificates. `oracle` computes the expected verdict from the model, not from
//! the certificates: it knows which key signed what, visits all paths, and applies each of the `rules` to each,
//! in a slow and obvious way. The library's verdict on the bytes must match: accepted or refused, the reason,
//! and the certificate at fault (`judge`). `advice` follows the advice and verifies the result; `openssl` compares
//! with OpenSSL.
//!
//! `PROPTEST_CASES` sets the number of cases. `cargo test -p handfast --test random_pki --
//! survey --nocapture` runs as many and lists each kind of disagreement with its smallest example.

mod advice;
mod build;
mod cost;
mod judge;
mod model;
mod openssl;
mod oracle;
mod properties;
mod recipe;
mod rules;
