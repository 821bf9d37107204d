//! Content codings: which one a request wants (RFC 9110, section 12.5.3).

use std::fmt;

use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, HeaderValue};

/// A content coding that files can have (RFC 9110, section 8.4.1; RFC 7932; RFC 9659).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    pub(crate) const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// As in `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    pub(crate) fn field(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// What a file has at the end of its name that holds another one with this coding.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Zstd => ".zst",
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }

    fn of(name: &str) -> Option<Self> {
        let is = |other| name.eq_ignore_ascii_case(other);
        match () {
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("br") => Some(Self::Brotli),
            () if is("zstd") => Some(Self::Zstd),
            () => None,
        }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A weight, in thousandths.
type Weight = u16;

const FULL: Weight = 1000;

/// What a request accepts, with weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    zstd: Weight,
    brotli: Weight,
    gzip: Weight,
    identity: Identity,
}

/// The file as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// Not mentioned: whatever is mentioned is better.
    Implied,
    Weighted(Weight),
    Refused,
}

impl Accepted {
    /// Nothing is said: the file as it is. `*` alone does not mean that a client knows a certain coding, so that it gets the
    /// file as it is, too; but `*;q=0` refuses what is not named.
    pub(crate) fn of(request: &HeaderMap) -> Self {
        let mut it = Self {
            zstd: 0,
            brotli: 0,
            gzip: 0,
            identity: Identity::Implied,
        };
        let mut others = None;
        for value in request.get_all(ACCEPT_ENCODING) {
            for element in value.to_str().unwrap_or_default().split(',') {
                let Some((name, weight)) = element_of(element) else {
                    continue;
                };
                match Coding::of(name) {
                    Some(coding) => *it.weight_mut(coding) = weight,
                    None if name == "*" => others = Some(weight),
                    None if name.eq_ignore_ascii_case("identity") => {
                        it.identity = match weight {
                            0 => Identity::Refused,
                            weight => Identity::Weighted(weight),
                        };
                    }
                    None => {}
                }
            }
        }
        if others == Some(0) && it.identity == Identity::Implied {
            it.identity = Identity::Refused;
        }
        it
    }

    pub(crate) fn accepts_identity(&self) -> bool {
        self.identity != Identity::Refused
    }

    /// The codings that are better for the client than the file as it is, those of the highest weight first: groups of
    /// equal weight.
    pub(crate) fn groups(&self) -> impl Iterator<Item = impl Iterator<Item = Coding> + Clone> {
        let floor = match self.identity {
            Identity::Weighted(weight) => weight,
            Identity::Implied | Identity::Refused => 1,
        };
        let mut weights = [self.zstd, self.brotli, self.gzip];
        weights.sort_unstable_by(|a, b| b.cmp(a));
        let it = *self;
        let mut last = Weight::MAX;
        weights
            .into_iter()
            .filter(move |weight| {
                *weight >= floor && std::mem::replace(&mut last, *weight) != *weight
            })
            .map(move |weight| {
                Coding::ALL
                    .into_iter()
                    .filter(move |coding| it.weight(*coding) == weight)
            })
    }

    fn weight(&self, coding: Coding) -> Weight {
        match coding {
            Coding::Zstd => self.zstd,
            Coding::Brotli => self.brotli,
            Coding::Gzip => self.gzip,
        }
    }

    fn weight_mut(&mut self, coding: Coding) -> &mut Weight {
        match coding {
            Coding::Zstd => &mut self.zstd,
            Coding::Brotli => &mut self.brotli,
            Coding::Gzip => &mut self.gzip,
        }
    }
}

/// The name and the weight of an element; `None` if it is malformed.
fn element_of(element: &str) -> Option<(&str, Weight)> {
    let (name, parameters) = match element.split_once(';') {
        Some((name, parameters)) => (name.trim(), Some(parameters)),
        None => (element.trim(), None),
    };
    let Some(parameters) = parameters else {
        return (!name.is_empty()).then_some((name, FULL));
    };
    let (key, value) = parameters.split_once('=')?;
    let is_weight = key.trim().eq_ignore_ascii_case("q");
    Some((name, weight_of(value.trim()).filter(|_| is_weight)?))
}

/// RFC 9110, section 12.4.2: up to three digits after the point.
fn weight_of(value: &str) -> Option<Weight> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: Weight = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(FULL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is sent: no coding that was not named, each once.
        #[test]
        fn any_field_is_read(field in "([a-z*]{1,8}|gzip|br|zstd|identity|;q=|[0-9.,; =])*") {
            let mut request = HeaderMap::new();
            request.insert(ACCEPT_ENCODING, HeaderValue::from_str(&field).unwrap());
            let codings: Vec<Coding> = Accepted::of(&request).groups().flatten().collect();
            for coding in &codings {
                prop_assert!(field.contains(coding.name()), "{coding}");
                prop_assert_eq!(codings.iter().filter(|it| *it == coding).count(), 1);
            }
        }
    }

    #[test]
    fn codings_are_tried_by_weight() {
        // The groups; then whether the file as it is will do.
        let cases = [
            ("", "", true),
            ("gzip", "gzip", true),
            ("x-gzip", "gzip", true),
            ("GZIP, Br", "br gzip", true),
            ("gzip, deflate, br, zstd", "br zstd gzip", true),
            ("gzip;q=1.0, br;q=0.8", "gzip / br", true),
            (
                "br;q=0.5, gzip;q=0.50, zstd;q=0.501",
                "zstd / br gzip",
                true,
            ),
            ("gzip;q=0", "", true),
            ("gzip; q=0.001", "gzip", true),
            ("gzip ;Q=0.5", "gzip", true),
            ("gzip;q=0.5, identity", "", true),
            ("gzip;q=0.5, identity;q=0.5", "gzip", true),
            ("gzip;q=0.5, br, identity;q=0.7", "br", true),
            ("identity;q=0", "", false),
            ("gzip, identity;q=0", "gzip", false),
            ("gzip, *;q=0", "gzip", false),
            ("gzip, *;q=0, identity", "gzip", true),
            ("gzip;q=0, *;q=0", "", false),
            ("*", "", true),
            ("*;q=0", "", false),
            ("deflate, compress", "", true),
            // Malformed elements do not count, others do.
            ("gzip;q=2, br", "br", true),
            ("gzip;q=0.1234, br", "br", true),
            ("gzip;q=x, br;level=1, zstd", "zstd", true),
            (",, gzip ,", "gzip", true),
        ];
        for (field, expected, identity) in cases {
            let mut request = HeaderMap::new();
            request.insert(ACCEPT_ENCODING, HeaderValue::from_static(field));
            let accepted = Accepted::of(&request);
            let groups: Vec<String> = accepted
                .groups()
                .map(|group| group.map(Coding::name).collect::<Vec<_>>().join(" "))
                .collect();
            assert_eq!(groups.join(" / "), expected, "{field}");
            assert_eq!(accepted.accepts_identity(), identity, "{field}");
        }
        let mut request = HeaderMap::new();
        assert_eq!(Accepted::of(&request).groups().count(), 0);
        request.append(ACCEPT_ENCODING, HeaderValue::from_static("gzip;q=0.5"));
        request.append(ACCEPT_ENCODING, HeaderValue::from_static("br"));
        assert_eq!(Accepted::of(&request).groups().count(), 2, "two fields");
    }
}
