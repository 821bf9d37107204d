//! The findings as text. Everything that a peer sent is escaped before it is printed.

use handfast::{
    CertificateDer, CertificateFacts, PathAnchor, SpkiSha256, VerifiedPath, VerifyCause,
    VerifyError, escape_control, format_utc,
};
use handfast_probe::{Answer, Grade, Judgement, Offer, Order, Survey};

use super::findings::{Closing, Findings, Live};
use super::{status, words};
use crate::advice::Advised as _;
use crate::output::{Palette, Tone};
use crate::trust_args::trust_problems;

/// Room for the longest label.
const LABEL: usize = 12;
/// Names of a certificate that are shown; the rest is counted.
const NAMES_MAX: usize = 12;

pub(super) fn page(found: &Findings, palette: Palette) -> String {
    let mut page = Page {
        text: String::new(),
        palette,
    };
    page.text
        .push_str(&palette.paint(Tone::Heading, &found.subject));
    page.text.push('\n');
    if let Some(live) = &found.live {
        page.reached(live);
        page.session(live);
    }
    page.verdict(found);
    page.chain(found);
    page.others(found);
    page.trust(found);
    if let Some(live) = found.live.as_ref().filter(|live| live.report.is_some()) {
        page.client_certificate(live);
        page.resumption(live);
        page.closing(live);
    }
    page.key(found);
    if let Some(survey) = found.live.as_ref().and_then(|live| live.survey.as_ref()) {
        match survey {
            Ok(survey) => page.survey(survey),
            Err(problem) => page.row("scan", &format!("aborted: {problem}")),
        }
    }
    page.text
}

struct Page {
    text: String,
    palette: Palette,
}

impl Page {
    fn row(&mut self, label: &str, value: &str) {
        let label = format!("{label:LABEL$}");
        let label = self.palette.paint(Tone::Faint, label);
        self.text.push_str(format!("  {label} {value}").trim_end());
        self.text.push('\n');
    }

    fn reached(&mut self, live: &Live) {
        for (index, tried) in live.tried.iter().enumerate() {
            let label = if index == 0 { "reached" } else { "" };
            let resolved = match live.resolved_in {
                Some(took) if index == 0 => format!(", resolved in {}", words::took(took)),
                _ => String::new(),
            };
            let took = words::took(tried.took);
            let outcome = match &tried.problem {
                None => format!("connected in {took}"),
                Some(problem) => format!("{problem} after {took}"),
            };
            self.row(label, &format!("{}: {outcome}{resolved}", tried.address));
        }
        if let Some((proxy, took)) = &live.proxied_in {
            let took = words::took(*took);
            self.row(
                "",
                &format!(
                    "the proxy {} connected to the server in {took}",
                    escape_control(proxy)
                ),
            );
        }
        if let (Some(protocol), Some(took)) = (live.starttls, live.dialogue_in) {
            self.row(
                "",
                &format!("{protocol} agreed to TLS in {}", words::took(took)),
            );
        }
    }

    fn session(&mut self, live: &Live) {
        let Some(report) = &live.report else {
            self.row("session", "none");
            return;
        };
        let group = report.group.map_or_else(String::new, |group| {
            let kind = if is_post_quantum(group) {
                "post-quantum"
            } else {
                "not post-quantum"
            };
            format!(", {group} ({kind})")
        });
        self.row(
            "session",
            &format!(
                "{}, {}{group}, secured in {}",
                report.version,
                report.cipher_suite,
                words::took(report.handshake)
            ),
        );
        let alpn = report.alpn.as_ref().map_or_else(
            || "none agreed on".to_owned(),
            |alpn| escape_control(&String::from_utf8_lossy(alpn)).into_owned(),
        );
        let name = report.server_name.as_deref().unwrap_or_default();
        let sni = match name.parse::<std::net::IpAddr>() {
            Ok(_) => "none (an address)".to_owned(),
            Err(_) => escape_control(name).into_owned(),
        };
        self.row("", &format!("ALPN {alpn}; SNI {sni}"));
    }

    fn verdict(&mut self, found: &Findings) {
        match (&found.path, found.verify_error()) {
            (Some(path), _) => self.verified_or_not("chain", found, Ok(path)),
            (None, Some(refused)) => self.verified_or_not("chain", found, Err(refused)),
            (None, None) => {}
        }
    }

