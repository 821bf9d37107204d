//! What `handfast get` makes of the platform's store: the certificates that a chain leads to are looked
//! for before the store is read as a whole, and the results must not differ.

use std::fs;
use std::path::{Path, PathBuf};

use handfast_testbed::launch::{Finished, OpensslServer, Program};
use handfast_testbed::pki::{Issued, Pki, Spec};

/// The bundle and the directory that stand for the platform's.
#[derive(Default)]
struct Store {
    bundle: Option<PathBuf>,
    directory: Option<PathBuf>,
}

fn get(store: &Store, address: &str, place: &Path) -> Finished {
    let mut program = Program::at(env!("CARGO_BIN_EXE_handfast"))
        .env("HANDFAST_CA_DIR", place.join("no-such-ca"))
        .args(["get", "-sS", "--no-probe"])
        .arg(format!("https://{address}/"));
    if let Some(bundle) = &store.bundle {
        program = program.env("SSL_CERT_FILE", bundle);
    }
    if let Some(directory) = &store.directory {
        program = program.env("SSL_CERT_DIR", directory);
    }
    program.run()
}

/// Authorities that have nothing to do with the case, some with the very name of the one that has.
fn strangers(count: usize) -> String {
    (0..count)
        .map(|index| {
            let name = match index % 3 {
                0 => "Test Root".to_owned(),
                _ => format!("stranger {index}"),
            };
            Spec::authority(&name).self_signed().cert_pem()
        })
        .collect()
}

fn serve(issued: &Issued, issuers: &[&Issued], place: &Path) -> Option<OpensslServer> {
    let files = issued.write(place, "server", issuers);
    OpensslServer::launch(&[
        "-cert".as_ref(),
        files.chain_pem.as_os_str(),
        "-cert_chain".as_ref(),
        files.chain_pem.as_os_str(),
        "-key".as_ref(),
        files.key_pem.as_os_str(),
        "-www".as_ref(),
    ])
}

#[test]
fn a_store_verifies_what_it_trusts_wherever_the_certificate_lies_in_it() {
    let place = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let intermediates = pki.intermediates(1);
    let issued = intermediates[0].issue(Spec::server(&["localhost", "127.0.0.1"]));
    let Some(server) = serve(&issued, &[&intermediates[0]], place.path()) else {
        return;
    };
    let address = server.address().to_string();

    let root = pki.root.cert_pem();
    let many = strangers(30);
    let middle = root.len() / 2;
    let broken = format!("{}*{}", &root[..middle], &root[middle + 1..]);
    let unusable = Spec::authority("an authority of version 1")
        .fault(handfast_testbed::pki::Fault::Version1)
        .self_signed()
        .cert_pem();
    let cases = [
        ("alone", Some(root.clone()), None, 0),
        ("at the end", Some(format!("{many}{root}")), None, 0),
        ("in front", Some(format!("{root}{many}")), None, 0),
        ("with CRLF", Some(root.replace('\n', "\r\n")), None, 0),
        (
            "after a broken one",
            Some(format!("{broken}{unusable}{root}")),
            None,
            0,
        ),
        (
            "the intermediate alone",
            Some(format!("{many}{}", intermediates[0].cert_pem())),
            None,
            0,
        ),
        (
            "the server's own certificate",
            Some(format!("{many}{}", issued.cert_pem())),
            None,
            0,
        ),
        (
            "in the directory beside the bundle",
            Some(many.clone()),
            Some(root.clone()),
            0,
        ),
        ("in a directory alone", None, Some(root.clone()), 0),
        ("strangers only", Some(many.clone()), None, 60),
        ("only broken", Some(format!("{many}{broken}")), None, 60),
    ];
    for (index, (what, bundle, directory, expected)) in cases.into_iter().enumerate() {
        let mut store = Store::default();
        if let Some(text) = bundle {
            let file = place.path().join(format!("bundle-{index}.pem"));
            fs::write(&file, text).unwrap();
            store.bundle = Some(file);
        }
        if let Some(text) = directory {
            let inside = place.path().join(format!("directory-{index}"));
            fs::create_dir(&inside).unwrap();
            fs::write(inside.join("root.pem"), text).unwrap();
            store.directory = Some(inside);
        }
        let finished = get(&store, &address, place.path());
        assert_eq!(finished.code, Some(expected), "{what}: {}", finished.err());
        if expected == 0 {
            assert!(finished.out().contains("Cipher"), "{what}");
        } else {
            assert!(finished.printed("issuer"), "{what}: {}", finished.err());
        }
    }
}

/// A glance at the bundle must not lead past a rule: what is wrong is found, and named, as ever.
#[test]
fn a_trusted_name_lets_nothing_pass_that_is_wrong() {
    let place = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let bundle = place.path().join("bundle.pem");
    fs::write(&bundle, format!("{}{}", strangers(5), pki.root.cert_pem())).unwrap();
    let store = Store {
        bundle: Some(bundle),
        directory: None,
    };
    let stranger = Spec::authority("Test Root").self_signed();
    let names = ["localhost", "127.0.0.1"];
    for (what, issued, said) in [
        (
            "expired",
            pki.root.issue(Spec::server(&names).expired()),
            "expired",
        ),
        (
            "another name",
            pki.root.issue(Spec::server(&["other.test"])),
            "other.test",
        ),
        (
            "a namesake's signature",
            stranger.issue(Spec::server(&names)),
            "another key",
        ),
    ] {
        let Some(server) = serve(&issued, &[], place.path()) else {
            return;
        };
        let finished = get(&store, &server.address().to_string(), place.path());
        assert_eq!(finished.code, Some(60), "{what}: {}", finished.err());
        assert!(finished.printed(said), "{what}: {}", finished.err());
    }
}
