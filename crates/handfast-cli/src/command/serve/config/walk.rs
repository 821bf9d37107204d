//! A document beside the schema: every key that is unknown or missing, every value of a wrong type or form, all of
//! them at once.

use std::fmt::Write as _;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::address::Address;
use super::problem::Problem;
use super::value::{Form as _, LogTarget, Often, Place, Size, Source, StatusAddress, Time};
use crate::nearest::nearest;

/// Names in other servers' configurations, and in options of this program.
const ELSEWHERE: [(&str, &str); 19] = [
    ("server_name", "names"),
    ("server_names", "names"),
    ("hosts", "names"),
    ("domains", "names"),
    ("name", "names"),
    ("directory", "root"),
    ("dir", "root"),
    ("listen", "listener"),
    ("listeners", "listener"),
    ("sites", "site"),
    ("server", "site"),
    ("cert", "chain"),
    ("pass", "passphrase"),
    ("workers", "threads"),
    ("bind", "address"),
    ("autoindex", "listing"),
    ("protocols", "versions"),
    ("client_ca", "ca"),
    ("level", "events"),
];

/// What is wrong with a document.
pub(crate) fn judge(document: &Spanned<DeTable<'_>>, schema: &Value) -> Vec<Problem> {
    let mut walk = Walk {
        root: schema,
        problems: Vec::new(),
    };
    walk.table("", document.get_ref(), Place::File(document.span()), schema);
    walk.problems
}

