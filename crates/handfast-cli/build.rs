//! Tells the program what it is built from, for `handfast --version --verbose`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in `.cargo/config.toml` and by those who build without it: aws-lc's build script reads the same variable.
const NO_JITTER: &str = "AWS_LC_SYS_NO_JITTER_ENTROPY";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={NO_JITTER}");
    println!("cargo::rustc-check-cfg=cfg(jitter_entropy)");
    let set = |name: &str, value: &str| println!("cargo::rustc-env=HANDFAST_{name}={value}");
    let profile = env::var("PROFILE").unwrap_or_default();
    set("REVISION", &revision(&profile));
    set("TARGET", &env::var("TARGET").unwrap_or_default());
    set("PROFILE", &profile);
    set("FEATURES", &features());
    set("COMPILER", &compiler());
    let lock = lock_file();
    let version = |package| locked(&lock, package).unwrap_or_else(|| "version not recorded".into());
    set("RUSTLS", &version("rustls"));
    set("WEBPKI", &version("rustls-webpki"));
    let aws_lc_rs = version("aws-lc-rs");
    let aws_lc_sys = version("aws-lc-sys");
    set(
        "CRYPTOGRAPHY",
        &format!("aws-lc-rs {aws_lc_rs}, aws-lc-sys {aws_lc_sys}"),
    );
    // As aws-lc-sys reads it: the beginning of these words, in any case.
    let without = env::var(NO_JITTER).unwrap_or_default().to_lowercase();
    if without.starts_with(['1', 'y', 't']) || without.starts_with("on") {
        set(
            "ENTROPY",
            "the operating system and the processor's instruction",
        );
    } else {
        set(
            "ENTROPY",
            "the operating system and the processor's timing jitter",
        );
        println!("cargo::rustc-cfg=jitter_entropy");
    }
}

/// The commit: of the repository in a release build, or what `cargo package` wrote down. A debug build would be
/// compiled again after each commit.
fn revision(profile: &str) -> String {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let packaged = manifest.join(".cargo_vcs_info.json");
    if let Ok(info) = fs::read_to_string(packaged) {
        let hash = info.split("\"sha1\":").nth(1);
        let hash = hash.and_then(|rest| rest.split('"').nth(1));
        return hash.unwrap_or("not recorded").to_owned();
    }
    if profile != "release" {
        return "not recorded in debug builds".to_owned();
    }
    // `HEAD` changes with the branch, its log with each commit.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&manifest, &["rev-parse", "--git-path", file]) {
            println!("cargo::rerun-if-changed={}", manifest.join(path).display());
        }
    }
    // Whether there are local changes is asked again with each of them.
    println!("cargo::rerun-if-changed={}", manifest.join("..").display());
    let hash = git(&manifest, &["rev-parse", "HEAD"]);
    let changed = git(
        &manifest,
        &["status", "--porcelain", "--untracked-files=no"],
    );
    match (hash, changed) {
        (Some(hash), Some(changed)) if changed.is_empty() => hash,
        (Some(hash), _) => format!("{hash} with local changes"),
        (None, _) => "not recorded".to_owned(),
    }
}

fn git(dir: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(args)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// This crate's features, without `default`.
fn features() -> String {
    let names = env::vars().filter_map(|(name, _)| {
        let name = name.strip_prefix("CARGO_FEATURE_")?.to_lowercase();
        (name != "default").then(|| name.replace('_', "-"))
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

fn compiler() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok());
    version.map_or_else(|| "not recorded".into(), |text| text.trim().to_owned())
}

/// The text of the `Cargo.lock` that this build goes by, or nothing.
fn lock_file() -> String {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut found = manifest.ancestors().map(|dir| dir.join("Cargo.lock"));
    let Some(path) = found.find(|path| path.is_file()) else {
        return String::new();
    };
    println!("cargo::rerun-if-changed={}", path.display());
    fs::read_to_string(path).unwrap_or_default()
}

fn locked(lock: &str, package: &str) -> Option<String> {
    let entry = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != entry);
    let version = lines.nth(1)?.strip_prefix("version = \"")?;
    version.strip_suffix('"').map(str::to_owned)
}
