//! `--timing`: what a transfer waited for, as bars beneath each other.

use std::time::Duration;

use handfast::escape_control;

use super::transfer::{Step, Transfer};
use crate::output::{Palette, Tone, note};

/// Columns beside the bars: two spaces, the phase, the time.
const BESIDE: usize = 26;

/// The bars' width: what is left of a screen, within limits that keep them readable.
const BARS: std::ops::RangeInclusive<usize> = 10..=60;

pub(super) fn show(transfer: &Transfer, columns: usize) {
    let palette = Palette::stderr();
    let width = columns
        .saturating_sub(BESIDE)
        .clamp(*BARS.start(), *BARS.end());
    let total = transfer.took.max(Duration::from_nanos(1));
    for step in &transfer.steps {
        let status = step.response.as_ref().map_or_else(
            || "no response".to_owned(),
            |head| format!("{:?} {}", head.version, head.status.as_u16()),
        );
        let title = format!("{} {}: {status}", step.method, escape_control(&step.url));
        note(palette.paint(Tone::Heading, title));
        for (phase, from, to) in phases(step, transfer.took) {
            note(format!(
                "  {phase:<10} {:>9}  {}",
                millis(to.saturating_sub(from)),
                bar(from, to, total, width)
            ));
        }
    }
    note(format!("  {:<10} {:>9}", "total", millis(transfer.took)));
}

/// The phases of a request that it came to: name, begin, end.
fn phases(step: &Step, over: Duration) -> Vec<(&'static str, Duration, Duration)> {
    let mut phases = Vec::new();
    let mut from = step.began;
    for (phase, to) in [
        ("resolve", step.resolved),
        ("connect", step.connected),
        ("proxy", step.proxied),
        ("handshake", step.secured),
        ("request", step.requested),
        ("wait", step.responded),
    ] {
        if let Some(to) = to {
            phases.push((phase, from, to));
            from = to;
        }
    }
    match (step.responded, step.completed) {
        (Some(_), completed) => phases.push(("body", from, completed.unwrap_or(over))),
        (None, _) => phases.push(("failed", from, over)),
    }
    phases
}

fn bar(from: Duration, to: Duration, total: Duration, width: usize) -> String {
    let column = |time: Duration| {
        let share = time.as_secs_f64() / total.as_secs_f64();
        ((share * width as f64).round() as usize).min(width)
    };
    let length = column(to).saturating_sub(column(from));
    let begin = column(from).min(width.saturating_sub(1));
    // What took no time to be seen is shown, too.
    let mark = match length {
        0 => "|".to_owned(),
        length => "=".repeat(length),
    };
    format!("{}{mark}", " ".repeat(begin))
}

fn millis(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_lie_where_the_time_went() {
        let bar = |from, to| {
            bar(
                Duration::from_millis(from),
                Duration::from_millis(to),
                Duration::from_millis(100),
                20,
            )
        };
        assert_eq!(bar(0, 50), "==========");
        assert_eq!(bar(50, 100), format!("{}==========", " ".repeat(10)));
        assert_eq!(bar(0, 0), "|");
        assert_eq!(bar(100, 100), format!("{}|", " ".repeat(19)));
    }
}
