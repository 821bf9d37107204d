//! The status page: one document without anything from elsewhere. It has all numbers without its script, which asks
//! for the page again every other second and draws what changed in between.

use std::fmt::Write as _;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::numbers::{CLASSES, DURATIONS_MS, ENDS, PROTOCOLS, TLS_VERSIONS};
use super::snapshot::Snapshot;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// So many days before its end a certificate is shown as one that ends soon: the last third of 45 days, the shortest that
/// public authorities publish.
const SOON_DAYS: f64 = 15.0;

const DAY: f64 = 86_400.0;

/// The page's content security policy: its own style and script, by their hashes, and itself.
pub(super) fn policy() -> &'static str {
    static POLICY: OnceLock<String> = OnceLock::new();
    POLICY.get_or_init(|| {
        let hash = |text: &str| {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
            STANDARD.encode(digest)
        };
        format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        )
    })
}

/// The page.
pub(super) fn html(snapshot: &Snapshot) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    page.put(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>handfast status</title>\
         <link rel=\"icon\" href=\"data:,\"><noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript><style>",
    );
    page.put(STYLE);
    page.put("</style></head>\n<body>");
    page.header(snapshot);
    let sums = &snapshot.sums;
    let (requests, handshakes) = (
        sums.requests.iter().flatten().sum::<u64>(),
        sums.handshakes.iter().flatten().sum::<u64>(),
    );
    let _ = writeln!(
        page.0,
        "<main data-uptime=\"{:.3}\" data-requests=\"{requests}\" data-bytes=\"{}\" data-handshakes=\"{handshakes}\">",
        snapshot.uptime, sums.bytes
    );
    page.tiles(snapshot, requests, handshakes);
    page.put("<div class=\"cards\">\n");
    page.certificates(snapshot);
    page.upkeep(snapshot);
    page.requests(snapshot);
    page.handshakes(snapshot);
    page.failures(snapshot);
    page.durations(snapshot, requests);
    page.connections(snapshot);
    page.put("</div></main>\n<footer>The same numbers for programs: <a href=\"/metrics\">/metrics</a> (OpenMetrics)</footer>\n<script>");
    page.put(SCRIPT);
    page.put("</script></body></html>\n");
    page.0
}

/// HTML that is being written. Writing to a string does not fail.
struct Page(String);

