//! The report as a page: one file, no scripts, nothing loaded from anywhere.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::measure::{Distribution, Measurements, Second, per_second};
use super::super::plan::{Pacing, Plan};
use super::axis::Axis;
use super::plot::{Series, bars, escape, lines};
use super::{About, PERCENTILES, bytes, log_bounds, remarks, short, shown, summary, text};

/// Bars of the latency distribution.
const BARS: usize = 60;

const STYLE: &str = "\
:root{--ink:#1b1f24;--faint:#667;--paper:#fff;--rule:#dde1e6;--s0:#2f6fde;--s1:#e08a1e;--s2:#c8385a;--s3:#7a8794}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--faint:#98a2b0;--paper:#14171b;--rule:#2c323a;--s0:#6ea2ff;--s1:#f2ad55;--s2:#ff7391;--s3:#8c99a8}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:820px;margin:2em auto;padding:0 1em}
h1{font-size:1.3em;overflow-wrap:anywhere;margin-bottom:.1em}h2{font-size:1.05em;margin:1.6em 0 .3em}
p.plan{color:var(--faint);margin-top:0}
dl{display:flex;flex-wrap:wrap;gap:.6em 2.2em;margin:1em 0}dt{color:var(--faint);font-size:.85em}dd{margin:0;font-size:1.35em;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{text-align:right;padding:.15em .9em .15em 0;border-bottom:1px solid var(--rule)}th{font-weight:normal;color:var(--faint)}th:first-child,td:first-child{text-align:left}
svg{width:100%;height:auto}.grid{stroke:var(--rule)}.label{fill:var(--faint);font-size:11px}.line{fill:none;stroke-width:1.8}.halo{stroke:var(--paper);stroke-width:4}.mark{stroke:var(--s2);stroke-width:1.6;stroke-dasharray:4 2}
.line.s0{stroke:var(--s0)}.line.s1{stroke:var(--s1)}.line.s2{stroke:var(--s2)}.line.s3{stroke:var(--s3)}
.fill.s0,.dot.s0{fill:var(--s0)}.fill.s1,.dot.s1{fill:var(--s1)}.fill.s2,.dot.s2{fill:var(--s2)}.fill.s3,.dot.s3{fill:var(--s3)}
.remark{border-left:3px solid var(--s1);padding-left:.8em}pre{overflow-x:auto;font-size:13px;color:var(--faint)}";

/// The whole report as an HTML page that opens offline.
pub fn html(plan: &Plan, measured: &Measurements, about: &About) -> String {
    let mut page = String::with_capacity(32 * 1024);
    // Writing to a string cannot fail.
    let _ = render(&mut page, plan, measured, about);
    page
}

fn render(
    page: &mut String,
    plan: &Plan,
    measured: &Measurements,
    about: &About,
) -> std::fmt::Result {
    let url = escape(&handfast::escape_control(&plan.target.to_string()));
    writeln!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>handfast bench: {url}</title>\n<style>\n{STYLE}\n</style></head>\n<body>\n\
         <h1>{url}</h1>\n<p class=\"plan\">{}<br>{}</p>",
        escape(&summary(plan)),
        escape(&about.summary()),
    )?;
    facts(page, measured)?;
    for remark in remarks(plan, measured) {
        writeln!(page, "<p class=\"remark\">{}</p>", escape(&remark))?;
    }
    writeln!(page, "<h2>Latency</h2>")?;
    percentiles(page, plan, measured)?;
    if !measured.latency.is_empty() {
        writeln!(page, "{}", distribution(&measured.latency))?;
        writeln!(page, "<h2>Latency over time</h2>\n{}", latency(measured))?;
    }
    writeln!(
        page,
        "<h2>Throughput over time</h2>\n{}",
        throughput(measured)
    )?;
    failures(page, measured)?;
    writeln!(
        page,
        "<h2>Everything</h2>\n<pre>{}</pre>\n</body></html>",
        escape(&text(plan, measured))
    )
}

