//! `handfast serve` with a configuration file: what it serves to which clients, and what it reports about a file before it starts.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use handfast::{ClientContext, Identity, Passphrase, TrustAnchors};
use handfast_testbed::launch::{Finished, Program, Running, free_address};
use handfast_testbed::pki::{DAY_SECS, Issued, Pki, Spec, now_secs, pem};

const PATIENCE: Duration = Duration::from_secs(20);

struct Place {
    base: tempfile::TempDir,
    pki: Pki,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            base: tempfile::tempdir().unwrap(),
            pki: Pki::new(),
        };
        for name in ["public", "shop", "staff"] {
            fs::create_dir(place.path(name)).unwrap();
            fs::write(place.path(name).join("f.txt"), name).unwrap();
        }
        fs::write(place.path("root.pem"), place.pki.root.cert_pem()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    /// `NAME.pem` and `NAME.key` for these names.
    fn certificate(&self, file: &str, names: &[&str]) {
        self.write(file, &self.pki.server(names));
    }

    fn write(&self, file: &str, issued: &Issued) {
        let files = issued.write(self.base.path(), file, &[]);
        fs::rename(files.chain_pem, self.path(&format!("{file}.pem"))).unwrap();
        fs::rename(files.key_pem, self.path(&format!("{file}.key"))).unwrap();
    }

    fn configure(&self, text: &str) {
        fs::write(self.path("handfast.toml"), text).unwrap();
    }

    fn program(&self, more: &[&str]) -> Program {
        Program::at(env!("CARGO_BIN_EXE_handfast"))
            .args(["serve", "--config"])
            .arg(self.path("handfast.toml"))
            .args(more)
            .env("HANDFAST_CA_DIR", self.path("ca"))
    }

    fn run(&self, more: &[&str]) -> Finished {
        self.program(more).run()
    }

    fn serve(&self) -> (Running, u16) {
        let running = self.program(&[]).start();
        let port = running.wait_until(PATIENCE, |said| {
            let (_, rest) = said.split_once("listening on https://127.0.0.1:")?;
            rest.split_once("/\n")?.0.parse().ok()
        });
        let port = port.unwrap_or_else(|| panic!("{}", running.output()));
        (running, port)
    }

    fn client(&self, certificate: Option<&str>) -> ClientContext {
        let anchors = TrustAnchors::empty().with_file(self.path("root.pem"));
        let mut builder = ClientContext::builder().trust(anchors.unwrap());
        if let Some(name) = certificate {
            let (chain, key) = (format!("{name}.pem"), format!("{name}.key"));
            let identity =
                Identity::from_files(self.path(&chain), self.path(&key), Passphrase::none());
            builder = builder.identity(identity.unwrap());
        }
        builder.build().unwrap()
    }
}

