//! `docs/configuration.md` beside the types: its tables are made from them.

use std::fmt::Write as _;

use serde_json::Value;

use super::schema::schema;
use super::walk::header;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
const BEGIN: &str = "<!-- keys -->\n";
const END: &str = "<!-- end of keys -->";

/// A value as TOML, on one line.
fn value(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(self::value).collect();
            format!("[{}]", values.join(", "))
        }
        other => other.to_string(),
    }
}

fn words(schema: &Value) -> String {
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    let mut text = String::new();
    for choice in choices {
        if let (Some(word), Some(what)) = (choice["const"].as_str(), choice["description"].as_str())
        {
            let _ = write!(text, " `\"{word}\"`: {what}.");
        }
    }
    text
}

/// A table's keys, and then those of the tables in it.
fn table(path: &str, schema: &Value, text: &mut String) {
    let no_keys = serde_json::Map::new();
    let keys = schema["properties"].as_object().unwrap_or(&no_keys);
    let inner = |schema: &Value| match schema["type"] == "array" {
        true => schema["items"].clone(),
        false => schema.clone(),
    };
    let is_table = |schema: &Value| inner(schema)["properties"].is_object();
    let title = match path {
        "" => "At the top of the file".to_owned(),
        _ => format!("`{}`", header(path)),
    };
    let _ = write!(text, "\n### {title}\n");
    if let Some(what) = schema["description"].as_str().filter(|_| !path.is_empty()) {
        let _ = write!(text, "\n{what}\n");
    }
    let is_required = |name: &str| {
        let required = schema["required"].as_array().into_iter().flatten();
        required.into_iter().any(|key| key == name)
    };
    let mut rows = String::new();
    let mut example = String::new();
    for (name, key) in keys.iter().filter(|(_, key)| !is_table(key)) {
        let shown = match &key["examples"][0] {
            Value::Null => &key["default"],
            shown => shown,
        };
        assert!(!shown.is_null(), "{path}.{name} has no example");
        let _ = writeln!(example, "{name} = {}", value(shown));
        let default = match &key["default"] {
            Value::Null if is_required(name) => "required".to_owned(),
            Value::Null => String::new(),
            default => format!("`{}`", value(default)),
        };
        let what = key["description"].as_str().unwrap_or_default();
        assert!(!what.is_empty(), "{path}.{name} has no text");
        let _ = writeln!(rows, "| `{name}` | {default} | {what}{} |", words(key));
    }
    if !rows.is_empty() {
        let head = match path {
            "" => String::new(),
            _ => format!("{}\n", header(path)),
        };
        let _ = write!(text, "\n```toml\n{head}{example}```\n");
        let _ = write!(text, "\n| key | default | |\n|---|---|---|\n{rows}");
    }
    for (name, key) in keys.iter().filter(|(_, key)| is_table(key)) {
        let path = match path {
            "" => name.clone(),
            _ => format!("{path}.{name}"),
        };
        let mut inner = inner(key);
        if inner["description"].is_null() {
            inner["description"] = key["description"].clone();
        }
        table(&path, &inner, text);
    }
}

/// `HANDFAST_WRITE_DOCS=1` writes them.
#[test]
fn every_key_is_documented_with_its_default_and_an_example() {
    let page = std::fs::read_to_string(PATH).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("where the keys begin");
    let (found, after) = rest.split_once(END).expect("where they end");
    let mut text = String::new();
    table("", schema(), &mut text);
    text.push('\n');
    if std::env::var_os("HANDFAST_WRITE_DOCS").is_some() {
        std::fs::write(PATH, format!("{before}{BEGIN}{text}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(found, text, "HANDFAST_WRITE_DOCS=1 writes it");
}

/// Each example, with the keys that its table needs besides.
#[test]
fn the_examples_of_the_documentation_are_understood() {
    let page = std::fs::read_to_string(PATH).unwrap();
    let examples: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(examples.len() > 8, "{}", examples.len());
    for example in examples {
        let content = match example.starts_with("[[site.") || example.starts_with("[site.") {
            true => format!("[[site]]\nroot = \"public\"\n{example}"),
            false => example.to_owned(),
        };
        if let Err(problems) = super::parse(&content) {
            let failures = super::shown(problems, None);
            panic!("{content}{failures:?}");
        }
    }
}
