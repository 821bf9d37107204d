//! How sessions end: in order, half-closed, cut off, interrupted, unheard; and that none of the
//! states between costs a busy processor.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use handfast::{CloseOutcome, ClosePolicy, Ending, ReadOutcome, Timeouts};
use handfast_testbed::misbehaving::Step;
use rustix::process::{Pid, Signal, kill_process};

use super::support::{Talk, run, serve};
use crate::common::Fixture;
use crate::terminal::terminal;

#[test]
fn end_of_input_half_closes_and_reading_goes_on() {
    let fixture = Fixture::new();
    let context = fixture.server_context();
    let (address, server) = serve(move |socket| {
        let mut stream = context.accept(socket).unwrap();
        let (asked, ending) = stream.read_to_ending().unwrap();
        // Our direction is open still, and the client listens.
        let fin = stream.channel_mut().read(&mut [0]).unwrap();
        stream.write_all(b"the answer, afterwards").unwrap();
        stream.flush().unwrap();
        stream.close(ClosePolicy::default());
        (asked, ending, fin)
    });
    let finished = run(&mut fixture.connect([address.to_string()]), b"question");
    let finished = finished.expect(0, &["close: complete; 22 bytes received, 8 sent"]);
    assert_eq!(finished.out(), "the answer, afterwards");
    let came = server.join().unwrap();
    assert_eq!(came, (b"question".to_vec(), Ending::CloseNotify, 0));
}

#[test]
fn keep_open_says_nothing_at_the_end_of_input() {
    let fixture = Fixture::new();
    let context = fixture.server_context();
    let (address, server) = serve(move |socket| {
        let mut stream = context.accept(socket).unwrap();
        let mut bytes = [0; 16];
        assert_eq!(stream.read_some(&mut bytes).unwrap(), ReadOutcome::Data(8));
        // Long after the input has ended.
        stream.set_timeouts(Timeouts::all(Duration::from_millis(200)));
        let silent = stream.read_some(&mut bytes).is_err();
        stream.write_all(b"answer").unwrap();
        stream.flush().unwrap();
        let outcome = stream.close(ClosePolicy::Wait(Duration::from_secs(20)));
        (silent, outcome)
    });
    let mut command = fixture.connect(["--keep-open", &address.to_string()]);
    let finished = run(&mut command, b"question").expect(0, &["close: complete"]);
    assert_eq!(finished.out(), "answer");
    assert_eq!(server.join().unwrap(), (true, CloseOutcome::Complete));
}

#[test]
fn a_premature_end_is_an_error_after_all_that_came_was_passed_on() {
    let fixture = Fixture::new();
    for steps in [
        vec![Step::send("half of"), Step::Fin],
        vec![Step::Read(8), Step::send("half of"), Step::Fin],
        vec![Step::ReadToEnd, Step::send("half of"), Step::Fin],
    ] {
        let served = fixture.misbehaving().serve(steps);
        let finished = run(
            &mut fixture.connect([served.address().to_string()]),
            b"question",
        );
        let finished = finished.expect(
            56,
            &[
                "premature-end",
                "7 bytes had arrived",
                "FIN without close_notify",
            ],
        );
        assert_eq!(finished.out(), "half of");
    }
}

#[test]
fn a_reset_is_told_as_one() {
    let fixture = Fixture::new();
    let served = fixture.misbehaving().serve([Step::Read(8), Step::Reset]);
    let mut talk = Talk::start(&mut fixture.connect([served.address().to_string()]));
    talk.write("question");
    talk.wait().expect(56, &["[reset]"]);
}

#[test]
fn the_peers_end_ends_the_session_although_the_input_stays_open() {
    let fixture = Fixture::new();
    let served = fixture
        .misbehaving()
        .serve([Step::send("bye"), Step::CloseNotify, Step::Fin]);
    let talk = Talk::start(&mut fixture.connect([served.address().to_string()]));
    let finished = talk.wait().expect(0, &["close: complete", "still open"]);
    assert_eq!(finished.out(), "bye");
}

#[test]
fn input_flows_on_to_a_peer_that_has_ended_its_own_direction() {
    let fixture = Fixture::new();
    let context = fixture.server_context();
    let (address, server) = serve(move |socket| {
        let mut stream = context.accept(socket).unwrap();
        stream.finish().unwrap();
        stream.read_to_ending().unwrap()
    });
    let input = vec![b'x'; 3_000_000];
    run(&mut fixture.connect([address.to_string()]), &input).expect(0, &["close: complete"]);
    let (bytes, ending) = server.join().unwrap();
    assert!(bytes == input, "{} bytes came", bytes.len());
    assert_eq!(ending, Ending::CloseNotify);
}