fn facts(page: &mut String, measured: &Measurements) -> std::fmt::Result {
    let requests = &measured.requests;
    let received =
        measured.traffic.bytes_received as f64 / measured.elapsed.as_secs_f64().max(1e-9);
    let percentile = |percent| match measured.latency.is_empty() {
        true => "none".to_owned(),
        false => short(measured.latency.percentile(percent)),
    };
    let facts = [
        ("requests a second", format!("{:.0}", measured.rate())),
        ("complete", requests.complete.to_string()),
        ("truncated", requests.truncated.to_string()),
        ("failed", requests.failed.to_string()),
        ("p50", percentile(50.0)),
        ("p99", percentile(99.0)),
        ("received", format!("{}/s", bytes(received))),
        ("time", short(measured.elapsed)),
    ];
    write!(page, "<dl>")?;
    for (name, value) in facts {
        write!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    writeln!(page, "</dl>")
}

fn percentiles(page: &mut String, plan: &Plan, measured: &Measurements) -> std::fmt::Result {
    write!(page, "<table><tr><th></th>")?;
    for (_, label) in PERCENTILES {
        write!(page, "<th>{label}</th>")?;
    }
    writeln!(page, "<th>max</th><th>mean</th></tr>")?;
    for (name, of) in shown(plan, measured) {
        write!(page, "<tr><td>{name}</td>")?;
        for (percent, _) in PERCENTILES {
            write!(page, "<td>{}</td>", short(of.percentile(percent)))?;
        }
        writeln!(
            page,
            "<td>{}</td><td>{}</td></tr>",
            short(of.max()),
            short(of.mean())
        )?;
    }
    writeln!(page, "</table>")?;
    if plan.pacing != Pacing::Closed {
        writeln!(
            page,
            "<p class=\"plan\">latency: from when a request was due; service: from sending</p>"
        )?;
    }
    Ok(())
}

/// How often which latency occurred, on a logarithmic axis, with the main percentiles marked.
fn distribution(latency: &Distribution) -> String {
    let bounds = log_bounds(latency, BARS);
    let counts = latency.counts_between(&bounds);
    // Nothing is below the first bound; the longest itself lies on the last.
    let mut bars_shown = counts.get(1..=BARS).unwrap_or_default().to_vec();
    if let (Some(last), Some(beyond)) = (bars_shown.last_mut(), counts.last()) {
        *last += beyond;
    }
    let end = |bound: Option<&Duration>| bound.map_or(1.0, |bound| nanos(*bound));
    let axis = Axis::latency(end(bounds.first()), end(bounds.last()));
    let marks = [(50.0, "p50"), (99.0, "p99"), (99.9, "p99.9")]
        .map(|(percent, label)| (nanos(latency.percentile(percent)), label));
    let marks: &[_] = if latency.is_empty() { &[] } else { &marks };
    bars(
        "Latency distribution",
        (&axis, "latency, logarithmic"),
        "responses",
        &bars_shown,
        marks,
    )
}

/// The axis that all plots over time share, so that what happened at one time stands in one place.
fn time(measured: &Measurements) -> Axis {
    Axis::time(measured.elapsed.as_secs_f64())
}

/// On a logarithmic axis: the longest of a second is often a hundred times its median, which would
/// lie on the zero of a linear one.
fn latency(measured: &Measurements) -> String {
    let seconds = &measured.seconds;
    let of = |value: fn(&Second) -> Duration| {
        points(seconds, |second| {
            let counts = is_whole(second, seconds) && second.complete > 0;
            counts.then(|| nanos(value(second)))
        })
    };
    let series = [
        Series {
            name: "p50",
            points: of(|second| second.p50),
        },
        Series {
            name: "p90",
            points: of(|second| second.p90),
        },
        Series {
            name: "p99",
            points: of(|second| second.p99),
        },
        Series {
            name: "max",
            points: of(|second| second.max),
        },
    ];
    let all = || series.iter().flat_map(|one| &one.points).map(|(_, y)| *y);
    let low = all().fold(f64::MAX, f64::min).min(1e9);
    let axis = Axis::latency(low * 0.8, all().fold(0.0, f64::max) * 1.2);
    lines(
        "Latency over time",
        (&time(measured), "seconds"),
        (&axis, "latency, logarithmic"),
        &series,
    )
}

/// What is left of the last second is too short to stand for a rate, or for percentiles.
fn is_whole(second: &Second, seconds: &[Second]) -> bool {
    second.length >= Duration::from_millis(500) || seconds.len() == 1
}

fn throughput(measured: &Measurements) -> String {
    let seconds = &measured.seconds;
    let whole = |second: &Second| is_whole(second, seconds);
    let series = [
        Series {
            name: "complete",
            points: points(seconds, |second| {
                whole(second).then(|| per_second(second.complete, second.length))
            }),
        },
        Series {
            name: "failed",
            points: points(seconds, |second| {
                whole(second).then(|| per_second(second.failed, second.length))
            }),
        },
    ];
    let all = series.iter().flat_map(|one| &one.points);
    let axis = Axis::rate(all.map(|(_, y)| *y).fold(0.0, f64::max));
    lines(
        "Throughput over time",
        (&time(measured), "seconds"),
        (&axis, "requests/s"),
        &series,
    )
}

/// A point in the middle of every second that has a value.
fn points(seconds: &[Second], value: impl Fn(&Second) -> Option<f64>) -> Vec<(f64, f64)> {
    seconds
        .iter()
        .filter_map(|second| {
            let middle = second.index as f64 + second.length.as_secs_f64() / 2.0;
            Some((middle, value(second)?))
        })
        .collect()
}

fn failures(page: &mut String, measured: &Measurements) -> std::fmt::Result {
    if measured.failures.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "<h2>Failures</h2>\n<table><tr><th>cause</th><th>requests</th></tr>"
    )?;
    for (id, failure) in &measured.failures {
        let mut what = escape(&failure.explanation.what);
        for line in &failure.explanation.evidence {
            let _ = write!(what, "<br>{}", escape(line));
        }
        writeln!(
            page,
            "<tr><td>[{id}] {what}</td><td>{}</td></tr>",
            failure.count
        )?;
    }
    writeln!(page, "</table>")
}

fn nanos(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}
