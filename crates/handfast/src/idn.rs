//! Names with letters beyond ASCII (IDNA, UTS 46 without transitional processing), behind the feature `idna`.

use std::borrow::Cow;

/// The name in A-labels and lower case; `None` when it cannot be written so.
#[cfg(feature = "idna")]
pub(crate) fn to_ascii(name: &str) -> Option<Cow<'_, str>> {
    idna::domain_to_ascii_cow(name.as_bytes(), idna::AsciiDenyList::EMPTY).ok()
}

/// The name in lower case; `None` when it is not ASCII, which this build cannot convert.
#[cfg(not(feature = "idna"))]
pub(crate) fn to_ascii(name: &str) -> Option<Cow<'_, str>> {
    if !name.is_ascii() {
        return None;
    }
    Some(match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => name.to_ascii_lowercase().into(),
        false => name.into(),
    })
}

/// The name as people read it.
#[cfg(feature = "idna")]
pub(crate) fn to_unicode(name: &str) -> String {
    idna::domain_to_unicode(name).0
}

#[cfg(not(feature = "idna"))]
pub(crate) fn to_unicode(name: &str) -> String {
    name.to_owned()
}
