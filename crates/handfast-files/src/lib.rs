//! Serves the files of a directory over HTTP.
//!
//! [`Files`] is a [`Handler`] for `handfast-https`'s server. It uses only that server's public interface:
//! a handler, requests, responses, and a body that is [pulled](handfast_https::server::Pull), so that nothing of a
//! file is read ahead of what may be sent.
//!
//! ```text
//! target -> place: which directory? -> hot: kept open? -> negotiate: which coding? -> reply: conditions, ranges -> respond
//!            `----> opening: beneath the directory --^          `-> compress                chunks: a file's content <-Body
//!                       `-----> listing, entries: a page
//! ```
//!
//! ```no_run
//! use handfast::{Identity, Passphrase, ServerContext};
//! use handfast_files::Files;
//! use handfast_https::server::{ALPN, Server, ServerConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity::from_pem_files("chain.pem", "key.pem", Passphrase::none())?;
//! let context = ServerContext::builder().identity(identity).alpn(ALPN).build()?;
//! let config = ServerConfig::new(context).listen("127.0.0.1:8443".parse()?);
//! Server::bind(config, Files::new("public")?)?.start()?.join();
//! # Ok(())
//! # }
//! ```
//!
//! `service.rs` takes the steps in their order: `path.rs` parses the target, `place.rs` keeps the directory that its path
//! leads to, `open.rs` opens beneath it (`opening.rs`: without blocking), `negotiate.rs` chooses the representation by what
//! `coding.rs` reads, `reply.rs` evaluates conditions, `ranges.rs` ranges, several of which `multipart.rs` sends, and
//! `respond.rs` makes the response. `hot.rs` keeps files that are requested often (`ready.rs`; `look.rs`: how long a check
//! is valid), `chunks.rs` reads without blocking the thread, `compress.rs` compresses behind it, and `results.rs` keeps
//! what came out; `listing.rs` lists a directory, in the order of `entries.rs`; `page.rs` has what our pages look like. `media_type.rs` and `charset.rs` say what a
//! file is; `options.rs` is what a program chose.
//!
//! # The public interface is
//!
//! - [`Files`], and of its options [`Charset`];
//! - for services beside it: [`error_page`], [`html_page`] and [`escape_html`]; [`accepts_html`] and [`prefers_html`]; [`entity_tag`] and
//!   [`condition_holds`]; [`encode_segment`] and [`decode_segment`].

mod accept;
mod background;
mod blocking;
mod charset;
mod chunks;
mod coding;
mod compress;
mod entries;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod hot;
mod listing;
mod look;
mod media_type;
mod multipart;
mod natural;
mod negotiate;
mod open;
mod opening;
mod options;
mod page;
mod path;
mod place;
mod quota;
mod ranges;
mod ready;
mod reply;
mod respond;
mod results;
mod service;
mod state;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handfast_https::server::{ConnectionInfo, Handler, Request, Response};
use http::header::HeaderValue;

pub use self::accept::{accepts_html, prefers_html};
pub use self::charset::Charset;
pub use self::page::{error_page, escape_html, html_page};
pub use self::path::{decode_segment, encode_segment};
pub use self::state::{condition_holds, entity_tag};

use self::open::Links;
use self::options::{Link, Options};
use self::place::Place;
use self::results::Results;
use self::service::Service;

/// Bytes of compressed files that are kept: the scripts, styles and pages of a large site, in two codings.
const COMPRESSED_MAX: usize = 32 * 1024 * 1024;

/// Serves the files beneath a directory.
///
/// - `GET` and `HEAD`; conditional requests (RFC 9110, section 13), single and multiple ranges (section 14).
/// - A name that leads out of the directory, by `..` or by a symbolic link, is not found: the
///   kernel does the resolving (`openat2` with `RESOLVE_BENEATH` on Linux; elsewhere no symbolic link
///   is followed at all). [`with_follow_links`](Self::with_follow_links) allows it.
/// - Names that begin with a dot are not found, except `/.well-known/` (RFC 8615).
/// - Compressed representations (section 12.5.3): what lies beside a file as `.br`, `.zst` or `.gz`, or made while it is sent.
/// - A directory is served as its `index.html`, or else as a listing: a page, or JSON for clients that prefer it
///   (`Accept: application/json`). Errors are pages for browsers, and plain text for others.
/// - Only regular files are served: a pipe or a device is not found.
/// - A file that shrinks or is overwritten while it is sent aborts the reply: in HTTP/1.1 the connection ends before the reply
///   does, in HTTP/2 the stream is reset. A file that grows is sent with its previous length.
#[derive(Debug, Clone)]
pub struct Files(Service);

