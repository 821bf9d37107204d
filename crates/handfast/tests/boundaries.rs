//! What may be named where: the seams of the library that a reader would not see broken.

use std::fs;
use std::path::{Path, PathBuf};

/// The only file that may name the types of rustls' connections: what a change of rustls' interface reaches.
const CONNECTIONS: &str = "tls.rs";

/// What rustls calls a connection, its states and its keys, and the modules that hold nothing else.
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
                    "{}:{}: rustls' connections are named in {CONNECTIONS} alone: {line}",
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
