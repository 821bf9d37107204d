//! A site: its names, and how it answers a request.
//!
//! ```text
//! preflight -> guards -> redirects, rewrites, errors -> uploads, files -> fallback -> error pages -> header fields
//!                ^------------- each new path -------------------------------'
//! ```

use std::sync::Arc;

use handfast_files::{Files, accepts_html};
use handfast_https::server::{ConnectionInfo, Request, Response, User};
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    ETAG, HeaderName, HeaderValue, LAST_MODIFIED, LOCATION, ORIGIN, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, Method, StatusCode};

use crate::cors::Cors;
use crate::guard::{Gate, Guard};
use crate::hsts::Hsts;
use crate::name::{NameError, SiteName};
use crate::page::{NOT_FOUND, refusal_page, status_page};
use crate::path::{Path, PathProblem};
use crate::rule::{Action, Rule, RuleError};
use crate::upload::Uploads;

/// The policy of what clients have uploaded.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox");

/// The link in listings to the form for uploads; where uploads are read, of the same directory.
const UPLOAD: &str = "Upload files";
const HERE: &str = "?upload";

const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// What else than HTML an application's page is not for.
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What the page of an error must keep: it tells the client what to do.
const KEPT: [HeaderName; 5] = [ALLOW, CONTENT_RANGE, RETRY_AFTER, VARY, WWW_AUTHENTICATE];

/// What answers the requests for some names.
///
/// Without [files](Self::with_files) nothing is found in it.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Site {
    pub(crate) names: Vec<SiteName>,
    pub(crate) needs_server_name: bool,
    pub(crate) label: Option<u32>,
    files: Option<Files>,
    /// The same where clients store files: what they put beside a file is not sent in place of it.
    uploaded: Option<Files>,
    /// The same for files beside which one is guarded or refused that would be sent in place of them.
    alone: Option<Files>,
    guards: Vec<Guard>,
    /// Redirects, rewrites, errors.
    routes: Vec<Rule>,
    /// Header fields.
    fields: Vec<Rule>,
    cors: Option<Cors>,
    hsts: Option<HeaderValue>,
    fallback: Option<PathAndQuery>,
    error_pages: Vec<(Option<StatusCode>, PathAndQuery)>,
    uploads: Vec<Uploads>,
}

/// What becomes known of a request on its way.
#[derive(Debug, Default)]
struct Passage {
    /// The path that is answered in the end.
    path: Option<Path>,
    user: Option<User>,
    /// The answer is a file that a client has uploaded.
    is_uploaded: bool,
}

impl Site {
    /// A site without names and content.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds names: DNS names, `*.` and a DNS name for every name with one label more, IP addresses. Names in Unicode are
    /// converted (IDNA).
    ///
    /// # Errors
    /// [`NameError`] for the first that is none of these.
    pub fn with_names<N: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, NameError> {
        for name in names {
            let name = SiteName::parse(name.as_ref())?;
            if !self.names.contains(&name) {
                self.names.push(name);
            }
        }
        Ok(self)
    }

