//! HTTP/2 frames (RFC 9113, sections 4 and 6): parsed incrementally, written into a buffer.

/// The client's connection preface (RFC 9113, section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame header.
pub const HEADER_LEN: usize = 9;

/// The largest stream identifier.
pub const STREAM_ID_MAX: u32 = 0x7fff_ffff;

/// The largest window that the protocol allows.
pub const WINDOW_MAX: u32 = 0x7fff_ffff;

/// The largest payload that we accept: the protocol's default.
const PAYLOAD_MAX: u32 = 16_384;

/// Frame types (RFC 9113, section 6).
#[allow(missing_docs)]
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    /// RFC 9218, section 7.1.
    pub const PRIORITY_UPDATE: u8 = 16;
}

/// Flags of frames.
#[allow(missing_docs)]
pub mod flag {
    pub const END_STREAM: u8 = 0x1;
    pub const ACK: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// Settings (RFC 9113, section 6.5.2).
#[allow(missing_docs)]
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub const NO_RFC7540_PRIORITIES: u16 = 9;
}

/// Error codes (RFC 9113, section 7).
#[allow(missing_docs)]
pub mod code {
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const INADEQUATE_SECURITY: u32 = 12;
    pub const HTTP_1_1_REQUIRED: u32 = 13;
    pub const ENHANCE_YOUR_CALM: u32 = 11;

    /// The name of a code, or its number if the RFC does not define it.
    pub fn name(code: u32) -> std::borrow::Cow<'static, str> {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        match usize::try_from(code).ok().and_then(|at| NAMES.get(at)) {
            Some(name) => (*name).into(),
            None => format!("error {code:#x}").into(),
        }
    }
}

/// A complete frame other than DATA.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Frame<'b> {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream, or 0.
    pub stream: u32,
    /// Its payload.
    pub payload: &'b [u8],
}

impl<'b> Frame<'b> {
    /// The payload without padding.
    pub fn unpadded(&self) -> Option<&'b [u8]> {
        if self.flags & flag::PADDED == 0 {
            return Some(self.payload);
        }
        let (padding, rest) = self.payload.split_first()?;
        rest.get(..rest.len().checked_sub(usize::from(*padding))?)
    }

    /// The payload, if it is one 32-bit number.
    pub fn u32(&self) -> Option<u32> {
        Some(u32::from_be_bytes(self.payload.try_into().ok()?))
    }

    /// The 32-bit number at an offset.
    pub fn u32_at(&self, offset: usize) -> Option<u32> {
        let bytes = self.payload.get(offset..offset + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    /// The payload of SETTINGS, in pairs.
    pub fn settings(&self) -> impl Iterator<Item = (u16, u32)> + use<'b> {
        self.payload.chunks_exact(6).map(|chunk| {
            let [a, b, c, d, e, f] = <[u8; 6]>::try_from(chunk).unwrap_or_default();
            (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]))
        })
    }
}

/// The output of a reader: `'s` borrows from the reader, `'b` from the received bytes.
#[derive(Debug)]
pub enum Piece<'s, 'b> {
    /// A part of a DATA frame.
    Data {
        /// Its stream.
        stream: u32,
        /// Bytes of the body.
        body: &'b [u8],
        /// Bytes that count for flow control, including padding.
        flow: u32,
        /// Whether the stream ends with it.
        end: bool,
    },
    /// A complete frame of another kind.
    Frame(Frame<'s>),
}

/// The next piece of the received bytes.
#[derive(Debug)]
pub(super) enum Next<'b> {
    /// It was contiguous in the received bytes.
    Piece(Piece<'b, 'b>),
    /// A frame that arrived in parts.
    Joined(Joined),
}

/// A frame other than DATA that arrived in parts.
#[derive(Debug)]
pub(super) struct Joined {
    header: Header,
    bytes: Vec<u8>,
}

impl Joined {
    pub(super) fn frame(&self) -> Frame<'_> {
        let payload = self.bytes.get(HEADER_LEN..).unwrap_or_default();
        self.header.frame(payload)
    }
}

impl From<Joined> for Vec<u8> {
    fn from(joined: Joined) -> Self {
        joined.bytes
    }
}

/// Why bytes cannot be parsed as frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unframed {
    /// A frame is larger than allowed.
    TooLarge,
    /// A frame is too short for its flags.
    TooShort,
    /// The padding is longer than its frame.
    Padding,
}

