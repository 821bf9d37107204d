//! Both ways of resolving, over the same trees.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn target(path: &str) -> Target {
    Target::parse(path).unwrap()
}

/// Both ways of resolving, over the same tree.
#[test]
fn the_kernel_keeps_names_beneath_the_directory() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "s").unwrap();
    let base = tempfile::tempdir().unwrap();
    let root = base.path();
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/f"), "12345").unwrap();
    symlink("d/f", root.join("inside")).unwrap();
    symlink("../inside", root.join("d/up")).unwrap();
    symlink(outside.path().join("secret"), root.join("absolute")).unwrap();
    symlink("../../../../../../../../etc/passwd", root.join("climbing")).unwrap();
    symlink(outside.path(), root.join("out")).unwrap();
    symlink("/proc/self/root", root.join("magic")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    let opened = Root::open(root, Links::Beneath).unwrap();
    // Path, with the kernel's help, without it.
    let cases = [
        ("/", true, true),
        ("/d/", true, true),
        ("/d/f", true, true),
        ("/inside", true, false),
        ("/d/up", true, false),
        ("/absolute", false, false),
        ("/climbing", false, false),
        ("/out/secret", false, false),
        ("/magic/etc/passwd", false, false),
        ("/loop", false, false),
        ("/d/f/x", false, false),
        ("/none", false, false),
    ];
    for (path, with, without) in cases {
        let found = opened.find(&target(path));
        if cfg!(target_os = "linux") {
            assert_eq!(found.is_ok(), with, "{path}: {found:?}");
            let again = opened.find_cached(&target(path));
            assert_eq!(again.is_ok(), with, "{path}, cached: {again:?}");
        }
        let found = opened.0.open_in_steps(&target(path));
        assert_eq!(found.is_ok(), without, "{path}, in steps: {found:?}");
    }
}

/// Only links decide where a name leads: what is hidden stays hidden, and a pipe is no file.
#[test]
fn links_lead_anywhere_if_they_may() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("shared"), "s").unwrap();
    let base = tempfile::tempdir().unwrap();
    let root = base.path();
    symlink(outside.path().join("shared"), root.join("absolute")).unwrap();
    symlink(outside.path(), root.join("out")).unwrap();
    symlink("/dev/null", root.join("device")).unwrap();
    symlink("/proc/self/root", root.join("magic")).unwrap();
    symlink("nowhere", root.join("broken")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    let opened = Root::open(root, Links::Anywhere).unwrap();
    for (path, expected) in [
        ("/absolute", true),
        ("/out/", true),
        ("/out/shared", true),
        ("/device", false),
        ("/broken", false),
        ("/loop", false),
    ] {
        let found = opened.find(&target(path));
        assert_eq!(found.is_ok(), expected, "{path}: {found:?}");
        let found = opened.0.open_in_steps(&target(path));
        assert_eq!(found.is_ok(), expected, "{path}, in steps: {found:?}");
    }
    if cfg!(target_os = "linux") {
        assert!(opened.find(&target("/magic/etc/passwd")).is_err());
        assert!(opened.find_cached(&target("/out/shared")).is_ok());
    }
}

/// Opening it for reading would let a writer go on: there is none, and the next one still waits.
#[test]
fn a_pipe_is_not_found_and_not_opened() {
    let base = tempfile::tempdir().unwrap();
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        base.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    );
    if made.is_err() {
        return;
    }
    symlink("pipe", base.path().join("link")).unwrap();
    let opened = Root::open(base.path(), Links::Beneath).unwrap();
    // A reader that sees whether another process opens the other end.
    let watched = Watched::new(base.path().join("pipe"));
    for path in ["/pipe", "/link"] {
        let found = opened.find(&target(path)).map(|found| found.kind);
        assert_eq!(found, Err(NotOpened::Missing), "{path}");
        assert!(opened.find_cached(&target(path)).is_err(), "{path}");
        let found = opened.0.open_in_steps(&target(path)).err();
        assert_eq!(found, Some(NotOpened::Missing), "{path}");
    }
    assert!(watched.ends_untouched(), "it was opened");
}

/// A process that waits to write into a pipe until it has a reader.
struct Watched(std::process::Child);

impl Watched {
    fn new(pipe: std::path::PathBuf) -> Self {
        let child = std::process::Command::new("sh")
            .args(["-c", "exec 3>\"$0\"", &pipe.display().to_string()])
            .spawn()
            .unwrap();
        // It sleeps when it waits; before, being untouched would prove nothing.
        let state = format!("/proc/{}/stat", child.id());
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let sleeps = || fs::read_to_string(&state).is_ok_and(|stat| stat.contains(") S "));
        while !sleeps() && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child)
    }

    fn ends_untouched(mut self) -> bool {
        let untouched = matches!(self.0.try_wait(), Ok(None));
        let _ = self.0.kill();
        let _ = self.0.wait();
        untouched
    }
}
