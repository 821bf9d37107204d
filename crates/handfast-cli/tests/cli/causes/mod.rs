//! A table of causes: each produced for real, and what the library, `get` and `inspect` call it.
//!
//! No cause may be reported as another one. Where the wire allows it, TLS 1.2 and 1.3 say the same.

use std::any::Any;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use handfast::{
    Cause, ClientContext, Identity, NetworkCause, Passphrase, RevocationLists, SpkiSha256,
    Timeouts, TrustAnchors,
};
use handfast_testbed::careless::{Careless, version};
use handfast_testbed::launch::{Nginx, OpensslServer, Program, free_address};
use handfast_testbed::misbehaving::{Misbehaving, Served, Step};
use handfast_testbed::pki::{
    Basic, DAY_SECS, ExtendedKeyUsagePurpose, Fault, Issued, Key, KeyUsagePurpose, Pki, Spec,
    now_secs, pem,
};
use serde_json::Value;

use crate::common::Bench;

const NAME: &str = "shop.example";
/// What curl's exit codes mean here.
const HANDSHAKE: i32 = 35;
const PEER: i32 = 60;

/// A peer at work, and whatever keeps it alive.
struct Peer {
    address: SocketAddr,
    _keep: Option<Box<dyn Any>>,
}

impl Peer {
    fn at(address: SocketAddr) -> Self {
        Self {
            address,
            _keep: None,
        }
    }

    fn openssl(server: OpensslServer) -> Self {
        Self {
            address: server.address(),
            _keep: Some(Box::new(server)),
        }
    }
}

impl Bench {
    /// The id that the library gives, through its blocking stream.
    fn library(&self, peer: &Peer, case: &Case) -> Option<&'static str> {
        let mut builder = ClientContext::builder()
            .trust(TrustAnchors::empty().with_file(&self.ca).unwrap())
            .timeouts(Timeouts::all(Duration::from_secs(case.seconds)));
        let mut args = case.args.iter();
        let (mut chain, mut key) = (None, None);
        while let (Some(flag), Some(value)) = (args.next(), args.next()) {
            builder = match flag.as_str() {
                "--crl" => {
                    builder.revocation_lists(RevocationLists::none().with_file(value).unwrap())
                }
                "--pin" => builder.pin(value.parse::<SpkiSha256>().unwrap()),
                "--cert" => {
                    chain = Some(value);
                    builder
                }
                "--key" => {
                    key = Some(value);
                    builder
                }
                other => panic!("{other}"),
            };
        }
        if let (Some(chain), Some(key)) = (chain, key) {
            let identity = match Identity::from_files(chain, key, Passphrase::none()) {
                Ok(identity) => identity,
                Err(error) => return Some(handfast::Error::from(error).explain().id),
            };
            builder = builder.identity(identity);
        }
        let context = builder.alpn(["h2", "http/1.1"]).build().unwrap();
        let Ok(socket) = TcpStream::connect(peer.address) else {
            let refused = context.connect(&peer.address.to_string());
            return refused.err().map(|error| error.explain().id);
        };
        match context.secure(case.name, socket) {
            Err(failure) => Some(failure.error.explain().id),
            // In TLS 1.3 a client learns of its certificate's refusal only when it reads.
            Ok(mut stream) => match stream.read_some(&mut [0; 1024]) {
                Err(error)
                    if matches!(error.cause(), Cause::Network(NetworkCause::TimedOut { .. })) =>
                {
                    None
                }
                Err(error) => Some(error.explain().id),
                Ok(_) => None,
            },
        }
    }

    /// Asks the library and the three commands, and compares. What `get` says, without the port.
    fn check(&self, what: &str, peer: &Peer, case: &Case) -> String {
        let port = peer.address.port();
        let seconds = case.seconds.to_string();
        assert_eq!(
            self.library(peer, case),
            Some(case.library),
            "library: {what}"
        );

        let mut args = case.args.clone();
        args.extend([
            "--connect-timeout".to_owned(),
            seconds.clone(),
            "--resolve".to_owned(),
            format!("{}:{port}:{}", case.name, peer.address.ip()),
            format!("https://{}:{port}/", case.name),
        ]);
        let got = self.run("get", &args);
        assert!(
            got.err().contains(&format!("[{}]", case.probed)),
            "get: {what}: {} {got}",
            case.probed
        );
        assert_eq!(got.code, Some(case.code), "get: {what} {got}");

        let mut args = case.args.clone();
        args.extend([
            "--connect-timeout".to_owned(),
            seconds.clone(),
            "--servername".to_owned(),
            case.name.to_owned(),
            "--alpn".to_owned(),
            "h2,http/1.1".to_owned(),
            peer.address.to_string(),
        ]);
        let connected = self.run("connect", &args);
        assert!(
            connected.err().contains(&format!("[{}]", case.probed)),
            "connect: {what}: {} {connected}",
            case.probed
        );
        assert_eq!(
            connected.code,
            Some(case.code),
            "connect: {what} {connected}"
        );

        let mut args = case.args.clone();
        args.extend([
            "--json".to_owned(),
            "--timeout".to_owned(),
            seconds,
            "--connect-to".to_owned(),
            peer.address.to_string(),
            case.name.to_owned(),
        ]);
        let inspected = self.run("inspect", &args);
        assert_eq!(
            inspected.code,
            Some(case.code),
            "inspect: {what} {inspected}"
        );
        // Our own mistakes end the program before there is anything to report.
        if inspected.stdout.is_empty() {
            let id = format!("[{}]", case.probed);
            assert!(inspected.err().contains(&id), "inspect: {what} {inspected}");
            return got.err();
        }
        let document: Value = serde_json::from_slice(&inspected.stdout).unwrap();
        let found = &document["inspected"][0];
        assert_eq!(
            found["failure"]["id"], case.probed,
            "inspect: {what} {found:#}"
        );
        assert!(
            !found["failure"]["what"]
                .to_string()
                .contains("should not happen"),
            "{what} {found:#}"
        );
        got.err().replace(&port.to_string(), "PORT")
    }
}

