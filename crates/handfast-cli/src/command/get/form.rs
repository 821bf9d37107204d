//! Forms with files: `-F`, as multipart/form-data (RFC 7578).

use bytes::Bytes;
use clap::{ArgMatches, Command, FromArgMatches};

use super::data::{option, read, typed};
use super::pieces::Piece;
use crate::failure::Failure;

/// The parts, in the order in which they were typed, and whether each is text alone.
#[derive(Debug, Default)]
pub(super) struct FormArgs(Vec<(bool, String)>);

/// Option, whether it is text alone, help.
const OPTIONS: [(&str, bool, &str); 2] = [
    (
        "form",
        false,
        "Part of a form (POST, multipart): NAME=TEXT, NAME=@FILE (upload), NAME=<FILE (text of a file); then ;type=TYPE, ;filename=NAME",
    ),
    (
        "form-string",
        true,
        "As -F with text: `@`, `<` and `;` have no meaning",
    ),
];

impl FromArgMatches for FormArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(typed(matches, &OPTIONS)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for FormArgs {
    fn augment_args(command: Command) -> Command {
        OPTIONS
            .into_iter()
            .fold(command, |command, (name, is_text, help)| {
                let option = option(name, "NAME=CONTENT", help);
                command.arg(if is_text { option } else { option.short('F') })
            })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// A form as it is sent.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) pieces: Vec<Piece>,
    pub(super) content_type: String,
}

impl FormArgs {
    pub(super) fn is_given(&self) -> bool {
        !self.0.is_empty()
    }

    /// The form. Looks at its files.
    pub(super) fn form(&self) -> Result<Form, Failure> {
        // 128 random bits: no file contains them by accident, and who writes a file cannot guess them, so that it cannot
        // contain a part of its own.
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random)
            .map_err(|_| Failure::usage("no random bytes can be had", "try again"))?;
        let boundary = format!(
            "------------------------{:032x}",
            u128::from_be_bytes(random)
        );
        let mut pieces = Vec::new();
        for (is_text, text) in &self.0 {
            let part = Part::parse(text, *is_text)?;
            let head = part.head(&boundary);
            pieces.push(Piece::Text(Bytes::from(head)));
            pieces.push(part.content);
            pieces.push(Piece::Text(Bytes::from_static(b"\r\n")));
        }
        pieces.push(Piece::Text(Bytes::from(format!("--{boundary}--\r\n"))));
        Ok(Form {
            pieces,
            content_type: format!("multipart/form-data; boundary={boundary}"),
        })
    }
}

#[derive(Debug)]
struct Part {
    name: String,
    file_name: Option<String>,
    content_type: Option<String>,
    content: Piece,
}

impl Part {
    fn parse(text: &str, is_text: bool) -> Result<Self, Failure> {
        let (name, rest) = text.split_once('=').ok_or_else(|| {
            Failure::usage(
                "one of the -F has no `=`",
                "write it as NAME=TEXT, NAME=@FILE or NAME=<FILE",
            )
        })?;
        let part = |content| Self {
            name: name.to_owned(),
            file_name: None,
            content_type: None,
            content,
        };
        let content = |text: &str| Piece::Text(Bytes::copy_from_slice(text.as_bytes()));
        if is_text {
            return Ok(part(content(rest)));
        }
        let (sign, rest) = match rest.as_bytes().first() {
            Some(sign @ (b'@' | b'<')) => (Some(*sign), rest.get(1..).unwrap_or_default()),
            _ => (None, rest),
        };
        let mut words = words(rest)?.into_iter();
        let first = words.next().unwrap_or_default();
        let mut part = match sign {
            None => part(content(&first)),
            Some(_) if is_list(rest) => {
                return Err(Failure::usage(
                    "several files in one part of a form cannot be sent",
                    "give a -F for each file; put a name with a comma into double quotes",
                ));
            }
            // Many servers take no form without a length: stdin is read first, as curl does.
            Some(_) if first == "-" => part(Piece::Text(read(&first)?.into())),
            Some(_) => part(Piece::file(&first)?),
        };
        let base = first.rsplit(['/', '\\']).next().unwrap_or(&first);
        if sign == Some(b'@') {
            part.file_name = Some(base.to_owned());
        }
        let mut is_type = false;
        for word in words {
            let trimmed = word.trim_start();
            let is_refused = |key: &str| {
                let start = trimmed.get(..key.len());
                start.is_some_and(|start| start.eq_ignore_ascii_case(key))
            };
            if ["headers=", "encoder="].into_iter().any(is_refused) {
                return Err(Failure::usage(
                    "one of the -F has ;headers= or ;encoder=, which this program does not have",
                    "leave it out; a part's type and file name are set with ;type= and ;filename=",
                ));
            }
            if trimmed.trim_end() == "type=" {
                return Err(Failure::usage(
                    "one of the -F has an empty ;type=",
                    "give a type such as text/plain, or leave it out",
                ));
            }
            if let Some(kind) = trimmed.strip_prefix("type=") {
                part.content_type = Some(kind.to_owned());
                is_type = true;
                continue;
            }
            if let Some(name) = trimmed.strip_prefix("filename=") {
                part.file_name = Some(name.to_owned());
                is_type = false;
                continue;
            }
            match &mut part.content_type {
                // A parameter of the type.
                Some(kind) if is_type => {
                    kind.push(';');
                    kind.push_str(&word);
                }
                _ => {
                    return Err(Failure::usage(
                        "one of the -F has a `;` that neither ;type= nor ;filename= follows",
                        "put text with a semicolon into double quotes, or use --form-string",
                    ));
                }
            }
        }
        if part
            .content_type
            .as_deref()
            .is_some_and(|kind| kind.contains(['\r', '\n']))
        {
            return Err(Failure::usage(
                "the type of a part of a form has a line end",
                "give a type such as text/plain",
            ));
        }
        if part.content_type.is_none() {
            part.content_type = guessed(part.file_name.as_deref(), sign.map(|_| &*first));
        }
        Ok(part)
    }

    fn head(&self, boundary: &str) -> String {
        let mut head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"",
            quoted(&self.name)
        );
        if let Some(name) = &self.file_name {
            head.push_str(&format!("; filename=\"{}\"", quoted(name)));
        }
        if let Some(kind) = &self.content_type {
            head.push_str(&format!("\r\nContent-Type: {kind}"));
        }
        head.push_str("\r\n\r\n");
        head
    }
}

