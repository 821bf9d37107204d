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
use crate::compress::{Encoder, Encoding, PORTION_MIN};
use crate::entries::Batch;
use crate::open::{Kind, Root, glance};
use crate::options::{Link, Options};
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
    work: Option<Work<(Box<Page>, io::Result<Bytes>)>>,
    /// Leave to keep a batch, from before it is read: without it nothing is kept.
    kept: Option<Quota>,
    /// What was made and not yet asked for: little more than one entry, or what came out of a portion.
    text: Bytes,
    stop: Arc<AtomicBool>,
    /// Leave to compress, if it does.
    coded: Option<Quota>,
}

impl ListingBody {
    pub(crate) fn new(mut page: Page, encoding: Option<Encoding>) -> Self {
        let (encoder, coded) = encoding.map(Encoding::into_parts).unzip();
        page.encoder = encoder;
        Self {
            stop: Arc::clone(&page.stop),
            page: Some(Box::new(page)),
            work: None,
            kept: None,
            text: Bytes::new(),
            coded,
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
                        self.text = text;
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
            let least = if self.coded.is_some() { PORTION_MIN } else { 1 };
            let portion = max.clamp(least, PORTION_MAX);
            let kept = self.kept.take();
            self.kept = kept.or_else(|| Quota::take(&BATCHES, BATCHES_MAX));
            let may_keep = self.kept.is_some();
            self.work = Some(behind(move || {
                let text = page.next_portion(portion);
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
pub(crate) struct Page {
    root: Arc<Root>,
    directory: File,
    target: Target,
    form: Form,
    entries_max: usize,
    link: Option<Link>,
    /// When it was requested, in seconds since 1970.
    now: i64,
    part: Part,
    batch: Option<Batch>,
    /// The last entry that was looked at.
    last: Option<(bool, Vec<u8>)>,
    shown: usize,
    stop: Arc<AtomicBool>,
    encoder: Option<Encoder>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    Entries,
    Done,
}

impl Page {
    pub(crate) fn new(
        root: &Arc<Root>,
        directory: File,
        target: Target,
        form: Form,
        options: &Options,
    ) -> Self {
        Self {
            root: Arc::clone(root),
            directory,
            target,
            form,
            entries_max: options.entries_max,
            link: options.listing_link.clone(),
            now: unix_now(),
            part: Part::Head,
            batch: None,
            last: None,
            shown: 0,
            stop: Arc::new(AtomicBool::new(false)),
            encoder: None,
        }
    }

    fn is_done(&self) -> bool {
        self.part == Part::Done
    }

    /// Makes the next portion in its coding. May block.
    fn next_portion(&mut self, portion: usize) -> io::Result<Bytes> {
        let text = self.go_on(portion)?;
        let Some(mut encoder) = self.encoder.take() else {
            return Ok(text.into());
        };
        if self.is_done() {
            return Ok(encoder.last(text.as_bytes())?.into());
        }
        let part = encoder.part(text.as_bytes())?;
        self.encoder = Some(encoder);
        Ok(part.into())
    }

    /// Makes the next portion, of `portion` bytes and at most one entry more. May block.
    fn go_on(&mut self, portion: usize) -> io::Result<String> {
        let mut text = String::with_capacity(portion.min(PORTION_MAX));
        while !self.is_done() && text.len() < portion {
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
            if self.part == Part::Head {
                let more = html::More {
                    shown: self.entries_max,
                    all: left + beyond,
                    cut,
                };
                let more = (more.all > self.entries_max || cut).then_some(more);
                match self.form {
                    Form::Json => json::put_head(&mut text, &self.target),
                    _ => html::put_head(&mut text, &self.target, self.link.as_ref(), more),
                }
                self.part = Part::Entries;
                continue;
            }
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

    use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
    use tokio::time::timeout;

    use super::*;
    use crate::coding::{Accepted, Coding};
    use crate::compress::tests::decode;
    use crate::open::Links;

    const ENTRIES_MAX: usize = 10_000;

    fn listing(base: &std::path::Path) -> ListingBody {
        listing_as(base, Form::Html)
    }

    fn listing_as(base: &std::path::Path, form: Form) -> ListingBody {
        let root = Arc::new(Root::open(base, Links::Beneath).unwrap());
        let target = Target::parse("/").unwrap();
        let directory = root.find(&target).unwrap().file;
        ListingBody::new(
            Page::new(&root, directory, target, form, &Options::default()),
            None,
        )
    }

    async fn all(body: ListingBody, max: usize) -> String {
        String::from_utf8(all_bytes(body, max).await).unwrap()
    }

    async fn all_bytes(mut body: ListingBody, max: usize) -> Vec<u8> {
        let mut text = Vec::new();
        while let Some(piece) = poll_fn(|cx| body.poll_piece(cx, max)).await {
            let piece = piece.unwrap();
            assert!(piece.len() <= max);
            text.extend_from_slice(&piece);
        }
        assert!(body.is_end());
        text
    }

    #[tokio::test]
    async fn a_compressed_page_is_the_page_and_much_smaller() {
        let base = tempfile::tempdir().unwrap();
        for number in 0..2000 {
            fs::write(base.path().join(format!("file{number:05}.txt")), "").unwrap();
        }
        let whole = all(listing(base.path()), usize::MAX).await;
        for (name, coding) in [
            ("gzip", Coding::Gzip),
            ("br", Coding::Brotli),
            ("zstd", Coding::Zstd),
        ] {
            let mut request = HeaderMap::new();
            request.insert(ACCEPT_ENCODING, HeaderValue::from_static(name));
            for max in [1000, usize::MAX] {
                let encoding = Encoding::fastest(&Accepted::of(&request)).unwrap();
                assert_eq!(encoding.coding(), coding);
                let mut body = listing(base.path());
                let page = body.page.take().unwrap();
                let body = ListingBody::new(*page, Some(encoding));
                let bytes = all_bytes(body, max).await;
                assert!(bytes.len() * 4 < whole.len(), "{name}: {}", bytes.len());
                assert!(decode(coding, &bytes) == whole.as_bytes(), "{name} {max}");
            }
        }
    }

    #[tokio::test]
    async fn a_listing_is_compressed_while_few_others_are() {
        let mut request = HeaderMap::new();
        request.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, br, zstd"));
        let accepted = Accepted::of(&request);
        let base = tempfile::tempdir().unwrap();
        let coded = || {
            let encoding = Encoding::fastest(&accepted)?;
            let page = listing(base.path()).page.take()?;
            Some(ListingBody::new(*page, Some(encoding)))
        };
        let all: Vec<_> = std::iter::from_fn(coded).collect();
        assert_eq!(all.len(), 16);
        drop(all);
        assert!(coded().is_some());
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
        for entry in entries {
            assert!(
                entry["modified"].as_str().unwrap().ends_with('Z'),
                "{entry}"
            );
        }
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
        let (head, _) = page.split_once("<table>").unwrap();
        assert!(head.contains("The first 10000 of 10501 entries are shown."));
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
