//! A form with files that a client sends to a site. It does not depend on how it is cut, no more of it is kept than is bounded, and its
//! files have names that lead nowhere else.
#![no_main]

use handfast_fuzz::Input;
use handfast_site::fuzzing::{form, stored_name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let piece = usize::from(input.byte() % 32) + 1;
    let parameters = String::from_utf8_lossy(input.string()).into_owned();
    let body = input.rest();
    let kind = match parameters.as_str() {
        "" => "multipart/form-data; boundary=b".to_owned(),
        parameters => format!("multipart/form-data;{parameters}"),
    };
    let whole = form(&kind, body, body.len());
    assert_eq!(form(&kind, body, piece), whole);
    let parts = whole.unwrap_or_default();
    let content: usize = parts.iter().map(|(_, content)| content.len()).sum();
    assert!(content <= body.len());
    for name in parts
        .iter()
        .filter_map(|(name, _)| stored_name(name.as_deref()?))
    {
        assert!((1..=255).contains(&name.len()) && !name.starts_with('.'));
        assert!(!name.contains(['/', '\\']) && !name.chars().any(char::is_control));
        assert_eq!(stored_name(&name), Some(name));
    }
});
