//! Files and TCP connections, by Landlock.

use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use crate::Enforcement;
use crate::error::ConfineError;

/// The newest rights that are asked for. Older kernels know fewer: then it is [`Enforcement::Partial`].
const RIGHTS: ABI = ABI::V6;

/// What is kept of the files.
pub(crate) struct Paths<'a> {
    pub(crate) read: &'a [PathBuf],
    pub(crate) write: &'a [PathBuf],
    /// Where Unix sockets are made.
    pub(crate) sockets: &'a [PathBuf],
}

/// `listens`: TCP ports can be bound as before.
pub(crate) fn restrict(paths: &Paths<'_>, listens: bool) -> Result<Enforcement, ConfineError> {
    let refused = |error: landlock::RulesetError| ConfineError::Files(error.to_string());
    let network = match listens {
        true => AccessNet::ConnectTcp.into(),
        false => AccessNet::from_all(RIGHTS),
    };
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RIGHTS))
        .map_err(refused)?
        .handle_access(network)
        .map_err(refused)?
        .scope(Scope::from_all(RIGHTS))
        .map_err(refused)?
        .create()
        .map_err(refused)?;
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    // What writes may also truncate, rename and remove; it makes no devices, sockets or pipes.
    let writing = reading
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    // The directory is opened to lock it.
    let listening = AccessFs::ReadDir | AccessFs::MakeSock | AccessFs::RemoveFile;
    let all = [
        (paths.read, reading),
        (paths.write, writing),
        (paths.sockets, listening),
    ];
    for (path, rights) in all
        .into_iter()
        .flat_map(|(paths, rights)| paths.iter().map(move |path| (path, rights)))
    {
        if let Some(rule) = rule(path, rights)? {
            rules = rules.add_rule(rule).map_err(refused)?;
        }
    }
    let status = rules.restrict_self().map_err(refused)?;
    Ok(enforcement(status.ruleset))
}

fn enforcement(status: RulesetStatus) -> Enforcement {
    match status {
        RulesetStatus::FullyEnforced => Enforcement::Full,
        RulesetStatus::PartiallyEnforced => Enforcement::Partial,
        RulesetStatus::NotEnforced => Enforcement::Unsupported,
    }
}

/// `None` for what is in no directory, such as a pipe that is reached by a descriptor's name (`/dev/stdin`, `/proc/self/fd/3`): Landlock
/// takes no rule for it, and does not restrict it.
fn rule(
    path: &PathBuf,
    rights: BitFlags<AccessFs>,
) -> Result<Option<PathBeneath<PathFd>>, ConfineError> {
    let unusable = |source| ConfineError::Path {
        path: path.clone(),
        source,
    };
    let is_directory = std::fs::metadata(path).map_err(unusable)?.is_dir();
    // It is there, as the line above says.
    if path.canonicalize().is_err() {
        return Ok(None);
    }
    let opened = PathFd::new(path).map_err(|error| unusable(std::io::Error::other(error)))?;
    let rights = match is_directory {
        true => rights,
        false => rights & AccessFs::from_file(RIGHTS),
    };
    Ok(Some(PathBeneath::new(opened, rights)))
}
