//! Encodes a ClientHello with any version and any offer, also obsolete ones.

use handfast::registry::{GroupId, SchemeId, SuiteId, WireVersion};

/// The limit on each list: more is omitted, so that lengths always fit.
const LIST_MAX: usize = 1000;

/// The largest fragment of one record (RFC 8446, section 5.1).
const FRAGMENT_MAX: usize = 16 * 1024;

/// Need not be random, because the handshake is never completed; a constant can be
/// recognized in a server's logs.
const RANDOM: [u8; 32] = *b"handfast probe, not a handshake.";

/// The base point of X25519 (RFC 7748, section 4.1): the public half of the private key 1.
const X25519_BASE: [u8; 32] = {
    let mut point = [0; 32];
    point[0] = 9;
    point
};

/// The base point of P-256, uncompressed (SEC 2, section 2.4.2).
const P256_BASE: [u8; 65] = [
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40,
    0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2,
    0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e,
    0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51,
    0xf5,
];

/// The signature schemes offered by default, secure ones first
/// (RFC 8446, section 4.2.3): all deployed ones, so that no probe fails because of a missing scheme.
const SCHEMES: &[u16] = &[
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0809, 0x080a, 0x080b, 0x0804, 0x0805, 0x0806, 0x081a,
    0x081b, 0x081c, 0x0904, 0x0905, 0x0906, 0x0401, 0x0501, 0x0601, 0x0402, 0x0302, 0x0203, 0x0201,
    0x0202,
];

/// The offer to a server. [`encode`](Self::encode) makes the bytes.
///
/// For TLS 1.3 no key share is sent: a server answers such a hello by HelloRetryRequest, which names
/// its preferred group (RFC 8446, section 4.2.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello {
    pub(crate) version: WireVersion,
    pub(crate) suites: Vec<SuiteId>,
    pub(crate) groups: Vec<GroupId>,
    schemes: Vec<u16>,
    alpn: Vec<Vec<u8>>,
    server_name: Option<String>,
    /// Also offer older versions.
    with_older: bool,
    with_key_shares: bool,
    with_timestamps: bool,
}

impl ClientHello {
    /// Offers only this version, with all its suites, groups and signature schemes.
    pub fn new(version: WireVersion) -> Self {
        let is_tls13 = version == WireVersion::Tls13;
        Self {
            version,
            suites: SuiteId::all(is_tls13),
            groups: GroupId::all(is_tls13),
            schemes: SCHEMES.to_vec(),
            alpn: Vec::new(),
            server_name: None,
            with_older: false,
            with_key_shares: false,
            with_timestamps: false,
        }
    }

    /// Offers every version up to TLS 1.3, with all their parameters: a server
    /// chooses the newest that it supports.
    pub fn of_all_versions() -> Self {
        let mut hello = Self::new(WireVersion::Tls13);
        hello.suites.extend(SuiteId::all(false));
        for group in GroupId::all(false) {
            if !hello.groups.contains(&group) {
                hello.groups.push(group);
            }
        }
        hello.with_older = true;
        hello
    }

    /// Sends key shares for the two most common groups, if offered: a TLS 1.3 server
    /// then selects a signature scheme. The private keys are public knowledge, and the
    /// handshake is never completed.
    #[must_use]
    pub fn with_key_shares(mut self) -> Self {
        self.with_key_shares = true;
        self
    }

    /// Requests signed certificate timestamps (RFC 6962, section 3.3.1): up to TLS 1.2 they are sent
    /// unencrypted, in [`ServerHello::timestamps`](super::ServerHello::timestamps).
    #[must_use]
    pub fn asking_for_timestamps(mut self) -> Self {
        self.with_timestamps = true;
        self
    }

    /// The newest version offered.
    pub fn version(&self) -> WireVersion {
        self.version
    }

    /// Offers these cipher suites instead, in order of preference.
    #[must_use]
    pub fn with_suites(mut self, suites: impl IntoIterator<Item = SuiteId>) -> Self {
        self.suites = suites.into_iter().take(LIST_MAX).collect();
        self
    }

    /// Offers these groups instead, in order of preference.
    #[must_use]
    pub fn with_groups(mut self, groups: impl IntoIterator<Item = GroupId>) -> Self {
        self.groups = groups.into_iter().take(LIST_MAX).collect();
        self
    }

    /// Offers these signature schemes instead, by number. SSL 3, TLS 1.0 and 1.1 have none.
    #[must_use]
    pub fn with_signature_schemes(mut self, schemes: impl IntoIterator<Item = u16>) -> Self {
        self.schemes = schemes.into_iter().take(LIST_MAX).collect();
        self
    }

    /// The signature schemes offered.
    pub(crate) fn signature_schemes(&self) -> Vec<SchemeId> {
        self.schemes.iter().copied().map(SchemeId).collect()
    }