/// Splits a stream of bytes into frames. Buffers incomplete frames, except DATA.
#[derive(Debug, Default)]
pub struct FrameReader {
    /// An incomplete frame: its header, then the part of its payload that has arrived.
    partial: Vec<u8>,
    /// The frame in `partial` was returned.
    used: bool,
    /// The current DATA frame.
    data: Option<Data>,
}

/// The buffer for incomplete frames that an idle connection keeps, in bytes.
const PARTIAL_KEPT: usize = 512;

#[derive(Debug, Clone, Copy)]
struct Data {
    stream: u32,
    flags: u8,
    left: u32,
    padding: u32,
    /// Bytes that count for flow control and have not been reported.
    unreported: u32,
}

impl Data {
    /// Returns also the bytes after the padding length; `None` if that has not arrived.
    fn begin(header: Header, after: &[u8]) -> Result<Option<(Self, &[u8])>, Unframed> {
        let mut data = Self {
            stream: header.stream,
            flags: header.flags,
            left: header.length,
            padding: 0,
            unreported: 0,
        };
        if header.flags & flag::PADDED == 0 {
            return Ok(Some((data, after)));
        }
        if header.length == 0 {
            return Err(Unframed::TooShort);
        }
        let Some((padding, rest)) = after.split_first() else {
            return Ok(None);
        };
        data.padding = u32::from(*padding);
        data.left -= 1;
        data.unreported = 1;
        match data.padding > data.left {
            true => Err(Unframed::Padding),
            false => Ok(Some((data, rest))),
        }
    }
}

