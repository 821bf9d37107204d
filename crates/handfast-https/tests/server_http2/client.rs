//! The client: frames and header blocks made by hand, and replies put together from frames.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use handfast::Stream;
use handfast_https::server::{Body, ConnectionInfo, Request, Response};

use super::server_common::{Fixture, PATIENCE, Setup};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

pub(crate) const OK: u8 = 0x88;

pub(crate) const GET: u8 = 0x82;
pub(crate) const POST: u8 = 0x83;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, name.len() as u8];
    field.extend(name.as_bytes());
    field.push(value.len() as u8);
    field.extend(value.as_bytes());
    field
}

/// A header block for `GET` or `POST`.
pub(crate) fn block(method: u8, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![method, 0x87];
    block.extend([0x04, path.len() as u8]);
    block.extend(path.as_bytes());
    block.extend(b"\x01\x09localhost");
    for (name, value) in more {
        block.extend(literal(name, value));
    }
    block
}

pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(
        HEADERS,
        END_STREAM | END_HEADERS,
        stream,
        &block(GET, path, &[]),
    )
}

pub(crate) fn post(stream: u32, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(POST, path, more))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn u32_at(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

pub(crate) struct Client(pub(crate) Stream<TcpStream>);

impl Client {
    /// Preface and SETTINGS are said; the server's are left to be read.
    pub(crate) fn new(server: &Fixture) -> Self {
        let mut client = Self::silent(server);
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        client
    }

    pub(crate) fn silent(server: &Fixture) -> Self {
        let context = server.client_builder().alpn(["h2"]).build().unwrap();
        let socket = TcpStream::connect(server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(context.secure("localhost", socket).unwrap())
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        self.0.flush().unwrap();
    }

    /// The next frame; `None` at the orderly end.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        if self.0.read(&mut header[..1]).unwrap() == 0 {
            return None;
        }
        self.0.read_exact(&mut header[1..]).unwrap();
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).unwrap();
        Some(Frame {
            kind: header[3],
            flags: header[4],
            stream: u32::from_be_bytes(header[5..9].try_into().unwrap()),
            payload,
        })
    }

    pub(crate) fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self
                .next()
                .unwrap_or_else(|| panic!("no frame of kind {kind}"));
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Status octet and body of a stream; `Err` with the code of its reset.
    pub(crate) fn reply(&mut self, stream: u32) -> Result<(u8, Vec<u8>), u32> {
        let mut status = 0;
        let mut body = Vec::new();
        loop {
            let frame = self.next().expect("the connection ended before the reply");
            assert_ne!(frame.kind, GOAWAY, "{frame:?}");
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                HEADERS => {
                    let block = frame
                        .payload
                        .strip_prefix(b"\x20")
                        .unwrap_or(&frame.payload);
                    status = block[0];
                }
                DATA => body.extend_from_slice(&frame.payload),
                RST_STREAM => return Err(frame.u32_at(0)),
                _ => continue,
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                return Ok((status, body));
            }
        }
    }
}

/// Echoes bodies; `/large` is a MiB, `/ignore` reads nothing.
pub(crate) fn echo(setup: Setup) -> Fixture {
    Fixture::start(setup, |_| {
        |mut request: Request, _: Arc<ConnectionInfo>| async move {
            match request.uri().path() {
                "/large" => Response::new(Body::from(vec![b'x'; 1 << 20])),
                "/ignore" => Response::new(Body::from("ignored")),
                "/cookie" => {
                    let cookie = request.headers().get("cookie").cloned();
                    let cookie = cookie.map(|value| value.as_bytes().to_vec());
                    Response::new(Body::from(cookie.unwrap_or_default()))
                }
                "/trailers" => {
                    let body = request.body_mut();
                    let mut text = body.read_to_end(1 << 20).await.unwrap().to_vec();
                    let fields = body.take_trailers();
                    let value = fields.as_ref().and_then(|fields| fields.get("x-sum"));
                    text.extend_from_slice(value.map_or(b"none", |value| value.as_bytes()));
                    assert!(body.take_trailers().is_none());
                    Response::new(Body::from(text))
                }
                _ => match request.body_mut().read_to_end(1 << 20).await {
                    Ok(body) => Response::new(Body::from(body)),
                    Err(error) => {
                        let mut response = Response::new(Body::from(error.to_string()));
                        *response.status_mut() = http::StatusCode::BAD_REQUEST;
                        response
                    }
                },
            }
        }
    })
}
