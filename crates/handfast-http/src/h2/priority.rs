//! Which of several replies is sent first (RFC 9218): what the client says of each, and the choice among those that have something
//! to send.
//!
//! Streams of a lower urgency value come first. Equals take turns, but a turn of a stream that is not incremental goes to the
//! oldest of those: its parts are of no use to the client before it is whole. A stream of which the client says nothing
//! counts as incremental, so that nothing changes for clients that do not know of priorities.

use std::collections::VecDeque;

use http::{HeaderMap, HeaderName};

/// The header field, and the content of PRIORITY_UPDATE frames.
static FIELD: HeaderName = HeaderName::from_static("priority");

/// The default urgency (RFC 9218, section 4.1).
const URGENCY: u8 = 3;

/// How many updates are kept of streams that are not open yet (RFC 9218, section 7.1: a limited number). A client sends them just before
/// the requests.
const EARLY_MAX: usize = 16;

/// The priority of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Priority {
    /// From 0, which comes first, to 7.
    urgency: u8,
    /// Its parts are of no use to the client.
    one_by_one: bool,
}

impl Default for Priority {
    fn default() -> Self {
        Self {
            urgency: URGENCY,
            one_by_one: false,
        }
    }
}

impl Priority {
    /// What a head says, if it says something.
    pub(super) fn of(fields: &HeaderMap) -> Option<Self> {
        let mut values = fields.get_all(&FIELD).iter().peekable();
        values.peek()?;
        let mut priority = Self::said();
        for value in values {
            priority.read(value.as_bytes());
        }
        Some(priority)
    }

    /// What a PRIORITY_UPDATE frame says.
    pub(super) fn parse(value: &[u8]) -> Self {
        let mut priority = Self::said();
        priority.read(value);
        priority
    }

    /// The defaults of a client that uses priorities.
    fn said() -> Self {
        Self {
            urgency: URGENCY,
            one_by_one: true,
        }
    }

    /// Reads a dictionary of structured fields (RFC 9651, section 3.2). What is unknown or out of range is skipped.
    fn read(&mut self, value: &[u8]) {
        for member in value.split(|byte| *byte == b',') {
            let member = member.trim_ascii();
            // Without parameters.
            let member = member.split(|byte| *byte == b';').next().unwrap_or(member);
            match member.trim_ascii_end() {
                [b'u', b'=', urgency @ b'0'..=b'7'] => self.urgency = urgency - b'0',
                b"i" | b"i=?1" => self.one_by_one = false,
                b"i=?0" => self.one_by_one = true,
                _ => {}
            }
        }
    }
}

/// What a connection knows of priorities.
#[derive(Debug, Default)]
pub(super) struct Priorities {
    /// The client has said something: until then the queue is served in its order.
    used: bool,
    /// Of streams that are not open yet.
    early: VecDeque<(u32, Priority)>,
}

impl Priorities {
    /// The priority of a stream that opens.
    pub(super) fn open(&mut self, id: u32, said: Option<Priority>) -> Priority {
        // Updates are newer than the head (RFC 9218, section 7).
        let early = match self.early.iter().position(|(of, _)| *of == id) {
            Some(at) => self.early.remove(at).map(|(_, priority)| priority),
            None => None,
        };
        let said = early.or(said);
        self.used |= said.is_some();
        said.unwrap_or_default()
    }

    /// Notes an update for an open stream.
    pub(super) fn updated(&mut self) {
        self.used = true;
    }

    /// Keeps the priority of a stream that is not open yet.
    pub(super) fn keep(&mut self, id: u32, priority: Priority) {
        self.early.retain(|(of, _)| *of != id);
        if self.early.len() >= EARLY_MAX {
            self.early.pop_front();
        }
        self.early.push_back((id, priority));
    }

    /// Takes the stream that comes next from the queue.
    pub(super) fn next(
        &self,
        queue: &mut VecDeque<u32>,
        mut priority_of: impl FnMut(u32) -> Priority,
    ) -> Option<u32> {
        if !self.used || queue.len() < 2 {
            return queue.pop_front();
        }
        // The first of the most urgent, and the oldest of those among them that go one by one.
        let mut first: Option<(usize, Priority)> = None;
        let mut oldest: Option<(usize, u32)> = None;
        for (at, id) in queue.iter().copied().enumerate() {
            let priority = priority_of(id);
            if first.is_none_or(|(_, best)| priority.urgency < best.urgency) {
                first = Some((at, priority));
                oldest = None;
            }
            let is_best = first.is_some_and(|(_, best)| priority.urgency == best.urgency);
            if is_best && priority.one_by_one && oldest.is_none_or(|(_, other)| id < other) {
                oldest = Some((at, id));
            }
        }
        let (at, priority) = first?;
        let at = match oldest {
            Some((oldest, _)) if priority.one_by_one => oldest,
            _ => at,
        };
        queue.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_what_is_unknown_is_skipped() {
        // Urgency, and whether it is incremental.
        let cases: [(&str, u8, bool); 14] = [
            ("", 3, false),
            ("u=0", 0, false),
            ("u=7, i", 7, true),
            ("i=?1,u=5", 5, true),
            ("i, i=?0", 3, false),
            ("u=1;x=2, i;y", 1, true),
            (" u=2 ,\ti ", 2, true),
            ("u=8", 3, false),
            ("u=-1", 3, false),
            ("u=1.0", 3, false),
            ("u=1, u=9", 1, false),
            ("foo=\"a\", u=4", 4, false),
            ("I, U=1", 3, false),
            ("u", 3, false),
        ];
        for (text, urgency, incremental) in cases {
            let read = Priority::parse(text.as_bytes());
            assert_eq!(
                (read.urgency, !read.one_by_one),
                (urgency, incremental),
                "{text:?}"
            );
        }
    }

    #[test]
    fn early_updates_are_bounded_and_the_last_one_counts() {
        let mut priorities = Priorities::default();
        for id in 0..1000 {
            priorities.keep(2 * id + 1, Priority::parse(b"u=1"));
        }
        assert_eq!(priorities.early.len(), EARLY_MAX);
        priorities.keep(1999, Priority::parse(b"u=2"));
        assert_eq!(priorities.early.len(), EARLY_MAX);
        let said = Some(Priority::parse(b"u=5"));
        assert_eq!(priorities.open(1999, said).urgency, 2);
        assert_eq!(priorities.open(1999, said).urgency, 5);
        assert_eq!(priorities.open(1, None), Priority::default());
    }
}