impl Files {
    /// The files beneath `directory`.
    ///
    /// The directory is open while it is served. When the path leads to another one, because it was made again or a link was
    /// switched, that one is opened: the path is looked at on request, at most once a second, and sooner if something is not found.
    ///
    /// # Errors
    /// If it is not a directory or cannot be opened.
    pub fn new(directory: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self(Service {
            place: Arc::new(Place::open(directory.as_ref())?),
            options: Arc::default(),
            results: Results::new(COMPRESSED_MAX),
        }))
    }

    /// Whether a directory without an index is listed. Default: yes; otherwise it is not found.
    #[must_use]
    pub fn with_listing(mut self, on: bool) -> Self {
        self.options_mut().listing = on;
        self
    }

    /// How many entries a listing shows; it says how many more there are. Default: 10,000.
    ///
    /// ```
    /// # use handfast_files::Files;
    /// # fn main() -> std::io::Result<()> {
    /// let files = Files::new(".")?.with_entries_max(1000);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_entries_max(mut self, entries: usize) -> Self {
        self.options_mut().entries_max = entries;
        self
    }

    /// A link above each listing for people, for example to a form. The URL may be relative to the directory that is listed.
    /// Default: none.
    ///
    /// ```
    /// # use handfast_files::Files;
    /// # fn main() -> std::io::Result<()> {
    /// let files = Files::new(".")?.with_listing_link("/upload/", "Upload files");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_listing_link(mut self, url: impl Into<String>, text: impl Into<String>) -> Self {
        self.options_mut().listing_link = Some(Link {
            url: url.into(),
            text: text.into(),
        });
        self
    }

    /// How many files each thread may keep open for the next request, for a second each. Default: 128.
    /// Each uses a descriptor; a higher limit avoids opening if many files are requested in turn.
    ///
    /// A file that is not requested any more is closed after that. In a tokio runtime with several threads, where
    /// [`Connections`](handfast_https::server::Connections) may serve, it is closed by the next request on its thread.
    #[must_use]
    pub fn with_open_files_max(mut self, count: usize) -> Self {
        self.options_mut().kept_max = count;
        self
    }

    /// The field `Cache-Control` of files (RFC 9111, section 5.2.2); `None` sends none. Default: `no-cache`: a cache
    /// asks each time whether the file is still the same. Without the field caches reuse a file unasked for a tenth
    /// of its age: an old script, edited now, for weeks.
    ///
    /// ```
    /// # use handfast_files::Files;
    /// use http::HeaderValue;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let public = HeaderValue::from_static("public, max-age=3600");
    /// let files = Files::new(".")?.with_cache_control(Some(public));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_cache_control(mut self, value: Option<HeaderValue>) -> Self {
        self.options_mut().cache_control = value;
        self
    }

    /// The `charset` parameter of texts. Default: [`Charset::Detected`].
    ///
    /// ```
    /// # use handfast_files::{Charset, Files};
    /// # fn main() -> std::io::Result<()> {
    /// // A site from before UTF-8.
    /// let files = Files::new(".")?.with_charset(Charset::Always("iso-8859-1".to_owned()));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_charset(mut self, charset: Charset) -> Self {
        self.options_mut().charset = charset;
        self
    }

    /// Whether files that lie beside another one, compressed beforehand, are served instead of it: `app.js.br`, `app.js.zst`
    /// and `app.js.gz` beside `app.js`, to clients that accept their codings (RFC 9110, section 12.5.3). Default: yes, for
    /// types that become smaller by compression, if they are not older than the file.
    ///
    /// ```
    /// # use handfast_files::Files;
    /// # fn main() -> std::io::Result<()> {
    /// let files = Files::new(".")?.with_precompressed(false);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_precompressed(mut self, on: bool) -> Self {
        self.options_mut().precompressed = on;
        self
    }

    /// Whether files are compressed while they are sent (zstd, brotli, gzip), to clients that accept it. Default: yes, for types
    /// that become smaller by it and from 1 KiB on. It is done on a thread of lower priority for each serving thread.
    ///
    /// ```
    /// # use handfast_files::Files;
    /// # fn main() -> std::io::Result<()> {
    /// // A proxy in front compresses.
    /// let files = Files::new(".")?.with_compression(false);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_compression(mut self, on: bool) -> Self {
        self.options_mut().compression = on;
        self
    }

    /// How many bytes of compressed files are kept for the next requests, by all threads. One file has an eighth of them at most.
    /// Default: 32 MiB; 0 keeps none.
    ///
    /// ```
    /// # use handfast_files::Files;
    /// # fn main() -> std::io::Result<()> {
    /// let files = Files::new(".")?.with_compressed_bytes_max(256 << 20);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_compressed_bytes_max(mut self, bytes: usize) -> Self {
        self.0.results = Results::new(bytes);
        self
    }

    /// What is served instead of a directory: the first of these names that there is in it. Default: `index.html`. Of
    /// none, a directory is listed or not found.
    ///
    /// ```
    /// # use handfast_files::Files;
    /// # fn main() -> std::io::Result<()> {
    /// let files = Files::new(".")?.with_indexes(["index.html", "index.htm"]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_indexes<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(|name| name.into().into_bytes());
        self.options_mut().indexes = names.collect();
        self
    }

    /// The names of [`with_indexes`](Self::with_indexes), in their order.
    pub fn indexes(&self) -> impl Iterator<Item = &[u8]> {
        self.0.options.indexes.iter().map(Vec::as_slice)
    }

    /// What a file has at the end of its name that may be sent in place of another one, compressed beforehand
    /// ([`with_precompressed`](Self::with_precompressed)): `.gz` and others.
    pub fn precompressed_suffixes() -> impl Iterator<Item = &'static str> {
        coding::Coding::ALL.into_iter().map(coding::Coding::suffix)
    }

    /// Whether symbolic links in the directory may lead out of it, wherever the process may read. Default: no. Names that begin
    /// with a dot are not found all the same; a user who can write into the directory decides where a link leads.
    ///
    /// ```
    /// # use handfast_files::Files;
    /// # fn main() -> std::io::Result<()> {
    /// // A directory of links to packages elsewhere.
    /// let files = Files::new(".")?.with_follow_links(true);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_follow_links(mut self, on: bool) -> Self {
        let links = if on { Links::Anywhere } else { Links::Beneath };
        self.0.place = Arc::new(self.0.place.with_links(links));
        self
    }

    /// Directories into which no link leads, wherever [links may lead](Self::with_follow_links): a file beneath one of them is found only by its
    /// own path in the served directory. For directories in which others store files: through a link they would be served as files of this one.
    #[must_use]
    pub fn with_unlinked(mut self, directories: impl IntoIterator<Item = PathBuf>) -> Self {
        let directories = directories.into_iter().collect();
        self.0.place = Arc::new(self.0.place.with_unlinked(directories));
        self
    }

    /// Clones share their options, and the files that are kept open by them, until one of them gets other options.
    fn options_mut(&mut self) -> &mut Options {
        Arc::make_mut(&mut self.0.options)
    }

    /// Opens the directory that the path leads to now, and returns whether it is another one than before. Requests do that
    /// by themselves within a second; a program that has just switched a link need not wait. May block.
    ///
    /// # Errors
    /// If the path leads to no directory, or it cannot be opened: the previous one is served.
    pub fn reopen(&self) -> io::Result<bool> {
        self.0.place.reopen()
    }

    /// Answers a request. Its body is not read.
    ///
    /// A handler that changes a request before it, or the response after it, calls this.
    pub async fn answer(&self, request: &Request) -> Response {
        page::for_people(self.0.answer(request).await, request.headers())
    }
}

impl Handler for Files {
    async fn handle(&self, request: Request, _connection: &Arc<ConnectionInfo>) -> Response {
        self.answer(&request).await
    }
}
