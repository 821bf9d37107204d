//! nginx, Caddy, h2o, Apache httpd and Python's http.server: the same requests of all of them, over both versions of HTTP.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;

use handfast_testbed::launch::Finished;
use handfast_testbed::servers::{Ability, Kind, Served, WebServer};

use crate::common::Fixture;

/// Larger than every buffer on the way, and than HTTP/2's windows.
const BIG_BYTES: usize = 50 * 1024 * 1024;

/// A server, what it serves, and one version of HTTP to ask it in.
struct Site<'f> {
    fixture: &'f Fixture,
    server: &'f WebServer,
    root: PathBuf,
    version: &'static str,
}

impl Fixture {
    /// The directory that servers serve.
    pub(super) fn served_directory(&self) -> PathBuf {
        let root = self.path("www");
        for directory in [&root, &root.join("locked"), &root.join("digest")] {
            fs::create_dir_all(directory).unwrap();
            fs::write(directory.join("a.txt"), "hello\n").unwrap();
        }
        fs::write(root.join("empty"), "").unwrap();
        let page: String = (0..500).map(|n| format!("<p>line {n}</p>\n")).collect();
        fs::write(root.join("page.html"), page).unwrap();
        root
    }

    /// This server with those files; `None` where it is not installed.
    pub(super) fn web_server(&self, kind: Kind) -> Option<WebServer> {
        let root = self.served_directory();
        let served = Served {
            root: &root,
            chain: &self.chain,
            key: &self.key,
            clients: &self.ca,
        };
        WebServer::launch(kind, self.directory(), &served)
    }
}

impl Site<'_> {
    fn get(&self, args: &[&str], path: &str) -> Finished {
        let url = self.server.url(path);
        let args = [self.version].into_iter().chain(args.iter().copied());
        self.fixture.get(args.chain([url.as_str()]))
    }

    /// What it printed, if it succeeded.
    #[track_caller]
    fn out(&self, args: &[&str], path: &str) -> String {
        let finished = self.get(args, path);
        self.check(finished.succeeded(), args, path, &finished);
        finished.out()
    }

    #[track_caller]
    fn code(&self, args: &[&str], path: &str, expected: i32) {
        let finished = self.get(args, path);
        self.check(finished.code == Some(expected), args, path, &finished);
    }

    #[track_caller]
    fn check(&self, is_right: bool, args: &[&str], path: &str, finished: &Finished) {
        let (kind, version) = (self.server.kind(), self.version);
        assert!(is_right, "{kind:?} {version} {args:?} {path}: {finished}");
    }

    fn file(&self, name: &str) -> String {
        self.fixture.path(name).display().to_string()
    }

    fn reads(&self) {
        assert_eq!(self.out(&[], "/a.txt"), "hello\n");
        assert_eq!(self.out(&[], "/empty"), "");
        let head = self.out(&["-I"], "/a.txt").to_lowercase();
        assert!(
            head.contains("content-length: 6") && !head.contains("hello"),
            "{head}"
        );
        assert_eq!(self.out(&["-r", "1-3"], "/a.txt"), "ell");
        assert_eq!(self.out(&["-r", "-3"], "/a.txt"), "lo\n");
        self.code(&[], "/none", 0);
        self.code(&["-f"], "/none", 22);
        assert_eq!(self.out(&["-L"], "/moved"), "hello\n");
        assert_eq!(
            self.out(&["-o", &self.file("moved"), "-w", "%{http_code}"], "/moved"),
            "302"
        );
    }

    fn keeps_connections(&self) {
        let url = self.server.url("/a.txt");
        let twice = self.out(&["-w", "%{num_connects} ", &url], "/a.txt");
        assert_eq!(twice, "hello\n1 hello\n0 ");
        let many = self.out(&["-Z", &url, &url, &url], "/a.txt");
        assert_eq!(many, "hello\n".repeat(4));
    }

    fn asks_for_what_is_new(&self) {
        let body = self.file("conditional");
        let with = |more: &[&str]| -> String {
            let status = ["-o", &body, "-R", "-w", "%{http_code} %header{etag}"];
            let args: Vec<_> = status.iter().chain(more).copied().collect();
            self.out(&args, "/a.txt")
        };
        let first = with(&[]);
        let Some(("200", tag)) = first.split_once(' ') else {
            panic!("{:?}: {first}", self.server.kind());
        };
        let known = format!("If-None-Match: {tag}");
        assert!(with(&["-H", &known]).starts_with("304"), "{known}");
        assert!(with(&["-z", &body]).starts_with("304"));
        assert_eq!(fs::read_to_string(&body).unwrap(), "hello\n");
    }

    fn decodes(&self) {
        let page = fs::read_to_string(self.root.join("page.html")).unwrap();
        let coding = ["-w", "%{stderr}%header{content-encoding}"];
        let plain = self.get(&coding, "/page.html");
        assert_eq!(
            (plain.out(), plain.err().as_str()),
            (page.clone(), ""),
            "{plain}"
        );
        let coded = self.get(&["--compressed", coding[0], coding[1]], "/page.html");
        self.check(coded.out() == page, &["--compressed"], "/page.html", &coded);
        assert!(matches!(coded.err().as_str(), "gzip" | "br"), "{coded}");
        if self.version == "--http1.1" && self.server.kind() == Kind::Python {
            assert_eq!(self.out(&[], "/chunked"), "hello world");
        }
    }

    fn downloads(&self) {
        let whole = fs::read(self.root.join("big")).unwrap();
        let file = self.file("downloaded");
        let _ = fs::remove_file(&file);
        self.code(&["-o", &file], "/big", 0);
        assert!(
            fs::read(&file).unwrap() == whole,
            "{:?}",
            self.server.kind()
        );
        // What another program has left of it.
        fs::write(&file, &whole[..BIG_BYTES - 70_000]).unwrap();
        let resumed = self.out(
            &[
                "-C",
                "-",
                "-o",
                &file,
                "-w",
                "%{http_code} %{size_download}",
            ],
            "/big",
        );
        assert!(
            fs::read(&file).unwrap() == whole,
            "{:?}",
            self.server.kind()
        );
        assert_eq!(resumed, "206 70000", "{:?}", self.server.kind());
    }

    fn sends(&self) {
        let kind = self.server.kind();
        if kind.can(Ability::Post) {
            assert_ne!(self.out(&["-d", "POST"], "/post"), "");
        }
        if !kind.can(Ability::Put) {
            return;
        }
        let text = "0123456789\n".repeat(20_000);
        let sent = self.fixture.write("sent", &text).display().to_string();
        for (n, more) in [&[][..], &["-H", "Expect: 100-continue"], &["-H", "Expect:"]]
            .into_iter()
            .enumerate()
        {
            let path = format!("/put/{n}{}", self.version);
            let args: Vec<_> = ["-f", "-T", &sent].iter().chain(more).copied().collect();
            self.out(&args, &path);
            assert_eq!(self.out(&[], &path), text, "{kind:?} {more:?}");
        }
        // A body of which the length is not known.
        let path = format!("/put/stdin{}", self.version);
        let program = self.fixture.client("get").stdin(text.clone());
        let args = [self.version, "-f", "-T", "-"];
        let finished = program.args(args).arg(self.server.url(&path)).run();
        self.check(finished.succeeded(), &args, &path, &finished);
        assert_eq!(self.out(&[], &path), text, "{kind:?}");
    }

    fn shows_who_asks(&self) {
        let kind = self.server.kind();
        for (ability, option, path) in [
            (Ability::Basic, "--basic", "/locked/a.txt"),
            (Ability::Digest, "--digest", "/digest/a.txt"),
            (Ability::Digest, "--anyauth", "/digest/a.txt"),
        ] {
            if kind.can(ability) {
                assert_eq!(self.out(&[option, "-u", "al:s3cret"], path), "hello\n");
                self.code(&["-f", option, "-u", "al:wrong"], path, 22);
                self.code(&["-f"], path, 22);
            }
        }
        if !kind.can(Ability::ClientCertificates) {
            return;
        }
        let client = self
            .fixture
            .files("client", &self.fixture.pki.client("ada"));
        let url = self.server.certified_url("/a.txt");
        let with = |more: &[&str]| {
            let args = [self.version, "-f", &url];
            self.fixture.get(args.iter().chain(more).copied())
        };
        let chain = client.chain_pem.display().to_string();
        let key = client.key_pem.display().to_string();
        let known = with(&["-E", &chain, "--key", &key]);
        assert_eq!(
            (known.code, known.out().as_str()),
            (Some(0), "hello\n"),
            "{kind:?}: {known}"
        );
        // nginx shakes hands all the same, and answers 400.
        let unknown = with(&[]);
        assert!(
            matches!(unknown.code, Some(22 | 35 | 56)),
            "{kind:?}: {unknown}"
        );
    }
}

