//! What a directory holds, as a page that is made while it is sent.
//!
//! A page is made in portions as large as may be sent, one after the other, on a thread that gives way to the one that
//! serves (`background.rs`): listings hold up neither other clients, nor files that a disk is asked for, nor one
//! another for long. Portions are made in the order in which they were requested; no page waits for the client of
//! another, and no page is made for a client that has gone.

mod html;
mod json;

use std::cell::Cell;
use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use handfast_https::server::{BodyError, Pull};

use crate::accept::Form;
use crate::background::{Work, behind};
use crate::entries::Batch;
use crate::open::{Kind, Root, glance};
use crate::path::Target;
use crate::quota::Quota;

/// The largest portion of a page, in bytes, however much may be sent.
const PORTION_MAX: usize = 64 * 1024;

/// Pages of a thread that may keep a batch of names from one portion to the next: 2 MiB of names. A page beyond that
/// reads its directory again for each portion.
const BATCHES_MAX: usize = 8;

thread_local! {
    static BATCHES: Cell<usize> = const { Cell::new(0) };
}

/// A page that is being sent.
pub(crate) struct ListingBody {
    /// At rest; at work it is elsewhere.
    page: Option<Box<Page>>,
    work: Option<Work<(Box<Page>, io::Result<String>)>>,
    /// Leave to keep a batch, from before it is read: without it nothing is kept.
    kept: Option<Quota>,
    /// What was made and not yet asked for: little more than one entry.
    text: Bytes,
    stop: Arc<AtomicBool>,
}

impl ListingBody {
    /// Shows at most `entries_max` entries.
    pub(crate) fn new(
        root: &Arc<Root>,
        directory: File,
        target: Target,
        form: Form,
        entries_max: usize,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let page = Page {
            root: Arc::clone(root),
            directory,
            target,
            form,
            entries_max,
            now: unix_now(),
            part: Part::Head,
            batch: None,
            last: None,
            shown: 0,
            stop: Arc::clone(&stop),
        };
        Self {
            page: Some(Box::new(page)),
            work: None,
            kept: None,
            text: Bytes::new(),
            stop,
        }
    }
}

impl Pull for ListingBody {
    fn remaining(&self) -> Option<u64> {
        None
    }

    fn is_end(&self) -> bool {
        self.text.is_empty()
            && self.work.is_none()
            && self.page.as_ref().is_none_or(|page| page.is_done())
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if !self.text.is_empty() {
                let count = max.min(self.text.len());
                return Poll::Ready(Some(Ok(self.text.split_to(count))));
            }
            if let Some(work) = &mut self.work {
                let done = ready!(Pin::new(work).poll(cx));
                self.work = None;
                match done {
                    Ok((page, Ok(text))) => {
                        self.text = text.into();
                        if page.batch.is_none() {
                            self.kept = None;
                        }
                        self.page = Some(page);
                    }
                    Ok((_, Err(error))) | Err(error) => {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
                continue;
            }
            if self.is_end() {
                return Poll::Ready(None);
            }
            let Some(mut page) = self.page.take() else {
                return Poll::Ready(None);
            };
            let portion = max.clamp(1, PORTION_MAX);
            let kept = self.kept.take();
            self.kept = kept.or_else(|| Quota::take(&BATCHES, BATCHES_MAX));
            let may_keep = self.kept.is_some();
            self.work = Some(behind(move || {
                let text = page.go_on(portion);
                if !may_keep {
                    page.batch = None;
                }
                (page, text)
            }));
        }
    }
}

impl Drop for ListingBody {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// How far a page has been made, and what is needed to go on.
struct Page {
    root: Arc<Root>,
    directory: File,
    target: Target,
    form: Form,
    entries_max: usize,
    /// When it was requested, in seconds since 1970.
    now: i64,
    part: Part,
    batch: Option<Batch>,
    /// The last entry that was looked at.
    last: Option<(bool, Vec<u8>)>,
    shown: usize,
    stop: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    Entries,
    Done,
}

impl Page {
    fn is_done(&self) -> bool {
        self.part == Part::Done
    }

