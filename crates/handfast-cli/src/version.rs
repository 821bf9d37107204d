//! `handfast --version --verbose`: what this binary was built from.

use std::ffi::OsStr;
use std::fmt::Write;

/// When this version was released, as the changelog has it.
pub(crate) const RELEASED: &str = "2026-11-30";

/// Facts from `build.rs`, a line each: a name and its value.
const BUILD: &[(&str, &str)] = &[
    ("revision", env!("HANDFAST_REVISION")),
    ("target", env!("HANDFAST_TARGET")),
    ("profile", env!("HANDFAST_PROFILE")),
    ("features", env!("HANDFAST_FEATURES")),
    ("compiler", env!("HANDFAST_COMPILER")),
    ("rustls", env!("HANDFAST_RUSTLS")),
    ("webpki", env!("HANDFAST_WEBPKI")),
    ("cryptography", env!("HANDFAST_CRYPTOGRAPHY")),
];

/// Version, revision and what else matters of a running program, by name.
pub(crate) fn build() -> Vec<(&'static str, &'static str)> {
    const WANTED: [&str; 4] = ["revision", "target", "rustls", "cryptography"];
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    let wanted = BUILD.iter().filter(|(name, _)| WANTED.contains(name));
    version.into_iter().chain(wanted.copied()).collect()
}

/// The long form of `handfast --version`.
pub(crate) fn verbose() -> String {
    let mut text = concat!("handfast ", env!("CARGO_PKG_VERSION"), "\n").to_owned();
    for (name, value) in BUILD {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}: {value}");
    }
    let second = match gathers_jitter() {
        true => "timing jitter",
        false => "instruction",
    };
    let _ = writeln!(
        text,
        "entropy: the operating system and the processor's {second}"
    );
    text
}

/// Whether aws-lc gathers timing jitter of the processor before its first random byte, which takes 30 ms.
pub(crate) fn gathers_jitter() -> bool {
    aws_lc_rs::try_fips_cpu_jitter_entropy().is_ok()
}

/// Whether an argument asks for more words: `--verbose`, `-v`, or `v` among letters such as `-Vv`.
pub(crate) fn is_verbose(argument: &OsStr) -> bool {
    let Some(argument) = argument.to_str() else {
        return false;
    };
    argument == "--verbose"
        || argument
            .strip_prefix('-')
            .is_some_and(|letters| !letters.starts_with('-') && letters.contains('v'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where this fails, aws-lc is of another version: read in its sources what `jitter_switch` in build.rs relies on, then add the version.
    #[cfg(target_os = "linux")]
    #[test]
    fn linking_can_decide_that_no_jitter_is_gathered() {
        assert_ne!(env!("HANDFAST_JITTER_SWITCH"), "none");
        assert!(
            !gathers_jitter(),
            ".cargo/config.toml is seen by this build"
        );
    }

    #[test]
    fn the_changelog_has_this_version_with_its_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../CHANGELOG.md");
        let changes = std::fs::read_to_string(path).unwrap();
        let heading = format!("\n## {} - {RELEASED}\n", env!("CARGO_PKG_VERSION"));
        assert!(changes.contains(&heading), "no heading{heading}");
    }

    #[test]
    fn each_line_says_something() {
        for (name, value) in BUILD {
            assert!(!value.is_empty(), "{name}");
        }
        assert!(verbose().contains("\nrustls: 0.23."), "{}", verbose());
    }
}