/// The reply to a request for `host` over a connection that asked for `name`: status and body.
fn ask(client: &ClientContext, port: u16, name: &str, host: &str) -> Result<String, String> {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = client
        .secure(name, socket)
        .map_err(|failure| format!("{failure:?}"))?;
    let request = format!("GET /f.txt HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .map_err(|error| format!("{error:?}"))?;
    let mut reply = String::new();
    let read = stream.read_to_string(&mut reply);
    read.map_err(|error| format!("{error:?}"))?;
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    Ok(format!("{status} {}", body.trim_end()))
}

const SITES: &str = r#"
[[listener]]
address = "127.0.0.1:0"

[[site]]
root = "public"
[[site.certificate]]
chain = "default.pem"
key = "default.key"

[[site]]
names = ["shop.example", "*.shop.example"]
root = "shop"
[[site.certificate]]
chain = "shop.pem"
key = "shop.key"

[[site]]
names = ["staff.example"]
root = "staff"
[[site.certificate]]
chain = "staff.pem"
key = "staff.key"
[site.client_auth]
ca = "root.pem"
"#;

fn sites() -> Place {
    let place = Place::new();
    place.certificate("default", &["localhost", "other.example"]);
    place.certificate("shop", &["shop.example", "*.shop.example"]);
    place.certificate("staff", &["staff.example"]);
    place.write("ann", &place.pki.client("ann"));
    place.configure(SITES);
    place
}

#[test]
fn sites_are_chosen_by_name_and_each_has_its_certificate_and_its_clients() {
    let place = sites();
    let (running, port) = place.serve();
    let anyone = place.client(None);
    let ann = place.client(Some("ann"));
    for (name, host, expected) in [
        ("localhost", "localhost", "200 public"),
        ("other.example", "other.example:8443", "200 public"),
        ("shop.example", "shop.example", "200 shop"),
        ("www.shop.example", "www.shop.example", "200 shop"),
        // One site, two of its names.
        ("www.shop.example", "shop.example", "200 shop"),
        // A connection of one site does not lead into another.
        ("shop.example", "localhost", "421"),
        ("localhost", "staff.example", "421"),
    ] {
        let said = ask(&anyone, port, name, host);
        let said = said.unwrap_or_else(|error| panic!("{name}: {error}: {}", running.output()));
        assert!(said.starts_with(expected), "{name}, {host}: {said}");
    }
    // Only that site demands certificates.
    let refused = ask(&anyone, port, "staff.example", "staff.example").unwrap_err();
    assert!(refused.contains("Certificate"), "{refused}");
    let said = ask(&ann, port, "staff.example", "staff.example");
    assert_eq!(said.as_deref(), Ok("200 staff"));
    let output = running.output();
    assert!(output.contains("--resolve shop.example:"), "{output}");
}

#[test]
fn a_check_of_what_is_right_creates_nothing() {
    let place = sites();
    let checked = place.run(&["--check"]);
    assert!(checked.succeeded(), "{checked}");
    assert_eq!(checked.out(), "nothing is wrong: 3 sites\n");
    // Neither does one for a site that would get its certificate from the local authority.
    place.configure("[[site]]\nroot = \"public\"\n[log]\naudit = \"audit.jsonl\"\n");
    let checked = place.run(&["--check"]);
    assert!(checked.succeeded(), "{checked}");
    assert!(
        checked.err().contains("no local authority yet"),
        "{checked}"
    );
    for name in ["ca", "audit.jsonl"] {
        assert!(!place.path(name).exists(), "{name}");
    }
}

#[test]
fn a_check_says_what_a_start_says_and_neither_makes_a_file() {
    let place = sites();
    let site = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[site]]\nroot = \"public\"\n";
    let certificate = "[[site.certificate]]\nchain = \"shop.pem\"\nkey = \"shop.key\"\n";
    let key_log = "[tls]\nkey_log = \"keys.log\"\n";
    let audit = "[log]\naudit = \"audit.jsonl\"\n";
    let upload = "[[site.upload]]\ndirectory = \"none\"\n";
    for (text, expected) in [
        (
            format!("{key_log}{audit}{site}{certificate}{upload}"),
            &["none cannot be uploaded to"][..],
        ),
        (
            format!("{key_log}{audit}{site}{certificate}{upload}").replace("public", "nowhere"),
            &["nowhere does not exist", "none cannot be uploaded to"],
        ),
        // The certificate has *.shop.example.
        (
            format!("{key_log}{audit}{site}names = [\"a!b.shop.example\"]\n{certificate}"),
            &["a!b.shop.example is not a DNS name"],
        ),
        (
            format!("user = \"no-such-user\"\n{site}{certificate}"),
            &["there is no user or group \"no-such-user\""],
        ),
    ] {
        place.configure(&text);
        let (checked, started) = (place.run(&["--check"]), place.run(&[]));
        for finished in [&checked, &started] {
            assert!(!finished.succeeded(), "{finished}");
            for problem in expected {
                assert!(finished.err().contains(problem), "{problem}: {finished}");
            }
            for name in ["keys.log", "audit.jsonl"] {
                assert!(!place.path(name).exists(), "{name}: {finished}");
            }
        }
        let last = format!("handfast: the check found {}", expected.len());
        assert!(
            checked.err().contains(&last) || expected.len() == 1,
            "{checked}"
        );
    }
}

