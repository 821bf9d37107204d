//! One module per command: its arguments and its code.

pub(crate) mod bench;
pub(crate) mod ca;
pub(crate) mod completions;
#[cfg(unix)]
pub(crate) mod connect;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod inspect;
pub(crate) mod man;
pub(crate) mod serve;

// What explanations are compared with.
#[cfg(all(test, target_os = "linux"))]
pub(crate) use ca::{trust_failure, trust_not_found};

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::advice;
use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::version;

pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    if let Some(name) = command.advises() {
        advice::begin(name);
    }
    // If aws-lc gathers jitter, it does so while arguments are checked, names resolved and sockets connected.
    if needs_random_bytes(&command) && version::gathers_jitter() {
        handfast::random::seed_in_background();
    }
    match command {
        Command::Bench(args) => bench::run(args),
        #[cfg(unix)]
        Command::Connect(args) => connect::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Get(args) => get::run(&args),
        Command::Inspect(args) => inspect::run(args),
        Command::Serve(args) => serve::run(*args),
        #[cfg(target_os = "linux")]
        Command::OpenListeners(args) => serve::run_helper(&args),
        Command::Ca(args) => ca::run(args),
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Man(args) => man::run(&args, Cli::command()),
    }
}

fn needs_random_bytes(command: &Command) -> bool {
    #[cfg(target_os = "linux")]
    if let Command::OpenListeners(_) = command {
        return false;
    }
    !matches!(
        command,
        Command::Explain(_) | Command::Completions(_) | Command::Man(_)
    )
}