impl Page {
    fn put(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                _ => self.0.push(character),
            }
        }
    }

    fn header(&mut self, snapshot: &Snapshot) {
        let started = handfast::format_utc(snapshot.started as i64);
        let _ = writeln!(
            self.0,
            "<header><h1>handfast</h1><p>version {}, running for {} \
             (since <time>{started}</time>)</p><p id=\"news\" role=\"status\"></p></header>",
            env!("CARGO_PKG_VERSION"),
            duration(snapshot.uptime)
        );
    }

    /// `trend`: the id of what the script fills in.
    fn tile(&mut self, title: &str, big: &str, note: &str, trend: Option<&str>) {
        let _ = write!(
            self.0,
            "<section class=\"card tile\"><h2>{title}</h2><p class=\"big\">"
        );
        match trend {
            Some(id) => {
                let _ = write!(
                    self.0,
                    "<span id=\"{id}-rate\">{big}</span></p><p class=\"note\">{note}</p>\
                     <svg viewBox=\"0 0 100 30\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
                     <polyline class=\"trend\" id=\"{id}-trend\" points=\"\"/></svg>"
                );
            }
            None => {
                let _ = write!(self.0, "{big}</p><p class=\"note\">{note}</p>");
            }
        }
    }

    fn tiles(&mut self, snapshot: &Snapshot, requests: u64, handshakes: u64) {
        let sums = &snapshot.sums;
        let mean = |count: u64| match snapshot.uptime >= 1.0 {
            true => count as f64 / snapshot.uptime,
            false => 0.0,
        };
        self.put("<div class=\"tiles\">\n");
        let end = "</section>\n";
        let note = format!("{} in all", grouped(requests));
        self.tile(
            "Requests",
            &format!("{:.1}/s", mean(requests)),
            &note,
            Some("requests"),
        );
        self.put(end);
        let note = format!("{} in all", bytes(sums.bytes as f64));
        let rate = format!("{}/s", bytes(mean(sums.bytes)));
        self.tile("Sent", &rate, &note, Some("bytes"));
        self.put(end);
        let resumed: u64 = sums.handshakes.iter().map(|[_, resumed]| resumed).sum();
        let share = match handshakes {
            0 => String::new(),
            _ => format!(
                ", {:.0}% resumed",
                100.0 * resumed as f64 / handshakes as f64
            ),
        };
        let note = format!("{} in all{share}", grouped(handshakes));
        self.tile(
            "Handshakes",
            &format!("{:.1}/s", mean(handshakes)),
            &note,
            Some("handshakes"),
        );
        self.put(end);
        let (open, most) = (snapshot.connections as u64, snapshot.connections_max as u64);
        let note = format!("open, of {} at most", grouped(most));
        self.tile("Connections", &grouped(open), &note, None);
        self.bar(open as f64, most as f64);
        self.put(end);
        let note = format!("of {} at most", bytes(snapshot.held_max as f64));
        let held = bytes(snapshot.held as f64);
        self.tile("Held for slow clients", &held, &note, None);
        self.bar(snapshot.held as f64, snapshot.held_max as f64);
        self.put(end);
        self.put("</div>\n");
    }

    /// How much of something is used.
    fn bar(&mut self, used: f64, most: f64) {
        let part = if most > 0.0 {
            (100.0 * used / most).clamp(0.0, 100.0)
        } else {
            0.0
        };
        let _ = write!(
            self.0,
            "<svg class=\"bar\" viewBox=\"0 0 100 1\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{part:.0}% used\">\
             <rect class=\"track\" width=\"100\" height=\"1\"/><rect class=\"fill\" width=\"{part:.1}\" height=\"1\"/></svg>"
        );
    }

    /// A card with a table; its rows come next, then [`end_table`](Self::end_table).
    fn table(&mut self, title: &str, columns: &[&str]) {
        let _ = write!(
            self.0,
            "<section class=\"card\"><h2>{title}</h2><div class=\"scroll\"><table><thead><tr>"
        );
        for column in columns {
            let _ = write!(self.0, "<th scope=\"col\">{column}</th>");
        }
        self.put("</tr></thead><tbody>\n");
    }

    fn end_table(&mut self) {
        self.put("</tbody></table></div></section>\n");
    }

    fn row(&mut self, name: &str, counts: &[u64]) {
        let _ = write!(self.0, "<tr><th scope=\"row\">{name}</th>");
        for count in counts {
            self.count(*count);
        }
        self.put("</tr>\n");
    }

    fn count(&mut self, count: u64) {
        let class = if count == 0 { " class=\"zero\"" } else { "" };
        let _ = write!(self.0, "<td{class}>{}</td>", grouped(count));
    }

    fn certificates(&mut self, snapshot: &Snapshot) {
        self.table("Certificates", &["Names", "Expires (UTC)", "Days left"]);
        for certificate in &snapshot.certificates {
            self.put("<tr><th scope=\"row\" class=\"wrap\">");
            self.text(&certificate.names.join(", "));
            let left = (certificate.not_after as f64 - snapshot.now) / DAY;
            let (class, what) = match left {
                _ if left < 0.0 => ("bad", "expired".to_owned()),
                _ if left < SOON_DAYS => ("warn", format!("{:.0}", left.floor())),
                _ => ("good", grouped(left.floor() as u64)),
            };
            let end = handfast::format_utc(certificate.not_after);
            let day = end.get(..10).unwrap_or(&end);
            let _ = writeln!(
                self.0,
                "</th><td><time datetime=\"{end}\" title=\"{end}\">{day}</time></td><td class=\"{class}\">{what}</td></tr>"
            );
        }
        self.end_table();
    }

    fn requests(&mut self, snapshot: &Snapshot) {
        let sums = &snapshot.sums;
        // Informational replies end no request.
        let classes = CLASSES.get(1..).unwrap_or_default();
        let columns: Vec<&str> = std::iter::once("HTTP")
            .chain(classes.iter().copied())
            .collect();
        self.table("Requests by status", &columns);
        for (protocol, counts) in PROTOCOLS.iter().zip(sums.requests) {
            self.row(protocol, counts.get(1..).unwrap_or_default());
        }
        self.put("</tbody></table></div><p class=\"note\">");
        let aborted = match sums.aborted {
            0 => "None".to_owned(),
            count => grouped(count),
        };
        let _ = writeln!(
            self.0,
            "{aborted} broke off before the end of the reply</p></section>"
        );
    }

    fn handshakes(&mut self, snapshot: &Snapshot) {
        self.table("Handshakes", &["TLS", "full", "resumed"]);
        for (version, counts) in TLS_VERSIONS.iter().zip(snapshot.sums.handshakes) {
            self.row(version, &counts);
        }
        self.end_table();
    }

    fn failures(&mut self, snapshot: &Snapshot) {
        self.table("Failed handshakes", &["Cause", "Count"]);
        let mut failures: Vec<_> = snapshot.sums.failures.iter().collect();
        failures.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (cause, count) in &failures {
            self.row(&format!("<code>{cause}</code>"), &[**count]);
        }
        if failures.is_empty() {
            self.put("<tr><td colspan=\"2\" class=\"zero\">none</td></tr>\n");
        }
        self.put("</tbody></table></div><p class=\"note\"><code>handfast explain CAUSE</code> says more</p></section>\n");
    }

    fn durations(&mut self, snapshot: &Snapshot, requests: u64) {
        self.table("Duration of requests", &["Up to", "Requests", "Share"]);
        let bounds = DURATIONS_MS.iter().map(|bound| match bound {
            ..1000 => format!("{bound} ms"),
            _ => format!("{} s", *bound as f64 / 1000.0),
        });
        let names = bounds.chain(["longer".to_owned()]);
        for (name, count) in names.zip(snapshot.sums.durations) {
            let share = if requests == 0 {
                0.0
            } else {
                100.0 * count as f64 / requests as f64
            };
            let _ = write!(self.0, "<tr><th scope=\"row\">{name}</th>");
            self.count(count);
            let _ = match (count, share) {
                (0, _) => writeln!(self.0, "<td class=\"zero\">0%</td></tr>"),
                (_, ..0.05) => writeln!(self.0, "<td>&lt;0.1%</td></tr>"),
                _ => writeln!(self.0, "<td>{share:.1}%</td></tr>"),
            };
        }
        self.end_table();
    }

    fn connections(&mut self, snapshot: &Snapshot) {
        let sums = &snapshot.sums;
        self.table("Connections that ended", &["Reason", "Count"]);
        for (reason, count) in ENDS.iter().zip(sums.ends) {
            self.row(&reason.replace('-', " "), &[count]);
        }
        self.end_table();
    }

    fn upkeep(&mut self, snapshot: &Snapshot) {
        let sums = &snapshot.sums;
        let [good, bad] = sums.reloads;
        let [access, audit] = snapshot.lines_lost;
        self.table("Upkeep", &["What", "Count"]);
        for (name, count, is_bad) in [
            ("Reloads", good, false),
            ("Failed reloads", bad, true),
            ("Lost lines of the access log", access, true),
            ("Lost lines of the audit file", audit, true),
            ("Connection limit reached", sums.full, true),
            (
                "Connections that could not be accepted",
                sums.accept_failures,
                true,
            ),
        ] {
            let class = match (count, is_bad) {
                (0, _) => "zero",
                (_, true) => "bad",
                (_, false) => "good",
            };
            let _ = writeln!(
                self.0,
                "<tr><th scope=\"row\" class=\"wrap\">{name}</th><td class=\"{class}\">{}</td></tr>",
                grouped(count)
            );
        }
        self.end_table();
    }
}

