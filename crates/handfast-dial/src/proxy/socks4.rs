//! SOCKS4 and SOCKS4a, without I/O.
//!
//! There is no RFC of them: the protocol is what its authors' note of 1992 says. One request, one reply of eight
//! bytes; what follows is the server's. There is no password, only a user name, and no IPv6.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use zeroize::Zeroizing;

use super::credentials::Credentials;
use super::problem::{ProxyError, ProxyProblem};
use super::target::Target;

const VERSION: u8 = 4;
const CONNECT: u8 = 1;
/// The version of a reply.
const REPLY_VERSION: u8 = 0;
const GRANTED: u8 = 90;
const REPLY_LENGTH: usize = 8;
/// The address that stands for a name behind it (SOCKS4a): none that a host can have.
const NAMED: Ipv4Addr = Ipv4Addr::new(0, 0, 0, 1);
/// The longest name and user name that are sent: the protocol has no limit, its proxies have this one or less.
const TEXT_MAX: usize = 255;
/// How much of a reply that is not SOCKS is kept as evidence.
const FIRST_BYTES_MAX: usize = 256;

/// One SOCKS4 dialogue without I/O, used as [`Socks5Dialogue`](super::Socks5Dialogue).
pub struct Socks4Dialogue {
    target: Target,
    outgoing: Zeroizing<Vec<u8>>,
    incoming: Vec<u8>,
    is_done: bool,
}

/// Without the outgoing bytes, which have a user name.
impl fmt::Debug for Socks4Dialogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socks4Dialogue")
            .field("target", &self.target)
            .field("is_done", &self.is_done)
            .finish_non_exhaustive()
    }
}

impl Socks4Dialogue {
    /// Starts the dialogue. The proxy connects to `address`; without one it resolves the target's name itself (SOCKS4a). Of
    /// the credentials only the user name is sent.
    ///
    /// # Errors
    /// [`ProxyProblem::TooLong`]; [`ProxyProblem::NeedsIpv4`] for a server with an IPv6 address.
    pub fn new(
        target: Target,
        address: Option<SocketAddr>,
        credentials: Option<&Credentials>,
    ) -> Result<Self, ProxyError> {
        let target = target.by_socks();
        let host = target.host.clone();
        let address =
            address.map_or_else(|| target.host.parse().ok(), |address| Some(address.ip()));
        let (address, name) = match address {
            Some(IpAddr::V4(address)) => (address, None),
            Some(IpAddr::V6(_)) => {
                let problem = ProxyProblem::NeedsIpv4;
                return Err(ProxyError { target, problem });
            }
            None => (NAMED, Some(host.as_str())),
        };
        let user = credentials.map_or("", Credentials::user);
        let mut texts = [(Some(user), "user name"), (name, "server's name")].into_iter();
        // A NUL would end the text early.
        let unfit =
            texts.find(|(text, _)| text.is_some_and(|it| it.len() > TEXT_MAX || it.contains('\0')));
        if let Some((_, what)) = unfit {
            let problem = ProxyProblem::TooLong { what };
            return Err(ProxyError { target, problem });
        }
        let named = name.map_or(0, |name| name.len() + 1);
        // Growing would leave copies of the user name behind.
        let mut outgoing = Zeroizing::new(Vec::with_capacity(9 + user.len() + named));
        outgoing.extend([VERSION, CONNECT]);
        outgoing.extend(target.port.to_be_bytes());
        outgoing.extend(address.octets());
        for text in [Some(user), name].into_iter().flatten() {
            outgoing.extend_from_slice(text.as_bytes());
            outgoing.push(0);
        }
        Ok(Self {
            target,
            outgoing,
            incoming: Vec::new(),
            is_done: false,
        })
    }

    /// Bytes to be sent to the proxy.
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// The first `count` bytes of [`outgoing`](Self::outgoing) have been sent.
    pub fn sent(&mut self, count: usize) {
        let count = count.min(self.outgoing.len());
        self.outgoing.drain(..count);
    }

    /// The proxy has connected: what follows is the server's.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// The reply is not SOCKS: some more of it is kept as evidence; do not wait long for it.
    pub fn is_refused(&self) -> bool {
        let first = self.incoming.first();
        first.is_some_and(|first| *first != REPLY_VERSION)
    }

    /// How many bytes to read at most: no more than can belong to the proxy's reply.
    pub fn wanted(&self) -> usize {
        let whole = match self.is_refused() {
            true => FIRST_BYTES_MAX,
            // A refusal is known by its second byte; what follows it may never come.
            false if self.incoming.len() < 2 => 2,
            false => REPLY_LENGTH,
        };
        whole.saturating_sub(self.incoming.len()).max(1)
    }

