//! From a target to a file that is ready to be sent, without blocking the thread.

use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::blocking::off_thread;
use crate::charset;
use crate::chunks;
use crate::hot;
use crate::media_type;
use crate::open::{FileFacts, Found, NotOpened, Root, look_at};
use crate::options::Options;
use crate::path::Target;
use crate::ready::{Labels, Ready};

/// Opens a target. If descriptors run out, kept files are closed first.
pub(crate) async fn open(root: &Arc<Root>, target: &Target) -> Result<Found, NotOpened> {
    match open_once(root, target).await {
        Err(NotOpened::Exhausted) if hot::let_go() => open_once(root, target).await,
        found => found,
    }
}

/// Opens without blocking if the names are cached by the kernel; otherwise on another thread.
async fn open_once(root: &Arc<Root>, target: &Target) -> Result<Found, NotOpened> {
    match root.find_cached(target) {
        Err(NotOpened::WouldBlock) => {
            let (root, target) = (Arc::clone(root), target.clone());
            off_thread(move || root.find(&target))
                .await
                .unwrap_or(Err(NotOpened::Failed))
        }
        found => found,
    }
}

/// A file of which it is known what its replies say.
pub(crate) async fn prepare(
    file: File,
    facts: FileFacts,
    target: Target,
    options: &Options,
) -> Result<Rc<Ready>, NotOpened> {
    let facts = settle(&file, facts).await?;
    let (file, media) = (Arc::new(file), media_type::of(target.name()));
    let mut look = Bytes::new();
    if options.charset.needs_content(media) {
        let length = usize::try_from(facts.size).unwrap_or(usize::MAX);
        let read = chunks::beginning(&file, length.min(charset::LOOK_MAX)).await;
        look = read.map_err(|_| NotOpened::Failed)?;
    }
    let is_whole = look.len() as u64 == facts.size;
    let labels = Labels {
        content_type: options.charset.content_type(media, &look, is_whole),
        cache_control: options.cache_control.clone(),
        coding: None,
        varies: (options.precompressed || options.compression)
            && media_type::is_compressible(media),
    };
    let ready = Ready::new(file, facts, target, labels);
    ready.keep_content(&look, |_| look.clone());
    Ok(ready)
}

/// A file that was changed just now is looked at again after moments: then every further change can be told from it.
pub(crate) async fn settle(file: &File, facts: FileFacts) -> Result<FileFacts, NotOpened> {
    match facts.settles_soon(SystemTime::now()) {
        None => Ok(facts),
        Some(wait) => {
            tokio::time::sleep(wait).await;
            look_at(file).map_err(|_| NotOpened::Failed)
        }
    }
}
