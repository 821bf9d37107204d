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
    for line in request.get_all(ACCEPT) {
        let ranges = line.to_str().unwrap_or_default().split(',');
        for range in ranges {
            let mut parts = range.split(';').map(str::trim);
            let form = match parts.next().unwrap_or_default() {
                kind if kind.eq_ignore_ascii_case("text/html") => Form::Html,
                kind if kind.eq_ignore_ascii_case("application/xhtml+xml") => Form::Html,
                kind if kind.eq_ignore_ascii_case("application/json") => Form::Json,
                kind if kind.eq_ignore_ascii_case("text/plain") => Form::Text,
                _ => continue,
            };
            let weight = parts
                .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .map_or(1000, thousandths);
            if weight > best.1 && offered.contains(&form) {
                best = (form, weight);
            }
        }
    }
    best.0
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
}
