//! Cross-origin resource sharing (the Fetch standard, section 3.3): which other origins may read responses.

use std::fmt;
use std::time::Duration;

use handfast::escape_control;
use handfast_https::server::{Request, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::page::status_page;

const ANY: HeaderValue = HeaderValue::from_static("*");

/// What a preflight's answer depends on.
const VARIES: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);

/// Which other origins may read responses, and how they may ask.
///
/// Preflight requests are answered before [guards](crate::Guard): browsers send them without credentials.
#[derive(Debug, Clone)]
#[must_use]
pub struct Cors {
    /// `None`: any.
    origins: Option<Vec<HeaderValue>>,
    methods: HeaderValue,
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    max_age: HeaderValue,
    credentials: bool,
}

/// A [`Cors`] makes no sense, or would be dangerous.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CorsError {
    /// Not an origin such as `https://app.example` or `http://localhost:5173`; escaped.
    Origin(String),
    /// Not a method; escaped.
    Method(String),
    /// Not the name of a header field; escaped.
    FieldName(String),
    /// Any origin may not read with the user's credentials: every web site could read what only the user may.
    CredentialsForAny,
}

impl fmt::Display for CorsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin(origin) => write!(
                f,
                "{origin} is not an origin (a scheme, a host, perhaps a port, and no path)"
            ),
            Self::Method(method) => write!(f, "{method} is not a method"),
            Self::FieldName(name) => write!(f, "{name} is not the name of a header field"),
            Self::CredentialsForAny => f.write_str(
                "credentials are not allowed for any origin: name the origins that may use them",
            ),
        }
    }
}

impl std::error::Error for CorsError {}

impl Cors {
    /// Every origin, without credentials.
    pub fn any() -> Self {
        Self {
            origins: None,
            methods: HeaderValue::from_static("GET, HEAD"),
            headers: None,
            exposed: None,
            // What Chromium allows at most is 7200.
            max_age: HeaderValue::from_static("3600"),
            credentials: false,
        }
    }

    /// These origins, such as `https://app.example`.
    ///
    /// # Errors
    /// [`CorsError::Origin`].
    pub fn origins<O: AsRef<str>>(origins: impl IntoIterator<Item = O>) -> Result<Self, CorsError> {
        let origins = origins
            .into_iter()
            .map(|text| origin(text.as_ref()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            origins: Some(origins),
            ..Self::any()
        })
    }

    /// The methods that other origins may use. Default: GET and HEAD.
    ///
    /// # Errors
    /// [`CorsError::Method`].
    pub fn with_methods<M: AsRef<str>>(
        mut self,
        methods: impl IntoIterator<Item = M>,
    ) -> Result<Self, CorsError> {
        self.methods = list(methods, |text| {
            Method::from_bytes(text.as_bytes())
                .map(|method| method.to_string())
                .map_err(|_| CorsError::Method(escape_control(text).into_owned()))
        })?;
        Ok(self)
    }

    /// The header fields that other origins may send besides those that are always allowed. Default: none.
    ///
    /// # Errors
    /// [`CorsError::FieldName`].
    pub fn with_headers<N: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, CorsError> {
        self.headers = Some(list(names, field_name)?);
        Ok(self)
    }

    /// The header fields of responses that other origins may read besides those that they always may. Default: none.
    ///
    /// # Errors
    /// [`CorsError::FieldName`].
    pub fn with_exposed_headers<N: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, CorsError> {
        self.exposed = Some(list(names, field_name)?);
        Ok(self)
    }

