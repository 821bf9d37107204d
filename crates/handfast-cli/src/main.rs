//! `handfast`: HTTPS from both ends, on the command line.
//!
//! The binary alone prints, reads the environment and decides exit codes; what it does stands in the
//! libraries. `cli.rs` says what can be typed, `command/` what each command does with it, `output.rs`
//! how things are told.

mod cli;
mod columns;
mod command;
mod data_dir;
mod descriptors;
mod failure;
// The operating system's words are Linux's.
#[cfg(all(test, target_os = "linux"))]
mod golden;
mod output;
mod passphrase;
mod proxy_args;
mod tls_at_once;
mod trust_args;
mod typos;

use std::process::ExitCode;

/// Beyond so much, memory that is free at the end of the heap goes back to the system.
const HEAP_KEPT: usize = 8 * 1024 * 1024;

fn main() -> ExitCode {
    keep_freed_memory();
    let cli = typos::parse();
    match command::run(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            output::failure(&failure);
            failure.exit_code()
        }
    }
}

/// glibc hands the end of its heap back whenever more than 128 KiB of it are free, and asks for it anew for
/// the next buffer: the system then clears every page again, which for a long body costs as much as its
/// decryption. It learns from what a program frees: of a block as large as this it concludes that twice as
/// much may stay. No page of the block is ever touched. Other allocators take no notice.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(
        HEAP_KEPT / 2,
    )));
}