struct Walk<'s> {
    root: &'s Value,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    fn say(&mut self, place: Place, what: impl Into<String>) {
        self.problems.push(Problem::new(place, what));
    }

    fn table(&mut self, path: &str, table: &DeTable<'_>, place: Place, schema: &Value) {
        let no_keys = serde_json::Map::new();
        let known = schema["properties"].as_object().unwrap_or(&no_keys);
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match known.get(name) {
                Some(schema) => self.value(&joined(path, name), value, schema),
                None => {
                    let problem = self.unknown(path, name, Place::File(key.span()), known);
                    self.problems.push(problem);
                }
            }
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            let Some(name) = name.as_str() else { continue };
            if !table.iter().any(|(key, _)| key.get_ref() == name) {
                let text = known.get(name).and_then(|key| key["description"].as_str());
                let text = text.and_then(|text| text.split(['.', ';']).next());
                let what = format!("{} has no `{name}`", header(path));
                let problem = Problem::new(place.clone(), what).with_fix(format!(
                    "add {name} = {}: {}",
                    example(&known[name]),
                    text.unwrap_or_default()
                ));
                self.problems.push(problem);
            }
        }
    }

    fn unknown(
        &self,
        path: &str,
        name: &str,
        place: Place,
        known: &serde_json::Map<String, Value>,
    ) -> Problem {
        let what = match path {
            "" => format!("unknown key `{}`", handfast::escape_control(name)),
            _ => format!(
                "unknown key `{}` in {}",
                handfast::escape_control(name),
                header(path)
            ),
        };
        let problem = Problem::new(place, what);
        let plain = name.replace('-', "_");
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let meant = ELSEWHERE
            .iter()
            .find(|(theirs, ours)| *theirs == plain && known.contains_key(*ours))
            .map(|(_, ours)| *ours)
            .or_else(|| names.iter().copied().find(|known| *known == plain))
            .or_else(|| nearest(&plain, &names));
        if let Some(meant) = meant {
            return problem.with_fix(format!("write `{meant}`"));
        }
        let mut tables = Vec::new();
        tables_with(&plain, self.root, String::new(), &mut tables);
        if let Some(table) = tables.first() {
            // Of the document's schema: there are few levels.
            let whole = tables_of(self.root, table, &plain);
            return problem.with_fix(match table.as_str() {
                table if whole => format!("write {}", header(&joined(table, &plain))),
                "" => "move it to the top of the file, before the first table".to_owned(),
                table => format!("move it into {}", header(table)),
            });
        }
        problem.with_fix(format!("the keys here are {}", listed(&names)))
    }

    fn value(&mut self, path: &str, found: &Spanned<DeValue<'_>>, schema: &Value) {
        let place = Place::File(found.span());
        let expected = schema["type"].as_str().unwrap_or_default();
        match (found.get_ref(), expected) {
            (DeValue::Table(table), "object") => self.table(path, table, place, schema),
            (DeValue::Array(values), "array") => {
                for value in values {
                    self.value(path, value, &schema["items"]);
                }
            }
            (DeValue::Table(table), "array")
                if schema["items"]["type"] == "object" && first_within(table).is_some() =>
            {
                // It was not written, only what belongs below it.
                let within = first_within(table).unwrap_or_default();
                let within = header(&joined(path, within));
                let what = format!("there is no [[{path}]] above {within}");
                let problem = Problem::new(place, what);
                let fix = format!("put [[{path}]] and its keys above {within}");
                self.problems.push(problem.with_fix(fix));
            }
            (DeValue::Table(_), "array") if schema["items"]["type"] == "object" => {
                let problem = Problem::new(place, format!("`{path}` is an array of tables"));
                let fix = format!("write [[{path}]] in place of [{path}]");
                self.problems.push(problem.with_fix(fix));
            }
            (DeValue::Integer(_) | DeValue::Float(_), _) if schema["format"] == Time::FORMAT => {
                let number = match found.get_ref() {
                    DeValue::Integer(number) => number.as_str(),
                    DeValue::Float(number) => number.as_str(),
                    _ => "",
                };
                if let Some(what) = problem_of(Time::FORMAT, number) {
                    self.say(place, format!("`{path}`: {what}"));
                }
            }
            (DeValue::Integer(number), "integer") => {
                let number = i64::from_str_radix(number.as_str(), number.radix());
                let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
                let most = match schema["format"].as_str() {
                    Some("uint32") => i64::from(u32::MAX),
                    _ => schema["maximum"].as_i64().unwrap_or(i64::MAX),
                };
                match number {
                    Ok(number) if (least..=most).contains(&number) => {}
                    _ if most == i64::MAX => self.say(
                        place,
                        format!("`{path}`: expected a number of {least} or more"),
                    ),
                    _ => self.say(
                        place,
                        format!("`{path}`: expected a number from {least} to {most}"),
                    ),
                }
            }
            (DeValue::Boolean(_), "boolean") => {}
            (DeValue::String(text), "string" | "") => self.string(path, text, place, schema),
            (found, _) => {
                let unquoted = match (found, expected) {
                    (DeValue::Integer(number), "string") if number.radix() == 10 => {
                        Some(number.as_str().to_owned())
                    }
                    _ => None,
                };
                let found = found.type_str();
                let article = match found.starts_with(['a', 'i', 'o']) {
                    true => "an",
                    false => "a",
                };
                let what = format!(
                    "`{path}`: expected {}, found {article} {found}",
                    named(schema)
                );
                let problem = Problem::new(place, what);
                let format = schema["format"].as_str().unwrap_or_default();
                let problem = match example(schema) {
                    // A port, for one.
                    _ if unquoted.as_ref().is_some_and(|text| {
                        !format.is_empty() && problem_of(format, text).is_none()
                    }) =>
                    {
                        let text = unquoted.unwrap_or_default();
                        problem.with_fix(format!("write it in quotes: \"{text}\""))
                    }
                    example if example.is_empty() && schema["type"] == "array" => problem
                        .with_fix(format!("write [[{path}]], and its keys on the lines below")),
                    example if example.is_empty() => problem,
                    example => problem.with_fix(format!("for example: {} = {example}", last(path))),
                };
                self.problems.push(problem);
            }
        }
    }

    fn string(&mut self, path: &str, text: &str, place: Place, schema: &Value) {
        let words = words_of(schema);
        if !words.is_empty() {
            if words.contains(&text) {
                return;
            }
            let what = format!(
                "`{path}`: \"{}\" is not one of {}",
                handfast::escape_control(text),
                listed(&words)
            );
            let problem = Problem::new(place, what);
            let is_plain_http = ["http", "plain", "tcp"].contains(&text);
            self.problems.push(match nearest(text, &words) {
                _ if is_plain_http && words.contains(&"redirect") => problem.with_fix(
                    "plain HTTP is not served, only redirected to HTTPS: kind = \"redirect\"",
                ),
                Some(near) => problem.with_fix(format!("write \"{near}\"")),
                None => problem,
            });
            return;
        }
        let is_empty = text.is_empty() && schema["minLength"].as_u64() > Some(0);
        let format = schema["format"].as_str().unwrap_or_default();
        if is_empty {
            self.say(place, format!("`{path}` is empty"));
        } else if let Some(what) = problem_of(format, text) {
            let problem = Problem::new(place, format!("`{path}`: {what}"));
            self.problems.push(match format {
                "passphrase-source" => problem.hiding(),
                _ => problem,
            });
        }
    }
}

