//! Cookies: which go where is what a second, simple model of RFC 6265 says; whatever a server sends, no other site gets it; and a
//! file has all that the jar has.
#![no_main]

use handfast_fuzz::Input;
use handfast_https::client::CookieJar;
use libfuzzer_sys::fuzz_target;

const HOSTS: [&str; 12] = [
    "a.example",
    "www.a.example",
    "x.www.a.example",
    "b.example",
    "ba.example",
    "a.co.uk",
    "b.co.uk",
    "co.uk",
    "localhost",
    "192.0.2.1",
    "[::1]",
    "xn--bcher-kva.example",
];

/// A `Domain` attribute, and the domain that it stands for; `None` for none.
const DOMAINS: [(&str, Option<&str>); 20] = [
    ("", None),
    ("a.example", Some("a.example")),
    (".a.example", Some("a.example")),
    ("A.eXample", Some("a.example")),
    ("www.a.example", Some("www.a.example")),
    ("example", Some("example")),
    ("\u{ff45}xample", Some("example")),
    ("co.uk", Some("co.uk")),
    (".co.uk", Some("co.uk")),
    ("\u{ff43}o.uk", Some("co.uk")),
    ("c\u{ad}o\u{3002}uk", Some("co.uk")),
    ("a.co.uk", Some("a.co.uk")),
    ("uk", Some("uk")),
    ("b.example", Some("b.example")),
    ("localhost", Some("localhost")),
    ("192.0.2.1", Some("192.0.2.1")),
    ("0.2.1", Some("0.2.1")),
    ("b\u{fc}cher.example", Some("xn--bcher-kva.example")),
    ("xn--bcher-kva.EXAMPLE", Some("xn--bcher-kva.example")),
    ("cher-kva.example", Some("cher-kva.example")),
];

/// Those of `HOSTS` and `DOMAINS` under which hosts of different owners are.
const PUBLIC: [&str; 4] = ["example", "co.uk", "uk", "localhost"];

const PATHS: [&str; 8] = ["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "/b", "/a//"];

const PER_DOMAIN_MAX: usize = 150;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
    domain: String,
    is_host_only: bool,
    path: String,
    is_secure: bool,
}

/// RFC 6265, section 5.1.3.
fn domain_matches(host: &str, domain: &str) -> bool {
    let is_address = host.starts_with('[') || host.ends_with(".1");
    host == domain
        || !is_address
            && host
                .strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.'))
}

/// RFC 6265, section 5.1.4.
fn path_matches(request: &str, path: &str) -> bool {
    let rest = request.strip_prefix(path);
    rest.is_some_and(|rest| rest.is_empty() || path.ends_with('/') || rest.starts_with('/'))
}

/// RFC 6265, section 5.1.4.
fn default_path(request: &str) -> &str {
    match request.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &request[..at],
    }
}

#[derive(Debug, Default)]
struct Model(Vec<Cookie>);

struct Set<'s> {
    is_tls: bool,
    host: &'s str,
    request_path: &'s str,
    name: String,
    value: String,
    domain: Option<&'s str>,
    path: Option<&'s str>,
    is_secure: bool,
    is_expired: bool,
}

impl Model {
    /// RFC 6265, section 5.3, with what its successor adds (draft-ietf-httpbis-rfc6265bis, section 5.7).
    fn set(&mut self, set: Set<'_>) {
        let begins = |prefix: &str| set.name.to_ascii_lowercase().starts_with(prefix);
        if set.is_secure && !set.is_tls
            || begins("__secure-") && !set.is_secure
            || begins("__host-")
                && !(set.is_secure && set.domain.is_none() && set.path == Some("/"))
        {
            return;
        }
        let domain = match set.domain {
            Some(domain) if PUBLIC.contains(&domain) && domain != set.host => return,
            Some(domain) if PUBLIC.contains(&domain) => None,
            Some(domain) if !domain_matches(set.host, domain) => return,
            other => other,
        };
        let cookie = Cookie {
            name: set.name,
            value: set.value,
            domain: domain.unwrap_or(set.host).to_owned(),
            is_host_only: domain.is_none(),
            path: set
                .path
                .unwrap_or_else(|| default_path(set.request_path))
                .to_owned(),
            is_secure: set.is_secure,
        };
        // Is there a host that would get both?
        let would_hide = |old: &Cookie| {
            let covers = |wide: &Cookie, narrow: &Cookie| match wide.is_host_only {
                true => wide.domain == narrow.domain,
                false => domain_matches(&narrow.domain, &wide.domain),
            };
            old.is_secure
                && old.name == cookie.name
                && (covers(old, &cookie) || covers(&cookie, old))
        };
        if !set.is_tls && self.0.iter().any(would_hide) {
            return;
        }
        let same = |old: &Cookie| {
            old.name == cookie.name && old.domain == cookie.domain && old.path == cookie.path
        };
        let found = self.0.iter().position(same);
        match found {
            Some(at) if set.is_expired => drop(self.0.remove(at)),
            Some(at) => self.0[at] = cookie,
            None if set.is_expired => {}
            None => {
                let of_domain = |old: &&Cookie| old.domain == cookie.domain;
                if self.0.iter().filter(of_domain).count() < PER_DOMAIN_MAX {
                    self.0.push(cookie);
                }
            }
        }
    }

