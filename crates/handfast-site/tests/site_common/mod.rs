//! Sites on a server under test, asked by curl over both versions of HTTP.

#![allow(dead_code, unreachable_pub, missing_docs)]

#[path = "../../../handfast-https/tests/server_common/mod.rs"]
pub mod server_common;
#[cfg(unix)]
pub mod uploads;

use std::fs;
use std::path::Path;

use handfast::{ClientAuth, TrustAnchors};
use handfast_files::Files;
use handfast_site::{Site, SiteTable, Sites};
use handfast_testbed::launch::Program;
use handfast_testbed::pki::Pki;

pub use self::server_common::{Fixture, Setup};

/// The names of the server's certificate.
pub const NAMES: [&str; 6] = [
    "localhost",
    "127.0.0.1",
    "a.example",
    "b.example",
    "*.b.example",
    "strict.example",
];

pub const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];

/// A server of a certificate for all names, which asks for client certificates and does not need any.
pub fn setup() -> Setup {
    Setup {
        context: Box::new(|pki, builder| {
            builder
                .identity(server_common::identity(&pki.server(&NAMES)))
                .client_auth(ClientAuth::Optional(anchors(pki)))
        }),
        ..Setup::default()
    }
}

fn anchors(pki: &Pki) -> TrustAnchors {
    TrustAnchors::empty()
        .with_pem(pki.root.cert_pem().as_bytes())
        .unwrap()
}

/// A server with one site of the files in `public`.
pub fn site(adjust: impl FnOnce(Site, &Path) -> Site) -> Fixture {
    site_with(setup(), adjust)
}

pub fn site_with(setup: Setup, adjust: impl FnOnce(Site, &Path) -> Site) -> Fixture {
    Fixture::start(setup, |directory| {
        let public = directory.join("public");
        fs::create_dir(&public).unwrap();
        let site = Site::new().with_files(Files::new(&public).unwrap());
        let site = adjust(site, directory);
        Sites::new(SiteTable::new().with_default(site).unwrap())
    })
}

/// What curl got.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Got {
    /// The values of a header field.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// Whether a browser takes it for what its type says, and lets it load and run nothing.
    pub fn is_harmless(&self) -> bool {
        let policy = self.field("content-security-policy").unwrap_or_default();
        self.field("x-content-type-options") == Some("nosniff")
            && policy.starts_with("default-src 'none'")
            && !policy.contains("unsafe")
    }

    /// The value of a header field that is there once.
    pub fn field(&self, name: &str) -> Option<&str> {
        match self.fields(name)[..] {
            [value] => Some(value),
            [] => None,
            _ => panic!("{name} more than once: {}", self.head),
        }
    }
}

/// Asks for a URL with these arguments; `None` without curl.
pub fn curl<S: AsRef<std::ffi::OsStr>>(server: &Fixture, args: &[S]) -> Option<Got> {
    let port = server.address.port();
    let mut curl = Program::new("curl")?
        .args(["-sS", "--path-as-is", "--cacert"])
        .arg(&server.ca_file)
        // The last head is the response's; the body follows it.
        .args(["-D", "-", "-w", "\n%{http_code}"]);
    for name in ["a.example", "b.example", "x.b.example", "strict.example"] {
        curl = curl.args(["--resolve", &format!("{name}:{port}:127.0.0.1")]);
    }
    // Otherwise the head comes twice.
    if args.iter().any(|arg| arg.as_ref() == "-I") {
        curl = curl.args(["-o", "/dev/null"]);
    }
    let finished = curl.args(args).run();
    let out = finished.out();
    assert!(!finished.timed_out && !out.is_empty(), "{finished}");
    let (rest, status) = out.rsplit_once('\n').unwrap();
    let mut rest = rest;
    let mut head = String::new();
    while rest.starts_with("HTTP/") {
        let (this, after) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
        head = this.to_owned();
        rest = after;
    }
    Some(Got {
        status: status.parse().unwrap(),
        head,
        body: rest.to_owned(),
    })
}
