use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use handfast_https::server::Limits;
use proptest::prelude::*;
use serde_json::Value;

use super::flags::KEYS;
use super::{Settings, file, resolve};
use crate::command::serve::args::Args;
use crate::command::serve::config::choices::LogFormat;
use crate::command::serve::config::{self, Config, LogTarget, Text, schema};

#[derive(Debug, Parser)]
struct Serve {
    #[command(flatten)]
    args: Args,
}

fn args(line: &str) -> Args {
    let words = std::iter::once("serve").chain(line.split_whitespace());
    Serve::try_parse_from(words).unwrap().args
}

fn config(content: &str) -> Result<Config, String> {
    let text = Text {
        path: PathBuf::from("handfast.toml"),
        content: content.to_owned(),
    };
    match config::parse(content) {
        Ok(file) => Ok(Config { text, file }),
        Err(problems) => Err(shown(problems, &text)),
    }
}

fn shown(problems: Vec<config::Problem>, text: &Text) -> String {
    let failures = config::shown(problems, Some(text));
    let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
    texts.join("\n") + "\n"
}

fn settings(content: &str, line: &str) -> Result<Settings, String> {
    let config = config(content)?;
    resolve(&args(line), Some(&config)).map_err(|problems| shown(problems, &config.text))
}

/// The paths of all keys in the schema.
fn keys(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = match path {
            "" => name.clone(),
            _ => format!("{path}.{name}"),
        };
        let inner = match schema["type"] == "array" {
            true => &schema["items"],
            false => schema,
        };
        if inner["properties"].is_object() {
            keys(inner, &path, found);
        } else {
            found.insert(path);
        }
    }
}

#[test]
fn every_option_has_its_key() {
    let mut known = BTreeSet::new();
    keys(schema::schema(), "", &mut known);
    let command = Serve::command();
    let options: BTreeSet<String> = command
        .get_arguments()
        .filter(|arg| arg.get_id() != "help")
        .map(|arg| match arg.get_long() {
            Some(long) => format!("--{long}"),
            None => "DIR".to_owned(),
        })
        .collect();
    let listed: BTreeSet<String> = KEYS
        .iter()
        .map(|(option, _)| (*option).to_owned())
        .collect();
    assert_eq!(options, listed);
    for (option, key) in KEYS {
        if let Some(key) = key {
            assert!(known.contains(*key), "{option}: {key} is not in {known:?}");
        }
    }
}

#[test]
fn every_limit_of_the_server_has_its_key() {
    let mut known = BTreeSet::new();
    keys(&schema::schema()["properties"]["limits"], "", &mut known);
    let limits = format!("{:#?}", Limits::default());
    let mut fields: BTreeSet<String> = limits
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.split_once(": "))
        .filter(|(name, _)| !name.starts_with(' '))
        .map(|(name, _)| name.to_owned())
        .collect();
    // Those of files and passwords.
    let others = [
        "compressed_bytes_max",
        "listing_entries_max",
        "wrong_passwords_max",
    ];
    fields.extend(others.map(str::to_owned));
    assert_eq!(fields, known);
}

/// What a key is when it is not there: what the schema, and with it the documentation, says.
#[test]
fn the_defaults_that_are_documented_are_those_in_force() {
    let settings = settings("[[site]]\nroot = \"/srv\"\n", "--config x").unwrap();
    let written = serde_json::to_value(file(&settings)).unwrap();
    fn compare(written: &Value, schema: &Value, path: &str, count: &mut usize) {
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let (written, schema) = match &written[name] {
                Value::Array(several) if schema["items"]["properties"].is_object() => {
                    match several.first() {
                        Some(first) => (first, &schema["items"]),
                        None => continue,
                    }
                }
                written => (written, schema),
            };
            if schema["properties"].is_object() && written.is_object() {
                compare(written, schema, &path, count);
            } else if !written.is_null() && schema.get("default").is_some() {
                assert_eq!(written, &schema["default"], "{path}");
                *count += 1;
            }
        }
    }
    let mut count = 0;
    compare(&written, schema::schema(), "", &mut count);
    assert!(count > 14, "{count}");
}

/// Each file in `tests/configuration` beside what is said about it. `HANDFAST_WRITE_EXPLANATIONS=1` writes the texts.
#[test]
fn every_mistake_is_shown_at_its_place_with_what_is_expected() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configuration");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        count += 1;
        let content = std::fs::read_to_string(&path).unwrap();
        let Err(said) = settings(&content, "--config handfast.toml") else {
            panic!("{} is accepted", path.display());
        };
        let golden = path.with_extension("txt");
        if std::env::var_os("HANDFAST_WRITE_EXPLANATIONS").is_some() {
            std::fs::write(golden, said).unwrap();
            continue;
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(said, expected, "{}", path.display());
    }
    assert!(count >= 30, "{count}");
}