/// What is asked for, and what must come of it.
struct Case {
    name: &'static str,
    args: Vec<String>,
    seconds: u64,
    library: &'static str,
    probed: &'static str,
    code: i32,
}

impl Case {
    fn new(id: &'static str, code: i32) -> Self {
        Self {
            name: NAME,
            args: Vec::new(),
            seconds: 5,
            library: id,
            probed: id,
            code,
        }
    }

    fn name(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    fn args(mut self, args: &[&str]) -> Self {
        self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        self
    }

    /// A probe knows better what the server lacks than an alert says.
    fn probed(mut self, id: &'static str) -> Self {
        self.probed = id;
        self
    }

    fn seconds(mut self, seconds: u64) -> Self {
        self.seconds = seconds;
        self
    }
}

/// Checks a chain, with the key of its first certificate, under both protocol versions.
fn chain(bench: &Bench, end_entity: &Issued, issuers: &[&Issued], case: &Case) {
    let told = [&version::TLS12, &version::TLS13].map(|protocol| {
        let careless = Careless::new(end_entity.chain_with(issuers), &end_entity.key_der());
        let peer = Peer::at(careless.serve(protocol, 40));
        let what = format!("{} {:?}", case.library, protocol.version);
        // A second that went by may show in how long something is overdue, and nowhere else.
        without_seconds(&bench.check(&what, &peer, case))
    });
    assert_eq!(told[0], told[1], "the same is told under both versions");
}

/// The text without the seconds of the times in it.
fn without_seconds(text: &str) -> String {
    let clock = "this machine's clock says ";
    text.lines()
        .map(|line| match line.split_once(clock) {
            Some((before, _)) => format!("{before}{clock}\n"),
            None => format!("{line}\n"),
        })
        .collect()
}

fn refused(id: &'static str) -> Case {
    Case::new(id, PEER)
}

#[test]
fn c2_issuers_that_are_missing_unknown_or_no_issuers() {
    let bench = Bench::new();
    let root = &bench.pki.root;
    let server = || Spec::server(&[NAME]);
    let middle = root.issue(Spec::authority("Middle"));
    let foreign = Pki {
        root: Spec::authority("Foreign Root").self_signed(),
    };

    let forgot = middle.issue(server().ca_issuers("http://ca.example/middle.der"));
    chain(&bench, &forgot, &[], &refused("missing-intermediate"));
    chain(
        &bench,
        &foreign.server(&[NAME]),
        &[],
        &refused("unknown-issuer"),
    );
    chain(
        &bench,
        &server().self_signed(),
        &[],
        &refused("self-signed"),
    );
    let openssl_req = Spec::openssl_req(&[NAME]).self_signed();
    chain(&bench, &openssl_req, &[], &refused("self-signed"));
    let stranger = foreign.server(&[NAME]);
    chain(
        &bench,
        &stranger,
        &[&foreign.root],
        &refused("untrusted-root"),
    );
    let proxy = Spec::authority("Zscaler Root CA").self_signed();
    let intercepted = proxy.issue(server());
    chain(&bench, &intercepted, &[], &refused("likely-interception"));
    chain(
        &bench,
        &intercepted,
        &[&proxy],
        &refused("likely-interception"),
    );

    let impostor = root.issue(Spec::server(&["evil.example"]));
    let forged = impostor.issue(server());
    chain(&bench, &forged, &[&impostor], &refused("issuer-not-a-ca"));
    let authority = root.issue(server().basic(Basic::Authority));
    chain(&bench, &authority, &[], &refused("ca-used-as-end-entity"));
    let narrow = root.issue(Spec::authority("Narrow").basic(Basic::AuthorityWithin(0)));
    let below = narrow.issue(Spec::authority("Below"));
    let too_long = below.issue(server());
    chain(
        &bench,
        &too_long,
        &[&below, &narrow],
        &refused("path-too-long"),
    );
    let bound = root.issue(Spec::authority("Bound").permitting(&["other.example"]));
    chain(
        &bench,
        &bound.issue(server()),
        &[&bound],
        &refused("name-constraint"),
    );
    let many = bench.pki.intermediates(7);
    let deep = many.last().unwrap().issue(server());
    let above: Vec<&Issued> = many.iter().rev().collect();
    chain(&bench, &deep, &above, &refused("chain-too-deep"));
    let crowd: Vec<Issued> = (0..33)
        .map(|_| root.issue(Spec::authority("One of many")))
        .collect();
    let crowd: Vec<&Issued> = crowd.iter().collect();
    chain(
        &bench,
        &root.issue(server()),
        &crowd,
        &refused("chain-too-large"),
    );
}

#[test]
fn c2_times_names_and_purposes() {
    let bench = Bench::new();
    let root = &bench.pki.root;
    let server = || Spec::server(&[NAME]);
    let now = now_secs();

    chain(
        &bench,
        &root.issue(server().expired()),
        &[],
        &refused("certificate-expired"),
    );
    let late = root.issue(Spec::authority("Late").expired());
    chain(
        &bench,
        &late.issue(server()),
        &[&late],
        &refused("certificate-expired"),
    );
    let early = root.issue(server().not_yet_valid());
    chain(&bench, &early, &[], &refused("certificate-not-yet-valid"));
    let reversed = root.issue(server().valid_between(now + DAY_SECS, now - DAY_SECS));
    chain(
        &bench,
        &reversed,
        &[],
        &refused("certificate-validity-reversed"),
    );

    let other = root.issue(Spec::server(&["www.shop.example"]));
    chain(&bench, &other, &[], &refused("name-mismatch"));
    let nameless = root.issue(Spec::server(&[]).common_name(Some(NAME)));
    chain(&bench, &nameless, &[], &refused("no-subject-alt-name"));
    let by_name = root.issue(server());
    chain(
        &bench,
        &by_name,
        &[],
        &refused("ip-address-not-listed").name("127.0.0.1"),
    );

    let client = root.issue(server().extended_key_usage(&[ExtendedKeyUsagePurpose::ClientAuth]));
    chain(&bench, &client, &[], &refused("wrong-purpose"));
    let cannot_sign = root.issue(server().key_usage(&[KeyUsagePurpose::KeyAgreement]));
    chain(&bench, &cannot_sign, &[], &refused("wrong-key-usage"));

    let old_root = Spec::authority("Old Root").expired().self_signed();
    bench.write("ca.pem", old_root.cert_pem());
    chain(
        &bench,
        &old_root.issue(server()),
        &[],
        &refused("certificate-expired"),
    );
}

/// A server that answers every request so, and keeps what it was asked.
fn answering(identity: &Issued, response: String) -> Served {
    Misbehaving::new(identity, &[]).serve([
        Step::ReadHead,
        Step::say(response),
        Step::CloseNotify,
        Step::Fin,
    ])
}

#[test]
fn c2_a_wrong_clock_and_a_captive_portal_are_told_apart_as_unproven() {
    let bench = Bench::new();
    let root = &bench.pki.root;
    let server = || Spec::server(&[NAME]);
    let now = now_secs();
    let http_date = |at: u64| {
        let at = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(at);
        httpdate::fmt_http_date(at)
    };
    let dated = |at| {
        format!(
            "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Length: 0\r\n\r\n",
            http_date(at)
        )
    };
    let last_year = server().valid_between(now - 400 * DAY_SECS, now - 10 * DAY_SECS);
    let next_week = server().valid_between(now + 5 * DAY_SECS, now + 90 * DAY_SECS);
    let hotel = Spec::server(&["login.hotel.example"]);
    let www = Spec::server(&["www.shop.example"]);
    let redirect =
        |host: &str| format!("HTTP/1.1 302 Found\r\nLocation: https://{host}/in\x1b[2J\r\n\r\n");
    for (spec, response, library, id, says) in [
        (
            &last_year,
            dated(now),
            "certificate-expired",
            "certificate-expired",
            "(unproven)",
        ),
        (
            &last_year,
            dated(now - 20 * DAY_SECS),
            "certificate-expired",
            "clock-skew",
            "they are 20 days apart",
        ),
        // By this clock it is no more valid than by ours.
        (
            &last_year,
            dated(now - 900 * DAY_SECS),
            "certificate-expired",
            "certificate-expired",
            "(unproven)",
        ),
        (
            &last_year,
            "HTTP/1.1 500 \r\n\r\n".to_owned(),
            "certificate-expired",
            "certificate-expired",
            "clock says",
        ),
        (
            &next_week,
            dated(now + 6 * DAY_SECS),
            "certificate-not-yet-valid",
            "clock-skew",
            "(unproven)",
        ),
        (
            &hotel,
            redirect("login.hotel.example"),
            "name-mismatch",
            "captive-portal",
            "log in to the network",
        ),
        (
            &hotel,
            "HTTP/1.1 511 x\r\n\r\n".to_owned(),
            "name-mismatch",
            "captive-portal",
            "wants a login",
        ),
        (
            &hotel,
            dated(now),
            "name-mismatch",
            "name-mismatch",
            "login.hotel.example",
        ),
        // A site that has forgotten a name is no portal.
        (
            &www,
            redirect("www.shop.example"),
            "name-mismatch",
            "name-mismatch",
            "without verification, it redirects to www.shop.example",
        ),
    ] {
        let identity = root.issue(spec.clone());
        let served = answering(&identity, response);
        let peer = Peer::at(served.address());
        let case = Case::new(library, PEER);
        assert_eq!(bench.library(&peer, &case), Some(library), "{id}");
        let port = peer.address.port();
        let url = format!("https://alice:s3cret@{NAME}:{port}/private");
        let resolve = format!("{NAME}:{port}:127.0.0.1");
        let place = peer.address.to_string();
        for (command, args) in [
            (
                "get",
                &["--resolve", &resolve, "-H", "Cookie: k=s3cret", &url][..],
            ),
            ("inspect", &["--connect-to", &place, NAME]),
        ] {
            let told = bench.run(command, args);
            assert_eq!(told.code, Some(PEER), "{command} {id} {told}");
            assert!(
                told.err().contains(&format!("[{id}]")),
                "{command} {id} {told}"
            );
            assert!(told.err().contains(says), "{command} {id} {told}");
            assert!(!told.err().contains('\x1b'), "{told}");
            let forbidden = bench.run(command, [&["--no-probe"], args].concat());
            assert!(
                forbidden.err().contains(&format!("[{library}]")),
                "{forbidden}"
            );
            assert!(!forbidden.err().contains("unproven"), "{forbidden}");
        }
    }
}

#[test]
fn c2_nothing_of_the_user_s_reaches_a_server_that_is_not_verified() {
    let bench = Bench::new();
    let identity = bench.pki.root.issue(Spec::server(&[NAME]).expired());
    let served = answering(&identity, "HTTP/1.1 200 OK\r\n\r\n".to_owned());
    let port = served.address().port();
    let url = format!("https://alice:s3cret@{NAME}:{port}/private?q=s3cret");
    let args = [
        "--resolve",
        &format!("{NAME}:{port}:127.0.0.1"),
        "-H",
        "Cookie: k=s3cret",
        "-d",
        "s3cret",
        &url,
    ];
    let told = bench.run("get", args);
    assert!(told.err().contains("[certificate-expired]"), "{told}");
    let expected = format!("HEAD / HTTP/1.1\r\nHost: {NAME}:{port}\r\nConnection: close\r\n\r\n");
    assert_eq!(served.received_text(), expected);
}

#[test]
fn c2_keys_signatures_and_encodings() {
    let bench = Bench::new();
    let root = &bench.pki.root;
    let server = || Spec::server(&[NAME]);
    for (spec, id) in [
        (Spec::authority("A").key(Key::ShownAsRsa1024), "weak-key"),
        (
            Spec::authority("A").fault(Fault::SaysSha1),
            "weak-signature",
        ),
        (
            Spec::authority("A").fault(Fault::SaysUnknownAlgorithm),
            "unsupported-signature",
        ),
        (
            Spec::authority("A").fault(Fault::SignatureBitFlipped),
            "bad-signature",
        ),
        (
            Spec::authority("A").fault(Fault::AlgorithmsDisagree),
            "signature-algorithm-mismatch",
        ),
        (
            Spec::authority("A").extension(&[1, 3, 6, 1, 4, 1, 99_999, 1], &[5, 0], true),
            "unknown-critical-extension",
        ),
        (
            Spec::authority("A").fault(Fault::TrailingByte),
            "malformed-certificate",
        ),
    ] {
        let spoilt = root.issue(spec);
        chain(&bench, &spoilt.issue(server()), &[&spoilt], &refused(id));
    }
    let old = root.issue(server().fault(Fault::Version1));
    chain(
        &bench,
        &old,
        &[],
        &refused("unsupported-certificate-version"),
    );
}

#[test]
fn c2_revocation_and_pins() {
    let bench = Bench::new();
    let root = &bench.pki.root;
    let server = root.issue(Spec::server(&[NAME]));
    let now = now_secs();
    let list = |name: &str, der: &[u8]| {
        let file = bench.write(name, pem("X509 CRL", der));
        file.display().to_string()
    };
    let revoking = list("revoking.pem", &root.crl(&[&server]));
    let foreign = list(
        "foreign.pem",
        &Spec::authority("Foreign").self_signed().crl(&[]),
    );
    let overdue = root.crl_between(&[], now - 2 * DAY_SECS, now - DAY_SECS);
    let overdue = list("overdue.pem", &overdue);
    for (file, id) in [
        (&revoking, "certificate-revoked"),
        (&foreign, "revocation-unknown"),
        (&overdue, "crl-expired"),
    ] {
        chain(&bench, &server, &[], &refused(id).args(&["--crl", file]));
    }
    let pin = SpkiSha256::from_bytes([7; 32]).to_string();
    chain(
        &bench,
        &server,
        &[],
        &refused("pin-mismatch").args(&["--pin", &pin]),
    );
}

/// What the library says with the questions of a probe behind it.
fn clarified(bench: &Bench, peer: &Peer, case: &Case) -> handfast::Error {
    let anchors = TrustAnchors::empty().with_file(&bench.ca).unwrap();
    let context = ClientContext::builder().trust(anchors).build().unwrap();
    let again = || TcpStream::connect(peer.address);
    let failed = context.secure(case.name, again().unwrap()).unwrap_err();
    let limit = Duration::from_secs(5);
    handfast::probe::clarify(failed.error, &context, case.name, limit, again)
}

#[test]
fn c2_nothing_in_common_with_openssl() {
    let bench = Bench::new();
    let root = &bench.pki.root;
    let rsa = root.issue(Spec::server(&[NAME]).key(Key::Rsa2048));
    let failed = |id| Case::new(id, HANDSHAKE);
    let alert = |id| failed("alert-received").probed(id);
    let old = ["-cipher", "ALL:@SECLEVEL=0"];
    for (args, case, says) in [
        (
            &[&["-tls1"], &old[..]].concat()[..],
            failed("protocol-version"),
            "would take: TLS 1.0 (weak",
        ),
        (
            &[&["-tls1_1"], &old[..]].concat(),
            failed("protocol-version"),
            "would take: TLS 1.1 (weak",
        ),
        (
            &["-tls1_2", "-cipher", "AES128-SHA"],
            alert("no-shared-cipher-suite"),
            "would take, under TLS 1.2: TLS_RSA_WITH_AES_128_CBC_SHA (",
        ),
        (
            &["-tls1_3", "-groups", "P-521"],
            alert("no-shared-group"),
            "would take: secp521r1",
        ),
        (
            &["-tls1_2", "-groups", "P-521", "-cipher", "ECDHE"],
            alert("no-shared-group"),
            "would take: secp521r1",
        ),
        (&["-alpn", "imap"], failed("no-application-protocol"), ""),
        (
            &["-servername", "other.example", "-servername_fatal"],
            failed("name-unrecognised"),
            "",
        ),
    ] {
        let mut args = args.to_vec();
        let files = rsa.write(bench.directory(), "second", &[]);
        let (second, key) = (
            files.chain_pem.display().to_string(),
            files.key_pem.display().to_string(),
        );
        if args.contains(&"-servername") {
            args.extend(["-cert2", &second, "-key2", &key]);
        }
        let what = args.join(" ");
        let Some(peer) = bench.openssl(&rsa, &args).map(Peer::openssl) else {
            return;
        };
        bench.check(&what, &peer, &case);
        if case.probed != case.library || what.contains("-tls1") {
            let told = clarified(&bench, &peer, &case).explain();
            assert_eq!(told.id, case.probed, "{what} {told}");
            assert!(told.to_string().contains(says), "{what} {told}");
        }
    }
}

/// A certificate and its key for kinds of keys that the testbed does not make.
fn odd_identity(bench: &Bench, algorithm: &[&str]) -> Option<[String; 2]> {
    let [cert, key] = ["odd.pem", "odd.key"].map(|name| bench.path(name).display().to_string());
    let made = Program::new("openssl")?
        .args([
            "req", "-x509", "-nodes", "-subj", "/CN=odd", "-days", "3", "-newkey",
        ])
        .args(algorithm)
        .args(["-keyout", &key, "-out", &cert])
        .run();
    assert!(made.succeeded(), "{made}");
    Some([cert, key])
}

/// Whether a ClientHello names a server.
fn names_a_server(hello: &[u8]) -> bool {
    hello
        .windows(NAME.len())
        .any(|part| part == NAME.as_bytes())
}

#[test]
fn c2_servers_that_go_by_name() {
    let bench = Bench::new();
    let server = bench.pki.root.issue(Spec::server(&["other.example"]));
    let files = server.write(bench.directory(), "named", &[]);
    let nginx = Nginx::launch(bench.directory(), |port| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl default_server; ssl_reject_handshake on; }}\n\
             server {{ listen 127.0.0.1:{port} ssl; server_name other.example;\n\
             ssl_certificate {}; ssl_certificate_key {}; }}\n",
            files.chain_pem.display(),
            files.key_pem.display()
        )
    });
    if let Some(nginx) = nginx {
        let peer = Peer::at(nginx.address());
        for (name, id) in [(NAME, "name-unrecognised"), ("127.0.0.1", "name-needed")] {
            bench.check(id, &peer, &Case::new(id, HANDSHAKE).name(name));
        }
    }

    // One that gives up without saying why, unless it is not told a name.
    let hello = [0x16, 3, 3, 0, 0x2c, 2, 0, 0, 0x28, 3, 3].into_iter();
    let hello = hello.chain([7; 32]).chain([0, 0, 0x9c, 0, 0, 0]);
    let hello: Vec<u8> = hello.collect();
    let shy = serve(move |mut socket| {
        let mut room = [0; 64 * 1024];
        let count = socket.read(&mut room).unwrap_or(0);
        let answer = match names_a_server(&room[..count]) {
            true => &[0x15, 3, 3, 0, 2, 2, 40],
            false => &hello[..],
        };
        let _ = socket.write_all(answer);
        fin(socket);
    });
    let case = Case::new("alert-received", HANDSHAKE).probed("name-unrecognised");
    bench.check("shy", &shy, &case);
    let told = clarified(&bench, &shy, &case).explain().to_string();
    assert!(told.contains("leaves the name out"), "{told}");
}

