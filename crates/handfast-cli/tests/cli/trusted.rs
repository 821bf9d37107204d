//! What the commands report of trusted certificates that cannot be trust anchors: beside a success, and as the
//! reason of a failure.

use std::fs;
use std::path::{Path, PathBuf};

use handfast_testbed::launch::{Finished, OpensslServer, Program};
use handfast_testbed::pki::{Fault, Issued, Pki, Spec, pem};
use serde_json::Value;

fn handfast(place: &Path, store: Option<&Path>, arguments: &[&str]) -> Finished {
    let program = Program::at(env!("CARGO_BIN_EXE_handfast"))
        .env("HANDFAST_CA_DIR", place.join("no-such-ca"))
        .env(
            "SSL_CERT_FILE",
            store.unwrap_or(&place.join("no-store.pem")),
        );
    program.args(arguments).run()
}

fn put(place: &Path, name: &str, text: &str) -> PathBuf {
    let path = place.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn serve(issued: &Issued, place: &Path) -> Option<OpensslServer> {
    let files = issued.write(place, "server", &[]);
    OpensslServer::launch(&[
        "-cert".as_ref(),
        files.chain_pem.as_os_str(),
        "-key".as_ref(),
        files.key_pem.as_os_str(),
        "-www".as_ref(),
    ])
}

#[test]
fn commands_name_trusted_certificates_that_can_issue_nothing() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let pki = Pki::new();
    let leaf = pki.server(&["localhost"]);
    let old = pki
        .root
        .issue(Spec::authority("Old").fault(Fault::Version1));
    let text = [&pki.root, &old, &leaf].map(|one| one.cert_pem()).concat();
    let file = put(place, "mixed.pem", &text);
    let (file, chain) = (
        file.to_str().unwrap(),
        put(place, "chain.pem", &leaf.cert_pem()),
    );
    let trust = ["--cacert", file];
    let says = |finished: &Finished| {
        let told = format!("{}{}", finished.out(), finished.err());
        assert!(told.contains("certificate 2: "), "{told}");
        assert!(told.contains("X.509 version 1"), "{told}");
        assert!(told.contains("certificate 3: "), "{told}");
        assert!(told.contains("CA:FALSE"), "{told}");
    };
    let inspect = ["inspect", "--file", chain.to_str().unwrap()];
    let finished = handfast(place, None, &[&inspect[..], &trust].concat());
    assert_eq!(finished.code, Some(0), "{finished}");
    says(&finished);
    let finished = handfast(place, None, &[&inspect[..], &trust, &["--json"]].concat());
    let document: Value = serde_json::from_slice(&finished.stdout).unwrap();
    let problems = document["inspected"][0]["trust_problems"]
        .as_array()
        .unwrap();
    let expected = [("old-version", 2, false), ("not-an-authority", 3, true)];
    assert_eq!(problems.len(), expected.len(), "{document}");
    for (problem, (id, position, is_trusted_as_itself)) in problems.iter().zip(expected) {
        assert_eq!(problem["id"], id, "{problem}");
        assert_eq!(problem["position"], position, "{problem}");
        assert_eq!(
            problem["trusted_as_itself"], is_trusted_as_itself,
            "{problem}"
        );
        assert_eq!(problem["file"], file, "{problem}");
        assert!(problem["line"].is_u64(), "{problem}");
    }
    let Some(server) = serve(&leaf, place) else {
        return;
    };
    let port = server.address().port();
    let url = format!("https://localhost:{port}/");
    let get = ["get", "-sS", "--no-probe", "-o", "/dev/null", &url];
    let finished = handfast(place, None, &[&get[..], &trust, &["-v"]].concat());
    assert_eq!(finished.code, Some(0), "{finished}");
    says(&finished);
    let finished = handfast(place, None, &[&get[..], &trust].concat());
    assert!(!finished.err().contains("certificate 2"), "{finished}");
    let fixture = ["bench", "--no-progress", "-n", "1", &url];
    let fixture = match handfast(place, None, &["bench", "--help"])
        .out()
        .contains("--no-progress")
    {
        true => fixture.to_vec(),
        false => vec!["bench", "-n", "1", &url],
    };
    says(&handfast(place, None, &[&fixture[..], &trust].concat()));
}

