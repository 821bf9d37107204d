//! Uploads: files that clients store beneath a directory, by PUT or with a form.
//!
//! `store.rs` writes files whole or not at all, beneath the directory, by way of `writer.rs`; `name.rs` checks names; `multipart.rs` reads
//! forms; `origin.rs` says whose page a request comes from; `running.rs` counts those that run. This file owns the exchange: limits, answers, pages. Files are written on other threads than those that serve, one piece after the
//! other, and a client sends no faster than that.

#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod multipart;
mod name;
mod origin;
mod refused;
mod running;
#[cfg(not(unix))]
#[path = "no_store.rs"]
mod store;
#[cfg(unix)]
mod store;
mod writer;

use std::fmt::Write as _;
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use handfast_files::{escape_html, prefers_html};
use handfast_https::server::{Request, RequestBody, Response, plain};
use http::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use http_body::Body as _;

use self::multipart::Event;
use self::origin::may_upload;
use self::refused::Refused;
use self::running::{Places, Running};
use self::store::{Policy, Store, Stored};
use self::writer::Writer;
use crate::cors::Cors;
use crate::guard::Gate;
use crate::page::{html, status_page};
use crate::path::{IGNORES_CASE, Path};
use crate::pattern::TargetProblem;
use crate::rule::RuleError;

/// A time limit that never ends and that every clock can represent.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// Parts of a form that are no files.
const OTHER_PARTS_MAX: usize = 64;

/// What the page with the form is asked for by.
const PAGE_QUERY: &str = "upload";

/// Bounds on uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadLimits {
    /// Bytes of a file. Default: 1 GiB.
    pub file_bytes_max: u64,
    /// Bytes of a request: of a form, all its files and what is around them. Default: 4 GiB.
    pub request_bytes_max: u64,
    /// Files in a form; each has a descriptor until all have come. Default: 32.
    pub files_max: usize,
    /// Requests with files at once; more are asked to come again. Clients of one address have at most half of these, rounded up: an IPv4
    /// address, or an IPv6 network of 64 bits; those of Unix sockets have none. Default: 16.
    pub uploads_max: usize,
    /// Bytes that stay free on the disk. Default: 256 MiB.
    pub free_bytes_min: u64,
    /// From the head of a request to the end of its body. Default: an hour.
    pub duration_max: Duration,
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self {
            file_bytes_max: 1 << 30,
            request_bytes_max: 4 << 30,
            files_max: 32,
            uploads_max: 16,
            free_bytes_min: 256 << 20,
            duration_max: Duration::from_secs(3600),
        }
    }
}

/// Stores files beneath a directory: by PUT, or with a form (POST of `multipart/form-data`).
///
/// - Nothing outside the directory is written: names are resolved by the kernel beneath it, and no symbolic link is followed.
///   Directories are not made.
/// - A file is there when all of it is on the disk, and otherwise not at all.
/// - No file is replaced, unless [allowed](Self::with_replacing); `If-Match` and `If-None-Match` hold (RFC 9110, section 13.1).
/// - Names that begin with a dot, or have characters that cannot be seen, are refused.
/// - Requests that a page of another site makes are refused, unless [`Cors`] allows that origin the method; with a password or a client
///   certificate, unless it allows credentials, too.
/// - Where a file of a form is stored, [guards](crate::Guard) and errors by [rules](crate::Rule) hold as for a PUT there.
///
/// Every client that the site's [guards](crate::Guard) accept may upload. What is uploaded is not served, unless
/// [reading](Self::with_reading) is on. Only on Unix.
#[derive(Debug, Clone)]
pub struct Uploads {
    store: Arc<Store>,
    mount: Path,
    limits: UploadLimits,
    replace: bool,
    reading: bool,
    running: Arc<Places>,
}

impl Uploads {
    /// Files beneath this directory, at `/upload/`. The page with the form is there.
    ///
    /// # Errors
    /// If it is not a directory or cannot be opened.
    pub fn new(directory: impl AsRef<FilePath>) -> io::Result<Self> {
        Ok(Self {
            store: Arc::new(Store::open(directory.as_ref())?),
            mount: Path {
                segments: vec![b"upload".to_vec()],
                directory: true,
            },
            limits: UploadLimits::default(),
            replace: false,
            reading: false,
            running: Arc::default(),
        })
    }

