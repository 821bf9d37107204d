//! The JSON schema of the configuration file, made from the types.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::file::File;

/// The schema, without references: it is walked to judge files, and editors read it.
pub(crate) fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        // The version that editors for TOML know.
        let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings
            .into_generator()
            .into_root_schema_for::<File>()
            .to_value();
        tidy(&mut schema);
        schema
    });
    &SCHEMA
}

/// The schema as it is printed.
pub(crate) fn schema_text() -> String {
    format!("{:#}\n", schema())
}

/// TOML has no null: a key is there, or it is not. And the defaults of the types are those of absent keys.
fn tidy(schema: &mut Value) {
    if let Some(object) = schema.as_object_mut() {
        if let Some(Value::String(text)) = object.get_mut("description") {
            *text = text.replace('\n', " ");
        }
        if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
            choices.retain(|choice| choice["type"] != "null");
            if let [Value::Object(only)] = choices.as_mut_slice() {
                let only = std::mem::take(only);
                object.remove("anyOf");
                for (key, value) in only {
                    object.entry(key).or_insert(value);
                }
            }
        }
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [only] = types.as_mut_slice() {
                let only = only.take();
                object.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(values)) = object.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
        let is_empty = |default: &Value| match default {
            Value::Null | Value::Object(_) => true,
            Value::Array(values) => values.is_empty(),
            _ => false,
        };
        if object.get("default").is_some_and(is_empty) {
            object.remove("default");
        }
    }
    match schema {
        Value::Object(object) => object.values_mut().for_each(tidy),
        Value::Array(values) => values.iter_mut().for_each(tidy),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `HANDFAST_WRITE_DOCS=1` writes it.
    #[test]
    fn the_schema_in_the_documentation_is_current() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/handfast.schema.json"
        );
        if std::env::var_os("HANDFAST_WRITE_DOCS").is_some() {
            std::fs::write(path, schema_text()).unwrap();
            return;
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(committed, schema_text(), "HANDFAST_WRITE_DOCS=1 writes it");
    }

    #[test]
    fn nothing_may_be_null_and_no_table_takes_unknown_keys() {
        fn check(schema: &Value) {
            if let Some(object) = schema.as_object() {
                if object.contains_key("properties") {
                    assert_eq!(object["additionalProperties"], false, "{schema:#}");
                }
                assert_ne!(object.get("type"), Some(&Value::from("null")));
                assert!(!object.contains_key("$ref"), "{schema:#}");
                object.values().for_each(check);
            }
            if let Some(values) = schema.as_array() {
                values.iter().for_each(check);
            }
        }
        check(schema());
        assert!(!schema_text().contains("null"));
    }
}