#[test]
fn c2_probes_are_few_and_can_be_forbidden() {
    let bench = Bench::new();
    let refusal: &[u8] = &[0x15, 3, 3, 0, 2, 2, 40];
    let counted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&counted);
    let peer = serve(move |mut socket| {
        counter.fetch_add(1, Ordering::SeqCst);
        let _ = socket.read(&mut [0; 64 * 1024]);
        let _ = socket.write_all(refusal);
        fin(socket);
    });
    let port = peer.address.port();
    let url = format!("https://{NAME}:{port}/");
    let place = peer.address.to_string();
    let resolve = format!("{NAME}:{port}:127.0.0.1");
    for (command, args) in [
        ("get", &["--resolve", &resolve, &url][..]),
        ("connect", &["--servername", NAME, &place]),
        ("inspect", &["--connect-to", &place, NAME]),
    ] {
        counted.store(0, Ordering::SeqCst);
        let told = bench.run(command, args);
        assert!(
            told.err().contains("refused everything from SSL 3"),
            "{told}"
        );
        assert!(told.err().contains("[alert-received]"), "{told}");
        assert!(
            (2..=9).contains(&counted.load(Ordering::SeqCst)),
            "{command} {counted:?}"
        );
        counted.store(0, Ordering::SeqCst);
        let told = bench.run(command, [&["--no-probe"], args].concat());
        assert!(!told.err().contains("asked by a probe"), "{told}");
        assert_eq!(counted.load(Ordering::SeqCst), 1, "{command}");
    }
}

