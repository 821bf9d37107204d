//! The certificates and keys that a client proves itself with: flags as curl has them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use handfast::{Identity, Passphrase};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::passphrase::{PassphraseSource, or_prompt};

#[derive(Debug, clap::Args)]
pub(crate) struct IdentityArgs {
    /// Certificate chain, sent if the peer requests one; a passphrase may follow a colon (repeatable: the server gets the first that it accepts)
    #[arg(short = 'E', long, value_name = "FILE[:PASS]", value_parser = certificate_file())]
    cert: Vec<CertificateFile>,
    /// Private key, if it is not in the same file as the certificate (repeatable, one for each --cert)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Vec<PathBuf>,
    /// Source of the key's passphrase: env:VAR, file:PATH, fd:N, stdin, prompt, pass:TEXT; other text is the passphrase itself
    #[arg(long, value_name = "SOURCE", requires = "cert", value_parser = source_or_text)]
    pass: Option<PassphraseSource>,
    /// Format of the certificate; it is recognised without this option, too
    #[arg(long, value_name = "TYPE", value_parser = FORMATS, ignore_case = true, requires = "cert")]
    cert_type: Option<String>,
    /// Format of the key, likewise
    #[arg(long, value_name = "TYPE", value_parser = FORMATS, ignore_case = true, requires = "key")]
    key_type: Option<String>,
}

const FORMATS: [&str; 3] = ["PEM", "DER", "P12"];

/// A file of certificates, and the passphrase of a key in it or beside it.
#[derive(Debug, Clone)]
pub(crate) struct CertificateFile {
    path: PathBuf,
    passphrase: Option<PassphraseSource>,
}

impl IdentityArgs {
    /// One file, or a file and that of its key.
    pub(crate) fn of_files(
        cert: Option<PathBuf>,
        key: Option<PathBuf>,
        pass: Option<PassphraseSource>,
    ) -> Self {
        let whole = |path| CertificateFile {
            path,
            passphrase: None,
        };
        Self::of_certificate(cert.map(whole), key, pass)
    }

    /// The same; the passphrase may be with the name of the file.
    pub(crate) fn of_certificate(
        cert: Option<CertificateFile>,
        key: Option<PathBuf>,
        pass: Option<PassphraseSource>,
    ) -> Self {
        Self {
            cert: cert.into_iter().collect(),
            key: key.into_iter().collect(),
            pass,
            cert_type: None,
            key_type: None,
        }
    }

    /// Whether the passphrase is read from stdin.
    pub(crate) fn reads_stdin(&self) -> bool {
        matches!(self.pass, Some(PassphraseSource::Stdin))
    }

    /// The identities, in the order given.
    pub(crate) fn read(&self) -> Result<Vec<Identity>, Failure> {
        if !self.key.is_empty() && self.key.len() != self.cert.len() {
            return Err(Failure::usage(
                format!(
                    "--cert is given {} times and --key {} times",
                    self.cert.len(),
                    self.key.len()
                ),
                "give one --key for each --cert in the same order; for a file that holds both, give it as both",
            ));
        }
        let keys = self.key.iter().map(Some).chain(std::iter::repeat(None));
        let pairs = self.cert.iter().zip(keys);
        pairs.map(|(cert, key)| self.identity(cert, key)).collect()
    }

    /// The only identity.
    pub(crate) fn read_one(&self) -> Result<Option<Identity>, Failure> {
        if self.cert.len() > 1 {
            return Err(Failure::usage(
                "more than one --cert is given",
                "give one: several are for clients that fetch or connect",
            ));
        }
        Ok(self.read()?.pop())
    }

    fn identity(&self, cert: &CertificateFile, key: Option<&PathBuf>) -> Result<Identity, Failure> {
        let given = cert.passphrase.clone().or_else(|| self.pass.clone());
        let passphrase = match or_prompt(given) {
            Some(source) => Passphrase::ask(move |request| source.read(&request.to_string())),
            None => Passphrase::none(),
        };
        let identity = match key {
            Some(key) => Identity::from_files(&cert.path, key, passphrase),
            None => Identity::from_file(&cert.path, passphrase),
        };
        identity.map_err(|error| handfast::Error::from(error).into())
    }
}

/// `FILE` or `FILE:PASS`: a colon or backslash of the file's name has a backslash before it, as in curl, unless there is a
/// file of the whole name.
pub(crate) fn certificate_file() -> impl TypedValueParser<Value = CertificateFile> {
    OsStringValueParser::new().map(|text: OsString| {
        let split = match text.to_str() {
            Some(text) if !Path::new(text).exists() => split(text),
            _ => None,
        };
        match split {
            Some((path, passphrase)) => CertificateFile {
                path: path.into(),
                passphrase: Some(PassphraseSource::Text(passphrase)),
            },
            None => CertificateFile {
                path: text.into(),
                passphrase: None,
            },
        }
    })
}

fn split(text: &str) -> Option<(String, Zeroizing<String>)> {
    let mut path = String::new();
    let mut rest = text.chars();
    // On Windows, the colon of a drive is not the one.
    let is_drive = cfg!(windows)
        && text
            .get(1..3)
            .is_some_and(|sign| matches!(sign, ":\\" | ":/"));
    if is_drive {
        path.extend(rest.by_ref().take(2));
    }
    while let Some(c) = rest.next() {
        match c {
            ':' => return Some((path, Zeroizing::new(rest.as_str().to_owned()))),
            '\\' if !cfg!(windows) && rest.as_str().starts_with([':', '\\']) => {
                path.extend(rest.next());
            }
            c => path.push(c),
        }
    }
    None
}

/// curl's `--pass` is the passphrase itself.
pub(crate) fn source_or_text(text: &str) -> Result<PassphraseSource, String> {
    let source = text.parse();
    Ok(source.unwrap_or_else(|_| PassphraseSource::Text(Zeroizing::new(text.to_owned()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_follows_the_first_colon_that_has_no_backslash() {
        for (text, expected) in [
            ("me.pem", None),
            ("me.pem:secret", Some(("me.pem", "secret"))),
            ("me.pem:", Some(("me.pem", ""))),
            ("me.pem:a:b\\c", Some(("me.pem", "a:b\\c"))),
            ("/a\\:b.pem", None),
            ("/a\\:b\\\\c\\d.pem:x", Some(("/a:b\\c\\d.pem", "x"))),
        ] {
            if cfg!(windows) && text.contains('\\') {
                continue;
            }
            let found = split(text);
            let found = found.as_ref().map(|(path, pass)| (path.as_str(), &***pass));
            assert_eq!(found, expected, "{text}");
        }
    }
}
