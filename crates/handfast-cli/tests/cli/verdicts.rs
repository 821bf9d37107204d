//! What is advised about a chain can be followed by its reader: the options exist, take the value that is
//! named, and then the chain verifies.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use handfast_testbed::launch::{Finished, OpensslServer, Program};
use handfast_testbed::pki::{Issued, Spec};

use crate::common::{Fixture, localhost};

const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate below so many intermediates, and those, lowest first.
fn below(fixture: &Fixture, spec: Spec, count: usize) -> (Issued, Vec<Issued>) {
    let mut intermediates = fixture.pki.intermediates(count);
    let end = intermediates
        .last()
        .unwrap_or(&fixture.pki.root)
        .issue(spec);
    intermediates.reverse();
    (end, intermediates)
}

fn fix(finished: &Finished) -> String {
    let err = finished.err();
    let fix = err.lines().find_map(|line| line.split_once("fix: "));
    fix.map(|(_, fix)| fix.to_owned()).unwrap_or_default()
}

#[test]
fn depth_is_limited_in_every_command_that_verifies_a_server() {
    let fixture = Fixture::new();
    let (end, above) = below(&fixture, Spec::server(&["localhost"]), 2);
    let above: Vec<&Issued> = above.iter().collect();
    let files = end.write(fixture.directory(), "deep", &above);
    let Some(server) = fixture.openssl(
        &end,
        &[
            OsStr::new("-www"),
            OsStr::new("-cert_chain"),
            files.chain_pem.as_os_str(),
        ],
    ) else {
        return;
    };
    let url = format!("https://{}/", localhost(server.address()));
    for (command, target) in [
        ("get", url.clone()),
        ("bench", url),
        ("inspect", localhost(server.address())),
        ("connect", localhost(server.address())),
    ] {
        let run = |depth: &str| {
            let mut args: Vec<OsString> = vec!["--depth".into(), depth.into()];
            match command {
                "bench" => args.extend(["-n", "1", "-c", "1"].map(Into::into)),
                "inspect" | "get" => args.push("--no-probe".into()),
                _ => {}
            }
            args.push(target.clone().into());
            fixture.run(command, args)
        };
        let refused = run("1");
        let told = refused.out() + &refused.err();
        assert!(told.contains("chain-too-deep"), "{command}: {refused}");
        assert_ne!(refused.code, Some(0), "{command}: {refused}");
        let accepted = run("2");
        assert_eq!(accepted.code, Some(0), "{command}: {accepted}");
        let mistyped = run("7");
        assert_eq!(mistyped.code, Some(2), "{command}: {mistyped}");
        assert!(mistyped.printed("from 0 to 6"), "{command}: {mistyped}");
    }
}

#[test]
fn the_depth_that_is_advised_can_be_set_and_helps() {
    let fixture = Fixture::new();
    for (intermediates, depth, advised) in [(3, "1", Some("--depth 3")), (8, "6", None)] {
        let (end, above) = below(&fixture, Spec::server(&["shop.example"]), intermediates);
        let above: Vec<&Issued> = above.iter().collect();
        let files = end.write(fixture.directory(), "deep", &above);
        let judge = |more: &[&OsStr]| {
            let mut args = vec![OsStr::new("--file"), files.chain_pem.as_os_str()];
            args.extend(more);
            fixture.run("inspect", args)
        };
        let refused = judge(&["--depth".as_ref(), depth.as_ref()]);
        assert!(refused.printed("[chain-too-deep]"), "{refused}");
        let fix = fix(&refused);
        match advised {
            Some(option) => {
                assert!(fix.contains(option), "{refused}");
                let words: Vec<&OsStr> = option.split(' ').map(OsStr::new).collect();
                let accepted = judge(&words);
                assert_eq!(accepted.code, Some(0), "{accepted}");
            }
            None => {
                assert!(!fix.contains("--depth"), "{refused}");
                assert!(fix.contains("--cacert"), "{refused}");
                // What is advised instead: to trust one of the intermediates.
                let nearer = fixture.write("nearer.pem", above[2].cert_pem());
                let accepted = judge(&["--cacert".as_ref(), nearer.as_ref()]);
                assert_eq!(accepted.code, Some(0), "{accepted}");
            }
        }
    }
}

