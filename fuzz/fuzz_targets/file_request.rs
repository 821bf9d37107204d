//! What a client asks a directory of files for: paths, conditions, ranges and content codings. No path leads out, no range beyond the file,
//! and no condition is met by another file than the one it names.
#![no_main]

use handfast_files::fuzzing::{Part, judge, path};
use handfast_fuzz::Input;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 8] = [
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "range",
    "accept-encoding",
];

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let is_head = input.byte() & 1 != 0;
    let size = u64::from(input.short()) << (input.byte() % 48);
    let modified = u32::from(input.short()) << 16 | u32::from(input.short());
    let text = String::from_utf8_lossy(input.string());
    let text = &*text;
    let mut fields = Vec::new();
    while !input.is_empty() {
        fields.push((input.byte(), input.string()));
    }
    if let Some((names, url)) = path(text) {
        for (depth, name) in names.iter().enumerate() {
            assert!(!name.is_empty() && name != b"." && name != b"..");
            assert!(!name.contains(&b'/') && !name.contains(&0));
            assert!(name[0] != b'.' || (depth == 0 && name == b".well-known"));
        }
        assert!(!url.starts_with("//") && !url.contains(['\\', '\r', '\n', '"', '<']));
        if !names.is_empty() {
            assert_eq!(path(&url).map(|(again, _)| again), Some(names));
        }
    }

    let tag = handfast_files::fuzzing::tag(size, modified);
    let mut request = HeaderMap::new();
    for (name, value) in &fields {
        let name = HeaderName::from_static(NAMES[usize::from(*name) % NAMES.len()]);
        // `@` stands for the file's own tag.
        let mut spelled = Vec::new();
        for byte in *value {
            match byte {
                b'@' => spelled.extend_from_slice(tag.as_bytes()),
                byte => spelled.push(*byte),
            }
        }
        if let Ok(value) = HeaderValue::from_bytes(&spelled) {
            request.append(name, value);
        }
    }
    // No coding that the client did not name, and each once.
    let codings = handfast_files::fuzzing::codings(&request);
    let named = |coding: &str| {
        request.get_all("accept-encoding").iter().any(|value| {
            let value = value.to_str().unwrap_or_default();
            value.to_ascii_lowercase().contains(coding)
        })
    };
    for coding in &codings {
        assert!(named(coding) && codings.iter().filter(|it| *it == coding).count() == 1);
    }

    let part = judge(&request, size, modified, is_head);
    let has = |name: &str| request.contains_key(name);
    match part {
        Part::Whole => {}
        Part::Ranges(ref spans) => {
            assert!(has("range") && !is_head);
            assert!(!spans.is_empty() && spans.len() <= 256);
            for &(start, length) in spans {
                assert!(length > 0 && start < size && length <= size - start);
            }
            // None overlaps another: no more is sent than there is.
            let mut sorted = spans.clone();
            sorted.sort_unstable();
            assert!(sorted.windows(2).all(|two| two[0].0 + two[0].1 < two[1].0));
            // The condition on a part was met by this file, not by a weaker likeness of it.
            if let Some(condition) = request.get("if-range") {
                assert!(!condition.as_bytes().starts_with(b"W/"));
            }
        }
        Part::NotModified => assert!(has("if-none-match") || has("if-modified-since")),
        Part::Failed => assert!(has("if-match") || has("if-unmodified-since")),
        Part::OutOfRange => assert!(has("range") && !is_head),
    }
    // A tag that is nowhere in the fields fails If-Match, and does not stand for "not modified".
    let mentions = |name: &str| {
        request.get_all(name).iter().any(|value| {
            let bytes = value.as_bytes();
            let opaque = tag.trim_start_matches("W/").as_bytes();
            bytes.trim_ascii() == b"*" || bytes.windows(opaque.len()).any(|part| part == opaque)
        })
    };
    if has("if-match") && !mentions("if-match") {
        assert_eq!(part, Part::Failed);
    }
    if has("if-none-match") && !mentions("if-none-match") {
        assert_ne!(part, Part::NotModified);
    }
});
