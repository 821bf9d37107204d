//! Unix sockets that listen, and their files.
//!
//! A server that was killed leaves its socket's file behind, and binding fails as long as it is there. So a file at
//! which no process listens is replaced, and one at which a process listens never is. Between looking and
//! replacing, another server could do the same: the directory is locked meanwhile.

#[cfg(target_os = "linux")]
use std::fs::Permissions;
use std::fs::{self, File};
use std::io;
#[cfg(target_os = "linux")]
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use socket2::{Domain, SockAddr, Socket, Type};

use super::tcp::BACKLOG;

/// Listens at `path`; users to whom `mode` gives write permission may connect.
pub(super) fn bind(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let directory = File::open(directory)?;
    lock(&directory);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let address = SockAddr::unix(path)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path, &address)?;
            socket.bind(&address)?;
        }
        result => result?,
    }
    let file = SocketFile::made(path)?;
    // Before it listens: until then connecting is refused to all.
    set_mode(path, mode & 0o777)?;
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

/// The mode of the file that was bound at this path. If another has been put in its place since, it is an error: a link there would give
/// the mode to what it leads to, and this process may be root.
#[cfg(target_os = "linux")]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.file_type().is_socket() || metadata.nlink() != 1 {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "another file has been put in place of the socket",
        ));
    }
    if metadata.mode() & 0o777 == mode {
        return Ok(());
    }
    // Of exactly this file: Linux has had a call for it only since 6.6.
    let same = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(same, Permissions::from_mode(mode))
}

/// As on Linux: the mode of a link, if there is one, is what is changed.
#[cfg(not(target_os = "linux"))]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Mode, RawMode, chmodat};
    let mode = Mode::from_raw_mode(RawMode::try_from(mode).map_err(io::Error::other)?);
    Ok(chmodat(CWD, path, mode, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Waits for other servers that bind in this directory, which takes each a moment. A user who may read the directory can
/// hold the lock, so it is not waited for longer than that: without it servers that start at the same moment can replace
/// each other's sockets.
fn lock(directory: &File) {
    const TRIES: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(10);
    for _ in 0..TRIES {
        match flock(directory, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => thread::sleep(PAUSE),
            _ => return,
        }
    }
}

/// Removes the socket's file if no process listens at it.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    let in_use = || io::Error::from(io::ErrorKind::AddrInUse);
    // Of the path itself: binding does not follow links either.
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of this name, which is not a socket",
        ));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A full queue must not make us wait.
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        // Connected, or its queue is full, or it is not for us to know.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(in_use()),
    }
}

/// The file of a Unix socket. It is removed when this is dropped, if it is ours, not left to another server, and still the same file.
#[derive(Debug)]
pub(in crate::server) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    ours: AtomicBool,
    /// A predecessor has it still, or a successor has it.
    left: AtomicBool,
}

impl SocketFile {
    /// For a socket that we have bound.
    fn made(path: &Path) -> io::Result<Self> {
        Self::at(path, true, false)
    }

    /// For a socket that another process has bound, which keeps the file until we have started.
    pub(super) fn given(path: &Path, ours: bool) -> io::Result<Self> {
        Self::at(path, ours, true)
    }

    fn at(path: &Path, ours: bool, left: bool) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            // The working directory may be another by the time that the file is removed.
            path: std::path::absolute(path)?,
            device: metadata.dev(),
            inode: metadata.ino(),
            ours: AtomicBool::new(ours),
            left: AtomicBool::new(left),
        })
    }

    /// Whether it is removed at the end, by this server or by a successor.
    pub(in crate::server) fn is_ours(&self) -> bool {
        self.ours.load(Ordering::Relaxed)
    }

    /// Whether it is ours from now on, although another server has bound it.
    pub(in crate::server) fn set_ours(&self, ours: bool) {
        self.ours.store(ours, Ordering::Relaxed);
    }

    /// Leaves it to another server, or does so no more.
    pub(in crate::server) fn set_left(&self, left: bool) {
        self.left.store(left, Ordering::Relaxed);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_same =
            |metadata: fs::Metadata| metadata.dev() == self.device && metadata.ino() == self.inode;
        let is_left = self.left.load(Ordering::Relaxed);
        if self.is_ours() && !is_left && fs::symlink_metadata(&self.path).is_ok_and(is_same) {
            // What cannot be removed is replaced by the next server.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn only_the_file_of_a_dead_server_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let (living, file) = bind(&path, 0o600).unwrap();
        assert_eq!(
            bind(&path, 0o600).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(living);
        // As if it had been killed.
        file.set_left(true);
        drop(file);
        assert!(path.exists());
        let (_living, file) = bind(&path, 0o620).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o620);
        UnixStream::connect(&path).unwrap();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("f"), directory.path().join("l"));
        fs::write(&file, "content").unwrap();
        std::os::unix::fs::symlink(directory.path().join("nothing"), &link).unwrap();
        for path in [&file, &link] {
            let error = bind(path, 0o600).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{path:?}");
            assert!(fs::symlink_metadata(path).is_ok());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_put_in_place_of_a_socket_keeps_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let in_it = |name: &str| directory.path().join(name);
        fs::write(in_it("file"), "").unwrap();
        let _socket = UnixListener::bind(in_it("socket")).unwrap();
        for name in ["file", "socket"] {
            fs::set_permissions(in_it(name), Permissions::from_mode(0o600)).unwrap();
            std::os::unix::fs::symlink(in_it(name), in_it("link")).unwrap();
            set_mode(&in_it("link"), 0o666).unwrap_err();
            fs::remove_file(in_it("link")).unwrap();
        }
        fs::hard_link(in_it("socket"), in_it("hard")).unwrap();
        for name in ["file", "hard"] {
            set_mode(&in_it(name), 0o666).unwrap_err();
            assert_eq!(fs::metadata(in_it(name)).unwrap().mode() & 0o777, 0o600);
        }
        fs::remove_file(in_it("hard")).unwrap();
        set_mode(&in_it("socket"), 0o666).unwrap();
        assert_eq!(fs::metadata(in_it("socket")).unwrap().mode() & 0o777, 0o666);
    }

    #[test]
    fn a_file_of_another_server_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let (_first, file) = bind(&path, 0o600).unwrap();
        fs::remove_file(&path).unwrap();
        // Kept open, so that its inode has another number.
        let _second = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
