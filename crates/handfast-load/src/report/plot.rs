//! Plots as SVG: lines over time and bars over a logarithmic axis. No scripts, no fonts, no colours
//! of its own: the page's style sheet colours the classes `s0` to `s3`, `grid`, `label`.
//!
//! Whatever the numbers are, no text lies over another or beyond the edge: `axis.rs` chooses ticks
//! that leave room, and marks that would collide share a label or go into rows of their own.

use std::fmt::Write as _;

use super::axis::{Axis, LINE_HEIGHT, Tick, text_width};

pub(super) const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
/// Half of the longest label of a tick.
const RIGHT: f64 = 32.0;
/// Unit and legend.
const TOP: f64 = 30.0;
const BOTTOM: f64 = 36.0;

/// Marks nearer to each other than this are one.
const SAME_PLACE: f64 = 3.0;

/// A line of a plot.
pub(super) struct Series<'s> {
    pub(super) name: &'s str,
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over two axes.
pub(super) fn lines(
    title: &str,
    (x, x_unit): (&Axis, &str),
    (y, y_unit): (&Axis, &str),
    series: &[Series<'_>],
) -> String {
    let mut svg = open(title);
    let area = Area::below(TOP);
    area.axes(
        &mut svg,
        &x.ticks_across(area.width()),
        &y.ticks_down(area.height()),
    );
    units(&mut svg, x_unit, y_unit);
    let mut legend = (LEFT + 8.0).max(4.0 + text_width(y_unit) + 16.0);
    for (index, one) in series.iter().enumerate() {
        let points: Vec<(f64, f64)> = one
            .points
            .iter()
            .map(|(at, value)| (area.x(x.share(*at)), area.y(y.share(*value))))
            .collect();
        let text: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = write!(
            svg,
            "<polyline class=\"line s{index}\" points=\"{}\"/>",
            text.join(" ")
        );
        // A single point makes no line.
        if let [(x, y)] = points[..] {
            let _ = write!(
                svg,
                "<circle class=\"dot s{index}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
            );
        }
        let _ = write!(
            svg,
            "<rect class=\"fill s{index}\" x=\"{legend:.0}\" y=\"4\" width=\"10\" height=\"10\"/>"
        );
        label(&mut svg, (legend + 14.0, 13.0), "start", one.name);
        legend += 14.0 + text_width(one.name) + 24.0;
    }
    svg.push_str("</svg>");
    svg
}

/// Bars of equal width along the whole of `x`, and marks at some of its values.
pub(super) fn bars(
    title: &str,
    (x, x_unit): (&Axis, &str),
    y_unit: &str,
    counts: &[u64],
    marks: &[(f64, &str)],
) -> String {
    let marks = rows(
        marks.iter().map(|(value, text)| (x.share(*value), *text)),
        y_unit,
    );
    let area = Area::below(
        TOP + LINE_HEIGHT * marks.iter().map(|mark| mark.row as f64).fold(0.0, f64::max),
    );
    let y = Axis::counts(counts.iter().copied().max().unwrap_or(0));
    let mut svg = open(title);
    area.axes(
        &mut svg,
        &x.ticks_across(area.width()),
        &y.ticks_down(area.height()),
    );
    let step = area.width() / counts.len().max(1) as f64;
    for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        // One among thousands is there, and is seen.
        let height = (area.bottom() - area.y(y.share(*count as f64))).max(1.0);
        let _ = write!(
            svg,
            "<rect class=\"fill s0\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
            LEFT + step * index as f64,
            area.bottom() - height,
            (step - 1.0).max(0.5),
        );
    }
    for mark in &marks {
        let row = TOP - 8.0 + LINE_HEIGHT * mark.row as f64;
        // The first line sets the second off from bars of any height.
        let _ = write!(
            svg,
            "<line class=\"halo\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{2:.1}\"/>\
             <line class=\"mark\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{2:.1}\"/>",
            mark.x,
            row + 4.0,
            area.bottom(),
        );
        label(&mut svg, (mark.label_x, row), "middle", &mark.text);
    }
    units(&mut svg, x_unit, y_unit);
    svg.push_str("</svg>");
    svg
}

/// Where a mark stands, and its label: not always above it, at the edges.
struct Mark {
    x: f64,
    label_x: f64,
    row: usize,
    text: String,
}

/// Marks at these shares of the width, their labels in as few rows as keep them apart.
fn rows<'m>(marks: impl Iterator<Item = (f64, &'m str)>, unit: &str) -> Vec<Mark> {
    let mut placed: Vec<Mark> = Vec::new();
    let width = WIDTH - LEFT - RIGHT;
    for (share, text) in marks {
        let x = LEFT + width * share;
        match placed
            .iter_mut()
            .find(|mark| (mark.x - x).abs() < SAME_PLACE)
        {
            Some(mark) => mark.text = format!("{}, {text}", mark.text),
            None => placed.push(Mark {
                x,
                label_x: x,
                row: 0,
                text: text.to_owned(),
            }),
        }
    }
    placed.sort_by(|a, b| a.x.total_cmp(&b.x));
    // The first row has the unit at its beginning.
    let mut ends = vec![4.0 + text_width(unit)];
    for mark in &mut placed {
        let half = text_width(&mark.text) / 2.0;
        mark.label_x = mark.x.clamp(LEFT + half, (WIDTH - half).max(LEFT + half));
        let start = mark.label_x - half;
        mark.row = ends
            .iter()
            .position(|end| *end + 6.0 <= start)
            .unwrap_or(ends.len());
        let end = mark.label_x + half;
        match ends.get_mut(mark.row) {
            Some(row) => *row = end,
            None => ends.push(end),
        }
    }
    placed
}