/// A name within quotation marks, as browsers write it.
fn quoted(name: &str) -> String {
    name.replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Is this a list of files?
fn is_list(rest: &str) -> bool {
    let names = rest.split(';').next().unwrap_or_default();
    !rest.starts_with('"') && names.contains(',')
}

/// What stands between semicolons. A word in double quotes may have some; in it `\` stands before `"` and `\`.
fn words(text: &str) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        // As curl: spaces around what is not in quotes are no part of it.
        let trimmed = rest.trim_start();
        if words.is_empty() || trimmed.starts_with("filename=") {
            rest = trimmed;
        }
        // `filename="a;b"`: the quotes may follow a key.
        let key = ["type=", "filename="]
            .into_iter()
            .find(|key| !words.is_empty() && rest.starts_with(*key))
            .unwrap_or_default();
        let value = rest.get(key.len()..).unwrap_or_default();
        let Some(inside) = value.strip_prefix('"') else {
            let end = rest.find(';').unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            words.push(word.trim_end().to_owned());
            match behind.strip_prefix(';') {
                Some(behind) => rest = behind,
                None => return Ok(words),
            }
            continue;
        };
        let mut word = key.to_owned();
        let mut chars = inside.chars();
        loop {
            match chars.next() {
                Some('"') => break,
                Some('\\') => {
                    let next = chars.as_str();
                    if next.starts_with(['"', '\\']) {
                        word.extend(chars.next());
                    } else {
                        word.push('\\');
                    }
                }
                Some(char) => word.push(char),
                None => {
                    return Err(Failure::usage(
                        "one of the -F has a double quote that is not closed",
                        "close it, or use --form-string",
                    ));
                }
            }
        }
        words.push(word);
        match chars.as_str().trim_start() {
            "" => return Ok(words),
            behind => match behind.strip_prefix(';') {
                Some(behind) => rest = behind,
                None => {
                    return Err(Failure::usage(
                        "one of the -F has text behind its closing double quote",
                        "write `;` between it and what follows",
                    ));
                }
            },
        }
    }
}