    /// Offers these application protocols; empty ones and those over 255 bytes are omitted.
    #[must_use]
    pub fn with_alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols
            .into_iter()
            .map(Into::into)
            .filter(|protocol: &Vec<u8>| (1..=255).contains(&protocol.len()))
            .take(LIST_MAX / 32)
            .collect();
        self
    }

    /// Sends this server name. An IP address, or a text that is too long for a DNS name, is not sent
    /// (RFC 6066, section 3).
    #[must_use]
    pub fn with_server_name(mut self, name: &str) -> Self {
        let is_name = (1..=255).contains(&name.len())
            && name.parse::<std::net::IpAddr>().is_err()
            && !name.contains(':');
        self.server_name = is_name.then(|| name.to_owned());
        self
    }

    /// The records to send.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = vec![1]; // client_hello
        with_length::<3>(&mut message, |out| self.body(out));
        // Some servers also check the record's version.
        let record_version = self.version.number().min(WireVersion::Tls10.number());
        let mut records = Vec::with_capacity(message.len() + 5);
        for fragment in message.chunks(FRAGMENT_MAX) {
            records.push(22); // handshake
            put(&mut records, record_version);
            with_length::<2>(&mut records, |out| out.extend_from_slice(fragment));
        }
        records
    }

    fn body(&self, out: &mut Vec<u8>) {
        let is_tls13 = self.version == WireVersion::Tls13;
        put(out, self.version.number().min(WireVersion::Tls12.number()));
        out.extend_from_slice(&RANDOM);
        // A session id of TLS 1.2, for middleboxes (RFC 8446, appendix D.4).
        let session: &[u8] = if is_tls13 { &RANDOM } else { &[] };
        with_length::<1>(out, |out| out.extend_from_slice(session));
        with_length::<2>(out, |out| {
            self.suites.iter().for_each(|suite| put(out, suite.0));
        });
        out.extend_from_slice(&[1, 0]); // no compression
        if self.version != WireVersion::Ssl3 {
            with_length::<2>(out, |out| self.extensions(out));
        }
    }

    fn extensions(&self, out: &mut Vec<u8>) {
        let is_tls13 = self.version == WireVersion::Tls13;
        if let Some(name) = &self.server_name {
            extension(out, 0, |out| {
                with_length::<2>(out, |out| {
                    out.push(0); // host_name
                    with_length::<2>(out, |out| out.extend_from_slice(name.as_bytes()));
                });
            });
        }
        if !self.groups.is_empty() {
            extension(out, 10, |out| {
                with_length::<2>(out, |out| {
                    self.groups.iter().for_each(|group| put(out, group.0));
                });
            });
        }
        if self.version >= WireVersion::Tls12 && !self.schemes.is_empty() {
            extension(out, 13, |out| {
                with_length::<2>(out, |out| {
                    self.schemes.iter().for_each(|scheme| put(out, *scheme));
                });
            });
        }
        if !self.alpn.is_empty() {
            extension(out, 16, |out| {
                with_length::<2>(out, |out| {
                    for protocol in &self.alpn {
                        with_length::<1>(out, |out| out.extend_from_slice(protocol));
                    }
                });
            });
        }
        if self.with_timestamps {
            extension(out, 18, |_| {});
        }
        if is_tls13 {
            extension(out, 43, |out| {
                with_length::<1>(out, |out| {
                    put(out, self.version.number());
                    if self.with_older {
                        for older in [WireVersion::Tls12, WireVersion::Tls11, WireVersion::Tls10] {
                            put(out, older.number());
                        }
                    }
                });
            });
            extension(out, 45, |out| out.extend_from_slice(&[1, 1])); // psk_dhe_ke
            extension(out, 51, |out| {
                with_length::<2>(out, |out| self.key_shares(out))
            });
        }
        if !is_tls13 || self.with_older {
            extension(out, 11, |out| out.extend_from_slice(&[1, 0])); // uncompressed points
            extension(out, 23, |_| {}); // extended_master_secret
            extension(out, 0xff01, |out| out.push(0)); // renegotiation_info
        }
    }
}

impl ClientHello {
    fn key_shares(&self, out: &mut Vec<u8>) {
        if !self.with_key_shares {
            return;
        }
        let shares: [(u16, &[u8]); 2] = [(29, &X25519_BASE), (23, &P256_BASE)];
        for (group, point) in shares {
            if self.groups.contains(&GroupId(group)) {
                put(out, group);
                with_length::<2>(out, |out| out.extend_from_slice(point));
            }
        }
    }
}

fn put(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn extension(out: &mut Vec<u8>, number: u16, content: impl FnOnce(&mut Vec<u8>)) {
    put(out, number);
    with_length::<2>(out, content);
}

/// Appends what `content` writes, with its length in `BYTES` bytes before it. The limits on what is
/// offered keep every length within its field.
fn with_length<const BYTES: usize>(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; BYTES]);
    content(out);
    let length = (out.len() - at - BYTES).to_be_bytes();
    let low = &length[length.len() - BYTES..];
    if let Some(field) = out.get_mut(at..at + BYTES) {
        field.copy_from_slice(low);
    }
}
