//! What a directory holds, as a page that is made while it is sent.
//!
//! A page is made in portions as large as may be sent, one after the other, on a thread that gives way to the one that
//! serves (`background.rs`): listings hold up neither other clients, nor files that a disk is asked for, nor one
//! another for long. Portions are made in the order in which they were requested; no page waits for the client of
//! another, and no page is made for a client that has gone.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use handfast_https::server::{BodyError, Pull};

use crate::background::{Work, behind};
use crate::entries::Batch;
use crate::open::{FileFacts, Kind, Root, glance};
use crate::path::{Target, encode};

/// More entries than this are not shown: a longer page is of no use.
const ENTRIES_MAX: usize = 10_000;

/// The largest portion of a page, in bytes, however much may be sent.
const PORTION_MAX: usize = 64 * 1024;

/// Pages of a thread that may keep a batch of names from one portion to the next: 2 MiB of names. A page beyond that
/// reads its directory again for each portion.
const BATCHES_MAX: usize = 8;

thread_local! {
    static BATCHES: Cell<usize> = const { Cell::new(0) };
}

/// The page runs nothing and loads nothing, whatever a name should contrive.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;\
    padding:0 1rem;color-scheme:light dark}table{border-collapse:collapse;width:100%}\
    td,th{padding:.2rem .5rem;text-align:left}td+td,th+th{text-align:right;white-space:nowrap;\
    font-variant-numeric:tabular-nums}a{text-decoration:none}a:hover{text-decoration:underline}";

/// A page that is being sent.
pub(crate) struct ListingBody {
    /// At rest; at work it is elsewhere.
    page: Option<Box<Page>>,
    work: Option<Work<(Box<Page>, io::Result<String>)>>,
    /// Leave to keep a batch, from before it is read: nothing is kept without, whoever takes it and when.
    kept: Option<Kept>,
    /// What was made and not yet asked for: little more than one entry.
    text: Bytes,
    stop: Arc<AtomicBool>,
}

impl ListingBody {
    pub(crate) fn new(root: &Arc<Root>, directory: File, target: Target) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let page = Page {
            root: Arc::clone(root),
            directory,
            target,
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
            self.kept = self.kept.take().or_else(Kept::new);
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

/// Leave to keep one of the batches of a thread.
struct Kept;

impl Kept {
    fn new() -> Option<Self> {
        let kept = BATCHES.get();
        (kept < BATCHES_MAX).then(|| {
            BATCHES.set(kept + 1);
            Self
        })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = BATCHES.try_with(|kept| kept.set(kept.get().saturating_sub(1)));
    }
}

/// How far a page has been made, and what is needed to go on.
struct Page {
    root: Arc<Root>,
    directory: File,
    target: Target,
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
            put_head(&mut text, &self.target);
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
            if left > 0 && self.shown < ENTRIES_MAX {
                if let Some((is_file, name)) = batch.next() {
                    self.last = Some((is_file, name.to_vec()));
                    self.shown +=
                        put_entry(&mut text, &self.root, &self.directory, &self.target, name);
                }
                continue;
            }
            self.batch = None;
            if left == 0 && beyond > 0 && self.shown < ENTRIES_MAX {
                continue;
            }
            put_foot(&mut text, left + beyond, cut);
            self.part = Part::Done;
        }
        Ok(text)
    }
}

fn put_head(page: &mut String, target: &Target) {
    let title = escape(&format!("{}/", display(target)));
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head>\n\
         <body><h1>{title}</h1>\n<table>\n<tr><th>Name</th><th>Size</th><th>Modified (UTC)</th></tr>\n"
    );
    if !target.is_root() {
        page.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
}

/// Shows an entry, found the way a request would find it: one that would be refused is not shown. Says how many it showed.
fn put_entry(
    page: &mut String,
    root: &Root,
    directory: &File,
    target: &Target,
    name: &[u8],
) -> usize {
    let kind = match glance(directory, name) {
        Some(kind) => kind,
        None => match root.find(&target.entry(name)) {
            Ok(found) => found.kind,
            Err(_) => return 0,
        },
    };
    put_row(page, name, &kind);
    1
}

