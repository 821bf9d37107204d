//! What the program writes about itself: completions, manual pages, its version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use handfast_testbed::peers;

fn handfast(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_handfast"))
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names of the commands in the help.
fn commands() -> Vec<String> {
    let help = handfast(&["--help"]);
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let names = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn run(program: &Path, args: &[&str], file: &Path) {
    let output = Command::new(program).args(args).arg(file).output().unwrap();
    assert!(output.status.success(), "{program:?} {args:?}: {output:?}");
}

#[test]
fn each_shell_reads_its_completions() {
    let directory = tempfile::tempdir().unwrap();
    for (shell, check) in [
        ("bash", Some("-n")),
        ("zsh", Some("-n")),
        ("fish", Some("-n")),
        ("powershell", None),
        ("elvish", None),
    ] {
        let script = handfast(&["completions", shell]);
        for name in commands() {
            assert!(script.contains(&name), "{shell}: {name}");
        }
        assert!(script.contains("cacert"), "{shell}");
        // The other two are not among Debian's packages.
        let Some(check) = check else { continue };
        let Some(program) = peers::require(shell) else {
            continue;
        };
        let path = directory.path().join(shell);
        fs::write(&path, script).unwrap();
        run(&program, &[check], &path);
    }
}

#[test]
fn bash_completes_commands_and_flags() {
    let Some(bash) = peers::require("bash") else {
        return;
    };
    let script = handfast(&["completions", "bash"]);
    for (words, expected) in [
        ("handfast insp", "inspect"),
        ("handfast get --cac", "--cacert"),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let last = words.len() - 1;
        let asked = format!(
            "{script}\nCOMP_WORDS=({}); COMP_CWORD={last}; _handfast handfast '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words[last],
            words[last - 1],
        );
        let output = Command::new(&bash).args(["-c", &asked]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains(expected), "{words:?}: {output:?}");
    }
}

#[test]
fn every_command_has_a_manual_page_that_readers_of_manuals_accept() {
    let directory = tempfile::tempdir().unwrap();
    let made = directory.path().join("made/man1");
    handfast(&["man", made.to_str().unwrap()]);
    let pages: Vec<PathBuf> = fs::read_dir(&made)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    for name in commands() {
        let page = made.join(format!("handfast-{name}.1"));
        assert!(pages.contains(&page), "{name}: {pages:?}");
    }
    let first = fs::read_to_string(made.join("handfast.1")).unwrap();
    assert_eq!(handfast(&["man"]), first);
    let Some(mandoc) = peers::require("mandoc") else {
        return;
    };
    for page in pages {
        run(&mandoc, &["-T", "lint", "-W", "error"], &page);
    }
}

#[test]
fn the_long_version_names_what_is_inside() {
    let short = handfast(&["--version"]);
    assert_eq!(short, concat!("handfast ", env!("CARGO_PKG_VERSION"), "\n"));
    let long = handfast(&["--version", "--verbose"]);
    for line in [
        "revision: ",
        "target: ",
        "features: ",
        "compiler: rustc ",
        "rustls: 0.",
        "cryptography: aws-lc-rs ",
        "entropy: ",
    ] {
        assert!(long.contains(&format!("\n{line}")), "{line}: {long}");
    }
    assert_eq!(handfast(&["-V", "-v"]), long);
    assert_eq!(handfast(&["-vV"]), long);
}