#[test]
fn a_check_does_not_renew_the_list_of_the_local_authority() {
    let place = sites();
    let program =
        || Program::at(env!("CARGO_BIN_EXE_handfast")).env("HANDFAST_CA_DIR", place.path("ca"));
    assert!(program().args(["ca", "init"]).run().succeeded());
    let list = place.path("ca/crl.pem");
    let _ = fs::remove_file(&list);
    place.configure("[[site]]\nroot = \"public\"\n[site.client_auth]\nca = \"local\"\n");
    let checked = place.run(&["--check"]);
    assert!(checked.succeeded(), "{checked}");
    assert!(!list.exists());
}

#[test]
fn a_check_finds_everything_that_is_wrong() {
    let place = sites();
    let expired = Spec::server(&["old.example"]).expired();
    place.write("old", &place.pki.root.issue(expired));
    let list = place
        .pki
        .root
        .crl_between(&[], now_secs() - 9 * DAY_SECS, now_secs() - DAY_SECS);
    fs::write(place.path("old.crl"), pem("X509 CRL", &list)).unwrap();
    place.configure(
        r#"
[[site]]
names = ["a.example"]
root = "missing"
[[site.certificate]]
chain = "shop.pem"
key = "staff.key"

[[site]]
names = ["shop.example", "b.example"]
root = "shop"
[[site.certificate]]
chain = "shop.pem"
key = "shop.key"

[[site]]
names = ["old.example"]
root = "shop/f.txt"
[[site.certificate]]
chain = "old.pem"
key = "old.key"
[site.client_auth]
ca = "root.pem"
crl = ["old.crl", "missing.crl"]

[[site]]
names = ["c.example"]
root = "staff"
[[site.certificate]]
chain = "staff.pem"
key = "staff.key"
[site.client_auth]
ca = "staff/f.txt"
crl = ["old.crl"]

[[site]]
names = ["d.example"]
root = "staff"
[[site.certificate]]
chain = "staff.pem"
key = "staff.key"
[site.client_auth]
ca = "root.pem"
crl = ["old.crl"]
"#,
    );
    let checked = place.run(&["--check"]);
    assert!(!checked.succeeded(), "{checked}");
    let said = checked.err();
    for (line, what) in [
        (4, "directory"),
        (7, "key"),
        (10, "no certificate of this site is for b.example"),
        (18, "is not a directory"),
        (20, "the certificate expired on"),
        (24, "missing.crl"),
        (27, "no certificate of this site is for c.example"),
        (33, "f.txt"),
        (37, "no certificate of this site is for d.example"),
        (43, "out of date"),
    ] {
        let place = format!("handfast.toml:{line}:");
        let found = said
            .lines()
            .any(|text| text.contains(&place) && text.contains(what));
        assert!(found, "{line}: {what}: {said}");
    }
    assert!(said.contains("the check found 10 problems"), "{said}");
    // A server does not start with it, and says the same.
    let served = place.run(&[]);
    assert!(!served.succeeded());
    assert!(served.err().contains("handfast.toml:10:"), "{served}");
}

/// Mistakes in the file hide nothing else that is wrong, and are not told again as what follows from them.
#[test]
fn a_check_goes_on_after_mistakes_in_the_file() {
    let place = sites();
    place.configure(
        r#"
trheads = 2
grace = "soon"
[limits]
idel = "1m"
[[site]]
names = ["shop.example"]
rot = "nosuch"
[[site]]
names = ["staff.example", "shop.example"]
root = "nosuch"
[[site.certificate]]
chain = "staff.pem"
key = "shop.key"
[[site]]
names = ["staff.example"]
root = "public"
[[site.certificate]]
chain = "staff.pem"
key = "staff.key"
"#,
    );
    let checked = place.run(&["--check"]);
    assert!(!checked.succeeded(), "{checked}");
    let said = checked.err();
    let mut places = Vec::new();
    for (line, what) in [
        (2, "trheads"),
        (3, "length of time"),
        (5, "idel"),
        (8, "rot"),
        (11, "directory"),
        (14, "key"),
        (16, "staff.example"),
    ] {
        let place = format!("handfast.toml:{line}:");
        let found = said
            .lines()
            .any(|text| text.contains(&place) && text.contains(what));
        assert!(found, "{line}: {what}: {said}");
        places.push(place);
    }
    let told = said.lines().filter(|line| line.starts_with("handfast: /"));
    assert!(
        told.clone()
            .all(|line| places.iter().any(|place| line.contains(place))),
        "{said}"
    );
    assert!(said.contains("the check found 7 problems"), "{said}");
    assert!(
        said.contains("not checked until this is corrected: sites and tables"),
        "{said}"
    );
}

