//! Plots as SVG: lines over time and bars over a logarithmic axis. No scripts, no fonts, no colours
//! of its own: the page's style sheet colours the classes `s0` to `s3`, `grid`, `label`.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 34.0;

/// A line of a plot.
pub(super) struct Series<'s> {
    pub(super) name: &'s str,
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over a linear axis that begins at zero both ways.
pub(super) fn lines(title: &str, x_unit: &str, y_unit: &str, series: &[Series<'_>]) -> String {
    let all = || series.iter().flat_map(|one| &one.points);
    let x_max = all().map(|(x, _)| *x).fold(1.0, f64::max);
    let y_max = all().map(|(_, y)| *y).fold(0.0, f64::max).max(1e-9) * 1.08;
    let mut svg = open(title);
    for tick in ticks(y_max) {
        let y = y_at(tick / y_max);
        grid_y(&mut svg, y, &number(tick));
    }
    for tick in ticks(x_max) {
        let x = x_at(tick / x_max);
        label_x(&mut svg, x, &number(tick));
    }
    units(&mut svg, x_unit, y_unit);
    for (index, one) in series.iter().enumerate() {
        let points: Vec<String> = one
            .points
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1}", x_at(x / x_max), y_at(y / y_max)))
            .collect();
        let _ = write!(
            svg,
            "<polyline class=\"line s{index}\" points=\"{}\"/>",
            points.join(" ")
        );
        // A single point makes no line.
        if let [(x, y)] = one.points[..] {
            let (x, y) = (x_at(x / x_max), y_at(y / y_max));
            let _ = write!(
                svg,
                "<circle class=\"dot s{index}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
            );
        }
        let x = LEFT + 8.0 + 90.0 * index as f64;
        let _ = write!(
            svg,
            "<rect class=\"fill s{index}\" x=\"{x:.0}\" y=\"8\" width=\"10\" height=\"10\"/>\
             <text class=\"label\" x=\"{:.0}\" y=\"17\">{}</text>",
            x + 14.0,
            escape(one.name)
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Bars of equal width with labels below some of them.
pub(super) fn bars(
    title: &str,
    x_unit: &str,
    y_unit: &str,
    counts: &[u64],
    labels: &[(usize, String)],
    marks: &[(f64, String)],
) -> String {
    let y_max = counts.iter().copied().max().unwrap_or(0).max(1) as f64 * 1.08;
    let mut svg = open(title);
    for tick in ticks(y_max) {
        grid_y(&mut svg, y_at(tick / y_max), &number(tick));
    }
    let step = (WIDTH - LEFT - RIGHT) / counts.len().max(1) as f64;
    for (index, count) in counts.iter().enumerate() {
        let x = LEFT + step * index as f64;
        let y = y_at(*count as f64 / y_max);
        let _ = write!(
            svg,
            "<rect class=\"fill s0\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            (step - 1.0).max(0.5),
            HEIGHT - BOTTOM - y
        );
    }
    for (index, label) in labels {
        label_x(&mut svg, LEFT + step * *index as f64, label);
    }
    for (place, label) in marks {
        let x = LEFT + step * place;
        let _ = write!(
            svg,
            "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\"/>\
             <text class=\"label\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM,
            TOP - 6.0,
            escape(label)
        );
    }
    units(&mut svg, x_unit, y_unit);
    svg.push_str("</svg>");
    svg
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

fn open(title: &str) -> String {
    let title = escape(title);
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>"
    )
}

fn grid_y(svg: &mut String, y: f64, label: &str) {
    let _ = write!(
        svg,
        "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
         <text class=\"label\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
        WIDTH - RIGHT,
        LEFT - 6.0,
        y + 4.0
    );
}

fn label_x(svg: &mut String, x: f64, label: &str) {
    let _ = write!(
        svg,
        "<text class=\"label\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
        HEIGHT - BOTTOM + 16.0
    );
}

fn units(svg: &mut String, x_unit: &str, y_unit: &str) {
    let _ = write!(
        svg,
        "<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{x_unit}</text>\
         <text class=\"label\" x=\"4\" y=\"17\">{y_unit}</text>",
        WIDTH - RIGHT,
        HEIGHT - 4.0
    );
}

fn x_at(share: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * share
}

fn y_at(share: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share
}

/// About five round numbers from zero to `max`.
fn ticks(max: f64) -> Vec<f64> {
    let rough = max / 5.0;
    let magnitude = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * magnitude)
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    (0..=10)
        .map(|index| step * f64::from(index))
        .take_while(|tick| *tick <= max)
        .collect()
}

/// A number for an axis.
fn number(value: f64) -> String {
    let (value, suffix) = match value {
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e4 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b6_ticks_are_round_and_few() {
        assert_eq!(ticks(10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        for max in [1e-9, 0.003, 1.0, 7.3, 99.0, 12_345.0, 9e12] {
            let ticks = ticks(max);
            assert!((3..=11).contains(&ticks.len()), "{max}: {ticks:?}");
        }
        assert_eq!(number(2500.0), "2500");
        assert_eq!(number(25_000.0), "25k");
        assert_eq!(number(0.25), "0.25");
    }
}
