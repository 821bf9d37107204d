//! What the subcommands share: an authority that is made when it is first needed, and rows on standard output.

use std::path::Path;

use handfast::{escape_control, format_utc};
use handfast_ca::{Authority, InitOptions};

use crate::failure::Failure;
use crate::output::{self, Palette, Tone};

pub(super) fn make_for_issue(dir: &Path) -> Result<Authority, Failure> {
    let (authority, created) = Authority::open_or_init(dir, &InitOptions::default())?;
    if created {
        output::note(format!(
            "created a certificate authority: {}",
            authority.certificate_file().display()
        ));
    }
    Ok(authority)
}

/// The authority's identity and constraints.
pub(super) fn identity(authority: &Authority, palette: Palette) -> String {
    let permitted = authority.permitted();
    let domains = permitted.domains().join(", ") + ", and their subdomains";
    let networks: Vec<String> = permitted
        .networks()
        .iter()
        .map(ToString::to_string)
        .collect();
    let validity = format!(
        "{} to {}",
        format_utc(authority.not_before()),
        format_utc(authority.not_after())
    );
    let mut text = palette.paint(Tone::Heading, escape_control(authority.common_name()));
    text.push('\n');
    for (label, value) in [
        (
            "certificate",
            authority.certificate_file().display().to_string(),
        ),
        ("SHA-256", fingerprint(&authority.sha256())),
        ("valid", validity),
        ("signs for", domains),
        ("", networks.join(", ")),
    ] {
        text.push_str(&row(label, &value, palette));
    }
    text
}

/// `AB:CD:...`, the way browsers and OpenSSL show it.
fn fingerprint(hex: &str) -> String {
    let mut text = String::with_capacity(hex.len() * 3 / 2);
    for (index, digit) in hex.chars().enumerate() {
        if index > 0 && index % 2 == 0 {
            text.push(':');
        }
        text.push(digit.to_ascii_uppercase());
    }
    text
}

pub(super) fn row(label: &str, value: &str, palette: Palette) -> String {
    let label = palette.paint(Tone::Faint, format!("{label:<11}"));
    format!("  {label}  {value}\n")
}

pub(super) fn print(text: &str) -> Result<(), Failure> {
    output::write_stdout(output::fit(text).as_bytes())
}
