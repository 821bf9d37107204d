//! SOCKS5, without I/O (RFC 1928), with user name and password (RFC 1929).
//!
//! The proxy's replies are read up to their last byte and no further: what follows is the server's.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use zeroize::Zeroizing;

use super::credentials::Credentials;
use super::problem::{ProxyError, ProxyProblem};
use super::target::Target;

const VERSION: u8 = 5;
/// The version of the negotiation of RFC 1929.
const AUTHENTICATION_VERSION: u8 = 1;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const DOMAIN: u8 = 3;
const IPV6: u8 = 4;

/// How much of a reply that is not SOCKS is kept as evidence.
const FIRST_BYTES_MAX: usize = 256;

/// One SOCKS5 dialogue without I/O.
///
/// In a loop: send [`outgoing`](Self::outgoing) and report it by [`sent`](Self::sent); stop once
/// [`is_done`](Self::is_done); read at most [`wanted`](Self::wanted) bytes and pass them to
/// [`received`](Self::received).
pub struct Socks5Dialogue {
    target: Target,
    credentials: Option<Credentials>,
    /// The destination as encoded in the request, from its address type on.
    destination: Vec<u8>,
    outgoing: Zeroizing<Vec<u8>>,
    incoming: Vec<u8>,
    awaited: Awaited,
}

/// Which reply is expected next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Method,
    Authentication,
    Reply,
    Nothing,
}

/// Without the outgoing bytes, which may contain a password.
impl fmt::Debug for Socks5Dialogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socks5Dialogue")
            .field("target", &self.target)
            .field("awaited", &self.awaited)
            .finish_non_exhaustive()
    }
}