#[test]
fn c2_signature_schemes_that_nobody_checks_here() {
    let bench = Bench::new();
    for (algorithm, says) in [
        (&["ed448"][..], "would sign by: ed448"),
        (
            &["rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"],
            "would sign by: rsa_pss_pss_",
        ),
    ] {
        let Some([cert, key]) = odd_identity(&bench, algorithm) else {
            return;
        };
        for version in ["-tls1_2", "-tls1_3"] {
            let args = ["-cert", &cert, "-key", &key, version];
            let Some(peer) = OpensslServer::launch(&args).map(Peer::openssl) else {
                return;
            };
            let case = Case::new("alert-received", HANDSHAKE).probed("no-shared-signature-scheme");
            let what = format!("{algorithm:?} {version}");
            bench.check(&what, &peer, &case);
            let told = clarified(&bench, &peer, &case).explain().to_string();
            assert!(told.contains(says), "{what} {told}");
        }
    }
}

#[test]
fn c2_client_certificates_and_our_own_mistakes() {
    let bench = Bench::new();
    let server = bench.pki.root.issue(Spec::server(&[NAME]));
    let write = |name, issued: &Issued| {
        let files = issued.write(bench.directory(), name, &[]);
        (
            files.chain_pem.display().to_string(),
            files.key_pem.display().to_string(),
        )
    };
    let (stranger, stranger_key) = write("stranger", &Pki::new().client("mallory"));
    let (own, _) = write("own", &bench.pki.client("alice"));
    let ca = bench.ca.display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let args = [
            version,
            "-www",
            "-Verify",
            "1",
            "-verify_return_error",
            "-CAfile",
            &ca,
        ];
        let Some(peer) = bench.openssl(&server, &args).map(Peer::openssl) else {
            return;
        };
        let required = Case::new("client-certificate-required", HANDSHAKE);
        bench.check(version, &peer, &required);
        let refused = Case::new("client-certificate-refused", HANDSHAKE);
        let refused = refused.args(&["--cert", &stranger, "--key", &stranger_key]);
        bench.check(version, &peer, &refused);
        let mixed = Case::new("key-mismatch", 58).args(&["--cert", &own, "--key", &stranger_key]);
        bench.check(version, &peer, &mixed);
    }
}

