//! The shape of the code: dependencies of files point one way. No two files of a crate use each other, nor a circle of
//! more.
//!
//! A file uses another when a path in it leads there: in an import, a type, an expression. Re-exports of what lies
//! beneath are no use, nor is what only tests compile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};

use crate::source::{Crate, Module, is_left_out, leaves};

/// Which files each file uses.
fn uses(read: &Crate) -> BTreeMap<&Path, BTreeSet<&Path>> {
    let mut all: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    for (module, source) in &read.0 {
        let mut paths = Paths {
            module,
            found: Vec::new(),
        };
        for item in &source.items {
            paths.visit_item(item);
        }
        for path in paths.found {
            let Some(path) = read.absolute(module, &path) else {
                continue;
            };
            let used = read.file_of(&path, 8);
            if used != source.file {
                all.entry(&source.file).or_default().insert(used);
            }
        }
    }
    all
}

/// The paths that a module names, those of modules within it left out: they are asked on their own.
struct Paths<'a> {
    module: &'a Module,
    found: Vec<Vec<String>>,
}

impl Visit<'_> for Paths<'_> {
    fn visit_item_mod(&mut self, _: &syn::ItemMod) {}

    fn visit_item_use(&mut self, import: &syn::ItemUse) {
        let is_export = !matches!(import.vis, syn::Visibility::Inherited);
        if is_left_out(&import.attrs) {
            return;
        }
        for (path, _) in leaves(&import.tree) {
            let leads_up = path.first().is_some_and(|part| part == "super")
                || (path.first().is_some_and(|part| part == "crate")
                    && !path[1..].starts_with(self.module));
            if !is_export || leads_up {
                self.found.push(path);
            }
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        if path.segments.len() > 1 && path.leading_colon.is_none() {
            let parts = path.segments.iter().map(|part| part.ident.to_string());
            self.found.push(parts.collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_item(&mut self, item: &syn::Item) {
        let attributes = match item {
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            syn::Item::Const(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_left_out(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_visibility(&mut self, _: &syn::Visibility) {}
}

/// Everything that can be reached from a file.
fn reached<'a>(
    uses: &BTreeMap<&'a Path, BTreeSet<&'a Path>>,
    from: &'a Path,
) -> BTreeSet<&'a Path> {
    let mut found = BTreeSet::new();
    let mut todo = vec![from];
    while let Some(file) = todo.pop() {
        for used in uses.get(file).into_iter().flatten() {
            if found.insert(*used) {
                todo.push(used);
            }
        }
    }
    found
}

/// The groups of files that use each other, each edge of them as a line.
fn circles(src: &Path) -> Vec<String> {
    let parsed = Crate::read(src);
    let uses = uses(&parsed);
    let reached: BTreeMap<_, _> = uses
        .keys()
        .map(|file| (*file, reached(&uses, file)))
        .collect();
    let shown = |file: &Path| file.strip_prefix(src).unwrap().display().to_string();
    let mut found = Vec::new();
    for (file, used) in &uses {
        for other in used {
            if reached.get(other).is_some_and(|back| back.contains(file)) {
                found.push(format!("{} -> {}", shown(file), shown(other)));
            }
        }
    }
    found
}

#[test]
fn no_files_of_a_crate_use_each_other() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    let mut seen = 0;
    for folder in fs::read_dir(crates).unwrap() {
        let src = folder.unwrap().path().join("src");
        if src.is_dir() {
            seen += 1;
            let name = src.parent().unwrap().file_name().unwrap().to_owned();
            let lines = circles(&src).into_iter();
            found.extend(lines.map(|line| format!("{}: {line}", name.display())));
        }
    }
    assert!(seen > 10, "only {seen} crates were found");
    assert!(
        found.is_empty(),
        "these uses are part of circles; move what both need into a file of its own:\n{}",
        found.join("\n")
    );
}

#[test]
fn a_circle_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod a;\nmod b;\nmod c;\npub use c::Exported;\n");
    write("a.rs", "pub struct A;\nfn f() { crate::b::g() }\n");
    write("b.rs", "use super::Exported;\npub fn g() {}\n");
    write("c/mod.rs", "mod inner;\npub use inner::Exported;\n");
    write("c/inner.rs", "pub struct Exported;\n");
    assert_eq!(circles(folder.path()), Vec::<String>::new());
    write("c/inner.rs", "pub struct Exported(super::super::a::A);\n");
    let found = ["a.rs -> b.rs", "b.rs -> c/inner.rs", "c/inner.rs -> a.rs"];
    assert_eq!(circles(folder.path()), found);
    // What only tests use is no use.
    write(
        "c/inner.rs",
        "pub struct Exported;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n",
    );
    assert_eq!(circles(folder.path()), Vec::<String>::new());
}
