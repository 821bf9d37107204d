//! The flags of BoGo's runner for a shim: parsed into options for the first connection and the later ones,
//! or refused with the reason why our public interface does not support them.
//!
//! Flags that need no action are listed in [`WITHOUT_EFFECT`], with the reason.

use std::collections::VecDeque;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// An unsupported flag, and why: the shim then makes the runner skip the test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The flag, as given.
    pub flag: String,
    /// Why it is not supported.
    pub reason: &'static str,
}

/// A certificate chain and its key, as files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credential {
    /// Whether it was introduced by its own flag.
    pub is_additional: bool,
    /// The chain, in PEM.
    pub chain: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// The options of one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The options of the context.
    pub context: ContextOptions,
    /// The actions and expectations of a connection.
    pub exchange: ExchangeOptions,
}

/// The options of a context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContextOptions {
    /// Whether the shim is the server.
    pub server: bool,
    /// Trust anchors.
    pub trust: Option<PathBuf>,
    /// Our certificates: the one without its own flag first, if given.
    pub credentials: Vec<Credential>,
    /// The lowest version allowed, as on the wire.
    pub version_min: Option<u16>,
    /// The highest version allowed, as on the wire.
    pub version_max: Option<u16>,
    /// Excluded versions.
    pub versions_refused: Vec<u16>,
    /// Key exchange groups, as on the wire.
    pub groups: Vec<u16>,
    /// The groups that a client sends key shares for.
    pub key_shares: Vec<u16>,
    /// Application protocols.
    pub alpn: Vec<Vec<u8>>,
    /// The server name that a client sends.
    pub server_name: Option<String>,
    /// Whether a client certificate is requested.
    pub asks_client: bool,
    /// Whether a client certificate is required.
    pub requires_client: bool,
    /// Whether the peer's certificate is to be refused.
    pub verify_fails: bool,
    /// Whether a credential with its own flag is expected to be used.
    pub expects_additional: Option<bool>,
    /// The most plaintext in a record.
    pub record_max: Option<usize>,
    /// The ECHConfigList of a client.
    pub ech_configs: Option<Vec<u8>>,
    /// A client sends GREASE ECH.
    pub ech_grease: bool,
}

/// The actions and expectations of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExchangeOptions {
    /// The runner's port on loopback.
    pub port: u16,
    /// The runner's number for this shim.
    pub shim_id: u64,
    /// Whether it listens on IPv6.
    pub ipv6: bool,
    /// How many connections follow the first.
    pub resume_count: usize,
    /// Bytes are read and written one by one.
    pub byte_by_byte: bool,
    /// Seconds that pass between two connections.
    pub resumption_delay: u64,
    /// Write before reading.
    pub writes_first: bool,
    /// Write before reading, but send only the first byte of the record.
    pub reads_with_unfinished_write: bool,
    /// What is written first; "hello" by default.
    pub initial_write: Option<Vec<u8>>,
    /// How often it is written; once by default.
    pub initial_writes: Option<usize>,
    /// Write records of many sizes, and read nothing.
    pub writes_many_sizes: bool,
    /// End our direction right after the handshake.
    pub shuts_down: bool,
    /// The peer's direction must end with `close_notify`.
    pub checks_close_notify: bool,
    /// How much is read at once; 512 bytes by default.
    pub read_size: Option<usize>,
    /// Process again when the handshake is done: nothing must happen.
    pub handshakes_again: bool,
    /// How many bytes of exported keying material to send first.
    pub exports: Option<usize>,
    /// Its label.
    pub export_label: Vec<u8>,
    /// Its context.
    pub export_context: Vec<u8>,
    /// Whether there is a context.
    pub uses_export_context: bool,
    /// The handshake must not complete.
    pub expects_no_handshake: bool,
    /// The expected result of the handshake.
    pub expects: Expectations,
}

/// The expected result of a handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectations {
    /// The protocol agreed on; empty for none.
    pub alpn: Option<Vec<u8>>,
    /// The protocols that the client offered, as in the extension.
    pub advertised_alpn: Option<Vec<u8>>,
    /// The server name that the client sent.
    pub server_name: Option<String>,
    /// The group of the key exchange.
    pub group: Option<u16>,
    /// Whether there is a HelloRetryRequest.
    pub retry: Option<bool>,
    /// The session is not resumed.
    pub session_miss: bool,
    /// The server sends no ticket.
    pub no_session: bool,
    /// The peer sends no certificate.
    pub no_peer_certificate: bool,
    /// The chain that the peer sends, in PEM.
    pub peer_chain: Option<PathBuf>,
    /// The cipher suite.
    pub cipher_suite: Option<u16>,
    /// A cipher suite with AES, or one without.
    pub aes: Option<bool>,
    /// The server decrypts the client's hello.
    pub ech_accepted: bool,
    /// The server offers these configurations instead; empty for none.
    pub ech_retry_configs: Option<Vec<u8>>,
}

