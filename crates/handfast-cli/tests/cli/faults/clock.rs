//! The clock is set while the program runs. What is measured in time must not notice; what is a date must.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use handfast_testbed::peers;

use super::{Place, ask, wait_until};

/// libfaketime, and a file whose content is the difference to the real time, looked at for each question.
struct Clock {
    file: PathBuf,
    /// The library that stands between the program and the system's clock.
    library: String,
}

impl Clock {
    fn new(place: &Place) -> Option<Self> {
        let faketime = peers::require("faketime")?;
        let file = place.fixture.path("clock");
        // The program of this name stays in between and would be the one that is ended.
        let output = Command::new(faketime)
            .args(["-f", "+0", "printenv", "LD_PRELOAD"])
            .output()
            .unwrap();
        let library = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let clock = Self { file, library };
        clock.set("+0");
        Some(clock)
    }

    /// Never half: the program may look at any time.
    fn set(&self, difference: &str) {
        let next = self.file.with_extension("next");
        let mut file = fs::File::create(&next).unwrap();
        writeln!(file, "{difference}").unwrap();
        fs::rename(next, &self.file).unwrap();
    }

    /// What comes before a command to have it run by this clock. Time that is measured goes on as it is.
    fn launcher(&self) -> Vec<String> {
        [
            "env".into(),
            format!("LD_PRELOAD={}", self.library),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.file.display()),
            "FAKETIME_NO_CACHE=1".into(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".into(),
            "DONT_FAKE_MONOTONIC=1".into(),
        ]
        .into()
    }
}

fn date(head: &str) -> std::time::SystemTime {
    let date = head.lines().find_map(|line| line.strip_prefix("date: "));
    httpdate::parse_http_date(date.unwrap()).unwrap()
}

/// Kept connections stay, replies carry the date as it is now, sessions of before are resumed or not, but every
/// connection is served; limits neither pass at once nor never.
#[test]
fn a_server_serves_on_whatever_its_clock_is_set_to() {
    let place = Place::new();
    let Some(clock) = Clock::new(&place) else {
        return;
    };
    place.put("f", "served\n");
    let launcher = clock.launcher();
    let words: Vec<&str> = launcher.iter().map(String::as_str).collect();
    let server = place.serve_by(&words, &["--threads", "1", "-v"]);
    // One context: it resumes the sessions that it has had.
    let client = place.client();
    let mut kept = server.connect(&client);
    assert_eq!(ask(&mut kept, "/f").1, b"served\n");
    let day = 86_400_i64;
    for days in [1, 30, 4000, -1, -4000, 0] {
        clock.set(&format!("{:+}", days * day));
        let now = std::time::SystemTime::now();
        wait_until("the date of the replies", || {
            let told = date(&ask(&mut kept, "/f").0);
            let shift = match told.duration_since(now) {
                Ok(later) => later.as_secs() as i64,
                Err(error) => -(error.duration().as_secs() as i64),
            };
            (shift - days * day).abs() < 3600
        });
        for _ in 0..2 {
            let mut fresh = server.connect(&client);
            assert_eq!(ask(&mut fresh, "/f").1, b"served\n", "{days} days");
        }
    }
    let output = server.running.output();
    assert!(!output.contains("panicked"), "{output}");
    assert!(!output.contains("handshake failed"), "{output}");
}