#[test]
fn a_server_limits_the_depth_of_its_clients_chains() {
    let fixture = Fixture::new();
    let (end, above) = below(&fixture, Spec::client("alice"), 1);
    let above: Vec<&Issued> = above.iter().collect();
    let alice = end.write(fixture.directory(), "alice", &above);
    std::fs::create_dir(fixture.path("public")).unwrap();
    let serve = |depth: &str| {
        Program::at(env!("CARGO_BIN_EXE_handfast"))
            .args(["serve", "--listen", "127.0.0.1:0", "--depth", depth])
            .args(["--cert".as_ref(), fixture.chain.as_os_str()])
            .args(["--key".as_ref(), fixture.key.as_os_str()])
            .args(["--client-ca".as_ref(), fixture.ca.as_os_str()])
            .arg(fixture.path("public"))
            .start()
    };
    for (depth, code, says) in [("0", 56, "[chain-too-deep]"), ("1", 0, "200")] {
        let server = serve(depth);
        let line = server.wait_for("listening on https://127.0.0.1:", PATIENCE);
        let line = line.unwrap_or_else(|| panic!("{}", server.output()));
        let port = server
            .wait_until(PATIENCE, |said| {
                let (_, rest) = said.split_once("listening on https://127.0.0.1:")?;
                rest.split_once('/').map(|(port, _)| port.to_owned())
            })
            .unwrap_or(line);
        let finished = fixture.run(
            "get",
            [
                OsStr::new("--no-probe"),
                "--cert".as_ref(),
                alice.chain_pem.as_os_str(),
                "--key".as_ref(),
                alice.key_pem.as_os_str(),
                format!("https://localhost:{port}/").as_ref(),
            ],
        );
        assert_eq!(finished.code == Some(0), code == 0, "{finished}");
        server.expect_output(says, PATIENCE);
    }
}

/// Every kind of advice that speaks of one end only, and the words of the other end.
#[test]
fn advice_about_a_client_s_chain_in_a_file_does_not_speak_of_servers() {
    let fixture = Fixture::new();
    let (end, _) = below(
        &fixture,
        Spec::client("alice").ca_issuers("http://ca.example/1"),
        1,
    );
    let ca = fixture.pki.root.issue(Spec::authority("Office"));
    let own = Spec::client("alice").self_signed();
    let server = fixture.pki.server(&["shop.example"]);
    for (issued, id) in [
        (&end, "missing-intermediate"),
        (&own, "self-signed"),
        (&ca, "ca-used-as-end-entity"),
        (&server, "wrong-purpose"),
    ] {
        let file = fixture.files("judged", issued).chain_pem;
        let judged = fixture.run(
            "inspect",
            [
                OsStr::new("--purpose"),
                "client".as_ref(),
                "--file".as_ref(),
                file.as_ref(),
            ],
        );
        assert!(judged.printed(&format!("[{id}]")), "{id}: {judged}");
        let fix = fix(&judged);
        assert!(!fix.is_empty() && !fix.contains("server"), "{id}: {fix}");
    }
}

