//! tower services as handlers (feature `tower`): an axum application, for one.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use tower_service::Service;

use super::body::{Body, BodyError};
use super::handler::{ConnectionInfo, Handler, Request, Response};
use super::service::plain;

/// A tower service as a [`Handler`]. Made by [`tower`].
#[derive(Debug, Clone)]
pub struct Tower<S>(S);

/// Serves a tower [`Service`]: each request goes to a clone of it, with the connection
/// (`Arc<`[`ConnectionInfo`]`>`) as an extension, with the authenticated client.
///
/// The service is called on the thread that has the connection, and must not block it. It may pass the request's body on to
/// other threads. A service that fails before it takes the request is answered with 503, and one that fails later with 500; a
/// panic ends the connection.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use axum::{Extension, Router, routing::get};
/// # use handfast_https::server::{ConnectionInfo, Server, ServerConfig, tower};
/// # fn serve(config: ServerConfig) -> Result<(), Box<dyn std::error::Error>> {
/// async fn hello(Extension(connection): Extension<Arc<ConnectionInfo>>) -> String {
///     let client = connection.client();
///     format!("hello, {}\n", client.map_or("stranger", |client| client.subject()))
/// }
///
/// let application = Router::new().route("/", get(hello));
/// Server::bind(config, tower(application))?.start()?.join();
/// # Ok(())
/// # }
/// ```
pub fn tower<S>(service: S) -> Tower<S> {
    Tower(service)
}

impl<S, B> Handler for Tower<S>
where
    S: Service<Request, Response = http::Response<B>> + Clone + Send + Sync + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + 'static,
{
    async fn handle(&self, mut request: Request, connection: &Arc<ConnectionInfo>) -> Response {
        request.extensions_mut().insert(Arc::clone(connection));
        let mut service = self.0.clone();
        if poll_fn(|cx| service.poll_ready(cx)).await.is_err() {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "unavailable\n");
        }
        match service.call(request).await {
            Ok(response) => response.map(Body::new),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n"),
        }
    }
}
