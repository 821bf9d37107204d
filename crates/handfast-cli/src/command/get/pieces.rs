//! Bodies that are read while they are sent: pieces of text, files and stdin, one after the other.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use handfast_https::client::Upload;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::{JoinHandle, spawn_blocking};

use super::data::unreadable;
use crate::failure::Failure;

/// How much is read at a time: what the client asks for.
const STEP_BYTES: usize = 64 * 1024;

/// A part of a body.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Text(Bytes),
    /// A file, opened when its turn has come. Its length, if it has one.
    File(PathBuf, Option<u64>),
    Stdin,
}

impl Piece {
    /// The file of this name; `-` is stdin.
    pub(super) fn file(name: &str) -> Result<Self, Failure> {
        if name == "-" {
            return Ok(Self::Stdin);
        }
        // Opened as well: that it cannot be read should be known before anything is sent.
        let found = fs::metadata(name)
            .and_then(|found| match found.is_file() {
                true => File::open(name).map(|_| Some(found.len())),
                false if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
                // A pipe must not be opened twice.
                false => Ok(None),
            })
            .map_err(|error| unreadable(name, &error))?;
        Ok(Self::File(name.into(), found))
    }

    fn length(&self) -> Option<u64> {
        match self {
            Self::Text(text) => Some(text.len() as u64),
            Self::File(_, length) => *length,
            Self::Stdin => None,
        }
    }

    fn open(self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Text(text) => Box::new(text.reader()),
            Self::File(path, _) => Box::new(File::open(path)?),
            Self::Stdin => Box::new(io::stdin()),
        })
    }
}

/// The body of these pieces. It has a length, and can be sent again, if each of them has one.
pub(super) fn upload(pieces: Vec<Piece>) -> Upload {
    let lengths = pieces.iter().map(Piece::length);
    let length = lengths.sum::<Option<u64>>();
    let Some(length) = length else {
        return Upload::from_reader(Reading::new(pieces));
    };
    let pieces: Arc<[Piece]> = pieces.into();
    Upload::repeatable(move || Reading::new(pieces.to_vec())).with_length(length)
}

/// The pieces one after the other.
struct Chain {
    rest: VecDeque<Piece>,
    open: Option<Box<dyn Read + Send>>,
}

impl Read for Chain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(open) = &mut self.open {
                match open.read(buffer) {
                    Ok(0) => self.open = None,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => return other,
                }
            }
            if self.open.is_none() {
                let Some(next) = self.rest.pop_front() else {
                    return Ok(0);
                };
                self.open = Some(next.open()?);
            }
        }
    }
}

/// Reads by a thread, so that a pipe that has nothing yet holds up neither time limits nor signals.
struct Reading(Stage);

enum Stage {
    Idle(Chain),
    Busy(JoinHandle<(Chain, io::Result<Bytes>)>),
    Have(Chain, Bytes),
    Over,
}

impl Reading {
    fn new(pieces: Vec<Piece>) -> Self {
        Self(Stage::Idle(Chain {
            rest: pieces.into(),
            open: None,
        }))
    }
}

impl AsyncRead for Reading {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match &mut self.0 {
                Stage::Over => return Poll::Ready(Ok(())),
                Stage::Have(_, bytes) if !bytes.is_empty() => {
                    let count = bytes.len().min(buffer.remaining());
                    buffer.put_slice(&bytes.split_to(count));
                    return Poll::Ready(Ok(()));
                }
                Stage::Busy(reading) => {
                    let (chain, bytes) = ready!(Pin::new(reading).poll(cx))?;
                    let bytes = bytes?;
                    self.0 = match bytes.is_empty() {
                        true => Stage::Over,
                        false => Stage::Have(chain, bytes),
                    };
                }
                Stage::Idle(_) | Stage::Have(..) => {
                    let (Stage::Idle(mut chain) | Stage::Have(mut chain, _)) =
                        std::mem::replace(&mut self.0, Stage::Over)
                    else {
                        return Poll::Ready(Ok(()));
                    };
                    self.0 = Stage::Busy(spawn_blocking(move || {
                        let mut bytes = vec![0; STEP_BYTES];
                        let read = chain.read(&mut bytes).map(|count| {
                            bytes.truncate(count);
                            bytes.into()
                        });
                        (chain, read)
                    }));
                }
            }
        }
    }
}
