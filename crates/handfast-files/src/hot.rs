//! Files that are requested repeatedly, kept open by the serving thread.
//!
//! A hot file stays open with the fields of its replies, and a small one with its content.
//! Before each use the open file is checked (`fstat`), once in a turn of the event loop: a change of
//! it is detected immediately. Its name is resolved again every [`VALID`], so that a file that
//! was replaced or removed is served no longer than that; an unchanged one stays open.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED,
    X_CONTENT_TYPE_OPTIONS,
};

use crate::look::Look;
use crate::open::{FileFacts, Root, look_at};
use crate::path::Target;
use crate::reply::Validators;

/// How long a name is assumed to be the same file. The cost for a hot file is not measurable, and
/// a replaced file is served within this time.
const VALID: Duration = Duration::from_secs(1);

/// How often unused files are closed: in small portions, which do not delay replies.
const SWEEP: Duration = Duration::from_millis(125);

/// The default limit on files kept by a thread. Each uses a descriptor, of which a process often
/// has only 1024.
pub(crate) const KEPT_MAX_DEFAULT: usize = 128;

/// The largest content that is kept.
const CONTENT_MAX: u64 = 16 * 1024;

/// The limit on content kept by a thread.
const CONTENTS_MAX: usize = 4 * 1024 * 1024;

/// Content is kept only of files that have been unchanged for so long: a mistake about the clocks of a network file system
/// would last as long as the file is hot.
const CALM: Duration = Duration::from_secs(3);

thread_local! {
    static KEPT: RefCell<HashMap<usize, Hot>> = RefCell::default();
    /// Bytes of content that are kept.
    static CONTENTS: Cell<usize> = const { Cell::new(0) };
    static SWEPT: Cell<Option<Instant>> = const { Cell::new(None) };
    /// Alive as long as the timer that sweeps, which ends with its runtime.
    static TIMER: RefCell<Weak<()>> = const { RefCell::new(Weak::new()) };
}

/// The hot files of one served directory, by the path in requests.
struct Hot {
    files: HashMap<Box<str>, Kept>,
    /// Keeps the address, which identifies the directory, from being reused.
    _root: Arc<Root>,
}

struct Kept {
    ready: Rc<Ready>,
    /// Its name beneath the directory.
    target: Target,
    looked_up: Cell<Instant>,
    looked_at: Cell<Look>,
}

impl Kept {
    fn is_valid(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.looked_up.get()) < VALID
    }

    /// Whether it was requested recently. A little longer than it is valid, so that a file requested every second stays.
    fn is_wanted(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.looked_up.get()) < VALID + 2 * SWEEP
    }

    /// Whether its name still resolves to it.
    fn still_stands(&self, root: &Root, now: Instant) -> bool {
        let stands = root.still_leads_to(&self.target, &self.ready.facts);
        if stands {
            self.looked_up.set(now);
            self.looked_at.set(Look::now(now));
        }
        stands
    }

    /// Whether the open file is unchanged.
    fn is_unchanged(&self, now: Instant) -> bool {
        if self.looked_at.get().is_fresh(now) {
            return true;
        }
        let unchanged = look_at(&self.ready.file).ok() == Some(self.ready.facts);
        self.looked_at.set(Look::now(now));
        unchanged
    }
}

