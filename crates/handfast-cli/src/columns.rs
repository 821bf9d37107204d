//! Two texts side by side: the client's view and the server's view.

/// Below this width, half of a line is too narrow for a name and a number, so the texts are stacked.
const BESIDE_MIN: usize = 80;
const GAP: &str = " | ";

/// Places `left` and `right` side by side, or stacked if the width is too small, wrapping both at words,
/// below their headings.
///
/// Each line of the result is indented and has no trailing blanks.
pub(crate) fn side_by_side(
    width: usize,
    left: (&str, &[String]),
    right: (&str, &[String]),
) -> String {
    if width < BESIDE_MIN {
        return [left, right]
            .into_iter()
            .map(|(heading, lines)| below(width, heading, lines))
            .collect();
    }
    let column = (width - 2 - GAP.len()) / 2;
    let rows = |(heading, lines): (&str, &[String])| -> Vec<String> {
        std::iter::once(heading.to_owned())
            .chain(lines.iter().flat_map(|line| wrap(line, column)))
            .collect()
    };
    let (left, right) = (rows(left), rows(right));
    let mut text = String::new();
    for index in 0..left.len().max(right.len()) {
        let cell = |rows: &[String]| rows.get(index).cloned().unwrap_or_default();
        let (left, right) = (cell(&left), cell(&right));
        let pad = column.saturating_sub(left.chars().count());
        let row = format!("  {left}{}{GAP}{right}", " ".repeat(pad));
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// The lines below their heading.
fn below(width: usize, heading: &str, lines: &[String]) -> String {
    let rows = lines
        .iter()
        .flat_map(|line| wrap(line, width.saturating_sub(4)));
    let rows: String = rows
        .map(|row| format!("    {}\n", row.trim_end()))
        .collect();
    format!("  {heading}\n{rows}")
}

/// Wraps lines that are longer than `width` at blanks. Continuation lines are aligned with the value, if the line
/// has a label. A longer word is not broken, so that a fingerprint can be copied.
pub(crate) fn fit(text: &str, width: usize) -> String {
    let mut fitted = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        if visible(line) <= width {
            fitted.push_str(line);
        } else {
            fit_line(&mut fitted, line, width);
        }
        fitted.push_str(end);
    }
    fitted
}

fn fit_line(fitted: &mut String, line: &str, width: usize) {
    let indent = value_column(line).min(width / 2);
    let mut column = 0;
    let mut is_first = true;
    // Blanks inside a line are kept, because they align its columns.
    for word in line.split(' ') {
        let length = visible(word);
        if !is_first && column + 1 + length > width && column > indent && length > 0 {
            while fitted.ends_with(' ') {
                fitted.pop();
            }
            fitted.push('\n');
            fitted.push_str(&" ".repeat(indent));
            column = indent;
        } else if !is_first {
            fitted.push(' ');
            column += 1;
        }
        fitted.push_str(word);
        column += length;
        is_first = false;
    }
}

/// The column of a line's value: after a label and two blanks, or after the indentation.
fn value_column(line: &str) -> usize {
    let plain = without_colour(line);
    let indent = plain.len() - plain.trim_start().len();
    let rest = plain.get(indent..).unwrap_or_default();
    match rest.find("  ") {
        Some(gap) => {
            let after = rest.get(gap..).unwrap_or_default();
            indent + gap + (after.len() - after.trim_start().len())
        }
        None => indent + 2,
    }
}

fn visible(text: &str) -> usize {
    without_colour(text).chars().count()
}

/// Without the escape sequences that colour it.
fn without_colour(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split('\x1b');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

/// Wraps a line at blanks; continuation lines are indented by two. A word that is longer than the column is
/// broken.
fn wrap(line: &str, width: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    let mut row = String::new();
    for word in line.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        let length = row.chars().count();
        if length > 0 && length + 1 + word.len() > width {
            rows.push(std::mem::replace(&mut row, "  ".to_owned()));
        } else if !row.trim().is_empty() {
            row.push(' ');
        }
        while row.chars().count() + word.len() > width {
            let room = width - row.chars().count();
            row.extend(word.drain(..room));
            rows.push(std::mem::replace(&mut row, "  ".to_owned()));
        }
        row.extend(word);
    }
    rows.push(row);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 100;

    #[test]
    fn long_lines_are_wrapped_at_their_value_and_words_are_not_broken() {
        let long = "x".repeat(70);
        let text = format!(
            "short\n  label        {}\n  \x1b[2mkey        \x1b[0m  a b {long} c\n    {}",
            "word ".repeat(20).trim_end(),
            "other ".repeat(15).trim_end(),
        );
        let fitted = fit(&text, 60);
        let rows: Vec<&str> = fitted.lines().collect();
        assert_eq!(rows[0], "short");
        assert!(rows[1].starts_with("  label        word"));
        assert!(
            rows[2].starts_with(&format!("{}word", " ".repeat(15))),
            "{fitted}"
        );
        let too_long: Vec<_> = rows.iter().filter(|row| visible(row) > 60).collect();
        assert_eq!(too_long.len(), 1, "{fitted}");
        assert!(too_long[0].ends_with(&long), "{fitted}");
        assert_eq!(fitted.matches("word").count(), 20);
        assert_eq!(fitted.matches("other").count(), 15);
        assert!(rows.iter().all(|row| !row.ends_with(' ')), "{fitted}");
        assert_eq!(fit(&text, 200), text);
    }

    #[test]
    fn texts_are_stacked_if_the_width_is_too_small() {
        let left = ["one ".repeat(30), "x".repeat(90)];
        let right = ["two ".repeat(30)];
        let text = side_by_side(60, ("client", &left), ("server", &right));
        assert!(text.lines().all(|row| row.chars().count() <= 60), "{text}");
        assert!(text.starts_with("  client\n    one") && text.contains("\n  server\n    two"));
        assert!(!text.contains('|'), "{text}");
        assert_eq!(text.matches("two").count(), 30);
    }

    #[test]
    fn columns_are_aligned_wrapped_and_without_trailing_blanks() {
        let left = ["short".to_owned(), "a ".repeat(60) + &"x".repeat(120)];
        let right = ["one".to_owned()];
        let text = side_by_side(WIDTH, ("client", &left), ("server", &right));
        let rows: Vec<&str> = text.lines().collect();
        assert!(
            rows[0].starts_with("  client") && rows[0].ends_with("| server"),
            "{text}"
        );
        let bar = rows[0].find('|');
        for row in rows {
            assert!(row.chars().count() <= WIDTH, "{row}");
            assert_eq!(row.find('|'), bar, "{row}");
            assert_eq!(row.trim_end(), row);
        }
        assert_eq!(text.matches('x').count(), 120);
        assert_eq!(text.matches('a').count(), 60);
    }
}