#[test]
fn options_take_the_place_of_keys() {
    let file = "threads = 3\ngrace = \"5s\"\nclose = \"send\"\n\
        [limits]\nconnections_max = 100\n[tls]\nversions = [\"1.2\"]\n[log]\nevents = \"none\"\n\
        [[listener]]\naddress = \"127.0.0.1:1\"\n[[listener]]\naddress = \"127.0.0.1:2\"\nkind = \"redirect\"\n\
        [[site]]\nroot = \"public\"\n";
    let of_file = settings(file, "--config x").unwrap();
    assert_eq!(of_file.threads.unwrap().get(), 3);
    assert_eq!(of_file.grace.as_secs(), 5);
    assert_eq!(of_file.limits.connections_max, 100);
    assert_eq!(of_file.listeners.len(), 2);
    let of_both = settings(
        file,
        "--config x --threads 4 --grace 6 --close wait --connections-max 7 --tlsv1.3 --verbose --listen 127.0.0.1:3",
    )
    .unwrap();
    let of_options = resolve(
        &args("public --threads 4 --grace 6 --close wait --connections-max 7 --tlsv1.3 --verbose --listen 127.0.0.1:3"),
        None,
    )
    .unwrap();
    assert_eq!(of_both, of_options);
}

#[test]
fn options_about_a_site_exclude_sites_of_the_file() {
    let file = "[[site]]\nroot = \"public\"\n";
    for line in ["other", "--no-listing", "--cert a.pem", "--client-ca local"] {
        let said = settings(file, &format!("--config x {line}")).unwrap_err();
        assert!(
            said.contains("cannot be used together with [[site]]"),
            "{line}: {said}"
        );
    }
    // Without sites in the file they describe one.
    let settings = settings("threads = 2\n", "--config x --no-listing public").unwrap();
    assert_eq!(settings.sites.len(), 1);
    assert!(!settings.sites[0].files.listing);
}

#[test]
fn paths_are_relative_to_the_file() {
    let text = Text {
        path: PathBuf::from("/etc/handfast/handfast.toml"),
        content: String::new(),
    };
    let file = config::parse(
        "[[site]]\nroot = \"public\"\n[[site.certificate]]\nchain = \"/a/chain.pem\"\nkey = \"key.pem\"\n\
         passphrase = \"file:pass\"\n",
    );
    let config = Config {
        text,
        file: file.unwrap(),
    };
    let settings = resolve(&args("--config x"), Some(&config)).unwrap();
    let site = &settings.sites[0];
    assert_eq!(
        site.root.as_ref().unwrap().value,
        Path::new("/etc/handfast/public")
    );
    let certificate = &site.certificates[0];
    assert_eq!(certificate.chain.value, Path::new("/a/chain.pem"));
    assert_eq!(certificate.key_file(), Path::new("/etc/handfast/key.pem"));
    let source = certificate.passphrase.as_ref().unwrap().to_string();
    assert_eq!(source, "file:/etc/handfast/pass");
    // Those of options are not.
    let of_options = resolve(
        &args("--config x --audit log --key-log keys"),
        Some(&config),
    )
    .unwrap();
    let audit = of_options.log.audit.as_ref().map(|file| &*file.value);
    assert_eq!(audit, Some(Path::new("log")));
}

#[test]
fn the_log_of_a_site_is_the_common_one_but_for_what_is_given() {
    let content = "[log]\nto = \"/all.log\"\nformat = \"json\"\n\
        [[site]]\nroot = \"a\"\nnames = [\"a.example\"]\n[site.log]\nto = \"/a.log\"\n\
        [[site]]\nroot = \"b\"\nnames = [\"b.example\"]\n[site.log]\nformat = \"combined\"\n\
        [[site]]\nroot = \"c\"\n";
    let first = settings(content, "--config x").unwrap();
    let logs: Vec<_> = first.sites.iter().map(|site| site.log.clone()).collect();
    let file = |path: &str| LogTarget::File(path.into());
    let expected = [
        (file("/a.log"), LogFormat::Json),
        (file("/all.log"), LogFormat::Combined),
    ];
    for (log, (to, format)) in logs.iter().zip(expected) {
        let log = log.as_ref().unwrap();
        assert_eq!((&log.to.value, log.format), (&to, format));
    }
    assert_eq!(logs[2], None);
    assert_eq!(first.log_files().len(), 3);
    let printed = crate::command::serve::print::text(&first);
    let again = settings(&printed, "--config x").unwrap_or_else(|said| panic!("{said}{printed}"));
    let logs_again: Vec<_> = again.sites.iter().map(|site| site.log.clone()).collect();
    assert_eq!(logs_again, logs);
    let journal = "[[site]]\nroot = \"a\"\n[site.log]\nto = \"journal\"\nformat = \"json\"\n";
    let said = settings(journal, "--config x").unwrap_err();
    assert!(said.contains("the journal has fields"), "{said}");
}

