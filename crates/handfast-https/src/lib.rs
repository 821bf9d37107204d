//! handfast-https

pub mod client;
pub mod load;
pub mod server;
