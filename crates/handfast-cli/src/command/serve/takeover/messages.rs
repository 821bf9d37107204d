//! What two processes of this program say to each other, and how descriptors go along.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::Key;
use crate::command::serve::listen::descriptors::{self, DESCRIPTORS_MAX};

/// What the new process begins with: the protocol and its version.
pub(super) const HELLO: &[u8] = b"handfast takeover 1\n";

/// The answer to "ready": the running process accepts no more.
pub(super) const DONE: [u8; 4] = *b"done";

/// Instead of it, also before "ready": the running process has taken back what it had handed over. A connection that ends without
/// either means that the process is gone.
pub(super) const TAKEN_BACK: [u8; 4] = *b"back";

/// The longest message: 1,000 listeners, and the longest paths.
const MESSAGE_MAX: usize = 256 * 1024;

/// The most sockets: threads on a large machine, for each of some addresses.
const SOCKETS_MAX: usize = 16 * 1024;

/// What is handed over. The descriptors follow in this order, the control socket last, and before them the ticket keys.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) pid: u32,
    pub(super) listeners: Vec<Offered>,
    /// The length of the ticket keys.
    pub(super) ticket_keys: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Offered {
    pub(super) key: Key,
    pub(super) sockets: usize,
}

/// The new process serves.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    /// Positions in the offer that it does not listen on.
    pub(super) unused: Vec<usize>,
}

impl Offer {
    /// How many descriptors follow, if that is possible.
    pub(super) fn descriptors(&self) -> io::Result<usize> {
        let all = self.listeners.iter().map(|one| one.sockets);
        let count = all.fold(1_usize, usize::saturating_add);
        match count <= SOCKETS_MAX && self.ticket_keys <= MESSAGE_MAX {
            true => Ok(count),
            false => Err(invalid("more than there can be is announced")),
        }
    }
}

pub(super) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A message with its length before it.
pub(super) fn message(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let text = serde_json::to_vec(value)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    if text.len() > MESSAGE_MAX {
        return Err(invalid("the message is too long"));
    }
    Ok([&length.to_be_bytes(), &text[..]].concat())
}

/// The length of the message that these bytes announce.
pub(super) fn length(bytes: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(bytes) as usize;
    match length <= MESSAGE_MAX {
        true => Ok(length),
        false => Err(invalid("a message is longer than it can be")),
    }
}

pub(super) fn parse<T: DeserializeOwned>(text: &[u8]) -> io::Result<T> {
    serde_json::from_slice(text).map_err(|_| invalid("a message is not understood"))
}

pub(super) fn read<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut announced = [0; 4];
    from.read_exact(&mut announced)?;
    let mut text = vec![0; length(announced)?];
    from.read_exact(&mut text)?;
    parse(&text)
}

pub(super) fn write(mut to: impl Write, value: &impl Serialize) -> io::Result<()> {
    to.write_all(&message(value)?)
}

/// Sends descriptors in a stream that does not block; a call for each batch.
pub(super) async fn send(to: &UnixStream, sockets: &[OwnedFd]) -> io::Result<()> {
    for batch in sockets.chunks(DESCRIPTORS_MAX) {
        let send = || descriptors::send(to, "", batch);
        to.async_io(Interest::WRITABLE, send).await?;
    }
    Ok(())
}

/// Receives so many descriptors.
pub(super) fn receive(
    from: &std::os::unix::net::UnixStream,
    count: usize,
) -> io::Result<Vec<OwnedFd>> {
    let mut received = Vec::new();
    while received.len() < count {
        let (_, batch) = descriptors::receive(from)?;
        let expected = (count - received.len()).min(DESCRIPTORS_MAX);
        if batch.len() < expected {
            // The system drops those for which there is no room.
            return Err(io::Error::other(
                "sockets are missing: this process has no descriptors left (ulimit -n)",
            ));
        }
        received.extend(batch);
    }
    match received.len() == count {
        true => Ok(received),
        false => Err(invalid("more sockets came than were announced")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn more_sockets_than_one_message_takes_arrive_in_order_behind_other_bytes() {
        let (mut one, other) = UnixStream::pair().unwrap();
        let files: Vec<OwnedFd> = (0..600_u32)
            .map(|number| {
                let file = tempfile::tempfile().unwrap();
                (&file).write_all(&number.to_be_bytes()).unwrap();
                file.into()
            })
            .collect();
        let mut other = other.into_std().unwrap();
        other.set_nonblocking(false).unwrap();
        one.write_all(b"before").await.unwrap();
        let receiver = std::thread::spawn(move || {
            other.read_exact(&mut [0; 6]).unwrap();
            receive(&other, 600).unwrap()
        });
        send(&one, &files).await.unwrap();
        for (number, descriptor) in (0..600_u32).zip(receiver.join().unwrap()) {
            let mut content = [0; 4];
            rustix::io::pread(&descriptor, &mut content, 0).unwrap();
            assert_eq!(u32::from_be_bytes(content), number);
        }
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let offer = Offer {
            pid: 7,
            listeners: vec![Offered {
                key: "unix:/s".to_owned(),
                sockets: 2,
            }],
            ticket_keys: 0,
        };
        let whole = message(&offer).unwrap();
        assert_eq!(read::<Offer>(&whole[..]).unwrap().descriptors().unwrap(), 3);
        let mut cases = vec![
            Vec::new(),
            whole[..whole.len() - 1].to_vec(),
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            b"\0\0\0\x02[]".to_vec(),
        ];
        cases.push([&u32::MAX.to_be_bytes()[..], &whole[4..]].concat());
        for bytes in cases {
            read::<Offer>(&bytes[..]).unwrap_err();
        }
        for sockets in [usize::MAX, SOCKETS_MAX] {
            let key = String::new();
            let offer = Offer {
                pid: 7,
                listeners: vec![Offered { key, sockets }],
                ticket_keys: 0,
            };
            offer.descriptors().unwrap_err();
        }
    }

    #[test]
    fn fewer_sockets_than_announced_are_an_error() {
        let (mut one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        one.write_all(b"\n").unwrap();
        receive(&other, 1).unwrap_err();
        drop(one);
        let error = receive(&other, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
