//! Writes complete lines to a file that may be full: the first line after a failed write begins on a
//! new line, and lost lines are counted and reported.

use std::borrow::Cow;
use std::io::{self, Write};

/// Where lines go.
#[derive(Debug)]
pub(super) struct Lines<W> {
    out: W,
    /// The file ends with a partial line.
    torn: bool,
    /// Lost lines that are not reported yet.
    lost: u64,
    /// Lost lines, reported or not.
    lost_ever: u64,
}

impl<W: Write> Lines<W> {
    /// `torn`: what is there already ends within a line.
    pub(super) fn new(out: W, torn: bool) -> Self {
        Self {
            out,
            torn,
            lost: 0,
            lost_ever: 0,
        }
    }

    /// Continues with another file.
    pub(super) fn replace(&mut self, out: W, torn: bool) {
        self.out = out;
        self.torn = torn;
    }

    /// Lost lines that are not reported yet.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Lost lines since the start.
    pub(super) fn lost_ever(&self) -> u64 {
        self.lost_ever
    }

    /// Writes lines, each with its line feed; before them the line from `tell` about lost ones, if any, including
    /// `more` that were lost elsewhere.
    ///
    /// # Errors
    /// The first one. Lines that were not written completely are counted as lost.
    pub(super) fn write(
        &mut self,
        text: &[u8],
        more: u64,
        tell: impl FnOnce(u64) -> String,
    ) -> io::Result<()> {
        self.lose(more);
        if self.lost > 0 {
            let reported = self.put(tell(self.lost).as_bytes());
            if !matches!(reported, Err((1.., _))) {
                self.lost = 0;
            }
            if let Err((_, error)) = reported {
                self.lose(line_feeds(text));
                return Err(error);
            }
        }
        self.put(text).map_err(|(lost, error)| {
            self.lose(lost);
            error
        })
    }

    fn lose(&mut self, count: u64) {
        self.lost += count;
        self.lost_ever += count;
    }

    /// Returns on error how many lines were not written completely.
    fn put(&mut self, text: &[u8]) -> Result<(), (u64, io::Error)> {
        let text = match self.torn && !text.is_empty() {
            true => Cow::Owned([&b"\n"[..], text].concat()),
            false => Cow::Borrowed(text),
        };
        let mut rest = &*text;
        while !rest.is_empty() {
            let error = match self.out.write(rest) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(count) => {
                    let (written, more) = rest.split_at(count.min(rest.len()));
                    self.torn = written.last() != Some(&b'\n');
                    rest = more;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            // A line that lacks only its line feed gets it with the next one.
            let unwritten = rest.strip_prefix(b"\n").unwrap_or(rest);
            return Err((line_feeds(unwritten), error));
        }
        Ok(())
    }
}

fn line_feeds(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepts a number of bytes and then no more.
    #[derive(Default)]
    struct Disk {
        content: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.content.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn write(lines: &mut Lines<Disk>, text: &str) -> bool {
        lines
            .write(text.as_bytes(), 0, |count| format!("lost {count}\n"))
            .is_ok()
    }

    /// For every point at which the disk is full, and at which there is space again.
    #[test]
    fn after_a_full_disk_output_continues_on_a_new_line_and_lost_lines_are_reported() {
        for room in 0..40 {
            for more in 0..20 {
                let mut lines = Lines::new(Disk::default(), false);
                lines.out.room = room;
                let mut written = 0;
                for text in ["first\n", "second\nthird\n", "fourth\n"] {
                    written += u64::from(write(&mut lines, text)) * line_feeds(text.as_bytes());
                }
                lines.out.room += more;
                let _ = write(&mut lines, "fifth\n");
                lines.out.room = usize::MAX;
                assert!(write(&mut lines, "sixth\n") && write(&mut lines, "last\n"));
                assert_eq!(lines.lost(), 0);
                let text = String::from_utf8(std::mem::take(&mut lines.out.content)).unwrap();
                let whole = [
                    "first", "second", "third", "fourth", "fifth", "sixth", "last",
                ];
                let (mut found, mut reported, mut halves) = (0, 0, 0);
                for line in text.lines() {
                    match line
                        .strip_prefix("lost ")
                        .and_then(|count| count.parse::<u64>().ok())
                    {
                        Some(count) => reported += count,
                        None if whole.contains(&line) => found += 1,
                        None => halves += 1,
                    }
                }
                assert!(text.ends_with("sixth\nlast\n"), "{room}, {more}: {text:?}");
                assert!(
                    found + reported >= 7 && found >= written,
                    "{room}, {more}: {text:?}"
                );
                assert!(found + reported <= 7 + halves, "{room}, {more}: {text:?}");
                assert!(halves <= 2, "{room}, {more}: {text:?}");
            }
        }
    }

    #[test]
    fn a_file_with_a_partial_line_is_continued_on_a_new_line() {
        let mut lines = Lines::new(Disk::default(), true);
        assert!(!write(&mut lines, "one\n"));
        lines.out.room = 100;
        assert!(write(&mut lines, "two\n"));
        assert_eq!(lines.out.content, b"\nlost 1\ntwo\n");
    }
}