/// The first connection, and those that follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// For the first connection.
    pub first: Options,
    /// For each later one.
    pub later: Options,
}

/// Flags without effect, and why.
pub const WITHOUT_EFFECT: &[(&str, &str)] = &[
    (
        "-enable-ocsp-stapling",
        "a client always requests an OCSP response",
    ),
    (
        "-expect-verify-result",
        "a chain that is not verified ends the handshake",
    ),
    (
        "-implicit-handshake",
        "reading and writing need a finished handshake",
    ),
    (
        "-partial-write",
        "a write may always accept less than all bytes",
    ),
    (
        "-permute-extensions",
        "the order of extensions is always random",
    ),
    ("-server-preference", "a server's preference always applies"),
    (
        "-use-custom-verify-callback",
        "verification has no callbacks",
    ),
    (
        "-use-early-callback",
        "hellos are processed without a callback",
    ),
    (
        "-use-old-client-cert-callback",
        "certificates are chosen without a callback",
    ),
    (
        "-reverify-on-resume",
        "a client's certificate is always verified again",
    ),
    (
        "-expect-no-session-id",
        "sessions have no numbers in the interface",
    ),
    (
        "-expect-session-id",
        "sessions have no numbers in the interface",
    ),
];

const NOT_TLS: &str = "DTLS and QUIC are other protocols";
const CALLBACKS: &str = "there are no such callbacks";
const NO_EARLY_DATA: &str = "early data is neither sent nor accepted";
const NO_RENEGOTIATION: &str = "renegotiation is always refused";
const NO_ECH: &str = "Encrypted ClientHello is not implemented for servers";
const NO_DRAFTS: &str = "a protocol extension that is not implemented";
const NOT_SHOWN: &str = "the report does not contain it";
const NOT_CHOSEN: &str = "the interface has no setting for it";
const NO_UNIQUE: &str = "the only channel binding is tls-exporter";
const ONE_IDENTITY: &str = "a context has one identity";
const NO_STAPLE: &str = "responses and timestamps are neither stapled nor returned";
const NO_PSK: &str = "there are no external pre-shared keys";

