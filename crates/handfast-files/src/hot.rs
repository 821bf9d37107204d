//! Files that are requested repeatedly, kept open by the serving thread.
//!
//! A hot file stays open with the fields of its replies, and a small one with its content.
//! Before each use the open file is checked (`fstat`), once in an iteration of the event loop: a change of
//! it is detected immediately. Its name is resolved again every second, so that a file that
//! was replaced or removed is served no longer than that; an unchanged one stays open.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::look::Look;
use crate::open::{Root, look_at};
use crate::options::Options;
use crate::ready::{Ready, VALID};

/// How often unused files are closed: in small portions, which do not delay replies.
const SWEEP: Duration = Duration::from_millis(125);

thread_local! {
    static KEPT: RefCell<HashMap<Key, Hot, BuildHasherDefault<AddressHasher>>> = RefCell::default();
    static SWEPT: Cell<Option<Instant>> = const { Cell::new(None) };
    /// Alive as long as the timer that sweeps, which ends with its runtime.
    static TIMER: RefCell<Weak<()>> = const { RefCell::new(Weak::new()) };
}

/// A directory and how it is served, by their addresses: with other options the same file has other fields.
type Key = (usize, usize);

/// For addresses, which no client chooses: mixing them takes a tenth of the time of the general hash.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize((*byte).into());
        }
    }

    fn write_usize(&mut self, address: usize) {
        // An odd number with as many ones as zeros (the golden ratio's fraction): each bit of the address changes those above it.
        self.0 = (self.0.rotate_left(5) ^ address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        // The table looks at the lowest bits first, and those of addresses are all the same.
        self.0.rotate_left(26)
    }
}

/// The hot files of one directory that is served in one way, by the path in requests.
struct Hot {
    files: HashMap<Box<str>, Kept>,
    /// They keep their addresses from being reused.
    _held: (Arc<Root>, Arc<Options>),
}

