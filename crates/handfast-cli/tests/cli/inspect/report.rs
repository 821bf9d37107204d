//! `handfast inspect` against real servers, broken chains, strangers, and files.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use handfast::{Identity, ServerContext};
use handfast_testbed::careless::{Careless, version};
use handfast_testbed::launch::{GnutlsServer, free_address};
use handfast_testbed::pki::{DAY_SECS, Issued, Key, Spec, now_secs};
use serde_json::Value;

use crate::common::{Fixture, localhost};

/// A certificate for `localhost` with a key of this kind.
fn localhost_by(fixture: &Fixture, key: Key) -> Issued {
    fixture
        .pki
        .root
        .issue(Spec::server(&["localhost"]).key(key))
}

fn os<const N: usize>(args: [&str; N]) -> [&OsStr; N] {
    args.map(OsStr::new)
}

fn strings(list: &Value, field: &str) -> Vec<String> {
    let list = list.as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|item| item[field].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn everything_about_a_server_of_one_version_and_one_suite() {
    let fixture = Fixture::new();
    let Some(server) = fixture.openssl(
        &localhost_by(&fixture, Key::P256),
        &os([
            "-tls1_3",
            "-www",
            "-ciphersuites",
            "TLS_CHACHA20_POLY1305_SHA256",
        ]),
    ) else {
        return;
    };
    let finished = fixture.inspect([localhost(server.address())]);
    assert_eq!(finished.code, Some(0), "{finished}");
    for line in [
        "  session      TLS 1.3, TLS_CHACHA20_POLY1305_SHA256, x25519 (not post-quantum), secured in ",
        "               ALPN none agreed on; SNI localhost",
        "  chain        verified for localhost: trust anchor O=handfast tests, CN=Test Root",
        "               0 O=handfast tests, CN=localhost",
        "                 for localhost",
        "                 36",
        "                 EC P-256, signed with ecdsa-with-SHA256; serverAuth, digitalSignature",
        "                 `- O=handfast tests, CN=Test Root (trusted)",
        "  revocation   not checked",
        "  client       no client certificate requested",
        "  resumption   TLS 1.2 not supported",
        "               TLS 1.3 works, 2 tickets given for 2 hours",
        "  closing      complete: close_notify",
    ] {
        assert!(
            finished.out().lines().any(|found| found.starts_with(line)),
            "{line}\n{finished}"
        );
    }
    assert!(finished.out().lines().count() <= 25, "{finished}");
}

#[test]
fn resumption_is_really_tried() {
    let fixture = Fixture::new();
    for (args, tls12, tls13) in [
        (&os(["-www"])[..], true, true),
        (
            &os(["-www", "-no_ticket", "-no_cache", "-num_tickets", "0"])[..],
            false,
            false,
        ),
    ] {
        let Some(server) = fixture.openssl(&localhost_by(&fixture, Key::P256), args) else {
            return;
        };
        let (found, code) = fixture.inspect_json([localhost(server.address())]);
        assert_eq!(code, Some(0), "{found:#}");
        let resumption = &found["connection"]["resumption"];
        assert_eq!(resumption["TLS 1.2"]["resumed"], tls12, "{found:#}");
        assert_eq!(resumption["TLS 1.3"]["resumed"], tls13, "{found:#}");
    }
}

#[test]
fn a_demanded_client_certificate_is_explained_alike_in_both_versions() {
    let fixture = Fixture::new();
    let client = fixture.files("client", &fixture.pki.client("alice"));
    for version in ["-tls1_2", "-tls1_3"] {
        let args = [
            OsStr::new(version),
            OsStr::new("-www"),
            OsStr::new("-Verify"),
            OsStr::new("1"),
            OsStr::new("-verify_return_error"),
            OsStr::new("-CAfile"),
            fixture.ca.as_os_str(),
        ];
        let Some(server) = fixture.openssl(&localhost_by(&fixture, Key::P256), &args) else {
            return;
        };
        let (found, code) = fixture.inspect_json([localhost(server.address())]);
        assert_eq!(
            found["failure"]["id"], "client-certificate-required",
            "{found:#}"
        );
        assert_eq!(code, Some(35), "{version}: {found:#}");
        let evidence = found["failure"]["evidence"].to_string();
        assert!(evidence.contains("CN=Test Root"), "{evidence}");

        let (found, code) = fixture.inspect_json([
            OsStr::new(&localhost(server.address())),
            OsStr::new("--cert"),
            client.chain_pem.as_os_str(),
            OsStr::new("--key"),
            client.key_pem.as_os_str(),
        ]);
        assert_eq!(code, Some(0), "{version}: {found:#}");
        let session = &found["connection"]["session"];
        assert_eq!(session["client_certificate_requested"], true);
        let issuers = session["acceptable_issuers"].to_string();
        assert!(issuers.contains("CN=Test Root"), "{issuers}");
    }
}

#[test]
fn a_chain_that_fails_is_shown_all_the_same_and_its_culprit_marked() {
    let fixture = Fixture::new();
    let middle = fixture.pki.root.issue(Spec::authority("Late").expired());
    let server = middle.issue(Spec::server(&["localhost"]));
    let chain = server.chain_with(&[&middle]);
    let address = Careless::new(chain, &server.key_der()).serve(&version::TLS13, 20);
    let finished = fixture.inspect([localhost(address)]);
    assert_eq!(finished.code, Some(60), "{finished}");
    for text in [
        "NOT verified for localhost: the certificate of O=handfast tests, CN=Late expired on ",
        "               0 O=handfast tests, CN=localhost\n",
        "                 `- 1 O=handfast tests, CN=Late  <-- certificate-expired\n",
        "expired 24 hours ago: ",
        "TLS_AES_256_GCM_SHA384, X25519MLKEM768 (post-quantum)",
    ] {
        assert!(finished.out().contains(text), "{text}\n{finished}");
    }
    assert!(
        finished.err().contains("[certificate-expired]"),
        "{finished}"
    );
    assert!(finished.err().contains("fix: "), "{finished}");
    let (found, _) = fixture.inspect_json([localhost(address)]);
    assert_eq!(found["ok"], false);
    assert_eq!(found["verified"], false);
    assert_eq!(found["refused"]["at"], 1);
    assert_eq!(found["connection"]["session"]["for_diagnosis_only"], true);
}

/// On a terminal alone: what reads the stream has no use for it.
#[cfg(unix)]
#[test]
fn a_scan_shows_on_a_terminal_that_it_goes_on() {
    use std::io::Read as _;
    use std::process::Stdio;

    let fixture = Fixture::new();
    let Some(server) = fixture.openssl(&localhost_by(&fixture, Key::Rsa2048), &os(["-www"])) else {
        return;
    };
    for (quiet, shown) in [(false, true), (true, false)] {
        let (mut ours, theirs, _) = crate::terminal::terminal();
        let mut command = fixture.command("inspect");
        command
            .args(fixture.trust())
            .args(["--scan", &localhost(server.address())]);
        if quiet {
            command.arg("--quiet");
        }
        command.stdout(Stdio::null()).stderr(theirs);
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut screen = Vec::new();
        // A terminal whose other end has gone ends with an error.
        let _ = ours.read_to_end(&mut screen);
        assert!(child.wait().unwrap().success());
        let screen = String::from_utf8_lossy(&screen);
        assert_eq!(screen.contains("scanning: "), shown, "{screen:?}");
        assert!(!shown || screen.ends_with("\r\u{1b}[K"), "{screen:?}");
    }
}

#[test]
fn a_scan_judges_versions_suites_and_groups() {
    let fixture = Fixture::new();
    let Some(server) = fixture.openssl(
        &localhost_by(&fixture, Key::Rsa2048),
        &os([
            "-www",
            "-serverpref",
            "-cipher",
            "AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256",
            "-groups",
            "P-256:X25519",
        ]),
    ) else {
        return;
    };
    let (found, code) = fixture.inspect_json(["--scan".to_owned(), localhost(server.address())]);
    assert_eq!(code, Some(0));
    let scan = &found["connection"]["scan"];
    assert_eq!(scan["complete"], true, "{scan:#}");
    assert_eq!(
        strings(&scan["versions"], "version"),
        ["SSL 3", "TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"]
    );
    let old = &scan["versions"][3];
    assert_eq!(
        strings(&old["suites"], "name"),
        [
            "TLS_RSA_WITH_AES_128_CBC_SHA",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        ]
    );
    assert_eq!(old["suites"][0]["judgement"]["grade"], "weak");
    assert_eq!(old["suite_order"], "server");
    let schemes = strings(&old["schemes"], "name");
    for scheme in ["rsa_pss_rsae_sha256", "rsa_pkcs1_sha512"] {
        assert!(schemes.contains(&scheme.to_owned()), "{schemes:?}");
    }
    assert!(
        schemes.iter().all(|scheme| scheme.starts_with("rsa_")),
        "{schemes:?}"
    );
    assert_eq!(
        strings(&scan["versions"][4]["groups"], "name"),
        ["secp256r1", "x25519"]
    );
    let finished = fixture.inspect(["--scan".to_owned(), localhost(server.address())]);
    for text in [
        "weak    TLS_RSA_WITH_AES_128_CBC_SHA: no forward secrecy (the server's order)",
        "fine    TLS 1.3: the current version",
        "fine    secp256r1: not post-quantum",
    ] {
        assert!(finished.out().contains(text), "{text}\n{finished}");
    }
}

#[test]
fn the_order_of_groups_does_not_depend_on_the_certificates_curve() {
    let fixture = Fixture::new();
    for (preference, order) in [(&["-serverpref"][..], "server"), (&[], "client")] {
        let args = [&["-www", "-tls1_2", "-groups", "P-384:X25519"], preference].concat();
        let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        let Some(server) = fixture.openssl(&localhost_by(&fixture, Key::P256), &args) else {
            return;
        };
        let (found, _) = fixture.inspect_json(["--scan".to_owned(), localhost(server.address())]);
        let offer = &found["connection"]["scan"]["versions"][3];
        assert_eq!(offer["group_order"], order, "{offer:#}");
        let mut groups = strings(&offer["groups"], "name");
        if order == "client" {
            groups.sort_unstable();
        }
        assert_eq!(groups, ["secp384r1", "x25519"], "{offer:#}");
    }
}

#[test]
fn where_nothing_is_in_common_a_probe_says_what_the_server_has() {
    let fixture = Fixture::new();
    let Some(server) = fixture.openssl(
        &localhost_by(&fixture, Key::Rsa2048),
        &os(["-www", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]),
    ) else {
        return;
    };
    let finished = fixture.inspect([localhost(server.address())]);
    assert_eq!(finished.code, Some(35), "{finished}");
    assert!(finished.err().contains("[protocol-version]"), "{finished}");
    for part in [
        "a probe found that the server accepts: TLS 1.1 (weak: ",
        "), with TLS_",
    ] {
        assert!(finished.err().contains(part), "{finished}");
    }
}

#[test]
fn gnutls_is_inspected() {
    let fixture = Fixture::new();
    let files = fixture.files("server", &fixture.pki.server(&["localhost"]));
    let Some(server) = GnutlsServer::launch(&[
        OsStr::new("--http"),
        OsStr::new("--x509certfile"),
        files.chain_pem.as_os_str(),
        OsStr::new("--x509keyfile"),
        files.key_pem.as_os_str(),
    ]) else {
        return;
    };
    let (found, code) = fixture.inspect_json(["--scan".to_owned(), localhost(server.address())]);
    assert_eq!(code, Some(0), "{found:#}");
    assert_eq!(found["verified"], true);
    assert_eq!(found["connection"]["scan"]["complete"], true, "{found:#}");
    assert_eq!(
        found["connection"]["resumption"]["TLS 1.3"]["resumed"], true,
        "{found:#}"
    );
}

#[test]
fn several_hosts_end_with_the_first_failure_s_code() {
    let fixture = Fixture::new();
    let server = fixture.pki.server(&["localhost"]);
    let address =
        Careless::new(server.chain_with(&[]), &server.key_der()).serve(&version::TLS13, 20);
    let unused = localhost(free_address());
    let finished = fixture.inspect([
        localhost(address),
        unused.clone(),
        "no.such.invalid".to_owned(),
    ]);
    assert_eq!(finished.code, Some(7), "{finished}");
    assert!(
        finished.out().contains("verified for localhost"),
        "{finished}"
    );
    assert!(
        finished.out().contains(&format!("\n{unused}\n")),
        "{finished}"
    );
    assert!(
        finished.err().contains("[connection-refused]"),
        "{finished}"
    );
    assert!(finished.err().contains("[name-not-resolved]"), "{finished}");
}

#[test]
fn chains_are_saved_judged_offline_and_compared_with_keys() {
    let fixture = Fixture::new();
    let now = now_secs();
    let spec =
        Spec::server(&["localhost"]).valid_between(now - DAY_SECS, now + 10 * DAY_SECS + 3600);
    let server = fixture.pki.root.issue(spec);
    let files = fixture.files("own", &server);
    let other = fixture.files("other", &fixture.pki.server(&["localhost"]));
    let address =
        Careless::new(server.chain_with(&[]), &server.key_der()).serve(&version::TLS13, 20);
    let saved = fixture.path("saved.pem");
    let finished = fixture.inspect([
        OsStr::new("--pem"),
        saved.as_os_str(),
        OsStr::new("--expires-within"),
        OsStr::new("30d"),
        OsStr::new(&localhost(address)),
    ]);
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(
        finished.err().contains("[certificate-expires-soon]"),
        "{finished}"
    );
    assert_eq!(
        fs::read(&saved).unwrap(),
        fs::read(&files.chain_pem).unwrap()
    );

    let crl = fixture.path("crl.pem");
    let list = fixture.pki.root.crl(&[&server]);
    fs::write(&crl, handfast_testbed::pki::pem("X509 CRL", &list)).unwrap();
    let later = handfast::format_utc(i64::try_from(now + 20 * DAY_SECS).unwrap());
    let own_key = files.key_pem.to_str().unwrap();
    let other_key = other.key_pem.to_str().unwrap();
    for (args, code, says) in [
        (&[][..], 0, "verified for localhost"),
        (&["--name", "shop.example"], 60, "[name-mismatch]"),
        (
            &["--name", "www.localhost"],
            60,
            "\n  it is for localhost, without www.\n",
        ),
        (&["--at", &later], 60, "[certificate-expired]"),
        (&["--purpose", "client"], 60, "[wrong-purpose]"),
        (
            &["--crl", crl.to_str().unwrap()],
            60,
            "[certificate-revoked]",
        ),
        (&["--expires-within", "10d"], 0, "10 days left"),
        (
            &["--expires-within", "11d"],
            1,
            "[certificate-expires-soon]",
        ),
        (&["--key", own_key], 0, "key          belongs to the chain"),
        (&["--key", other_key], 58, "[key-mismatch]"),
    ] {
        let finished = fixture.inspect(
            [OsStr::new("--file"), saved.as_os_str()]
                .into_iter()
                .chain(args.iter().map(OsStr::new)),
        );
        assert_eq!(finished.code, Some(code), "{args:?} {finished}");
        assert!(finished.printed(says), "{args:?} {says} {finished}");
    }
    let finished = fixture.inspect([OsStr::new("--file"), fixture.path("none.pem").as_os_str()]);
    assert_eq!(finished.code, Some(26), "{finished}");
}

#[test]
fn tls_that_begins_inside_smtp() {
    let fixture = Fixture::new();
    let files = fixture.files("mail", &fixture.pki.server(&["localhost"]));
    let identity = Identity::from_pem_files(
        &files.chain_pem,
        &files.key_pem,
        handfast::Passphrase::none(),
    );
    let context = ServerContext::builder()
        .identity(identity.unwrap())
        .build()
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, context) = (socket.unwrap(), context.clone());
            thread::spawn(move || {
                let mut line = [0; 512];
                for (reply, _awaits) in [
                    ("220 localhost ESMTP\r\n", "EHLO"),
                    ("250-localhost\r\n250 STARTTLS\r\n", "STARTTLS"),
                    ("220 go ahead\r\n", ""),
                ] {
                    socket.write_all(reply.as_bytes())?;
                    if !reply.contains("go ahead") {
                        let _ = socket.read(&mut line)?;
                    }
                }
                if let Ok(mut stream) = context.accept(socket) {
                    let _ = stream.read_to_ending();
                    stream.close(handfast::ClosePolicy::Send);
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
    let (found, code) = fixture.inspect_json(["--starttls", "smtp", "--scan", &localhost(address)]);
    assert_eq!(code, Some(0), "{found:#}");
    assert_eq!(found["connection"]["starttls"], "smtp");
    assert_eq!(found["connection"]["session"]["version"], "TLS 1.3");
    let versions = &found["connection"]["scan"]["versions"];
    assert_eq!(
        versions[4]["groups"][0]["name"], "X25519MLKEM768",
        "{versions:#}"
    );
    assert_eq!(versions[0]["accepted"], false);
}

#[test]
fn no_peer_makes_it_hang_or_print_control_characters() {
    let fixture = Fixture::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let babble: Vec<Vec<u8>> = vec![
        b"SSH-2.0-\x1b[2J\x07\r\n".to_vec(),
        b"HTTP/1.1 400 \x1b]0;x\x07\r\n\r\n".to_vec(),
        vec![0x16, 3, 3, 0xff, 0xff],
        vec![0x15, 3, 3, 0, 2, 2, 99],
        [&[0x16, 3, 3, 0, 4, 2, 0, 0, 0][..], &[0x17; 40]].concat(),
        vec![0x80; 300],
        Vec::new(),
    ];
    let count = babble.len();
    thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            let (mut socket, bytes) = (socket.unwrap(), babble[number % count].clone());
            thread::spawn(move || {
                let mut hello = [0; 4096];
                let _ = socket.read(&mut hello);
                let _ = socket.write_all(&bytes);
                let _ = socket.shutdown(std::net::Shutdown::Write);
                let _ = socket.read(&mut hello);
            });
        }
    });
    for _ in 0..count {
        let finished = fixture.inspect([localhost(address)]);
        assert_eq!(finished.code, Some(35), "{finished}");
    }
    // And a certificate that is hostile to terminals.
    let name = "a\u{1b}[2J\u{202e}b";
    let server = Spec::server(&["localhost"])
        .common_name(Some(name))
        .self_signed();
    let address =
        Careless::new(server.chain_with(&[]), &server.key_der()).serve(&version::TLS12, 20);
    let finished = fixture.inspect([localhost(address)]);
    assert_eq!(finished.code, Some(60), "{finished}");
    assert!(
        finished.out().contains("CN=a\\u{1b}[2J\\u{202e}b"),
        "{finished}"
    );
    assert!(finished.err().contains("[self-signed]"), "{finished}");
}

#[test]
fn arguments_that_make_no_sense_together_say_so() {
    let fixture = Fixture::new();
    for args in [
        &["--key", "k.pem", "localhost"][..],
        &["--pem", "x.pem", "a.example", "b.example"],
        &["--file", "x.pem", "localhost"],
        &["--expires-within", "soon", "localhost"],
        &["--starttls", "gopher", "localhost"],
        &[],
    ] {
        assert_eq!(fixture.inspect(args).code, Some(2), "{args:?}");
    }
    assert_eq!(fixture.inspect(["a:b:c"]).code, Some(3));
}
