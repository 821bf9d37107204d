//! HTTP/2 frames (RFC 9113, sections 4 and 6): read in pieces, written into a buffer.

use std::ops::ControlFlow;

/// The bytes in front of each payload.
pub(crate) const HEADER_LEN: usize = 9;

/// The largest number of a stream.
pub(crate) const STREAM_ID_MAX: u32 = 0x7fff_ffff;

/// The largest window that the protocol allows.
pub(crate) const WINDOW_MAX: u32 = 0x7fff_ffff;

/// The largest payload we said we would take: the protocol's default.
const PAYLOAD_MAX: u32 = 16_384;

pub(crate) mod kind {
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
}

pub(crate) mod flag {
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

pub(crate) mod setting {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const ENABLE_PUSH: u16 = 2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
    pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub(crate) const NO_RFC7540_PRIORITIES: u16 = 9;
}

pub(crate) mod code {
    pub(crate) const NO_ERROR: u32 = 0;
    pub(crate) const PROTOCOL_ERROR: u32 = 1;
    pub(crate) const INTERNAL_ERROR: u32 = 2;
    pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
    pub(crate) const STREAM_CLOSED: u32 = 5;
    pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
    pub(crate) const REFUSED_STREAM: u32 = 7;
    pub(crate) const CANCEL: u32 = 8;
    pub(crate) const COMPRESSION_ERROR: u32 = 9;
    pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
}

/// A whole frame other than DATA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'b> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: &'b [u8],
}

impl<'b> Frame<'b> {
    /// The payload without padding.
    pub(crate) fn unpadded(&self) -> Option<&'b [u8]> {
        if self.flags & flag::PADDED == 0 {
            return Some(self.payload);
        }
        let (padding, rest) = self.payload.split_first()?;
        rest.get(..rest.len().checked_sub(usize::from(*padding))?)
    }

    /// The payload, where it is one number.
    pub(crate) fn u32(&self) -> Option<u32> {
        Some(u32::from_be_bytes(self.payload.try_into().ok()?))
    }

    pub(crate) fn u32_at(&self, offset: usize) -> Option<u32> {
        let bytes = self.payload.get(offset..offset + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    pub(crate) fn settings(&self) -> impl Iterator<Item = (u16, u32)> + use<'b> {
        self.payload.chunks_exact(6).map(|chunk| {
            let [a, b, c, d, e, f] = <[u8; 6]>::try_from(chunk).unwrap_or_default();
            (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]))
        })
    }
}

/// What a reader hands out.
#[derive(Debug)]
pub(crate) enum Piece<'b> {
    /// Some of a DATA frame, as it came.
    Data {
        stream: u32,
        /// Bytes of the body.
        body: &'b [u8],
        /// Bytes that count for flow control: padding too.
        flow: u32,
        /// Is it the stream's end?
        end: bool,
    },
    /// A whole frame of another kind.
    Frame(Frame<'b>),
}

/// Cuts a stream of bytes into frames. Buffers what is cut in half, except bodies.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    /// An incomplete frame: its header, then what there is of its payload.
    partial: Vec<u8>,
    /// The DATA frame that is passing.
    data: Option<Data>,
}

#[derive(Debug, Clone, Copy)]
struct Data {
    stream: u32,
    flags: u8,
    left: u32,
    padding: u32,
}