/// The kinds of keys that OpenSSL makes and that no handshake is signed by here: arguments and name. The last
/// says whether it is for TLS 1.3, too, as OpenSSL sees it.
const FOREIGN_KEYS: [(&[&str], &str, bool); 6] = [
    (
        &["ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
        "EC secp256k1",
        false,
    ),
    (
        &["ec", "-pkeyopt", "ec_paramgen_curve:P-224"],
        "EC P-224",
        false,
    ),
    (
        &["ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"],
        "EC brainpoolP256r1",
        false,
    ),
    (
        &["rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"],
        "RSA-PSS",
        true,
    ),
    (&["ed448"], "Ed448", true),
    (&["ed25519"], "", true),
];

/// A certificate for `localhost` that vouches for itself, with a key of this kind: two files.
fn of_a_foreign_key(fixture: &Fixture, key: &[&str]) -> Option<(PathBuf, PathBuf)> {
    let (chain, file) = (fixture.path("foreign.pem"), fixture.path("foreign.key"));
    let made = Program::new("openssl")?
        .args([
            "req",
            "-x509",
            "-nodes",
            "-days",
            "9",
            "-subj",
            "/CN=localhost",
            "-newkey",
        ])
        .args(key)
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout"])
        .arg(&file)
        .arg("-out")
        .arg(&chain)
        .run();
    assert!(made.succeeded(), "{made}");
    Some((chain, file))
}

#[test]
fn a_key_of_a_kind_that_is_not_supported_is_told_as_that_wherever_it_is_met() {
    let fixture = Fixture::new();
    for (key, kind, is_for_tls13) in FOREIGN_KEYS {
        let Some((chain, file)) = of_a_foreign_key(&fixture, key) else {
            return;
        };
        let trust = |program: Program| program.args(["--cacert"]).arg(&chain);
        // In a file.
        let judged = trust(fixture.program("inspect"))
            .arg("--file")
            .arg(&chain)
            .run();
        assert_eq!(
            judged.printed("[unsupported-key]"),
            !kind.is_empty(),
            "{kind}: {judged}"
        );
        assert!(judged.printed(kind), "{kind}: {judged}");
        // As a server's own, in a line.
        if !kind.is_empty() && kind != "EC P-224" {
            let served = fixture
                .program("serve")
                .arg("--cert")
                .arg(&chain)
                .arg("--key")
                .arg(&file)
                .arg(fixture.directory())
                .run();
            assert!(served.printed("[unsupported-key-type]"), "{kind}: {served}");
        }
        // As a server's, whatever version it speaks.
        for version in ["-tls1_2", "-tls1_3"] {
            let args = [
                OsStr::new("-cert"),
                chain.as_ref(),
                "-key".as_ref(),
                file.as_ref(),
                "-www".as_ref(),
                version.as_ref(),
            ];
            let Some(server) = OpensslServer::launch(&args) else {
                return;
            };
            let url = format!("https://{}/", localhost(server.address()));
            let got = trust(fixture.program("get")).arg(url).run();
            if kind.is_empty() {
                assert!(got.succeeded(), "{version}: {got}");
            } else if version == "-tls1_2" || is_for_tls13 {
                assert!(
                    got.printed("[no-shared-signature-scheme]"),
                    "{kind} {version}: {got}"
                );
                let named = format!("not supported: {kind}");
                assert!(got.printed(&named), "{kind} {version}: {got}");
            } else {
                // It says nothing but that it refuses: no version is the cause, and no group.
                assert!(got.printed("[alert-received]"), "{kind} {version}: {got}");
                assert!(
                    got.printed("a key that it cannot use"),
                    "{kind} {version}: {got}"
                );
            }
        }
    }
}

/// Without --name a file is judged for a name of its own: one that can be asked for, or the one that was meant.
#[test]
fn names_that_match_nothing_are_told_in_a_file_and_of_a_server_s_own_certificate() {
    let fixture = Fixture::new();
    for (names, verified, says) in [
        (
            &["https://shop.example", "www.shop.example"][..],
            true,
            "a URL is not a DNS name",
        ),
        (
            &["shop.example:8443"],
            false,
            "issued again with the name shop.example",
        ),
        (&["*.com"], false, "top-level name covers nothing"),
    ] {
        let file = fixture.files("named", &fixture.pki.server(names));
        let judged = fixture.run("inspect", [OsStr::new("--file"), file.chain_pem.as_ref()]);
        assert_eq!(judged.code == Some(0), verified, "{names:?}: {judged}");
        assert!(judged.printed(says), "{names:?}: {judged}");
        assert!(judged.printed("never matches"), "{names:?}: {judged}");
        let server = Program::at(env!("CARGO_BIN_EXE_handfast"))
            .args(["serve", "--listen", "127.0.0.1:0", "--cert"])
            .arg(&file.chain_pem)
            .arg("--key")
            .arg(&file.key_pem)
            .arg(fixture.directory())
            .start();
        let warned = format!("the name \"{}\" in the certificate never matches", names[0]);
        server.expect_output(&warned, PATIENCE);
        server.expect_output("listening on", PATIENCE);
    }
}
