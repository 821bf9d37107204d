//! Bodies in a content coding (RFC 9110, section 8.4.1), decoded piece by piece while they arrive, within limits.
//!
//! It never decides whether a body is complete: what it is given has passed that judgement, or is followed by it. It adds
//! whether the coded content came to its own end.

use std::fmt;
use std::io;

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use bytes::{Buf as _, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, Operation as _};

use super::error::Error;

/// The content codings that [`Response::decode`](super::Response::decode) decodes, for the `Accept-Encoding` of a request.
pub const DECODED_CODINGS: &str = "deflate, gzip, br, zstd";

/// How much a decoder makes at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// How many codings a body may have, one around the other: two are an accident of a proxy, more an attack. Each takes up to
/// 16 MiB (the window of Brotli).
const LAYERS_MAX: usize = 3;

/// The logarithm of the largest window of zstd: 8 MiB, which is what encoders must keep to (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;

/// Up to this size anything may be decoded, however little it was made of: every machine has room for it.
const EXPANDED_BYTES: u64 = 64 * 1024 * 1024;

/// Beyond it, so many bytes for each that was received. Text and logs shrink to a fiftieth at most; gzip can reach a thousandth.
const EXPANSION_MAX: u64 = 100;

/// How much may be decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecodingLimits {
    bytes_max: Option<u64>,
}

impl DecodingLimits {
    /// At most 64 MiB, or 100 bytes for each byte that was received, whichever is more.
    pub const fn new() -> Self {
        Self { bytes_max: None }
    }

    /// At most so many bytes, however few were received.
    #[must_use]
    pub const fn with_bytes_max(mut self, bytes: u64) -> Self {
        self.bytes_max = Some(bytes);
        self
    }
}

/// Decodes a body.
pub(super) struct Decoder {
    /// The first one decodes what is received.
    layers: Vec<Layer>,
    piece: Box<[u8]>,
    filled: usize,
    limits: DecodingLimits,
    received: u64,
    decoded: u64,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codings: Vec<_> = self.layers.iter().map(|layer| layer.coding).collect();
        f.debug_struct("Decoder")
            .field("codings", &codings)
            .field("received", &self.received)
            .field("decoded", &self.decoded)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// For a body with these header fields; `None` if it is not coded.
    pub(super) fn new(fields: &HeaderMap, limits: DecodingLimits) -> Result<Option<Self>, Error> {
        let mut layers = Vec::new();
        for value in fields.get_all(CONTENT_ENCODING) {
            for name in value.as_bytes().split(|byte| *byte == b',') {
                let name = name.trim_ascii();
                if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
                    continue;
                }
                let unsupported = || Error::UnsupportedCoding {
                    coding: String::from_utf8_lossy(name).into_owned(),
                };
                let layer: Layer = Layer::new(name).ok_or_else(unsupported)?;
                if layers.len() == LAYERS_MAX {
                    return Err(Error::BrokenCoding {
                        coding: layer.coding,
                        problem: format!("it has more than {LAYERS_MAX} codings"),
                    });
                }
                layers.push(layer);
            }
        }
        if layers.is_empty() {
            return Ok(None);
        }
        // The last one was applied last (RFC 9110, section 8.4).
        layers.reverse();
        Ok(Some(Self {
            layers,
            piece: vec![0; PIECE_BYTES].into(),
            filled: 0,
            limits,
            received: 0,
            decoded: 0,
        }))
    }

    /// Takes the next bytes of the coded body, once [`step`](Self::step) has nothing more to give.
    pub(super) fn feed(&mut self, bytes: Bytes) {
        self.received = self.received.saturating_add(bytes.len() as u64);
        if let Some(first) = self.layers.first_mut() {
            first.input = bytes;
        }
    }

    /// Decodes the next piece; `false` if that takes more of the coded body.
    pub(super) fn step(&mut self) -> Result<bool, Error> {
        self.filled = fill(&mut self.layers, &mut self.piece)?;
        self.decoded = self.decoded.saturating_add(self.filled as u64);
        match self.limits.bytes_max {
            Some(limit) if self.decoded > limit => {
                return Err(Error::TooLarge {
                    limit,
                    announced: None,
                });
            }
            None if self.decoded > EXPANDED_BYTES
                && self.decoded > self.received.saturating_mul(EXPANSION_MAX) =>
            {
                return Err(Error::DecompressionBomb {
                    received: self.received,
                    decoded: self.decoded,
                });
            }
            _ => {}
        }
        Ok(self.filled > 0)
    }

    /// The piece that was decoded last.
    pub(super) fn piece(&self) -> &[u8] {
        self.piece.get(..self.filled).unwrap_or_default()
    }

    /// The coded body is complete: is what it contains?
    pub(super) fn end(&self) -> Result<(), Error> {
        for layer in &self.layers {
            // A body without a byte is one without content.
            if layer.has_begun && !layer.coder.is_over() {
                return Err(layer.broken("it ends early"));
            }
        }
        Ok(())
    }
}

/// Fills `out`, in part, with what the last layer decodes; 0 if the first one needs more.
fn fill(layers: &mut [Layer], out: &mut [u8]) -> Result<usize, Error> {
    let Some((last, before)) = layers.split_last_mut() else {
        return Ok(0);
    };
    loop {
        let made = last.run(out)?;
        if made > 0 || before.is_empty() {
            return Ok(made);
        }
        let mut input = vec![0; PIECE_BYTES];
        let made = fill(before, &mut input)?;
        if made == 0 {
            return Ok(0);
        }
        input.truncate(made);
        last.input = input.into();
    }
}

