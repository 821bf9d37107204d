//! A file with mistakes, as far as it can be judged: without them it is judged on, so that one check shows everything.
//!
//! What follows from a mistake is not shown as another one. So a site with a mistake in it is left out, and so are all listeners if one
//! has a mistake, because what is said of them depends on the others; of other tables, what is wrong.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::file::File;
use super::problem::Problem;
use super::value::Place;
use super::{schema, syntax, walk};

/// What can be judged, if there is anything, and what is wrong.
pub(super) fn parse(content: &str) -> (Option<File>, Vec<Problem>) {
    let mut document = match syntax::parse(content) {
        Ok(document) => document,
        Err(problems) => return (None, problems),
    };
    let problems = walk::judge(&document, schema::schema());
    if problems.is_empty() {
        return match syntax::values(document, content) {
            Ok(file) => (Some(file), problems),
            Err(problem) => (None, vec![*problem]),
        };
    }
    let had_sites = has_sites(document.get_ref());
    remove_mistakes(document.get_mut(), &problems);
    let is_judged = walk::judge(&document, schema::schema()).is_empty();
    // Without any of its sites, a file is another one.
    let is_whole = !had_sites || has_sites(document.get_ref());
    let file = match is_judged && is_whole {
        true => syntax::values(document, content).ok(),
        false => None,
    };
    (file, problems)
}

fn has_sites(document: &DeTable<'_>) -> bool {
    let sites = document
        .get("site")
        .and_then(|sites| sites.get_ref().as_array());
    sites.is_some_and(|sites| !sites.is_empty())
}

fn remove_mistakes(document: &mut DeTable<'_>, problems: &[Problem]) {
    let places = problems.iter().filter_map(|problem| match &problem.place {
        Place::File(bytes) => Some(bytes.clone()),
        _ => None,
    });
    let wrong: Vec<_> = places.collect();
    for (key, mut value) in std::mem::take(document) {
        let is_wrong = wrong.contains(&key.span()) || wrong.contains(&value.span());
        let is_kept = match (&**key.get_ref(), value.get_mut()) {
            ("site", DeValue::Array(sites)) => {
                let all = std::mem::replace(sites, DeArray::new());
                let kept = all.into_iter().filter(|site| !holds(site, &wrong));
                kept.for_each(|site| sites.push(site));
                true
            }
            ("listener", _) => !holds(&value, &wrong),
            _ if is_wrong => false,
            (_, DeValue::Table(table)) => {
                remove_within(table, &wrong);
                true
            }
            _ => !holds(&value, &wrong),
        };
        if is_kept {
            document.insert(key, value);
        }
    }
}

/// Of a table that is there once, what is wrong.
fn remove_within(table: &mut DeTable<'_>, wrong: &[Range<usize>]) {
    for (key, value) in std::mem::take(table) {
        if !wrong.contains(&key.span()) && !holds(&value, wrong) {
            table.insert(key, value);
        }
    }
}

/// Whether this value, or something in it, is one of these.
fn holds(value: &Spanned<DeValue<'_>>, wrong: &[Range<usize>]) -> bool {
    let within = match value.get_ref() {
        DeValue::Table(table) => table
            .iter()
            .any(|(key, value)| wrong.contains(&key.span()) || holds(value, wrong)),
        DeValue::Array(values) => values.iter().any(|value| holds(value, wrong)),
        _ => false,
    };
    within || wrong.contains(&value.span())
}