impl Socks5Dialogue {
    /// Starts the dialogue. The proxy connects to `address`; without one it resolves the target's name itself.
    ///
    /// # Errors
    /// [`ProxyProblem::TooLong`].
    pub fn new(
        target: Target,
        address: Option<SocketAddr>,
        credentials: Option<&Credentials>,
    ) -> Result<Self, ProxyError> {
        let target = target.by_socks();
        let address =
            address.map_or_else(|| target.host.parse().ok(), |address| Some(address.ip()));
        let host = target.host.clone();
        let name = address
            .is_none()
            .then_some((host.as_str(), "server's name"));
        let of_user = credentials.iter().flat_map(|credentials| {
            [
                (credentials.user(), "user name"),
                (credentials.password(), "password"),
            ]
        });
        let mut texts = name.into_iter().chain(of_user);
        let too_long = texts.find(|(text, _)| u8::try_from(text.len()).is_err());
        if let Some(what) = too_long.map(|(_, what)| what) {
            let problem = ProxyProblem::TooLong { what };
            return Err(ProxyError { target, problem });
        }
        let mut destination = Vec::new();
        match address {
            Some(IpAddr::V4(address)) => {
                destination.push(IPV4);
                destination.extend(address.octets());
            }
            Some(IpAddr::V6(address)) => {
                destination.push(IPV6);
                destination.extend(address.octets());
            }
            None => {
                destination.push(DOMAIN);
                put(&mut destination, &host);
            }
        }
        destination.extend(target.port.to_be_bytes());
        let greeting: &[u8] = match credentials {
            None => &[VERSION, 1, NO_AUTHENTICATION],
            Some(_) => &[VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD],
        };
        // Room for all that will ever be sent: growing would leave copies of the password behind.
        let of_user = credentials.map_or(0, |credentials| {
            3 + credentials.user().len() + credentials.password().len()
        });
        let length = greeting.len() + of_user + 3 + destination.len();
        let mut outgoing = Zeroizing::new(Vec::with_capacity(length));
        outgoing.extend_from_slice(greeting);
        Ok(Self {
            target,
            credentials: credentials.cloned(),
            destination,
            outgoing,
            incoming: Vec::new(),
            awaited: Awaited::Method,
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
        self.awaited == Awaited::Nothing && self.outgoing.is_empty()
    }

    /// The reply is not SOCKS: some more of it is kept as evidence; do not wait long for it.
    pub fn is_refused(&self) -> bool {
        self.incoming
            .first()
            .is_some_and(|first| *first != self.expected_version())
    }

    /// How many bytes to read at most: no more than can belong to the proxy's reply.
    pub fn wanted(&self) -> usize {
        let have = self.incoming.len();
        match self.is_refused() {
            true => FIRST_BYTES_MAX.saturating_sub(have).max(1),
            false => self.answer_length().saturating_sub(have).max(1),
        }
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
        if let (Awaited::Reply, Some(reply @ 1..)) = (self.awaited, self.incoming.get(1)) {
            let reply = *reply;
            return Err(self.error(ProxyProblem::SocksRefused { reply }));
        }
        if self.incoming.len() < self.answer_length() {
            return Ok(());
        }
        let answer = self.incoming.get(1).copied().unwrap_or_default();
        match self.awaited {
            Awaited::Method => self.method(answer)?,
            Awaited::Authentication if answer != 0 => {
                return Err(self.error(ProxyProblem::AuthenticationRequired {
                    schemes: Vec::new(),
                    challenges: Vec::new(),
                    was_sent: true,
                }));
            }
            Awaited::Authentication => self.request(),
            Awaited::Reply if self.reply_length().is_none() => return Err(self.not_socks()),
            Awaited::Reply | Awaited::Nothing => self.awaited = Awaited::Nothing,
        }
        self.incoming.clear();
        Ok(())
    }

    /// The proxy closed the connection, or the rest of its reply took too long: the error to report.
    pub fn received_end(&self) -> ProxyError {
        match self.is_refused() {
            true => self.not_socks(),
            false => self.error(ProxyProblem::Ended),
        }
    }

    fn method(&mut self, method: u8) -> Result<(), ProxyError> {
        match (method, &self.credentials) {
            (NO_AUTHENTICATION, _) => self.request(),
            (USER_AND_PASSWORD, Some(credentials)) => {
                self.outgoing.push(AUTHENTICATION_VERSION);
                put(&mut self.outgoing, credentials.user());
                put(&mut self.outgoing, credentials.password());
                self.awaited = Awaited::Authentication;
            }
            (NO_ACCEPTABLE_METHOD, None) => {
                return Err(self.error(ProxyProblem::AuthenticationRequired {
                    schemes: Vec::new(),
                    challenges: Vec::new(),
                    was_sent: false,
                }));
            }
            (NO_ACCEPTABLE_METHOD, Some(_)) => {
                return Err(self.error(ProxyProblem::AuthenticationRequired {
                    schemes: vec![
                        "neither no authentication nor user name and password".to_owned(),
                    ],
                    challenges: Vec::new(),
                    was_sent: false,
                }));
            }
            // A method that was not offered.
            _ => return Err(self.not_socks()),
        }
        Ok(())
    }

    fn request(&mut self) {
        self.outgoing.extend([VERSION, CONNECT, 0]);
        self.outgoing.extend_from_slice(&self.destination);
        self.awaited = Awaited::Reply;
    }

    fn expected_version(&self) -> u8 {
        match self.awaited {
            Awaited::Authentication => AUTHENTICATION_VERSION,
            _ => VERSION,
        }
    }

    /// The length of the expected reply, as far as known.
    fn answer_length(&self) -> usize {
        match self.awaited {
            Awaited::Method | Awaited::Authentication => 2,
            // A refusal is known by its second byte; what follows it may never come.
            Awaited::Reply if self.incoming.len() < 2 => 2,
            // Up to the first byte of the address, which may be its length.
            Awaited::Reply => self.reply_length().unwrap_or(5),
            Awaited::Nothing => 0,
        }
    }

    /// The length of a reply with the proxy's address; `None` if not known yet, or if the address type does not
    /// exist.
    fn reply_length(&self) -> Option<usize> {
        let address = match (self.incoming.get(3)?, self.incoming.get(4)?) {
            (&IPV4, _) => 4,
            (&IPV6, _) => 16,
            (&DOMAIN, length) => 1 + usize::from(*length),
            _ => return None,
        };
        Some(4 + address + 2)
    }

    fn not_socks(&self) -> ProxyError {
        let first_bytes = self
            .incoming
            .iter()
            .copied()
            .take(FIRST_BYTES_MAX)
            .collect();
        self.error(ProxyProblem::NotSocks { first_bytes })
    }

    fn error(&self, problem: ProxyProblem) -> ProxyError {
        ProxyError {
            target: self.target.clone(),
            problem,
        }
    }
}

/// A text after its length in one byte. The caller has checked the length.
fn put(out: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    out.push(length);
    out.extend(text.bytes().take(length.into()));
}

#[cfg(test)]
mod tests {
    use super::super::played::play;
    use super::*;

    fn dialogue(host: &str, credentials: Option<&Credentials>) -> Socks5Dialogue {
        Socks5Dialogue::new(Target::new("proxy:1080", host, 443), None, credentials).unwrap()
    }

    const OPEN: &[u8] = &[5, 0];
    const DONE: &[u8] = &[5, 0, 0, 1, 10, 0, 0, 1, 0x1f, 0x90];

    #[test]
    fn names_are_sent_as_names_and_addresses_as_addresses() {
        let answers = [OPEN, DONE].concat();
        let asked = |host| play(dialogue(host, None), &answers, 1).0;
        assert_eq!(
            asked("a.example"),
            *b"\x05\x01\x00\x05\x01\x00\x03\x09a.example\x01\xbb"
        );
        assert_eq!(
            asked("192.0.2.7"),
            *b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb"
        );
        let v6 = asked("[::1]");
        assert_eq!(v6[..7], [5, 1, 0, 5, 1, 0, 4]);
        assert_eq!(
            v6[7..],
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0xbb]
        );
        let target = Target::new("p:1", "a.example", 443);
        let address = "192.0.2.7:443".parse().ok();
        let resolved = Socks5Dialogue::new(target, address, None).unwrap();
        assert_eq!(play(resolved, &answers, 9).0, asked("192.0.2.7"));
    }

    #[test]
    fn what_follows_the_reply_is_left_to_the_server() {
        for reply in [
            DONE,
            &[
                5, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1,
            ],
            b"\x05\x00\x00\x03\x05proxy\x01\x01",
        ] {
            let replies = [OPEN, reply].concat();
            let all = [&replies[..], b"220 mail.example ESMTP\r\n"].concat();
            for most in [1, 3, usize::MAX] {
                let (_, outcome, used) = play(dialogue("a.example", None), &all, most);
                assert_eq!(
                    (outcome, used),
                    (Ok(()), replies.len()),
                    "{reply:?} by {most}"
                );
            }
        }
    }

    #[test]
    fn credentials_are_sent_if_the_proxy_requires_them() {
        let credentials = Credentials::basic("al", "s3cret");
        let with_credentials = || dialogue("a.example", Some(&credentials));
        let answers = [&[5, 2, 1, 0][..], DONE].concat();
        let (sent, outcome, _) = play(with_credentials(), &answers, usize::MAX);
        assert_eq!(outcome, Ok(()));
        assert!(sent.starts_with(b"\x05\x02\x00\x02\x01\x02al\x06s3cret\x05\x01\x00\x03"));
        // They stay in one place, which is wiped.
        let mut open = with_credentials();
        let place = open.outgoing().as_ptr();
        for answer in [&[5, 2][..], &[1, 0]] {
            open.received(answer).unwrap();
        }
        assert!(open.outgoing().ends_with(b"\x01\xbb"));
        assert_eq!(open.outgoing().as_ptr(), place);
        // Otherwise they are not sent.
        let (sent, _, _) = play(with_credentials(), &[OPEN, DONE].concat(), usize::MAX);
        assert!(!sent.windows(6).any(|part| part == b"s3cret"));
        assert!(!format!("{:?}", with_credentials()).contains("s3cret"));
        let required = |schemes: &[&str], was_sent| {
            Err(ProxyProblem::AuthenticationRequired {
                schemes: schemes.iter().map(|scheme| (*scheme).to_owned()).collect(),
                challenges: Vec::new(),
                was_sent,
            })
        };
        assert_eq!(
            play(with_credentials(), &[5, 2, 1, 1], 9).1,
            required(&[], true)
        );
        assert_eq!(
            play(dialogue("a", None), &[5, 0xff], 9).1,
            required(&[], false)
        );
        let neither = "neither no authentication nor user name and password";
        assert_eq!(
            play(with_credentials(), &[5, 0xff], 9).1,
            required(&[neither], false)
        );
    }

    #[test]
    fn failures_are_distinguished() {
        let outcome = |answers: &[u8]| play(dialogue("a.example", None), answers, usize::MAX).1;
        for reply in [1, 2, 5, 9, 255] {
            let refused = Err(ProxyProblem::SocksRefused { reply });
            assert_eq!(outcome(&[5, 0, 5, reply]), refused);
            let more = [5, 0, 5, reply, 0xff, 0xff, 0xff];
            let taken = |most| play(dialogue("a.example", None), &more, most).2;
            assert_eq!((taken(1), taken(9)), (4, 4));
            assert_eq!(outcome(&[5, 0, 5, reply, 0, 1, 0, 0, 0, 0, 0, 0]), refused);
        }
        assert_eq!(outcome(b""), Err(ProxyProblem::Ended));
        assert_eq!(outcome(&[5, 0, 5]), Err(ProxyProblem::Ended));
        for answers in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\x04\x00",
            b"\x05\x02",
            b"\x05\x00SSH-2.0-x",
            b"\x05\x00\x05\x00\x00\x07\x00",
        ] {
            let problem = outcome(answers);
            assert!(
                matches!(problem, Err(ProxyProblem::NotSocks { .. })),
                "{answers:?}: {problem:?}"
            );
        }
    }

