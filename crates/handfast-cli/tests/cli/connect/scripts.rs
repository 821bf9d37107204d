//! Input from a pipe as a script: its end does not cost it the answers; and targets as people type them.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use handfast::{ClosePolicy, Ending, ReadOutcome, Timeouts};

use super::support::{PATIENCE, run, serve};
use crate::common::Fixture;

/// A server that answers what has come only if its client has not ended by then, as mail servers do.
#[test]
fn a_script_gets_its_answers_before_the_end_of_the_input_ends_the_session() {
    let fixture = Fixture::new();
    for starttls in [false, true] {
        let context = fixture.server_context();
        let (address, server) = serve(move |mut socket| {
            if starttls {
                for (said, asked) in [
                    ("220 ready\r\n", "EHLO localhost\r\n"),
                    ("250 STARTTLS\r\n", "STARTTLS\r\n"),
                    ("220 go\r\n", ""),
                ] {
                    socket.write_all(said.as_bytes()).unwrap();
                    socket.read_exact(&mut vec![0; asked.len()]).unwrap();
                }
            }
            let mut stream = context.accept(socket).unwrap();
            let mut script = [0; 14];
            stream.read_exact(&mut script).unwrap();
            // The first answer takes longer than the second.
            for (pause, answer) in [(1500, "250 hello\r\n"), (300, "221 bye\r\n")] {
                stream.set_timeouts(Timeouts::all(Duration::from_millis(pause)));
                if let Ok(ReadOutcome::End(_)) = stream.read_some(&mut [0; 16]) {
                    return script;
                }
                stream.write_all(answer.as_bytes()).unwrap();
                stream.flush().unwrap();
            }
            stream.close(ClosePolicy::Wait(PATIENCE));
            script
        });
        let target = format!("localhost:{}", address.port());
        let mut command = fixture.connect([&target]);
        if starttls {
            command.args(["--starttls", "smtp"]);
        }
        let finished = run(&mut command, b"EHLO x\r\nQUIT\r\n").expect(0, &["close: complete"]);
        assert_eq!(finished.out(), "250 hello\r\n221 bye\r\n");
        assert_eq!(&server.join().unwrap(), b"EHLO x\r\nQUIT\r\n");
    }
}

#[test]
fn an_unanswered_script_ends_with_a_message_and_a_transfer_ends_at_once() {
    let fixture = Fixture::new();
    for (length, told) in [(10, true), (0, false), (64 * 1024 + 1, false)] {
        let context = fixture.server_context();
        let (address, server) = serve(move |socket| {
            let mut stream = context.accept(socket).unwrap();
            let (bytes, ending) = stream.read_to_ending().unwrap();
            stream.close(ClosePolicy::default());
            (bytes.len(), ending)
        });
        let mut command = fixture.connect([address.to_string()]);
        let finished = run(&mut command, &vec![b'x'; length]).expect(0, &["close: complete"]);
        assert_eq!(server.join().unwrap(), (length, Ending::CloseNotify));
        assert_eq!(
            finished.stderr.contains("had no answer"),
            told,
            "{length}: {}",
            finished.stderr
        );
    }
}

#[test]
fn targets_are_understood_as_people_type_them_or_refused() {
    let fixture = Fixture::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let context = fixture.server_context();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            if let Ok(mut stream) = context.accept(socket) {
                stream.close(ClosePolicy::default());
            }
        }
    });
    let port = port.to_string();
    for args in [
        vec![format!("localhost:{port}")],
        vec!["localhost".to_owned(), port.clone()],
        vec![format!("https://localhost:{port}")],
        vec![format!("https://localhost:{port}/")],
    ] {
        run(&mut fixture.connect(&args), b"").expect(0, &["verified for localhost"]);
    }
    for (args, code, says) in [
        (vec!["localhost"], 2, "localhost:443"),
        (vec!["localhost:1", "2"], 2, "has a port already"),
        (vec!["http://localhost"], 2, "http://"),
        (vec!["imap://localhost"], 2, "--starttls imap"),
        (vec!["https://localhost/x"], 2, "handfast get"),
        (vec!["8443"], 3, "localhost:8443"),
        (vec!["8443", "443"], 3, "localhost:8443"),
        (vec!["127.1:443"], 3, "invalid-server-name"),
    ] {
        run(&mut fixture.connect(&args), b"").expect(code, &[says]);
    }
}
