//! Where responses go: the options, and from them the target of each URL.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use handfast::{Explanation, escape_control};
use handfast_https::client::{Download, Existing, Response};
use http::header::LAST_MODIFIED;

use super::globs::Expanded;
use super::offset::Offset;
use super::outcome::explained;
use crate::failure::{Failure, code, plain};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArgs {
    #[command(flatten)]
    names: NameArgs,
    /// Write the body of each URL without -o to a file named after the URL
    #[arg(long)]
    remote_name_all: bool,
    /// With -O, use the name that the server proposes (Content-Disposition)
    #[arg(short = 'J', long, conflicts_with = "include")]
    remote_header_name: bool,
    /// Put the files of -o and -O into DIR
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Create the directories of -o and --output-dir
    #[arg(long)]
    create_dirs: bool,
    /// If FILE exists, write to FILE.1 or the next free number
    #[arg(long)]
    no_clobber: bool,
    /// Replace existing files (the default), also with -J
    #[arg(long, overrides_with = "no_clobber")]
    clobber: bool,
    /// Remove what has arrived if the transfer fails
    #[arg(long)]
    remove_on_error: bool,
    /// Give the file the time of Last-Modified
    #[arg(short = 'R', long)]
    remote_time: bool,
    /// Write the heads of all responses to FILE; `-` is stdout
    #[arg(short = 'D', long, value_name = "FILE")]
    dump_header: Option<PathBuf>,
    /// Request only the head (HEAD), and show it
    #[arg(short = 'I', long)]
    head: bool,
    /// Also show the response's head, and the trailer fields after its body
    #[arg(short, long)]
    include: bool,
    /// If the status is 400 or more, write no output and exit with 22
    #[arg(short, long)]
    fail: bool,
    /// If the status is 400 or more, write the output and exit with 22
    #[arg(long, conflicts_with = "fail")]
    fail_with_body: bool,
    /// If the reader of stdout closes it before the end, exit with 0, not 23
    #[arg(long)]
    allow_closed_pipe: bool,
    /// Print nothing on stderr, not even errors (with -S: errors are shown)
    #[arg(short, long)]
    silent: bool,
    /// With -s, still show errors
    #[arg(short = 'S', long)]
    show_error: bool,
    /// Show what happens, phase by phase
    #[arg(short, long)]
    verbose: bool,
}

/// `-o FILE` and `-O`, one for each URL, in the order in which they were typed.
#[derive(Debug, Default)]
struct NameArgs(Vec<Name>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Given(PathBuf),
    OfUrl,
}

impl Name {
    /// The name for a URL that stands for several.
    pub(super) fn expanded(&self, expanded: &Expanded) -> Self {
        match self {
            Self::Given(path) => match path.to_str() {
                Some(text) => Self::Given(expanded.name(text).into()),
                None => self.clone(),
            },
            Self::OfUrl => Self::OfUrl,
        }
    }

    /// Stdout, named as such: what is written there is the caller's choice.
    pub(super) fn is_stdout(&self) -> bool {
        matches!(self, Self::Given(path) if path == Path::new("-"))
    }
}