    /// Makes the next portion, of `portion` bytes and at most one entry more. May block.
    fn go_on(&mut self, portion: usize) -> io::Result<String> {
        let mut text = String::with_capacity(portion.min(PORTION_MAX));
        if self.part == Part::Head {
            match self.form {
                Form::Json => json::put_head(&mut text, &self.target),
                _ => html::put_head(&mut text, &self.target),
            }
            self.part = Part::Entries;
        }
        while self.part == Part::Entries && text.len() < portion {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let batch = match &mut self.batch {
                Some(batch) => batch,
                None => {
                    let after = self.last.as_ref();
                    let after = after.map(|(is_file, name)| (*is_file, name.as_slice()));
                    let (root, target) = (&self.root, &self.target);
                    let read = Batch::read(root, &self.directory, target, after, &self.stop);
                    self.batch.insert(read?)
                }
            };
            let (left, beyond, cut) = (batch.left(), batch.beyond, batch.cut);
            if left > 0 && self.shown < self.entries_max {
                if let Some((is_file, name)) = batch.next() {
                    self.last = Some((is_file, name.to_vec()));
                    let found = find(&self.root, &self.directory, &self.target, name);
                    if let Some(kind) = found {
                        match self.form {
                            Form::Json => json::put_row(&mut text, name, &kind, self.shown == 0),
                            _ => html::put_row(&mut text, name, &kind, self.now),
                        }
                        self.shown += 1;
                    }
                }
                continue;
            }
            self.batch = None;
            if left == 0 && beyond > 0 && self.shown < self.entries_max {
                continue;
            }
            match self.form {
                Form::Json => json::put_foot(&mut text, left + beyond, cut),
                _ => html::put_foot(&mut text, left + beyond, cut),
            }
            self.part = Part::Done;
        }
        Ok(text)
    }
}

/// Finds an entry the way a request would find it: one that would be refused is not shown.
fn find(root: &Root, directory: &File, target: &Target, name: &[u8]) -> Option<Kind> {
    glance(directory, name).or_else(|| root.find(&target.entry(name)).ok().map(|found| found.kind))
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::future::poll_fn;
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::open::Links;

    const ENTRIES_MAX: usize = 10_000;

    fn listing(base: &std::path::Path) -> ListingBody {
        listing_as(base, Form::Html)
    }

    fn listing_as(base: &std::path::Path, form: Form) -> ListingBody {
        let root = Arc::new(Root::open(base, Links::Beneath).unwrap());
        let target = Target::parse("/").unwrap();
        let directory = root.find(&target).unwrap().file;
        ListingBody::new(&root, directory, target, form, ENTRIES_MAX)
    }

    async fn all(mut body: ListingBody, max: usize) -> String {
        let mut text = Vec::new();
        while let Some(piece) = poll_fn(|cx| body.poll_piece(cx, max)).await {
            let piece = piece.unwrap();
            assert!(piece.len() <= max);
            text.extend_from_slice(&piece);
        }
        assert!(body.is_end());
        String::from_utf8(text).unwrap()
    }

    /// Whatever is asked for at a time, and with or without the names kept between portions.
    #[tokio::test]
    async fn a_page_is_the_same_in_portions_of_any_size() {
        let base = tempfile::tempdir().unwrap();
        for number in 0..200 {
            fs::write(base.path().join(format!("f{number:03}")), "").unwrap();
        }
        fs::create_dir(base.path().join("z")).unwrap();
        fs::write(base.path().join(".hidden"), "").unwrap();
        let whole = all(listing(base.path()), usize::MAX).await;
        let rows: Vec<_> = whole
            .lines()
            .filter(|line| line.contains("href="))
            .collect();
        assert_eq!(rows.len(), 201);
        assert!(
            rows[0].contains("./z/") && rows[1].contains("./f000"),
            "{whole}"
        );
        assert!(rows[200].contains("./f199") && whole.ends_with("</html>\n"));
        for max in [1, 100, 1000] {
            assert!(all(listing(base.path()), max).await == whole, "{max}");
        }
        BATCHES.set(BATCHES_MAX);
        assert!(
            all(listing(base.path()), 3000).await == whole,
            "none are kept"
        );
        assert_eq!(BATCHES.replace(0), BATCHES_MAX);
    }

    #[tokio::test]
    async fn programs_get_json_of_any_name() {
        let base = tempfile::tempdir().unwrap();
        let names = ["a\"b\\c", "tab\t", "\u{e4}", "f2", "f10"];
        for name in names {
            fs::write(base.path().join(name), "12345").unwrap();
        }
        fs::create_dir(base.path().join("sub")).unwrap();
        let text = all(listing_as(base.path(), Form::Json), 7).await;
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&json["path"], &json["complete"]),
            (&"/".into(), &true.into())
        );
        let entries = json["entries"].as_array().unwrap();
        let found: Vec<_> = entries
            .iter()
            .map(|entry| entry["name"].as_str().unwrap())
            .collect();
        assert_eq!(found, ["sub", "a\"b\\c", "f2", "f10", "tab\t", "\u{e4}"]);
        assert_eq!(entries[0]["type"], "directory");
        assert_eq!(
            (&entries[2]["size"], &entries[2]["href"]),
            (&5.into(), &"./f2".into())
        );
        assert!(entries[2]["modified"].as_str().unwrap().ends_with('Z'));
        let empty = tempfile::tempdir().unwrap();
        let text = all(listing_as(empty.path(), Form::Json), 4000).await;
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["entries"].as_array().map(Vec::len), Some(0));
    }

    #[tokio::test]
    async fn a_large_directory_is_cut_with_a_word_and_its_directories_are_shown() {
        let base = tempfile::tempdir().unwrap();
        for number in 0..ENTRIES_MAX + 500 {
            fs::write(base.path().join(format!("file{number:05}.txt")), "").unwrap();
        }
        fs::create_dir(base.path().join("zz-sub")).unwrap();
        let page = all(listing(base.path()), usize::MAX).await;
        assert!(page.contains("href=\"./zz-sub/\""));
        assert_eq!(page.matches("<tr>").count(), ENTRIES_MAX);
        assert!(
            page.contains("and 501 more</p>"),
            "{}",
            &page[page.len() - 2000..]
        );
    }

    /// Asks for the first portion of each, while the thread that makes them is held up.
    async fn begin(bodies: &mut [ListingBody], max: usize) {
        let (go_on, held_up) = mpsc::channel::<()>();
        let busy = behind(move || held_up.recv().is_err());
        for body in bodies {
            let polled = poll_fn(|cx| Poll::Ready(body.poll_piece(cx, max))).await;
            assert!(polled.is_pending());
        }
        drop(go_on);
        assert!(busy.await.unwrap());
    }

    #[tokio::test]
    async fn a_listing_whose_client_takes_nothing_does_not_delay_another() {
        let base = tempfile::tempdir().unwrap();
        fs::write(base.path().join("f"), "").unwrap();
        let mut bodies: Vec<_> = (0..100).map(|_| listing(base.path())).collect();
        begin(&mut bodies, 1000).await;
        // Only the last is polled again.
        let last = bodies.pop().unwrap();
        let page = timeout(Duration::from_secs(20), all(last, usize::MAX));
        assert!(page.await.unwrap().contains("./f"));
    }

    #[tokio::test]
    async fn names_are_kept_for_no_more_pages_than_allowed_whether_or_not_clients_take_them() {
        let base = tempfile::tempdir().unwrap();
        for number in 0..100 {
            fs::write(base.path().join(format!("f{number}")), "").unwrap();
        }
        let mut bodies: Vec<_> = (0..4 * BATCHES_MAX).map(|_| listing(base.path())).collect();
        // The beginning of a page, and some entries.
        begin(&mut bodies, 6000).await;
        let mut kept = 0;
        for body in &mut bodies {
            let (page, _) = body.work.take().unwrap().await.unwrap();
            kept += usize::from(page.batch.is_some());
        }
        assert_eq!(kept, BATCHES_MAX);
        drop(bodies);
        assert_eq!(BATCHES.get(), 0);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_would_not_be_served_is_not_shown() {
        use std::os::unix::fs::symlink;
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("sub")).unwrap();
        fs::write(base.path().join("file"), "").unwrap();
        for (to, link) in [
            ("sub", "to-sub"),
            ("file", "to-file"),
            ("none", "broken"),
            ("/etc/passwd", "outside"),
            ("pipe", "to-pipe"),
        ] {
            symlink(to, base.path().join(link)).unwrap();
        }
        let _ = rustix::fs::mknodat(
            rustix::fs::CWD,
            base.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        );
        let page = all(listing(base.path()), usize::MAX).await;
        let shown: Vec<_> = page
            .split("href=\"./")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        let expected: &[&str] = match cfg!(target_os = "linux") {
            true => &["sub/", "to-sub/", "file", "to-file"],
            false => &["sub/", "file"],
        };
        assert_eq!(shown, expected);
    }
}
