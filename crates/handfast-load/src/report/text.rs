//! The report for a terminal.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::measure::{Distribution, Measurements, Second, per_second};
use super::super::plan::{Pacing, Plan};
use super::{PERCENTILES, bytes, remarks, short, shown, summary};

/// The whole report, in plain text, with a line end at its end.
pub fn text(plan: &Plan, measured: &Measurements) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = render(&mut text, plan, measured);
    text
}

/// A second of a test that goes on, in one line without its end, of 60 columns at most.
pub fn second_line(plan: &Plan, second: &Second, so_far: &Measurements) -> String {
    let rate = per_second(second.complete, second.length);
    let mut line = format!(
        "{:>4} s {rate:>8.0}/s  p50 {:>7}  p99 {:>7}",
        second.index + 1,
        short(second.p50),
        short(second.p99),
    );
    let failed = so_far.requests.failed + so_far.requests.truncated;
    // What is wrong comes before what is usual.
    if failed > 0 {
        let _ = write!(line, "  {failed} failed");
    } else if plan.pacing != Pacing::Closed && second.waiting > 0 {
        let _ = write!(line, "  {} waiting", second.waiting);
    } else {
        let _ = write!(line, "  max {:>7}", short(second.max));
    }
    line
}

fn render(out: &mut String, plan: &Plan, measured: &Measurements) -> std::fmt::Result {
    let requests = &measured.requests;
    let target = plan.target.to_string();
    writeln!(out, "{}", handfast::escape_control(&target))?;
    writeln!(out, "{}\n", summary(plan))?;
    write!(
        out,
        "requests     {} complete, {} truncated, {} failed, {} unfinished",
        requests.complete, requests.truncated, requests.failed, requests.unfinished
    )?;
    if plan.pacing != Pacing::Closed {
        write!(out, ", {} never sent", requests.unsent)?;
    }
    writeln!(out)?;
    if requests.failed_by_status > 0 {
        let count = requests.failed_by_status;
        writeln!(
            out,
            "             {count} of the failed: a status of 400 or more"
        )?;
    }
    if requests.resent > 0 {
        let count = requests.resent;
        writeln!(
            out,
            "             sent again {count} times: refused, not processed"
        )?;
    }
    writeln!(out, "time         {}", short(measured.elapsed))?;
    let seconds = measured.elapsed.as_secs_f64().max(1e-9);
    writeln!(
        out,
        "rate         {:.0}/s, {}/s received",
        measured.rate(),
        bytes(measured.traffic.bytes_received as f64 / seconds)
    )?;
    distributions(out, plan, measured)?;
    if !measured.statuses.is_empty() {
        let statuses: Vec<String> = measured
            .statuses
            .iter()
            .map(|(status, count)| format!("{status}: {count}"))
            .collect();
        writeln!(out, "statuses     {}", statuses.join(", "))?;
    }
    let (full, resumed) = measured.handshakes();
    for (agreed, count) in &measured.agreed {
        let kind = if agreed.resumed { "resumed" } else { "full" };
        let group = agreed
            .group
            .map_or_else(String::new, |group| format!(", {group}"));
        let alpn = agreed.alpn.as_deref().map_or_else(String::new, |alpn| {
            format!(", {}", handfast::escape_control(alpn))
        });
        writeln!(
            out,
            "tls          {count} {kind}: {}{group}{alpn},\n             {}",
            agreed.version, agreed.cipher_suite
        )?;
    }
    if resumed > 0 && full > 0 {
        let share = 100.0 * resumed as f64 / (full + resumed) as f64;
        writeln!(
            out,
            "             {share:.1}% of the handshakes resumed a session"
        )?;
    }
    let ends = &measured.ends;
    writeln!(
        out,
        "connections  {} attempts; ended by close_notify {},\n             without it {}, by reset {}, by us {}",
        measured.connections, ends.close_notify, ends.premature, ends.reset, ends.ours
    )?;
    let traffic = &measured.traffic;
    writeln!(
        out,
        "traffic      {} received, {} records of data,\n             {} sent, {} records of data; bodies {}",
        bytes(traffic.bytes_received as f64),
        traffic.records_received,
        bytes(traffic.bytes_sent as f64),
        traffic.records_sent,
        bytes(measured.body_bytes as f64),
    )?;
    if let Some(cpu) = measured.cpu {
        let each = measured.per_cpu_second().unwrap_or(0.0);
        let cpu = short(cpu);
        writeln!(
            out,
            "generator    used {cpu} of processor time: at most {each:.0} requests in a second of it"
        )?;
    }
    for (id, failure) in &measured.failures {
        writeln!(
            out,
            "failure      {} x {} [{id}]",
            failure.count, failure.explanation.what
        )?;
        for line in &failure.explanation.evidence {
            writeln!(out, "             {line}")?;
        }
        for line in &failure.explanation.fix {
            writeln!(out, "             fix: {line}")?;
        }
    }
    for remark in remarks(plan, measured) {
        writeln!(out, "note         {remark}")?;
    }
    Ok(())
}

/// A table with a column for each distribution that has something in it: beside each other they fit
/// into 60 columns, which a row each would not.
fn distributions(out: &mut String, plan: &Plan, measured: &Measurements) -> std::fmt::Result {
    let columns = shown(plan, measured);
    if columns.is_empty() {
        return Ok(());
    }
    write!(out, "\n{:<9}", "")?;
    for (name, _) in &columns {
        write!(out, " {name:>9}")?;
    }
    writeln!(out)?;
    let mut row = |label: &str, value: &dyn Fn(&Distribution) -> Duration| {
        write!(out, "{label:<9}")?;
        for (_, of) in &columns {
            write!(out, " {:>9}", short(value(of)))?;
        }
        writeln!(out)
    };
    for (percent, label) in PERCENTILES {
        row(label, &|of| of.percentile(percent))?;
    }
    row("max", &Distribution::max)?;
    row("mean", &Distribution::mean)?;
    if plan.pacing != Pacing::Closed {
        writeln!(
            out,
            "latency: from when a request was due; service: from sending"
        )?;
    }
    writeln!(out)
}