    /// The path of the directory in URLs. Default: `/upload/`.
    ///
    /// # Errors
    /// [`RuleError`] if it is not the path of a URL.
    pub fn with_path(mut self, path: &str) -> Result<Self, RuleError> {
        let mount = Path::parse(path).map_err(|_| RuleError::Target {
            target: handfast::escape_control(path).into_owned(),
            problem: TargetProblem::NoTarget,
        })?;
        self.mount = Path {
            directory: true,
            ..mount
        };
        Ok(self)
    }

    /// Whether a file may be replaced. Default: no.
    #[must_use]
    pub fn with_replacing(mut self, on: bool) -> Self {
        self.replace = on;
        self
    }

    /// Whether GET and HEAD are answered by the site's files, where its path is one of a directory beneath them. What is uploaded can
    /// then be fetched, in a sandbox: a page in it runs no script in the name of this site. The page with the form is at the path
    /// with `?upload`. Default: no.
    #[must_use]
    pub fn with_reading(mut self, on: bool) -> Self {
        self.reading = on;
        self
    }

    /// Bounds. Default: see [`UploadLimits`].
    #[must_use]
    pub fn with_limits(mut self, limits: UploadLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Goes on with the uploads that these have running, towards the same limit: for the same directory with other settings. A file is
    /// given its name by one of the two at a time.
    #[must_use]
    pub fn succeeding(mut self, previous: &Self) -> Self {
        self.running = Arc::clone(&previous.running);
        if self.store.has_place_of(&previous.store) {
            self.store = Arc::clone(&previous.store);
        }
        self
    }

    /// The path of the page with the form.
    pub fn page(&self) -> String {
        let query = if self.reading { "?upload" } else { "" };
        format!("{}{query}", self.mount.to_url())
    }

    /// Is the path one of these files, or of their directory?
    pub(crate) fn covers(&self, path: &Path) -> bool {
        is_beneath(path, &self.mount, IGNORES_CASE)
    }

    /// Answers a request for a path that it covers; `None` if that is a matter of the site's files.
    pub(crate) async fn answer(
        &self,
        request: &mut Request,
        path: &Path,
        cors: Option<&Cors>,
        gate: &mut Gate<'_>,
    ) -> Option<Response> {
        let form;
        let result = match *request.method() {
            Method::GET | Method::HEAD => {
                let is_page = request.uri().query() == Some(PAGE_QUERY)
                    || (!self.reading && path.segments == self.mount.segments);
                return match is_page {
                    true if path.directory => Some(self.form_page(path)),
                    true if !self.reading => {
                        let mut here = path.clone();
                        here.directory = true;
                        Some(see(request.headers(), &here.to_url()))
                    }
                    _ if self.reading => None,
                    _ => Some(status_page(
                        request.headers(),
                        StatusCode::NOT_FOUND,
                        "There is nothing at this URL.",
                    )),
                };
            }
            Method::PUT | Method::POST => {
                form = (*request.method() == Method::POST).then(|| self.back(path));
                let has_certificate = gate.connection.client().is_some();
                if !may_upload(request, cors, has_certificate) {
                    let text = "A page of another site may not upload files here.";
                    return Some(status_page(request.headers(), StatusCode::FORBIDDEN, text));
                }
                let address = gate.connection.peer.socket().map(|address| address.ip());
                let uploads_max = self.limits.uploads_max;
                let Some(_running) = Running::new(&self.running, address, uploads_max) else {
                    let text = "Too many uploads are running. Try again in a moment.";
                    let refused = Refused::Status(StatusCode::SERVICE_UNAVAILABLE, text);
                    return Some(refused.response(request.headers(), form.as_deref()));
                };
                if *request.method() == Method::PUT {
                    self.put(request, path).await
                } else {
                    self.take_form(request, path, gate).await
                }
            }
            Method::OPTIONS => {
                let mut response = Response::default();
                *response.status_mut() = StatusCode::NO_CONTENT;
                response.headers_mut().insert(ALLOW, ALLOWED);
                return Some(response);
            }
            _ => {
                let text = "This method is not allowed here.";
                let status = StatusCode::METHOD_NOT_ALLOWED;
                let mut response = status_page(request.headers(), status, text);
                response.headers_mut().insert(ALLOW, ALLOWED);
                return Some(response);
            }
        };
        Some(result.unwrap_or_else(|refused| refused.response(request.headers(), form.as_deref())))
    }

    fn policy(&self) -> Policy {
        Policy {
            replace: self.replace,
            free_min: self.limits.free_bytes_min,
        }
    }

    /// Stores the body of a PUT (RFC 9110, section 9.3.4).
    async fn put(&self, request: &mut Request, path: &Path) -> Result<Response, Refused> {
        let (parents, name) = self.names(path)?;
        let Some(name) = name else {
            return Err(Refused::Status(
                StatusCode::CONFLICT,
                "A PUT names a file, and this is the path of a directory.",
            ));
        };
        if request.headers().contains_key(CONTENT_RANGE) {
            return Err(Refused::Status(
                StatusCode::BAD_REQUEST,
                "A part of a file cannot be stored.",
            ));
        }
        let announced = request.body().size_hint().exact().unwrap_or(0);
        if announced > self.limits.file_bytes_max {
            return Err(Refused::TooLarge);
        }
        let conditions = request.headers().clone();
        let mut writer = self.begin(&parents, &name, announced, &conditions).await?;
        let mut body = Incoming::new(request.body_mut(), self.limits.duration_max);
        while let Some(piece) = body.next().await? {
            writer.write(&piece, self.limits.file_bytes_max).await?;
        }
        let stored = writer.commit(&self.store, &name, &conditions).await?;
        let mut response = if stored.created {
            let mut response = status_page(
                request.headers(),
                StatusCode::CREATED,
                "The file is stored.",
            );
            set(
                &mut response,
                LOCATION,
                HeaderValue::try_from(path.to_url()).ok(),
            );
            response
        } else {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        };
        set(&mut response, ETAG, stored.etag);
        Ok(response)
    }

    /// Stores the files of a form in the directory of this path: all, or none as far as can be known before.
    async fn take_form(
        &self,
        request: &mut Request,
        path: &Path,
        gate: &mut Gate<'_>,
    ) -> Result<Response, Refused> {
        let (mut parents, name) = self.names(path)?;
        parents.extend(name);
        let kind = request.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let mut form = multipart::Form::new(kind).ok_or(Refused::Status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "A POST sends a form of the type multipart/form-data.",
        ))??;
        let announced = request.body().size_hint().exact().unwrap_or(0);
        if announced > self.limits.request_bytes_max {
            return Err(Refused::TooLarge);
        }
        let (conditions, fields) = (HeaderMap::new(), request.headers().clone());
        let mut body = Incoming::new(request.body_mut(), self.limits.duration_max);
        let mut drafts: Vec<(String, Writer)> = Vec::new();
        let (mut parts, mut bytes) = (0_usize, 0_u64);
        let mut current: Option<(String, Writer)> = None;
        while let Some(piece) = body.next().await? {
            bytes = bytes.saturating_add(piece.len() as u64);
            if bytes > self.limits.request_bytes_max {
                return Err(Refused::TooLarge);
            }
            form.push(&piece);
            while let Some(event) = form.next()? {
                match event {
                    Event::Part { file_name } => {
                        parts += 1;
                        let files_max = self.limits.files_max;
                        if parts > files_max.saturating_add(OTHER_PARTS_MAX) {
                            return Err(Refused::TooManyFiles(files_max));
                        }
                        if let Some(file_name) = file_name.filter(|name| !name.is_empty()) {
                            if drafts.len() >= files_max {
                                return Err(Refused::TooManyFiles(files_max));
                            }
                            let name = checked(name::last_of(&file_name).as_bytes())?;
                            gate.admit_file(&file_in(path, &name), &fields)
                                .await
                                .map_err(|refusal| Refused::Answered(Box::new(refusal)))?;
                            let writer = self.begin(&parents, &name, 0, &conditions).await;
                            let writer = writer.map_err(|refused| refused.of(&name))?;
                            current = Some((name, writer));
                        }
                    }
                    Event::Data(data) => {
                        if let Some((_, writer)) = &mut current {
                            writer.write(&data, self.limits.file_bytes_max).await?;
                        }
                    }
                    Event::End => {
                        if let Some((name, mut writer)) = current.take() {
                            // It may wait for many others.
                            writer.flush().await?;
                            drafts.push((name, writer));
                        }
                    }
                }
            }
        }
        form.finish()?;
        if drafts.is_empty() {
            return Err(Refused::Status(
                StatusCode::BAD_REQUEST,
                "No file was chosen.",
            ));
        }
        let mut stored = Vec::with_capacity(drafts.len());
        for (name, writer) in drafts {
            let result = writer.commit(&self.store, &name, &conditions).await;
            stored.push((name, result));
        }
        Ok(self.receipt(request.headers(), path, &stored))
    }