    /// The names, in the form that they are compared in.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.names.iter().map(ToString::to_string)
    }

    /// Requests on connections without a server name (SNI) are answered with 421 (Misdirected Request). For a site whose
    /// handshakes differ from those of the default, for example in the client certificates that are accepted. Default: such
    /// requests are answered.
    pub fn with_server_name_needed(mut self, on: bool) -> Self {
        self.needs_server_name = on;
        self
    }

    /// A number by which the program knows the site again ([`Sites::label`](crate::Sites::label)). Default: none.
    pub fn with_label(mut self, label: u32) -> Self {
        self.label = Some(label);
        self
    }

    /// The files that are served. Default: none.
    pub fn with_files(mut self, files: Files) -> Self {
        self.files = Some(files);
        self.complete_files();
        self
    }

    fn complete_files(&mut self) {
        let Some(files) = &mut self.files else {
            return;
        };
        if let Some(uploads) = self.uploads.first() {
            *files = files.clone().with_listing_link(uploads.page(), UPLOAD);
        }
        let uploaded = files.clone().with_precompressed(false);
        self.alone = Some(uploaded.clone());
        self.uploaded = Some(uploaded.with_listing_link(HERE, UPLOAD));
    }

    /// Adds a guard. All that cover a path are satisfied before anything of it is answered.
    pub fn with_guard(mut self, guard: Guard) -> Self {
        self.guards.push(guard);
        self
    }

    /// Adds a rule after those before it. Redirects, rewrites and errors: the first that matches. Header fields: all that match,
    /// in this order.
    pub fn with_rule(mut self, rule: Rule) -> Self {
        if rule.routes() {
            self.routes.push(rule);
        } else {
            self.fields.push(rule);
        }
        self
    }

    /// Which other origins may read responses. Default: none.
    pub fn with_cors(mut self, cors: Cors) -> Self {
        self.cors = Some(cors);
        self
    }

    /// Strict transport security. Default: none.
    pub fn with_hsts(mut self, hsts: &Hsts) -> Self {
        self.hsts = Some(hsts.value());
        self
    }

    /// Answers with this file, and 200, where nothing is found: for applications that choose their page in the browser. Only to
    /// navigations: GET and HEAD that accept HTML. A browser says whether it navigates (`Sec-Fetch-Mode`), and gets the page for any
    /// path, `/users/john.doe` as well. Of other clients only paths whose last name has no extension are answered so: a script that is
    /// missing is missing. Default: none.
    ///
    /// # Errors
    /// [`RuleError`] if it is not the path of a URL.
    pub fn with_fallback(mut self, path: &str) -> Result<Self, RuleError> {
        self.fallback = Some(local(path)?);
        Ok(self)
    }

    /// Answers errors of this status with a file, and keeps the status. Default: none.
    ///
    /// # Errors
    /// [`RuleError`] if it is not the path of a URL, or not the status of an error.
    pub fn with_error_page(mut self, status: u16, path: &str) -> Result<Self, RuleError> {
        let path = local(path)?;
        let status = StatusCode::from_u16(status)
            .ok()
            .filter(|status| status.is_client_error() || status.is_server_error())
            .ok_or(RuleError::ErrorStatus(status))?;
        self.error_pages.push((Some(status), path));
        Ok(self)
    }

    /// As [`with_error_page`](Self::with_error_page), for every status that has no page of its own.
    ///
    /// # Errors
    /// [`RuleError`] if it is not the path of a URL.
    pub fn with_error_page_for_others(mut self, path: &str) -> Result<Self, RuleError> {
        self.error_pages.push((None, local(path)?));
        Ok(self)
    }

    /// Adds a directory that files are stored beneath. Listings link to its form. Default: none.
    pub fn with_uploads(mut self, uploads: Uploads) -> Self {
        self.uploads.push(uploads);
        self.complete_files();
        self
    }

    /// The paths of the pages with a form for uploads.
    pub fn upload_pages(&self) -> impl Iterator<Item = String> + '_ {
        self.uploads.iter().map(Uploads::page)
    }

    /// Answers a request that is for this site.
    ///
    /// With files alone it is answered at once. Everything else is in a future of its own, so that this one stays small: it is made,
    /// and moved, for every request.
    pub(crate) async fn answer(
        &self,
        request: Request,
        connection: &Arc<ConnectionInfo>,
    ) -> Response {
        if self.has_files_alone() {
            let mut response = self.content(&request, None).await;
            self.add_hsts(response.headers_mut());
            return response;
        }
        Box::pin(self.answer_by_rules(request, connection)).await
    }

    async fn answer_by_rules(
        &self,
        mut request: Request,
        connection: &Arc<ConnectionInfo>,
    ) -> Response {
        let mut passage = Passage::default();
        let origin = match &self.cors {
            Some(cors) => {
                if let Some(mut response) = cors.preflight(&request) {
                    self.add_hsts(response.headers_mut());
                    return response;
                }
                request.headers().get(ORIGIN).cloned()
            }
            None => None,
        };
        let routed = self.route(&mut request, connection, &mut passage).await;
        let mut response = match routed {
            Ok(response) | Err(response) => response,
        };
        if response.status().is_client_error() || response.status().is_server_error() {
            response = Box::pin(self.error_page(response, &mut request)).await;
        }
        if let Some(path) = &passage.path {
            let status = response.status();
            for rule in &self.fields {
                rule.apply(path, status, response.headers_mut());
            }
            // Beside what a rule says of it, and after the rules: browsers enforce every policy.
            if passage.is_uploaded && !(status.is_client_error() || status.is_server_error()) {
                response
                    .headers_mut()
                    .append(CONTENT_SECURITY_POLICY, SANDBOX);
            }
        }
        if let Some(cors) = &self.cors {
            cors.apply(origin.as_ref(), response.headers_mut());
        }
        self.add_hsts(response.headers_mut());
        if let Some(user) = passage.user {
            response.extensions_mut().insert(user);
        }
        response
    }

    fn add_hsts(&self, headers: &mut HeaderMap) {
        if let Some(hsts) = &self.hsts {
            headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
    }

    /// Is a request answered by the files, whatever it is?
    fn has_files_alone(&self) -> bool {
        self.cors.is_none() && self.error_pages.is_empty() && !self.looks_at_paths()
    }

    /// Does anything depend on the path besides the files?
    fn looks_at_paths(&self) -> bool {
        !self.guards.is_empty()
            || !self.routes.is_empty()
            || !self.fields.is_empty()
            || self.fallback.is_some()
            || !self.uploads.is_empty()
    }

    /// # Errors
    /// A response that a guard or a rule gave.
    async fn route(
        &self,
        request: &mut Request,
        connection: &Arc<ConnectionInfo>,
        passage: &mut Passage,
    ) -> Result<Response, Response> {
        if !self.looks_at_paths() {
            return Ok(self.content(request, None).await);
        }
        let path = match Path::parse(request.uri().path()) {
            Ok(path) => path,
            Err(problem) => {
                let spelled = Path::as_spelled(request.uri().path());
                self.enter(spelled, request, connection, passage).await?;
                return Ok(self.without_path(problem, request).await);
            }
        };
        let has_extension = path.has_extension();
        self.enter(path, request, connection, passage).await?;
        for rule in &self.routes {
            self.follow(rule, request, connection, passage).await?;
        }
        if let Some(path) = &passage.path
            && let Some(uploads) = self.uploads.iter().find(|uploads| uploads.covers(path))
        {
            let mut gate = self.gate(connection, &mut passage.user);
            let cors = self.cors.as_ref();
            let answer = Box::pin(uploads.answer(request, path, cors, &mut gate)).await;
            if let Some(response) = answer {
                return Ok(response);
            }
            let response = answer_by(self.uploaded.as_ref(), request).await;
            // A page of ours has a policy. What someone has uploaded does nothing in the name of this site.
            passage.is_uploaded = !response.headers().contains_key(CONTENT_SECURITY_POLICY);
            return Ok(response);
        }
        let response = self.content(request, passage.path.as_ref()).await;
        match &self.fallback {
            Some(fallback) if response.status() == StatusCode::NOT_FOUND => {
                let fallen = is_navigation(request, has_extension).then_some(fallback);
                Box::pin(self.fall_back(fallen, response, request, connection, passage)).await
            }
            _ => Ok(response),
        }
    }

    /// Answers a request whose path names nothing.
    async fn without_path(&self, problem: PathProblem, request: &Request) -> Response {
        match problem {
            // `*` is no path (RFC 9110, section 7.1), and no file.
            PathProblem::Malformed if request.uri().path() == "*" => {
                self.content(request, None).await
            }
            PathProblem::Malformed => {
                let text = "The path of this URL is malformed.";
                status_page(request.headers(), StatusCode::BAD_REQUEST, text)
            }
            PathProblem::Unresolved => not_found(request.headers()),
        }
    }

    /// Goes on with this path, if its guards allow it.
    async fn enter(
        &self,
        path: Path,
        request: &Request,
        connection: &ConnectionInfo,
        passage: &mut Passage,
    ) -> Result<(), Response> {
        let path = passage.path.insert(path);
        if self.guards.is_empty() {
            return Ok(());
        }
        let mut gate = self.gate(connection, &mut passage.user);
        Box::pin(gate.admit(path, request.headers())).await
    }

    fn gate<'g>(&'g self, connection: &'g ConnectionInfo, user: &'g mut Option<User>) -> Gate<'g> {
        Gate {
            guards: &self.guards,
            routes: &self.routes,
            indexes: self.indexes(),
            connection,
            user,
        }
    }

    async fn follow(
        &self,
        rule: &Rule,
        request: &mut Request,
        connection: &ConnectionInfo,
        passage: &mut Passage,
    ) -> Result<(), Response> {
        let Some(captures) = passage
            .path
            .as_ref()
            .and_then(|path| rule.pattern().captures(path))
        else {
            let refused = passage.path.as_ref().and_then(|path| rule.refuses(path));
            return match refused {
                Some(status) => Err(refusal_page(request.headers(), status)),
                None => Ok(()),
            };
        };
        match rule.action() {
            Action::Redirect(status, target) => {
                let location = target.expand(&captures, request.uri().query());
                let here = request.uri().path_and_query().map(PathAndQuery::as_str);
                if target.is_local() && here == Some(location.as_str()) {
                    return Ok(());
                }
                Err(redirect(request.headers(), *status, &location))
            }
            Action::Rewrite(target) => {
                let to = target.expand(&captures, request.uri().query());
                let to = to.split('#').next().unwrap_or_default();
                // The target was checked with the rule; what was matched is percent-encoded. It may be too long.
                let to: PathAndQuery = to.parse().map_err(|_| not_found(request.headers()))?;
                let path = Path::parse(to.path()).map_err(|_| not_found(request.headers()))?;
                *request.uri_mut() = Uri::from(to);
                self.enter(path, request, connection, passage).await
            }
            Action::Status(status) => Err(refusal_page(request.headers(), *status)),
            _ => Ok(()),
        }
    }

    /// The names of what a directory may be served as.
    fn indexes(&self) -> Vec<&[u8]> {
        self.files.iter().flat_map(Files::indexes).collect()
    }

    /// With the path that was entered, where something depends on it.
    async fn content(&self, request: &Request, path: Option<&Path>) -> Response {
        let files = match path {
            Some(path) if self.is_alone(request, path) => &self.alone,
            _ => &self.files,
        };
        answer_by(files.as_ref(), request).await
    }

    /// Is there something that a guard or a rule keeps from this client, and that would be sent in place of the file of this path?
    fn is_alone(&self, request: &Request, path: &Path) -> bool {
        if !request.headers().contains_key(ACCEPT_ENCODING) {
            return false;
        }
        let indexes = match path.directory {
            true => self.indexes(),
            false => Vec::new(),
        };
        let mut guards = self.guards.iter();
        let mut routes = self.routes.iter();
        guards.any(|guard| guard.covers_coded_alone(path, &indexes))
            || routes.any(|rule| rule.refuses_coded_alone(path, &indexes))
    }

    /// Answers with the application's page, if there is to be one, and otherwise that nothing is there.
    async fn fall_back(
        &self,
        fallback: Option<&PathAndQuery>,
        mut missing: Response,
        request: &mut Request,
        connection: &ConnectionInfo,
        passage: &mut Passage,
    ) -> Result<Response, Response> {
        let vary = HeaderValue::from_static("accept, sec-fetch-mode");
        let Some(fallback) = fallback else {
            missing.headers_mut().append(VARY, vary);
            return Ok(missing);
        };
        let path = Path::parse(fallback.path()).map_err(|_| not_found(request.headers()))?;
        *request.uri_mut() = Uri::from(fallback.clone());
        self.enter(path, request, connection, passage).await?;
        let mut response = self.content(request, passage.path.as_ref()).await;
        response.headers_mut().append(VARY, vary);
        response
            .headers_mut()
            .entry(CACHE_CONTROL)
            .or_insert(NO_CACHE);
        Ok(response)
    }

    /// The same error with the page that the site has for it.
    async fn error_page(&self, error: Response, request: &mut Request) -> Response {
        let status = error.status();
        let of = |wanted: Option<StatusCode>| {
            self.error_pages
                .iter()
                .find(|(of, _)| *of == wanted)
                .map(|(_, path)| path)
        };
        let Some(path) = of(Some(status)).or_else(|| of(None)) else {
            return error;
        };
        let Some(files) = &self.files else {
            return error;
        };
        // Conditions and ranges are for what was asked for.
        let headers = std::mem::take(request.headers_mut());
        if let Some(codings) = headers.get(ACCEPT_ENCODING) {
            request
                .headers_mut()
                .insert(ACCEPT_ENCODING, codings.clone());
        }
        *request.uri_mut() = Uri::from(path.clone());
        if *request.method() != Method::HEAD {
            *request.method_mut() = Method::GET;
        }
        let mut page = files.answer(request).await;
        *request.headers_mut() = headers;
        if page.status() != StatusCode::OK {
            return error;
        }
        *page.status_mut() = status;
        let fields = page.headers_mut();
        for name in [ETAG, LAST_MODIFIED, ACCEPT_RANGES] {
            fields.remove(name);
        }
        fields.insert(CACHE_CONTROL, NO_CACHE);
        fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        for name in KEPT {
            for value in error.headers().get_all(&name) {
                fields.append(name.clone(), value.clone());
            }
        }
        page
    }
}

