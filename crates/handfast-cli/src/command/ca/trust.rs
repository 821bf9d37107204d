//! `handfast ca trust` and `handfast ca untrust`: what this machine's trust stores are told, and what became of it.
//!
//! The program never becomes root by itself: a question for a password in the middle of the output hangs scripts, and
//! hides what runs as root. What needs root is left, and the command for it is printed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use handfast::{Explanation, escape_control};
use handfast_ca::{
    Authority, CaError, Change, Outcome, Places, Step, StoreError, StoreKind, StoreReport, Tool,
    ToolProblem,
};

use super::common::{identity, make_for_issue, print, row};
use crate::clock::unix_now;
use crate::failure::{Failure, code, plain};
use crate::output::{self, Palette, Tone};

/// Of what a tool wrote, so many lines are shown.
const MESSAGE_LINES_MAX: usize = 6;

const EXAMPLES: &str = "\
Examples:
  handfast ca trust --dry-run                    what would be written and run
  handfast ca trust --store nss                  Chromium and Firefox alone: needs no root
  handfast ca untrust                            removed from all of them again";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Change this store only (repeatable): the system's, NSS's (Chromium, Firefox) or Java's [default: all that are found]
    #[arg(long = "store", value_name = "STORE", value_parser = store_parser())]
    stores: Vec<StoreKind>,
    /// Show what would be written and run; change nothing
    #[arg(long)]
    dry_run: bool,
}

fn store_parser() -> impl TypedValueParser<Value = StoreKind> {
    PossibleValuesParser::new(StoreKind::ALL.map(StoreKind::as_str)).try_map(|text| {
        let mut all = StoreKind::ALL.into_iter();
        all.find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("{text}: no such store"))
    })
}

pub(super) fn run(change: Change, dir: &Path, args: &Args) -> Result<ExitCode, Failure> {
    let authority = open(change, dir, args)?;
    let reports = authority.change_trust(change, &args.stores, &places(), args.dry_run);
    print(&text(change, &authority, &reports, Palette::stdout()))?;
    let failures = failures(change, dir, args, reports);
    for failure in &failures {
        output::failure(failure);
    }
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(code::TRUST_STORE))
}

/// The authority; a new one, if one is to be trusted and there is none.
fn open(change: Change, dir: &Path, args: &Args) -> Result<Authority, Failure> {
    let opened = Authority::open(dir);
    let Err(missing @ CaError::Missing { .. }) = opened else {
        let authority = opened?;
        let not_after = authority.not_after();
        if change == Change::Trust && not_after < unix_now() {
            return Err(CaError::Expired { not_after }.into());
        }
        return Ok(authority);
    };
    // It would be root's, not the user's who typed it.
    if let Some(user) = sudo_user() {
        let mut failure = Failure::from(missing);
        failure.explanation = failure.explanation.with_fix(format!(
            "sudo looks in the home directory of root: name the authority of {user} with --ca-dir DIR \
             (`handfast ca show`, without sudo, shows it)"
        ));
        return Err(failure);
    }
    if change == Change::Untrust || args.dry_run {
        return Err(missing.into());
    }
    make_for_issue(dir)
}

fn sudo_user() -> Option<String> {
    let user = env::var("SUDO_USER").ok()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (!user.is_empty() && user != "root" && user.chars().all(is_plain)).then_some(user)
}

/// Where this user's stores are, and the system's: never beneath another root than `/`.
fn places() -> Places {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let mut places = Places::default();
    places.home = directories::BaseDirs::new().map(|base| base.home_dir().to_owned());
    places.config_home = absolute("XDG_CONFIG_HOME");
    places.data_home = absolute("XDG_DATA_HOME");
    places.java_home = absolute("JAVA_HOME");
    places.windows = absolute("SystemRoot");
    places.search_path = env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default();
    places
}

