//! Descriptors from one process to another, with a line of text (unix(7), `SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// As many as Linux takes with one message (`SCM_MAX_FD`).
pub(in crate::command::serve) const DESCRIPTORS_MAX: usize = 253;

/// Maximum length of a line, in bytes: a path has at most 4096, of which each may be escaped with six characters.
pub(super) const LINE_MAX: usize = 32 * 1024;

/// Sends a line and the descriptors.
///
/// # Errors
/// Of the socket; also if there are too many descriptors.
pub(in crate::command::serve) fn send(
    to: impl AsFd,
    line: &str,
    descriptors: &[OwnedFd],
) -> io::Result<()> {
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(OwnedFd::as_fd).collect();
    let text = format!("{line}\n");
    let mut rest = text.as_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    while !rest.is_empty() {
        let sent = sendmsg(
            &to,
            &[IoSlice::new(rest)],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        rest = rest.get(sent..).unwrap_or_default();
        control.clear();
    }
    Ok(())
}

/// The next line and its descriptors.
///
/// # Errors
/// Of the socket, also its time limit; `UnexpectedEof` if the other end is gone; `InvalidData` if the line is too long.
pub(in crate::command::serve) fn receive(from: &UnixStream) -> io::Result<(String, Vec<OwnedFd>)> {
    let mut line = Vec::new();
    let mut descriptors = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            from,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                descriptors.extend(more);
            }
        }
        let bytes = bytes.get(..received.bytes).unwrap_or_default();
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend_from_slice(bytes);
        if line.last() == Some(&b'\n') {
            line.pop();
            let text = String::from_utf8(line);
            return text
                .map(|text| (text, descriptors))
                .map_err(|_| io::ErrorKind::InvalidData.into());
        }
        // Lines are asked for one by one: there is nothing behind the end of one.
        if line.len() > LINE_MAX || line.contains(&b'\n') {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;

    #[test]
    fn descriptors_arrive_with_their_line() {
        let (one, other) = UnixStream::pair().unwrap();
        let mut files = Vec::new();
        for number in 0..3_u8 {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&[number]).unwrap();
            file.rewind().unwrap();
            files.push(OwnedFd::from(file));
        }
        let long = "x".repeat(10_000);
        for (line, count) in [("a", 3), ("", 0), (long.as_str(), 2)] {
            let sender = std::thread::scope(|scope| {
                let sender = scope.spawn(|| send(&one, line, &files[..count]));
                let (text, descriptors) = receive(&other).unwrap();
                assert_eq!(text, line);
                assert_eq!(descriptors.len(), count);
                for (number, descriptor) in descriptors.into_iter().enumerate() {
                    let mut file = std::fs::File::from(descriptor);
                    file.rewind().unwrap();
                    let mut content = Vec::new();
                    file.read_to_end(&mut content).unwrap();
                    assert_eq!(content, [u8::try_from(number).unwrap()]);
                }
                sender.join().unwrap()
            });
            sender.unwrap();
        }
        drop(one);
        let gone = receive(&other).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_line_without_an_end_is_not_kept() {
        let (mut one, other) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || {
            let _ = one.write_all(&vec![b'x'; 4 * LINE_MAX]);
        });
        let refused = receive(&other).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        drop(other);
        writer.join().unwrap();
    }
}
