//! Files that are asked for again and again, kept ready by the thread that serves them.
//!
//! A hot file stays open with everything about it that a reply says, and a small one with its content.
//! Before each use the open file is looked at (`fstat`), once in a turn of the event loop: a change of
//! it is seen at once. What its name stands for is looked at anew every [`VALID`], so that a file that
//! was replaced or removed is served no longer than that; one that is still there stays open.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED,
    X_CONTENT_TYPE_OPTIONS,
};

use crate::look::Look;
use crate::open::{FileFacts, Root, look_at};
use crate::path::Target;
use crate::reply::Validators;

/// How long a name is taken to mean the same file. A second costs a hot file nothing measurable, and
/// nobody who replaces a file expects to see it sooner.
const VALID: Duration = Duration::from_secs(1);

/// How often files that nobody asked for again are let go: in small portions, which stop no reply.
const SWEEP: Duration = Duration::from_millis(125);

/// Files kept by a thread, unless more are permitted. Each takes a descriptor, of which a process often
/// has only 1024.
pub(crate) const KEPT_MAX_DEFAULT: usize = 128;

/// The largest content that is kept.
const CONTENT_MAX: u64 = 16 * 1024;

/// What a thread keeps of content in all.
const CONTENTS_MAX: usize = 4 * 1024 * 1024;

/// A file system's clock ticks in milliseconds at worst in seconds (ext3, FAT): a file whose times are
/// younger than this may change once more without showing it.
const SETTLED: Duration = Duration::from_secs(3);

thread_local! {
    static KEPT: RefCell<HashMap<usize, Hot>> = RefCell::default();
    /// Bytes of content that are kept.
    static CONTENTS: Cell<usize> = const { Cell::new(0) };
    static SWEEPING: Cell<bool> = const { Cell::new(false) };
}

/// The hot files of one served directory, by the path as requests spell it.
struct Hot {
    files: HashMap<Box<str>, Kept>,
    /// Keeps the address, by which the directory is known, from being used again.
    _root: Arc<Root>,
}

struct Kept {
    ready: Rc<Ready>,
    /// What its name is beneath the directory.
    target: Target,
    looked_up: Cell<Instant>,
    looked_at: Cell<Look>,
}

impl Kept {
    fn is_valid(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.looked_up.get()) < VALID
    }

    /// Was it asked for lately? A moment longer than it is valid: who is asked for every second stays.
    fn is_wanted(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.looked_up.get()) < VALID + 2 * SWEEP
    }

    /// Does its name still stand for it?
    fn still_stands(&self, root: &Root, now: Instant) -> bool {
        let stands = root.still_leads_to(&self.target, &self.ready.facts);
        if stands {
            self.looked_up.set(now);
            self.looked_at.set(Look::now(now));
        }
        stands
    }

    /// Is the open file what it was?
    fn is_unchanged(&self, now: Instant) -> bool {
        if self.looked_at.get().is_fresh(now) {
            return true;
        }
        let unchanged = look_at(&self.ready.file).ok() == Some(self.ready.facts);
        self.looked_at.set(Look::now(now));
        unchanged
    }
}

/// A file and what a reply says of it.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) file: Arc<File>,
    pub(crate) facts: FileFacts,
    pub(crate) validators: Validators,
    /// What every reply with it says, whole or in part.
    pub(crate) fields: HeaderMap,
    content: RefCell<Option<Content>>,
}

/// The whole of a small file. It counts for as long as it lives.
#[derive(Debug)]
struct Content(Bytes);

impl Content {
    /// `None` when the thread keeps as much as it may.
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
        // A thread that ends counts no more.
        let _ = CONTENTS.try_with(|all| all.set(all.get().saturating_sub(self.0.len())));
    }
}

