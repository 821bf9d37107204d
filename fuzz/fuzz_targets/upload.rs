//! What a client sends to a site: a form with files, and a path that a rule redirects. A form does not depend on how it is cut, and no
//! path makes a redirect to this site lead to another.
#![no_main]

use handfast_fuzz::Input;
use handfast_site::fuzzing::{form, redirect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let piece = usize::from(input.byte() % 32) + 1;
    let body = input.string();
    let whole = form(body, body.len());
    assert_eq!(form(body, piece), whole);
    for (_, content) in whole.iter().flatten() {
        assert!(content.len() <= body.len());
    }

    let [pattern, target, path] =
        [(); 3].map(|()| String::from_utf8_lossy(input.string()).into_owned());
    if let Some(url) = redirect(&pattern, &target, &path)
        && target.starts_with('/')
    {
        assert!(url.starts_with('/') && !url[1..].starts_with(['/', '\\']));
        assert!(!url.contains(['\r', '\n']));
    }
});
