//! `handfast`: HTTPS from both ends, on the command line.
//!
//! The binary alone prints, reads the environment and decides exit codes; what it does stands in the
//! libraries. `cli.rs` says what can be typed, `command/` what each command does with it, `output.rs`
//! how things are told.

mod cli;
mod columns;
mod command;
mod data_dir;
mod failure;
// The operating system's words are Linux's.
#[cfg(all(test, target_os = "linux"))]
mod golden;
mod output;
mod passphrase;
mod proxy_args;
mod trust_args;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match command::run(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            output::failure(&failure);
            failure.exit_code()
        }
    }
}