/// One coding.
struct Layer {
    coding: &'static str,
    coder: Coder,
    input: Bytes,
    has_begun: bool,
}

impl Layer {
    fn new(name: &[u8]) -> Option<Self> {
        let is = |known: &[&str]| {
            known
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        };
        let (coding, coder) = if is(&["gzip", "x-gzip"]) {
            ("gzip", Coder::Gzip(Inflate::new(Decompress::new_gzip(15))))
        } else if is(&["deflate"]) {
            ("deflate", Coder::Deflate(None))
        } else if is(&["br"]) {
            ("br", Coder::Brotli(Box::default()))
        } else if is(&["zstd"]) {
            ("zstd", Coder::Zstd(Zstd::new()?))
        } else {
            return None;
        };
        Some(Self {
            coding,
            coder,
            input: Bytes::new(),
            has_begun: false,
        })
    }

    /// Decodes until something came out, or more input is needed.
    fn run(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        loop {
            self.has_begun |= !self.input.is_empty();
            let (read, made) = self
                .coder
                .step(&self.input, out)
                .map_err(|problem| self.broken(&problem))?;
            self.input.advance(read.min(self.input.len()));
            if made > 0 || self.input.is_empty() {
                return Ok(made);
            }
            if read == 0 {
                return Err(self.broken("it cannot be decoded further"));
            }
        }
    }

    fn broken(&self, problem: &str) -> Error {
        Error::BrokenCoding {
            coding: self.coding,
            problem: problem.to_owned(),
        }
    }
}

/// The state of a decoder. Each step says how many bytes it has read and made.
enum Coder {
    Gzip(Inflate),
    /// By its name zlib's format (RFC 9110, section 8.4.1.2); some servers send it without the frame of zlib. Known with
    /// the first byte.
    Deflate(Option<Inflate>),
    Brotli(Box<Brotli>),
    Zstd(Zstd),
}

type Step = Result<(usize, usize), String>;

impl Coder {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        match self {
            Self::Gzip(inflate) => {
                // Members may follow one another (RFC 1952, section 2.2).
                if inflate.is_over && input.first() == Some(&GZIP_MAGIC) {
                    *inflate = Inflate::new(Decompress::new_gzip(15));
                }
                inflate.step(input, out)
            }
            Self::Deflate(inflate) => {
                let Some(first) = input.first() else {
                    return inflate
                        .as_mut()
                        .map_or(Ok((0, 0)), |inflate| inflate.step(input, out));
                };
                // Method 8, a window of at most 32 KiB (RFC 1950, section 2.2): no block of raw deflate begins like this.
                let is_zlib = first & 0x0f == 8 && first >> 4 <= 7;
                inflate
                    .get_or_insert_with(|| Inflate::new(Decompress::new(is_zlib)))
                    .step(input, out)
            }
            Self::Brotli(brotli) => brotli.step(input, out),
            Self::Zstd(zstd) => zstd.step(input, out),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Gzip(inflate) => inflate.is_over,
            Self::Deflate(inflate) => inflate.as_ref().is_some_and(|inflate| inflate.is_over),
            Self::Brotli(brotli) => brotli.is_over,
            Self::Zstd(zstd) => zstd.is_over,
        }
    }
}

/// The first byte of a member.
const GZIP_MAGIC: u8 = 0x1f;

fn left_over(input: &[u8]) -> Step {
    match input {
        [] => Ok((0, 0)),
        _ => Err("more follows its end".to_owned()),
    }
}

struct Inflate {
    state: Decompress,
    is_over: bool,
}

impl Inflate {
    fn new(state: Decompress) -> Self {
        Self {
            state,
            is_over: false,
        }
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        if self.is_over {
            return left_over(input);
        }
        let (read, made) = (self.state.total_in(), self.state.total_out());
        let status = self
            .state
            .decompress(input, out, FlushDecompress::None)
            .map_err(|error| error.to_string())?;
        self.is_over = status == Status::StreamEnd;
        let count = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        Ok((
            count(self.state.total_in(), read),
            count(self.state.total_out(), made),
        ))
    }
}

struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    is_over: bool,
}

impl Default for Brotli {
    fn default() -> Self {
        let alloc = StandardAlloc::default;
        Self {
            // Strict: windows of at most 16 MiB (RFC 7932, section 9.1).
            state: BrotliState::new_strict(alloc(), alloc(), alloc()),
            is_over: false,
        }
    }
}

impl Brotli {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        if self.is_over {
            return left_over(input);
        }
        let (mut input_left, mut read) = (input.len(), 0);
        let (mut out_left, mut made, mut total) = (out.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut input_left,
            &mut read,
            input,
            &mut out_left,
            &mut made,
            out,
            &mut total,
            &mut self.state,
        );
        match result {
            BrotliResult::ResultFailure => return Err("it is malformed".to_owned()),
            BrotliResult::ResultSuccess => self.is_over = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok((read, made))
    }
}

struct Zstd {
    state: ZstdDecoder<'static>,
    is_over: bool,
}

impl Zstd {
    fn new() -> Option<Self> {
        let mut state = ZstdDecoder::new().ok()?;
        state
            .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))
            .ok()?;
        Some(Self {
            state,
            is_over: false,
        })
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        if self.is_over && input.is_empty() {
            return Ok((0, 0));
        }
        // Frames may follow one another (RFC 8878, section 3).
        let status = self
            .state
            .run_on_buffers(input, out)
            .map_err(|error: io::Error| error.to_string().to_lowercase())?;
        self.is_over = status.remaining == 0;
        Ok((status.bytes_read, status.bytes_written))
    }
}

#[cfg(test)]
mod tests;