    #[test]
    fn fields_that_are_too_long_are_rejected() {
        let long = "a".repeat(256);
        let target = |host| Target::new("p:1", host, 443);
        let problem = |result: Result<Socks5Dialogue, ProxyError>| result.unwrap_err().problem;
        let named = Socks5Dialogue::new(target(&long), None, None);
        assert_eq!(
            problem(named),
            ProxyProblem::TooLong {
                what: "server's name"
            }
        );
        let credentials = Credentials::basic(&long, "x");
        let user = Socks5Dialogue::new(target("a"), None, Some(&credentials));
        assert_eq!(problem(user), ProxyProblem::TooLong { what: "user name" });
    }

    proptest::proptest! {
        #[test]
        fn no_reply_causes_a_panic_and_fragmentation_changes_nothing(
            start in proptest::sample::select(vec![&b""[..], OPEN, b"\x05\x02", b"\x05\x02\x01\x00", b"\x05\x00\x05\x00\x00\x03"]),
            rest in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600),
            named in proptest::prelude::any::<bool>(),
        ) {
            let credentials = named.then(|| Credentials::basic("al", "s3cret"));
            let bytes = [start, &rest[..]].concat();
            let whole = play(dialogue("a.example", credentials.as_ref()), &bytes, usize::MAX);
            let pieces = play(dialogue("a.example", credentials.as_ref()), &bytes, 1);
            proptest::prop_assert!(whole.2 <= bytes.len());
            proptest::prop_assert_eq!(whole, pieces);
        }
    }
}