impl FromArgMatches for NameArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found = Vec::new();
        for id in ["output", "remote_name"] {
            let names = matches.get_many::<OsString>(id).into_iter().flatten();
            let places = matches.indices_of(id).into_iter().flatten();
            found.extend(places.zip(names).map(|(place, name)| match id {
                "output" => (place, Name::Given(name.into())),
                _ => (place, Name::OfUrl),
            }));
        }
        found.sort_by_key(|(place, _)| *place);
        Ok(Self(found.into_iter().map(|(_, name)| name).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for NameArgs {
    fn augment_args(command: Command) -> Command {
        let option = |id, short, long, help| {
            Arg::new(id)
                .short(short)
                .long(long)
                .action(ArgAction::Append)
                .value_parser(clap::value_parser!(OsString))
                .help(help)
                .help_heading("Output")
        };
        command
            .arg(
                option(
                    "output",
                    'o',
                    "output",
                    "Write to FILE (FILE.part until the transfer is complete); `-` is stdout; once for each URL",
                )
                .value_name("FILE"),
            )
            .arg(
                option(
                    "remote_name",
                    'O',
                    "remote-name",
                    "Write to a file named after the last part of the URL; once for each URL",
                )
                .num_args(0)
                .default_missing_value(""),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Where the body of one URL goes.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Stdout,
    File(Place),
}

/// A file, and how it gets its name.
#[derive(Debug, Clone)]
pub(super) struct Place {
    directory: Option<PathBuf>,
    /// `None`: the name is the server's.
    name: Option<PathBuf>,
    takes_servers_name: bool,
    creates_directories: bool,
    existing: Existing,
    takes_servers_time: bool,
}

impl OutputArgs {
    pub(super) fn is_silent(&self) -> bool {
        self.silent && !self.show_error
    }

    /// Is nothing drawn on stderr?
    pub(super) fn hides_progress(&self) -> bool {
        self.silent
    }

    pub(super) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// May -C be given, too?
    pub(super) fn may_continue(&self) -> bool {
        !self.head && !self.include && !self.remote_header_name
    }

    pub(super) fn asks_for_head(&self) -> bool {
        self.head
    }

    pub(super) fn includes_head(&self) -> bool {
        self.include
    }

    pub(super) fn fails_on_error(&self) -> bool {
        self.fail
    }

    pub(super) fn fails_with_body(&self) -> bool {
        self.fail_with_body
    }

    pub(super) fn allows_closed_pipe(&self) -> bool {
        self.allow_closed_pipe
    }

    pub(super) fn removes_on_error(&self) -> bool {
        self.remove_on_error
    }

    /// Where the heads go.
    pub(super) fn heads(&self) -> Option<&Path> {
        self.dump_header.as_deref()
    }

    /// Whether bodies are written under other names until they are complete. Not to devices and pipes.
    pub(super) fn keeps_parts(&self) -> bool {
        let keeps_part = |name: &Name| match name {
            Name::OfUrl => true,
            Name::Given(_) if name.is_stdout() => false,
            Name::Given(path) => path.metadata().map_or(true, |found| found.is_file()),
        };
        self.remote_name_all || self.names.0.iter().any(keeps_part)
    }

    /// The names that were given, one for each URL; what is left of the URLs has none.
    pub(super) fn names(&self) -> impl Iterator<Item = Name> {
        self.names.0.iter().cloned()
    }

    /// The target for this URL.
    pub(super) fn target(&self, name: Option<Name>, url: &str) -> Result<Target, Failure> {
        let name = match name {
            Some(Name::Given(path)) if path == Path::new("-") => return Ok(Target::Stdout),
            Some(Name::Given(path)) => Some(path),
            None if !self.remote_name_all => return Ok(Target::Stdout),
            Some(Name::OfUrl) | None => match remote_name(url) {
                Ok(name) => return Ok(Target::File(self.place(Some(name), true))),
                Err(_) if self.remote_header_name => {
                    return Ok(Target::File(self.place(None, true)));
                }
                Err(failure) => return Err(failure),
            },
        };
        Ok(Target::File(self.place(name, false)))
    }

    fn place(&self, name: Option<PathBuf>, is_remote: bool) -> Place {
        Place {
            directory: self.output_dir.clone(),
            name,
            takes_servers_name: is_remote && self.remote_header_name,
            creates_directories: self.create_dirs,
            existing: match (self.no_clobber, self.clobber) {
                (true, _) => Existing::Numbered,
                // A file that the server named replaces none: curl's rule.
                (false, false) if is_remote && self.remote_header_name => Existing::Refused,
                (false, _) => Existing::Replaced,
            },
            takes_servers_time: self.remote_time,
        }
    }
}

impl Place {
    /// The path, as far as it is known before the response.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.name.as_deref().map(|name| self.within(name))
    }

    /// Its name for people, as far as it is known before the response.
    pub(super) fn shown_name(&self) -> Option<String> {
        let name = self.name.as_deref()?.file_name()?;
        Some(name.to_string_lossy().into_owned())
    }

    fn within(&self, name: &Path) -> PathBuf {
        match &self.directory {
            // Also a name that begins at the root: nothing is written elsewhere, as with curl.
            Some(directory) => {
                let names = name
                    .components()
                    .filter(|part| !matches!(part, Component::Prefix(_) | Component::RootDir));
                directory.join(names.collect::<PathBuf>())
            }
            None => name.to_owned(),
        }
    }

    /// Begins the download of this response.
    pub(super) fn open(&self, response: &Response) -> Result<Download, Failure> {
        let proposed = match self.takes_servers_name {
            true => response
                .file_name()
                .map(|name| self.within(Path::new(&name))),
            false => None,
        };
        let (path, existing) = match (proposed, self.path()) {
            (Some(path), _) => (path, self.existing),
            // Only a file that the server named is never replaced.
            (None, Some(path)) if self.existing == Existing::Refused => (path, Existing::Replaced),
            (None, Some(path)) => (path, self.existing),
            (None, None) => return Err(no_name(response.url())),
        };
        self.create_directory_of(&path)?;
        let mut download = Download::create_beside(path, existing).map_err(explained)?;
        self.set_time(&mut download, response);
        Ok(download)
    }

    /// Goes on with what an earlier download left, where the name is known.
    pub(super) fn resume(&self, offset: Offset) -> Result<Option<Download>, Failure> {
        let Some(path) = self.path().filter(|_| !self.takes_servers_name) else {
            return Ok(None);
        };
        self.create_directory_of(&path)?;
        let resumed = match offset {
            Offset::WhereItStopped => Download::resume(path),
            Offset::At(at) => Download::resume_at(path, at),
        };
        resumed.map(Some).map_err(explained)
    }

    /// The file gets the server's time, if that was asked for.
    pub(super) fn set_time(&self, download: &mut Download, response: &Response) {
        if self.takes_servers_time
            && let Some(time) = last_modified(response)
        {
            download.set_modified(time);
        }
    }

    fn create_directory_of(&self, path: &Path) -> Result<(), Failure> {
        match path.parent().filter(|_| self.creates_directories) {
            Some(directory) => create_directories(directory),
            None => Ok(()),
        }
    }
}

/// `Last-Modified`, if it is a date.
fn last_modified(response: &Response) -> Option<SystemTime> {
    let value = response.headers().get(LAST_MODIFIED)?;
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// Creates a directory and those above it; others have no access to them, as with curl.
fn create_directories(directory: &Path) -> Result<(), Failure> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o750);
    builder
        .create(directory)
        .map_err(|error| unusable(directory, "create", &error))
}

/// A file or directory of ours cannot be used.
pub(super) fn unusable(path: &Path, action: &str, error: &io::Error) -> Failure {
    let path = path.display().to_string();
    let what = format!(
        "cannot {action} {}: {}",
        escape_control(&path),
        plain(error)
    );
    Failure::new(code::WRITE, Explanation::new("file-unusable", what))
}

/// The name of the file for `-O`: the last segment of the URL's path, without decoding.
fn remote_name(url: &str) -> Result<PathBuf, Failure> {
    let path = url.split_once(['?', '#']).map_or(url, |(path, _)| path);
    match path.rsplit_once('/') {
        Some((_, name)) if !matches!(name, "" | "." | "..") => Ok(name.into()),
        _ => Err(no_name(url)),
    }
}

fn no_name(url: &str) -> Failure {
    let what = format!(
        "the path of {} does not end with a file name",
        escape_control(url)
    );
    let explanation = Explanation::new("no-remote-name", what).with_fix("choose one with -o FILE");
    Failure::new(code::WRITE, explanation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args as _;

    #[test]
    fn remote_names_stay_in_the_directory() {
        for (url, expected) in [
            ("https://h/a/b.txt?q", Some("b.txt")),
            ("https://h/a/..%2fb", Some("..%2fb")),
            ("https://h/", None),
            ("https://h/a/", None),
            ("https://h/a/..", None),
        ] {
            let name = remote_name(url).ok();
            assert_eq!(name.as_deref(), expected.map(Path::new), "{url}");
        }
    }

    #[test]
    fn names_go_to_urls_in_the_order_in_which_they_were_typed() {
        let command = NameArgs::augment_args(Command::new("get").no_binary_name(true));
        let given = |name: &str| Name::Given(name.into());
        for (args, expected) in [
            (&[][..], vec![]),
            (
                &["-o", "a", "-O", "-o", "b"],
                vec![given("a"), Name::OfUrl, given("b")],
            ),
            (&["-OO"], vec![Name::OfUrl, Name::OfUrl]),
            (
                &["--remote-name", "-ox", "-O"],
                vec![Name::OfUrl, given("x"), Name::OfUrl],
            ),
        ] {
            let matches = command.clone().try_get_matches_from(args).unwrap();
            assert_eq!(
                NameArgs::from_arg_matches(&matches).unwrap().0,
                expected,
                "{args:?}"
            );
        }
    }
}