async fn answer_by(files: Option<&Files>, request: &Request) -> Response {
    match files {
        Some(files) => files.answer(request).await,
        None => not_found(request.headers()),
    }
}

fn not_found(request: &HeaderMap) -> Response {
    status_page(request, StatusCode::NOT_FOUND, NOT_FOUND)
}

fn redirect(request: &HeaderMap, status: StatusCode, location: &str) -> Response {
    let mut response = status_page(request, status, &format!("See {location}"));
    match HeaderValue::try_from(location) {
        Ok(value) => {
            response.headers_mut().insert(LOCATION, value);
            response
        }
        // Not made by any target that was checked.
        Err(_) => not_found(request),
    }
}

/// The path of a URL, without wildcards.
fn local(text: &str) -> Result<PathAndQuery, RuleError> {
    use crate::pattern::TargetProblem;
    let wrong = |problem| RuleError::Target {
        target: handfast::escape_control(text).into_owned(),
        problem,
    };
    if !text.starts_with('/') || text.starts_with("//") {
        return Err(wrong(TargetProblem::NoTarget));
    }
    let path: PathAndQuery = text.parse().map_err(|_| wrong(TargetProblem::Characters))?;
    Path::parse(path.path()).map_err(|_| wrong(TargetProblem::Characters))?;
    Ok(path)
}

