//! Challenges of Digest and Basic authentication: what answers them is well-formed whatever they contain, and its hash is the one
//! of RFC 7616, as a second implementation has it; the strongest that can be answered is.
#![no_main]

use aws_lc_rs::digest::{SHA256, SHA512_256, digest};
use handfast_fuzz::Input;
use handfast_https::client::{DigestCredentials, Request};
use handfast_https::fuzzing::authorization;
use libfuzzer_sys::fuzz_target;
use md5::{Digest as _, Md5};

const USER: &str = "M\"u\\fasa";
const PASSWORD: &str = "Circle of Life";

const REALM: usize = 0;

/// Strength, name.
const ALGORITHMS: [(u8, &str); 8] = [
    (0, "MD5"),
    (1, "SHA-256"),
    (2, "SHA-512-256"),
    (0, "md5-sess"),
    (1, "sha-256-SESS"),
    (2, "SHA-512-256-sess"),
    (0, "MD4"),
    (0, "SHA-512"),
];

fn hash(algorithm: &str, text: &str) -> Option<String> {
    let name = algorithm.to_ascii_lowercase();
    let bytes = match name.strip_suffix("-sess").unwrap_or(&name) {
        "md5" => Md5::digest(text.as_bytes()).to_vec(),
        "sha-256" => digest(&SHA256, text.as_bytes()).as_ref().to_vec(),
        "sha-512-256" => digest(&SHA512_256, text.as_bytes()).as_ref().to_vec(),
        _ => return None,
    };
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

/// The parameters of an answer, strictly (RFC 9110, section 11.4): name=token or name="quoted-string", with `, ` between them.
fn parameters(mut text: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    loop {
        let (name, rest) = text.split_once('=').expect("a parameter");
        assert!(is_token(name), "{name:?}");
        assert!(all.iter().all(|(known, _)| known != name), "{name} twice");
        let (value, rest) = match rest.strip_prefix('"') {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                assert!(is_token(&rest[..end]), "{rest:?}");
                (rest[..end].to_owned(), &rest[end..])
            }
            Some(quoted) => {
                let (mut value, mut chars) = (String::new(), quoted.char_indices());
                let end = loop {
                    match chars.next().expect("the end of a quoted string") {
                        (at, '"') => break at,
                        (_, '\\') => value.push(chars.next().expect("a quoted pair").1),
                        (_, char) => value.push(char),
                    }
                };
                (value, &quoted[end + 1..])
            }
        };
        assert!(
            !value.chars().any(|c| c.is_ascii_control() && c != '\t'),
            "{value:?}"
        );
        all.push((name.to_owned(), value));
        match rest {
            "" => return all,
            rest => text = rest.strip_prefix(", ").expect("a separator"),
        }
    }
}

