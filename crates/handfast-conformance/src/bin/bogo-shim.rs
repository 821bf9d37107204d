//! The shim for BoGo. See [`handfast_conformance::bogo`].

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    handfast_conformance::bogo::main(&arguments)
}