#[test]
fn keep_open_waits_for_slow_input_after_the_peer_has_ended() {
    let fixture = Fixture::new();
    let context = fixture.server_context();
    let (address, server) = serve(move |socket| {
        let mut stream = context.accept(socket).unwrap();
        stream.write_all(b"ended\n").unwrap();
        stream.finish().unwrap();
        stream.read_to_ending().unwrap()
    });
    let mut talk = Talk::start(&mut fixture.connect(["--keep-open", &address.to_string()]));
    talk.heard("ended");
    // Longer than the silence that ends a session without the option.
    thread::sleep(Duration::from_millis(1500));
    talk.write("late, but whole");
    talk.end_input();
    talk.wait().expect(0, &["close: complete"]);
    let (bytes, ending) = server.join().unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), "late, but whole");
    assert_eq!(ending, Ending::CloseNotify);
}

#[test]
fn input_that_the_peer_did_not_take_is_not_passed_over() {
    let fixture = Fixture::new();
    let context = fixture.server_context();
    let (address, server) = serve(move |socket| {
        let mut stream = context.accept(socket).unwrap();
        stream.close(ClosePolicy::Send);
    });
    let mut talk = Talk::start(&mut fixture.connect([address.to_string()]));
    server.join().unwrap();
    let mut stdin = talk.take_stdin();
    let endless = thread::spawn(move || while stdin.write_all(&[b'x'; 65536]).is_ok() {});
    let finished = talk.wait();
    // Its reset may overtake its close_notify; either way it is not passed over.
    match finished.code {
        Some(55) => finished.expect(55, &["input-not-sent"]),
        _ => finished.expect(56, &["[reset]"]),
    };
    endless.join().unwrap();
}

#[test]
fn an_interrupt_says_close_notify() {
    let fixture = Fixture::new();
    for signal in [Signal::INT, Signal::TERM] {
        let context = fixture.server_context();
        let (sender, receiver) = mpsc::channel();
        let (address, server) = serve(move |socket| {
            let mut stream = context.accept(socket).unwrap();
            stream.read_exact(&mut [0]).unwrap();
            sender.send(()).unwrap();
            stream.read_to_ending().unwrap().1
        });
        let mut talk = Talk::start(&mut fixture.connect([address.to_string()]));
        talk.write("x");
        receiver.recv().unwrap();
        kill_process(Pid::from_child(&talk.child), signal).unwrap();
        talk.wait().expect(130, &["interrupted"]);
        assert_eq!(server.join().unwrap(), Ending::CloseNotify);
    }
}

#[test]
fn a_reader_that_has_gone_ends_the_session_quietly() {
    let fixture = Fixture::new();
    for idle in [true, false] {
        let context = fixture.server_context();
        let (address, server) = serve(move |socket| {
            let mut stream = context.accept(socket).unwrap();
            if !idle {
                while stream.write_all(&[b'y'; 65536]).is_ok() {}
            }
            stream.read_to_ending().map(|(_, ending)| ending)
        });
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = fixture.connect([address.to_string()]);
        let talk = Talk::with_stdout(command.stdout(writer));
        drop(command);
        talk.told("secured");
        drop(reader);
        let finished = talk.wait().expect(0, &[]);
        assert!(!finished.stderr.contains("ended"), "{}", finished.stderr);
        let ending = server.join().unwrap();
        if idle {
            assert_eq!(ending.unwrap(), Ending::CloseNotify);
        }
    }
}

#[test]
fn an_unread_standard_output_does_not_stop_the_input() {
    let fixture = Fixture::new();
    let context = fixture.server_context();
    let (address, server) = serve(move |socket| {
        let mut stream = context.accept(socket).unwrap();
        // Fills the pipe several times over; the sockets and the program hold the rest.
        stream.write_all(&vec![b'y'; 400_000]).unwrap();
        stream.flush().unwrap();
        let (bytes, ending) = stream.read_to_ending().unwrap();
        stream.close(ClosePolicy::Send);
        (bytes.len(), ending)
    });
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = fixture.connect([address.to_string()]);
    let mut talk = Talk::with_stdout(command.stdout(writer));
    drop(command);
    let input = vec![b'x'; 2_000_000];
    let (mut stdin, sent) = (talk.take_stdin(), input.clone());
    let feeding = thread::spawn(move || stdin.write_all(&sent).unwrap());
    assert_eq!(server.join().unwrap(), (input.len(), Ending::CloseNotify));
    feeding.join().unwrap();
    // Both directions have ended and only the reader is missing: that costs nothing.
    assert_idle(&talk, "waiting for standard output");
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 400_000);
    talk.wait().expect(0, &[]);
}

