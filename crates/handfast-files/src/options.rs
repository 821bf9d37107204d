//! What a program can choose.

use http::header::HeaderValue;

use crate::charset::Charset;

/// The default limit on files kept by a thread. Each uses a descriptor, of which a process often
/// has only 1024.
const KEPT_MAX_DEFAULT: usize = 128;

/// The default limit on the entries of a listing: a longer page is of no use to people.
const ENTRIES_MAX_DEFAULT: usize = 10_000;

/// A cache may keep a reply, and asks each time whether it is still good.
pub(crate) const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// A link above listings.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) url: String,
    pub(crate) text: String,
}

/// See the methods of [`Files`](crate::Files).
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) listing: bool,
    pub(crate) entries_max: usize,
    pub(crate) listing_link: Option<Link>,
    pub(crate) indexes: Vec<Vec<u8>>,
    pub(crate) cache_control: Option<HeaderValue>,
    pub(crate) charset: Charset,
    pub(crate) precompressed: bool,
    pub(crate) compression: bool,
    pub(crate) kept_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listing: true,
            entries_max: ENTRIES_MAX_DEFAULT,
            listing_link: None,
            indexes: vec![b"index.html".to_vec()],
            cache_control: Some(NO_CACHE),
            charset: Charset::default(),
            precompressed: true,
            compression: true,
            kept_max: KEPT_MAX_DEFAULT,
        }
    }
}
