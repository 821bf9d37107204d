//! Messages about a session on stderr: the report before it, the end after it.

use handfast::{CertificateFacts, Ending, PathAnchor, Report, Side, escape_control, format_utc};

use super::session::{FIRST_ANSWER_WITHIN, Outcome, Why};
use crate::output::{Palette, Tone, note};
use crate::trust_args::objection;

/// The negotiated parameters, and the peer's identity.
pub(super) fn report(report: &Report, leads_to: &str) {
    let alpn = report.alpn.as_deref().map(String::from_utf8_lossy);
    print(
        "secured",
        format!(
            "{leads_to}: {}, {}, {}, ALPN {}{} ({:.1} ms)",
            report.version,
            report.cipher_suite,
            report.group.unwrap_or("no key exchange"),
            alpn.as_deref()
                .map_or_else(|| "none".into(), escape_control),
            if report.resumed { ", resumed" } else { "" },
            report.handshake.as_secs_f64() * 1000.0
        ),
    );
    match report.side {
        Side::Client => server(report),
        Side::Server => client(report),
    }
}

fn server(report: &Report) {
    if report.client_certificate_requested {
        print("client", "the server requested a client certificate");
    }
    let name = report.server_name.as_deref().unwrap_or("?");
    if report.peer.is_some() {
        good("server", format!("verified for {}", escape_control(name)));
    } else {
        bad("server", "NOT VERIFIED, its identity is unknown");
        if let Some(objection) = objection(report) {
            print(
                "server",
                format!("verification would have failed: {objection}"),
            );
        }
    }
    certificate(report);
}

fn client(report: &Report) {
    if let Some(name) = &report.server_name {
        print("server", format!("server name {}", escape_control(name)));
    }
    if report.peer.is_some() {
        good("client", "verified");
        certificate(report);
    } else {
        print("client", "no client certificate");
    }
}

/// The peer's certificate and its trust anchor.
fn certificate(report: &Report) {
    let read = report
        .peer_chain
        .first()
        .and_then(|certificate| CertificateFacts::from_der(certificate).ok());
    if let Some(facts) = read {
        let names: Vec<_> = facts.names.iter().map(ToString::to_string).collect();
        print("  subject", &facts.subject);
        if !names.is_empty() {
            print("  names", escape_control(&names.join(", ")));
        }
        print("  issuer", &facts.issuer);
        print("  valid until", format_utc(facts.not_after));
    }
    match &report.staple {
        Some(Ok(response)) => print("  stapled", response.to_string()),
        Some(Err(problem)) => print("  stapled", format!("invalid: {problem}")),
        None => {}
    }
    match report.peer.as_ref().map(|peer| peer.path().anchor()) {
        Some(PathAnchor::Authority { subject }) => print("  anchor", subject),
        Some(PathAnchor::Itself) => print("  anchor", "itself: this certificate is trusted"),
        _ => {}
    }
}

/// How the session ended.
pub(super) fn ended(outcome: &Outcome) {
    let how = match (&outcome.why, outcome.ending) {
        (Why::Interrupted, _) => "interrupted".to_owned(),
        (Why::Failed(_) | Why::Input(_) | Why::Output(_), None) => "aborted".to_owned(),
        (_, Some(Ending::CloseNotify)) => "the peer sent close_notify".to_owned(),
        (_, Some(ending)) => format!("the peer's direction ended by {ending}"),
        (_, None) => "did not wait for the peer's end".to_owned(),
    };
    let text = format!(
        "{how}; close: {}; {} bytes received, {} sent, {:.1} s",
        outcome.close,
        outcome.traffic.plaintext_received,
        outcome.traffic.plaintext_sent,
        outcome.took.as_secs_f64()
    );
    match outcome.ending {
        Some(Ending::CloseNotify) => good("ended", text),
        _ => bad("ended", text),
    }
    if outcome.unanswered {
        print(
            "input",
            format!(
                "had no answer {} seconds after its end; then close_notify was sent",
                FIRST_ANSWER_WITHIN.as_secs()
            ),
        );
    }
    if outcome.input_left_open {
        print(
            "input",
            "was still open when the peer had ended, and silent",
        );
    }
}

fn print(what: &str, text: impl AsRef<str>) {
    line(what, text.as_ref().to_owned());
}

fn good(what: &str, text: impl AsRef<str>) {
    line(what, Palette::stderr().paint(Tone::Good, text));
}

fn bad(what: &str, text: impl AsRef<str>) {
    line(what, Palette::stderr().paint(Tone::Bad, text));
}

fn line(what: &str, text: String) {
    let what = Palette::stderr().paint(Tone::Faint, format!("{what}:"));
    note(format!("* {what} {text}"));
}