    fn sent(&self, is_tls: bool, host: &str, path: &str) -> Vec<&Cookie> {
        let mut found: Vec<_> = self
            .0
            .iter()
            .filter(|cookie| match cookie.is_host_only {
                true => cookie.domain == host,
                false => domain_matches(host, &cookie.domain),
            })
            .filter(|cookie| path_matches(path, &cookie.path) && (is_tls || !cookie.is_secure))
            .collect();
        found.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        found
    }
}

fn url(is_tls: bool, host: &str, path: &str) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    format!("{scheme}://{host}{path}")
}

fn field(jar: &CookieJar, url: &str) -> String {
    let field = jar.cookies_for(url);
    field.map_or_else(String::new, |field| {
        String::from_utf8(field.as_bytes().to_vec()).expect("text")
    })
}

/// What is sent to each host.
fn fields(jar: &CookieJar) -> Vec<String> {
    let mut all = Vec::new();
    for host in HOSTS {
        for path in ["/b", "/a/b/c"] {
            for is_tls in [true, false] {
                all.push(field(jar, &url(is_tls, host, path)));
            }
        }
    }
    all
}

fn check_file(jar: &CookieJar) {
    let text = jar.to_netscape();
    let copy = CookieJar::new();
    assert_eq!(copy.read(&text, None), jar.len(), "{text:?}");
    assert_eq!(copy.to_netscape(), text);
    assert_eq!(fields(&copy), fields(jar));
}

/// By the model.
fn check_rules(mut input: Input<'_>) {
    let jar = CookieJar::new();
    let mut model = Model::default();
    while !input.is_empty() {
        let (place, flags, kind) = (input.byte(), input.byte(), input.byte());
        let host = HOSTS[usize::from(place) % HOSTS.len()];
        let request_path = PATHS[usize::from(place >> 4) % PATHS.len()];
        let (attribute, domain) = DOMAINS[usize::from(kind) % DOMAINS.len()];
        let path = (flags & 1 != 0).then(|| PATHS[usize::from(flags >> 1) % PATHS.len()]);
        let (is_secure, is_tls) = (flags & 16 != 0, flags & 32 != 0);
        let is_expired = flags & 192 == 192;
        let number = input.byte();
        let name = match number % 16 {
            0 => format!("__Host-{}", number / 64),
            1 => format!("__secure-{}", number / 64),
            _ => format!("n{number}"),
        };
        let value = input.byte().to_string();
        let mut text = format!("{name}={value}");
        if domain.is_some() {
            text.push_str(&format!("; Domain={attribute}"));
        }
        if let Some(path) = path {
            text.push_str(&format!("; path={path}"));
        }
        text.push_str(if is_secure { "; Secure" } else { "" });
        text.push_str(match flags >> 6 {
            3 => "; Max-Age=0",
            2 => "; Max-Age=10000; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            1 => "; HttpOnly; Expires=Fri, 31 Dec 2100 23:59:59 GMT",
            _ => "",
        });
        jar.set(&url(is_tls, host, request_path), &text);
        model.set(Set {
            is_tls,
            host,
            request_path,
            name,
            value,
            domain,
            path,
            is_secure,
            is_expired,
        });
        assert_eq!(jar.len(), model.0.len(), "{text}");
    }
    for host in HOSTS {
        for path in PATHS {
            for is_tls in [true, false] {
                let url = url(is_tls, host, path);
                let field = field(&jar, &url);
                let mut sent = field.split("; ").filter(|pair| !pair.is_empty());
                let expected = model.sent(is_tls, host, path);
                // Among those with paths of one length, the order is open.
                for group in expected.chunk_by(|one, other| one.path.len() == other.path.len()) {
                    let mut pairs: Vec<_> = sent.by_ref().take(group.len()).collect();
                    let mut wanted: Vec<_> = group
                        .iter()
                        .map(|cookie| format!("{}={}", cookie.name, cookie.value))
                        .collect();
                    pairs.sort_unstable();
                    wanted.sort_unstable();
                    assert_eq!(pairs, wanted, "{url}");
                }
                assert_eq!(sent.next(), None, "{url}");
            }
        }
    }
    check_file(&jar);
}

/// Any text.
fn check_text(mut input: Input<'_>) {
    let jar = CookieJar::new();
    let is_tls = input.byte() % 2 == 0;
    while !input.is_empty() {
        let text = String::from_utf8_lossy(input.string()).into_owned();
        jar.set(&url(is_tls, "www.a.co.uk", "/a/b"), &text);
    }
    for host in HOSTS {
        for path in PATHS {
            for is_tls in [true, false] {
                let field = field(&jar, &url(is_tls, host, path));
                let is_own = host == "a.co.uk";
                assert!(is_own || field.is_empty(), "{host}: {field}");
                assert!(!field.chars().any(|c| c.is_ascii_control()));
            }
        }
    }
    let plain = CookieJar::new();
    plain.read(&jar.to_netscape(), None);
    if is_tls {
        assert!(plain.len() == jar.len());
    }
    check_file(&jar);
}

/// Any file.
fn check_any_file(input: Input<'_>) {
    let jar = CookieJar::new();
    let text = String::from_utf8_lossy(input.0);
    let count = jar.read(&text, Some("https://a.example/"));
    assert!(count <= text.lines().count() && jar.len() <= count);
    check_file(&jar);
    jar.forget_session();
    check_file(&jar);
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    match input.byte() % 4 {
        0 => check_text(input),
        1 => check_any_file(input),
        _ => check_rules(input),
    }
});
