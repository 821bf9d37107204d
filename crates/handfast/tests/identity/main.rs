//! Identities from files made by OpenSSL: in every format, with every mistake, damaged.

mod chains;
mod damage;
mod fixture;
mod forms;
mod mistakes;
