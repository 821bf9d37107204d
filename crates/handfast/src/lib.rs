//! TLS over any byte channel: verified peers, exact ends, explained errors.
//!
//! handfast secures a byte channel in a few lines, and reports exactly who the
//! peer is, how the exchange ended and, if it failed, why.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use std::io::Write;
//! # use std::time::Duration;
//! use std::net::TcpStream;
//! use handfast::{ClientContext, ClosePolicy};
//!
//! let client = ClientContext::builder().build()?; // platform trust store, verification on
//! let socket = TcpStream::connect("example.org:443")?; // or any other channel
//! let mut stream = client.secure("example.org", socket)?; // handshake, chain and name checked
//! stream.write_all(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n")?;
//! let (bytes, ending) = stream.read_to_ending()?; // CloseNotify | Premature | Reset
//! let outcome = stream.close(ClosePolicy::Wait(Duration::from_secs(2))); // Complete | SentOnly | PeerGone
//! # let _ = (bytes, ending, outcome);
//! # Ok(())
//! # }
//! ```
//!
//! # What it is not
//!
//! It makes no connections (names, addresses, proxies and STARTTLS are in `handfast-dial`), has no HTTP (`handfast-https`), issues no
//! certificates (`handfast-ca`), prints
//! nothing, reads nothing from the environment (except for the platform's trust
//! store), keeps no process-global state and installs no logger. The cryptography is aws-lc-rs,
//! the protocol rustls, the path building rustls-webpki; none of them is part of the interface.
//!
//! # Data flow
//!
//! ```text
//!              ClientContext / ServerContext: identity, trust, policy, sessions (shared)
//!                                         |
//!   your code -- plaintext -->  +---------v---------+  -- records -->  +---------+
//!                               |     Connection    |                  | channel | ==== peer
//!   your code <- plaintext,  -- +-------------------+ <-- records ---  +---------+
//!                Ending                                    TCP, Unix socket, pipes, tty, memory
//!                      `------ Stream / AsyncStream: waiting, limits, closing ------'
//! ```
//!
//! # The public interface is
//!
//! - contexts, built once: [`ClientContext`], [`ServerContext`], [`ClientAuth`], [`ClientPolicy`], [`Timeouts`], [`Clock`],
//!   [`TlsVersion`], [`RecordSizing`], [`TicketKeys`], [`KeyLog`], [`EchConfigs`];
//! - parts of contexts: [`Identity`], [`Passphrase`] and its [`PassphraseRequest`], [`TrustAnchors`],
//!   [`RevocationLists`],
//!   [`SpkiSha256`], [`VerificationPolicy`], [`AdditionalVerification`];
//! - connections: [`Connection`] (bytes in, bytes out), [`Stream`] (blocking, over a [`Channel`]),
//!   [`AsyncStream`] (tokio), their halves ([`ReadHalf`], [`WriteHalf`]), [`LineReader`];
//! - reports: [`Report`], its [`StapledResponse`], [`Ticket`], [`Traffic`], [`VerifiedPeer`], [`Ending`], [`CloseOutcome`];
//! - errors: [`Error`], its [`Phase`] and [`Cause`], and the [`Explanation`] of each;
//! - certificates as facts: [`CertificateFacts`], and files of certificates:
//!   [`certificates_from_file`], [`certificates_from_bytes`], [`certificates_to_pem`]; their issuers:
//!   [`is_issued_by`]; [`SignedCertificateTimestamp`];
//! - [`registry`]: TLS's numbers by name, with ratings; [`wire`]: a parser of untrusted bytes.

mod alert;
#[cfg(feature = "tokio")]
mod async_stream;
mod blocking;
mod buffers;
mod bundle;
mod by_name;
mod callback_data;
mod certificates;
mod channel;
mod classify;
mod close;
mod connection;
mod context;
mod der;
mod error;
mod explain;
mod explanation;
mod exporter;
mod facts;
#[cfg(all(test, not(fuzzing)))]
#[allow(unreachable_pub)] // fuzz targets reach it
mod fuzzing;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod hex;
mod identity;
mod idn;
mod key_algorithm;
mod key_log;
mod line;
mod names;
mod offer;
mod pem;
mod phase;
mod pkcs7;
mod preference;
mod presented;
mod protection;
pub mod random;
mod record;
pub mod registry;
mod report;
mod resumption;
mod sct;
mod side;
mod suites;
mod tls;
mod trust;
mod verify;
mod version;
pub mod wire;
mod x500;
mod x509;

pub use alert::Alert;
#[cfg(feature = "tokio")]
pub use async_stream::{AsyncHandshake, AsyncReadHalf, AsyncStream, AsyncWriteHalf};
pub use blocking::{HandshakeFailure, ReadHalf, Stream, WriteHalf};
pub use buffers::release_unused_buffers;
pub use bundle::{certificates_from_bytes, certificates_from_file, certificates_to_pem};
#[cfg(unix)]
pub use channel::Device;
pub use channel::{Channel, Pair, Plain, Waitable};
pub use close::{CloseOutcome, ClosePolicy, Ending, LingerLimits};
pub use connection::{Connection, ReadOutcome, Received};
pub use context::{
    ClientAuth, ClientContext, ClientContextBuilder, ClientPolicy, Clock, DangerousClient,
    EchConfigs, Identities, OwnOffer, ServerContext, ServerContextBuilder, Timeouts,
    cipher_suite_named, cipher_suite_names, group_names,
};
pub use error::{
    Cause, ConfigurationCause, Error, LocalCause, LongMessage, Negotiated, NetworkCause, PeerCause,
};
pub use explain::{PlainProtocol, quote_bytes};
pub use explanation::{Explanation, plain_io_error};
pub use exporter::ExportError;
pub use identity::{
    Identity, IdentityError, IdentityPart, IdentityProblem, Passphrase, PassphraseRequest,
    RemoteKey, SignatureScheme,
};
pub use key_algorithm::{KeyAlgorithm, KeyKind};
pub use key_log::KeyLog;
pub use line::{Line, LineReader};
pub use offer::ClientOffer;
pub use phase::Phase;
pub use pki_types::{CertificateDer, UnixTime};
pub use record::RecordSizing;
pub use report::{Report, Ticket, Traffic};
pub use resumption::TicketKeys;
pub use sct::{MalformedSctList, SignedCertificateTimestamp};
pub use side::Side;
pub use trust::{
    AnchorProblem, AnchorProblemKind, TrustAnchors, TrustError, TrustOrigin, TrustProblem,
    TrustSource,
};
pub use verify::{
    AdditionalVerification, CHAIN_DEPTH_LIMIT, Candidate, CrlError, CrlFault, CrlProblem,
    CrlSummary, ExpiredLists, InvalidPin, InvalidServerName, Objection, PathAnchor, Purpose,
    RevocationLists, RevocationScope, RevokedBy, ServerName, SpkiSha256, StapleProblem,
    StapledResponse, StapledStatus, Uncounted, UncountedCrl, VerificationPolicy, VerifiedPath,
    VerifiedPeer, VerifyCause, VerifyError, is_issued_by,
};
pub use version::TlsVersion;
pub use x509::{
    CertificateFacts, MalformedCertificate, SubjectAltName, escape_control, format_utc,
};

/// Tests the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
