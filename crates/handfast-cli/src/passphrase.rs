//! Where passphrases come from, in the syntax that OpenSSL's users know.

use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::PathBuf;
use std::str::FromStr;

use zeroize::Zeroizing;

/// A passphrase is never longer: what is, is not one, and must not be swallowed whole.
const BYTES_MAX: u64 = 4096;

/// A source of one passphrase: `env:VAR`, `file:PATH`, `fd:N`, `stdin`, `pass:TEXT`, `prompt`.
#[derive(Clone)]
pub(crate) enum PassphraseSource {
    Environment(String),
    File(PathBuf),
    Descriptor(u32),
    Stdin,
    Text(Zeroizing<String>),
    Prompt,
}

/// Shows where it comes from, never what it is.
impl std::fmt::Debug for PassphraseSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}

impl FromStr for PassphraseSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Environment(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("fd", number)) => number
                .parse()
                .map(Self::Descriptor)
                .map_err(|_| "`fd:` wants the number of an open descriptor".to_owned()),
            Some(("pass", text)) => Ok(Self::Text(Zeroizing::new(text.to_owned()))),
            _ if text == "stdin" => Ok(Self::Stdin),
            _ if text == "prompt" => Ok(Self::Prompt),
            // Not quoted back: it may be the passphrase itself.
            _ => Err("expected env:VAR, file:PATH, fd:N, stdin, prompt or pass:TEXT".to_owned()),
        }
    }
}

impl PassphraseSource {
    /// For messages: never the passphrase.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Environment(name) => format!("env:{name}"),
            Self::File(path) => format!("file:{}", path.display()),
            Self::Descriptor(number) => format!("fd:{number}"),
            Self::Stdin => "stdin".to_owned(),
            Self::Text(_) => "pass:(hidden)".to_owned(),
            Self::Prompt => "prompt".to_owned(),
        }
    }

    /// Reads it: the first line, without its end.
    ///
    /// `what` names the key for a person who is asked at a prompt.
    pub(crate) fn read(&self, what: &str) -> io::Result<Zeroizing<String>> {
        match self {
            Self::Environment(name) => env::var(name).map(Zeroizing::new).map_err(|error| {
                let why = match error {
                    env::VarError::NotPresent => "is not set",
                    env::VarError::NotUnicode(_) => "is not UTF-8",
                };
                io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("the variable {name} {why}"),
                )
            }),
            Self::File(path) => File::open(path).and_then(first_line).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            }),
            Self::Descriptor(number) => {
                // The caller's descriptor stays open: this opens it once more.
                let path = format!("/dev/fd/{number}");
                File::open(&path).and_then(first_line).map_err(|error| {
                    io::Error::new(error.kind(), format!("descriptor {number}: {error}"))
                })
            }
            Self::Stdin => first_line(io::stdin().lock()),
            Self::Text(text) => Ok(text.clone()),
            Self::Prompt => prompt(&format!("Passphrase for {what}: ")),
        }
    }

    /// Reads one for a new key: at a prompt it is asked for twice.
    pub(crate) fn read_new(&self, what: &str) -> io::Result<Zeroizing<String>> {
        let first = self.read(what)?;
        if matches!(self, Self::Prompt) {
            let again = prompt("Once more: ")?;
            if *first != *again {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the two do not match",
                ));
            }
        }
        if first.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the passphrase is empty",
            ));
        }
        Ok(first)
    }
}

/// The library's passphrase callback: the source given, or else a prompt where there is a terminal.
pub(crate) fn or_prompt(source: Option<PassphraseSource>) -> Option<PassphraseSource> {
    source.or_else(|| {
        io::stdin()
            .is_terminal()
            .then_some(PassphraseSource::Prompt)
    })
}

/// Asks on the terminal, without echo.
pub(crate) fn prompt(text: &str) -> io::Result<Zeroizing<String>> {
    rpassword::prompt_password(text).map(Zeroizing::new)
}

fn first_line(source: impl Read) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(256));
    BufReader::with_capacity(256, source.take(BYTES_MAX + 1)).read_until(b'\n', &mut line)?;
    if line.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "longer than any passphrase",
        ));
    }
    while line
        .last()
        .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
    {
        line.pop();
    }
    match std::str::from_utf8(&line) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_and_never_shown() {
        assert_eq!(
            &*"pass:a b"
                .parse::<PassphraseSource>()
                .unwrap()
                .read("")
                .unwrap(),
            "a b"
        );
        assert_eq!(&*first_line(&b"secret\r\nsecond\n"[..]).unwrap(), "secret");
        assert_eq!(&*first_line(&b"secret"[..]).unwrap(), "secret");
        assert!(first_line(&vec![b'x'; 5000][..]).is_err());
        let source: PassphraseSource = "pass:hunter2".parse().unwrap();
        assert!(!format!("{source:?}").contains("hunter2"));
        assert!(
            !"hunter2"
                .parse::<PassphraseSource>()
                .unwrap_err()
                .contains("hunter2")
        );
        for (text, expected) in [
            ("env:", None),
            ("env:HOME", Some("env:HOME")),
            ("file:/a", Some("file:/a")),
            ("fd:3", Some("fd:3")),
            ("fd:x", None),
            ("stdin", Some("stdin")),
            ("prompt", Some("prompt")),
            ("", None),
        ] {
            let parsed = text
                .parse::<PassphraseSource>()
                .ok()
                .map(|source| source.describe());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
    }
}