/// Unsupported flags: their beginning, and why. The first match applies.
const REFUSED: &[(&str, &str)] = &[
    ("-dtls", NOT_TLS),
    ("-quic-transport-params", NOT_TLS),
    ("-quic-use-legacy-codepoint", NOT_TLS),
    ("-quic", NOT_TLS),
    ("-enable-early-data", NO_EARLY_DATA),
    ("-renegotiate", NO_RENEGOTIATION),
    ("-expect-total-renegotiations", NO_RENEGOTIATION),
    ("-forbid-renegotiation-after-handshake", NO_RENEGOTIATION),
    ("-use-exporter-between-reads", NOT_CHOSEN),
    ("-tls-unique", NO_UNIQUE),
    ("-ech-", NO_ECH),
    ("-reject-unusable-ech-config", NOT_CHOSEN),
    ("-enable-grease", NO_DRAFTS),
    ("-application-settings", NO_DRAFTS),
    ("-alps-", NO_DRAFTS),
    ("-expect-peer-application-settings", NO_DRAFTS),
    ("-advertise-npn", NO_DRAFTS),
    ("-select-next-proto", NO_DRAFTS),
    ("-send-channel-id", NO_DRAFTS),
    ("-enable-channel-id", NO_DRAFTS),
    ("-srtp-profiles", NO_DRAFTS),
    ("-install-", NO_DRAFTS),
    ("-requested-trust-anchors", NO_DRAFTS),
    ("-available-trust-anchors", NO_DRAFTS),
    ("-accepted-peer-cert-types", NO_DRAFTS),
    ("-available-client-cert-types", NO_DRAFTS),
    ("-server-supports-padding", NO_DRAFTS),
    ("-request-server-padding", NO_DRAFTS),
    ("-new-delegated-credential", NO_DRAFTS),
    ("-new-spake2plusv1-credential", NO_DRAFTS),
    ("-new-rpk-credential", NO_DRAFTS),
    ("-new-psk-credential", NO_PSK),
    ("-psk", NO_PSK),
    (
        "-false-start",
        "no data is sent before the handshake is done",
    ),
    (
        "-fallback-scsv",
        "a failed handshake is not tried again with less",
    ),
    ("-enable-signed-cert-timestamps", NO_STAPLE),
    ("-signed-cert-timestamps", NO_STAPLE),
    ("-expect-signed-cert-timestamps", NO_STAPLE),
    ("-ocsp-response", NO_STAPLE),
    ("-expect-ocsp-response", NO_STAPLE),
    ("-use-ocsp-callback", CALLBACKS),
    ("-set-ocsp-in-callback", CALLBACKS),
    ("-use-ticket-callback", CALLBACKS),
    ("-use-ticket-aead-callback", CALLBACKS),
    ("-fail-", CALLBACKS),
    ("-expect-msg-callback", CALLBACKS),
    ("-peek-then-read", CALLBACKS),
    ("-private-key-delay-ms", CALLBACKS),
    ("-must-match-issuer", ONE_IDENTITY),
    ("-signing-prefs", NOT_CHOSEN),
    ("-verify-prefs", NOT_CHOSEN),
    ("-cipher", NOT_CHOSEN),
    ("-no-key-shares", NOT_CHOSEN),
    ("-server-supported-groups-hint", NOT_CHOSEN),
    ("-no-ticket", NOT_CHOSEN),
    ("-ticket-key", NOT_CHOSEN),
    ("-skip-ticket", NOT_CHOSEN),
    ("-renew-ticket", NOT_CHOSEN),
    ("-use-client-ca-list", NOT_CHOSEN),
    ("-max-cert-list", NOT_CHOSEN),
    (
        "-key-update",
        "keys are updated at their usage limit, not on request",
    ),
    ("-send-alert", NOT_CHOSEN),
    ("-fips-202205", NOT_CHOSEN),
    ("-wpa-202304", NOT_CHOSEN),
    ("-cnsa", NOT_CHOSEN),
    ("-retain-only-sha256-client-cert", NOT_CHOSEN),
    ("-no-legacy-server-connect", NOT_CHOSEN),
    ("-jdk11-workaround", NOT_CHOSEN),
    ("-resumption-across-names-enabled", NOT_CHOSEN),
    ("-expect-", NOT_SHOWN),
];

const UNKNOWN: &str = "unknown to this shim";

/// The versions that can be selected, as on the wire.
const VERSIONS: [u16; 4] = [0x0301, 0x0302, 0x0303, 0x0304];

struct Arguments<'a> {
    left: VecDeque<&'a str>,
}

impl Arguments<'_> {
    fn value(&mut self, flag: &str) -> Result<String, Refused> {
        self.left
            .pop_front()
            .map(str::to_owned)
            .ok_or_else(|| Refused {
                flag: flag.to_owned(),
                reason: "its value is missing",
            })
    }

    fn next_is(&self, value: &str) -> bool {
        self.left.front() == Some(&value)
    }

    fn base64(&mut self, flag: &str) -> Result<Vec<u8>, Refused> {
        STANDARD.decode(self.value(flag)?).map_err(|_| Refused {
            flag: flag.to_owned(),
            reason: "its value is not base64",
        })
    }

    fn number<N: std::str::FromStr>(&mut self, flag: &str) -> Result<N, Refused> {
        self.value(flag)?.parse().map_err(|_| Refused {
            flag: flag.to_owned(),
            reason: "its value is not a number",
        })
    }
}

impl Plan {
    /// Parses the arguments.
    ///
    /// # Errors
    /// The first unsupported flag.
    pub fn parse<S: AsRef<str>>(arguments: &[S]) -> Result<Self, Refused> {
        Ok(Self {
            first: Options::parse(arguments, "-on-initial", "-on-resume")?,
            later: Options::parse(arguments, "-on-resume", "-on-initial")?,
        })
    }
}

impl Options {
    /// Applies flags for every connection and those with the prefix `own`; ignores those with the prefix `other`.
    fn parse<S: AsRef<str>>(arguments: &[S], own: &str, other: &str) -> Result<Self, Refused> {
        let mut options = Self::default();
        let mut discarded = Self::default();
        let mut arguments = Arguments {
            left: arguments.iter().map(AsRef::as_ref).collect(),
        };
        while let Some(given) = arguments.left.pop_front() {
            if let Some(flag) = given.strip_prefix(own) {
                options.apply(flag, &mut arguments)?;
            } else if let Some(flag) = given.strip_prefix(other) {
                discarded.apply(flag, &mut arguments)?;
            } else {
                options.apply(given, &mut arguments)?;
            }
        }
        Ok(options)
    }

