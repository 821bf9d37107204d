//! Serves the files of a directory over HTTP.
//!
//! [`Files`] is a [`Handler`] for `handfast-https`'s server. It uses only that server's public interface:
//! a handler, requests, responses, and a body that is [pulled](handfast_https::server::Pull), so that nothing of a
//! file is read ahead of what may be sent.
//!
//! ```text
//! target -> place: which directory? -> hot: kept open? -> reply: conditions, ranges -> chunks: a file's content ----> Body
//!            `----> open: beneath the directory --^        `-----> listing, entries: a page -----^
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
//! `path.rs` parses the target, `place.rs` keeps the directory that its path leads to, `open.rs` opens beneath it, `reply.rs` evaluates
//! conditions, `ranges.rs` ranges, several of which `multipart.rs` sends, `hot.rs` keeps files that are requested often (`look.rs`: how long a check is valid),
//! `chunks.rs` reads without blocking the thread, `listing.rs` lists a directory, in the order of
//! `entries.rs`, `page.rs` has what our pages look like. This file combines them.
//!
//! # The public interface is
//!
//! - [`Files`], and [`error_page`] for services beside it.

mod accept;
mod background;
mod blocking;
mod chunks;
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
mod open;
mod page;
mod path;
mod place;
mod ranges;
mod reply;

use std::fs::File;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use handfast_https::server::{Body, ConnectionInfo, Handler, Request, Response, plain};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, LAST_MODIFIED, LOCATION, VARY,
};
use http::{HeaderMap, Method, StatusCode};

use self::accept::Form;
use self::blocking::off_thread;
use self::chunks::FileBody;
use self::hot::Ready;
use self::listing::ListingBody;
use self::multipart::Multipart;
use self::open::{FileFacts, Found, Kind, NotOpened, Root, look_at};
pub use self::page::error_page;
use self::path::{Refusal, Target};
use self::place::Place;
use self::ranges::Span;
use self::reply::Verdict;

/// Served instead of a directory's listing, if it exists.
const INDEX: &[u8] = b"index.html";

/// A cache may keep a reply, and asks each time whether it is still good.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// Serves the files beneath a directory.
///
/// - `GET` and `HEAD`; conditional requests (RFC 9110, section 13), single and multiple ranges (section 14).
/// - A name that leads out of the directory, by `..` or by a symbolic link, is not found: the
///   kernel does the resolving (`openat2` with `RESOLVE_BENEATH` on Linux; elsewhere no symbolic link
///   is followed at all).
/// - Names that begin with a dot are not found, except `/.well-known/` (RFC 8615).
/// - A directory is served as its `index.html`, or else as a listing: a page, or JSON for clients that prefer it
///   (`Accept: application/json`). Errors are pages for browsers, and plain text for others.
/// - Only regular files are served: a pipe or a device is not found.
/// - A file that shrinks while it is sent aborts the reply; it is never padded.
#[derive(Debug, Clone)]
pub struct Files {
    place: Arc<Place>,
    listing: bool,
    cache_control: Option<HeaderValue>,
    kept_max: usize,
}