impl FrameReader {
    /// Hands every piece found to `each`, until that breaks off.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Result<Piece<'_>, &'static str>) -> ControlFlow<()>,
    ) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let flow = if let Some(data) = self.data.take() {
                self.pass(data, &mut rest, &mut each)
            } else if self.partial.is_empty() {
                self.whole(&mut rest, &mut each)
            } else {
                self.complete(&mut rest, &mut each)
            };
            if flow.is_break() {
                return;
            }
        }
    }

    /// A frame begins at the front of `rest`.
    fn whole(
        &mut self,
        rest: &mut &[u8],
        each: &mut impl FnMut(Result<Piece<'_>, &'static str>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some((header, after)) = rest.split_first_chunk::<HEADER_LEN>() else {
            self.partial.extend_from_slice(rest);
            *rest = &[];
            return ControlFlow::Continue(());
        };
        let header = Header::parse(header);
        if header.length > PAYLOAD_MAX {
            return each(Err("a frame larger than allowed"));
        }
        if header.kind == kind::DATA {
            return match self.begin_data(header, after) {
                Ok(after) => {
                    *rest = after;
                    self.pass_if_empty(each)
                }
                Err(Some(what)) => each(Err(what)),
                Err(None) => {
                    self.partial.extend_from_slice(rest);
                    *rest = &[];
                    ControlFlow::Continue(())
                }
            };
        }
        let Some((payload, after)) = after.split_at_checked(header.length as usize) else {
            self.partial.extend_from_slice(rest);
            *rest = &[];
            return ControlFlow::Continue(());
        };
        *rest = after;
        each(Ok(Piece::Frame(header.frame(payload))))
    }

    /// A frame began earlier: takes just what it lacks.
    fn complete(
        &mut self,
        rest: &mut &[u8],
        each: &mut impl FnMut(Result<Piece<'_>, &'static str>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut wanted = HEADER_LEN;
        if let Some(header) = self.partial.first_chunk::<HEADER_LEN>() {
            let header = Header::parse(header);
            wanted += match header.kind {
                kind::DATA => usize::from(header.flags & flag::PADDED != 0),
                _ => header.length as usize,
            };
        }
        let count = wanted.saturating_sub(self.partial.len()).min(rest.len());
        let (front, after) = rest.split_at(count);
        self.partial.extend_from_slice(front);
        *rest = after;
        if self.partial.len() < wanted {
            return ControlFlow::Continue(());
        }
        // Either the header has just become known, or the frame is whole: look again.
        let partial = std::mem::take(&mut self.partial);
        let mut view = &partial[..];
        let flow = self.whole(&mut view, each);
        if self.partial.is_empty() {
            // Keeps the buffer, not its bytes.
            self.partial = partial;
            self.partial.clear();
        }
        flow
    }

    /// Gives what follows the padding's length; `Err(None)` when that has not arrived.
    fn begin_data<'b>(
        &mut self,
        header: Header,
        after: &'b [u8],
    ) -> Result<&'b [u8], Option<&'static str>> {
        let mut data = Data {
            stream: header.stream,
            flags: header.flags,
            left: header.length,
            padding: 0,
        };
        let mut rest = after;
        if header.flags & flag::PADDED != 0 {
            if header.length == 0 {
                return Err(Some("padding without a length"));
            }
            let (padding, after) = after.split_first().ok_or(None)?;
            rest = after;
            data.padding = u32::from(*padding);
            data.left -= 1;
            if data.padding > data.left {
                return Err(Some("padding longer than its frame"));
            }
        }
        self.data = Some(data);
        Ok(rest)
    }

    /// An empty DATA frame is complete though no byte follows.
    fn pass_if_empty(
        &mut self,
        each: &mut impl FnMut(Result<Piece<'_>, &'static str>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self.data {
            Some(data) if data.left == 0 => {
                self.data = None;
                self.pass(data, &mut &[][..], each)
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pass(
        &mut self,
        mut data: Data,
        rest: &mut &[u8],
        each: &mut impl FnMut(Result<Piece<'_>, &'static str>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let flow = u32::try_from(rest.len()).unwrap_or(u32::MAX).min(data.left);
        let (passing, after) = rest.split_at_checked(flow as usize).unwrap_or((*rest, &[]));
        *rest = after;
        let body_left = data.left - data.padding;
        let body = passing
            .get(..flow.min(body_left) as usize)
            .unwrap_or_default();
        data.left -= flow;
        data.padding = data.padding.min(data.left);
        let whole = data.left == 0;
        if !whole {
            self.data = Some(data);
        }
        each(Ok(Piece::Data {
            stream: data.stream,
            body,
            flow,
            end: whole && data.flags & flag::END_STREAM != 0,
        }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Header {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_LEN]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
        }
    }

    fn frame(self, payload: &[u8]) -> Frame<'_> {
        Frame {
            kind: self.kind,
            flags: self.flags,
            stream: self.stream,
            payload,
        }
    }
}

/// The number at the front.
pub(crate) fn u32_of(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

pub(crate) fn header(length: usize, kind: u8, flags: u8, stream: u32) -> [u8; HEADER_LEN] {
    let [_, l0, l1, l2] = (length as u32).to_be_bytes();
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    [l0, l1, l2, kind, flags, s0, s1, s2, s3]
}

pub(crate) fn put_header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&header(length, kind, flags, stream));
}

/// HEADERS, and CONTINUATION where the block does not fit one frame.
pub(crate) fn put_headers(
    out: &mut Vec<u8>,
    stream: u32,
    block: [&[u8]; 2],
    end_stream: bool,
    frame_max: usize,
) {
    let [update, block] = block;
    let total = update.len() + block.len();
    let end = if end_stream { flag::END_STREAM } else { 0 };
    if total <= frame_max {
        put_header(out, total, kind::HEADERS, end | flag::END_HEADERS, stream);
        out.extend_from_slice(update);
        out.extend_from_slice(block);
        return;
    }
    let whole = [update, block].concat();
    let mut parts = whole.chunks(frame_max).peekable();
    let mut kind = kind::HEADERS;
    let mut flags = end;
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            flags |= flag::END_HEADERS;
        }
        put_header(out, part.len(), kind, flags, stream);
        out.extend_from_slice(part);
        kind = kind::CONTINUATION;
        flags = 0;
    }
}

pub(crate) fn put_data(out: &mut Vec<u8>, stream: u32, part: &[u8], end: bool) {
    let flags = if end { flag::END_STREAM } else { 0 };
    put_header(out, part.len(), kind::DATA, flags, stream);
    out.extend_from_slice(part);
}

pub(crate) fn put_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    put_header(out, settings.len() * 6, kind::SETTINGS, 0, 0);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(crate) fn put_settings_ack(out: &mut Vec<u8>) {
    put_header(out, 0, kind::SETTINGS, flag::ACK, 0);
}

pub(crate) fn put_ping_ack(out: &mut Vec<u8>, payload: [u8; 8]) {
    put_header(out, payload.len(), kind::PING, flag::ACK, 0);
    out.extend_from_slice(&payload);
}

pub(crate) fn put_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    put_header(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}

pub(crate) fn put_rst_stream(out: &mut Vec<u8>, stream: u32, code: u32) {
    put_header(out, 4, kind::RST_STREAM, 0, stream);
    out.extend_from_slice(&code.to_be_bytes());
}

/// `last` is the last stream of the peer's that was or may have been processed.
pub(crate) fn put_goaway(out: &mut Vec<u8>, last: u32, code: u32, debug: &[u8]) {
    put_header(out, 8 + debug.len(), kind::GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(debug);
}
