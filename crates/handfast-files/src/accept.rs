//! What a client accepts, by weight (RFC 9110, section 12.5.1).

use http::HeaderMap;
use http::header::ACCEPT;

/// What a page may be sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Html,
    Json,
    Text,
}

/// The form that the client names with the greatest weight, and the first of `offered` if it names none of them: programs accept
/// anything, browsers name HTML.
pub(crate) fn preferred(request: &HeaderMap, offered: &[Form]) -> Form {
    let default = offered.first().copied().unwrap_or(Form::Text);
    let mut best = (default, 0);
    for (kind, weight) in ranges(request) {
        let form = match kind {
            _ if kind.eq_ignore_ascii_case("text/html") => Form::Html,
            _ if kind.eq_ignore_ascii_case("application/xhtml+xml") => Form::Html,
            _ if kind.eq_ignore_ascii_case("application/json") => Form::Json,
            _ if kind.eq_ignore_ascii_case("text/plain") => Form::Text,
            _ => continue,
        };
        if weight > best.1 && offered.contains(&form) {
            best = (form, weight);
        }
    }
    best.0
}

/// Whether a client is answered with a page rather than with plain text: it names HTML in `Accept`, as browsers do, and gives plain text
/// no greater weight. Programs accept anything, or say nothing.
pub fn prefers_html(request: &HeaderMap) -> bool {
    preferred(request, &[Form::Text, Form::Html]) == Form::Html
}

/// Whether a client accepts HTML at all (`Accept`, RFC 9110, section 12.5.1): it says so, accepts anything, or says nothing.
pub fn accepts_html(request: &HeaderMap) -> bool {
    if !request.contains_key(ACCEPT) {
        return true;
    }
    // The most specific range decides.
    let mut best = (0, 0);
    for (kind, weight) in ranges(request) {
        let rank = match kind {
            _ if kind.eq_ignore_ascii_case("text/html") => 3,
            _ if kind.eq_ignore_ascii_case("text/*") => 2,
            "*/*" => 1,
            _ => continue,
        };
        if rank > best.0 {
            best = (rank, weight);
        }
    }
    best.1 > 0
}

/// Media ranges and their weights in thousandths, as the request lists them.
fn ranges(request: &HeaderMap) -> impl Iterator<Item = (&str, u32)> {
    let lines = request.get_all(ACCEPT).iter();
    lines
        .flat_map(|line| line.to_str().unwrap_or_default().split(','))
        .map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let weight = parts
                .filter_map(|part| part.split_once('='))
                .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
                .map_or(1000, |(_, weight)| thousandths(weight.trim()));
            (kind, weight)
        })
}

/// A weight in thousandths; what is no weight is none.
fn thousandths(text: &str) -> u32 {
    match text.parse::<f32>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1000.0) as u32,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_with_the_greatest_weight_is_sent() {
        use Form::{Html, Json, Text};
        let listing = &[Html, Json][..];
        let error = &[Text, Html][..];
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, of_listing, of_error) in [
            ("", Html, Text),
            ("*/*", Html, Text),
            (browser, Html, Html),
            ("application/json", Json, Text),
            ("application/json, text/plain, */*", Json, Text),
            ("text/html;q=0.5, application/json", Json, Html),
            ("text/html, application/json;q=0.9", Html, Html),
            ("application/json;q=0", Html, Text),
            ("application/json;q=7", Html, Text),
            ("application/json;q=nan", Html, Text),
            ("APPLICATION/JSON ; Q=0.5", Json, Text),
            ("text/plain, text/html;q=0.1", Html, Text),
            (";;q=,,", Html, Text),
        ] {
            let mut request = HeaderMap::new();
            request.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(preferred(&request, listing), of_listing, "{accept}");
            assert_eq!(preferred(&request, error), of_error, "{accept}");
        }
        assert_eq!(preferred(&HeaderMap::new(), listing), Html);
    }
    #[test]
    fn html_is_accepted_as_the_field_says() {
        for (accept, expected) in [
            (None, true),
            (Some("*/*"), true),
            (Some("text/html"), true),
            (Some("text/html;q=0, */*"), false),
            (Some("*/*;q=0.1, text/html;q=0.0"), false),
            (Some("text/html ; Q = 0, */*"), false),
            (Some("text/*"), true),
            (Some("application/json"), false),
            (Some("application/json, TEXT/HTML ;q=0.5"), true),
            (Some(""), false),
        ] {
            let mut request = HeaderMap::new();
            if let Some(accept) = accept {
                request.insert(ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(accepts_html(&request), expected, "{accept:?}");
        }
    }
}