/// A file, and the fields of its replies.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) file: Arc<File>,
    pub(crate) facts: FileFacts,
    pub(crate) validators: Validators,
    /// The fields of every reply, whole or partial.
    pub(crate) fields: HeaderMap,
    content: RefCell<Option<Content>>,
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
        file: File,
        facts: FileFacts,
        media: HeaderValue,
        cache_control: Option<HeaderValue>,
    ) -> Rc<Self> {
        let validators = Validators::new(&facts, SystemTime::now());
        let fields = [
            (ETAG, validators.etag.clone()),
            (LAST_MODIFIED, validators.last_modified.clone()),
            (CONTENT_TYPE, media),
            (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        let cache_control = cache_control.map(|value| (CACHE_CONTROL, value));
        Rc::new(Self {
            file: Arc::new(file),
            fields: fields.into_iter().chain(cache_control).collect(),
            validators,
            facts,
            content: RefCell::new(None),
        })
    }

    /// Whether its fields could say more now: its tag is weak, and need not be any more.
    pub(crate) fn is_outdated(&self) -> bool {
        self.validators.is_weak() && self.facts.is_settled(SystemTime::now())
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

/// The file kept for this path, if it is unchanged.
pub(crate) fn find(root: &Arc<Root>, path: &str) -> Option<Rc<Ready>> {
    let now = Instant::now();
    sweep(now);
    KEPT.with_borrow_mut(|kept| {
        let files = &mut kept.get_mut(&address(root))?.files;
        let found = files.get(path)?;
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

/// Closes every file that this thread keeps, because a descriptor is needed. Returns whether there was any.
pub(crate) fn let_go() -> bool {
    KEPT.with_borrow_mut(|kept| {
        let any = !kept.is_empty();
        kept.clear();
        any
    })
}

/// Keeps a newly opened file for this path, unless `kept_max` of this directory are kept already: more
/// hot files in a second than that are opened as usual.
pub(crate) fn keep(
    root: &Arc<Root>,
    path: &str,
    target: Target,
    ready: &Rc<Ready>,
    kept_max: usize,
) {
    let now = Instant::now();
    sweep(now);
    KEPT.with_borrow_mut(|kept| {
        let hot = kept.entry(address(root)).or_insert_with(|| Hot {
            files: HashMap::new(),
            _root: Arc::clone(root),
        });
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
    start_timer();
}

/// Closes files that are no longer requested, unless that was done recently. Returns whether any are kept.
fn sweep(now: Instant) -> bool {
    let is_due = |swept: Instant| now.saturating_duration_since(swept) >= SWEEP;
    KEPT.with_borrow_mut(|kept| {
        if SWEPT.get().is_none_or(is_due) {
            SWEPT.set(Some(now));
            kept.retain(|_, hot| {
                hot.files.retain(|_, one| one.is_wanted(now));
                !hot.files.is_empty()
            });
        }
        !kept.is_empty()
    })
}

/// Sweeps while there are no requests: a removed file's space is free only when the file is closed.
///
/// A runtime with several threads may run this on another thread than this one, which keeps nothing: there, the next
/// request sweeps.
fn start_timer() {
    TIMER.with_borrow_mut(|timer| {
        if timer.strong_count() > 0 {
            return;
        }
        let alive = Arc::new(());
        *timer = Arc::downgrade(&alive);
        tokio::spawn(async move {
            while {
                tokio::time::sleep(SWEEP).await;
                sweep(Instant::now())
            } {}
            drop(alive);
        });
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
        let ready = Ready::new(
            found.file,
            facts,
            HeaderValue::from_static("text/plain"),
            None,
        );
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
    async fn content_that_could_change_undetected_is_not_kept() {
        let (_dir, root) = root_with("one");
        let ready = open(&root);
        let content = Bytes::from_static(b"one");
        // It was written just now.
        ready.keep_content(&content, Bytes::copy_from_slice);
        assert_eq!(ready.content(0, 3), None);
        let settled = Ready {
            facts: FileFacts {
                modified_ns: 1,
                changed_ns: 1,
                ..ready.facts
            },
            file: Arc::clone(&ready.file),
            validators: Validators::new(&ready.facts, SystemTime::now()),
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

    /// Makes its name due for a check.
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
    async fn an_unchanged_name_keeps_its_file_open() {
        let (dir, root) = root_with("one");
        let ready = open(&root);
        expire("/a");
        assert!(Rc::ptr_eq(&find(&root, "/a").unwrap(), &ready));

        // The same size and time, but another file.
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
    async fn kept_files_are_closed_if_descriptors_are_needed() {
        let (_dir, root) = root_with("one");
        let ready = open(&root);
        assert!(let_go());
        assert_eq!(Rc::strong_count(&ready), 1);
        assert!(!let_go(), "there is nothing more");
    }

    #[tokio::test]
    async fn no_more_is_kept_than_the_limit() {
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
        assert!(Content::new(&piece).is_some(), "closed files do not count");
    }

    /// Waits until a file is not kept any more, with `meanwhile` again and again.
    async fn until_closed(ready: &Rc<Ready>, meanwhile: impl Fn()) {
        assert_eq!(Rc::strong_count(ready), 2);
        let closed = async {
            while Rc::strong_count(ready) > 1 {
                tokio::time::sleep(VALID / 20).await;
                meanwhile();
            }
        };
        tokio::time::timeout(10 * VALID, closed).await.unwrap();
        assert!(KEPT.with_borrow(HashMap::is_empty));
    }

    #[test]
    fn unused_files_are_closed_in_every_runtime_of_a_thread() {
        let (_dir, root) = root_with("one");
        for name in ["the first ends before its files are closed", "the second"] {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            runtime.block_on(async {
                let ready = open(&root);
                if name == "the second" {
                    until_closed(&ready, || ()).await;
                }
            });
        }
    }

    /// Its timers run on other threads than its requests.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn unused_files_are_closed_by_requests_in_a_runtime_with_several_threads() {
        let (_dir, root) = root_with("one");
        let ready = open(&root);
        until_closed(&ready, || assert!(find(&root, "/b").is_none())).await;
        let ready = open(&root);
        let other = root_with("one");
        until_closed(&ready, || assert!(find(&other.1, "/a").is_none())).await;
    }
}
