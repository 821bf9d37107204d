//! `handfast man`: the manual pages, made from the same definitions as the help.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use handfast::Explanation;

use crate::exit_codes;
use crate::failure::{Failure, code, plain};
use crate::output;
use crate::version::RELEASED;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write a page for each command into this directory; without it, handfast(1) goes to stdout
    dir: Option<PathBuf>,
}

/// `program` is the whole command line.
pub(crate) fn run(args: &Args, program: Command) -> Result<ExitCode, Failure> {
    let pages = pages(program);
    match &args.dir {
        Some(dir) => write_all(dir, &pages),
        None => write_first(&pages),
    }
    .map(|()| ExitCode::SUCCESS)
}

fn write_all(dir: &Path, pages: &[Page]) -> Result<(), Failure> {
    let failed = |path: &Path, error| {
        let what = format!("{} cannot be written", output::shell_path(path));
        let explanation = Explanation::new("file-unusable", what);
        Failure::new(code::WRITE, explanation.with_evidence(plain(&error)))
    };
    fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    for page in pages {
        let path = dir.join(page.file_name());
        fs::write(&path, &page.roff).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

fn write_first(pages: &[Page]) -> Result<(), Failure> {
    let first = pages.first().map(|page| page.roff.as_slice());
    output::write_stdout(first.unwrap_or_default())
}

/// One manual page: `handfast`, or one of its commands.
struct Page {
    /// `handfast-ca-issue`
    name: String,
    roff: Vec<u8>,
}

impl Page {
    fn file_name(&self) -> String {
        format!("{}.1", self.name)
    }
}

/// The program's page first, then one for each command and each command of `ca`.
fn pages(program: Command) -> Vec<Page> {
    let mut root = program.disable_help_subcommand(true);
    root.build();
    let mut names = Vec::new();
    collect(&root, &mut |command| names.push(name_of(command)));
    let mut pages = Vec::new();
    collect(&root, &mut |command| pages.push(page(command, &names)));
    pages
}

fn collect(command: &Command, visit: &mut impl FnMut(&Command)) {
    visit(command);
    for inner in command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
    {
        collect(inner, visit);
    }
}

fn name_of(command: &Command) -> String {
    let name = command.get_display_name();
    name.unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command, names: &[String]) -> Page {
    let name = name_of(command);
    let man = Man::new(command.clone())
        .title(&name)
        .date(RELEASED)
        .source(concat!("handfast ", env!("CARGO_PKG_VERSION")))
        .manual("handfast manual");
    let mut roff = Vec::new();
    let rendered = render(command, &man, &name, names, &mut roff);
    // Writing to a vector does not fail.
    debug_assert!(rendered.is_ok());
    Page { name, roff }
}

fn render(
    command: &Command,
    man: &Man,
    name: &str,
    names: &[String],
    out: &mut Vec<u8>,
) -> io::Result<()> {
    man.render_title(out)?;
    man.render_name_section(out)?;
    synopsis(command, out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(out)?;
    }
    if let Some(help) = command.get_after_help() {
        verbatim("NOTES", &help.to_string(), out)?;
    }
    exit_status(out)?;
    see_also(name, names, out)
}

/// The usage line of the help; each option with its value would fill a screen.
fn synopsis(command: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    let usage = command.clone().render_usage().to_string();
    let lines = usage.trim_start_matches("Usage:").trim().to_owned();
    verbatim("SYNOPSIS", &lines, out)
}

/// Text with unchanged line breaks.
fn verbatim(heading: &str, text: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [heading]).control("nf", []);
    for line in text.lines() {
        match line.trim_end() {
            // An empty line of text is an error in strict readers.
            "" => roff.control("sp", []),
            line => roff.text([roman(line)]),
        };
    }
    roff.control("fi", []);
    roff.to_writer(out)
}

fn exit_status(out: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", ["EXIT STATUS"]);
    for code in exit_codes::ALL {
        roff.control("TP", []);
        roff.text([bold(code.number.to_string())]);
        roff.text([roman(code.meaning.replace('`', ""))]);
    }
    roff.to_writer(out)
}

fn see_also(name: &str, names: &[String], out: &mut Vec<u8>) -> io::Result<()> {
    let others = names.iter().filter(|other| *other != name);
    let others: Vec<String> = others.map(|other| format!("{other}(1)")).collect();
    let mut roff = Roff::default();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(others.join(", "))]);
    roff.to_writer(out)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_has_a_page() {
        let pages = pages(Cli::command());
        let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
        for expected in [
            "handfast",
            "handfast-get",
            "handfast-serve",
            "handfast-ca-issue",
        ] {
            assert!(names.contains(&expected), "{expected}: {names:?}");
        }
        let mut commands = 0;
        collect(&Cli::command(), &mut |_| commands += 1);
        assert_eq!(pages.len(), commands);
    }

    #[test]
    fn every_page_has_all_exit_codes_and_names_every_other_page() {
        let pages = pages(Cli::command());
        for page in &pages {
            let text = String::from_utf8(page.roff.clone()).unwrap();
            for code in exit_codes::ALL {
                let row = format!(".TP\n\\fB{}\\fR\n", code.number);
                assert!(text.contains(&row), "{}: {}", page.name, code.number);
            }
            for other in &pages {
                // Roff writes a hyphen at which no line is broken as `\-`.
                let reference = format!("{}(1)", other.name.replace('-', "\\-"));
                let is_named = text.contains(&reference);
                assert!(
                    is_named || other.name == page.name,
                    "{}: {}",
                    page.name,
                    other.name
                );
            }
        }
    }
}