#[test]
fn what_sites_answer_is_printed_and_read_as_the_same() {
    let content = include_str!("../../../../tests/configuration/answers.toml.in");
    let first = settings(content, "--config x").unwrap();
    let answers = &first.sites[0].answers;
    assert_eq!((answers.rule.len(), answers.guard.len()), (3, 1));
    let printed = crate::command::serve::print::text(&first);
    let again = settings(&printed, "--config x").unwrap_or_else(|said| panic!("{said}{printed}"));
    assert_eq!(again.sites[0].answers.rule, answers.rule);
    assert_eq!(crate::command::serve::print::text(&again), printed);
}

#[test]
fn options_and_keys_of_answers_are_the_same() {
    let file = "[[site]]\nroot = \"public\"\nfallback = \"/index.html\"\n\
        [site.cors]\norigins = [\"https://a.example\"]\n[site.hsts]\nmax_age = \"24h\"\n\
        [[site.error_page]]\nstatus = 404\nfile = \"404.html\"\n\
        [[site.rule]]\npath = \"/**\"\nheaders = [\"X-A:b\"]\n\
        [[site.basic_auth]]\nuser = \"ann\"\nfile = \"/hash\"\n[[site.upload]]\ndirectory = \"/in\"\n";
    let of_file = settings(file, "--config x").unwrap();
    let of_options = resolve(
        &args(
            "public --spa --cors=https://a.example --hsts 24h --404 404.html --add-header X-A:b \
             --basic-auth ann:file:/hash --upload /in",
        ),
        None,
    )
    .unwrap();
    assert_eq!(of_file.sites[0].answers, of_options.sites[0].answers);
    for refused in ["ann", ":file:x", "ann:secret", "ann:file:"] {
        let line = ["serve", "--basic-auth", refused, "public"];
        assert!(Serve::try_parse_from(line).is_err(), "{refused}");
    }
}

#[test]
fn a_typed_passphrase_is_never_printed() {
    let settings = resolve(&args("--cert a.pem --pass pass:hunter2 public"), None).unwrap();
    let printed = crate::command::serve::print::text(&settings);
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("left out"), "{printed}");
    assert!(!format!("{settings:?}").contains("hunter2"));
}

/// A file with some of all keys.
fn any_file() -> impl Strategy<Value = String> {
    let time = prop_oneof![Just("15s"), Just("1m 30s"), Just("1500ms")];
    let size = prop_oneof![Just("1B"), Just("32KiB"), Just("5MiB"), Just("1234B")];
    let top = (
        prop::option::of(1..100_usize),
        prop::option::of(time.clone()),
        prop::option::of(prop_oneof![Just("send"), Just("linger"), Just("wait")]),
        prop::option::of("[a-z /]{1,8}"),
    );
    let limits = (
        prop::option::of(1..100_000_usize),
        prop::option::of(time),
        prop::option::of(any::<u32>()),
        prop::option::of(size),
    );
    let rest = (
        prop::sample::subsequence(vec!["1.2", "1.3"], 1..=2),
        prop::option::of(prop_oneof![
            Just("none"),
            Just("requests"),
            Just("connections")
        ]),
        0..4_u16,
        any::<bool>(),
        // What TOML must quote.
        "[a-z\"'\\\\ \u{e9}\u{1f600}#=]{1,12}",
        prop::option::of(prop_oneof![
            Just("none"),
            Just("optional"),
            Just("required")
        ]),
        prop::option::of(0..=6_usize),
    );
    (top, limits, rest).prop_map(|(top, limits, rest)| {
        let mut text = String::new();
        let mut add = |line: Option<String>| {
            text.extend(line);
            text.push('\n');
        };
        let quoted = |text: &str| Value::from(text).to_string();
        add(top.0.map(|count| format!("threads = {count}")));
        add(top.1.map(|time| format!("grace = \"{time}\"")));
        add(top.2.map(|close| format!("close = \"{close}\"")));
        add(top.3.map(|path| format!("ca_dir = {}", quoted(&path))));
        add(Some("[limits]".to_owned()));
        add(limits.0.map(|count| format!("connections_max = {count}")));
        add(limits
            .1
            .map(|time| format!("head = \"{time}\"\nidle = \"{time}\"")));
        add(limits
            .2
            .map(|rate| format!("write_rate_min = {rate}\nstreams_max = {rate}")));
        add(limits
            .3
            .map(|size| format!("head_bytes_max = \"{size}\"\ndiscard_max = \"{size}\"")));
        let (versions, events, sites, listing, path, demand, depth) = rest;
        add(Some(format!(
            "[tls]\nversions = {versions:?}\nkey_log = {}",
            quoted(&path)
        )));
        add(events.map(|events| format!("[log]\nevents = \"{events}\"")));
        for number in 0..sites {
            let address = format!("[[listener]]\naddress = \"127.0.0.1:{}\"", 1000 + number);
            add(Some(address));
            add((number == 1).then(|| "kind = \"redirect\"".to_owned()));
        }
        for number in 0..=sites {
            add(Some(format!(
                "[[site]]\nroot = {}\nlisting = {listing}",
                quoted(&path)
            )));
            add((number > 0)
                .then(|| format!("names = [\"S{number}.example\", \"*.s{number}.example\"]")));
            add(demand.map(|demand| {
                format!(
                    "[site.client_auth]\ndemand = \"{demand}\"\nca = {}\ncrl = [\"a\", \"b\"]",
                    quoted(&path)
                )
            }));
            add(demand.and(depth).map(|depth| format!("depth = {depth}")));
            let certificate = format!("[[site.certificate]]\nchain = {}", quoted(&path));
            add((number > 1).then_some(certificate));
            add((number > 1).then(|| "key = \"k\"\npassphrase = \"env:P\"".to_owned()));
        }
        text
    })
}

