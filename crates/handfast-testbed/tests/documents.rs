//! What the documents say of the tree is so: the map of ARCHITECTURE.md, and the tests that docs/requirements.md names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that the map need not name: test code, and what is there for fuzzing alone.
const WITHOUT_MENTION: [&str; 5] = ["lib", "main", "golden", "tests", "fuzzing"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The names in a folder, sorted, `target` and hidden ones left out.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| !name.starts_with('.') && name != "target")
        .collect()
}

/// Every file and folder beneath a folder.
fn beneath(folder: &Path, found: &mut Vec<PathBuf>) {
    for name in names(folder) {
        let path = folder.join(name);
        if path.is_dir() {
            beneath(&path, found);
        }
        found.push(path);
    }
}

/// The map: what stands between the first pair of fences.
fn map() -> String {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    text.split("```").nth(1).expect("a map").to_owned()
}

/// The map's crates with all that is said of each.
fn crates_of(map: &str) -> Vec<(String, String)> {
    let mut crates: Vec<(String, String)> = Vec::new();
    for line in map.lines().skip_while(|line| *line != "crates/").skip(1) {
        if !line.starts_with(' ') {
            break;
        }
        let is_crate = line.starts_with("  ") && !line.starts_with("   ");
        if let (true, Some((name, rest))) = (is_crate, line.trim().split_once('/')) {
            crates.push((name.to_owned(), rest.to_owned()));
        } else if let Some((_, text)) = crates.last_mut() {
            text.push('\n');
            text.push_str(line);
        }
    }
    crates
}

/// Files (`x.rs`) and folders (`x/`) that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let words = text.split(|c: char| !is_part(c));
    let words = words.map(|word| word.trim_matches('.'));
    words
        .filter(|word| word.ends_with(".rs") || (word.ends_with('/') && word.len() > 1))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_map_names_every_crate_and_no_other() {
    let map = map();
    let mapped: BTreeSet<String> = crates_of(&map).into_iter().map(|(name, _)| name).collect();
    assert_eq!(mapped, names(&root().join("crates")));
    for line in map.lines().filter(|line| !line.starts_with(' ')) {
        let folder = line.split_whitespace().next().unwrap_or_default();
        assert!(root().join(folder).is_dir(), "{folder} is not there");
    }
}

#[test]
fn what_the_map_names_is_there() {
    for (name, text) in crates_of(&map()) {
        let folder = root().join("crates").join(&name);
        let mut there = Vec::new();
        beneath(&folder, &mut there);
        for word in named(&text) {
            let wanted = Path::new(word.trim_end_matches('/'));
            let found = there.iter().any(|path| path.ends_with(wanted));
            assert!(found, "{name}: the map names {word}, which is not there");
        }
    }
}

#[test]
fn the_map_names_every_module_at_the_top_of_a_crate() {
    let mut missing = Vec::new();
    for (name, text) in crates_of(&map()) {
        let named = named(&text);
        for entry in names(&root().join("crates").join(&name).join("src")) {
            let stem = entry.trim_end_matches(".rs");
            let is_named = named.contains(&format!("{stem}.rs"))
                || named
                    .iter()
                    .any(|word| word.split('/').next() == Some(stem));
            if !is_named && !WITHOUT_MENTION.contains(&stem) {
                missing.push(format!("{name}/src/{entry}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "the map does not name {}",
        missing.join(", ")
    );
}

/// A file, and the names of tests in it.
type Tests = (PathBuf, Vec<String>);

/// The rows of docs/requirements.md: what is promised, and the tests: `FILE: name, name`.
fn requirements() -> Vec<(String, Vec<Tests>)> {
    let text = fs::read_to_string(root().join("docs/requirements.md")).unwrap();
    let mut rows = Vec::new();
    for item in text.split("\n- ").skip(1) {
        let item = item.split("\n\n").next().unwrap_or_default();
        let mut tests: Vec<Tests> = Vec::new();
        for word in item.split('`').skip(1).step_by(2) {
            if word.contains('/') && (word.ends_with(".rs") || !word.contains(' ')) {
                tests.push((root().join(word), Vec::new()));
            } else if let Some((_, names)) = tests.last_mut() {
                names.push(word.to_owned());
            }
        }
        let promise = item.split("\n  ").next().unwrap_or_default().to_owned();
        rows.push((promise, tests));
    }
    rows
}

#[test]
fn every_requirement_names_tests_that_exist() {
    let rows = requirements();
    assert!(rows.len() > 40, "{} requirements", rows.len());
    for (promise, tests) in rows {
        assert!(!tests.is_empty(), "no test is named for: {promise}");
        for (file, names) in tests {
            let text = fs::read_to_string(&file).unwrap_or_else(|error| {
                panic!("{}: {error}, named for: {promise}", file.display())
            });
            if file.extension().is_some_and(|extension| extension == "rs") {
                assert!(!names.is_empty(), "{}: no test is named", file.display());
            }
            for name in names {
                let is_there = text.match_indices(&format!("fn {name}(")).any(|(at, _)| {
                    let before = text[..at].trim_end_matches("async ").trim_end();
                    // Tests without the harness are in a table, by their names.
                    before.ends_with(']') || text.contains(&format!("\"{name}\""))
                });
                assert!(is_there, "{}: there is no test {name}", file.display());
            }
        }
    }
}
