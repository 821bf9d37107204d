//! handfast-https

pub mod client;
