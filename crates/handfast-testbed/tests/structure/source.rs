//! The modules of a crate, read from its files: what the tests of the code's shape and of its public surface stand on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A module by its path: `["server", "accept"]`, empty for the root.
pub(crate) type Module = Vec<String>;

/// A module of a crate, in a file of its own or within one.
pub(crate) struct Source {
    pub(crate) file: PathBuf,
    pub(crate) items: Vec<syn::Item>,
    /// Names that it re-exports, and the paths behind them.
    pub(crate) exported: BTreeMap<String, Module>,
}

/// The modules of one crate.
#[derive(Default)]
pub(crate) struct Crate(pub(crate) BTreeMap<Module, Source>);

impl Crate {
    pub(crate) fn read(src: &Path) -> Self {
        let mut found = Self::default();
        let root = ["lib.rs", "main.rs"].map(|name| src.join(name));
        let root = root.iter().find(|path| path.is_file()).expect("a root");
        found.add(Module::new(), root.clone(), src.to_owned(), parse(root));
        // Only now is it known which names are modules.
        let exports: Vec<_> = found
            .0
            .iter()
            .map(|(module, source)| (module.clone(), found.exports(module, &source.items)))
            .collect();
        for (module, exported) in exports {
            found.0.get_mut(&module).unwrap().exported = exported;
        }
        found
    }

    fn add(&mut self, module: Module, file: PathBuf, folder: PathBuf, mut items: Vec<syn::Item>) {
        for item in &mut items {
            let syn::Item::Mod(inner) = item else {
                continue;
            };
            if is_left_out(&inner.attrs) {
                continue;
            }
            let name = inner.ident.to_string();
            let path = [module.clone(), vec![name.clone()]].concat();
            if let Some((_, items)) = inner.content.take() {
                self.add(path, file.clone(), folder.join(&name), items);
                continue;
            }
            let beside = folder.join(format!("{name}.rs"));
            let within = folder.join(&name).join("mod.rs");
            let found = [beside, within].into_iter().find(|path| path.is_file());
            // A file of elsewhere, by an attribute: not part of this tree.
            let Some(found) = found else { continue };
            let items = parse(&found);
            self.add(path, found, folder.join(&name), items);
        }
        let exported = BTreeMap::new();
        self.0.insert(
            module,
            Source {
                file,
                items,
                exported,
            },
        );
    }

    fn exports(&self, module: &Module, items: &[syn::Item]) -> BTreeMap<String, Module> {
        let mut exported = BTreeMap::new();
        for item in items {
            let syn::Item::Use(import) = item else {
                continue;
            };
            if matches!(import.vis, syn::Visibility::Inherited) || is_left_out(&import.attrs) {
                continue;
            }
            for (path, name) in leaves(&import.tree) {
                if let Some(path) = self.absolute(module, &path) {
                    exported.insert(name, path);
                }
            }
        }
        exported
    }

    /// The path from the root of the crate; `None` when it leads out of it.
    pub(crate) fn absolute(&self, module: &Module, path: &[String]) -> Option<Module> {
        let mut at = module.clone();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                at.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    at.pop()?;
                    rest = &rest[1..];
                }
            }
            name => {
                at.push(name.to_owned());
                if !self.0.contains_key(&at) {
                    return None;
                }
                rest = &rest[1..];
            }
        }
        at.extend_from_slice(rest);
        Some(at)
    }

    /// The file in which a path ends: re-exports are followed to where they lead.
    pub(crate) fn file_of(&self, path: &[String], depth: u8) -> &Path {
        let mut at = Module::new();
        for (index, part) in path.iter().enumerate() {
            let source = &self.0[&at];
            at.push(part.clone());
            if self.0.contains_key(&at) {
                continue;
            }
            return match source.exported.get(part) {
                Some(behind) if depth > 0 => {
                    let whole = [behind.clone(), path[index + 1..].to_vec()].concat();
                    self.file_of(&whole, depth - 1)
                }
                _ => &source.file,
            };
        }
        &self.0[&at].file
    }
}

/// Whether only tests or fuzz targets compile it.
pub(crate) fn is_left_out(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        let condition = list.tokens.to_string();
        let words: Vec<_> = condition
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .collect();
        list.path.is_ident("cfg")
            && (words.contains(&"test") || words.contains(&"fuzzing"))
            && !condition.replace(' ', "").contains("not(test)")
    })
}

/// The paths of an import, each with the name that it has here.
pub(crate) fn leaves(tree: &syn::UseTree) -> Vec<(Vec<String>, String)> {
    match tree {
        syn::UseTree::Path(path) => {
            let first = path.ident.to_string();
            let inner = leaves(&path.tree).into_iter();
            inner
                .map(|(path, name)| {
                    let name = if name == "self" { first.clone() } else { name };
                    let rest = path.into_iter().filter(|part| part != "self");
                    (std::iter::once(first.clone()).chain(rest).collect(), name)
                })
                .collect()
        }
        syn::UseTree::Name(name) => vec![(vec![name.ident.to_string()], name.ident.to_string())],
        syn::UseTree::Rename(name) => vec![(vec![name.ident.to_string()], name.rename.to_string())],
        syn::UseTree::Glob(_) => vec![(Vec::new(), "*".to_owned())],
        syn::UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
    }
}

fn parse(path: &Path) -> Vec<syn::Item> {
    let text = fs::read_to_string(path).unwrap();
    let file = syn::parse_file(&text);
    file.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .items
}