fn text(
    change: Change,
    authority: &Authority,
    reports: &[StoreReport],
    palette: Palette,
) -> String {
    let mut text = identity(authority, palette);
    if change == Change::Trust {
        let limits = "for nothing else: its name constraints say so; browsers and TLS libraries enforce \
                      them, Java does not";
        text.push_str(&row("", limits, palette));
        text.push_str(&row("stored as", &authority.store_name(), palette));
    }
    text.push('\n');
    for report in reports {
        text.push_str(&report_text(change, report, palette));
    }
    let is_new = |kind| {
        let mut of_kind = reports.iter().filter(move |report| report.kind == kind);
        of_kind.any(|report| matches!(report.outcome, Outcome::Done))
    };
    if is_new(StoreKind::Nss) {
        text.push_str("Browsers that run have to be restarted.\n");
    }
    if is_new(StoreKind::Java) && change == Change::Trust {
        text.push_str(
            "For Java, only the secrecy of the authority's key limits what it signs for.\n",
        );
    }
    text
}

fn report_text(change: Change, report: &StoreReport, palette: Palette) -> String {
    let path = report
        .path
        .as_ref()
        .map(|path| escape_control(&path.display().to_string()).into_owned())
        .unwrap_or_default();
    let (tone, state, rest) = match &report.outcome {
        Outcome::Done => match change {
            Change::Trust => (Tone::Good, "done", "trusted now"),
            Change::Untrust => (Tone::Good, "done", "removed"),
        },
        Outcome::Already => match change {
            Change::Trust => (Tone::Good, "unchanged", "trusted already"),
            Change::Untrust => (Tone::Good, "unchanged", "was not there"),
        },
        Outcome::Planned {
            needs_root: true, ..
        } => (Tone::Warning, "would change", "needs root"),
        Outcome::Planned { .. } => (Tone::Warning, "would change", ""),
        Outcome::NotFound { reason } => (Tone::Faint, "not found", reason.as_str()),
        Outcome::FollowsSystem => (Tone::Faint, "follows", "made from the system's store"),
        Outcome::Failed(error) => (Tone::Bad, "failed", error.id()),
        _ => (Tone::Faint, "unknown", ""),
    };
    let about = match (path.is_empty(), rest.is_empty()) {
        (true, _) => rest.to_owned(),
        (false, true) => path,
        (false, false) => format!("{path} ({rest})"),
    };
    let mut text = format!(
        "{}  {:<6}  {:<8}  {about}\n",
        palette.paint(tone, format!("{state:<12}")),
        report.kind.as_str(),
        report.owner,
    );
    if let Outcome::Planned { steps, .. } = &report.outcome {
        for step in steps {
            text.push_str(&format!("    {}\n", step_text(step)));
        }
    }
    text
}

fn step_text(step: &Step) -> String {
    match step {
        Step::Write { path, bytes } => format!(
            "write {} ({} bytes: the certificate)",
            output::shell_path(path),
            bytes.len()
        ),
        Step::Remove { path } => format!("remove {}", output::shell_path(path)),
        Step::CreateDirectory { path } => format!("create {}", output::shell_path(path)),
        Step::Run(tool) => format!("run {}", command_line(tool)),
        Step::RunOnCopy { tool, path } => format!(
            "run {} COPY, with a copy of {path} that then replaces it",
            command_line(tool),
            path = output::shell_path(path)
        ),
        _ => String::new(),
    }
}

fn command_line(tool: &Tool) -> String {
    let arguments = tool.arguments().iter().map(Path::new);
    let words = std::iter::once(tool.program()).chain(arguments);
    words.map(output::shell_path).collect::<Vec<_>>().join(" ")
}

/// Each failure, for people; those that only root can mend are one, with one command.
fn failures(change: Change, dir: &Path, args: &Args, reports: Vec<StoreReport>) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut for_root = Vec::new();
    let mut missing = Vec::new();
    let mut is_any_found = false;
    for report in reports {
        match report.outcome {
            Outcome::Failed(StoreError::NeedsRoot { path }) => for_root.push((report.kind, path)),
            Outcome::Failed(error) => failures.push(failure(&error)),
            Outcome::NotFound { reason } => {
                missing.push((report.kind, format!("{}: {reason}", report.kind.as_str())));
                continue;
            }
            _ => {}
        }
        is_any_found = true;
    }
    if !for_root.is_empty() {
        failures.push(needs_root(change, dir, &for_root));
    }
    // Nothing has to be taken out of a store that does not exist.
    let is_named = |kind| args.stores.contains(&kind);
    if change == Change::Trust && (!is_any_found || missing.iter().any(|(kind, _)| is_named(*kind)))
    {
        let reasons = missing.into_iter().map(|(_, reason)| reason);
        failures.push(not_found(reasons));
    }
    failures
}

