//! `handfast`: HTTPS from both ends, on the command line.
//!
//! Only the binary prints, reads the environment and sets exit codes; the functions are in the
//! libraries. `cli.rs` has the arguments, `command/` the commands, `output.rs`
//! the output.

// `connect` and the signals that `serve` knows are Unix's alone, and with them some of what commands share.
#![cfg_attr(not(unix), allow(dead_code))]

mod advice;
mod cli;
mod clock;
mod columns;
mod command;
mod crl_dates;
mod data_dir;
mod descriptors;
mod exit_codes;
mod failure;
// The operating system's messages are those of Linux.
#[cfg(all(test, target_os = "linux"))]
mod golden;
mod heap;
mod identity_args;
mod nearest;
mod output;
mod passphrase;
#[cfg(unix)]
mod poll;
mod proxy_args;
mod runtime;
mod secret;
mod span;
mod tls_at_once;
mod trust_args;
mod typos;
mod verify_args;
mod version;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = typos::parse();
    match command::run(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            output::failure(&failure);
            failure.exit_code()
        }
    }
}