#[test]
fn what_is_printed_as_in_force_can_be_served() {
    let place = sites();
    let printed = place.run(&["--print-config", "--threads", "3", "--quiet"]);
    assert!(printed.succeeded(), "{printed}");
    place.configure(&printed.out());
    let again = place.run(&["--print-config"]);
    assert_eq!(again.out(), printed.out());
    assert!(again.out().contains("threads = 3"), "{again}");
    let (running, port) = place.serve();
    let said = ask(&place.client(None), port, "shop.example", "shop.example");
    assert_eq!(said.as_deref(), Ok("200 shop"), "{}", running.output());
}

#[test]
fn without_a_default_site_other_names_are_refused_in_the_handshake() {
    let place = sites();
    let (_, named) = SITES.split_once("[[site]]\nnames").unwrap();
    place.configure(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[site]]\nnames{named}"
    ));
    let (_running, port) = place.serve();
    let anyone = place.client(None);
    let said = ask(&anyone, port, "shop.example", "shop.example");
    assert_eq!(said.as_deref(), Ok("200 shop"));
    let refused = ask(&anyone, port, "other.example", "other.example").unwrap_err();
    assert!(refused.contains("NameUnrecognised"), "{refused}");
}

#[test]
fn plain_http_is_redirected_to_the_port_for_https() {
    let place = sites();
    let https = free_address();
    place.configure(&format!(
        "[[listener]]\naddress = \"{https}\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\nkind = \"redirect\"\n\
         [[site]]\nroot = \"public\"\n\
         [[site.certificate]]\nchain = \"default.pem\"\nkey = \"default.key\"\n"
    ));
    let running = place.program(&[]).start();
    let plain: Option<String> = running.wait_until(PATIENCE, |said| {
        let (_, rest) = said.split_once("redirecting http://")?;
        Some(rest.split_once("/ to https")?.0.to_owned())
    });
    let plain = plain.unwrap_or_else(|| panic!("{}", running.output()));
    let mut socket = TcpStream::connect(plain).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
        .write_all(b"GET /f.txt?a=b HTTP/1.1\r\nHost: localhost:80\r\n\r\n")
        .unwrap();
    let mut reply = String::new();
    socket.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 308 "), "{reply}");
    let location = format!(
        "\r\nLocation: https://localhost:{}/f.txt?a=b\r\n",
        https.port()
    );
    assert!(reply.contains(&location), "{reply}");
    running.expect_output(
        &format!(
            "\"GET /f.txt?a=b HTTP/1.1\" 308 to https://localhost:{}/f.txt?a=b ",
            https.port()
        ),
        PATIENCE,
    );
}

#[test]
fn what_is_cut_because_of_its_address_is_logged_with_the_limit() {
    let place = sites();
    place.configure(
        "[limits]\nrequests_per_address = \"1/s\"\n\
         [log]\naudit = \"audit.jsonl\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[site]]\nroot = \"public\"\n\
         [[site.certificate]]\nchain = \"default.pem\"\nkey = \"default.key\"\n",
    );
    let (running, port) = place.serve();
    let anyone = place.client(None);
    let deadline = std::time::Instant::now() + PATIENCE;
    while ask(&anyone, port, "localhost", "localhost").is_ok_and(|said| !said.starts_with("429 ")) {
        assert!(std::time::Instant::now() < deadline, "{}", running.output());
    }
    running.expect_output("limit requests_per_address: ", PATIENCE);
    let audit = loop {
        let audit = fs::read_to_string(place.path("audit.jsonl")).unwrap_or_default();
        if audit.contains("address-limited") {
            break audit;
        }
        assert!(std::time::Instant::now() < deadline, "{audit}");
    };
    assert!(
        audit.contains("\"limit\":\"requests\"") && audit.contains("\"address\":\"127.0.0.1\""),
        "{audit}"
    );
}