/// `12,345`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.5 MiB`
fn bytes(count: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut at) = (count, 0);
    while value >= 1024.0 && at + 1 < UNITS.len() {
        value /= 1024.0;
        at += 1;
    }
    let unit = UNITS.get(at).unwrap_or(&"B");
    match value < 10.0 && at > 0 {
        true => format!("{value:.1} {unit}"),
        false => format!("{value:.0} {unit}"),
    }
}

/// `3 d 4 h`
fn duration(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::tests::example;
    use super::*;

    #[test]
    fn the_page_has_the_numbers_and_nothing_from_elsewhere() {
        let page = html(&example());
        for expected in [
            "data-requests=\"8998\"",
            "running for 1 d 3 h",
            "of 8,192 at most",
            "<code>closed-without-a-byte</code>",
            "localhost, 127.0.0.1",
            "<td class=\"bad\">expired</td>",
            "<td class=\"warn\">0</td>",
            "<td class=\"good\">46</td>",
            "1.0 MiB",
        ] {
            assert!(page.contains(expected), "{expected}\n{page}");
        }
        for outside in [
            "http:", "https:", "//", "src=", "style=", "onload", "@import",
        ] {
            let body = page.replace(SCRIPT, "").replace(STYLE, "");
            assert!(!body.contains(outside), "{outside}");
        }
        assert!(!page.contains("CN=\""), "issuers are not shown");
        assert!(!SCRIPT.contains("innerHTML"));
    }

    #[test]
    fn the_policy_allows_what_the_page_contains_and_no_more() {
        let policy = policy();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert_eq!(policy.matches("'sha256-").count(), 2);
        assert!(!policy.contains("unsafe"));
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [0.0, 1023.0, 1536.0, 1e12].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "931 GiB"]
        );
        let times = [5.0, 65.0, 3660.0, 100_000.0];
        assert_eq!(
            times.map(duration),
            ["5 s", "1 min 5 s", "1 h 1 min", "1 d 3 h"]
        );
    }
}