    /// Handles received bytes.
    ///
    /// # Errors
    /// Why no tunnel is made.
    pub fn received(&mut self, bytes: &[u8]) -> Result<(), ProxyError> {
        self.incoming.extend_from_slice(bytes);
        if self.is_refused() {
            return match self.incoming.len() >= FIRST_BYTES_MAX {
                true => Err(self.not_socks()),
                false => Ok(()),
            };
        }
        match self.incoming.get(1) {
            Some(&reply) if reply != GRANTED => {
                Err(self.error(ProxyProblem::SocksRefused { reply }))
            }
            _ => {
                self.is_done = self.incoming.len() >= REPLY_LENGTH;
                Ok(())
            }
        }
    }

    /// The proxy closed the connection, or the rest of its reply took too long: the error to report.
    pub fn received_end(&self) -> ProxyError {
        match self.is_refused() {
            true => self.not_socks(),
            false => self.error(ProxyProblem::Ended),
        }
    }

    fn not_socks(&self) -> ProxyError {
        let first_bytes = self.incoming.iter().take(FIRST_BYTES_MAX).copied();
        let first_bytes = first_bytes.collect();
        self.error(ProxyProblem::NotSocks { first_bytes })
    }

    fn error(&self, problem: ProxyProblem) -> ProxyError {
        ProxyError {
            target: self.target.clone(),
            problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::played;
    use super::*;

    fn dialogue(host: &str, user: Option<&str>) -> Result<Socks4Dialogue, ProxyProblem> {
        let credentials = user.map(|user| Credentials::basic(user, "s3cret"));
        let target = Target::new("proxy:1080", host, 443);
        Socks4Dialogue::new(target, None, credentials.as_ref()).map_err(|error| error.problem)
    }

    /// The outcome, and how many of these bytes were read, at most so many at a time.
    fn play(answer: &[u8], most: usize) -> (Result<(), ProxyProblem>, usize) {
        let dialogue = dialogue("a.example", None).unwrap();
        let (_, outcome, used) = played::play(dialogue, answer, most);
        (outcome, used)
    }

    #[test]
    fn names_are_sent_as_names_and_addresses_as_addresses() {
        for (host, user, expected) in [
            (
                "192.0.2.7",
                None,
                &b"\x04\x01\x01\xbb\xc0\x00\x02\x07\x00"[..],
            ),
            (
                "a.example",
                Some("al"),
                b"\x04\x01\x01\xbb\x00\x00\x00\x01al\x00a.example\x00",
            ),
        ] {
            let dialogue = dialogue(host, user).unwrap();
            assert_eq!(dialogue.outgoing(), expected, "{host}");
            assert!(!format!("{dialogue:?}").contains("s3cret"));
        }
        let target = Target::new("p:1", "a.example", 443);
        let resolved = Socks4Dialogue::new(target, "192.0.2.7:443".parse().ok(), None).unwrap();
        assert_eq!(resolved.outgoing(), b"\x04\x01\x01\xbb\xc0\x00\x02\x07\x00");
        assert_eq!(
            dialogue("[::1]", None).unwrap_err(),
            ProxyProblem::NeedsIpv4
        );
        let long = "a".repeat(256);
        for (host, user, what) in [
            (long.as_str(), None, "server's name"),
            ("a", Some(long.as_str()), "user name"),
            ("a", Some("al\0b"), "user name"),
        ] {
            let problem = dialogue(host, user).unwrap_err();
            assert_eq!(problem, ProxyProblem::TooLong { what });
        }
    }

    #[test]
    fn replies_are_distinguished_and_what_follows_is_the_server_s() {
        let granted = [0, 90, 1, 0xbb, 192, 0, 2, 7];
        for most in [1, 3, usize::MAX] {
            let all = [&granted[..], b"220 mail.example"].concat();
            assert_eq!(play(&all, most), (Ok(()), 8));
            assert_eq!(play(&granted[..5], most), (Err(ProxyProblem::Ended), 5));
            assert_eq!(play(b"", most), (Err(ProxyProblem::Ended), 0));
            let refused = play(&[0, 91, 0, 0, 0, 0, 0, 0], most);
            let problem = ProxyProblem::SocksRefused { reply: 91 };
            assert_eq!(refused, (Err(problem), 2));
            let first_bytes = b"HTTP/1.1 400 Bad\r\n".to_vec();
            let problem = ProxyProblem::NotSocks { first_bytes };
            assert_eq!(play(b"HTTP/1.1 400 Bad\r\n", most).0, Err(problem));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_reply_causes_a_panic_and_fragmentation_changes_nothing(
            start in proptest::sample::select(vec![&b""[..], b"\x00", b"\x00\x5a", b"\x05"]),
            rest in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600),
        ) {
            let bytes = [start, &rest[..]].concat();
            let whole = play(&bytes, usize::MAX);
            proptest::prop_assert!(whole.1 <= bytes.len());
            proptest::prop_assert_eq!(whole, play(&bytes, 1));
        }
    }
}
