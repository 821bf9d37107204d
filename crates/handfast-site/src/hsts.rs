//! Strict transport security (RFC 6797): browsers come to this name by HTTPS alone.

use std::fmt;
use std::time::Duration;

use http::header::HeaderValue;

/// What the preload list of browsers demands: a year.
const PRELOAD_MIN: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Browsers that have been here come by HTTPS alone, and accept no certificate that is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Hsts {
    max_age: Duration,
    subdomains: bool,
    preload: bool,
}

/// Preloading needs a year at least, and the subdomains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PreloadError;

impl fmt::Display for PreloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("preloading needs subdomains and a time of at least a year (31536000 seconds)")
    }
}

impl std::error::Error for PreloadError {}

impl Hsts {
    /// For this long after the last visit. Zero makes browsers forget it.
    pub fn new(max_age: Duration) -> Self {
        Self {
            max_age,
            subdomains: false,
            preload: false,
        }
    }

    /// For all names beneath this one, too. Default: no.
    pub fn with_subdomains(mut self, on: bool) -> Self {
        self.subdomains = on;
        self
    }

    /// Agrees to be in the list that browsers are delivered with, which is hard to leave. Default: no.
    ///
    /// # Errors
    /// [`PreloadError`] if the list would not take it.
    pub fn with_preload(mut self) -> Result<Self, PreloadError> {
        if !self.subdomains || self.max_age < PRELOAD_MIN {
            return Err(PreloadError);
        }
        self.preload = true;
        Ok(self)
    }

    pub(crate) fn value(&self) -> HeaderValue {
        let text = format!(
            "max-age={}{}{}",
            self.max_age.as_secs(),
            if self.subdomains {
                "; includeSubDomains"
            } else {
                ""
            },
            if self.preload { "; preload" } else { "" },
        );
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("max-age=0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_says_what_was_asked_for() {
        let day = Hsts::new(Duration::from_secs(86_400));
        assert_eq!(day.value(), "max-age=86400");
        assert_eq!(day.with_preload(), Err(PreloadError));
        let year = Hsts::new(PRELOAD_MIN)
            .with_subdomains(true)
            .with_preload()
            .unwrap();
        assert_eq!(year.value(), "max-age=31536000; includeSubDomains; preload");
    }
}
