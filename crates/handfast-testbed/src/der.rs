//! Encoding DER by hand, for certificates that no library makes.

/// One DER element.
pub fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match length {
        0..=0x7f => vec![tag, length as u8],
        0x80..=0xff => vec![tag, 0x81, length as u8],
        0x100..=0xffff => vec![tag, 0x82, (length >> 8) as u8, length as u8],
        _ => [&[tag, 0x84][..], &(length as u32).to_be_bytes()].concat(),
    };
    [header, content.to_vec()].concat()
}

/// Where the content of the DER element at the start of `bytes` lies.
fn extent(bytes: &[u8]) -> std::ops::Range<usize> {
    match bytes[1] {
        0x81 => 3..3 + usize::from(bytes[2]),
        0x82 => 4..4 + usize::from(bytes[2]) * 256 + usize::from(bytes[3]),
        length => 2..2 + usize::from(length),
    }
}

pub(crate) fn content(bytes: &[u8]) -> &[u8] {
    &bytes[extent(bytes)]
}

pub(crate) fn elements(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (element, rest) = bytes.split_at(extent(bytes).end);
        found.push(element.to_vec());
        bytes = rest;
    }
    found
}
