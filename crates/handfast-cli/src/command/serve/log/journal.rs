//! Entries of systemd's journal, by its native protocol, for events other than requests. No value has a line feed, so
//! that every field is `NAME=value` on a line of its own; an entry ends with an empty line, which is not sent.

use serde_json::Value;

use super::spell;

/// Syslog's severities.
const WARNING: &[u8] = b"4";
const INFORMATION: &[u8] = b"6";

/// An event with what it says as text, its values as fields.
pub(super) fn put(out: &mut Vec<u8>, message: &str, values: &Value) {
    let event = values
        .get("event")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_normal = event == "connection-opened" || event == "connection-closed";
    spell::field(
        out,
        "PRIORITY",
        if is_normal { INFORMATION } else { WARNING },
    );
    spell::field(out, "SYSLOG_IDENTIFIER", b"handfast");
    spell::field(out, "MESSAGE", message.as_bytes());
    for (name, value) in values.as_object().into_iter().flatten() {
        let name = format!("HANDFAST_{}", name.to_ascii_uppercase());
        match value {
            Value::Null => {}
            Value::String(text) => spell::field(out, &name, text.as_bytes()),
            other => spell::field(out, &name, other.to_string().as_bytes()),
        }
    }
    out.push(b'\n');
}

/// The entry about lost ones, as it is sent.
#[cfg(unix)]
pub(super) fn lines_lost(count: u64) -> Vec<u8> {
    let mut out = Vec::new();
    spell::field(&mut out, "PRIORITY", WARNING);
    spell::field(&mut out, "SYSLOG_IDENTIFIER", b"handfast");
    spell::field(&mut out, "HANDFAST_EVENT", b"lines-lost");
    let message = format!("{count} entries were lost");
    spell::field(&mut out, "MESSAGE", message.as_bytes());
    spell::field(&mut out, "HANDFAST_COUNT", count.to_string().as_bytes());
    out
}
