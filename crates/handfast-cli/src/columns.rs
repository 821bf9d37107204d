//! Two texts side by side: what the client saw, what the server saw.

/// The width of a page that fits every terminal, and half of which still holds a name and a number.
const WIDTH: usize = 100;
const GAP: &str = " | ";

/// Sets `left` and `right` beside each other, wrapping both at words, below their headings.
///
/// Each line of the result is indented and has no trailing blanks.
pub(crate) fn side_by_side(left: (&str, &[String]), right: (&str, &[String])) -> String {
    let column = (WIDTH - 2 - GAP.len()) / 2;
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

/// Breaks a line at blanks; what follows the first piece is indented by two. A word that is longer
/// than the column is cut.
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

    #[test]
    fn columns_are_aligned_wrapped_and_without_trailing_blanks() {
        let left = ["short".to_owned(), "a ".repeat(60) + &"x".repeat(120)];
        let right = ["one".to_owned()];
        let text = side_by_side(("client", &left), ("server", &right));
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