/// The first table of a table that has nothing but tables.
fn first_within<'t>(table: &'t DeTable<'_>) -> Option<&'t str> {
    let is_table = |value: &DeValue<'_>| match value {
        DeValue::Table(_) => true,
        DeValue::Array(values) => {
            let mut values = values.iter();
            values.all(|value| matches!(value.get_ref(), DeValue::Table(_)))
        }
        _ => false,
    };
    let all = table.iter().all(|(_, value)| is_table(value.get_ref()));
    let first = table.iter().min_by_key(|(key, _)| key.span().start);
    first.filter(|_| all).map(|(key, _)| key.get_ref().as_ref())
}

fn joined(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    }
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// The table of a path, as it is written in a file.
pub(super) fn header(path: &str) -> String {
    const SEVERAL: [&str; 9] = [
        "site",
        "listener",
        "site.certificate",
        "tls.certificate",
        "site.rule",
        "site.guard",
        "site.basic_auth",
        "site.error_page",
        "site.upload",
    ];
    match path {
        "" => "the top of the file".to_owned(),
        path if SEVERAL.contains(&path) => format!("[[{path}]]"),
        path => format!("[{path}]"),
    }
}

/// The tables that have a key of this name.
fn tables_with(name: &str, schema: &Value, path: String, found: &mut Vec<String>) {
    let Some(keys) = schema["properties"].as_object() else {
        return;
    };
    if keys.contains_key(name) {
        found.push(path.clone());
    }
    for (key, schema) in keys {
        let inner = match schema["type"] == "array" {
            true => &schema["items"],
            false => schema,
        };
        tables_with(name, inner, joined(&path, key), found);
    }
}

/// Whether this key of a table is a table itself.
fn tables_of(root: &Value, table: &str, name: &str) -> bool {
    let mut schema = root;
    for key in table.split('.').chain([name]).filter(|key| !key.is_empty()) {
        schema = &schema["properties"][key];
        if schema["type"] == "array" {
            schema = &schema["items"];
        }
    }
    schema["type"] == "object"
}

/// The strings that are allowed, if they are a few words.
fn words_of(schema: &Value) -> Vec<&str> {
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    let constants = choices.map(|choice| &choice["const"]);
    let listed = schema["enum"].as_array().into_iter().flatten();
    constants.chain(listed).filter_map(Value::as_str).collect()
}

/// The type that is expected, in words.
fn named(schema: &Value) -> &'static str {
    match schema["type"].as_str().unwrap_or_default() {
        _ if schema["format"] == Time::FORMAT => "a length of time",
        "integer" => "a number",
        "boolean" => "true or false",
        "object" => "a table",
        "array" if schema["items"]["type"] == "object" => "tables",
        "array" => "an array",
        _ => "a string",
    }
}

/// A value that could be there.
fn example(schema: &Value) -> String {
    let value = match &schema["examples"][0] {
        Value::Null => &schema["default"],
        example => example,
    };
    match value {
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

fn listed(words: &[&str]) -> String {
    let mut text = String::new();
    for (number, word) in words.iter().enumerate() {
        let before = match number {
            0 => "",
            _ if number + 1 == words.len() => " and ",
            _ => ", ",
        };
        let _ = write!(text, "{before}{word}");
    }
    text
}

/// What is wrong with a string of this format; `None` if nothing is, or if it has no syntax of its own.
fn problem_of(format: &str, text: &str) -> Option<String> {
    match format {
        Time::FORMAT => text.parse::<Time>().err(),
        Size::FORMAT => text.parse::<Size>().err(),
        Source::FORMAT => text.parse::<Source>().err(),
        Address::FORMAT => text.parse::<Address>().err(),
        Often::FORMAT => text.parse::<Often>().err(),
        LogTarget::FORMAT => text.parse::<LogTarget>().err(),
        StatusAddress::FORMAT => text.parse::<StatusAddress>().err(),
        _ => None,
    }
}
