//! Digest authentication (RFC 7616): the answer to a server's challenge, and the next ones without asking.

use std::fmt;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest as sha;
use aws_lc_rs::rand;
use base64ct::{Base64, Encoding as _};
use handfast_dial::proxy::Authenticate;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use md5::{Digest as _, Md5};
use zeroize::Zeroizing;

use super::origin::Origin;

/// How often a request is answered with credentials: once, and once more after a nonce that has become stale.
const ANSWERS_MAX: u32 = 2;

/// A user name and a password that are sent as a hash, once the server has asked for it. Clones share what the server said,
/// so that further requests to it are answered before it asks.
///
/// The hash is the best that the server offers: SHA-512/256, SHA-256, MD5. A weak password can be guessed from it:
/// TLS is what protects the password.
#[derive(Clone)]
pub struct DigestCredentials(Arc<Inner>);

struct Inner {
    user: String,
    password: Zeroizing<String>,
    or_basic: bool,
    state: Mutex<Option<State>>,
}

/// The last challenge, and how often it was answered.
struct State {
    /// `None`: of a proxy.
    origin: Option<Origin>,
    challenge: Challenge,
    count: u32,
}

/// Secrets are not shown.
impl fmt::Debug for DigestCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestCredentials")
            .field("user", &self.0.user)
            .finish_non_exhaustive()
    }
}

impl DigestCredentials {
    /// Of this user.
    pub fn new(user: &str, password: &str) -> Self {
        Self::of(user, password, false)
    }

    /// The same; a server that asks for Basic authentication and not for Digest gets the password itself (RFC 7617).
    pub fn or_basic(user: &str, password: &str) -> Self {
        Self::of(user, password, true)
    }

    fn of(user: &str, password: &str, or_basic: bool) -> Self {
        Self(Arc::new(Inner {
            user: user.to_owned(),
            password: Zeroizing::new(password.to_owned()),
            or_basic,
            state: Mutex::new(None),
        }))
    }