#[test]
fn c2_a_wrong_passphrase_says_so() {
    let bench = Bench::new();
    let files = bench
        .pki
        .client("alice")
        .write(bench.directory(), "alice", &[]);
    let locked = bench.path("locked.pem");
    let Some(openssl) = Program::new("openssl") else {
        return;
    };
    let made = openssl
        .args(["pkcs8", "-topk8", "-passout", "pass:right", "-in"])
        .arg(&files.key_pem)
        .arg("-out")
        .arg(&locked)
        .run();
    assert!(made.succeeded(), "{made}");
    let args = |pass: &str| -> Vec<String> {
        let (chain, key) = (files.chain_pem.display(), locked.display());
        let line = format!("--cert {chain} --key {key} --pass pass:{pass}");
        line.split(' ').map(str::to_owned).collect()
    };
    for (command, target) in [("get", "https://localhost:1/"), ("inspect", "localhost:1")] {
        let mut args = args("wrong");
        args.push(target.to_owned());
        let finished = bench.run(command, &args);
        assert_eq!(finished.code, Some(58), "{finished}");
        assert!(finished.err().contains("[wrong-passphrase]"), "{finished}");
        assert!(!finished.says("pass:wrong"), "{finished}");
    }
}

/// A server that does this with every client.
fn serve(each: impl Fn(TcpStream) + Send + Sync + 'static) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let each = Arc::new(each);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (socket, each) = (socket.unwrap(), Arc::clone(&each));
            thread::spawn(move || each(socket));
        }
    });
    Peer::at(address)
}

