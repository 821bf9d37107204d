//! The shim for BoGo, BoringSSL's TLS test suite: a program that its runner starts for each test, with
//! flags for its role and its expectations.
//!
//! It drives [`handfast::Connection`] through the public interface only. Flags that are not supported are
//! refused with the exit code that makes the runner skip the test.

pub mod contexts;
pub mod exchange;
pub mod flags;

use std::process::ExitCode;

use self::contexts::{Context, ContextFailure, SetForward};
use self::exchange::exchange;
use self::flags::{Plan, Refused};

/// The runner skips a test whose shim ends with this exit code.
const NOT_IMPLEMENTED: u8 = 89;

/// The whole program.
pub fn main(arguments: &[String]) -> ExitCode {
    // Only BoringSSL can transfer a connection in the middle of its handshake.
    if arguments
        .iter()
        .any(|flag| flag == "-is-handshaker-supported")
    {
        println!("No");
        return ExitCode::SUCCESS;
    }
    let plan = match Plan::parse(arguments) {
        Ok(plan) => plan,
        Err(refused) => return refuse(&refused),
    };
    match run(&plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ContextFailure::Refused(refused)) => refuse(&refused),
        Err(ContextFailure::Failed(_)) => ExitCode::FAILURE,
    }
}

fn refuse(refused: &Refused) -> ExitCode {
    eprintln!("not supported: {}: {}", refused.flag, refused.reason);
    ExitCode::from(NOT_IMPLEMENTED)
}

fn run(plan: &Plan) -> Result<(), ContextFailure> {
    let clock = SetForward::default();
    let report = |failure: ContextFailure| {
        if let ContextFailure::Failed(error) = &failure {
            let explanation = error.explain();
            eprintln!("configuration: [{}] {}", explanation.id, explanation.what);
        }
        failure
    };
    let first = Context::new(&plan.first.context, &clock).map_err(report)?;
    // Checked before connecting to the runner.
    let later = if plan.first.context == plan.later.context {
        first.clone()
    } else {
        first
            .succeeded_by(&plan.later.context, &clock)
            .map_err(report)?
    };
    for number in 0..=plan.first.exchange.resume_count {
        let (context, options) = match number {
            0 => (&first, &plan.first.exchange),
            _ => (&later, &plan.later.exchange),
        };
        let connection = context.connection().map_err(ContextFailure::Failed)?;
        if let Err(failure) = exchange(options, connection, number > 0) {
            eprintln!("{failure}");
            std::process::exit(1);
        }
        clock.pass(options.resumption_delay);
    }
    Ok(())
}
