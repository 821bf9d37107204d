//! Dependencies of crates point downwards, as ARCHITECTURE.md says, and rustls stays beneath.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// From the bottom to the top: a crate may use those of lower layers, not of its own.
const LAYERS: [&[&str]; 6] = [
    &[
        "handfast",
        "handfast-http",
        "handfast-ca",
        "handfast-confine",
    ],
    &["handfast-dial", "handfast-probe"],
    &["handfast-https", "handfast-load"],
    &["handfast-files"],
    &["handfast-site"],
    &["handfast-cli"],
];

/// Test code may stand above all, and everything may use it in tests.
const OF_TESTS: [&str; 2] = ["handfast-testbed", "handfast-conformance"];

/// What a crate is compiled with, dependencies of its tests left out.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut counts = false;
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            counts = section.ends_with("dependencies")
                && !section.ends_with("dev-dependencies")
                && !section.ends_with("build-dependencies");
        } else if counts && line.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let end = line.find([' ', '.', '=']).unwrap_or(line.len());
            found.insert(line[..end].to_owned());
        }
    }
    found
}

fn crates() -> BTreeMap<String, BTreeSet<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if let Ok(manifest) = fs::read_to_string(entry.path().join("Cargo.toml")) {
            found.insert(name, dependencies(&manifest));
        }
    }
    found
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

#[test]
fn dependencies_point_downwards_only() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (name, used) in crates() {
        if OF_TESTS.contains(&name.as_str()) {
            continue;
        }
        let Some(own) = layer(&name) else {
            wrong.push(format!("{name} has no layer"));
            continue;
        };
        for other in used.iter().filter(|other| other.starts_with("handfast")) {
            seen += 1;
            if layer(other).is_none_or(|layer| layer >= own) {
                wrong.push(format!("{name} uses {other}"));
            }
        }
    }
    assert!(seen > 15, "only {seen} dependencies were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rustls_is_used_by_the_library_alone() {
    let users = crates().into_iter().filter(|(name, used)| {
        let is_one = |used: &String| used == "rustls" || used == "webpki";
        !OF_TESTS.contains(&name.as_str()) && used.iter().any(is_one)
    });
    let users: Vec<_> = users.map(|(name, _)| name).collect();
    assert_eq!(users, ["handfast"]);
}

/// The profile for development optimises everything except the crates that it names.
#[test]
fn the_crates_of_the_workspace_are_named_in_the_profile_for_development() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let manifest = fs::read_to_string(root).unwrap();
    for name in crates().keys() {
        let section = format!("\n[profile.dev.package.{name}]\nopt-level = 0\n");
        assert!(manifest.contains(&section), "{name}");
    }
}
