//! What the libraries show to others: it stands in `docs/surface`, so that what changes there is seen
//! (`HANDFAST_WRITE_SURFACE=1` writes the files); it can grow; and it names no types of other crates but common ones.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::surface::{Shown, surfaces};

#[test]
fn the_public_surface_is_the_one_that_is_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/surface");
    let surfaces = surfaces();
    assert!(
        surfaces.len() > 8,
        "only {} libraries were found",
        surfaces.len()
    );
    let mut changed = Vec::new();
    for Shown { library, text, .. } in surfaces {
        let surface = text;
        assert!(surface.lines().count() > 3, "{library}: {surface}");
        let path = folder.join(format!("{library}.txt"));
        if std::env::var_os("HANDFAST_WRITE_SURFACE").is_some() {
            fs::write(&path, &surface).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        let (old, new): (BTreeSet<_>, BTreeSet<_>) =
            (written.lines().collect(), surface.lines().collect());
        changed.extend(old.difference(&new).map(|line| format!("- {line}")));
        changed.extend(new.difference(&old).map(|line| format!("+ {line}")));
    }
    assert!(
        changed.is_empty(),
        "the public surface has changed; if it should, write it down with HANDFAST_WRITE_SURFACE=1:\n{}",
        changed.join("\n")
    );
}

/// Crates whose types may stand in a public signature: the common words of the ecosystem.
const COMMON: [&str; 9] = [
    "std",
    "http",
    "http_body",
    "bytes",
    "tokio",
    "pki_types",
    "tower_service",
    // Secrets that are erased.
    "zeroize",
    // Derived for the records of the local authority.
    "serde",
];

#[test]
fn no_type_of_another_crate_is_public_but_common_ones() {
    let mut leaks = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for Shown { foreign, .. } in surfaces() {
        for (path, line) in foreign {
            let root = path.split("::").next().unwrap_or_default().to_owned();
            if root.starts_with("handfast") || root.starts_with(char::is_uppercase) {
                continue;
            }
            if !COMMON.contains(&root.as_str()) {
                leaks.insert(format!("{path}: {line}"));
            }
            seen.insert(root);
        }
    }
    assert!(seen.contains("http") && seen.contains("bytes"), "{seen:?}");
    assert!(
        leaks.is_empty(),
        "types of other crates are public:\n{}",
        leaks.into_iter().collect::<Vec<_>>().join("\n")
    );
}

/// Types with public fields or variants to which nothing can be added without breaking those who use them, and why.
const CLOSED: [(&[&str], &str); 6] = [
    (
        &[
            "handfast::Ending",
            "handfast::ReadOutcome",
            "handfast::Line",
            "handfast_https::server::TransferEnd",
        ],
        "whether everything arrived is decided by a match: an answer that it does not name must not compile",
    ),
    (
        &[
            "handfast::Side",
            "handfast::registry::Grade",
            "handfast_probe::Order",
            "handfast_ca::Change",
        ],
        "there are no other answers",
    ),
    (
        &[
            "handfast::Plain",
            "handfast::registry::GroupId",
            "handfast::registry::SchemeId",
            "handfast::registry::SuiteId",
            "handfast_ca::IpNetwork",
        ],
        "a value by definition: a number of TLS, an address and a length",
    ),
    (
        &[
            "handfast_http::h1::Found",
            "handfast_http::h1::Framing",
            "handfast_http::h2::CannotOpen",
            "handfast_http::h2::Cut",
            "handfast_http::h2::Event",
            "handfast_http::h2::Filling",
            "handfast_http::h2::Judged",
            "handfast_http::h2::Turn",
            "handfast_http::h2::frame::Piece",
        ],
        "a driver of the core that does not handle one of them leaves a stream hanging: it must not compile",
    ),
    (
        &[
            "handfast_http::h1::request::Bounds",
            "handfast_http::h1::response::Bounds",
            "handfast_http::h2::Bounds",
            "handfast_http::h2::Limits",
        ],
        "a driver chooses each limit: a new one must not be chosen for it",
    ),
    (
        &[
            "handfast_http::h1::request::Refusal",
            "handfast_http::h2::NewRequest",
        ],
        "made by drivers, and complete: an answer and its reason; what a request is",
    ),
];

#[test]
fn public_types_that_may_grow_are_open() {
    let closed: BTreeSet<&str> = CLOSED
        .iter()
        .flat_map(|(names, _)| *names)
        .copied()
        .collect();
    let mut found = BTreeSet::new();
    for Shown { text, .. } in surfaces() {
        for line in text.lines() {
            let Some(at) = line.find("enum ").or_else(|| line.find("struct ")) else {
                continue;
            };
            let is_item = line[..at].is_empty() || line[..at].ends_with("] ");
            if !is_item || line[..at].contains("non_exhaustive") {
                continue;
            }
            let name = line[at..].split([' ', '<', '(']).nth(1).unwrap_or_default();
            let shows = |line: &str| line.contains(&format!("{name}.")) && line.contains(": ");
            if line[at..].starts_with("enum") || text.lines().any(shows) {
                found.insert(name.to_owned());
            }
        }
    }
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let unlisted: Vec<_> = found.difference(&closed).collect();
    assert!(
        unlisted.is_empty(),
        "make these non_exhaustive, or say why not: {unlisted:?}"
    );
    let gone: Vec<_> = closed.difference(&found).collect();
    assert!(gone.is_empty(), "not there, or open: {gone:?}");
}