    /// How long browsers may keep the answer to a preflight request. Default: an hour.
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age.as_secs().into();
        self
    }

    /// Whether the user's credentials (cookies, passwords, client certificates) may be used.
    ///
    /// # Errors
    /// [`CorsError::CredentialsForAny`].
    pub fn with_credentials(mut self, on: bool) -> Result<Self, CorsError> {
        if on && self.origins.is_none() {
            return Err(CorsError::CredentialsForAny);
        }
        self.credentials = on;
        Ok(self)
    }

    /// The answer to a preflight request, if it is one.
    pub(crate) fn preflight(&self, request: &Request) -> Option<Response> {
        let headers = request.headers();
        let origin = headers.get(ORIGIN)?;
        if *request.method() != Method::OPTIONS
            || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return None;
        }
        let mut response = if self.allows(origin) {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            let fields = response.headers_mut();
            self.apply(Some(origin), fields);
            fields.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            fields.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
            if let Some(names) = &self.headers {
                fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
            fields.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
            response
        } else {
            status_page(
                &HeaderMap::new(),
                StatusCode::FORBIDDEN,
                "This origin is not allowed here.",
            )
        };
        response.headers_mut().insert(VARY, VARIES);
        Some(response)
    }

    /// Adds what a browser needs before it lets another origin read the response.
    pub(crate) fn apply(&self, origin: Option<&HeaderValue>, fields: &mut HeaderMap) {
        if self.origins.is_none() {
            fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
        } else {
            fields.append(VARY, HeaderValue::from_static("origin"));
            let Some(origin) = origin.filter(|origin| self.allows(origin)) else {
                return;
            };
            fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if self.credentials {
                let yes = HeaderValue::from_static("true");
                fields.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
        }
        if let Some(names) = &self.exposed {
            fields.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names.clone());
        }
    }

    /// May this origin ask with this method?
    pub(crate) fn allows_method(&self, origin: &HeaderValue, method: &Method) -> bool {
        let methods = self.methods.to_str().unwrap_or_default();
        self.allows(origin)
            && methods
                .split(", ")
                .any(|allowed| allowed == method.as_str())
    }

    /// May origins use the user's credentials?
    pub(crate) fn allows_credentials(&self) -> bool {
        self.credentials
    }

    /// May this origin read?
    fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins
            .as_ref()
            .is_none_or(|origins| origins.contains(origin))
    }
}

/// An origin as browsers send it (RFC 6454, section 6.1).
fn origin(text: &str) -> Result<HeaderValue, CorsError> {
    let wrong = || CorsError::Origin(escape_control(text).into_owned());
    // `null`, the origin of sandboxed pages and local files, is anyone's.
    let (scheme, authority) = text.split_once("://").ok_or_else(wrong)?;
    if authority.contains(['/', '?', '#', '@', '*']) {
        return Err(wrong());
    }
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    if authority.host().is_empty() {
        return Err(wrong());
    }
    let scheme = scheme.to_ascii_lowercase();
    // Browsers leave out the default port.
    let port = match (authority.port_u16(), scheme.as_str()) {
        (Some(443), "https") | (Some(80), "http") | (None, _) => String::new(),
        (Some(port), _) => format!(":{port}"),
    };
    let host = authority.host().to_ascii_lowercase();
    HeaderValue::try_from(format!("{scheme}://{host}{port}")).map_err(|_| wrong())
}

fn field_name(text: &str) -> Result<String, CorsError> {
    HeaderName::from_bytes(text.as_bytes())
        .map(|name| name.to_string())
        .map_err(|_| CorsError::FieldName(escape_control(text).into_owned()))
}

fn list<T: AsRef<str>>(
    texts: impl IntoIterator<Item = T>,
    check: impl Fn(&str) -> Result<String, CorsError>,
) -> Result<HeaderValue, CorsError> {
    let texts = texts
        .into_iter()
        .map(|text| check(text.as_ref()))
        .collect::<Result<Vec<_>, _>>()?
        .join(", ");
    HeaderValue::try_from(texts.as_str()).map_err(|_| CorsError::FieldName(texts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_the_form_in_which_browsers_send_them() {
        for (text, expected) in [
            ("https://app.example", Some("https://app.example")),
            ("HTTPS://App.Example:443", Some("https://app.example")),
            ("http://localhost:5173", Some("http://localhost:5173")),
            ("http://[::1]:80", Some("http://[::1]")),
            ("https://app.example/", None),
            ("https://*.example", None),
            ("app.example", None),
            ("null", None),
            ("https://user@app.example", None),
            ("https://", None),
            ("*", None),
        ] {
            let parsed = origin(text).ok();
            let parsed = parsed.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(parsed, expected, "{text}");
        }
    }

    #[test]
    fn credentials_need_named_origins() {
        assert_eq!(
            Cors::any().with_credentials(true).unwrap_err(),
            CorsError::CredentialsForAny
        );
        let cors = Cors::origins(["https://app.example"]).unwrap();
        assert!(cors.with_credentials(true).is_ok());
    }
}
