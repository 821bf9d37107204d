//! Golden files for messages to users: each changed text must be read again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// If set, the files are rewritten. Read each one that changes.
const WRITE: &str = "HANDFAST_WRITE_EXPLANATIONS";

/// A longer line takes too many lines of a terminal.
const WIDTH_MAX: usize = 230;

/// Output of Rust's `Debug`.
const DEBUGGING: [&str; 7] = ["Some(", "None,", "Os {", "Custom", "::", " { ", "os error"];

/// Advice to verify less, which users would follow.
const LESS: [&str; 5] = [
    "--insecure",
    " -k ",
    "accept_any",
    "verification off",
    "danger",
];

/// Compares explanations with the files of a directory: `NAME.txt` for each, and no file beside them.
///
/// Each must be readable: at most `lines_max` lines, without control characters, without output of Rust's
/// `Debug`, and without the advice to verify less.
///
/// # Panics
/// When a text differs from its file, is not readable, or has a name twice; when a file belongs to no text.
pub fn compare(
    directory: &Path,
    lines_max: usize,
    texts: impl IntoIterator<Item = (String, String)>,
) {
    let write = std::env::var_os(WRITE).is_some();
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for (name, text) in texts {
        assert_fit(&name, &text, lines_max);
        let file = directory.join(format!("{name}.txt"));
        if write {
            fs::create_dir_all(directory).expect("the directory can be made");
            fs::write(&file, &text).expect("the text can be written");
        }
        if fs::read_to_string(&file).ok().as_deref() != Some(&text) {
            wrong.push(format!("{}:\n{text}", file.display()));
        }
        assert!(names.insert(name.clone()), "{name} twice");
    }
    assert!(wrong.is_empty(), "these changed:\n{}", wrong.join("\n"));
    for entry in fs::read_dir(directory).expect("the directory can be read") {
        let path = entry.expect("the directory can be read").path();
        let is_ours = path.is_dir()
            || path
                .file_stem()
                .is_some_and(|stem| names.contains(&*stem.to_string_lossy()));
        assert!(is_ours, "{} belongs to no text", path.display());
    }
}

fn assert_fit(name: &str, text: &str, lines_max: usize) {
    assert!(text.lines().count() <= lines_max, "{name} is long: {text}");
    assert!(
        text.lines().all(|line| line.len() <= WIDTH_MAX),
        "{name} is wide: {text}"
    );
    assert!(
        !text.chars().any(|c| c.is_control() && c != '\n'),
        "{name}: {text:?}"
    );
    // Two colons in an address are not a Rust path.
    let without_addresses = text.replace("2001:db8::7", "").replace("[::1]", "");
    for debugging in DEBUGGING {
        assert!(!without_addresses.contains(debugging), "{name}: {text}");
    }
    for advice in LESS {
        assert!(
            !text.contains(advice),
            "{name} advises to verify less: {text}"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn changed_or_unreadable_texts_and_unused_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::write(path.join("a.txt"), "what [a]\n").unwrap();
        let passes = |texts: &[(&str, &str)]| {
            let texts = texts
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            let texts: Vec<_> = texts.collect();
            catch_unwind(|| compare(path, 2, texts)).is_ok()
        };
        assert!(passes(&[("a", "what [a]\n")]));
        assert!(!passes(&[("a", "something else [a]\n")]));
        assert!(!passes(&[("a", "what [a]\n"), ("b", "what [b]\n")]));
        assert!(!passes(&[("a", "what [a]\n"), ("a", "what [a]\n")]));
        for unfit in ["1\n2\n3\n", "\u{7}\n", "Some(1)\n", "use --insecure\n"] {
            fs::write(path.join("a.txt"), unfit).unwrap();
            assert!(!passes(&[("a", unfit)]), "{unfit}");
        }
        fs::write(path.join("a.txt"), "what [a]\n").unwrap();
        fs::write(path.join("old.txt"), "").unwrap();
        assert!(!passes(&[("a", "what [a]\n")]));
    }
}
