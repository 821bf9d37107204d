//! A representation of a file, ready to be sent: the open file and the fields of its replies.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderValue, LAST_MODIFIED, VARY, X_CONTENT_TYPE_OPTIONS,
};

use crate::coding::Coding;
use crate::open::FileFacts;
use crate::path::Target;
use crate::reply::Validators;

/// How long a name is assumed to be the same file, or none. The cost for a hot file is not measurable, and
/// a replaced file is served within this time.
pub(crate) const VALID: Duration = Duration::from_secs(1);

/// The largest content that is kept.
pub(crate) const CONTENT_MAX: u64 = 16 * 1024;

/// The limit on content kept by a thread.
const CONTENTS_MAX: usize = 4 * 1024 * 1024;

/// Content is kept only of files that have been unchanged for so long: a mistake about the clocks of a network file system
/// would last as long as the file is hot.
const CALM: Duration = Duration::from_secs(3);

/// The fields that a reply with a file has, at most: room is made for them once.
const FIELDS_MAX: usize = 9;

thread_local! {
    /// Bytes of content that are kept.
    static CONTENTS: Cell<usize> = const { Cell::new(0) };
}

/// A file, and the fields of its replies.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) file: Arc<File>,
    pub(crate) facts: FileFacts,
    pub(crate) validators: Validators,
    /// Its name beneath the directory.
    pub(crate) target: Target,
    /// The fields of every reply, whole or partial.
    pub(crate) fields: HeaderMap,
    pub(crate) labels: Labels,
    /// When no file with it in each coding lay beside it.
    absent: [Cell<Option<Instant>>; Coding::ALL.len()],
    content: RefCell<Option<Content>>,
}

/// What the fields of a reply say that does not follow from the file's facts.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    pub(crate) content_type: HeaderValue,
    pub(crate) cache_control: Option<HeaderValue>,
    /// How the content of the file is coded.
    pub(crate) coding: Option<Coding>,
    /// Another request may get it in another coding.
    pub(crate) varies: bool,
}

/// The content of a small file. It counts as long as it exists.
#[derive(Debug)]
struct Content(Bytes);

impl Content {
    /// `None` if the thread's limit is reached.
    fn new(bytes: &Bytes) -> Option<Self> {
        let all = CONTENTS.get() + bytes.len();
        (all <= CONTENTS_MAX).then(|| {
            CONTENTS.set(all);
            Self(bytes.clone())
        })
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        // The thread is ending.
        let _ = CONTENTS.try_with(|all| all.set(all.get().saturating_sub(self.0.len())));
    }
}

