//! Encoding header blocks, without a dynamic table: there is nothing to synchronize, to search or to
//! protect (RFC 7541, section 4.2, allows it). A connection signals that once, with
//! [`NO_TABLE`] before its first block.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::primitive::put_integer;

/// A dynamic table size update to zero.
pub const NO_TABLE: u8 = 0x20;

/// A response's status.
pub fn put_status(block: &mut Vec<u8>, status: StatusCode) {
    match status.as_u16() {
        200 => block.push(0x88),
        204 => block.push(0x89),
        206 => block.push(0x8a),
        304 => block.push(0x8b),
        400 => block.push(0x8c),
        404 => block.push(0x8d),
        500 => block.push(0x8e),
        _ => {
            block.push(8);
            put_string(block, status.as_str().as_bytes());
        }
    }
}

/// A request's pseudo-header fields: always https.
pub fn put_request_line(block: &mut Vec<u8>, method: &Method, authority: &[u8], path: &[u8]) {
    match *method {
        Method::GET => block.push(0x82),
        Method::POST => block.push(0x83),
        _ => {
            block.push(2);
            put_string(block, method.as_str().as_bytes());
        }
    }
    block.push(0x87);
    block.push(1);
    put_string(block, authority);
    if path == b"/" {
        block.push(0x84);
    } else {
        block.push(4);
        put_string(block, path);
    }
}

/// All fields of a map. Its names are in lower case, as HTTP/2 requires.
pub fn put_fields(block: &mut Vec<u8>, fields: &HeaderMap) {
    for (name, value) in fields {
        put_map_field(block, name, value);
    }
}

/// One field of a map.
pub fn put_map_field(block: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    put_field(
        block,
        name.as_str(),
        value.as_bytes(),
        is_secret(name.as_str(), value),
    );
}

/// Credentials must not enter a table, also not at an intermediary (RFC 7541, section 7.1.3).
fn is_secret(name: &str, value: &HeaderValue) -> bool {
    value.is_sensitive() || name == "authorization" || name == "proxy-authorization"
}

/// A literal without indexing, or a never-indexed one (RFC 7541, section 6.2.3).
pub fn put_field(block: &mut Vec<u8>, name: &str, value: &[u8], secret: bool) {
    let pattern = if secret { 0x10 } else { 0x00 };
    let index = static_name(name);
    put_integer(block, pattern, 4, index);
    if index == 0 {
        put_string(block, name.as_bytes());
    }
    put_string(block, value);
}

/// A field with a number.
pub fn put_number(block: &mut Vec<u8>, name: &str, number: u64) {
    let mut digits = [0; DIGITS_MAX];
    put_field(block, name, decimal(number, &mut digits), false);
}

/// The digits of the largest number.
const DIGITS_MAX: usize = 20;

fn decimal(number: u64, digits: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut left = number;
    let mut start = DIGITS_MAX;
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
        start = at;
        if left == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or_default()
}

/// A string without Huffman coding, which would save few bytes for the time it costs.
pub fn put_string(block: &mut Vec<u8>, bytes: &[u8]) {
    put_integer(block, 0, 7, bytes.len());
    block.extend_from_slice(bytes);
}

/// The index of the static entry with this name, or 0. Only names that are common in requests and responses.
pub fn static_name(name: &str) -> usize {
    match name {
        ":authority" => 1,
        ":method" => 2,
        ":path" => 4,
        "accept" => 19,
        "accept-encoding" => 16,
        "accept-language" => 17,
        "accept-ranges" => 18,
        "age" => 21,
        "allow" => 22,
        "authorization" => 23,
        "cache-control" => 24,
        "content-disposition" => 25,
        "content-encoding" => 26,
        "content-language" => 27,
        "content-length" => 28,
        "content-location" => 29,
        "content-range" => 30,
        "content-type" => 31,
        "cookie" => 32,
        "date" => 33,
        "etag" => 34,
        "expires" => 36,
        "if-modified-since" => 40,
        "if-none-match" => 41,
        "last-modified" => 44,
        "link" => 45,
        "location" => 46,
        "range" => 50,
        "referer" => 51,
        "retry-after" => 53,
        "server" => 54,
        "set-cookie" => 55,
        "strict-transport-security" => 56,
        "user-agent" => 58,
        "vary" => 59,
        "www-authenticate" => 61,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::STATIC;
    use super::*;

    #[test]
    fn static_names_are_those_of_the_table() {
        for (index, (name, _)) in STATIC.iter().enumerate() {
            let found = static_name(name);
            assert!(found == 0 || STATIC[found - 1].0 == *name, "{index} {name}");
        }
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, u64::MAX] {
            let mut digits = [0; DIGITS_MAX];
            assert_eq!(decimal(number, &mut digits), number.to_string().as_bytes());
        }
    }
}
