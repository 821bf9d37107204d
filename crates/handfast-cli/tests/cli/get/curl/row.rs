//! A command line, and what is expected of it.

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aspect {
    Code,
    Requests,
    Stdout,
    Files,
}

impl Aspect {
    pub(super) const ALL: [Self; 4] = [Self::Code, Self::Requests, Self::Stdout, Self::Files];

    /// The word of the document.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Code => "exit code",
            Self::Requests => "requests",
            Self::Stdout => "output",
            Self::Files => "files",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// As typed behind the program's name, with variables of the environment before it.
    pub(super) line: &'static str,
    pub(super) stdin: &'static str,
    /// The exit code of `get`.
    pub(super) code: i32,
    /// What is not as with curl, and why.
    pub(super) differs: Option<(&'static [Aspect], &'static str)>,
}

pub(super) const fn row(line: &'static str) -> Row {
    Row {
        line,
        stdin: "",
        code: 0,
        differs: None,
    }
}

impl Row {
    pub(super) const fn exits(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    pub(super) const fn stdin(mut self, text: &'static str) -> Self {
        self.stdin = text;
        self
    }

    pub(super) const fn differs(mut self, aspects: &'static [Aspect], why: &'static str) -> Self {
        self.differs = Some((aspects, why));
        self
    }
}

/// A line of the table, split as a shell splits it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) variables: Vec<(String, String)>,
    pub(super) args: Vec<String>,
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_')
}

/// Quotation marks of both kinds group; there is no other syntax.
pub(super) fn words(line: &str) -> Words {
    let mut words = Words::default();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => {
                let Some(word) = word.take() else { continue };
                match word.split_once('=') {
                    Some((name, value)) if words.args.is_empty() && is_variable(name) => {
                        words.variables.push((name.to_owned(), value.to_owned()));
                    }
                    _ => words.args.push(word),
                }
            }
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words
}

#[test]
fn lines_are_split_as_by_a_shell() {
    let Words { variables, args } = words("a=1 -H 'X: \"y\"' \"\" -d b=2 x'y'z");
    assert_eq!(variables, [("a".to_owned(), "1".to_owned())]);
    assert_eq!(args, ["-H", "X: \"y\"", "", "-d", "b=2", "xyz"]);
}
