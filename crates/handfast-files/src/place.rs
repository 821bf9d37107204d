//! The directory that is served, found by its path: when the path leads to another directory, that one is opened.
//!
//! A build removes `dist/` and makes it again; a deployment switches the link `current`. The open directory remains
//! the old one, so that the path is looked at again, on request, at most once in [`LOOK`], and if something is not found, in
//! [`LOOK_AFTER_MISS`]. A request has one directory from its
//! beginning to its end. Until another one is open, the previous one is served.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::blocking::off_thread;
use crate::open::{Links, Root, Unlinked};

/// How long the path is assumed to lead to the same directory, as the names beneath it are (`hot.rs`).
const LOOK: Duration = Duration::from_secs(1);

/// The same after a file was not found: a build that has just made the directory again is seen at once. 20 more looks a second are the
/// most that requests for what does not exist can cause.
const LOOK_AFTER_MISS: Duration = Duration::from_millis(50);

/// A directory and its path.
#[derive(Debug)]
pub(crate) struct Place {
    /// Absolute, so that it means the same when the process changes its directory; its links are not resolved.
    path: PathBuf,
    links: Links,
    /// Where no link leads to.
    unlinked: Option<Unlinked>,
    current: RwLock<Arc<Root>>,
    began: Instant,
    /// When the path is to be looked at again, in milliseconds since `began`.
    due_ms: AtomicU64,
    /// The same after a file was not found.
    due_after_miss_ms: AtomicU64,
}

