//! What is kept by the process that opens listeners for a confined server.

use std::path::{Path, PathBuf};

use handfast_confine::Confinement;

use super::holders::{OF_THE_SYSTEM, holders};

/// What a machine consists of: no Unix socket is made in there, and no file is removed.
const OF_THE_MACHINE: [&str; 9] = [
    "/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr",
];

/// Where logs are on most systems: one that is added later is likely to be there.
const LOGS: &str = "/var/log";

/// It reads the configuration and what takes its place, and writes logs where they are now, and where they usually are. Where Unix sockets will be made is not known yet: it may make them everywhere but among
/// the files of the system.
pub(in crate::command::serve) fn listening(config: &Path, logs: &[PathBuf]) -> Confinement {
    let readable = std::iter::once(config.to_owned()).chain(holders(config).kept);
    let confinement = readable.fold(Confinement::listening(), Confinement::read);
    let writable = logs.iter().flat_map(|log| holders(log).kept);
    let common = Some(PathBuf::from(LOGS)).filter(|logs| logs.is_dir());
    let confinement = writable.chain(common).fold(confinement, Confinement::write);
    places_of_sockets()
        .into_iter()
        .fold(confinement, Confinement::sockets)
}

fn places_of_sockets() -> Vec<PathBuf> {
    let Ok(listed) = Path::new("/").read_dir() else {
        return Vec::new();
    };
    let of_system = OF_THE_SYSTEM.iter().chain(&OF_THE_MACHINE);
    let of_system: Vec<&Path> = of_system.map(Path::new).collect();
    let places = listed.flatten().map(|entry| entry.path());
    let places = places.filter(|path| path.is_dir() && !of_system.contains(&&**path));
    // Some systems have links to the files of the system there.
    let is_elsewhere = |path: &PathBuf| {
        let target = path.canonicalize();
        target.is_ok_and(|target| !of_system.iter().any(|one| target.starts_with(one)))
    };
    places.filter(is_elsewhere).collect()
}