fn put_row(page: &mut String, name: &[u8], kind: &Kind) {
    let (slash, size, modified) = match kind {
        Kind::Directory => ("/", String::new(), String::new()),
        Kind::File(facts) => ("", facts.size.to_string(), modified(facts)),
    };
    let _ = writeln!(
        page,
        // "./" keeps a name with a colon from being read as a scheme.
        "<tr><td><a href=\"./{}{slash}\">{}{slash}</a></td><td>{size}</td><td>{modified}</td></tr>",
        encode(name),
        escape(&String::from_utf8_lossy(name)),
    );
}

fn put_foot(page: &mut String, left_out: usize, cut: bool) {
    page.push_str("</table>\n");
    if left_out > 0 || cut {
        let at_least = if cut { "at least " } else { "" };
        let _ = writeln!(page, "<p>and {at_least}{left_out} more</p>");
    }
    page.push_str("</body></html>\n");
}

fn display(target: &Target) -> String {
    let mut path = String::new();
    for name in target.names() {
        path.push('/');
        path.push_str(&String::from_utf8_lossy(name));
    }
    path
}

fn modified(facts: &FileFacts) -> String {
    let since = facts
        .modified()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let text = handfast::format_utc(i64::try_from(since.as_secs()).unwrap_or(0));
    text.replace('T', " ").trim_end_matches('Z').to_owned()
}

/// For text and for attribute values in quotes. Control characters, and those that turn the direction
/// of writing, are made visible.
fn escape(text: &str) -> String {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.bytes().all(harmless) {
        return text.to_owned();
    }
    let text = handfast::escape_control(text);
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::future::poll_fn;
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn listing(base: &std::path::Path) -> ListingBody {
        let root = Arc::new(Root::open(base).unwrap());
        let target = Target::parse("/").unwrap();
        let directory = root.find(&target).unwrap().file;
        ListingBody::new(&root, directory, target)
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

    #[test]
    fn a_listing_escapes_names() {
        let target = Target::parse("/a%3Cb/").unwrap();
        let facts = FileFacts {
            identity: (1, 2),
            size: 5,
            modified_ns: 1_700_000_000_000_000_000,
            changed_ns: 0,
        };
        let mut page = String::new();
        put_head(&mut page, &target);
        put_row(&mut page, b"sub", &Kind::Directory);
        let file = Kind::File(facts);
        put_row(&mut page, b"<script>alert('x')</script>&\".txt", &file);
        put_row(&mut page, b"javascript:\xff\x1b[2J", &file);
        put_foot(&mut page, 3, false);
        assert!(page.contains("<h1>/a&lt;b/</h1>"), "{page}");
        assert!(page.contains("<a href=\"./sub/\">sub/</a>"), "{page}");
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("href=\"./%3Cscript%3E"), "{page}");
        assert!(
            page.contains("href=\"./javascript%3A%FF%1B%5B2J\""),
            "{page}"
        );
        assert!(!page.contains('\x1b'), "{page}");
        assert!(page.contains("2023-11-14 22:13:20"), "{page}");
        assert!(page.contains("and 3 more"), "{page}");
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
    async fn a_large_directory_is_cut_with_a_word_and_its_directories_are_shown() {
        let base = tempfile::tempdir().unwrap();
        for number in 0..ENTRIES_MAX + 500 {
            fs::write(base.path().join(format!("file{number:05}.txt")), "").unwrap();
        }
        fs::create_dir(base.path().join("zz-sub")).unwrap();
        let page = all(listing(base.path()), usize::MAX).await;
        assert!(page.contains("href=\"./zz-sub/\""));
        assert_eq!(page.matches("href=").count(), ENTRIES_MAX);
        assert!(
            page.contains("<p>and 501 more</p>"),
            "{}",
            &page[page.len() - 200..]
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
        begin(&mut bodies, 1000).await;
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