impl Place {
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let links = Links::Beneath;
        let root = Root::open(directory, links)?;
        Ok(Self {
            path: std::path::absolute(directory)?,
            links,
            unlinked: None,
            current: RwLock::new(Arc::new(root)),
            began: Instant::now(),
            due_ms: AtomicU64::new(milliseconds(LOOK)),
            due_after_miss_ms: AtomicU64::new(milliseconds(LOOK_AFTER_MISS)),
        })
    }

    /// The same directory, in which links may lead elsewhere.
    pub(crate) fn with_links(&self, links: Links) -> Self {
        self.with(links, self.unlinked.clone())
    }

    /// The same directory, from which no link leads into these.
    pub(crate) fn with_unlinked(&self, directories: Vec<PathBuf>) -> Self {
        self.with(self.links, Some(Unlinked::new(&self.path, directories)))
    }

    fn with(&self, links: Links, unlinked: Option<Unlinked>) -> Self {
        let root = self.current().with_rules(links, unlinked.clone());
        Self {
            path: self.path.clone(),
            links,
            unlinked,
            current: RwLock::new(Arc::new(root)),
            began: self.began,
            due_ms: AtomicU64::new(self.due_ms.load(Ordering::Relaxed)),
            due_after_miss_ms: AtomicU64::new(self.due_after_miss_ms.load(Ordering::Relaxed)),
        }
    }

    /// The directory for a request, after a look at the path that [is due](Self::is_due).
    pub(crate) async fn look(self: &Arc<Self>, root: Arc<Root>) -> Arc<Root> {
        if root.is_at_cached(&self.path) {
            return root;
        }
        let place = Arc::clone(self);
        match off_thread(move || place.reopen()).await {
            Ok(Ok(_)) => self.current(),
            // It is about to be made again, or not readable: the one that is open is still good.
            Ok(Err(_)) | Err(_) => root,
        }
    }

    /// Opens what the path leads to, if that is another directory, and says whether it is. May block.
    pub(crate) fn reopen(&self) -> io::Result<bool> {
        if self.current().is_at(&self.path)? {
            return Ok(false);
        }
        let root = Root::open(&self.path, self.links)?;
        let root = Arc::new(root.with_rules(self.links, self.unlinked.clone()));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = root;
        Ok(true)
    }

    /// The directory that is open now.
    pub(crate) fn current(&self) -> Arc<Root> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the path must be [looked at](Self::look): true for one of those who ask at the same time.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.is_time(&self.due_ms, LOOK, now)
    }

    /// Another directory, if there is one and it is time to look, for those who did not find what they asked for in this one.
    pub(crate) async fn look_after_miss(
        self: &Arc<Self>,
        root: &Arc<Root>,
        now: Instant,
    ) -> Option<Arc<Root>> {
        if !self.is_time(&self.due_after_miss_ms, LOOK_AFTER_MISS, now) {
            return None;
        }
        let other = self.look(Arc::clone(root)).await;
        (!Arc::ptr_eq(root, &other)).then_some(other)
    }

    fn is_time(&self, due: &AtomicU64, every: Duration, now: Instant) -> bool {
        let now_ms = milliseconds(now.saturating_duration_since(self.began));
        let due_ms = due.load(Ordering::Relaxed);
        let next_ms = now_ms.saturating_add(milliseconds(every));
        now_ms >= due_ms
            && due
                .compare_exchange(due_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::path::Target;

    fn has(root: &Root, path: &str) -> bool {
        root.find(&Target::parse(path).unwrap()).is_ok()
    }

    /// The directory for the next request.
    async fn root(place: &Arc<Place>) -> Arc<Root> {
        let root = place.current();
        match place.is_due(Instant::now()) {
            true => place.look(root).await,
            false => root,
        }
    }

    /// As if a second had passed.
    fn expire(place: &Place) {
        place.due_ms.store(0, Ordering::Relaxed);
    }

    #[tokio::test]
    async fn after_a_missing_file_a_new_directory_is_looked_for() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("dist");
        fs::create_dir(&path).unwrap();
        let place = Arc::new(Place::open(&path).unwrap());
        let before = place.current();
        fs::rename(&path, base.path().join("before")).unwrap();
        fs::create_dir(&path).unwrap();
        let (now, due) = (place.began, place.began + LOOK_AFTER_MISS);
        assert!(place.look_after_miss(&before, now).await.is_none());
        let other = place.look_after_miss(&before, due).await.unwrap();
        assert!(Arc::ptr_eq(&other, &place.current()));
        let due = due + LOOK_AFTER_MISS;
        assert!(place.look_after_miss(&other, due).await.is_none());
    }

    #[tokio::test]
    async fn a_directory_made_again_is_opened_and_a_missing_one_is_kept() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("dist");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("old"), "").unwrap();
        let place = Arc::new(Place::open(&path).unwrap());
        expire(&place);
        let before = root(&place).await;
        assert!(has(&before, "/old"));

        fs::rename(&path, base.path().join("before")).unwrap();
        expire(&place);
        assert!(Arc::ptr_eq(&root(&place).await, &before), "none is there");
        assert!(place.reopen().is_err());
        fs::write(&path, "").unwrap();
        expire(&place);
        assert!(Arc::ptr_eq(&root(&place).await, &before), "a file is there");
        fs::remove_file(&path).unwrap();

        fs::create_dir(&path).unwrap();
        fs::write(path.join("new"), "").unwrap();
        assert!(Arc::ptr_eq(&root(&place).await, &before), "not due");
        expire(&place);
        let after = root(&place).await;
        assert!(has(&after, "/new") && !has(&after, "/old"));
        assert!(has(&before, "/old"), "a request under way is not affected");
        assert!(!place.reopen().unwrap(), "it is open");
    }

    #[tokio::test]
    async fn a_switched_link_leads_to_the_other_directory() {
        let base = tempfile::tempdir().unwrap();
        for name in ["1", "2"] {
            fs::create_dir(base.path().join(name)).unwrap();
            fs::write(base.path().join(name).join(name), "").unwrap();
        }
        let current = base.path().join("current");
        symlink("1", &current).unwrap();
        let place = Arc::new(Place::open(&current).unwrap());
        assert!(has(&place.current(), "/1"));
        symlink("2", base.path().join("next")).unwrap();
        fs::rename(base.path().join("next"), &current).unwrap();
        assert!(place.reopen().unwrap());
        assert!(has(&place.current(), "/2"));
    }

    #[test]
    fn one_of_several_requests_looks() {
        let base = tempfile::tempdir().unwrap();
        let place = Place::open(base.path()).unwrap();
        let began = place.began;
        assert!(!place.is_due(began + LOOK / 2));
        assert!(place.is_due(began + LOOK));
        assert!(!place.is_due(began + LOOK));
        assert!(!place.is_due(began + LOOK * 3 / 2));
        assert!(place.is_due(began + LOOK * 2));
    }
}
