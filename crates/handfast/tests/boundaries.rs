//! Checks which files may use which types.

use std::fs;
use std::path::{Path, PathBuf};

/// The only file that may use the types of rustls' connections, so that a change of rustls' interface affects only
/// this file.
const CONNECTIONS: &str = "tls.rs";

/// rustls' names of connections, their states and keys, and the modules that contain nothing else.
const CONNECTION_NAMES: [&str; 16] = [
    "ClientConnection",
    "ServerConnection",
    "UnbufferedClientConnection",
    "UnbufferedServerConnection",
    "UnbufferedConnectionCommon",
    "UnbufferedStatus",
    "ConnectionCommon",
    "ConnectionState",
    "CommonState",
    "KernelConnection",
    "ClientConnectionData",
    "ServerConnectionData",
    "ConnectionTrafficSecrets",
    "ExtractedSecrets",
    "HandshakeKind",
    "EncodeError",
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[test]
fn one_file_names_the_types_of_rustls_connections() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut named_in_it = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let named = words(line).find(|word| CONNECTION_NAMES.contains(word));
            let modules = line.contains("rustls::kernel") || line.contains("rustls::unbuffered");
            if file == root.join(CONNECTIONS) {
                named_in_it += usize::from(named.is_some());
            } else {
                assert!(
                    named.is_none() && !modules,
                    "{}:{}: rustls' connections may be named only in {CONNECTIONS}: {line}",
                    file.display(),
                    number + 1,
                );
            }
        }
    }
    assert!(
        named_in_it > 0,
        "{CONNECTIONS} names none: is it the right file?"
    );
}