    /// The names of directories and of a file beneath ours.
    fn names(&self, path: &Path) -> Result<(Vec<String>, Option<String>), Refused> {
        let beneath = path
            .segments
            .get(self.mount.segments.len()..)
            .unwrap_or_default();
        let mut names = beneath
            .iter()
            .map(|name| checked(name))
            .collect::<Result<Vec<_>, _>>()?;
        let name = if path.directory { None } else { names.pop() };
        Ok((names, name))
    }

    async fn begin(
        &self,
        parents: &[String],
        name: &str,
        announced: u64,
        conditions: &HeaderMap,
    ) -> Result<Writer, Refused> {
        let (parents, name, policy) = (parents.to_vec(), name.to_owned(), self.policy());
        let conditions = conditions.clone();
        Writer::begin(&self.store, move |store| {
            store.begin(&parents, &name, announced, &conditions, policy)
        })
        .await
    }

    /// What became of the files of a form.
    fn receipt(
        &self,
        request: &HeaderMap,
        path: &Path,
        stored: &[(String, Result<Stored, Refused>)],
    ) -> Response {
        let url_of = |name: &str| file_in(path, name).to_url();
        let (mut list, mut lines) = (String::from("<ul>"), String::new());
        let mut status = StatusCode::CREATED;
        for (name, result) in stored {
            match result {
                Ok(_) => {
                    let _ = writeln!(lines, "{}", url_of(name));
                    let shown = escape_html(name);
                    let _ = if self.reading {
                        write!(list, "<li><a href=\"{}\">{shown}</a></li>", url_of(name))
                    } else {
                        write!(list, "<li>{shown}</li>")
                    };
                }
                Err(refused) => {
                    let (refused_status, text) = refused.told();
                    status = refused_status;
                    let _ = writeln!(lines, "not stored: {name}: {text}");
                    let _ = write!(
                        list,
                        "<li><strong>Not stored: {}.</strong> {}</li>",
                        escape_html(name),
                        escape_html(&text)
                    );
                }
            }
        }
        let back = self.back(path);
        let back = escape_html(&back);
        let _ = write!(
            list,
            "</ul>\n<p><a href=\"{back}\">Upload more files</a></p>"
        );
        let heading = match status {
            StatusCode::CREATED if stored.len() == 1 => "The file is stored",
            StatusCode::CREATED => "The files are stored",
            _ => "Some files are not stored",
        };
        let mut response = match prefers_html(request) {
            true => html(heading, &list),
            false => plain(status, lines),
        };
        *response.status_mut() = status;
        if let ([(name, Ok(_))], StatusCode::CREATED) = (stored, status) {
            set(
                &mut response,
                LOCATION,
                HeaderValue::try_from(url_of(name)).ok(),
            );
        }
        response
    }