#[test]
fn five_servers_answer_alike() {
    let mut failed = Vec::new();
    for kind in Kind::ALL {
        let fixture = Fixture::new();
        let Some(server) = fixture.web_server(kind) else {
            continue;
        };
        let root = fixture.served_directory();
        let big: Vec<u8> = (0..BIG_BYTES).map(|n| (n % 251) as u8).collect();
        fs::write(root.join("big"), &big).unwrap();
        let versions: &[_] = match kind.can(Ability::Http2) {
            true => &["--http1.1", "--http2"],
            false => &["--http1.1"],
        };
        for version in versions {
            let site = Site {
                fixture: &fixture,
                server: &server,
                root: root.clone(),
                version,
            };
            let number = match *version {
                "--http2" => "2",
                _ => "1.1",
            };
            let spoken = site.out(&["-o", &site.file("x"), "-w", "%{http_version}"], "/a.txt");
            assert_eq!(spoken, number, "{kind:?}");
            let steps: [(&str, &dyn Fn()); 7] = [
                ("reads", &|| site.reads()),
                ("keeps_connections", &|| site.keeps_connections()),
                ("asks_for_what_is_new", &|| site.asks_for_what_is_new()),
                ("decodes", &|| site.decodes()),
                ("downloads", &|| site.downloads()),
                ("sends", &|| site.sends()),
                ("shows_who_asks", &|| site.shows_who_asks()),
            ];
            // One that fails does not hide the others.
            for (name, step) in steps {
                if panic::catch_unwind(AssertUnwindSafe(step)).is_err() {
                    failed.push(format!("{kind:?} {version} {name}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
