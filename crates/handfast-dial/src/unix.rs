//! Unix sockets, by their path.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use handfast::Phase;

use crate::error::{Cause, Error};

/// How long to wait before the next attempt while the server's backlog is full. The operating system does not say when
/// there is room. An attempt costs microseconds, and a server that accepts at all does so in less time than this.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// Connects to a Unix socket. While the server's backlog is full, waits, at most until `limit` has passed.
///
/// # Errors
/// [`Cause::UnixSocket`] and [`Cause::TimedOut`], in [`Phase::Connect`].
pub fn connect_unix(path: impl AsRef<Path>, limit: Option<Duration>) -> Result<UnixStream, Error> {
    let path = path.as_ref();
    let wait = Wait::new(limit);
    let connect = || -> io::Result<UnixStream> {
        // Without a limit, the operating system waits.
        if wait.until.is_none() {
            return UnixStream::connect(path);
        }
        let socket = UnixStream::from(mio::net::UnixStream::connect(path)?);
        socket.set_nonblocking(false)?;
        Ok(socket)
    };
    loop {
        match connect() {
            Err(source) if is_full(&source) => thread::sleep(wait.next()?),
            result => return result.map_err(|source| failed(path, source)),
        }
    }
}

/// As [`connect_unix`], without blocking the thread.
///
/// # Errors
/// As [`connect_unix`].
#[cfg(feature = "tokio")]
pub async fn connect_unix_async(
    path: impl AsRef<Path>,
    limit: Option<Duration>,
) -> Result<tokio::net::UnixStream, Error> {
    let path = path.as_ref();
    let wait = Wait::new(limit);
    loop {
        match tokio::net::UnixStream::connect(path).await {
            Err(source) if is_full(&source) => tokio::time::sleep(wait.next()?).await,
            result => return result.map_err(|source| failed(path, source)),
        }
    }
}

/// The backlog is full, and the socket is non-blocking.
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn failed(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    Error::new(Phase::Connect, Cause::UnixSocket { path, source })
}

/// Waiting for room in a backlog.
struct Wait {
    /// The time, and the limit that it results from. A limit that overflows is no limit.
    until: Option<(Instant, Duration)>,
}

impl Wait {
    fn new(limit: Option<Duration>) -> Self {
        let until = limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
        Self { until }
    }

    /// How long to wait before the next attempt.
    fn next(&self) -> Result<Duration, Error> {
        let Some((until, limit)) = self.until else {
            return Ok(RETRY_AFTER);
        };
        match until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(Error::new(Phase::Connect, Cause::TimedOut { limit })),
            left => Ok(left.min(RETRY_AFTER)),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// A listener whose backlog is full, its path, and the connections that fill it.
    struct Full {
        listener: socket2::Socket,
        directory: tempfile::TempDir,
        _waiting: Vec<mio::net::UnixStream>,
    }

    impl Full {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("socket");
            let kind = socket2::Type::STREAM;
            let listener = socket2::Socket::new(socket2::Domain::UNIX, kind, None).unwrap();
            let address = socket2::SockAddr::unix(&path).unwrap();
            listener.bind(&address).unwrap();
            listener.listen(0).unwrap();
            let fill = || mio::net::UnixStream::connect(&path).ok();
            let waiting = std::iter::from_fn(fill).take(100).collect();
            Self {
                listener,
                directory,
                _waiting: waiting,
            }
        }

        fn path(&self) -> std::path::PathBuf {
            self.directory.path().join("socket")
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    }

    #[test]
    fn a_server_that_does_not_accept_is_waited_for_until_the_limit() {
        const LIMIT: Duration = Duration::from_millis(50);
        let full = Full::new();
        let path = full.path();
        let waiting = async { connect_unix_async(&path, Some(LIMIT)).await.unwrap_err() };
        let errors = [
            connect_unix(&path, Some(LIMIT)).unwrap_err(),
            runtime().block_on(waiting),
        ];
        for error in errors {
            assert_eq!(error.phase(), Phase::Connect);
            assert!(
                matches!(error.cause(), Cause::TimedOut { limit: LIMIT }),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_server_that_accepts_late_is_reached() {
        for limit in [None, Some(Duration::from_secs(30)), Some(Duration::MAX)] {
            let full = Full::new();
            let path = full.path();
            let listener = full.listener.try_clone().unwrap();
            let accepting = thread::spawn(move || {
                while let Ok((socket, _)) = listener.accept() {
                    drop(socket);
                }
            });
            let socket = socket2::Socket::from(connect_unix(&path, limit).unwrap());
            assert!(!socket.nonblocking().unwrap());
            runtime().block_on(async { connect_unix_async(&path, limit).await.unwrap() });
            full.listener.shutdown(std::net::Shutdown::Both).unwrap();
            accepting.join().unwrap();
        }
    }

    #[test]
    fn a_path_without_a_server_is_an_error_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("none");
        for limit in [None, Some(Duration::from_secs(30))] {
            let error = connect_unix(&path, limit).unwrap_err();
            assert!(
                matches!(error.cause(), Cause::UnixSocket { .. }),
                "{error:?}"
            );
            let other = runtime().block_on(async { connect_unix_async(&path, limit).await });
            assert_eq!(other.unwrap_err().explain(), error.explain());
        }
    }
}
