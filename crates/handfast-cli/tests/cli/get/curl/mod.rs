//! The same command lines, run by curl and by `get`, and what is not the same: docs/curl.md, which is made here.

mod document;
mod options;
mod place;
mod row;
mod run;
mod site;
mod topics;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use handfast_testbed::launch::Program;
use handfast_testbed::{peers, skipped};

use self::document::Compared;
use self::place::World;
use self::row::Row;
use self::run::{Outcome, differing, evidence, run};

/// The version whose options and behaviour the document is about. Others differ in details.
const VERSION: &str = "curl 7.88";

/// More at once than there are processors: many of them wait.
const AT_ONCE: usize = 6;

/// curl, if it is the one that the table is about.
fn curl() -> Option<Program> {
    let version = Program::new("curl")?.arg("--version").run().out();
    if !version.starts_with(VERSION) {
        let found = version.lines().next().unwrap_or_default();
        skipped::note(&format!("{VERSION} is needed, and this is {found}"));
        return None;
    }
    Some(Program::new("curl")?.arg("-q"))
}

/// What both come to; without curl, what `get` comes to. `None` without a server that the row needs.
fn both(world: &World, row: &Row, has_curl: bool) -> Option<(Outcome, Option<Outcome>)> {
    let ours = run(world, row, world.fixture.program("get"))?;
    let curls = match has_curl {
        true => run(world, row, Program::at(peers::find("curl")?).arg("-q")),
        false => None,
    };
    Some((ours, curls))
}

/// What is wrong with a row, if anything is.
fn fault(row: &Row, ours: &Outcome, curls: Option<&Outcome>) -> Option<String> {
    let mut faults = String::new();
    if ours.code != row.code {
        faults += &format!("  exit code {}, not {}\n", ours.code, row.code);
    }
    if let Some(curls) = curls {
        let found = differing(ours, curls);
        let expected = row.differs.map_or(&[][..], |(aspects, _)| aspects);
        if found != expected {
            faults += &format!("  differs in {found:?}, expected: {expected:?}\n");
        }
    }
    (!faults.is_empty()).then(|| format!("{}\n{faults}{}", row.line, evidence(ours, curls)))
}

#[test]
fn command_lines_do_what_they_do_with_curl_or_the_difference_is_argued() {
    let world = World::new();
    let has_curl = curl().is_some();
    let rows: Vec<&Row> = topics::all().collect();
    let next = AtomicUsize::new(0);
    let faults = Mutex::new(Vec::new());
    let compared = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some((ours, curls)) = both(&world, row, has_curl) else {
                        continue;
                    };
                    faults
                        .lock()
                        .unwrap()
                        .extend(fault(row, &ours, curls.as_ref()));
                    if let Some(curls) = curls {
                        let one = Compared::new(row, ours.code, curls.code);
                        compared.lock().unwrap().push(one);
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(
        faults.is_empty(),
        "{} of {} lines:\n{}",
        faults.len(),
        rows.len(),
        faults.join("\n")
    );
    let compared = compared.into_inner().unwrap();
    if compared.len() == rows.len() {
        document::check(&compared);
    }
}
