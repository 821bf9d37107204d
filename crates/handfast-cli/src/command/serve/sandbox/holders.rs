//! Which directories hold a path, and which of them hold much more than that.

use std::path::{Component, Path, PathBuf};

/// Directories that hold far more than what is served from them, or logged to.
const BROAD: [&str; 22] = [
    "/",
    "/dev",
    "/etc",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/local",
    "/usr/local/etc",
    "/usr/share",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/tmp",
];

/// Those of them in which a root lies that is built again: what holds it is kept for that.
const HOLDS_ROOTS: [&str; 9] = [
    "/media",
    "/mnt",
    "/opt",
    "/srv",
    "/tmp",
    "/usr/local",
    "/usr/share",
    "/var/lib",
    "/var/tmp",
];

/// In these, names stand for devices and open descriptors (`/dev/stdout`, `/proc/self/fd/3`): another file never takes their place.
pub(super) const OF_THE_SYSTEM: [&str; 3] = ["/dev", "/proc", "/sys"];

pub(super) fn is_in(path: &Path, directory: &Path) -> bool {
    let directory = directory.canonicalize();
    directory.is_ok_and(|directory| path.starts_with(directory))
}

/// Whether a directory that holds much else is kept because of a root in it: not one of the system's.
pub(super) fn holds_roots(directory: &Path) -> bool {
    let is = |found: Option<PathBuf>| {
        let found = found.and_then(|found| found.canonicalize().ok());
        found.is_some_and(|found| found == directory && found.parent().is_some())
    };
    is(std::env::home_dir())
        || is(Some(std::env::temp_dir()))
        || HOLDS_ROOTS
            .iter()
            .any(|known| directory == Path::new(known))
}

/// The directories that hold what a path names, and what it leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Holders {
    pub(super) kept: Vec<PathBuf>,
    /// Those that hold much else, and are not kept.
    pub(super) broad: Vec<PathBuf>,
}

pub(super) fn holders(path: &Path) -> Holders {
    let mut found = Holders::default();
    // "." and "/" are in nothing that could hold another of the name.
    if !matches!(path.components().next_back(), Some(Component::Normal(_))) {
        return found;
    }
    let Ok(absolute) = std::path::absolute(path) else {
        return found;
    };
    if OF_THE_SYSTEM.iter().any(|root| absolute.starts_with(root)) {
        return found;
    }
    let target = path.canonicalize().ok();
    let target = target.filter(|target| !OF_THE_SYSTEM.iter().any(|root| target.starts_with(root)));
    for path in [Some(absolute), target].into_iter().flatten() {
        let Some(holder) = path.parent().and_then(|holder| holder.canonicalize().ok()) else {
            continue;
        };
        let list = match is_broad(&holder) {
            true => &mut found.broad,
            false => &mut found.kept,
        };
        if !list.contains(&holder) {
            list.push(holder);
        }
    }
    found
}

fn is_broad(directory: &Path) -> bool {
    let home = std::env::home_dir();
    let is_home = directory.parent() == Some(Path::new("/home"));
    let is_own = home.is_some_and(|home| home.starts_with(directory));
    let temporary = std::env::temp_dir().canonicalize();
    is_home
        || is_own
        || temporary.is_ok_and(|temporary| temporary == directory)
        || BROAD.iter().any(|broad| directory == Path::new(broad))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_holds_a_path_is_kept_unless_it_holds_much_more() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        for directory in ["releases/1", "site"] {
            std::fs::create_dir_all(place.join(directory)).unwrap();
        }
        std::os::unix::fs::symlink(place.join("releases/1"), place.join("site/current")).unwrap();
        let current = place.join("site/current");
        let found = holders(&current);
        assert_eq!(found.kept, [place.join("site"), place.join("releases")]);
        assert!(found.broad.is_empty());
        let home = std::env::home_dir().unwrap().join("public");
        let temporary = std::env::temp_dir().join("public");
        for broad in [
            "/etc/passwd",
            "/srv/www",
            "/home/someone/public",
            "/tmp/site",
            "/var/log/access.log",
            "/var/lib/site",
            "/opt/site",
            home.to_str().unwrap(),
            temporary.to_str().unwrap(),
        ] {
            let path = Path::new(broad);
            let found = holders(path);
            assert!(found.kept.is_empty(), "{broad}: {found:?}");
            let exists = path.parent().unwrap().exists();
            assert_eq!(!found.broad.is_empty(), exists, "{broad}");
        }
        for (directory, expected) in [
            ("/srv", true),
            ("/var/lib", true),
            ("/opt", true),
            ("/", false),
            ("/etc", false),
            ("/home", false),
            ("/home/someone", false),
        ] {
            let directory = Path::new(directory);
            let is_own = std::env::home_dir().is_some_and(|home| home == directory);
            assert!(is_broad(directory));
            assert_eq!(holds_roots(directory), expected || is_own, "{directory:?}");
        }
        for alone in ["/", ".", "/dev/stdout", "/dev/fd/0", "/proc/self/fd/0"] {
            assert_eq!(holders(Path::new(alone)), Holders::default(), "{alone}");
        }
        // A link to a device is replaced where it is.
        std::os::unix::fs::symlink("/dev/full", place.join("full")).unwrap();
        assert_eq!(holders(&place.join("full")).kept, [place]);
    }
}