    fn back(&self, path: &Path) -> String {
        let mut directory = path.clone();
        directory.directory = true;
        let query = if self.reading { "?upload" } else { "" };
        format!("{}{query}", directory.to_url())
    }

    fn form_page(&self, path: &Path) -> Response {
        let replacing = if self.replace {
            "A file of the same name is replaced."
        } else {
            "A file of the same name is not replaced."
        };
        let content = format!(
            "<form method=\"post\" enctype=\"multipart/form-data\" action=\"{action}\">\n\
             <label for=\"files\">Files</label>\n\
             <input id=\"files\" type=\"file\" name=\"files\" multiple required aria-describedby=\"limits\">\n\
             <p id=\"limits\">At most {count} files of {size} each. {replacing}</p>\n\
             <button>Upload</button>\n</form>",
            action = escape_html(&path.to_url()),
            count = self.limits.files_max,
            size = size(self.limits.file_bytes_max),
        );
        html("Upload files", &content)
    }
}

const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS, POST, PUT");

/// For people: 1.5 GiB.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        if bytes >= 1 << shift {
            let tenths = (u128::from(bytes) * 10) >> shift;
            return match tenths % 10 {
                0 => format!("{} {unit}", tenths / 10),
                tenth => format!("{}.{tenth} {unit}", tenths / 10),
            };
        }
    }
    format!("{bytes} bytes")
}