    fn verified_or_not(
        &mut self,
        label: &str,
        found: &Findings,
        verdict: Result<&VerifiedPath, &VerifyError>,
    ) {
        let for_name = found.name.as_deref().map_or_else(
            || match found.is_of_server {
                true => " as a server's".to_owned(),
                false => " as a client's".to_owned(),
            },
            |name| format!(" for {}", escape_control(name)),
        );
        match verdict {
            Ok(path) => {
                let rests_on = match path.anchor() {
                    PathAnchor::Authority { subject } => format!("trust anchor {subject}"),
                    _ => "trusted as an end-entity certificate".to_owned(),
                };
                let verified = self.palette.paint(Tone::Good, "verified");
                self.row(label, &format!("{verified}{for_name}: {rests_on}"));
            }
            Err(refused) => {
                let not = self.palette.paint(Tone::Bad, "NOT verified");
                let id = self
                    .palette
                    .paint(Tone::Faint, format!("[{}]", refused.cause.id()));
                self.row(label, &format!("{not}{for_name}: {} {id}", refused.cause));
            }
        }
    }

    fn chain(&mut self, found: &Findings) {
        self.certificates(
            found.now,
            &found.chain,
            found.path.as_ref(),
            found.verify_error(),
        );
    }

    /// Chains for other kinds of keys, each in the form of the first.
    fn others(&mut self, found: &Findings) {
        for other in &found.others {
            let verdict = other.verdict.as_ref().map_err(|refused| &**refused);
            self.verified_or_not("also serves", found, verdict);
            self.line(&format!("to clients that verify {} keys:", other.kind));
            self.certificates(found.now, &other.chain, verdict.ok(), verdict.err());
        }
    }