impl Ready {
    pub(crate) fn new(file: File, facts: FileFacts, media: HeaderValue) -> Rc<Self> {
        let validators = Validators::new(&facts);
        let fields = [
            (ETAG, validators.etag.clone()),
            (LAST_MODIFIED, validators.last_modified.clone()),
            (CONTENT_TYPE, media),
            (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        Rc::new(Self {
            file: Arc::new(file),
            fields: HeaderMap::from_iter(fields),
            validators,
            facts,
            content: RefCell::new(None),
        })
    }

    /// A part of the content, if the whole is at hand.
    pub(crate) fn content(&self, start: u64, length: u64) -> Option<Bytes> {
        let content = self.content.borrow();
        let start = usize::try_from(start).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        content
            .as_ref()
            .filter(|content| end <= content.0.len())
            .map(|content| content.0.slice(start..end))
    }

    /// Keeps what was just read, made into bytes of its own by `make`, if it is the whole, small, and cannot
    /// change unseen.
    pub(crate) fn keep_content(&self, content: &[u8], make: impl FnOnce(&[u8]) -> Bytes) {
        if self.facts.size <= CONTENT_MAX
            && content.len() as u64 == self.facts.size
            && self.facts.is_settled(SystemTime::now(), SETTLED)
        {
            *self.content.borrow_mut() = Content::new(&make(content));
        }
    }
}

/// The file that was kept for this path, if it is still what it was.
pub(crate) fn find(root: &Arc<Root>, path: &str) -> Option<Rc<Ready>> {
    KEPT.with_borrow_mut(|kept| {
        let files = &mut kept.get_mut(&address(root))?.files;
        let found = files.get(path)?;
        let now = Instant::now();
        let usable = match found.is_valid(now) {
            true => found.is_unchanged(now),
            false => found.still_stands(root, now),
        };
        if usable {
            return Some(Rc::clone(&found.ready));
        }
        files.remove(path);
        None
    })
}

/// Lets go of every file that this thread keeps: somebody needs a descriptor. Was there any?
pub(crate) fn let_go() -> bool {
    KEPT.with_borrow_mut(|kept| {
        let any = !kept.is_empty();
        kept.clear();
        any
    })
}

/// Keeps a file that was just opened for this path, unless `kept_max` of this directory are kept already: more
/// hot files in a second than that are opened as usual.
pub(crate) fn keep(
    root: &Arc<Root>,
    path: &str,
    target: Target,
    ready: &Rc<Ready>,
    kept_max: usize,
) {
    KEPT.with_borrow_mut(|kept| {
        let hot = kept.entry(address(root)).or_insert_with(|| Hot {
            files: HashMap::new(),
            _root: Arc::clone(root),
        });
        let now = Instant::now();
        if hot.files.len() < kept_max {
            let one = Kept {
                ready: Rc::clone(ready),
                target,
                looked_up: Cell::new(now),
                looked_at: Cell::new(Look::now(now)),
            };
            hot.files.insert(path.into(), one);
        }
    });
    sweep();
}

/// Lets go of files that nobody asks for any more: a removed file's space is free only then.
fn sweep() {
    if SWEEPING.replace(true) {
        return;
    }
    tokio::spawn(async {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            let empty = KEPT.with_borrow_mut(|kept| {
                kept.retain(|_, hot| {
                    hot.files.retain(|_, one| one.is_wanted(now));
                    !hot.files.is_empty()
                });
                kept.is_empty()
            });
            if empty {
                SWEEPING.set(false);
                return;
            }
        }
    });
}

fn address(root: &Arc<Root>) -> usize {
    Arc::as_ptr(root).addr()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::open::Kind;

    fn root_with(content: &str) -> (tempfile::TempDir, Arc<Root>) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), content).unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        (dir, root)
    }

    fn open(root: &Arc<Root>) -> Rc<Ready> {
        let found = root.find(&Target::parse("/a").unwrap()).unwrap();
        let Kind::File(facts) = found.kind else {
            panic!("a file")
        };
        let ready = Ready::new(found.file, facts, HeaderValue::from_static("text/plain"));
        keep(
            root,
            "/a",
            Target::parse("/a").unwrap(),
            &ready,
            KEPT_MAX_DEFAULT,
        );
        ready
    }

    fn age(path: &Path) {
        let before = SystemTime::now() - Duration::from_secs(100);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(before)
            .unwrap();
    }

    #[tokio::test]
    async fn a_hot_file_is_kept_until_it_changes() {
        let (dir, root) = root_with("one");
        let ready = open(&root);
        assert!(Rc::ptr_eq(&find(&root, "/a").unwrap(), &ready));
        assert!(find(&root, "/b").is_none());
        let (_other, other_root) = root_with("one");
        assert!(
            find(&other_root, "/a").is_none(),
            "another directory has other files"
        );

        fs::write(dir.path().join("a"), "other").unwrap();
        assert!(find(&root, "/a").is_none(), "a change is seen at once");
        open(&root);
        age(&dir.path().join("a"));
        assert!(find(&root, "/a").is_none(), "its times count, too");
    }

    #[tokio::test]
    async fn content_that_could_change_unseen_is_not_kept() {
        let (_dir, root) = root_with("one");
        let ready = open(&root);
        let content = Bytes::from_static(b"one");
        // It was written a moment ago.
        ready.keep_content(&content, Bytes::copy_from_slice);
        assert_eq!(ready.content(0, 3), None);
        let settled = Ready {
            facts: FileFacts {
                modified_ns: 1,
                changed_ns: 1,
                ..ready.facts
            },
            file: Arc::clone(&ready.file),
            validators: Validators::new(&ready.facts),
            fields: ready.fields.clone(),
            content: RefCell::new(None),
        };
        settled.keep_content(b"on", Bytes::copy_from_slice);
        assert_eq!(settled.content(0, 2), None, "a part is not the whole");
        settled.keep_content(&content, Bytes::copy_from_slice);
        assert_eq!(settled.content(1, 2).as_deref(), Some(&b"ne"[..]));
        assert_eq!(settled.content(1, 3), None);
        assert_eq!(settled.content(u64::MAX, 2), None);
    }

    /// By then its name has to be looked at again.
    fn expire(path: &str) {
        KEPT.with_borrow(|kept| {
            for hot in kept.values() {
                let one = &hot.files[path];
                one.looked_up.set(Instant::now() - VALID);
                one.looked_at.set(Look::now(Instant::now()));
            }
        });
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_name_that_still_stands_for_its_file_keeps_it_open() {
        let (dir, root) = root_with("one");
        let ready = open(&root);
        expire("/a");
        assert!(Rc::ptr_eq(&find(&root, "/a").unwrap(), &ready));

        // As large and as old, but another file.
        let path = dir.path().join("a");
        let times = fs::metadata(&path).unwrap().modified().unwrap();
        fs::rename(&path, dir.path().join("before")).unwrap();
        fs::write(&path, "two").unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(times)
            .unwrap();
        expire("/a");
        assert!(find(&root, "/a").is_none(), "replaced");

        open(&root);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("before", &path).unwrap();
        expire("/a");
        assert!(find(&root, "/a").is_none(), "a link now");

        fs::remove_file(&path).unwrap();
        fs::rename(dir.path().join("before"), &path).unwrap();
        open(&root);
        fs::remove_file(&path).unwrap();
        expire("/a");
        assert!(find(&root, "/a").is_none(), "removed");
    }

    #[tokio::test]
    async fn who_needs_descriptors_gets_them() {
        let (_dir, root) = root_with("one");
        let ready = open(&root);
        assert!(let_go());
        assert_eq!(Rc::strong_count(&ready), 1);
        assert!(!let_go(), "there is nothing more");
    }

    #[tokio::test]
    async fn no_more_is_kept_than_is_permitted() {
        let (_dir, root) = root_with("one");
        let ready = open(&root);
        keep(&root, "/b", Target::parse("/a").unwrap(), &ready, 1);
        assert!(find(&root, "/b").is_none(), "one file is kept already");
        keep(&root, "/b", Target::parse("/a").unwrap(), &ready, 2);
        assert!(find(&root, "/b").is_some());

        let piece = Bytes::from(vec![0; CONTENTS_MAX / 2]);
        let first = Content::new(&piece).unwrap();
        let second = Content::new(&piece).unwrap();
        assert!(Content::new(&Bytes::from_static(b"x")).is_none(), "full");
        drop((first, second));
        assert!(
            Content::new(&piece).is_some(),
            "what is gone counts no more"
        );
    }

    #[tokio::test]
    async fn what_nobody_asks_for_is_let_go() {
        let (_dir, root) = root_with("one");
        let ready = open(&root);
        assert_eq!(Rc::strong_count(&ready), 2);
        let gone = async {
            while Rc::strong_count(&ready) > 1 {
                tokio::time::sleep(VALID / 20).await;
            }
        };
        tokio::time::timeout(10 * VALID, gone).await.unwrap();
        assert!(KEPT.with_borrow(HashMap::is_empty));
    }
}