impl Files {
    /// The files beneath `directory`.
    ///
    /// The directory is open while it is served. When the path leads to another one, because it was made again or a link was
    /// switched, that one is opened: the path is looked at on request, at most once a second.
    ///
    /// # Errors
    /// If it is not a directory or cannot be opened.
    pub fn new(directory: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self {
            place: Arc::new(Place::open(directory.as_ref())?),
            listing: true,
            cache_control: Some(NO_CACHE),
            kept_max: hot::KEPT_MAX_DEFAULT,
        })
    }

    /// Whether a directory without an index is listed. Default: yes; otherwise it is not found.
    #[must_use]
    pub fn with_listing(mut self, on: bool) -> Self {
        self.listing = on;
        self
    }

    /// How many files each thread may keep open for the next request, for a second each. Default: 128.
    /// Each uses a descriptor; a higher limit avoids opening if many files are requested in turn.
    ///
    /// A file that is not requested any more is closed after that. In a tokio runtime with several threads, where
    /// [`Connections`](handfast_https::server::Connections) may serve, it is closed by the next request on its thread.
    #[must_use]
    pub fn with_open_files_max(mut self, count: usize) -> Self {
        self.kept_max = count;
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
        self.cache_control = value;
        self
    }

    /// Opens the directory that the path leads to now, and returns whether it is another one than before. Requests do that
    /// by themselves within a second; a program that has just switched a link need not wait. May block.
    ///
    /// # Errors
    /// If the path leads to no directory, or it cannot be opened: the previous one is served.
    pub fn reopen(&self) -> io::Result<bool> {
        self.place.reopen()
    }

    /// Answers a request. Its body is not read.
    ///
    /// A handler that changes a request before it, or the response after it, calls this.
    pub async fn answer(&self, request: &Request) -> Response {
        page::for_people(self.reply(request).await, request.headers())
    }

    async fn reply(&self, request: &Request) -> Response {
        let head = match *request.method() {
            Method::GET => false,
            Method::HEAD => true,
            _ => {
                let mut response = plain(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "only GET and HEAD are answered here\n",
                );
                response
                    .headers_mut()
                    .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                return response;
            }
        };
        let path = request.uri().path();
        let root = &self.place.root().await;
        let kept = hot::find(root, path).filter(|ready| !ready.is_outdated());
        if let Some(ready) = kept {
            return file(&ready, request.headers(), head);
        }
        let target = match Target::parse(path) {
            Ok(target) => target,
            Err(Refusal::Malformed) => return plain(StatusCode::BAD_REQUEST, "malformed path\n"),
            Err(Refusal::NotFound) => return not_found(),
        };
        let found = match open(root, &target).await {
            Ok(found) => found,
            Err(error) => return refused(&error),
        };
        match found.kind {
            Kind::File(facts) if !target.is_directory() => {
                let ready = match self.ready(found.file, facts, &target).await {
                    Ok(ready) => ready,
                    Err(error) => return refused(&error),
                };
                hot::keep(root, path, target, &ready, self.kept_max);
                file(&ready, request.headers(), head)
            }
            // "file.html/" is never found.
            Kind::File(_) => not_found(),
            Kind::Directory if target.is_directory() => {
                self.directory(root, found.file, &target, request, head)
                    .await
            }
            Kind::Directory => to_directory(&target, request.uri().query()),
        }
    }

    /// A file that was changed just now is looked at again after moments: then every further change can be told from it.
    async fn ready(
        &self,
        file: File,
        mut facts: FileFacts,
        target: &Target,
    ) -> Result<Rc<Ready>, NotOpened> {
        if let Some(wait) = facts.settles_soon(SystemTime::now()) {
            tokio::time::sleep(wait).await;
            facts = look_at(&file).map_err(|_| NotOpened::Failed)?;
        }
        let cache_control = self.cache_control.clone();
        let media = media_type::of(target);
        Ok(Ready::new(file, facts, media, cache_control))
    }

    async fn directory(
        &self,
        root: &Arc<Root>,
        directory: File,
        target: &Target,
        request: &Request,
        head: bool,
    ) -> Response {
        let index = target.entry(INDEX);
        match open(root, &index).await {
            Ok(Found {
                file: opened,
                kind: Kind::File(facts),
            }) => {
                let ready = match self.ready(opened, facts, &index).await {
                    Ok(ready) => ready,
                    Err(error) => return refused(&error),
                };
                let path = request.uri().path();
                hot::keep(root, path, index, &ready, self.kept_max);
                return file(&ready, request.headers(), head);
            }
            Ok(_) | Err(NotOpened::Missing) => {}
            Err(error) => return refused(&error),
        }
        if !self.listing {
            return not_found();
        }
        let form = accept::preferred(request.headers(), &[Form::Html, Form::Json]);
        let mut response = Response::new(if head {
            Body::empty()
        } else {
            Body::pulled(ListingBody::new(root, directory, target.clone(), form))
        });
        let fields = response.headers_mut();
        page::put_fields(fields);
        if form == Form::Json {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        fields.insert(VARY, HeaderValue::from_static("Accept"));
        fields.insert(CACHE_CONTROL, NO_CACHE);
        response
    }
}