impl FrameReader {
    /// Takes the next piece from the front of `rest`; `None` if all of it was consumed.
    ///
    /// # Errors
    /// [`Unframed`]: the bytes that follow cannot be parsed then.
    pub fn next<'s, 'b: 's>(
        &'s mut self,
        rest: &mut &'b [u8],
    ) -> Result<Option<Piece<'s, 'b>>, Unframed> {
        if std::mem::take(&mut self.used) {
            let joined = std::mem::take(&mut self.partial);
            self.recycle(joined);
        }
        Ok(match self.cut(rest)? {
            None => None,
            Some(Next::Piece(piece)) => Some(piece),
            Some(Next::Joined(joined)) => {
                self.used = true;
                self.partial = joined.bytes;
                let payload = self.partial.get(HEADER_LEN..).unwrap_or_default();
                Some(Piece::Frame(joined.header.frame(payload)))
            }
        })
    }

    /// As [`next`](Self::next), without borrowing from the reader.
    pub(super) fn cut<'b>(&mut self, rest: &mut &'b [u8]) -> Result<Option<Next<'b>>, Unframed> {
        if let Some(data) = self.data.take() {
            if rest.is_empty() {
                self.data = Some(data);
                return Ok(None);
            }
            return Ok(Some(Next::Piece(self.pass(data, rest))));
        }
        if !self.partial.is_empty() {
            return self.complete(rest);
        }
        let Some((header, after)) = rest.split_first_chunk::<HEADER_LEN>() else {
            self.keep(rest);
            return Ok(None);
        };
        let header = Header::parse(header)?;
        if header.kind == kind::DATA {
            let Some((data, payload)) = Data::begin(header, after)? else {
                self.keep(rest);
                return Ok(None);
            };
            *rest = payload;
            return Ok(self.pass_begun(data, rest).map(Next::Piece));
        }
        let Some((payload, after)) = after.split_at_checked(header.length as usize) else {
            self.keep(rest);
            return Ok(None);
        };
        *rest = after;
        Ok(Some(Next::Piece(Piece::Frame(header.frame(payload)))))
    }

    /// Reuses the memory of a frame that arrived in parts.
    pub(super) fn recycle(&mut self, joined: impl Into<Vec<u8>>) {
        let mut bytes = joined.into();
        if self.partial.is_empty() && bytes.capacity() <= PARTIAL_KEPT {
            bytes.clear();
            self.partial = bytes;
        }
    }

    /// Bytes of memory that an incomplete frame takes.
    pub fn memory_held(&self) -> usize {
        self.partial.capacity()
    }

    fn keep(&mut self, rest: &mut &[u8]) {
        self.partial.extend_from_slice(rest);
        *rest = &[];
    }

    /// Continues an incomplete frame: takes only what is missing.
    fn complete<'b>(&mut self, rest: &mut &'b [u8]) -> Result<Option<Next<'b>>, Unframed> {
        loop {
            let mut wanted = HEADER_LEN;
            if let Some(header) = self.partial.first_chunk::<HEADER_LEN>() {
                let header = Header::parse(header)?;
                wanted += match header.kind {
                    kind::DATA => {
                        usize::from(header.flags & flag::PADDED != 0 && header.length > 0)
                    }
                    _ => header.length as usize,
                };
            }
            let missing = wanted.saturating_sub(self.partial.len());
            if missing == 0 {
                break;
            }
            let (front, after) = rest.split_at(missing.min(rest.len()));
            self.partial.extend_from_slice(front);
            *rest = after;
            if front.len() < missing {
                return Ok(None);
            }
        }
        let bytes = std::mem::take(&mut self.partial);
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let header = Header::parse(header)?;
        if header.kind == kind::DATA {
            let padding = bytes.get(HEADER_LEN).copied();
            self.recycle(bytes);
            let Some((data, _)) = Data::begin(header, padding.as_slice())? else {
                return Ok(None);
            };
            return Ok(self.pass_begun(data, rest).map(Next::Piece));
        }
        Ok(Some(Next::Joined(Joined { header, bytes })))
    }

    /// The first piece of a DATA frame whose header was read. An empty frame is complete without further bytes.
    fn pass_begun<'b>(&mut self, data: Data, rest: &mut &'b [u8]) -> Option<Piece<'b, 'b>> {
        if rest.is_empty() && data.left > 0 {
            self.data = Some(data);
            return None;
        }
        Some(self.pass(data, rest))
    }

    fn pass<'b>(&mut self, mut data: Data, rest: &mut &'b [u8]) -> Piece<'b, 'b> {
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
        // The padding length field counts for flow control, too: it is reported with the first piece.
        let flow = flow + std::mem::take(&mut data.unreported);
        if !whole {
            self.data = Some(data);
        }
        Piece::Data {
            stream: data.stream,
            body,
            flow,
            end: whole && data.flags & flag::END_STREAM != 0,
        }
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
    fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, Unframed> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        if length > PAYLOAD_MAX {
            return Err(Unframed::TooLarge);
        }
        Ok(Self {
            length,
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & STREAM_ID_MAX,
        })
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

/// The 32-bit number at the front.
pub fn u32_of(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// A frame header.
pub fn header(length: usize, kind: u8, flags: u8, stream: u32) -> [u8; HEADER_LEN] {
    let [_, l0, l1, l2] = (length as u32).to_be_bytes();
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    [l0, l1, l2, kind, flags, s0, s1, s2, s3]
}

/// A frame header, in front of a payload that follows.
pub fn put_header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&header(length, kind, flags, stream));
}

/// HEADERS, with CONTINUATION if the block does not fit one frame.
pub fn put_headers(
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

/// A DATA frame.
pub fn put_data(out: &mut Vec<u8>, stream: u32, part: &[u8], end: bool) {
    let flags = if end { flag::END_STREAM } else { 0 };
    put_header(out, part.len(), kind::DATA, flags, stream);
    out.extend_from_slice(part);
}

/// A SETTINGS frame.
pub fn put_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    put_header(out, settings.len() * 6, kind::SETTINGS, 0, 0);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// The acknowledgement of SETTINGS.
pub fn put_settings_ack(out: &mut Vec<u8>) {
    put_header(out, 0, kind::SETTINGS, flag::ACK, 0);
}

/// The acknowledgement of a PING.
pub fn put_ping_ack(out: &mut Vec<u8>, payload: [u8; 8]) {
    put_header(out, payload.len(), kind::PING, flag::ACK, 0);
    out.extend_from_slice(&payload);
}

/// A WINDOW_UPDATE; stream 0 is the connection.
pub fn put_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    put_header(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// A RST_STREAM.
pub fn put_rst_stream(out: &mut Vec<u8>, stream: u32, code: u32) {
    put_header(out, 4, kind::RST_STREAM, 0, stream);
    out.extend_from_slice(&code.to_be_bytes());
}

/// `last` is the peer's last stream that was or may have been processed.
pub fn put_goaway(out: &mut Vec<u8>, last: u32, code: u32, debug: &[u8]) {
    put_header(out, 8 + debug.len(), kind::GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(debug);
}