/// No store where one has to exist.
pub(crate) fn not_found(reasons: impl Iterator<Item = String>) -> Failure {
    let explanation = Explanation::new("trust-store-not-found", "there is no such trust store");
    let explanation = reasons.fold(explanation, |explanation, reason| {
        explanation.with_evidence(escape_control(&reason))
    });
    Failure::new(
        code::TRUST_STORE,
        explanation.with_fix(
            "install or start the program that has the store, or give clients the authority's certificate by an \
             option of theirs, such as --cacert",
        ),
    )
}

fn needs_root(change: Change, dir: &Path, stores: &[(StoreKind, PathBuf)]) -> Failure {
    let Some((_, path)) = stores.first() else {
        // There is one, or this is not called.
        return failure(&StoreError::NeedsRoot {
            path: PathBuf::from("/"),
        });
    };
    let error = StoreError::NeedsRoot { path: path.clone() };
    let mut explanation = Explanation::new(error.id(), error.to_string());
    for (_, path) in &stores[1..] {
        explanation = explanation.with_evidence(format!("nor {}", path.display()));
    }
    let command = root_command(change, dir, stores.iter().map(|(kind, _)| *kind));
    Failure::new(code::TRUST_STORE, explanation.with_fix(command))
}

/// What to type. sudo gives the program another home directory and another PATH than the user's.
fn root_command(change: Change, dir: &Path, kinds: impl Iterator<Item = StoreKind>) -> String {
    let program = env::current_exe().unwrap_or_else(|_| PathBuf::from("handfast"));
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let mut words = vec!["sudo".to_owned()];
    let kinds: Vec<_> = kinds.collect();
    let java_home = env::var_os("JAVA_HOME").map(PathBuf::from);
    if kinds.contains(&StoreKind::Java)
        && let Some(home) = java_home
    {
        words.push("env".to_owned());
        words.push(format!("JAVA_HOME={}", output::shell_path(&home)));
    }
    words.push(output::shell_path(&program));
    words.push("ca".to_owned());
    words.push(match change {
        Change::Trust => "trust".to_owned(),
        Change::Untrust => "untrust".to_owned(),
    });
    for kind in kinds {
        words.push("--store".to_owned());
        words.push(kind.as_str().to_owned());
    }
    words.push("--ca-dir".to_owned());
    words.push(output::shell_path(&dir));
    words.join(" ")
}

/// What went wrong with one store.
pub(crate) fn failure(error: &StoreError) -> Failure {
    let mut explanation = Explanation::new(error.id(), escape_control(&error.to_string()));
    match error {
        StoreError::Tool {
            tool,
            problem,
            message,
        } => {
            explanation = explanation.with_evidence(format!("$ {}", command_line(tool)));
            if let ToolProblem::NotStarted(error) = problem {
                explanation = explanation.with_evidence(plain(error));
            }
            let lines = message
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty());
            for line in lines.take(MESSAGE_LINES_MAX) {
                explanation = explanation.with_evidence(escape_control(line));
            }
        }
        StoreError::File(CaError::File { source, .. }) => {
            explanation = explanation.with_evidence(plain(source));
        }
        _ => {}
    }
    if let Some(fix) = error.fix() {
        let option = match error {
            StoreError::MadeFromSystem { .. } => " (--store system)",
            StoreError::OtherOwner { .. } => " (--store nss, without sudo)",
            _ => "",
        };
        explanation = explanation.with_fix(fix + option);
    }
    Failure::new(code::TRUST_STORE, explanation)
}
