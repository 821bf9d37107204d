//! From a request to a response: the steps in their order.

use std::fs::File;
use std::sync::Arc;

use handfast_https::server::{Body, Request, Response, plain};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, VARY};
use http::{Method, StatusCode};

use crate::accept::{self, Form};
use crate::hot;
use crate::listing::ListingBody;
use crate::negotiate::Negotiation;
use crate::open::{Found, Kind, NotOpened, Root};
use crate::opening::{open, prepare};
use crate::options::{NO_CACHE, Options};
use crate::page;
use crate::path::{Refusal, Target};
use crate::place::Place;
use crate::respond::{not_found, refused, to_directory};
use crate::results::Results;

/// A directory, how it is served, and what was compressed of it.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) place: Arc<Place>,
    pub(crate) options: Options,
    pub(crate) results: Arc<Results>,
}

impl Service {
    pub(crate) async fn answer(&self, request: &Request) -> Response {
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
        if let Some(ready) = hot::find(root, path).filter(|ready| !ready.is_outdated()) {
            return self.negotiation(root, request, head).reply(&ready).await;
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
            Kind::File(_) if !target.is_directory() => {
                self.file(root, found, target, request, head).await
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
        hot::keep(root, request.uri().path(), &ready, self.options.kept_max);
        self.negotiation(root, request, head).reply(&ready).await
    }

    fn negotiation<'n>(
        &'n self,
        root: &'n Arc<Root>,
        request: &'n Request,
        head: bool,
    ) -> Negotiation<'n> {
        Negotiation {
            root,
            options: &self.options,
            results: &self.results,
            request,
            head,
        }
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
