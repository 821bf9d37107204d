//! Verdict and culprit of random public key infrastructures, known by construction.
//!
//! `recipe` draws a small PKI: a chain, doubles and cross-signs beside it, faults in it. `build` makes a
//! `model` of it, which makes the certificates. `oracle` judges the model, not the certificates: it
//! knows which key signed what, walks all paths, and holds each to each of the `rules`, slowly and plainly.
//! What the library says of the bytes must agree: accepted or refused, for which reason, by the fault
//! of which certificate (`judge`). `advice` carries the advice out and judges what comes of it;
//! `openssl` asks OpenSSL.
//!
//! `PROPTEST_CASES` says how many cases are drawn. `cargo test -p handfast --test random_pki --
//! survey --nocapture` draws as many and lists each kind of disagreement with its smallest example.

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