/// Does a person go to this URL? Browsers say so, and do not for what a page loads; others accept anything.
fn is_navigation(request: &Request, has_extension: bool) -> bool {
    let headers = request.headers();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return false;
    }
    if let Some(mode) = headers.get(FETCH_MODE) {
        return mode == "navigate" && accepts_html(headers);
    }
    !has_extension && accepts_html(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the future that a function makes.
    fn size_of_future<'a, F: Future>(
        _: impl FnOnce(&'a Site, Request, &'a Arc<ConnectionInfo>) -> F,
    ) -> usize {
        size_of::<F>()
    }

    /// It is moved several times for each request.
    #[test]
    fn what_is_made_for_every_request_is_small() {
        let size = size_of_future(|site, request, connection| site.answer(request, connection));
        assert!(size < 2 * size_of::<Request>() + 512, "{size}");
        let size =
            size_of_future(|site, request, connection| site.answer_by_rules(request, connection));
        assert!(size < 2 * size_of::<Request>() + 1280, "{size}");
    }

    #[test]
    fn pages_are_paths_of_this_site() {
        assert!(local("/404.html").is_ok());
        assert!(local("/app/").is_ok());
        for text in [
            "404.html",
            "//evil.example/x",
            "https://a.example/",
            "/../x",
            "/a b",
            "/%",
        ] {
            assert!(local(text).is_err(), "{text}");
        }
    }
}