/// Text that cannot become markup.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Where the data is drawn.
struct Area {
    top: f64,
}

impl Area {
    fn below(top: f64) -> Self {
        Self { top }
    }

    fn width(&self) -> f64 {
        WIDTH - LEFT - RIGHT
    }

    fn height(&self) -> f64 {
        self.bottom() - self.top
    }

    fn bottom(&self) -> f64 {
        HEIGHT - BOTTOM
    }

    fn x(&self, share: f64) -> f64 {
        LEFT + self.width() * share
    }

    fn y(&self, share: f64) -> f64 {
        self.bottom() - self.height() * share
    }

    fn axes(&self, svg: &mut String, across: &[Tick], down: &[Tick]) {
        for tick in down {
            let y = self.y(tick.share);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                WIDTH - RIGHT
            );
            label(svg, (LEFT - 6.0, y + 4.0), "end", &tick.label);
        }
        for tick in across {
            let (x, bottom) = (self.x(tick.share), self.bottom());
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{}\"/>",
                bottom + 4.0
            );
            label(svg, (x, bottom + 16.0), "middle", &tick.label);
        }
    }
}

fn open(title: &str) -> String {
    let title = escape(title);
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>"
    )
}

fn label(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let _ = write!(
        svg,
        "<text class=\"label\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escape(text)
    );
}

fn units(svg: &mut String, x_unit: &str, y_unit: &str) {
    label(svg, (WIDTH - RIGHT, HEIGHT - 4.0), "end", x_unit);
    label(svg, (4.0, 13.0), "start", y_unit);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a text covers: left, right, top, bottom.
    fn boxes(svg: &str) -> Vec<(String, [f64; 4])> {
        svg.split("<text ")
            .skip(1)
            .map(|text| {
                let of = |name: &str| {
                    text.split(&format!("{name}=\""))
                        .nth(1)
                        .unwrap()
                        .split('"')
                        .next()
                        .unwrap()
                };
                let number = |name: &str| of(name).parse::<f64>().unwrap();
                let (x, y) = (number(" x"), number(" y"));
                let shown = text.split('>').nth(1).unwrap().split('<').next().unwrap();
                let width = text_width(shown);
                let left = match of("text-anchor") {
                    "end" => x - width,
                    "middle" => x - width / 2.0,
                    _ => x,
                };
                (shown.to_owned(), [left, left + width, y - 9.0, y + 2.0])
            })
            .collect()
    }

    fn assert_apart(svg: &str) {
        let boxes = boxes(svg);
        for (index, (text, [left, right, top, bottom])) in boxes.iter().enumerate() {
            assert!(
                *left >= 0.0 && *right <= WIDTH && *top >= 0.0 && *bottom <= HEIGHT,
                "{text} is beyond the edge: {left} to {right}, {top} to {bottom}"
            );
            for (other, [l, r, t, b]) in &boxes[index + 1..] {
                assert!(
                    right <= l || r <= left || bottom <= t || b <= top,
                    "{text} lies over {other}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_of_a_plot_lies_over_another(
            low in 1e3f64..1e10,
            factor in 1.0f64..1e6,
            shares in proptest::collection::vec(0.0f64..=1.0, 3),
            counts in proptest::collection::vec(0u64..1_000_000_000, 1..80),
            seconds in 0.001f64..100_000.0,
        ) {
            let (high, names) = (low * factor, ["p50", "p99", "p99.9"]);
            let x = Axis::latency(low, high);
            let marks: Vec<_> = shares
                .iter()
                .zip(names)
                .map(|(share, name)| (low * factor.powf(*share), name))
                .collect();
            let svg = bars("t", (&x, "latency, logarithmic"), "responses", &counts, &marks);
            assert_apart(&svg);
            let series = ["p50", "p90", "p99", "max"].map(|name| Series {
                name,
                points: vec![(seconds / 2.0, low), (seconds, high)],
            });
            let (time, latency) = (Axis::time(seconds), Axis::latency(low, high));
            assert_apart(&lines("t", (&time, "seconds"), (&latency, "latency, logarithmic"), &series));
            let rate = Axis::rate(high.min(1e12));
            assert_apart(&lines("t", (&time, "seconds"), (&rate, "requests/s"), &series[..2]));
        }
    }

    #[test]
    fn marks_at_one_place_share_a_label() {
        let x = Axis::latency(1e6, 1e9);
        let marks = [(1e6, "p50"), (1e6, "p99"), (1.001e6, "p99.9")];
        let svg = bars("t", (&x, "x"), "y", &[1, 0], &marks);
        assert!(svg.contains(">p50, p99, p99.9<"), "{svg}");
        assert_apart(&svg);
    }
}