/// A server that reads a ClientHello, says this, and does that.
fn stranger(greeting: &'static [u8], then: impl Fn(TcpStream) + Send + Sync + 'static) -> Peer {
    serve(move |mut socket| {
        let _ = socket.read(&mut [0; 64 * 1024]);
        let _ = socket.write_all(greeting);
        then(socket);
    })
}

fn fin(socket: TcpStream) {
    let _ = socket.shutdown(Shutdown::Write);
    let mut socket = socket;
    let _ = socket.read(&mut [0; 1024]);
}

/// Every alert that there is, as the answer to a ClientHello.
#[test]
fn c2_no_alert_is_taken_for_another_cause() {
    let bench = Bench::new();
    for code in 0..=255u8 {
        let peer = serve(move |mut socket| {
            let _ = socket.read(&mut [0; 64 * 1024]);
            let _ = socket.write_all(&[0x15, 3, 3, 0, 2, 2, code]);
            fin(socket);
        });
        let expected = match code {
            // The end of a stream that had not begun.
            0 => "closed-in-handshake",
            70 => "protocol-version",
            112 => "name-unrecognised",
            116 => "client-certificate-required",
            120 => "no-application-protocol",
            _ => "alert-received",
        };
        let case = Case::new(expected, HANDSHAKE);
        assert_eq!(bench.library(&peer, &case), Some(expected), "alert {code}");
    }
}