    fn apply(&mut self, flag: &str, arguments: &mut Arguments<'_>) -> Result<(), Refused> {
        let Self { context, exchange } = self;
        let expects = &mut exchange.expects;
        match flag {
            "-port" => exchange.port = arguments.number(flag)?,
            "-shim-id" => exchange.shim_id = arguments.number(flag)?,
            "-ipv6" => exchange.ipv6 = true,
            "-resume-count" => exchange.resume_count = arguments.number(flag)?,
            "-async" => exchange.byte_by_byte = true,
            "-resumption-delay" => exchange.resumption_delay = arguments.number(flag)?,
            "-shim-writes-first" => exchange.writes_first = true,
            "-read-with-unfinished-write" => exchange.reads_with_unfinished_write = true,
            "-shim-initial-write" => {
                exchange.initial_write = Some(arguments.value(flag)?.into_bytes());
            }
            "-repeat-shim-initial-write" => {
                exchange.initial_writes = Some(arguments.number(flag)?);
            }
            "-write-different-record-sizes" => exchange.writes_many_sizes = true,
            "-shim-shuts-down" => exchange.shuts_down = true,
            "-check-close-notify" => exchange.checks_close_notify = true,
            "-read-size" => exchange.read_size = Some(arguments.number(flag)?),
            "-no-op-extra-handshake" | "-handshake-twice" => exchange.handshakes_again = true,
            "-handshake-never-done" => exchange.expects_no_handshake = true,

            "-export-keying-material" => exchange.exports = Some(arguments.number(flag)?),
            "-export-label" => exchange.export_label = arguments.value(flag)?.into_bytes(),
            "-export-context" => exchange.export_context = arguments.value(flag)?.into_bytes(),
            "-use-export-context" => exchange.uses_export_context = true,

            "-server" => context.server = true,
            // Empty for a self-issued certificate.
            "-trust-cert" => {
                let path = Some(arguments.value(flag)?);
                context.trust = path.filter(|path| !path.is_empty()).map(Into::into);
            }
            "-new-x509-credential" => context.credentials.push(Credential {
                is_additional: true,
                ..Credential::default()
            }),
            "-expect-selected-credential" => {
                context.expects_additional = Some(arguments.number::<i32>(flag)? >= 0);
            }
            "-cert-file" => {
                let chain = arguments.value(flag)?.into();
                credential(context).chain = chain;
            }
            "-key-file" => {
                let key = arguments.value(flag)?.into();
                credential(context).key = key;
            }
            "-min-version" => context.version_min = Some(arguments.number(flag)?),
            "-max-version" => context.version_max = Some(arguments.number(flag)?),
            "-no-tls1" => context.versions_refused.push(VERSIONS[0]),
            "-no-tls11" => context.versions_refused.push(VERSIONS[1]),
            "-no-tls12" => context.versions_refused.push(VERSIONS[2]),
            "-no-tls13" => context.versions_refused.push(VERSIONS[3]),
            "-curves" => context.groups.push(arguments.number(flag)?),
            "-key-shares" => context.key_shares.push(arguments.number(flag)?),
            "-advertise-alpn" => {
                let list = arguments.value(flag)?;
                context.alpn = protocols(list.as_bytes()).ok_or_else(|| Refused {
                    flag: flag.to_owned(),
                    reason: "its value is not a list of protocols",
                })?;
            }
            "-select-alpn" => context.alpn = vec![arguments.value(flag)?.into_bytes()],
            "-decline-alpn" => context.alpn.clear(),
            // No client of the runner offers it.
            "-reject-alpn" => context.alpn = vec![b"none of yours".to_vec()],
            "-host-name" => context.server_name = Some(arguments.value(flag)?),
            "-verify-peer" => context.asks_client = true,
            "-require-any-client-certificate" => context.requires_client = true,
            "-verify-fail" => context.verify_fails = true,
            "-ech-config-list" => context.ech_configs = Some(arguments.base64(flag)?),
            "-enable-ech-grease" => context.ech_grease = true,
            "-max-send-fragment" => context.record_max = Some(arguments.number(flag)?),

            "-expect-alpn" => expects.alpn = Some(arguments.value(flag)?.into_bytes()),
            "-expect-advertised-alpn" => {
                expects.advertised_alpn = Some(arguments.value(flag)?.into_bytes());
            }
            "-expect-server-name" => expects.server_name = Some(arguments.value(flag)?),
            "-expect-curve-id" => expects.group = Some(arguments.number(flag)?),
            "-expect-hrr" => expects.retry = Some(true),
            "-expect-no-hrr" => expects.retry = Some(false),
            "-expect-session-miss" => expects.session_miss = true,
            "-expect-no-session" => expects.no_session = true,
            "-expect-no-peer-cert" => expects.no_peer_certificate = true,
            "-expect-peer-cert-file" => expects.peer_chain = Some(arguments.value(flag)?.into()),
            "-expect-cipher" => expects.cipher_suite = Some(arguments.number(flag)?),
            // The only possible reason.
            "-expect-early-data-reason" if arguments.next_is("disabled") => {
                arguments.value(flag)?;
            }
            "-expect-cipher-aes" => expects.aes = Some(true),
            "-expect-ech-accept" => expects.ech_accepted = true,
            "-expect-ech-retry-configs" => {
                expects.ech_retry_configs = Some(arguments.base64(flag)?);
            }
            "-expect-no-ech-retry-configs" => expects.ech_retry_configs = Some(Vec::new()),
            "-expect-cipher-no-aes" => expects.aes = Some(false),
            _ if WITHOUT_EFFECT.iter().any(|(name, _)| *name == flag) => {}
            _ => return Err(refusal(flag)),
        }
        Ok(())
    }
}

