use clap::CommandFactory as _;

use super::*;

fn has_itself(command: &clap::Command, flag: &str) -> bool {
    command.get_arguments().any(|argument| {
        argument
            .get_long()
            .is_some_and(|long| flag == format!("--{long}"))
            || argument
                .get_short()
                .is_some_and(|short| flag == format!("-{short}"))
    })
}

/// Whether a command, or one of its own, has this option.
fn has(command: &clap::Command, flag: &str) -> bool {
    has_itself(command, flag) || command.get_subcommands().any(|one| has(one, flag))
}

fn flags(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.')))
        .filter(|word| word.starts_with('-') && word.len() > 1)
}

fn checked(program: &clap::Command, commands: &[&str], text: &str) -> usize {
    let mut count = 0;
    for (index, part) in text.split('`').enumerate() {
        // Between backticks stands a whole command.
        let path: Vec<&str> = part
            .split(' ')
            .skip(1)
            .take_while(|word| !word.starts_with('-'))
            .collect();
        let named = match index % 2 {
            0 => commands.iter().map(|name| vec![*name]).collect(),
            _ => vec![
                path.into_iter()
                    .filter(|word| word.chars().all(char::is_lowercase))
                    .collect(),
            ],
        };
        for path in named {
            let mut commands = vec![program];
            for name in &path {
                let above = commands.last().copied().unwrap_or(program);
                let found = above.find_subcommand(name);
                commands.push(found.unwrap_or_else(|| panic!("{text}: {name}")));
            }
            // Options of the commands above are those of the command, too; so are those of its own commands,
            // whichever ran.
            let above = commands.iter().rev().skip(1);
            for flag in flags(part) {
                let is_its = commands.last().is_some_and(|command| has(command, flag));
                let is_above_s = above.clone().any(|command| has_itself(command, flag));
                assert!(is_its || is_above_s, "{text}: {path:?} has no {flag}");
                count += 1;
            }
        }
    }
    count
}

#[test]
fn every_option_that_is_advised_exists_in_the_command_it_is_advised_for() {
    let program = crate::cli::Cli::command();
    let mut count = 0;
    for row in PROXY_ROWS.iter().chain(ROWS) {
        count += match row.says {
            Says::Always(text) | Says::If(_, text) | Says::Instead(text) => {
                checked(&program, row.commands, text)
            }
            Says::Of(_) | Says::InsteadOf(_) => 0,
        };
    }
    assert!(count > 50, "{count}: is the table read right?");
    checked(&program, CLIENTS, "--depth 3");
    checked(&program, SERVERS, "--depth 3");
    checked(&program, &["connect", "inspect"], "--starttls smtp");
    checked(&program, &["inspect"], "--purpose client");
    let versions = "leave out --tlsv1.3, --tls-max";
    checked(&program, &["get", "connect", "bench"], versions);
    checked(
        &program,
        CA,
        "`handfast ca init --permit x.example --ca-dir DIR`",
    );
}

/// Rust's files and golden texts of a library.
fn texts(directory: &std::path::Path, found: &mut Vec<(std::path::PathBuf, String)>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            texts(&path, found);
        } else if path
            .extension()
            .is_some_and(|end| end == "rs" || end == "txt")
        {
            found.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// An option, or a command of this program, as it stands in a text for people.
fn names_option(line: &str) -> bool {
    let is_option = |(at, _): (usize, &str)| {
        let before = line[..at].chars().next_back();
        let after = line[at + 2..].chars().next();
        before.is_none_or(|c| matches!(c, ' ' | '(' | '`' | '"'))
            && !line[..at].ends_with("var(")
            && after.is_some_and(|c| c.is_ascii_lowercase())
    };
    line.contains("`handfast ") || line.match_indices("--").any(is_option)
}

#[test]
fn the_libraries_know_no_option_of_the_program() {
    const LIBRARIES: &[&str] = &[
        "handfast",
        "handfast-http",
        "handfast-https",
        "handfast-dial",
        "handfast-probe",
        "handfast-files",
        "handfast-site",
        "handfast-load",
        "handfast-ca",
        "handfast-confine",
    ];
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for library in LIBRARIES {
        let mut found = Vec::new();
        texts(&crates.join(library).join("src"), &mut found);
        texts(&crates.join(library).join("tests/explanations"), &mut found);
        for (path, text) in found {
            // What tests send to one another is not for people.
            let text = text
                .split("#[cfg(test)]\nmod tests")
                .next()
                .unwrap_or_default();
            for (number, line) in text.lines().enumerate() {
                let is_comment = line.trim_start().starts_with("//");
                assert!(
                    is_comment || !names_option(line),
                    "{}:{}: {line}",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}

#[test]
fn every_id_of_the_table_is_explained() {
    for row in ROWS {
        assert!(
            crate::command::explain::has_page(row.id),
            "{}: nothing is called so",
            row.id
        );
    }
}
