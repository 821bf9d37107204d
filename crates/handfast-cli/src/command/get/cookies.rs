//! Cookies: what is sent as typed, files they are read from, the file they are written to.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use handfast::{Explanation, escape_control};
use handfast_https::client::CookieJar;
use http::header::{COOKIE, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::data::unreadable;
use crate::failure::{Failure, code, plain};
use crate::output;
use crate::secret::Secret;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cookies")]
pub(super) struct CookieArgs {
    /// Send these cookies; without `=` it is a file to read them from (Netscape's format or Set-Cookie fields), `-` is stdin
    #[arg(short = 'b', long, value_name = "NAME=VALUE|FILE")]
    cookie: Vec<Secret>,
    /// Write all cookies to FILE (Netscape's format) at the end; `-` is stdout
    #[arg(short = 'c', long, value_name = "FILE")]
    cookie_jar: Option<PathBuf>,
    /// Of the files of -b, leave out the cookies of a session
    #[arg(short, long)]
    junk_session_cookies: bool,
}

/// A cookie file of more than this is something else: a jar holds 3000 cookies of 4 KiB.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

impl CookieArgs {
    fn typed(&self) -> impl Iterator<Item = &str> {
        self.cookie.iter().map(|Secret(text)| text.as_str())
    }

    /// The cookies that were typed, into the fields of each request, unless -H names the field.
    pub(super) fn put_into(
        &self,
        fields: &mut HeaderMap,
        is_named: impl Fn(&HeaderName) -> bool,
    ) -> Result<(), Failure> {
        let texts: Vec<_> = self.typed().filter(|text| is_text(text)).collect();
        // As curl: a field of -H takes precedence, also one that leaves it out.
        if texts.is_empty() || is_named(&COOKIE) {
            return Ok(());
        }
        let mut value = HeaderValue::try_from(texts.join(";")).map_err(|_| {
            Failure::usage(
                "the cookies of -b cannot be sent: they have control characters",
                "write them as 'name=value; name=value'",
            )
        })?;
        value.set_sensitive(true);
        fields.insert(COOKIE, value);
        Ok(())
    }

    /// Adds the cookies of the files to the jar; those without a domain are for this URL's host. Says whether the jar is used
    /// at all.
    pub(super) fn read_into(
        &self,
        jar: &CookieJar,
        url: &str,
        is_silent: bool,
    ) -> Result<bool, Failure> {
        let files: Vec<_> = self.typed().filter(|text| !is_text(text)).collect();
        if files.is_empty() && self.cookie_jar.is_none() {
            return Ok(false);
        }
        // With -j the files' own are told from what a former section has got.
        let found = match self.junk_session_cookies {
            true => CookieJar::new(),
            false => jar.clone(),
        };
        for name in files {
            let name = name.strip_prefix('@').unwrap_or(name);
            // As in curl, an empty name begins with no cookies.
            if name.is_empty() {
                continue;
            }
            match read(name) {
                Ok(text) => {
                    found.read(&text, Some(url));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let is_made_later = self.cookie_jar.as_deref() == Some(Path::new(name));
                    if !is_silent && !is_made_later {
                        let name = escape_control(name);
                        output::warning(format!("{name} does not exist: no cookies from it"));
                    }
                }
                Err(error) => return Err(unreadable(name, &error)),
            }
        }
        if self.junk_session_cookies {
            found.forget_session();
            jar.read(&found.to_netscape(), None);
        }
        Ok(true)
    }

    /// Writes what the jar holds at the end.
    pub(super) fn save(&self, jar: &CookieJar) -> Result<(), Failure> {
        let Some(path) = &self.cookie_jar else {
            return Ok(());
        };
        let text = jar.to_netscape();
        let written = match path == Path::new("-") {
            true => io::stdout().write_all(text.as_bytes()),
            false => write(path, &text),
        };
        written.map_err(|error| {
            let shown = path.display().to_string();
            let what = format!(
                "the cookies cannot be written to {}: {}",
                escape_control(&shown),
                plain(&error)
            );
            let explanation = Explanation::new("file-unusable", what);
            Failure::new(
                code::WRITE,
                explanation.with_fix("choose another file with -c"),
            )
        })
    }
}

/// Are these cookies, and not the name of a file?
fn is_text(text: &str) -> bool {
    !text.starts_with('@') && text.contains('=')
}

fn read(name: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX + 1;
    match name {
        "-" => io::stdin().take(limit).read_to_end(&mut bytes)?,
        name => fs::File::open(name)?.take(limit).read_to_end(&mut bytes)?,
    };
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is too large for a file of cookies"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whole or not at all; for its owner alone unless it was there before: cookies are secrets.
fn write(path: &Path, text: &str) -> io::Result<()> {
    // Through a symbolic link the file that it leads to is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let found = fs::metadata(&path).ok();
    if found.as_ref().is_some_and(|found| !found.is_file()) {
        return fs::OpenOptions::new()
            .write(true)
            .open(&path)?
            .write_all(text.as_bytes());
    }
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or_else(|| Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    if let Some(found) = found {
        file.as_file().set_permissions(found.permissions())?;
    }
    file.as_file().sync_data()?;
    file.persist(&path)?;
    Ok(())
}
