//! Lines from strangers, in pieces of any size: what is called blank is blank, nothing exceeds the
//! limit, nothing is lost, and the pieces make no difference.
#![no_main]

use std::io::{self, Read};

use handfast::{Line, LineReader};
use libfuzzer_sys::fuzz_target;

/// Hands out the bytes in pieces.
struct Dripping<'a> {
    bytes: &'a [u8],
    piece_bytes: usize,
}

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.piece_bytes.min(buffer.len());
        (&mut self.bytes).take(length as u64).read(buffer)
    }
}

fn lines(bytes: &[u8], line_max: usize, piece_bytes: usize) -> (Vec<Vec<u8>>, bool) {
    let mut reader = LineReader::new(Dripping { bytes, piece_bytes }, line_max);
    let mut lines = Vec::new();
    loop {
        match reader.next_line() {
            Ok(Line::End) => return (lines, true),
            Ok(Line::Blank) => lines.push(Vec::new()),
            Ok(Line::Text(text)) => {
                assert!(!text.is_empty() && text.len() <= line_max);
                assert!(!text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
                lines.push(text);
            }
            Err(_) => return (lines, false),
        }
    }
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (line_max, piece_bytes, bytes) = input;
    let (line_max, piece_bytes) = (usize::from(line_max), usize::from(piece_bytes).max(1));
    let (whole, is_ended) = lines(bytes, line_max, usize::MAX);
    assert_eq!(
        (whole.clone(), is_ended),
        lines(bytes, line_max, piece_bytes)
    );
    if is_ended {
        let rejoined: Vec<u8> = whole
            .iter()
            .flat_map(|line| [line.as_slice(), b"\n"].concat())
            .collect();
        let expected: Vec<u8> = String::from_utf8_lossy(bytes)
            .replace("\r\n", "\n")
            .into_bytes();
        if std::str::from_utf8(bytes).is_ok() {
            assert_eq!(rejoined, expected);
        }
    }
});