/// A file of a form that was sent to this path.
fn file_in(path: &Path, name: &str) -> Path {
    let mut file = path.clone();
    file.segments.push(name.as_bytes().to_vec());
    file.directory = false;
    file
}

fn is_beneath(path: &Path, mount: &Path, ignores_case: bool) -> bool {
    match ignores_case {
        true => path.folded().segments.starts_with(&mount.folded().segments),
        false => path.segments.starts_with(&mount.segments),
    }
}

fn checked(name: &[u8]) -> Result<String, Refused> {
    name::check(name).map(str::to_owned).map_err(Refused::Name)
}

fn set(response: &mut Response, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        response.headers_mut().insert(name, value);
    }
}

fn see(request: &HeaderMap, location: &str) -> Response {
    let text = format!("See {location}");
    let mut response = status_page(request, StatusCode::PERMANENT_REDIRECT, &text);
    set(
        &mut response,
        LOCATION,
        HeaderValue::try_from(location).ok(),
    );
    response
}

/// The body of a request, for as long as it may take.
struct Incoming<'a> {
    body: &'a mut RequestBody,
    until: Instant,
}

impl<'a> Incoming<'a> {
    fn new(body: &'a mut RequestBody, duration_max: Duration) -> Self {
        Self {
            body,
            until: Instant::now() + duration_max.min(FOREVER),
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Refused> {
        // What is there already is not waited for.
        if Instant::now() >= self.until {
            return Err(Refused::TooSlow);
        }
        let until = tokio::time::Instant::from_std(self.until);
        match tokio::time::timeout_at(until, self.body.next()).await {
            Err(_) => Err(Refused::TooSlow),
            Ok(None) => Ok(None),
            Ok(Some(Ok(piece))) => Ok(Some(piece)),
            Ok(Some(Err(error))) => Err(match error.downcast_ref::<io::Error>() {
                Some(error) if error.kind() == io::ErrorKind::TimedOut => Refused::TooSlow,
                _ => Refused::Cut,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_of_the_directory_are_beneath_it_where_case_is_ignored() {
        let mount = Path::parse("/In/Box/").unwrap();
        for (path, exactly, without_case) in [
            ("/In/Box/x", true, true),
            ("//In/%42ox", true, true),
            ("/in/BOX/x", false, true),
            ("/In", false, false),
            ("/In/Boxes", false, false),
        ] {
            let path = Path::parse(path).unwrap();
            assert_eq!(is_beneath(&path, &mount, false), exactly, "{path:?}");
            assert_eq!(is_beneath(&path, &mount, true), without_case, "{path:?}");
        }
    }

    #[test]
    fn sizes_are_for_people() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (1 << 30, "1 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
