//! Identities out of files that the real OpenSSL writes: in every form, with every mistake, damaged.

mod bench;
mod chains;
mod damage;
mod forms;
mod mistakes;
