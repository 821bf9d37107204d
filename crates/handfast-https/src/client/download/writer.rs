//! How bytes get into a download's file: in large pieces, with room reserved for all of them, and written to the disk while the
//! rest is still to come.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::time::{Duration, Instant};

/// Bytes are written so many at a time while they come fast. A write costs for the call and for each page: a GiB in pieces of
/// a record's 16 KiB took twice the time that it takes in these. More than this leaves the second-level cache.
const GATHERED_BYTES: usize = 256 * 1024;

/// What came is written at the latest with the first piece after this time. A process that is killed loses what it had received
/// in so short a time, and a slow transfer loses nothing.
const GATHERED_FOR: Duration = Duration::from_millis(20);

/// Each time so many bytes were written, the system is told to begin writing them to the disk. Large enough for long writes on a
/// rotating disk, and little to wait for at the end.
#[cfg(any(target_os = "linux", target_os = "android"))]
const WRITTEN_BACK_BYTES: u64 = 8 * 1024 * 1024;

/// Room is reserved for a file from this size on. That a smaller one does not fit is noticed soon enough.
const RESERVED_FROM_BYTES: u64 = 1024 * 1024;

/// A file that is written from some place on, and the only one who writes to it.
pub(super) struct Writer {
    file: File,
    gathered: Vec<u8>,
    /// When something was written last.
    written: Option<Instant>,
    /// Where the next write goes: the end of the file, if it is one.
    end: u64,
    /// Up to where the system was told to begin writing to the disk.
    written_back: u64,
    /// Up to where there is room; 0 if none was reserved.
    reserved: u64,
    /// A write has failed. What is gathered does not follow what is in the file.
    is_broken: bool,
}

impl Writer {
    /// Writes from the beginning of a file that is empty, or a device.
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            gathered: Vec::new(),
            written: None,
            end: 0,
            written_back: 0,
            reserved: 0,
            is_broken: false,
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Cuts the file off behind so many bytes, and goes on there.
    pub(super) fn go_on_at(&mut self, end: u64) -> io::Result<()> {
        self.gathered.clear();
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end))?;
        (self.end, self.written_back, self.reserved) = (end, end, 0);
        Ok(())
    }

    /// The file will have so many bytes. Reserves room for them where the system can do that: a disk that is too full is told
    /// of before the bytes are fetched, and what has its place beforehand is written at less cost.
    ///
    /// # Errors
    /// That there is no room. Then none is taken.
    pub(super) fn reserve(&mut self, total: u64) -> io::Result<()> {
        if total.saturating_sub(self.end) < RESERVED_FROM_BYTES {
            return Ok(());
        }
        let reserved = allocate(&self.file, self.end, total - self.end);
        self.reserved = total;
        if reserved.is_err() {
            self.release()?;
        }
        reserved
    }

    /// Gives back what was reserved and is not used.
    fn release(&mut self) -> io::Result<()> {
        if self.reserved > self.end {
            self.file.set_len(self.end)?;
        }
        self.reserved = 0;
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let now = Instant::now();
        let is_due = self
            .written
            .is_none_or(|written| now.duration_since(written) >= GATHERED_FOR);
        let is_enough = self.gathered.len() + bytes.len() >= GATHERED_BYTES;
        if self.gathered.is_empty() && (is_due || is_enough) {
            self.written = Some(now);
            return self.write_through(bytes);
        }
        self.gathered.extend_from_slice(bytes);
        if is_due || is_enough {
            self.written = Some(now);
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is gathered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut gathered = std::mem::take(&mut self.gathered);
        let written = self.write_through(&gathered);
        gathered.clear();
        self.gathered = gathered;
        written
    }

    fn write_through(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(count) if count > 0 => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    self.end += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                failed => {
                    self.is_broken = true;
                    return Err(failed
                        .err()
                        .unwrap_or_else(|| io::ErrorKind::WriteZero.into()));
                }
            }
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if self.end - self.written_back >= WRITTEN_BACK_BYTES {
            write_back(&self.file, self.written_back, self.end);
            self.written_back = self.end;
        }
        Ok(())
    }

    /// From now on another writes to the file, to any place in it: nothing is cut off here any more.
    pub(super) fn hand_over(&mut self) -> io::Result<File> {
        self.flush()?;
        self.reserved = 0;
        self.file.try_clone()
    }

    /// Everything is written: it is on the disk afterwards.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.release()?;
        // A full disk may be reported only now.
        self.file.sync_data()
    }
}

