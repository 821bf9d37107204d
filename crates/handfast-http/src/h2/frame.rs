//! HTTP/2 frames (RFC 9113, sections 4 and 6): read in pieces, written into a buffer.

/// What every client begins with (RFC 9113, section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes in front of each payload.
pub const HEADER_LEN: usize = 9;

/// The largest number of a stream.
pub const STREAM_ID_MAX: u32 = 0x7fff_ffff;

/// The largest window that the protocol allows.
pub const WINDOW_MAX: u32 = 0x7fff_ffff;

/// The largest payload we said we would take: the protocol's default.
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

    /// The name of a code; of one that the RFC does not know, its number.
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

/// A whole frame other than DATA.
#[derive(Debug, Clone, Copy)]
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

    /// The payload, where it is one number.
    pub fn u32(&self) -> Option<u32> {
        Some(u32::from_be_bytes(self.payload.try_into().ok()?))
    }

    /// The number at an offset.
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

/// What a reader hands out: `'s` lives in the reader, `'b` in the bytes that were received.
#[derive(Debug)]
pub enum Piece<'s, 'b> {
    /// Some of a DATA frame, as it came.
    Data {
        /// Its stream.
        stream: u32,
        /// Bytes of the body.
        body: &'b [u8],
        /// Bytes that count for flow control: padding too.
        flow: u32,
        /// Is it the stream's end?
        end: bool,
    },
    /// A whole frame of another kind.
    Frame(Frame<'s>),
}

/// What was cut off the front of what was received.
#[derive(Debug)]
pub(super) enum Next<'b> {
    /// It lay there in one.
    Piece(Piece<'b, 'b>),
    /// A frame that came in parts.
    Joined(Joined),
}

/// A frame that came in parts, of another kind than DATA.
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

/// What cannot be cut into frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unframed {
    /// A frame is larger than allowed.
    TooLarge,
    /// A frame is too short for what its flags promise.
    TooShort,
    /// The padding is longer than its frame.
    Padding,
}

/// Cuts a stream of bytes into frames. Buffers what is cut in half, except bodies.
#[derive(Debug, Default)]
pub struct FrameReader {
    /// An incomplete frame: its header, then what there is of its payload.
    partial: Vec<u8>,
    /// The frame in `partial` was handed out.
    used: bool,
    /// The DATA frame that is passing.
    data: Option<Data>,
}

/// What an idle connection may keep for the next frame that is cut in half, in bytes.
const PARTIAL_KEPT: usize = 512;

#[derive(Debug, Clone, Copy)]
struct Data {
    stream: u32,
    flags: u8,
    left: u32,
    padding: u32,
    /// Bytes that count for flow control and have not been told.
    untold: u32,
}

impl Data {
    /// With what follows the padding's length; `None` when that has not arrived.
    fn begin(header: Header, after: &[u8]) -> Result<Option<(Self, &[u8])>, Unframed> {
        let mut data = Self {
            stream: header.stream,
            flags: header.flags,
            left: header.length,
            padding: 0,
            untold: 0,
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
        data.untold = 1;
        match data.padding > data.left {
            true => Err(Unframed::Padding),
            false => Ok(Some((data, rest))),
        }
    }
}

impl FrameReader {
    /// The next piece, taken off the front of `rest`; `None` when all of it was used.
    ///
    /// # Errors
    /// [`Unframed`]: nothing that follows can be understood then.
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

    /// The same, with nothing borrowed from the reader.
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

    /// Takes back the memory of a frame that came in parts.
    pub(super) fn recycle(&mut self, joined: impl Into<Vec<u8>>) {
        let mut bytes = joined.into();
        if self.partial.is_empty() && bytes.capacity() <= PARTIAL_KEPT {
            bytes.clear();
            self.partial = bytes;
        }
    }

    /// Bytes of memory that a frame cut in half takes.
    pub fn memory_held(&self) -> usize {
        self.partial.capacity()
    }

    fn keep(&mut self, rest: &mut &[u8]) {
        self.partial.extend_from_slice(rest);
        *rest = &[];
    }

    /// A frame began earlier: takes just what it lacks.
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

    /// The first piece of a DATA frame whose header was read. An empty one is complete though no byte follows.
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
        // The length of the padding counts for flow control, too: it is told with the first piece.
        let flow = flow + std::mem::take(&mut data.untold);
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

/// The number at the front.
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

/// HEADERS, and CONTINUATION where the block does not fit one frame.
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

/// The answer to SETTINGS.
pub fn put_settings_ack(out: &mut Vec<u8>) {
    put_header(out, 0, kind::SETTINGS, flag::ACK, 0);
}

/// The answer to a PING.
pub fn put_ping_ack(out: &mut Vec<u8>, payload: [u8; 8]) {
    put_header(out, payload.len(), kind::PING, flag::ACK, 0);
    out.extend_from_slice(&payload);
}

/// A WINDOW_UPDATE; of the connection for stream 0.
pub fn put_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    put_header(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// A RST_STREAM.
pub fn put_rst_stream(out: &mut Vec<u8>, stream: u32, code: u32) {
    put_header(out, 4, kind::RST_STREAM, 0, stream);
    out.extend_from_slice(&code.to_be_bytes());
}

/// `last` is the last stream of the peer's that was or may have been processed.
pub fn put_goaway(out: &mut Vec<u8>, last: u32, code: u32, debug: &[u8]) {
    put_header(out, 8 + debug.len(), kind::GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(debug);
}
