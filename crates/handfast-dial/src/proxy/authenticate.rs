//! Authentication that answers a proxy's challenge: what this crate needs of a scheme beyond Basic.

use std::fmt;

use zeroize::Zeroizing;

/// A scheme that answers challenges (RFC 9110, section 11.7), such as Digest (RFC 7616). Shared by all connections through
/// the proxy, so that later ones are answered before the proxy asks.
pub trait Authenticate: fmt::Debug + Send + Sync {
    /// The value of `Proxy-Authorization` for a request with this method and target, if the proxy has asked before.
    fn field(&self, method: &str, target: &str) -> Option<Zeroizing<String>>;

    /// Takes the `Proxy-Authenticate` fields of a 407: is the request to be sent again? `answers` counts how often that was so.
    fn challenged(&self, challenges: &[String], answers: &mut u32) -> bool;
}