    /// The `Authorization` of a request, where this server has asked before.
    pub(super) fn field(
        &self,
        origin: &Origin,
        method: &Method,
        target: &str,
    ) -> Option<HeaderValue> {
        let text = self.answer(Some(origin), method.as_str(), target)?;
        let mut value = HeaderValue::try_from(text.as_str()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn answer(
        &self,
        origin: Option<&Origin>,
        method: &str,
        target: &str,
    ) -> Option<Zeroizing<String>> {
        let mut state = self.state();
        let is_same = |state: &&mut State| state.origin.as_ref() == origin;
        let state = state.as_mut().filter(is_same)?;
        state.count = state.count.saturating_add(1);
        let mut random = [0; 16];
        rand::fill(&mut random).ok()?;
        let client_nonce = hex(&random);
        let text = match &state.challenge {
            Challenge::Basic => {
                let both = Zeroizing::new(format!("{}:{}", self.0.user, &*self.0.password));
                format!("Basic {}", Base64::encode_string(both.as_bytes()))
            }
            Challenge::Digest(digest) => {
                digest.answer(&self.0, method, target, state.count, &client_nonce)
            }
        };
        Some(Zeroizing::new(text))
    }

    /// Takes what a response says of authentication: is the request to be sent again? `answers` counts how often it was
    /// answered.
    pub(super) fn take(
        &self,
        origin: &Origin,
        status: StatusCode,
        fields: &HeaderMap,
        answers: &mut u32,
    ) -> bool {
        if status != StatusCode::UNAUTHORIZED {
            let mut state = self.state();
            if let Some(State {
                challenge: Challenge::Digest(digest),
                count,
                ..
            }) = state.as_mut()
                && let Some(next) = next_nonce(fields)
            {
                (digest.nonce, *count) = (next, 0);
            }
            return false;
        }
        let texts = fields.get_all(WWW_AUTHENTICATE).iter();
        let texts = texts.filter_map(|value| value.to_str().ok());
        self.is_to_answer(Some(origin), texts, answers)
    }

    /// Takes challenges: are they to be answered?
    fn is_to_answer<'t>(
        &self,
        origin: Option<&Origin>,
        challenges: impl Iterator<Item = &'t str>,
        answers: &mut u32,
    ) -> bool {
        let mut state = self.state();
        let Some(challenge) = Challenge::best(challenges, self.0.or_basic) else {
            *state = None;
            return false;
        };
        let is_stale = matches!(&challenge, Challenge::Digest(digest) if digest.is_stale);
        let was_known = state
            .as_ref()
            .is_some_and(|state| state.origin.as_ref() == origin);
        let is_again = match was_known {
            // What was sent was an answer already: wrong, unless its nonce was too old.
            true => is_stale && *answers < ANSWERS_MAX,
            false => *answers < ANSWERS_MAX,
        };
        *answers += 1;
        *state = is_again.then(|| State {
            origin: origin.cloned(),
            challenge,
            count: 0,
        });
        is_again
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those of a proxy: each has credentials of its own.
impl Authenticate for DigestCredentials {
    fn field(&self, method: &str, target: &str) -> Option<Zeroizing<String>> {
        self.answer(None, method, target)
    }

    fn challenged(&self, challenges: &[String], answers: &mut u32) -> bool {
        self.is_to_answer(None, challenges.iter().map(String::as_str), answers)
    }
}

/// RFC 7616, section 3.5.
fn next_nonce(fields: &HeaderMap) -> Option<String> {
    const AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("authentication-info");
    let text = fields.get(AUTHENTICATION_INFO)?.to_str().ok()?;
    let (_, parameters) = parse(&format!("Info {text}")).into_iter().next()?;
    parameter(&parameters, "nextnonce").map(str::to_owned)
}

enum Challenge {
    Digest(Digest),
    Basic,
}

impl Challenge {
    /// The best of those of a response.
    fn best<'t>(texts: impl Iterator<Item = &'t str>, or_basic: bool) -> Option<Self> {
        let all: Vec<_> = texts.flat_map(parse).collect();
        let digests = all
            .iter()
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("digest"))
            .filter_map(|(_, parameters)| Digest::new(parameters));
        let has_basic = || {
            all.iter()
                .any(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        };
        match digests.max_by_key(|digest| digest.hash) {
            Some(digest) => Some(Self::Digest(digest)),
            None => (or_basic && has_basic()).then_some(Self::Basic),
        }
    }
}

/// In the order of their strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Md5,
    Sha256,
    Sha512Of256,
}

impl Hash {
    fn of(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text.as_bytes())),
            Self::Sha256 => hex(sha::digest(&sha::SHA256, text.as_bytes()).as_ref()),
            Self::Sha512Of256 => hex(sha::digest(&sha::SHA512_256, text.as_bytes()).as_ref()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A challenge that can be answered.
struct Digest {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// As the server writes it; `None` where it leaves it out.
    algorithm: Option<String>,
    hash: Hash,
    is_session: bool,
    /// Not with servers of RFC 2069.
    has_qop: bool,
    is_stale: bool,
    hides_user: bool,
}

impl Digest {
    fn new(parameters: &[(String, String)]) -> Option<Self> {
        let get = |name| parameter(parameters, name);
        let is = |name, value: &str| get(name).is_some_and(|it| it.eq_ignore_ascii_case(value));
        let algorithm = get("algorithm");
        let name = algorithm.unwrap_or("MD5").to_ascii_lowercase();
        let (name, is_session) = match name.strip_suffix("-sess") {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        let hash = match name {
            "md5" => Hash::Md5,
            "sha-256" => Hash::Sha256,
            "sha-512-256" => Hash::Sha512Of256,
            _ => return None,
        };
        let qop = get("qop");
        let has_auth = |qop: &str| {
            qop.split(',')
                .any(|one| one.trim().eq_ignore_ascii_case("auth"))
        };
        // With the body hashed, too, it would have to be known before.
        if qop.is_some_and(|qop| !has_auth(qop)) {
            return None;
        }
        Some(Self {
            realm: get("realm")?.to_owned(),
            nonce: get("nonce")?.to_owned(),
            opaque: get("opaque").map(str::to_owned),
            algorithm: algorithm.map(str::to_owned),
            hash,
            is_session,
            has_qop: qop.is_some(),
            is_stale: is("stale", "true"),
            hides_user: is("userhash", "true"),
        })
    }

    /// RFC 7616, section 3.4.
    fn answer(
        &self,
        who: &Inner,
        method: &str,
        target: &str,
        count: u32,
        client_nonce: &str,
    ) -> String {
        let hash = |text: String| self.hash.of(&Zeroizing::new(text));
        let (realm, nonce) = (&self.realm, &self.nonce);
        let mut secret = hash(format!("{}:{realm}:{}", who.user, &*who.password));
        if self.is_session {
            secret = hash(format!("{secret}:{nonce}:{client_nonce}"));
        }
        let request = hash(format!("{method}:{target}"));
        let response = match self.has_qop {
            true => hash(format!(
                "{secret}:{nonce}:{count:08x}:{client_nonce}:auth:{request}"
            )),
            false => hash(format!("{secret}:{nonce}:{request}")),
        };
        let user = match self.hides_user {
            true => hash(format!("{}:{realm}", who.user)),
            false => who.user.clone(),
        };
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let mut text = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\"",
            quoted(&user),
            quoted(realm),
            quoted(nonce),
            // A query may have backslashes.
            quoted(target),
        );
        if self.has_qop || self.is_session {
            let _ = write!(text, ", cnonce=\"{client_nonce}\"");
        }
        if self.has_qop {
            let _ = write!(text, ", nc={count:08x}, qop=auth");
        }
        let _ = write!(text, ", response=\"{response}\"");
        if let Some(opaque) = &self.opaque {
            let _ = write!(text, ", opaque=\"{}\"", quoted(opaque));
        }
        if let Some(algorithm) = &self.algorithm {
            let _ = write!(text, ", algorithm={algorithm}");
        }
        if self.hides_user {
            text.push_str(", userhash=true");
        }
        text
    }
}

/// A scheme with its parameters.
type Parsed = (String, Vec<(String, String)>);

fn parameter<'p>(parameters: &'p [(String, String)], name: &str) -> Option<&'p str> {
    let found = parameters
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// The challenges of a field (RFC 9110, section 11.6.1): schemes and parameters, all separated by commas.
fn parse(text: &str) -> Vec<Parsed> {
    let mut found: Vec<Parsed> = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars
            .next_if(|char| char.is_whitespace() || matches!(char, ',' | '=' | '"'))
            .is_some()
        {}
        let mut word = String::new();
        while let Some(char) =
            chars.next_if(|char| !char.is_whitespace() && !matches!(char, ',' | '=' | '"'))
        {
            word.push(char);
        }
        if word.is_empty() {
            return found;
        }
        while chars.next_if(|char| char.is_whitespace()).is_some() {}
        if chars.next_if_eq(&'=').is_none() {
            found.push((word, Vec::new()));
            continue;
        }
        while chars.next_if(|char| char.is_whitespace()).is_some() {}
        let mut value = String::new();
        if chars.next_if_eq(&'"').is_some() {
            while let Some(char) = chars.next() {
                match char {
                    '"' => break,
                    '\\' => value.extend(chars.next()),
                    char => value.push(char),
                }
            }
        } else {
            while let Some(char) = chars.next_if(|char| !char.is_whitespace() && *char != ',') {
                value.push(char);
            }
        }
        if let Some((_, parameters)) = found.last_mut() {
            parameters.push((word, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest_of(text: &str) -> Digest {
        let all = parse(text);
        Digest::new(&all[0].1).unwrap()
    }

    /// RFC 7616, section 3.9.1, and RFC 2069's kind by hand.
    #[test]
    fn answers_are_those_of_the_rfc() {
        let who = DigestCredentials::new("Mufasa", "Circle of Life");
        for (algorithm, expected) in [
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ] {
            let digest = digest_of(&format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            ));
            let client_nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let text = digest.answer(&who.0, "GET", "/dir/index.html", 1, client_nonce);
            assert!(
                text.contains(&format!("response=\"{expected}\"")),
                "{algorithm}: {text}"
            );
        }
    }

    #[test]
    fn the_target_is_quoted_and_hashed_as_it_is_sent() {
        let who = DigestCredentials::new("u", "p");
        let digest = digest_of("Digest realm=r, nonce=n");
        let text = digest.answer(&who.0, "GET", "/?a\\b", 1, "");
        assert!(text.contains(", uri=\"/?a\\\\b\","), "{text}");
        let hash = |text: String| Hash::Md5.of(&text);
        let (secret, what) = (hash("u:r:p".into()), hash("GET:/?a\\b".into()));
        let response = hash(format!("{secret}:n:{what}"));
        assert!(text.contains(&format!("response=\"{response}\"")), "{text}");
    }

    #[test]
    fn the_best_challenge_that_can_be_answered_is_chosen() {
        for (fields, expected) in [
            (
                &[
                    "Digest realm=a, nonce=1, algorithm=MD5",
                    "Digest realm=b, nonce=2, algorithm=SHA-256",
                ][..],
                Some("b"),
            ),
            (
                &["Basic realm=\"x, y\", Digest realm=\"q\\\"r\", nonce=\"1=\""],
                Some("q\"r"),
            ),
            (&["Digest realm=a, nonce=1, qop=\"auth-int\""], None),
            (&["Digest realm=a, nonce=1, algorithm=SHA-1"], None),
            (&["Negotiate abc==, Basic realm=x"], None),
            (&["Digest realm=a"], None),
        ] {
            let texts = || fields.iter().copied();
            let realm = match Challenge::best(texts(), false) {
                Some(Challenge::Digest(digest)) => Some(digest.realm),
                _ => None,
            };
            assert_eq!(realm.as_deref(), expected, "{fields:?}");
            let basic = matches!(Challenge::best(texts(), true), Some(Challenge::Basic));
            assert_eq!(basic, fields[0].starts_with("Negotiate"), "{fields:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed(text: String) {
            for (scheme, parameters) in parse(&text) {
                prop_assert!(!scheme.is_empty());
                prop_assert!(parameters.iter().all(|(name, _)| !name.is_empty()));
            }
        }
    }
}
