//! Axes: positions of values, and ticks at round values with space between their labels.

/// The font has 11 pixels; the widest digit of browsers' fonts for `system-ui` has 0.62
/// of that.
const CHARACTER_WIDTH: f64 = 6.9;

/// From one line of text to the next.
pub(super) const LINE_HEIGHT: f64 = 14.0;

/// Between two labels that stand beside each other.
const GAP: f64 = 12.0;

/// How wide a text is at most.
pub(super) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER_WIDTH
}

/// A position on an axis, with a label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// From 0 at its beginning to 1 at its end.
    pub(super) share: f64,
    pub(super) label: String,
}

/// A range of values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nanoseconds, on a logarithmic scale, for values of different magnitude.
    Latency,
    /// Seconds from zero.
    Time,
    /// Whole numbers from zero.
    Counts,
    /// Numbers from zero.
    Rate,
}

impl Axis {
    /// Durations in nanoseconds, on a logarithmic scale.
    pub(super) fn latency(low: f64, high: f64) -> Self {
        let low = low.max(1.0);
        Self {
            low,
            // For a single value, its surroundings.
            high: high.max(low * 1.5),
            kind: Kind::Latency,
        }
    }

    /// Seconds from zero.
    pub(super) fn time(seconds: f64) -> Self {
        Self::from_zero(seconds, Kind::Time)
    }

    /// Numbers from zero, with some space above the largest.
    pub(super) fn rate(high: f64) -> Self {
        Self::from_zero(high * 1.08, Kind::Rate)
    }

    /// Whole numbers from zero, with some space above the largest.
    pub(super) fn counts(high: u64) -> Self {
        Self::from_zero(high.max(1) as f64 * 1.08, Kind::Counts)
    }

    fn from_zero(high: f64, kind: Kind) -> Self {
        Self {
            low: 0.0,
            high: high.max(1e-9),
            kind,
        }
    }

    /// The place of a value, from 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        let share = match self.kind {
            Kind::Latency => (value.max(1.0) / self.low).ln() / (self.high / self.low).ln(),
            _ => value / self.high,
        };
        share.clamp(0.0, 1.0)
    }

    /// Ticks for an axis of this width, their labels below it, centred.
    pub(super) fn ticks_across(&self, width: f64) -> Vec<Tick> {
        self.ticks(|one, other| {
            let between = (other.share - one.share) * width;
            between >= (text_width(&one.label) + text_width(&other.label)) / 2.0 + GAP
        })
    }

    /// Ticks for an axis of this height, their labels beside it.
    pub(super) fn ticks_down(&self, height: f64) -> Vec<Tick> {
        self.ticks(|one, other| (other.share - one.share) * height >= 2.0 * LINE_HEIGHT)
    }

    /// As many round values as fit: at least two, if possible.
    fn ticks(&self, apart: impl Fn(&Tick, &Tick) -> bool) -> Vec<Tick> {
        let fits = |values: Vec<f64>| {
            let ticks: Vec<Tick> = values.into_iter().map(|value| self.tick(value)).collect();
            let fits = ticks.windows(2).all(|pair| match pair {
                [one, other] => apart(one, other),
                _ => true,
            });
            (fits && ticks.len() >= 2).then_some(ticks)
        };
        self.candidates().find_map(fits).unwrap_or_default()
    }

    /// Sets of round values, the densest first.
    fn candidates(&self) -> impl Iterator<Item = Vec<f64>> + '_ {
        let decades: [&[f64]; 3] = [&[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
        // Over several decades; then, within one, in equal steps. Each ends somewhere: with two ticks.
        let by_decade = decades
            .into_iter()
            .map(|factors| self.decades(factors, 1))
            .chain((2..=12).map(|every| self.decades(&[1.0], every)))
            .filter(|ticks| ticks.len() >= 3);
        let equal = (1..=8).rev().map(|count| self.equal(f64::from(count)));
        by_decade.chain(equal)
    }

    /// Powers of ten times these factors; none on an axis that begins at zero, which has no first one.
    fn decades(&self, factors: &[f64], every: i32) -> Vec<f64> {
        if self.kind != Kind::Latency {
            return Vec::new();
        }
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        (first..=last)
            .filter(|power| power.rem_euclid(every) == 0)
            .flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)))
            .filter(|value| (self.low..=self.high).contains(value))
            .collect()
    }

    /// Multiples of a round step, about so many.
    fn equal(&self, count: f64) -> Vec<f64> {
        let rough = (self.high - self.low) / count;
        let magnitude = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * magnitude)
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let step = match self.kind {
            Kind::Counts => step.max(1.0).round(),
            _ => step,
        };
        let first = (self.low / step).ceil();
        // The step is no smaller than a twentieth of the range.
        (0..20)
            .map(|index| (first + f64::from(index)) * step)
            .take_while(|value| *value <= self.high)
            .collect()
    }

    fn tick(&self, value: f64) -> Tick {
        Tick {
            share: self.share(value),
            label: match self.kind {
                Kind::Latency => duration(value),
                _ => number(value),
            },
        }
    }
}

/// A round number of nanoseconds.
fn duration(nanos: f64) -> String {
    let (value, unit) = match nanos {
        v if v >= 1e9 => (v / 1e9, "s"),
        v if v >= 1e6 => (v / 1e6, "ms"),
        v if v >= 1e3 => (v / 1e3, "us"),
        v => (v, "ns"),
    };
    format!("{} {unit}", number(value))
}

/// A number without zeros at its end.
fn number(value: f64) -> String {
    let (value, suffix) = match value {
        v if v >= 1e12 => (v / 1e12, "T"),
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e4 => (v / 1e3, "k"),
        v => (v, ""),
    };
    // Seven digits: what multiples of a step are off by is less.
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_whole_where_they_count() {
        assert_eq!(
            labels(&Axis::rate(10.0).ticks_down(200.0)),
            ["0", "2", "4", "6", "8", "10"]
        );
        assert_eq!(labels(&Axis::counts(1).ticks_down(200.0)), ["0", "1"]);
        assert_eq!(
            labels(&Axis::counts(3).ticks_down(200.0)),
            ["0", "1", "2", "3"]
        );
        assert_eq!(
            labels(&Axis::time(6.0).ticks_across(660.0)),
            ["0", "1", "2", "3", "4", "5", "6"]
        );
        let latency = Axis::latency(54e3, 72.7e6);
        assert_eq!(
            labels(&latency.ticks_across(660.0)),
            [
                "100 us", "200 us", "500 us", "1 ms", "2 ms", "5 ms", "10 ms", "20 ms", "50 ms"
            ]
        );
        assert_eq!(
            labels(&latency.ticks_down(200.0)),
            ["100 us", "300 us", "1 ms", "3 ms", "10 ms", "30 ms"]
        );
        // Within a decade.
        let narrow = Axis::latency(6.01e6, 6.01e6).ticks_across(660.0);
        assert!(labels(&narrow).contains(&"7 ms"), "{narrow:?}");
        for high in [1e-9, 0.003, 1.0, 7.3, 99.0, 12_345.0, 9e12] {
            let ticks = Axis::rate(high).ticks_down(200.0);
            assert!((3..=9).contains(&ticks.len()), "{high}: {ticks:?}");
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(2500.0), "2500");
        assert_eq!(number(25_000.0), "25k");
        assert_eq!(number(0.25), "0.25");
        assert_eq!(duration(5e5), "500 us");
        assert_eq!(duration(1.5e9), "1.5 s");
    }
}