    fn certificates(
        &mut self,
        now: i64,
        chain: &[CertificateDer<'_>],
        path: Option<&VerifiedPath>,
        refused: Option<&VerifyError>,
    ) {
        let order = issuance_order(chain);
        for (depth, index) in &order.path {
            if let Some(der) = chain.get(*index) {
                self.certificate(now, refused, *depth, *index, der);
            }
        }
        let indent = "  ".repeat(order.path.len());
        match (path, &order.missing_issuer) {
            (Some(path), _) => {
                if let PathAnchor::Authority { subject } = path.anchor() {
                    let trusted = self.palette.paint(Tone::Good, "trusted");
                    if order.missing_issuer.is_some() {
                        self.line(&format!("{indent}`- {subject} ({trusted})"));
                    }
                }
            }
            (None, Some(issuer)) => {
                let is_sought = refused.is_some_and(|refused| {
                    matches!(refused.cause, VerifyCause::UnknownIssuer { .. })
                });
                let missing = if is_sought {
                    self.palette
                        .paint(Tone::Warning, "neither sent nor trusted")
                } else {
                    "not sent".to_owned()
                };
                self.line(&format!("{indent}`- {issuer} ({missing})"));
            }
            (None, None) => {}
        }
        for index in &order.unrelated {
            if let Some(der) = chain.get(*index) {
                self.line("not on that path:");
                self.certificate(now, refused, 0, *index, der);
            }
        }
        if order.is_out_of_order {
            self.line("the certificates were sent out of order");
        }
    }

    fn trust(&mut self, found: &Findings) {
        for (index, source) in found.trust.iter().enumerate() {
            let label = if index == 0 { "trusting" } else { "" };
            self.row(label, &escape_control(&source.to_string()));
            for problem in trust_problems(std::slice::from_ref(source)) {
                self.row("", &format!("  {problem}"));
            }
        }
        if found.chain.is_empty() {
            return;
        }
        self.rows("revocation", &status::revocation(found));
        self.rows("SCTs", &status::timestamps(found));
        if let Some(completed) = &found.completed {
            self.rows("fetched", &status::completed(completed));
        }
    }

    /// A label, and a line for each value.
    fn rows(&mut self, label: &str, lines: &[String]) {
        for (index, line) in lines.iter().enumerate() {
            self.row(if index == 0 { label } else { "" }, line);
        }
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(&format!("  {:LABEL$} {text}\n", ""));
    }

    fn certificate(
        &mut self,
        now: i64,
        refused: Option<&VerifyError>,
        depth: usize,
        index: usize,
        der: &CertificateDer<'_>,
    ) {
        let branch = match depth {
            0 => String::new(),
            _ => format!("{}`- ", "  ".repeat(depth)),
        };
        let indent = " ".repeat(branch.len() + 2);
        let culprit = refused.filter(|refused| refused.at_index == Some(index));
        let mark = culprit.map_or_else(String::new, |refused| {
            self.palette
                .paint(Tone::Bad, format!("  <-- {}", refused.cause.id()))
        });
        let Ok(facts) = CertificateFacts::from_der(der) else {
            let bytes = der.len();
            self.line(&format!(
                "{branch}{index} {bytes} bytes that are not a certificate{mark}"
            ));
            return;
        };
        let subject = match facts.subject.as_str() {
            "" => "(no subject)",
            subject => subject,
        };
        self.line(&format!("{branch}{index} {subject}{mark}"));
        if !facts.names.is_empty() {
            self.line(&format!("{indent}for {}", names(&facts)));
        }
        let unusable = facts
            .names
            .iter()
            .filter_map(|name| Some((name, name.never_matches()?)));
        for (name, why) in unusable.take(NAMES_MAX) {
            let line = format!("\"{name}\" never matches: {why}");
            let line = self.palette.paint(Tone::Warning, line);
            self.line(&format!("{indent}{line}"));
        }
        let validity = words::validity(facts.not_before, facts.not_after, now);
        let validity = match now < facts.not_before || now > facts.not_after {
            true => self.palette.paint(Tone::Bad, validity),
            false => validity,
        };
        self.line(&format!(
            "{indent}{validity}: {} to {}",
            format_utc(facts.not_before),
            format_utc(facts.not_after)
        ));
        let bits = match facts.key_bits {
            Some(bits) if facts.key_algorithm.is_rsa() => format!(" {bits}"),
            _ => String::new(),
        };
        self.line(&format!(
            "{indent}{}{bits}, signed with {}; {}",
            facts.key_algorithm,
            facts.signature_algorithm,
            purposes(&facts)
        ));
        self.line(&format!("{indent}SHA-256 {}", hex(&facts.sha256)));
        self.line(&format!(
            "{indent}key {}",
            SpkiSha256::from_bytes(facts.spki_sha256)
        ));
    }

    fn client_certificate(&mut self, live: &Live) {
        let Some(report) = &live.report else { return };
        if !report.client_certificate_requested {
            self.row("client", "no client certificate requested");
            return;
        }
        let from = match report.acceptable_issuers.as_slice() {
            [] => ", from any issuer".to_owned(),
            issuers => format!(", from: {}", issuers.join("; ")),
        };
        self.row("client", &format!("certificate requested{from}"));
    }

    fn resumption(&mut self, live: &Live) {
        let tried: Vec<String> = live.resumption.iter().map(status::resumption).collect();
        self.rows("resumption", &tried);
    }

    fn closing(&mut self, live: &Live) {
        let Some(Closing {
            ending,
            outcome,
            unasked_bytes,
        }) = &live.closing
        else {
            return;
        };
        let ending = ending.map_or_else(
            || "no end after our close_notify".to_owned(),
            |ending| ending.to_string(),
        );
        let unasked = match unasked_bytes {
            0 => String::new(),
            count => format!(", after {count} unsolicited bytes"),
        };
        self.row("closing", &format!("{outcome}: {ending}{unasked}"));
    }

    fn key(&mut self, found: &Findings) {
        match &found.key {
            None => {}
            Some(Ok(())) => {
                let text = self.palette.paint(Tone::Good, "belongs to the chain");
                self.row("key", &text);
            }
            Some(Err(error)) => {
                let explanation = error.advise();
                let text = format!("{} [{}]", explanation.what, explanation.id);
                let text = self.palette.paint(Tone::Bad, text);
                self.row("key", &text);
            }
        }
    }

    fn survey(&mut self, survey: &Survey) {
        for (position, found) in survey.versions.iter().enumerate() {
            let label = if position == 0 { "versions" } else { "" };
            let line = match &found.offer {
                Ok(_) => self.rated(&found.version.to_string(), found.version.judgement()),
                Err(answer) => format!("        {:8} no: {}", found.version, refusal(answer)),
            };
            self.row(label, &line);
        }
        for found in &survey.versions {
            if let Ok(offer) = &found.offer {
                self.offer(found.version.name(), offer);
            }
        }
    }

    fn offer(&mut self, version: &str, offer: &Offer) {
        for (position, suite) in offer.suites.iter().enumerate() {
            let label = if position == 0 { version } else { "" };
            let mut rated = self.rated(&suite.name(), suite.judgement());
            if position == 0 {
                rated.push_str(whose_order(offer.suite_order));
            }
            self.row(label, &rated);
        }
        if let Some(bits) = offer.dh_bits {
            let grade = match bits {
                ..1024 => Grade::Broken,
                1024..2048 => Grade::Weak,
                _ => Grade::Fine,
            };
            let grade = self.grade(grade);
            self.row(
                "",
                &format!("{grade} a Diffie-Hellman prime of {bits} bits"),
            );
        }
        for (position, group) in offer.groups.iter().enumerate() {
            let label = if position == 0 { "  groups" } else { "" };
            let mut rated = self.rated(&group.name(), group.judgement());
            if position == 0 {
                rated.push_str(whose_order(offer.group_order));
            }
            self.row(label, &rated);
        }
        for (position, scheme) in offer.schemes.iter().enumerate() {
            let label = if position == 0 { "  signatures" } else { "" };
            self.row(label, &self.rated(&scheme.name(), scheme.judgement()));
        }
    }

    fn rated(&self, name: &str, judgement: Judgement) -> String {
        let grade = self.grade(judgement.grade);
        format!("{grade} {name}: {}", judgement.reason)
    }

    /// The grade, padded to the width of the longest.
    fn grade(&self, grade: Grade) -> String {
        let tone = match grade {
            Grade::Fine => Tone::Good,
            Grade::Weak => Tone::Warning,
            Grade::Broken => Tone::Bad,
        };
        self.palette.paint(tone, format!("{:7}", grade.to_string()))
    }
}

fn whose_order(order: Order) -> &'static str {
    match order {
        Order::Server => " (the server's order)",
        Order::Client => " (the client's choice)",
        Order::Single => "",
    }
}