/// What has come stays, without the room for the rest.
impl Drop for Writer {
    fn drop(&mut self) {
        // There is nowhere left to report errors.
        if !self.is_broken {
            let _ = self.flush();
        }
        let _ = self.release();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("file", &self.file)
            .field("gathered_bytes", &self.gathered.len())
            .field("end", &self.end)
            .field("reserved", &self.reserved)
            .finish_non_exhaustive()
    }
}

/// Reserves room, and leaves the length of the file as it is: from it is told how much has come.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn allocate(file: &File, from: u64, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::KEEP_SIZE, from, length) {
        Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(error.into()),
        // Not every file system can do it, nor is every program allowed to.
        _ => Ok(()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn allocate(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}

/// Begins to write these bytes to the disk, and does not wait for it. Linux does so when it is told that they are not needed in
/// memory, and then keeps there what is not yet on the disk.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn write_back(file: &File, from: u64, to: u64) {
    use rustix::fs::{Advice, fadvise};
    let length = std::num::NonZeroU64::new(to.saturating_sub(from));
    // Without it, everything is written at the end.
    let _ = fadvise(file, from, length, Advice::DontNeed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn writer(path: &Path) -> Writer {
        Writer::new(File::create(path).unwrap())
    }

    #[test]
    fn pieces_are_written_in_order_whatever_their_sizes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let sizes = [
            1,
            16 * 1024,
            GATHERED_BYTES,
            3,
            GATHERED_BYTES * 3 + 1,
            0,
            100_000,
            200_000,
            7,
        ];
        let mut expected = Vec::new();
        let mut writer = writer(&path);
        for (number, size) in sizes.into_iter().cycle().take(100).enumerate() {
            let piece = vec![u8::try_from(number).unwrap(); size];
            writer.write(&piece).unwrap();
            expected.extend(piece);
        }
        writer.sync().unwrap();
        assert!(fs::read(&path).unwrap() == expected);
        writer.write(b"more").unwrap();
        drop(writer);
        assert_eq!(
            fs::metadata(&path).unwrap().len(),
            expected.len() as u64 + 4
        );
    }

    #[test]
    fn what_comes_slowly_is_not_gathered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut writer = writer(&path);
        let now = |expected: &str| assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        writer.write(b"1").unwrap();
        now("1");
        for text in ["12", "123"] {
            // Long before.
            writer.written = Instant::now().checked_sub(GATHERED_FOR);
            writer.write(&text.as_bytes()[text.len() - 1..]).unwrap();
            now(text);
        }
    }

    #[test]
    fn a_file_that_ends_early_has_what_came_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut writer = writer(&path);
        writer.reserve(64 * RESERVED_FROM_BYTES).unwrap();
        writer.write(b"some").unwrap();
        writer.write(b" bytes").unwrap();
        drop(writer);
        assert_eq!(fs::read(&path).unwrap(), b"some bytes");
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::fs::MetadataExt as _;
            let used = fs::metadata(&path).unwrap().blocks() * 512;
            assert!(used < RESERVED_FROM_BYTES, "{used}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_does_not_fit_is_told_before_it_comes() {
        use std::os::unix::fs::MetadataExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut writer = writer(&path);
        // No disk has so much; what some file systems say instead is that no file may be so large.
        let error = writer.reserve(1 << 50).unwrap_err();
        let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::FileTooLarge];
        assert!(kinds.contains(&error.kind()), "{error}");
        drop(writer);
        assert_eq!(fs::metadata(&path).unwrap().blocks(), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_is_written_behind_a_gap() {
        let mut writer = Writer::new(File::options().write(true).open("/dev/full").unwrap());
        assert!(writer.write(b"lost").is_err());
        assert!(writer.is_broken);
    }
}