impl Ready {
    pub(crate) fn new(
        file: Arc<File>,
        facts: FileFacts,
        target: Target,
        labels: Labels,
    ) -> Rc<Self> {
        let validators = Validators::new(&facts, labels.coding, SystemTime::now());
        let mut fields = HeaderMap::with_capacity(FIELDS_MAX);
        fields.extend([
            (ETAG, validators.etag.clone()),
            (LAST_MODIFIED, validators.last_modified.clone()),
            (CONTENT_TYPE, labels.content_type.clone()),
            (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ]);
        if let Some(value) = &labels.cache_control {
            fields.insert(CACHE_CONTROL, value.clone());
        }
        if let Some(coding) = labels.coding {
            fields.insert(CONTENT_ENCODING, coding.field());
        }
        if labels.varies {
            fields.insert(VARY, ACCEPT_ENCODING.into());
        }
        Rc::new(Self {
            file,
            facts,
            validators,
            target,
            fields,
            labels,
            absent: Default::default(),
            content: RefCell::new(None),
        })
    }

    /// Whether its fields could say more now: its tag is weak, and need not be any more.
    pub(crate) fn is_outdated(&self) -> bool {
        self.validators.is_weak() && self.facts.is_settled(SystemTime::now())
    }

    /// Whether no file with this one in a coding lay beside it recently.
    pub(crate) fn is_absent(&self, coding: Coding, now: Instant) -> bool {
        self.absent
            .get(coding as usize)
            .and_then(Cell::get)
            .is_some_and(|seen| now.saturating_duration_since(seen) < VALID)
    }

    pub(crate) fn set_absent(&self, coding: Coding, now: Instant) {
        if let Some(absent) = self.absent.get(coding as usize) {
            absent.set(Some(now));
        }
    }

    /// The fields for a reply: they are moved out of a file that nothing else will reply with.
    pub(crate) fn fields_for_reply(self: &mut Rc<Self>) -> HeaderMap {
        match Rc::get_mut(self) {
            Some(only) => std::mem::take(&mut only.fields),
            None => self.fields.clone(),
        }
    }

    /// Whether another reply may use it: there is a further reference, as that of the table of hot files.
    pub(crate) fn is_shared(self: &Rc<Self>) -> bool {
        Rc::strong_count(self) > 1
    }

    /// A part of the content, if it is kept.
    pub(crate) fn content(&self, start: u64, length: u64) -> Option<Bytes> {
        let content = self.content.borrow();
        let start = usize::try_from(start).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        content
            .as_ref()
            .filter(|content| end <= content.0.len())
            .map(|content| content.0.slice(start..end))
    }

    /// Keeps the content that was read, converted by `make`, if it is complete, small, and cannot
    /// change undetected.
    pub(crate) fn keep_content(&self, content: &[u8], make: impl FnOnce(&[u8]) -> Bytes) {
        if self.facts.size <= CONTENT_MAX
            && content.len() as u64 == self.facts.size
            && self.facts.is_settled(SystemTime::now() - CALM)
        {
            *self.content.borrow_mut() = Content::new(&make(content));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The fields that tests do not look at.
    pub(crate) fn plain() -> Labels {
        Labels {
            content_type: HeaderValue::from_static("text/plain"),
            cache_control: None,
            coding: None,
            varies: false,
        }
    }

    #[test]
    fn content_that_could_change_undetected_is_not_kept() {
        let ready = |changed_ns| {
            let facts = FileFacts {
                identity: (1, 2),
                size: 3,
                modified_ns: 1,
                changed_ns,
            };
            let file = Arc::new(tempfile::tempfile().unwrap());
            Ready::new(file, facts, Target::parse("/a").unwrap(), plain())
        };
        let content = Bytes::from_static(b"one");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let written_just_now = ready(now.unwrap().as_nanos());
        written_just_now.keep_content(&content, Bytes::copy_from_slice);
        assert_eq!(written_just_now.content(0, 3), None);
        let settled = ready(1);
        settled.keep_content(b"on", Bytes::copy_from_slice);
        assert_eq!(settled.content(0, 2), None, "a part is not the whole");
        settled.keep_content(&content, Bytes::copy_from_slice);
        assert_eq!(settled.content(1, 2).as_deref(), Some(&b"ne"[..]));
        assert_eq!(settled.content(1, 3), None);
        assert_eq!(settled.content(u64::MAX, 2), None);
    }

    #[test]
    fn the_fields_of_a_file_are_there_for_every_reply() {
        let facts = FileFacts {
            identity: (1, 2),
            size: 3,
            modified_ns: 1,
            changed_ns: 1,
        };
        let file = Arc::new(tempfile::tempfile().unwrap());
        let mut ready = Ready::new(file, facts, Target::parse("/a").unwrap(), plain());
        let kept = Rc::clone(&ready);
        assert!(ready.is_shared());
        let fields = ready.fields_for_reply();
        assert!(fields.contains_key(ETAG) && fields == kept.fields);
        drop(kept);
        assert!(!ready.is_shared());
        assert_eq!(ready.fields_for_reply(), fields);
    }

    #[test]
    fn a_thread_keeps_content_within_its_limit() {
        let piece = Bytes::from(vec![0; CONTENTS_MAX / 2]);
        let first = Content::new(&piece).unwrap();
        let second = Content::new(&piece).unwrap();
        assert!(Content::new(&Bytes::from_static(b"x")).is_none(), "full");
        drop((first, second));
        assert!(Content::new(&piece).is_some(), "closed files do not count");
    }
}