#[test]
fn an_idle_session_costs_nothing() {
    let fixture = Fixture::new();
    for keep_open in [false, true] {
        let context = fixture.server_context();
        let (sender, receiver) = mpsc::channel::<()>();
        let (address, server) = serve(move |socket| {
            let mut stream = context.accept(socket).unwrap();
            let _ = receiver.recv();
            stream.close(ClosePolicy::default())
        });
        let mut command = fixture.connect([address.to_string()]);
        if keep_open {
            command.arg("--keep-open");
        }
        let mut talk = Talk::start(&mut command);
        talk.told("secured");
        assert_idle(&talk, "with an open input");
        talk.end_input();
        assert_idle(&talk, "after the end of the input");
        drop(sender);
        talk.wait().expect(0, &[]);
        server.join().unwrap();
    }
}

/// It uses next to no processor for a while.
#[track_caller]
fn assert_idle(talk: &Talk, when: &str) {
    // What led here may take its time to be done with.
    thread::sleep(Duration::from_millis(100));
    let before = cpu_ticks(talk);
    thread::sleep(Duration::from_millis(300));
    let spent = cpu_ticks(talk) - before;
    assert!(spent <= 3, "{spent} hundredths of a second {when}");
}

/// Hundredths of a second of processor that the program has used so far.
fn cpu_ticks(talk: &Talk) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", talk.child.id())).unwrap();
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn on_a_terminal_the_session_ends_with_either_end() {
    let fixture = Fixture::new();
    // What is typed at the end, and what of it the server gets.
    for (typed, ends_first) in [("line\n", false), ("line\n\u{4}", true)] {
        let context = fixture.server_context();
        let (address, server) = serve(move |socket| {
            let mut stream = context.accept(socket).unwrap();
            stream.write_all(b"hello\n").unwrap();
            stream.flush().unwrap();
            let mut line = [0; 5];
            stream.read_exact(&mut line).unwrap();
            let ending = ends_first.then(|| stream.read_to_ending().unwrap().1);
            stream.close(ClosePolicy::default());
            (line, ending)
        });
        let (mut ours, theirs, _) = terminal();
        let mut command = fixture.connect([address.to_string()]);
        command.stdin(theirs.try_clone().unwrap()).stdout(theirs);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        drop(command);
        ours.write_all(typed.as_bytes()).unwrap();
        let (line, ending) = server.join().unwrap();
        assert_eq!(&line, b"line\n");
        assert_eq!(ending, ends_first.then_some(Ending::CloseNotify));
        let mut told = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut told)
            .unwrap();
        assert!(child.wait().unwrap().success(), "{told}");
        // It did not wait.
        assert!(
            told.contains("close: complete") && !told.contains("silent"),
            "{told}"
        );
        // A terminal whose other end has gone ends with an error.
        let mut screen = Vec::new();
        let _ = ours.read_to_end(&mut screen);
        let screen = String::from_utf8_lossy(&screen);
        assert!(screen.contains("hello"), "{screen}");
    }
}

#[test]
fn an_output_that_cannot_be_written_and_an_input_that_cannot_be_read_are_failures() {
    let fixture = Fixture::new();
    let served = fixture
        .misbehaving()
        .serve([Step::send("data"), Step::ReadToEnd]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let mut command = fixture.connect([served.address().to_string()]);
    let talk = Talk::with_stdout(command.stdout(full.unwrap()));
    talk.wait().expect(23, &["output-unwritable"]);

    // The peer must not take what it got for all of it.
    let context = fixture.server_context();
    let (address, server) =
        serve(move |socket| context.accept(socket).unwrap().read_to_ending().unwrap().1);
    let mut command = fixture.connect([address.to_string()]);
    let directory = fs::File::open(fixture.directory()).unwrap();
    let status = command
        .stdin(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert_eq!(status.unwrap().code(), Some(26));
    assert_ne!(server.join().unwrap(), Ending::CloseNotify);
}
