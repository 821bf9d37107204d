//! `handfast completions`: completion scripts for shells.

use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell that reads the script
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  handfast completions bash > ~/.local/share/bash-completion/completions/handfast
  handfast completions zsh > ~/.zfunc/_handfast       (with ~/.zfunc in fpath)
  handfast completions fish > ~/.config/fish/completions/handfast.fish
  handfast completions powershell >> $PROFILE";

/// `program` is the whole command line.
pub(crate) fn run(args: &Args, mut program: Command) -> Result<ExitCode, Failure> {
    // Into memory first: clap_complete panics if its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "handfast", &mut script);
    output::write_stdout(&script).map(|()| ExitCode::SUCCESS)
}
