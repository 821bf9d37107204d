use super::*;
use crate::error::Error;

/// What the server says, and the words of the client between, for each protocol.
fn scripts() -> Vec<(StartTls, Vec<&'static [u8]>)> {
    vec![
        (
            StartTls::Smtp,
            vec![
                b"220-mail.example ESMTP\r\n220 ready\r\n",
                b"250-mail.example\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250 HELP\r\n",
                b"220 go ahead\r\n",
            ],
        ),
        (
            StartTls::Imap,
            vec![
                b"* OK [CAPABILITY IMAP4rev1] ready\r\n",
                b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na OK done\r\n",
                b"b OK begin TLS\r\n",
            ],
        ),
        (
            StartTls::Pop3,
            vec![
                b"+OK ready\r\n",
                b"+OK list\r\nTOP\r\nSTLS\r\n.\r\n",
                b"+OK begin\r\n",
            ],
        ),
        (
            StartTls::Ftp,
            vec![b"220-hello\r\n and welcome\r\n220 ready\r\n", b"234 go\r\n"],
        ),
        (
            StartTls::Ldap,
            vec![b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"],
        ),
        (
            StartTls::Xmpp,
            vec![
                b"<?xml version='1.0'?><stream:stream id='>' from='x'><stream:features>\
                  <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
                  </stream:features>",
                b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            ],
        ),
        (StartTls::Postgres, vec![b"S"]),
        (StartTls::Mysql, vec![MYSQL_GREETING]),
        (
            StartTls::Sieve,
            vec![
                b"\"IMPLEMENTATION\" \"x OK\"\r\n\"STARTTLS\"\r\nOK \"ready\"\r\n",
                b"OK \"begin\"\r\n",
            ],
        ),
        (
            StartTls::Nntp,
            vec![b"200 news.example\r\n", b"382 continue\r\n"],
        ),
    ]
}

const MYSQL_GREETING: &[u8] =
    b"\x1e\0\0\0\x0a8.0\0\x01\0\0\0saltsalt\0\xff\xff\x2d\x02\0\xff\xcf\x15\0\0\0\0";

/// Everything the client says, after which the dialogue must have ended in TLS.
fn play(protocol: StartTls, answers: &[&[u8]], chunk: usize) -> Result<Vec<u8>, StartTlsError> {
    let mut dialogue = protocol.dialogue("mail.example");
    let mut said = Vec::new();
    for answer in answers {
        assert!(!dialogue.is_done(), "{protocol} is done too early");
        for part in answer.chunks(chunk) {
            said.extend_from_slice(dialogue.outgoing());
            dialogue.sent(dialogue.outgoing().len());
            dialogue.received(part)?;
        }
    }
    said.extend_from_slice(dialogue.outgoing());
    dialogue.sent(dialogue.outgoing().len());
    assert!(dialogue.is_done(), "{protocol} is not done: {dialogue:?}");
    Ok(said)
}

#[test]
fn every_dialogue_leads_to_tls_however_its_bytes_are_cut() {
    for (protocol, answers) in scripts() {
        let said = play(protocol, &answers, usize::MAX).unwrap();
        for chunk in [1, 2, 7] {
            assert_eq!(
                play(protocol, &answers, chunk).unwrap(),
                said,
                "{protocol} in pieces of {chunk}"
            );
        }
    }
    assert_eq!(scripts().len(), StartTls::ALL.len());
}

#[test]
fn an_answer_behind_a_blank_line_is_refused_however_it_is_cut() {
    let answers = [
        &b"* OK ready\r\n"[..],
        b"\r\n* CAPABILITY IMAP4rev1 STARTTLS\r\na OK done\r\n",
    ];
    for chunk in [1, 7, usize::MAX] {
        let error = play(StartTls::Imap, &answers, chunk).unwrap_err();
        assert_eq!(error.problem.id(), "starttls-unexpected-answer", "{chunk}");
    }
}

#[test]
fn plain_text_behind_the_last_answer_is_refused() {
    for (protocol, answers) in scripts() {
        let (last, before) = answers.split_last().unwrap();
        let injected = [last, &b"a OK injected\r\n"[..]].concat();
        let mut answers = before.to_vec();
        answers.push(&injected);
        let error = play(protocol, &answers, usize::MAX).unwrap_err();
        assert_eq!(
            error.problem,
            StartTlsProblem::Injected {
                bytes: b"a OK injected\r\n".to_vec()
            },
            "{protocol}"
        );
    }
}

#[test]
fn late_plain_text_is_refused_too_and_a_failure_stays() {
    let mut dialogue = StartTls::Postgres.dialogue("db");
    dialogue.sent(8);
    dialogue.received(b"S").unwrap();
    assert!(dialogue.is_done());
    let error = dialogue.received(b"R").unwrap_err();
    assert_eq!(error.problem.id(), "starttls-injection");
    assert!(!dialogue.is_done());
    assert_eq!(dialogue.received(b"").unwrap_err(), error);
    assert_eq!(dialogue.received_end(), error);
}

#[test]
fn every_reason_not_to_begin_tls_has_its_own_id() {
    use StartTls::*;
    let cases: &[(StartTls, &[&[u8]], &str)] = &[
        (Smtp, &[b"554 go away\r\n"], "starttls-client-refused"),
        (
            Smtp,
            &[b"220 x\r\n", b"250-x\r\n250 XSTARTTLS\r\n"],
            "starttls-not-offered",
        ),
        (
            Smtp,
            &[b"220 x\r\n", b"502 what?\r\n"],
            "starttls-not-offered",
        ),
        (
            Smtp,
            &[b"220 x\r\n", b"250 STARTTLS\r\n", b"454 no key\r\n"],
            "starttls-refused",
        ),
        (Smtp, &[b"SSH-2.0-x\r\n"], "starttls-unexpected-answer"),
        (Smtp, &[b"\x16\x03\x03\0\x02"], "starttls-already-tls"),
        (Smtp, &[b"\0\x01\x02"], "starttls-unexpected-answer"),
        (Imap, &[b"* PREAUTH welcome\r\n"], "starttls-refused"),
        (Imap, &[b"* BYE\r\n"], "starttls-client-refused"),
        (
            Imap,
            &[b"* OK\r\n", b"* CAPABILITY IMAP4rev1\r\na OK\r\n"],
            "starttls-not-offered",
        ),
        (
            Imap,
            &[b"* OK\r\n", b"a BAD what\r\n"],
            "starttls-client-refused",
        ),
        (
            Imap,
            &[
                b"* OK\r\n",
                b"* CAPABILITY STARTTLS\r\na OK\r\n",
                b"b NO\r\n",
            ],
            "starttls-refused",
        ),
        (Pop3, &[b"-ERR busy\r\n"], "starttls-client-refused"),
        (
            Pop3,
            &[b"+OK\r\n", b"+OK\r\nTOP\r\n.\r\n"],
            "starttls-not-offered",
        ),
        (
            Pop3,
            &[b"+OK\r\n", b"-ERR\r\n", b"-ERR\r\n"],
            "starttls-refused",
        ),
        (Ftp, &[b"220 x\r\n", b"500 what\r\n"], "starttls-refused"),
        (
            Ftp,
            &[b"220 x\r\n", b"200 sure\r\n"],
            "starttls-unexpected-answer",
        ),
        (
            Ldap,
            &[b"\x30\x0e\x02\x01\x01\x78\x09\x0a\x01\x02\x04\x00\x04\x02no"],
            "starttls-refused",
        ),
        (
            Ldap,
            &[b"\x30\x0e\x02\x01\x00\x78\x09\x0a\x01\x34\x04\x00\x04\x02no"],
            "starttls-client-refused",
        ),
        (Ftp, &[b"421 too many\r\n"], "starttls-client-refused"),
        (
            Smtp,
            &[b"220 x\r\n", b"550 not you\r\n"],
            "starttls-client-refused",
        ),
        (Ldap, &[b"220 x\r\n"], "starttls-unexpected-answer"),
        (
            Ldap,
            &[b"\x30\x03\x02\x01\x01"],
            "starttls-unexpected-answer",
        ),
        (
            Ldap,
            &[b"\x30\x85\x01\x01\x01\x01\x01"],
            "starttls-unexpected-answer",
        ),
        (
            Xmpp,
            &[b"<stream:stream><stream:features/>"],
            "starttls-not-offered",
        ),
        (
            Xmpp,
            &[b"<stream:stream><stream:features><bind/></stream:features>"],
            "starttls-not-offered",
        ),
        (
            Xmpp,
            &[b"<stream:stream><stream:error><x/></stream:error>"],
            "starttls-client-refused",
        ),
        (
            Xmpp,
            &[
                b"<stream:features><starttls/></stream:features>",
                b"<failure/>",
            ],
            "starttls-refused",
        ),
        (Xmpp, &[b"HTTP/1.1 400\r\n"], "starttls-unexpected-answer"),
        (Postgres, &[b"N"], "starttls-not-offered"),
        (Postgres, &[b"E\0\0\0\x20SFATAL"], "starttls-refused"),
        (
            Postgres,
            &[b"HTTP/1.1 400\r\n"],
            "starttls-unexpected-answer",
        ),
        (
            Mysql,
            &[b"\x0a\0\0\0\xff\x6a\x04blocked"],
            "starttls-client-refused",
        ),
        (
            Mysql,
            &[b"\x16\0\0\0\x0a5.0\0\x01\0\0\0saltsalt\0\xff\xf7\0\0"],
            "starttls-not-offered",
        ),
        (Mysql, &[b"220 x\r\n"], "starttls-unexpected-answer"),
        (
            Mysql,
            &[b"\x02\0\0\0\x0a\x35"],
            "starttls-unexpected-answer",
        ),
        (
            Sieve,
            &[b"\"SIEVE\" \"x\"\r\nOK\r\n"],
            "starttls-not-offered",
        ),
        (Sieve, &[b"BYE \"busy\"\r\n"], "starttls-client-refused"),
        (
            Sieve,
            &[b"\"STARTTLS\"\r\nOK\r\n", b"NO\r\n"],
            "starttls-refused",
        ),
        (Nntp, &[b"400 busy\r\n"], "starttls-client-refused"),
        (Nntp, &[b"200 x\r\n", b"580 no\r\n"], "starttls-refused"),
    ];
    for (protocol, answers, id) in cases {
        let error = play(*protocol, answers, usize::MAX)
            .expect_err(&format!("{protocol} {answers:?} led to TLS"));
        assert_eq!(error.problem.id(), *id, "{protocol} {answers:?}: {error}");
        let told = Error::from(error).explain().to_string();
        assert!(!told.chars().any(|c| c.is_control() && c != '\n'), "{told}");
    }
}

#[test]
fn a_server_that_ends_or_never_ends_is_not_waited_for() {
    for protocol in StartTls::ALL {
        let mut dialogue = protocol.dialogue("x");
        assert_eq!(dialogue.received_end().problem.id(), "starttls-ended");
    }
    let mut dialogue = StartTls::Smtp.dialogue("x");
    let endless = b"220-and\r\n".repeat(1000);
    let error = (0..1000).find_map(|_| dialogue.received(&endless).err());
    assert_eq!(
        error.map(|error| error.problem),
        Some(StartTlsProblem::TooLong {
            awaited: "the greeting"
        })
    );
}

#[test]
fn names_are_read_and_the_unknown_ones_are_answered_with_the_known() {
    for protocol in StartTls::ALL {
        assert_eq!(protocol.name().parse(), Ok(protocol));
    }
    let unknown = "gopher".parse::<StartTls>().unwrap_err().to_string();
    assert!(unknown.contains("gopher") && unknown.contains("sieve"));
}

#[test]
fn xmpp_names_cannot_break_out_of_their_quotes() {
    let said = StartTls::Xmpp.dialogue("a'><b&\r\n").outgoing().to_vec();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("to='a&apos;>&lt;b&amp;'"), "{said}");
}

proptest::proptest! {
    /// Whatever comes, in whatever pieces: an answer or an error, never a panic, never too much kept.
    #[test]
    fn no_bytes_make_a_dialogue_panic(
        index in 0_usize..StartTls::ALL.len(),
        pieces in proptest::collection::vec(proptest::collection::vec(0_u8.., 0..64), 0..8),
    ) {
        let mut dialogue = StartTls::ALL[index].dialogue("x");
        for piece in &pieces {
            if let Err(error) = dialogue.received(piece) {
                let _ = Error::from(error).explain().to_string();
                break;
            }
        }
    }
}