struct Kept {
    ready: Rc<Ready>,
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
        let stands = root.still_leads_to(&self.ready.target, &self.ready.facts);
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

/// The file kept for this path, if it is unchanged.
pub(crate) fn find(
    root: &Arc<Root>,
    options: &Arc<Options>,
    path: &str,
    now: Instant,
) -> Option<Rc<Ready>> {
    if is_sweep_due(now) {
        sweep(now);
    }
    KEPT.with_borrow_mut(|kept| {
        let files = &mut kept.get_mut(&key(root, options))?.files;
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

/// Keeps a newly opened file for this path, in place of the one that was kept for it. Unless as many others of this directory are
/// kept as may be: more hot files in a second than that are opened as usual.
pub(crate) fn keep(root: &Arc<Root>, options: &Arc<Options>, path: &str, ready: &Rc<Ready>) {
    let now = Instant::now();
    if is_sweep_due(now) {
        sweep(now);
    }
    KEPT.with_borrow_mut(|kept| {
        let hot = kept.entry(key(root, options)).or_insert_with(|| Hot {
            files: HashMap::new(),
            _held: (Arc::clone(root), Arc::clone(options)),
        });
        if hot.files.len() < options.kept_max || hot.files.contains_key(path) {
            let one = Kept {
                ready: Rc::clone(ready),
                looked_up: Cell::new(now),
                looked_at: Cell::new(Look::now(now)),
            };
            hot.files.insert(path.into(), one);
        }
    });
    start_timer();
}

fn is_sweep_due(now: Instant) -> bool {
    let is_due = |swept: Instant| now.saturating_duration_since(swept) >= SWEEP;
    SWEPT.get().is_none_or(is_due)
}

/// Closes files that are no longer requested. Returns whether any are kept.
fn sweep(now: Instant) -> bool {
    SWEPT.set(Some(now));
    KEPT.with_borrow_mut(|kept| {
        kept.retain(|_, hot| {
            hot.files.retain(|_, one| one.is_wanted(now));
            !hot.files.is_empty()
        });
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

fn key(root: &Arc<Root>, options: &Arc<Options>) -> Key {
    (Arc::as_ptr(root).addr(), Arc::as_ptr(options).addr())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::time::SystemTime;

    use super::*;
    use crate::open::{Kind, Links};
    use crate::path::Target;
    use crate::ready::tests::plain;

    fn root_with(content: &str) -> (tempfile::TempDir, Arc<Root>) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), content).unwrap();
        let root = Arc::new(Root::open(dir.path(), Links::Beneath).unwrap());
        (dir, root)
    }

    /// The same at each call of a test.
    fn options() -> Arc<Options> {
        thread_local! {
            static OPTIONS: Arc<Options> = Arc::default();
        }
        OPTIONS.with(Arc::clone)
    }

    fn open(root: &Arc<Root>) -> Rc<Ready> {
        let ready = ready(root);
        keep(root, &options(), "/a", &ready);
        ready
    }

    fn ready(root: &Arc<Root>) -> Rc<Ready> {
        let found = root.find(&Target::parse("/a").unwrap()).unwrap();
        let Kind::File(facts) = found.kind else {
            panic!("a file")
        };
        let target = Target::parse("/a").unwrap();
        Ready::new(Arc::new(found.file), facts, target, plain())
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
        assert!(Rc::ptr_eq(
            &find(&root, &options(), "/a", Instant::now()).unwrap(),
            &ready
        ));
        assert!(find(&root, &options(), "/b", Instant::now()).is_none());
        let (_other, other_root) = root_with("one");
        assert!(
            find(&other_root, &options(), "/a", Instant::now()).is_none(),
            "another directory has other files"
        );

        fs::write(dir.path().join("a"), "other").unwrap();
        assert!(
            find(&root, &options(), "/a", Instant::now()).is_none(),
            "a change is seen at once"
        );
        open(&root);
        age(&dir.path().join("a"));
        assert!(
            find(&root, &options(), "/a", Instant::now()).is_none(),
            "its times count, too"
        );
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
        assert!(Rc::ptr_eq(
            &find(&root, &options(), "/a", Instant::now()).unwrap(),
            &ready
        ));

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
        assert!(
            find(&root, &options(), "/a", Instant::now()).is_none(),
            "replaced"
        );

        open(&root);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("before", &path).unwrap();
        expire("/a");
        assert!(
            find(&root, &options(), "/a", Instant::now()).is_none(),
            "a link now"
        );

        fs::remove_file(&path).unwrap();
        fs::rename(dir.path().join("before"), &path).unwrap();
        open(&root);
        fs::remove_file(&path).unwrap();
        expire("/a");
        assert!(
            find(&root, &options(), "/a", Instant::now()).is_none(),
            "removed"
        );
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
    async fn no_more_is_kept_than_the_limit_and_a_newer_state_replaces_the_one_before() {
        let (_dir, root) = root_with("one");
        let first = ready(&root);
        let with = |kept_max| {
            Arc::new(Options {
                kept_max,
                ..Options::default()
            })
        };
        let (one, two) = (with(1), with(2));
        for options in [&one, &two] {
            for path in ["/a", "/b", "/c"] {
                keep(&root, options, path, &first);
            }
            let kept = ["/a", "/b", "/c"].map(|path| is_kept(&root, options, path));
            assert_eq!(kept, [true, options.kept_max > 1, false]);
        }
        let newer = ready(&root);
        keep(&root, &one, "/a", &newer);
        let found = find(&root, &one, "/a", Instant::now()).unwrap();
        assert!(Rc::ptr_eq(&found, &newer));
    }

    #[tokio::test]
    async fn other_options_have_other_files() {
        let (_dir, root) = root_with("one");
        open(&root);
        let other = Arc::new(Options::default());
        assert!(is_kept(&root, &options(), "/a"));
        assert!(!is_kept(&root, &other, "/a"), "its fields may differ");
    }

    fn is_kept(root: &Arc<Root>, options: &Arc<Options>, path: &str) -> bool {
        find(root, options, path, Instant::now()).is_some()
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
        until_closed(&ready, || {
            assert!(find(&root, &options(), "/b", Instant::now()).is_none())
        })
        .await;
        let ready = open(&root);
        let other = root_with("one");
        until_closed(&ready, || {
            assert!(find(&other.1, &options(), "/a", Instant::now()).is_none())
        })
        .await;
    }
}
