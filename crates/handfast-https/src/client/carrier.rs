//! What a response comes over: an exchange of HTTP/1.1 or of HTTP/2, behind what both can do; and what its head says.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use handfast::Ending;
use handfast_dial::proxy::Proxy;
use handfast_http::{h1, h2};
use http::{HeaderMap, Method, StatusCode, Version};

use super::completeness::Framing;
use super::facts::{ConnectionFacts, Opened};
use super::http1::Http1;
use super::http2::Exchange;
use super::origin::Origin;
use super::patience::Moving;

/// What the head of a response says.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) version: Version,
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) framing: Framing,
    /// Whether the connection is reusable afterwards, according to the head.
    pub(super) persistent: bool,
    pub(super) length_and_chunks: bool,
}

impl Head {
    pub(super) fn of_http1(head: h1::response::Head, is_plain: bool) -> Self {
        Self {
            version: head.version,
            status: head.status,
            fields: head.fields,
            framing: match Framing::from(head.framing) {
                Framing::UntilClose if is_plain => Framing::UntilFin,
                framing => framing,
            },
            persistent: head.persistent,
            length_and_chunks: head.length_and_chunks,
        }
    }

    pub(super) fn of_http2(head: h2::Response, method: &Method) -> Self {
        let has_no_body = *method == Method::HEAD
            || matches!(
                head.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        Self {
            version: Version::HTTP_2,
            status: head.status,
            fields: head.fields,
            framing: match has_no_body {
                true => Framing::NoBody,
                false => Framing::Stream(head.length),
            },
            persistent: true,
            length_and_chunks: false,
        }
    }
}

/// What a response comes over.
#[derive(Debug)]
pub(super) struct Carrier {
    pub(super) facts: ConnectionFacts,
    pub(super) over: Over,
}

#[derive(Debug)]
pub(super) enum Over {
    Http1(Box<Http1>, Arc<Opened>, Origin),
    Http2(Exchange),
}

impl Carrier {
    pub(super) fn of_http1(
        http1: Box<Http1>,
        opened: Arc<Opened>,
        facts: ConnectionFacts,
        origin: &Origin,
    ) -> Self {
        let over = Over::Http1(http1, opened, origin.clone());
        Self { facts, over }
    }

    pub(super) fn of_http2(exchange: Exchange, facts: ConnectionFacts) -> Self {
        let over = Over::Http2(exchange);
        Self { facts, over }
    }

    /// The proxy that was given the request itself.
    pub(super) fn forward(&self) -> Option<&Proxy> {
        match &self.over {
            Over::Http1(_, opened, _) => opened.forward(),
            Over::Http2(_) => None,
        }
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        match &self.over {
            Over::Http1(http1, ..) => http1.ending(),
            Over::Http2(exchange) => exchange.shared().ending(),
        }
    }

    pub(super) fn is_body_done(&self) -> bool {
        match &self.over {
            Over::Http1(http1, ..) => http1.is_body_done(),
            Over::Http2(exchange) => exchange.is_body_done(),
        }
    }

    pub(super) fn is_request_sent(&self) -> bool {
        match &self.over {
            Over::Http1(http1, ..) => http1.is_request_sent(),
            Over::Http2(exchange) => exchange.is_request_sent(),
        }
    }

    pub(super) fn stop_sending(&mut self) {
        match &mut self.over {
            Over::Http1(http1, ..) => http1.stop_sending(),
            Over::Http2(exchange) => exchange.stop_sending(),
        }
    }

    pub(super) fn take_upload_failure(&mut self) -> Option<io::Error> {
        match &mut self.over {
            Over::Http1(http1, ..) => http1.take_upload_failure(),
            Over::Http2(exchange) => exchange.take_upload_failure(),
        }
    }

    /// Ready when nothing of the request is left to be sent, or nothing more can be.
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.over {
            Over::Http1(http1, ..) => http1.poll_send(cx),
            Over::Http2(exchange) => exchange.poll_sent(cx),
        }
    }
}

impl Moving for Carrier {
    fn moved(&self) -> u64 {
        match &self.over {
            Over::Http1(http1, ..) => http1.moved(),
            Over::Http2(exchange) => exchange.moved(),
        }
    }

    fn is_held(&self) -> bool {
        match &self.over {
            Over::Http1(http1, ..) => http1.is_held(),
            Over::Http2(exchange) => exchange.is_held(),
        }
    }
}