#[test]
fn a_certificate_for_all_sites_serves_those_that_have_none() {
    let place = sites();
    place.certificate("all", &["one.example", "two.example"]);
    place.configure(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[tls.certificate]]\nchain = \"all.pem\"\nkey = \"all.key\"\n\
         [[site]]\nnames = [\"one.example\"]\nroot = \"shop\"\n\
         [[site]]\nnames = [\"two.example\"]\nroot = \"staff\"\n",
    );
    let (_running, port) = place.serve();
    let anyone = place.client(None);
    for (name, expected) in [("one.example", "200 shop"), ("two.example", "200 staff")] {
        let said = ask(&anyone, port, name, name);
        assert_eq!(said.as_deref(), Ok(expected), "{name}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_said_with_its_name() {
    let place = Place::new();
    for (make, id) in [
        (None, "configuration-unreadable"),
        (Some(vec![b'#'; 5 << 20]), "configuration-unreadable"),
        (Some(b"threads = \xff".to_vec()), "configuration-invalid"),
    ] {
        if let Some(content) = make {
            fs::write(place.path("handfast.toml"), content).unwrap();
        }
        let finished = place.run(&[]);
        assert!(!finished.succeeded(), "{finished}");
        let said = finished.err();
        assert!(said.contains(id), "{said}");
        assert!(said.contains("handfast.toml"), "{said}");
    }
}

#[test]
fn the_schema_that_is_printed_is_the_documented_one() {
    let printed = Program::at(env!("CARGO_BIN_EXE_handfast"))
        .args(["serve", "--schema"])
        .run();
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/handfast.schema.json"
    );
    assert_eq!(printed.out(), fs::read_to_string(path).unwrap());
}

/// What serves and will not do what was meant.
#[test]
fn a_check_finds_pages_that_are_missing_keys_that_others_change_and_logs_without_a_directory() {
    let place = Place::new();
    place.certificate("main", &["localhost"]);
    let certificate = "[[tls.certificate]]\nchain = \"main.pem\"\nkey = \"main.key\"\n";
    let page = |text: &str| format!("[[site]]\nroot = \"public\"\n{text}{certificate}");
    let fallback = page("fallback = \"/index.html\"\n");
    let error = page("[[site.error_page]]\nfile = \"nope.html\"\n");
    let outside = page("[[site.error_page]]\nstatus = 404\nfile = \"../root.pem\"\n");
    let log = format!("[log]\nto = \"nolog/x\"\naudit = \"nolog/y\"\n{}", page(""));
    for (text, expected) in [
        (
            &fallback,
            &["handfast.toml:3:12: there is no file", "navigations"][..],
        ),
        (
            &error,
            &["handfast.toml:4:8: there is no file", "public/nope.html"],
        ),
        (&outside, &["handfast.toml:5:8: ../root.pem is not beneath"]),
        (&log, &["handfast.toml:2:6: ", "handfast.toml:3:9: "]),
    ] {
        place.configure(text);
        let checked = place.run(&["--check"]);
        assert!(!checked.succeeded(), "{checked}");
        for expected in expected {
            assert!(checked.err().contains(expected), "{expected}: {checked}");
        }
    }
    // A start says it, too, and serves.
    place.configure(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n{fallback}"
    ));
    let (server, _) = place.serve();
    server.expect_output("navigations to paths that do not exist get 404", PATIENCE);
    drop(server);
    place.configure(&log);
    let refused = place.run(&[]);
    assert!(refused.err().contains("handfast.toml:2:6: "), "{refused}");

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        place.configure(&page(""));
        for (mode, succeeds, expected) in [
            (0o600, true, ""),
            (0o640, true, ""),
            (
                0o644,
                true,
                "every user of this machine can read the private key",
            ),
            (
                0o666,
                false,
                "other users of this machine can change the private key",
            ),
        ] {
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(place.path("main.key"), permissions).unwrap();
            let checked = place.run(&["--check"]);
            assert_eq!(checked.succeeded(), succeeds, "{checked}");
            assert!(checked.err().contains(expected), "{checked}");
            assert!(
                !expected.is_empty() || checked.err().is_empty(),
                "{checked}"
            );
        }
    }
}

