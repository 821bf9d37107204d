//! What a client sends to a site besides files: names, paths, credentials, what it accepts, where it comes from. Guards see the names
//! that files are opened by, however they are spelled; no path makes a redirect to this site lead to another; no request is of another
//! origin than the site's, or answered by another site than the one of its name.
#![no_main]

use handfast_fuzz::Input;
use handfast_site::fuzzing::{credentials, is_guarded, names, redirect, same_origin, site};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

/// Every byte of every name percent-encoded, and slashes doubled.
fn respelled(names: &[Vec<u8>], is_directory: bool) -> String {
    let mut path = String::new();
    for name in names {
        path.push_str("//");
        for byte in name {
            path.push_str(&format!("%{byte:02x}"));
        }
    }
    if is_directory || names.is_empty() {
        path.push('/');
    }
    path
}

/// The host of an authority without IPv6, compared as DNS names are.
fn host(authority: &str) -> String {
    let host = authority.split(':').next().unwrap_or_default();
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let texts = [(); 7].map(|()| String::from_utf8_lossy(input.string()).into_owned());
    let [
        pattern,
        target,
        path,
        authority,
        server_name,
        origin,
        accept,
    ] = texts.each_ref().map(String::as_str);

    if let Some(url) = redirect(pattern, target, path)
        && target.starts_with('/')
    {
        assert!(url.starts_with('/') && !url[1..].starts_with(['/', '\\']));
        assert!(!url.contains(['\r', '\n']));
    }

    // What is opened is what was guarded.
    if let Some((opened, _)) = handfast_files::fuzzing::path(path) {
        assert_eq!(names(path).as_deref(), Some(&opened[..]));
    }
    if let Some(names) = names(path) {
        let again = respelled(&names, path.ends_with('/'));
        assert_eq!(is_guarded(pattern, path), is_guarded(pattern, &again));
        if is_guarded(pattern, path) == Some(true) && !names.is_empty() {
            let beneath = format!("{}/x", again.trim_end_matches('/'));
            assert!(is_guarded(pattern, &beneath) == Some(true) || path.ends_with('/'));
        }
    }

    if same_origin(authority, origin) && !authority.contains('[') {
        let origin = origin.strip_prefix("https://").unwrap();
        assert_eq!(host(authority), host(origin));
    }
    for server_name in [None, Some(server_name)] {
        let Some(names) = site(Some(authority), server_name) else {
            continue;
        };
        let is_of = |name: &str| match names.as_slice() {
            [own] => match own.strip_prefix('*') {
                Some(parent) => name.ends_with(parent) && !name.trim_end_matches(parent).is_empty(),
                None => name == own,
            },
            _ => name != "a.example",
        };
        if !authority.contains('[') {
            assert!(is_of(&host(authority)), "{names:?}");
        }
        let plain = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        assert!(
            server_name.is_none_or(|name| is_of(&plain(name))),
            "{names:?}"
        );
    }

    let mut request = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(accept) {
        request.insert("accept", value);
        // Who does not name it is no browser.
        let named = accept.to_ascii_lowercase().contains("html");
        assert!(named || !handfast_files::prefers_html(&request));
        let any = accept.contains("*/*") || accept.to_ascii_lowercase().contains("text/");
        assert!(any || !handfast_files::accepts_html(&request));
    }

    if let Some((user, password)) = credentials(input.rest()) {
        assert!(!user.contains(':') && !user.chars().any(char::is_control));
        assert!(user.len() + password.len() < 1024);
        assert!(!password.iter().any(u8::is_ascii_control));
    }
});