#[test]
fn c2_peers_that_do_not_speak_tls_or_stop() {
    let bench = Bench::new();
    let failed = |id| Case::new(id, HANDSHAKE);
    for (greeting, says) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "plain HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"220 mail.example ESMTP\r\n", "--starttls smtp"),
        (b"* OK IMAP4rev1 ready\r\n", "--starttls imap"),
        (b"+OK POP3 ready\r\n", "--starttls pop3"),
        (b"220 (vsFTPd 3.0.3)\r\n", "--starttls ftp"),
        (
            b"HTTP/1.1 511 Network Authentication Required\r\n\r\n",
            "wants a login",
        ),
        (
            b"HTTP/1.0 302 Found\r\nLocation: http://login.hotel.example/?from=x\r\n\r\n",
            "wants a login",
        ),
    ] {
        let peer = stranger(greeting, fin);
        let id = match says {
            "wants a login" => "captive-portal",
            _ => "not-tls",
        };
        bench.check(says, &peer, &failed(id));
        let args = [
            "--connect-to".to_owned(),
            peer.address.to_string(),
            NAME.to_owned(),
        ];
        let told = bench.run("inspect", &args);
        assert!(told.err().contains(says), "{says} {told}");
        assert!(told.err().contains("its first bytes: "), "{told}");
    }
    bench.check(
        "closed",
        &stranger(b"", fin),
        &failed("closed-in-handshake"),
    );
    // A close with bytes unread is a reset.
    bench.check(
        "reset",
        &serve(|mut socket| drop(socket.read(&mut [0; 1]))),
        &failed("reset-in-handshake"),
    );
    let silent = stranger(b"", |mut socket| {
        let _ = socket.set_read_timeout(Some(Duration::from_secs(20)));
        let _ = socket.read(&mut [0; 1024]);
    });
    bench.check("silent", &silent, &Case::new("timed-out", 28).seconds(1));
    let garbage = stranger(&[0x16, 3, 3, 0, 4, 2, 0, 0, 0], fin);
    bench.check("garbage", &garbage, &failed("protocol-violation"));
    let alert = stranger(&[0x15, 3, 3, 0, 2, 2, 80], fin);
    bench.check("internal_error", &alert, &failed("alert-received"));
    let nobody = Peer::at(free_address());
    bench.check("nobody", &nobody, &Case::new("connection-refused", 7));
}