/// Checks an answer, and returns its realm.
fn check(answer: &str, request: &Request) -> Option<(String, String)> {
    let Some(text) = answer.strip_prefix("Digest ") else {
        assert!(answer.starts_with("Basic "), "{answer}");
        return None;
    };
    let all = parameters(text);
    let get = |name: &str| {
        let found = all.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    let algorithm = get("algorithm").unwrap_or("MD5");
    let hash = |text: &str| hash(algorithm, text).expect("a known algorithm");
    let (realm, nonce) = (get("realm").unwrap(), get("nonce").unwrap());
    let uri = get("uri").unwrap();
    assert!(uri.starts_with('/'));
    match get("userhash") {
        Some(is_hidden) => {
            assert_eq!(is_hidden, "true");
            assert_eq!(get("username"), Some(&*hash(&format!("{USER}:{realm}"))));
        }
        None => assert_eq!(get("username"), Some(USER)),
    }
    let mut secret = hash(&format!("{USER}:{realm}:{PASSWORD}"));
    if algorithm.to_ascii_lowercase().ends_with("-sess") {
        let client_nonce = get("cnonce").expect("a nonce of the session");
        secret = hash(&format!("{secret}:{nonce}:{client_nonce}"));
    }
    let what = hash(&format!("{}:{uri}", request.method()));
    let response = match get("qop") {
        Some(qop) => {
            assert_eq!((qop, get("nc")), ("auth", Some("00000001")));
            let client_nonce = get("cnonce").expect("a nonce of ours");
            assert!(client_nonce.len() >= 16);
            hash(&format!(
                "{secret}:{nonce}:00000001:{client_nonce}:auth:{what}"
            ))
        }
        None => hash(&format!("{secret}:{nonce}:{what}")),
    };
    assert_eq!(get("response"), Some(&*response));
    Some((realm.to_owned(), algorithm.to_ascii_lowercase()))
}

/// Well-formed challenges with texts of the input: what they say, and how strong they are if they can be answered.
fn written(input: &mut Input<'_>) -> (Vec<Vec<u8>>, Vec<(Option<u8>, String)>) {
    let (mut fields, mut realms) = (vec![Vec::new()], Vec::new());
    while !input.is_empty() && realms.len() < 8 {
        let (choice, style) = (input.byte(), input.byte());
        let texts = [(); 2].map(|()| {
            let text = String::from_utf8_lossy(input.string());
            let keep = |c: &char| matches!(c, ' '..='~');
            text.chars().filter(keep).collect::<String>()
        });
        let quoted =
            |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let (strength, algorithm) = ALGORITHMS[usize::from(choice % 8)];
        let is_answered = usize::from(choice % 8) < 6 && style & 3 != 3;
        let mut parts = vec![
            format!("realm={}", quoted(&texts[REALM])),
            format!("nonce = {}", quoted(&texts[1])),
        ];
        if choice % 8 != 0 || style & 4 != 0 {
            parts.push(format!("algorithm={algorithm}"));
        }
        match style & 3 {
            0 => {}
            1 => parts.push("qop=auth".to_owned()),
            2 => parts.push("QOP=\"auth-int, Auth\"".to_owned()),
            _ => parts.push("qop=\"auth-int\"".to_owned()),
        }
        if style & 8 != 0 {
            parts.push("userhash=TRUE".to_owned());
        }
        if style & 16 != 0 {
            parts.push(format!("opaque={}", quoted(&texts[1])));
        }
        if style & 32 != 0 {
            parts.reverse();
        }
        let scheme = if style & 64 != 0 { "dIGEST" } else { "Digest" };
        let text = format!(
            "{scheme} {}",
            parts.join(if style & 128 != 0 { "," } else { " , " })
        );
        if choice & 16 != 0 {
            fields.push(Vec::new());
        }
        let field = fields.last_mut().expect("one at least");
        if !field.is_empty() {
            field.extend_from_slice(b", ");
        }
        field.extend_from_slice(text.as_bytes());
        if choice & 32 != 0 {
            field.extend_from_slice(b", Basic realm=\"x, Digest realm=y\"");
        }
        realms.push((is_answered.then_some(strength), texts[REALM].clone()));
    }
    (fields, realms)
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let choice = input.byte();
    let path = String::from_utf8_lossy(input.string()).into_owned();
    let Ok(request) = Request::get(&format!("https://a.example/{path}")) else {
        return;
    };
    let credentials = match choice & 1 {
        0 => DigestCredentials::new(USER, PASSWORD),
        _ => DigestCredentials::or_basic(USER, PASSWORD),
    };
    let (fields, realms) = match choice & 2 {
        0 => {
            let count = usize::from(choice >> 4);
            let mut fields: Vec<_> = (0..count).map(|_| input.string().to_vec()).collect();
            fields.push(input.0.to_vec());
            (fields, None)
        }
        _ => {
            let (fields, realms) = written(&mut input);
            (fields, Some(realms))
        }
    };
    let answer = authorization(&credentials, &request, &fields);
    let answer = answer.map(|value| {
        assert!(value.is_sensitive());
        String::from_utf8(value.as_bytes().to_vec()).expect("text")
    });
    let chosen = answer.as_deref().map(|answer| check(answer, &request));
    if let Some(realms) = realms {
        let best = realms.iter().filter_map(|(strength, _)| *strength).max();
        let found = chosen.flatten();
        assert_eq!(found.is_some(), best.is_some(), "{answer:?}");
        if let Some((realm, algorithm)) = found {
            let is_it =
                |(strength, name): &(Option<u8>, String)| *strength == best && *name == realm;
            assert!(realms.iter().any(is_it), "{realm:?} {algorithm}");
        }
    }
});