/// The credential that a file belongs to: the last one begun, or the one without a flag.
fn credential(context: &mut ContextOptions) -> &mut Credential {
    if context.credentials.is_empty() {
        context.credentials.push(Credential::default());
    }
    let last = context.credentials.len() - 1;
    &mut context.credentials[last]
}

fn refusal(flag: &str) -> Refused {
    let reason = REFUSED
        .iter()
        .find(|(beginning, _)| flag.starts_with(beginning))
        .map_or(UNKNOWN, |(_, reason)| reason);
    Refused {
        flag: flag.to_owned(),
        reason,
    }
}

/// A list of protocols as in the extension (RFC 7301, section 3.1): each preceded by its length.
pub fn protocols(mut list: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    while let Some((length, rest)) = list.split_first() {
        let protocol = rest.get(..usize::from(*length))?;
        found.push(protocol.to_vec());
        list = rest.get(usize::from(*length)..)?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_for_the_first_and_for_later_connections_are_separate() {
        let plan = Plan::parse(&[
            "-server",
            "-on-initial-expect-alpn",
            "one",
            "-on-resume-expect-alpn",
            "two",
            "-on-resume-max-version",
            "771",
        ]);
        let plan = plan.expect("supported flags");
        assert_eq!(
            plan.first.exchange.expects.alpn.as_deref(),
            Some(&b"one"[..])
        );
        assert_eq!(
            plan.later.exchange.expects.alpn.as_deref(),
            Some(&b"two"[..])
        );
        assert_eq!(plan.first.context.version_max, None);
        assert_eq!(plan.later.context.version_max, Some(771));
        assert!(plan.first.context.server && plan.later.context.server);
    }

    #[test]
    fn files_belong_to_the_latest_credential() {
        let plan = Plan::parse(&[
            "-cert-file",
            "a",
            "-key-file",
            "b",
            "-new-x509-credential",
            "-cert-file",
            "c",
        ]);
        let credentials = plan.expect("supported flags").first.context.credentials;
        let chains: Vec<_> = credentials.iter().map(|one| one.chain.to_str()).collect();
        assert_eq!(chains, [Some("a"), Some("c")]);
        assert!(credentials[1].is_additional);
    }

    #[test]
    fn an_unsupported_flag_is_refused_with_its_reason() {
        for (flags, reason) in [
            (&["-server", "-dtls"][..], NOT_TLS),
            (&["-on-resume-enable-early-data"], NO_EARLY_DATA),
            (&["-fail-cert-callback"], CALLBACKS),
            (&["-never-heard-of"], UNKNOWN),
            (&["-port"], "its value is missing"),
            (&["-port", "many"], "its value is not a number"),
            (
                &["-advertise-alpn", "\u{9}short"],
                "its value is not a list of protocols",
            ),
        ] {
            assert_eq!(
                Plan::parse(flags).expect_err("refused").reason,
                reason,
                "{flags:?}"
            );
        }
    }
}
