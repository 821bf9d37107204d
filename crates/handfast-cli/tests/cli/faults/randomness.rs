//! The operating system gives no random bytes: a failure that says so, before anything is sent.

use handfast_testbed::launch::Program;
use handfast_testbed::skipped;

use super::HANDFAST;

#[test]
fn without_random_bytes_a_command_fails_and_says_so() {
    let run = |inject: &str| {
        let strace = Program::new("strace")?;
        let traced = [
            "-f",
            "-o",
            "/dev/null",
            "-e",
            "trace=getrandom",
            "-e",
            inject,
        ];
        let command = [HANDFAST, "get", "https://127.0.0.1:1/"];
        Some(strace.args(traced).args(command).run())
    };
    let Some(works) = run("inject=getrandom:delay_enter=1") else {
        return;
    };
    if !works.printed("[connection-refused]") {
        skipped::note(&format!("no process may be traced here: {}", works.err()));
        return;
    }
    let failed = run("inject=getrandom:error=EPERM").unwrap();
    assert_eq!(failed.code, Some(1), "{}", failed.err());
    assert!(failed.printed("[no-randomness]"), "{}", failed.err());
}