/// Each way in which the certificate of the issuer can be at hand and of no use.
#[test]
fn an_issuer_that_is_at_hand_and_unusable_is_told_by_what_is_wrong_with_it() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let names = ["localhost", "127.0.0.1"];
    let old = Spec::authority("Old Root")
        .fault(Fault::Version1)
        .self_signed();
    let plain = Spec::authority("Plain Root").self_signed();
    let other = Spec::authority("Other").self_signed().cert_pem();
    let broken = plain.cert_pem().replacen("MII", "M*I", 1);
    let trusted = pem("TRUSTED CERTIFICATE", &plain.der);
    for (what, root, store, id, says) in [
        (
            "an old root",
            &old,
            old.cert_pem(),
            "[trusted-issuer-unusable]",
            "X.509 version 1",
        ),
        (
            "OpenSSL's own form",
            &plain,
            trusted,
            "[trusted-issuer-unusable]",
            "only OpenSSL reads",
        ),
        ("a broken one", &plain, broken, "issuer]", "the character *"),
    ] {
        let leaf = root.issue(Spec::server(&names));
        let Some(server) = serve(&leaf, place) else {
            return;
        };
        let url = format!("https://{}/", server.address());
        let get = ["get", "-sS", "--no-probe", "-o", "/dev/null", &url];
        let store = put(place, "store.pem", &format!("{other}{store}"));
        let finished = handfast(place, Some(&store), &get);
        assert_eq!(finished.code, Some(60), "{what}: {finished}");
        let told = finished.err().to_owned();
        assert!(told.contains(id) && told.contains(says), "{what}: {told}");
        assert!(told.contains("store.pem, line "), "{what}: {told}");
        // Named, it is a root.
        let file = put(place, "root.pem", &root.cert_pem());
        let finished = handfast(
            place,
            Some(&store),
            &[&get[..], &["--cacert", file.to_str().unwrap()]].concat(),
        );
        assert_eq!(finished.code, Some(0), "{what}: {finished}");
    }
}

/// Every command that verifies servers, told to reach one: its arguments before those of the trust, and behind.
fn verifying_commands(port: u16) -> [Vec<String>; 4] {
    let authority = format!("localhost:{port}");
    let url = format!("https://{authority}/");
    [
        vec!["get", "--no-probe", "-o", "/dev/null", &url],
        vec!["inspect", "-q", "--no-probe", &authority],
        vec!["bench", "-n", "1", "-c", "1", &url],
        vec!["connect", "-q", "--no-probe", &authority],
    ]
    .map(|words| words.into_iter().map(str::to_owned).collect())
}

#[test]
fn the_certificates_of_cacert_and_capath_replace_the_store_and_those_of_add_cacert_do_not() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let (pki, other) = (Pki::new(), Pki::new());
    let Some(server) = serve(&pki.server(&["localhost"]), place) else {
        return;
    };
    let mine = put(place, "mine.pem", &pki.root.cert_pem());
    let others = put(place, "others.pem", &other.root.cert_pem());
    for (name, root) in [("mine", &pki.root), ("others", &other.root)] {
        fs::create_dir(place.join(name)).unwrap();
        put(&place.join(name), "root.pem", &root.cert_pem());
    }
    let at = |name: &str| place.join(name).display().to_string();
    let [my_file, other_file, my_dir, other_dir] =
        ["mine.pem", "others.pem", "mine", "others"].map(at);
    // The store, the trust, and whether the server is accepted.
    let table: &[(&Path, &[&str], bool)] = &[
        (&mine, &[], true),
        (&mine, &["--cacert", &other_file], false),
        (&mine, &["--capath", &other_dir], false),
        (&mine, &["--cacert", &other_file, "--only-cacert"], false),
        (&mine, &["--add-cacert", &other_file], true),
        (&others, &[], false),
        (&others, &["--cacert", &my_file], true),
        (&others, &["--capath", &my_dir], true),
        (&others, &["--add-cacert", &my_file], true),
        (
            &others,
            &["--cacert", &other_file, "--add-cacert", &my_file],
            true,
        ),
        (
            &others,
            &["--cacert", &other_file, "--cacert", &my_file],
            true,
        ),
        (
            &others,
            &["--capath", &my_dir, "--cacert", &other_file],
            true,
        ),
    ];
    for command in verifying_commands(server.address().port()) {
        for (store, trust, is_accepted) in table {
            let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
            arguments.extend(*trust);
            let finished = handfast(place, Some(store), &arguments);
            let expected = if *is_accepted { 0 } else { 60 };
            assert_eq!(finished.code, Some(expected), "{arguments:?}: {finished}");
        }
    }
}

#[test]
fn a_directory_without_certificates_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let empty = place.join("empty");
    fs::create_dir(&empty).unwrap();
    for directory in [empty, place.join("none")] {
        let directory = directory.display().to_string();
        let finished = handfast(place, None, &["get", "--capath", &directory, "localhost:1"]);
        assert_eq!(finished.code, Some(77), "{finished}");
    }
}