fn refusal(answer: &Answer) -> String {
    match answer {
        Answer::Alert(alert) => format!("alert {alert}"),
        Answer::Hello(hello) => format!("responds with {}", hello.version),
        Answer::NotTls { .. } => "responds with data that is not TLS".to_owned(),
        Answer::Malformed { what } => format!("responds with {what}"),
        Answer::Closed { .. } => "closes the connection".to_owned(),
        Answer::Silent => "does not respond".to_owned(),
        _ => "refuses".to_owned(),
    }
}

pub(super) fn is_post_quantum(group: &str) -> bool {
    handfast_probe::GroupId::all(true)
        .into_iter()
        .any(|known| known.name() == group && known.is_post_quantum())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn names(facts: &CertificateFacts) -> String {
    let shown: Vec<String> = facts
        .names
        .iter()
        .take(NAMES_MAX)
        .map(ToString::to_string)
        .collect();
    match facts.names.len().saturating_sub(NAMES_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn purposes(facts: &CertificateFacts) -> String {
    let mut all: Vec<String> = Vec::new();
    if facts.is_ca {
        all.push(match facts.path_len {
            Some(length) => format!("CA over {length} more"),
            None => "CA".to_owned(),
        });
    }
    match &facts.extended_key_usage {
        Some(purposes) => all.extend(purposes.iter().cloned()),
        None if !facts.is_ca => all.push("any purpose".to_owned()),
        None => {}
    }
    if let Some(usage) = &facts.key_usage {
        all.extend(usage.iter().map(|usage| (*usage).to_owned()));
    }
    all.join(", ")
}

/// The chain as a path by names, regardless of the order in which it was sent.
struct IssuanceOrder {
    /// Depth and position of each certificate from the first one up.
    path: Vec<(usize, usize)>,
    /// Positions of those that are not on it.
    unrelated: Vec<usize>,
    /// The issuer that was not sent, unless the path ends with a self-issued certificate.
    missing_issuer: Option<String>,
    is_out_of_order: bool,
}

fn issuance_order(chain: &[CertificateDer<'_>]) -> IssuanceOrder {
    let facts: Vec<Option<CertificateFacts>> = chain
        .iter()
        .map(|der| CertificateFacts::from_der(der).ok())
        .collect();
    let mut path: Vec<(usize, usize)> = Vec::new();
    let mut missing_issuer = None;
    let mut next = (!chain.is_empty()).then_some(0);
    while let Some(index) = next {
        path.push((path.len(), index));
        let Some(Some(own)) = facts.get(index) else {
            break;
        };
        if own.is_self_issued {
            break;
        }
        next = facts.iter().enumerate().position(|(position, candidate)| {
            !path.iter().any(|(_, used)| *used == position)
                && candidate
                    .as_ref()
                    .is_some_and(|candidate| candidate.subject == own.issuer)
        });
        if next.is_none() {
            missing_issuer = Some(own.issuer.clone());
        }
    }
    let unrelated = (0..chain.len())
        .filter(|position| !path.iter().any(|(_, used)| used == position))
        .collect();
    let is_out_of_order = !path.is_sorted_by_key(|(_, index)| *index);
    IssuanceOrder {
        path,
        unrelated,
        missing_issuer,
        is_out_of_order,
    }
}