/// The type of a part by the names of its file, as curl has it: none of mere text that is not an upload.
fn guessed(file_name: Option<&str>, path: Option<&str>) -> Option<String> {
    let of = |name: &str| {
        let name = name.to_ascii_lowercase();
        let (_, end) = name.rsplit_once('.')?;
        Some(match end {
            "gif" => "image/gif",
            "jpg" | "jpeg" => "image/jpeg",
            "png" => "image/png",
            "svg" => "image/svg+xml",
            "txt" => "text/plain",
            "htm" | "html" => "text/html",
            "pdf" => "application/pdf",
            "xml" => "application/xml",
            _ => return None,
        })
    };
    let found = file_name.and_then(of).or_else(|| path.and_then(of));
    match (found, file_name) {
        (Some("text/plain"), None) => None,
        (None, Some(_)) if path.is_some() => Some("application/octet-stream".to_owned()),
        (found, _) => found.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_around_a_value_are_no_part_of_it_unless_it_is_in_quotes() {
        for (text, expected) in [
            ("a= b ", "b"),
            ("a= \" b \"", " b "),
            ("a= b c ; type=text/x", "b c"),
            ("a=", ""),
        ] {
            let Piece::Text(found) = Part::parse(text, false).unwrap().content else {
                panic!("{text}");
            };
            assert_eq!(found, expected, "{text}");
        }
    }

    fn head(text: &str) -> Option<String> {
        let head = Part::parse(text, false).ok()?.head("B");
        let head = head.strip_prefix("--B\r\nContent-Disposition: form-data; ")?;
        Some(head.trim_end().replace("\r\nContent-Type:", " |"))
    }

    #[test]
    fn parts_have_curls_syntax() {
        for (text, expected) in [
            ("a=b", Some("name=\"a\"")),
            ("a\"b=c", Some("name=\"a%22b\"")),
            ("a=b;type=text/html", Some("name=\"a\" | text/html")),
            (
                "a=b;type=text/html;charset=utf-8;filename=x",
                Some("name=\"a\"; filename=\"x\" | text/html;charset=utf-8"),
            ),
            ("a=\"b;c\"", Some("name=\"a\"")),
            (
                "a=b;filename=\"x;\\\"y.png\"",
                Some("name=\"a\"; filename=\"x;%22y.png\" | image/png"),
            ),
            ("a=b;c", None),
            ("a=b;type=", None),
            ("a=b;type=text/plain;headers=\"X: y\"", None),
            ("a=b;type=text/plain;encoder=base64", None),
            ("a=b; Headers=@f", None),
            (
                "a=b;type=text/html ; filename= x ",
                Some("name=\"a\"; filename=\" x\" | text/html"),
            ),
            ("a=\"b", None),
            ("a=@/nowhere/at/all", None),
            ("a=@x,y", None),
            ("a", None),
        ] {
            assert_eq!(head(text).as_deref(), expected, "{text}");
        }
        assert!(matches!(
            Part::parse("a=\"b;c\"", false).unwrap().content,
            Piece::Text(text) if text == "b;c"
        ));
        assert!(matches!(
            Part::parse("a=@b;c", true).unwrap().content,
            Piece::Text(text) if text == "@b;c"
        ));
    }
}