#[test]
fn a_listing_shows_as_many_entries_as_are_configured() {
    let place = Place::new();
    place.certificate("main", &["localhost"]);
    for number in 0..7 {
        fs::write(place.path("public").join(format!("{number}.txt")), "").unwrap();
    }
    place.configure(
        "[limits]\nlisting_entries_max = 5\ncompressed_bytes_max = \"1MiB\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[tls.certificate]]\nchain = \"main.pem\"\nkey = \"main.key\"\n[[site]]\nroot = \"public\"\n",
    );
    let (_server, port) = place.serve();
    let url = format!("https://localhost:{port}/");
    let fetched = Program::at(env!("CARGO_BIN_EXE_handfast"))
        .args(["get", "--cacert"])
        .arg(place.path("root.pem"))
        .arg(url)
        .run();
    assert!(fetched.out().contains("and 3 more"), "{fetched}");
    let printed = place.run(&["--print-config"]);
    for key in [
        "listing_entries_max = 5\n",
        "compressed_bytes_max = \"1MiB\"\n",
    ] {
        assert!(printed.out().contains(key), "{printed}");
    }
}

#[test]
fn what_clients_store_is_not_served_by_a_site_that_does_not_know_of_it() {
    let place = sites();
    fs::create_dir_all(place.path("public/in/deep")).unwrap();
    let site = |name: &str, root: &str, upload: &str| {
        let upload = match upload {
            "" => String::new(),
            directory => format!("[[site.upload]]\ndirectory = \"{directory}\"\n"),
        };
        format!(
            "[[site]]\nroot = \"{root}\"\nnames = [\"{name}\"]\n{upload}[[site.certificate]]\nchain = \"default.pem\"\nkey = \"default.key\"\n"
        )
    };
    let (one, other) = ("localhost", "other.example");
    #[cfg(unix)]
    {
        // By a link in another site, too, of which nothing can be told beforehand.
        fs::write(place.path("public/in/f"), "stored").unwrap();
        std::os::unix::fs::symlink(place.path("public/in"), place.path("shop/link")).unwrap();
        let following = "follow_links = true\nnames";
        let following = site("other.localhost", "shop", "").replace("names", following);
        place.configure(&format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n{}{following}",
            site(one, "public", "public/in")
        ));
        place.certificate("default", &[one, "other.localhost"]);
        let (_server, port) = place.serve();
        for (url, expected) in [
            (format!("https://{one}:{port}/in/f"), "HTTP/2.0 200"),
            (
                format!("https://other.localhost:{port}/f.txt"),
                "HTTP/2.0 200",
            ),
            (
                format!("https://other.localhost:{port}/link/f"),
                "HTTP/2.0 404",
            ),
        ] {
            let fetched = Program::at(env!("CARGO_BIN_EXE_handfast"))
                .args(["get", "-i", "--cacert"])
                .arg(place.path("root.pem"))
                .arg(&url)
                .run();
            assert!(fetched.out().starts_with(expected), "{url}: {fetched}");
        }
        place.certificate("default", &[one, other]);
    }
    let served = "the site other.example serves this directory at /";
    for (sites, expected) in [
        (
            [site(one, "public", "public/in"), site(other, "public", "")],
            Some(served),
        ),
        (
            [site(one, "shop", "public/in"), site(other, "public/in", "")],
            Some(served),
        ),
        (
            [
                site(one, "public", "public/in"),
                site(other, "public/in/deep", ""),
            ],
            Some("the root of the site other.example lies beneath"),
        ),
        (
            [
                site(one, "public", "public/in"),
                site(other, "public", "public/in"),
            ],
            None,
        ),
        (
            [site(one, "public", "public/in"), site(other, "shop", "")],
            None,
        ),
    ] {
        place.configure(&format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n{}",
            sites.concat()
        ));
        let checked = place.run(&["--check"]);
        match expected {
            None => assert!(checked.succeeded(), "{checked}"),
            Some(expected) => {
                assert!(!checked.succeeded(), "{checked}");
                assert!(checked.err().contains(expected), "{expected}: {checked}");
            }
        }
    }
}