impl Handler for Files {
    async fn handle(&self, request: Request, _connection: &Arc<ConnectionInfo>) -> Response {
        self.answer(&request).await
    }
}

/// Opens a target. If descriptors run out, kept files are closed first.
async fn open(root: &Arc<Root>, target: &Target) -> Result<Found, NotOpened> {
    match open_once(root, target).await {
        Err(NotOpened::Exhausted) if hot::let_go() => open_once(root, target).await,
        found => found,
    }
}

/// Opens without blocking if the names are cached by the kernel; otherwise on another thread.
async fn open_once(root: &Arc<Root>, target: &Target) -> Result<Found, NotOpened> {
    match root.find_cached(target) {
        Err(NotOpened::WouldBlock) => {
            let (root, target) = (Arc::clone(root), target.clone());
            off_thread(move || root.find(&target))
                .await
                .unwrap_or(Err(NotOpened::Failed))
        }
        found => found,
    }
}

/// The response with a file, a part of it, or an error.
fn file(ready: &Rc<Ready>, request: &HeaderMap, head: bool) -> Response {
    let (facts, validators) = (&ready.facts, &ready.validators);
    let (status, span) = match reply::judge(request, validators, facts.size, head) {
        Verdict::Whole => (StatusCode::OK, None),
        Verdict::Part(span) => (StatusCode::PARTIAL_CONTENT, Some(span)),
        Verdict::Parts(spans) => return parts(ready, spans),
        Verdict::NotModified => return not_modified(ready),
        Verdict::PreconditionFailed => {
            return plain(StatusCode::PRECONDITION_FAILED, "precondition failed\n");
        }
        Verdict::OutOfRange => {
            let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE, "no such range\n");
            let size = format!("bytes */{}", facts.size);
            insert_text(response.headers_mut(), CONTENT_RANGE, size);
            return response;
        }
    };
    let (start, length) = span.map_or((0, facts.size), |span| (span.start, span.length));
    let mut response = Response::new(if head {
        Body::empty()
    } else {
        Body::pulled(FileBody::new(ready, start, length))
    });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.clone_from(&ready.fields);
    if head {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    if let Some(span) = span {
        insert_text(headers, CONTENT_RANGE, span.content_range(facts.size));
    }
    response
}

/// The response with several parts of a file.
fn parts(ready: &Rc<Ready>, spans: Vec<Span>) -> Response {
    let body = Multipart::new(ready, spans);
    let content_type = body.content_type();
    let mut response = Response::new(Body::pulled(body));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.clone_from(&ready.fields);
    insert_text(headers, CONTENT_TYPE, content_type);
    response
}

/// With the fields that a cache needs to go on with what it has (RFC 9110, section 15.4.5).
fn not_modified(ready: &Ready) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    for name in [ETAG, LAST_MODIFIED, CACHE_CONTROL] {
        if let Some(value) = ready.fields.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    response
}

/// Redirects to the same path with a slash at its end, so that relative references work.
fn to_directory(target: &Target, query: Option<&str>) -> Response {
    // Made of the decoded segments: it begins with one slash and a name, so that it cannot lead to
    // another host in any client's interpretation ("//host", "/\host").
    let mut location = target.url_path();
    location.push('/');
    if let Some(query) = query {
        location.push('?');
        location.push_str(query);
    }
    let mut response = plain(
        StatusCode::PERMANENT_REDIRECT,
        "a directory: mind the slash\n",
    );
    let headers = response.headers_mut();
    insert_text(headers, LOCATION, location);
    // It may be a file tomorrow; browsers keep a permanent redirection without a limit.
    headers.insert(CACHE_CONTROL, NO_CACHE);
    response
}

fn insert_text(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "not found\n")
}

fn refused(error: &NotOpened) -> Response {
    match error {
        NotOpened::Missing | NotOpened::WouldBlock => not_found(),
        NotOpened::Forbidden => plain(StatusCode::FORBIDDEN, "forbidden\n"),
        NotOpened::Exhausted => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "too busy to open another file\n",
        ),
        NotOpened::Failed => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the file cannot be opened\n",
        ),
    }
}
