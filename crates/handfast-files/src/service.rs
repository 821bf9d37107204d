//! From a request to a response: the steps in their order.

use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use handfast_https::server::{Body, Request, Response, plain};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use http::{Method, StatusCode, Version};

use crate::accept::{self, Form};
use crate::coding::Accepted;
use crate::compress::Encoding;
use crate::hot;
use crate::listing::{ListingBody, Page};
use crate::negotiate::{Negotiation, has_one_form};
use crate::open::{Found, Kind, NotOpened, Root};
use crate::opening::{open, prepare};
use crate::options::{NO_CACHE, Options};
use crate::page;
use crate::path::{Refusal, Target};
use crate::place::Place;
use crate::ready::Ready;
use crate::respond::{self, not_acceptable, not_found, refused, to_directory};
use crate::results::Results;

/// A directory, how it is served, and what was compressed of it.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) place: Arc<Place>,
    /// Another value for each way of serving: files that are kept are found by its address.
    pub(crate) options: Arc<Options>,
    pub(crate) results: Arc<Results>,
}

impl Service {
    /// What is hot is answered at once. Everything else is in a future of its own, so that this one stays small: it is made,
    /// and moved, for every request.
    pub(crate) async fn answer(&self, request: &Request) -> Response {
        let head = match *request.method() {
            Method::GET => false,
            Method::HEAD => true,
            _ => return not_allowed(),
        };
        let now = Instant::now();
        let root = self.place.current();
        if self.place.is_due(now) {
            return Box::pin(self.look_and_find(root, request, head)).await;
        }
        let kept = hot::find(&root, &self.options, request.uri().path(), now);
        match kept.filter(|ready| !ready.is_outdated()) {
            None => Box::pin(self.find(&root, request, head)).await,
            Some(ready) if has_one_form(&ready, request) => {
                respond::file(ready, request.headers(), head)
            }
            Some(ready) => Box::pin(self.choose(&root, ready, request, head)).await,
        }
    }

    /// After a look at where the path of the directory leads.
    async fn look_and_find(&self, root: Arc<Root>, request: &Request, head: bool) -> Response {
        let root = &self.place.look(root).await;
        let kept = hot::find(root, &self.options, request.uri().path(), Instant::now());
        match kept.filter(|ready| !ready.is_outdated()) {
            None => self.find(root, request, head).await,
            Some(ready) => self.choose(root, ready, request, head).await,
        }
    }

    async fn find(&self, root: &Arc<Root>, request: &Request, head: bool) -> Response {
        let target = match Target::parse(request.uri().path()) {
            Ok(target) => target,
            Err(Refusal::Malformed) => return plain(StatusCode::BAD_REQUEST, "malformed path\n"),
            Err(Refusal::NotFound) => return not_found(),
        };
        let found = open(root, &target).await;
        let is_missing = match &found {
            Ok(found) => matches!(found.kind, Kind::Directory { .. }),
            Err(error) => matches!(error, NotOpened::Missing),
        };
        // In a directory that was removed nothing is found, and it seems to be empty.
        if is_missing && let Some(other) = self.place.look_after_miss(root, Instant::now()).await {
            return Box::pin(self.find(&other, request, head)).await;
        }
        let found = match found {
            Ok(found) => found,
            Err(error) => return refused(&error),
        };
        match found.kind {
            Kind::File(_) if !target.is_directory() => {
                self.file(root, found, target, request, head).await
            }
            // "file.html/" is never found.
            Kind::File(_) => not_found(),
            Kind::Directory { .. } if target.is_directory() => {
                self.directory(root, found.file, &target, request, head)
                    .await
            }
            Kind::Directory { .. } => to_directory(&target, request.uri().query()),
        }
    }

    async fn file(
        &self,
        root: &Arc<Root>,
        found: Found,
        target: Target,
        request: &Request,
        head: bool,
    ) -> Response {
        let Kind::File(facts) = found.kind else {
            return not_found();
        };
        let ready = match prepare(found.file, facts, target, &self.options).await {
            Ok(ready) => ready,
            Err(error) => return refused(&error),
        };
        hot::keep(root, &self.options, request.uri().path(), &ready);
        self.choose(root, ready, request, head).await
    }

    /// Chooses the representation of a file.
    async fn choose(
        &self,
        root: &Arc<Root>,
        ready: Rc<Ready>,
        request: &Request,
        head: bool,
    ) -> Response {
        if has_one_form(&ready, request) {
            return respond::file(ready, request.headers(), head);
        }
        let negotiation = Negotiation {
            root,
            options: &self.options,
            results: &self.results,
            request,
            head,
        };
        Box::pin(negotiation.reply(ready)).await
    }

    async fn directory(
        &self,
        root: &Arc<Root>,
        directory: File,
        target: &Target,
        request: &Request,
        head: bool,
    ) -> Response {
        for name in &self.options.indexes {
            let index = target.entry(name);
            match open(root, &index).await {
                Ok(found) if matches!(found.kind, Kind::File(_)) => {
                    return self.file(root, found, index, request, head).await;
                }
                Ok(_) | Err(NotOpened::Missing) => {}
                Err(error) => return refused(&error),
            }
        }
        if !self.options.listing {
            return not_found();
        }
        let form = accept::preferred(request.headers(), &[Form::Html, Form::Json]);
        let accepted = Accepted::of(request.headers());
        let encoding = match self.options.compression && request.version() >= Version::HTTP_11 {
            true => Encoding::fastest(&accepted),
            false => None,
        };
        if encoding.is_none() && !accepted.accepts_identity() {
            return not_acceptable();
        }
        let coding = encoding.as_ref().map(Encoding::coding);
        let mut response = Response::new(if head {
            Body::empty()
        } else {
            let page = Page::new(root, directory, target.clone(), form, &self.options);
            Body::pulled(ListingBody::new(page, encoding))
        });
        let fields = response.headers_mut();
        page::put_fields(fields);
        if form == Form::Json {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(coding) = coding {
            fields.insert(CONTENT_ENCODING, coding.field());
        }
        fields.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        fields.insert(CACHE_CONTROL, NO_CACHE);
        response
    }
}

fn not_allowed() -> Response {
    let mut response = plain(
        StatusCode::METHOD_NOT_ALLOWED,
        "only GET and HEAD are answered here\n",
    );
    let methods = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(ALLOW, methods);
    response
}
