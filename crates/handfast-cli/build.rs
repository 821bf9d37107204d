//! Tells the program what it is built from, for `handfast --version --verbose`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in `.cargo/config.toml`. aws-lc's build script reads it, too: with 1, aws-lc does not gather jitter; with 0, it does.
const NO_JITTER: &str = "AWS_LC_SYS_NO_JITTER_ENTROPY";

/// The prefixes of aws-lc's symbols, one for each version, in the versions whose sources were read for [`jitter_switch`].
const AWS_LC_READ: [&str; 1] = ["aws_lc_0_47_0"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={NO_JITTER}");
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
    let prefix = jitter_switch();
    set("JITTER_SWITCH", prefix.as_deref().unwrap_or("none"));
    if let Some(prefix) = prefix
        && env::var_os(NO_JITTER).is_none()
        && linker_is_a_compiler()
    {
        let supported = format!("{prefix}_CRYPTO_get_vm_ube_supported");
        println!("cargo::rustc-link-arg-bins=-Wl,--wrap={supported}");
        println!("cargo::rustc-link-arg-bins=-Wl,--defsym=__wrap_{supported}={prefix}_RAND_status");
    }
}

/// The prefix of aws-lc's symbols, if linking can decide that it gathers no jitter of the processor, which takes 30 ms at the start of
/// every process. A published crate can set no variable for the build script of aws-lc.
///
/// aws-lc gathers none where the virtual machine tells of snapshots: it asks the function `CRYPTO_get_vm_ube_supported`, for this
/// decision alone, when it chooses its source of entropy. The linker replaces this function by `RAND_status`, which takes no argument
/// and returns 1. Then seeds come from the operating system and the processor's instruction, as with the variable. Forks and snapshots
/// are detected by other functions.
fn jitter_switch() -> Option<String> {
    // Options of GNU's linker, which lld and mold have, too.
    if env::var("CARGO_CFG_TARGET_OS").ok()? != "linux" {
        return None;
    }
    let (_, archive) = env::vars_os().find(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with("DEP_AWS_LC_RS_") && name.ends_with("_LIBCRYPTO_PATH")
    })?;
    let archive = PathBuf::from(archive);
    let name = archive.file_name()?.to_str()?;
    let prefix = name.strip_prefix("lib")?.strip_suffix("_crypto.a")?;
    // Another version may ask the function for something else.
    if !AWS_LC_READ.contains(&prefix) {
        return None;
    }
    let content = fs::read(&archive).ok()?;
    let has = |symbol: &str| {
        let symbol = format!("{prefix}_{symbol}\0").into_bytes();
        content.windows(symbol.len()).any(|found| found == symbol)
    };
    let both = has("CRYPTO_get_vm_ube_supported") && has("RAND_status");
    both.then(|| prefix.to_owned())
}

/// Whether the linker is called by a C compiler, which takes `-Wl,`; cargo names it if one is configured.
fn linker_is_a_compiler() -> bool {
    let Some(linker) = env::var_os("RUSTC_LINKER") else {
        return true;
    };
    let linker = linker.to_string_lossy();
    ["cc", "gcc", "clang"]
        .iter()
        .any(|compiler| linker.ends_with(compiler))
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
