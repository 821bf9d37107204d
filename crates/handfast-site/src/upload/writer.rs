//! What comes of a file, collected and written on another thread.

use std::sync::Arc;

use http::HeaderMap;
use tokio::task::spawn_blocking;

use super::refused::Refused;
use super::store::{Draft, Store, StoreError, Stored};

/// What is collected before it is written, in bytes: a switch to another thread costs some 20 us, in which a disk writes 20 KiB.
const BATCH: usize = 256 * 1024;

/// A draft, and what is collected for it.
pub(super) struct Writer {
    /// With the thread that writes, for that time.
    draft: Option<Draft>,
    /// A copy: a piece may be one byte, and hold a buffer of many.
    waiting: Vec<u8>,
    bytes: u64,
}

impl Writer {
    /// With a draft that is made on another thread.
    pub(super) async fn begin(
        store: &Arc<Store>,
        make: impl FnOnce(&Store) -> Result<Draft, StoreError> + Send + 'static,
    ) -> Result<Self, Refused> {
        let store = Arc::clone(store);
        let draft = off_thread(move || make(&store)).await?;
        Ok(Self {
            draft: Some(draft),
            waiting: Vec::new(),
            bytes: 0,
        })
    }

    /// The file is whole.
    pub(super) async fn commit(
        self,
        store: &Arc<Store>,
        name: &str,
        conditions: &HeaderMap,
    ) -> Result<Stored, Refused> {
        let (store, name) = (Arc::clone(store), name.to_owned());
        let conditions = conditions.clone();
        let stored = off_thread(move || {
            let mut draft = self.draft.ok_or(StoreError::Failed)?;
            draft.write(&self.waiting)?;
            if draft.written() != self.bytes {
                return Err(StoreError::Failed);
            }
            store.commit(draft, &name, &conditions)
        });
        Ok(stored.await?)
    }

    pub(super) async fn write(&mut self, piece: &[u8], bytes_max: u64) -> Result<(), Refused> {
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        if self.bytes > bytes_max {
            return Err(Refused::TooLarge);
        }
        let mut rest = piece;
        while !rest.is_empty() {
            let room = BATCH.saturating_sub(self.waiting.len());
            let (fits, after) = rest.split_at(room.min(rest.len()));
            self.waiting.extend_from_slice(fits);
            rest = after;
            if self.waiting.len() >= BATCH {
                let mut emptied = self.written().await?;
                emptied.clear();
                self.waiting = emptied;
            }
        }
        Ok(())
    }

    /// Writes what is collected, and keeps no memory for more.
    pub(super) async fn flush(&mut self) -> Result<(), Refused> {
        if !self.waiting.is_empty() {
            self.written().await?;
        }
        self.waiting = Vec::new();
        Ok(())
    }

    /// Writes what is collected. Returns its memory.
    async fn written(&mut self) -> Result<Vec<u8>, Refused> {
        let mut draft = self.draft.take().ok_or(StoreError::Failed)?;
        let waiting = std::mem::take(&mut self.waiting);
        let written = off_thread(move || draft.write(&waiting).map(|()| (draft, waiting)));
        let (draft, waiting) = written.await?;
        self.draft = Some(draft);
        Ok(waiting)
    }
}

/// Runs what may wait for a disk. What is given up ends by itself, and its draft with it.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    spawn_blocking(work)
        .await
        .unwrap_or(Err(StoreError::Failed))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::upload::store::Policy;

    #[tokio::test]
    async fn however_small_the_pieces_are_no_more_than_a_batch_of_them_waits() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(directory.path()).unwrap());
        let none = HeaderMap::new();
        let policy = Policy {
            replace: false,
            free_min: 0,
        };
        for (name, piece, count) in [("a", 1, BATCH + 7), ("b", 4096, 200), ("c", 3 * BATCH, 1)] {
            let piece = vec![b'x'; piece];
            let begin = move |store: &Store| store.begin(&[], name, 0, &HeaderMap::new(), policy);
            let mut writer = Writer::begin(&store, begin).await.unwrap();
            for _ in 0..count {
                writer.write(&piece, u64::MAX).await.unwrap();
                assert!(writer.waiting.len() < BATCH && writer.waiting.capacity() <= 2 * BATCH);
            }
            writer.flush().await.unwrap();
            assert_eq!(
                writer.waiting.capacity(),
                0,
                "a file that is whole waits without memory"
            );
            writer.write(b"end", u64::MAX).await.unwrap();
            writer.commit(&store, name, &none).await.unwrap();
            let stored = std::fs::read(directory.path().join(name)).unwrap();
            let expected = [piece.repeat(count).as_slice(), b"end"].concat();
            assert!(stored == expected, "{name}");
        }
    }
}
