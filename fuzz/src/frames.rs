//! HTTP/2 frames, spelled and read apart from the code that is tested.

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A frame that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// Takes all whole frames off the front.
pub fn seen(bytes: &mut Vec<u8>) -> Vec<Seen> {
    let mut frames = Vec::new();
    let mut rest = &bytes[..];
    while let [l0, l1, l2, kind, flags, s0, s1, s2, s3, after @ ..] = rest {
        let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        let Some((payload, after)) = after.split_at_checked(length) else {
            break;
        };
        frames.push(Seen {
            kind: *kind,
            flags: *flags,
            stream: u32::from_be_bytes([*s0, *s1, *s2, *s3]),
            payload: payload.to_vec(),
        });
        rest = after;
    }
    let used = bytes.len() - rest.len();
    bytes.drain(..used);
    frames
}