#[test]
fn mistakes_of_beginners_get_a_fix_that_works() {
    let site = "[[site]]\nroot = \"www\"\n";
    let listener = |keys: &str| format!("[[listener]]\n{keys}\n{site}");
    for (content, what, fix) in [
        (
            format!("{site}[site.tls]\nversions = [\"1.3\"]\n"),
            "unknown key `tls` in [[site]]",
            "write [tls]",
        ),
        (
            "[[site.error_page]]\nfile = \"404.html\"\n".to_owned(),
            "there is no [[site]] above [[site.error_page]]",
            "put [[site]] and its keys above [[site.error_page]]",
        ),
        (
            "[site.cors]\norigins = [\"*\"]\n".to_owned(),
            "there is no [[site]] above [site.cors]",
            "put [[site]] and its keys above [site.cors]",
        ),
        (
            format!("[[site.error_page]]\nfile = \"404.html\"\n{site}"),
            "duplicate key",
            "put [[site]] and its keys above [[site.error_page]]",
        ),
        (
            format!("[tls]\n[log]\n[tls]\n{site}"),
            "duplicate key",
            "put the keys of both into one [tls]",
        ),
        (
            format!("threads = 1\nthreads = 2\n{site}"),
            "duplicate key",
            "remove one of the two",
        ),
        (
            "[site]\nroot = \"www\"\n".to_owned(),
            "`site` is an array of tables",
            "write [[site]] in place of [site]",
        ),
        (
            "[[site]]\nroot = www\n".to_owned(),
            "",
            "with texts in quotes",
        ),
        (
            listener("address = 8443"),
            "expected a string, found an integer",
            "write it in quotes: \"8443\"",
        ),
        (
            listener("address = \"8443\"\nkind = \"http\""),
            "\"http\" is not one of",
            "plain HTTP is not served, only redirected to HTTPS: kind = \"redirect\"",
        ),
        (
            format!(
                "[[listener]]\naddress = \"0.0.0.0:8443\"\n{}",
                listener("address = \"127.0.0.1:8443\"")
            ),
            "0.0.0.0:8443 and 127.0.0.1:8443 cannot both be listened on",
            "remove one of the two",
        ),
    ] {
        let told = settings(&content, "--config x").unwrap_err();
        assert!(told.contains(what), "{content}{told}");
        assert!(
            told.contains("fix: ") && told.contains(fix),
            "{content}{told}"
        );
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read_as_the_same_settings(content in any_file()) {
        let first = settings(&content, "--config x").unwrap();
        let printed = crate::command::serve::print::text(&first);
        // Its paths are absolute.
        let again = settings(&printed, "--config x").unwrap_or_else(|said| panic!("{said}{printed}"));
        prop_assert_eq!(&crate::command::serve::print::text(&again), &printed);
        prop_assert_eq!(&again.limits, &first.limits);
        prop_assert_eq!(&again.listeners, &first.listeners);
        let thrice = settings(&printed, "--config x").unwrap();
        prop_assert_eq!(again, thrice);
    }

    #[test]
    fn no_content_makes_the_reader_panic(content in "\\PC{0,200}", at in 0..400_usize) {
        let _ = settings(&content, "--config x");
        // A valid file that was cut, or with a piece of another.
        let example = include_str!("../../../../tests/configuration/example.toml.in");
        let cut: String = example.chars().take(at).collect();
        let _ = settings(&cut, "--config x");
        let _ = settings(&format!("{cut}{content}"), "--config x");
    }
}
