//! The public surface of each library, read from its files: a line for each item.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use quote::ToTokens;
use syn::{Fields, ImplItem, Item, ReturnType, TraitItem, Visibility};

use crate::source::{Crate, Module, is_left_out, leaves};

/// An item by the module that defines it, and its name there.
type Place = (Module, String);

struct Surface<'a> {
    read: &'a Crate,
    lines: BTreeSet<String>,
    /// The module in which the item at hand is written.
    at: Module,
    /// Names in lines that are imported from other crates: the path of the import, and the line.
    foreign: BTreeSet<(String, String)>,
}

impl Surface<'_> {
    /// What a module shows to others of the crate that `path` names.
    fn module(&mut self, module: &Module, path: &str) {
        let Some(source) = self.read.0.get(module) else {
            return;
        };
        for item in &source.items {
            match item {
                Item::Use(import) if is_public(&import.vis) && !is_hidden(&import.attrs) => {
                    for (target, name) in leaves(&import.tree) {
                        self.exported(module, &target, &name, path, &cfg(&import.attrs));
                    }
                }
                Item::Mod(inner) if is_public(&inner.vis) && !is_hidden(&inner.attrs) => {
                    let name = inner.ident.to_string();
                    self.module(&below(module, &name), &format!("{path}::{name}"));
                }
                _ => {
                    if let Some((name, visibility)) = named(item)
                        && is_public(visibility)
                    {
                        let place = (module.clone(), name.clone());
                        self.item(item, &place, &format!("{path}::{name}"), "");
                    }
                }
            }
        }
    }

    fn exported(&mut self, module: &Module, target: &[String], name: &str, path: &str, cfg: &str) {
        let shown = format!("{path}::{name}");
        if name == "*" {
            let target = &target[..target.len().saturating_sub(1)];
            if let Some(inner) = self.read.absolute(module, target) {
                self.module(&inner, path);
            }
            return;
        }
        match self.place(module, target, 8) {
            Some((inner, None)) => self.module(&inner, &shown),
            Some((inner, Some(item))) => {
                let source = &self.read.0[&inner];
                let found = source
                    .items
                    .iter()
                    .find(|one| named(one).is_some_and(|(name, _)| name == item));
                if let Some(found) = found {
                    self.item(found, &(inner, item), &shown, cfg);
                }
            }
            None => {
                self.lines
                    .insert(format!("{cfg}pub use {} as {shown}", target.join("::")));
            }
        }
    }

    /// Where a path leads: a module, or an item in one. `None` when it leads out of the crate.
    fn place(
        &self,
        module: &Module,
        path: &[String],
        depth: u8,
    ) -> Option<(Module, Option<String>)> {
        let mut at = self.read.absolute(module, path)?;
        let mut inner = Module::new();
        while let Some(part) = at.first().cloned() {
            let next = below(&inner, &part);
            if !self.read.0.contains_key(&next) {
                break;
            }
            inner = next;
            at.remove(0);
        }
        let Some(name) = at.first() else {
            return Some((inner, None));
        };
        let source = &self.read.0[&inner];
        let is_defined = source
            .items
            .iter()
            .any(|item| named(item).is_some_and(|(found, _)| found == *name));
        if is_defined {
            return Some((inner, Some(name.clone())));
        }
        // By an import of that module.
        let import = source.items.iter().find_map(|item| match item {
            Item::Use(import) => leaves(&import.tree)
                .into_iter()
                .find(|(_, found)| found == name),
            _ => None,
        })?;
        match depth {
            0 => None,
            _ => self.place(&inner, &import.0, depth - 1),
        }
    }

    fn item(&mut self, item: &Item, place: &Place, path: &str, cfg: &str) {
        self.at.clone_from(&place.0);
        let (attributes, text) = match item {
            Item::Struct(item) => {
                let fields = match &item.fields {
                    Fields::Named(_) => " { .. }",
                    Fields::Unnamed(_) => "(..)",
                    Fields::Unit => "",
                };
                for (index, field) in item.fields.iter().enumerate() {
                    if is_public(&field.vis) && !is_hidden(&field.attrs) {
                        let name = field
                            .ident
                            .as_ref()
                            .map_or_else(|| index.to_string(), ToString::to_string);
                        self.add(
                            &field.attrs,
                            cfg,
                            &format!("{path}.{name}: {}", text(&field.ty)),
                        );
                    }
                }
                let generics = generics(&item.generics);
                (&item.attrs, format!("struct {path}{generics}{fields}"))
            }
            Item::Enum(item) => {
                for variant in &item.variants {
                    let mut inner = String::new();
                    for field in &variant.fields {
                        let name = field.ident.as_ref().map(|name| format!("{name}: "));
                        let _ = write!(inner, "{}{}, ", name.unwrap_or_default(), text(&field.ty));
                    }
                    let inner = inner.trim_end_matches(", ");
                    let inner = match &variant.fields {
                        Fields::Named(_) => format!(" {{ {inner} }}"),
                        Fields::Unnamed(_) => format!("({inner})"),
                        Fields::Unit => String::new(),
                    };
                    self.add(
                        &variant.attrs,
                        cfg,
                        &format!("{path}::{}{inner}", variant.ident),
                    );
                }
                (
                    &item.attrs,
                    format!("enum {path}{}", generics(&item.generics)),
                )
            }
            Item::Trait(item) => {
                for inner in &item.items {
                    let (attributes, shown) = match inner {
                        TraitItem::Fn(function) => {
                            let shown = signature(&function.sig, path);
                            let default = if function.default.is_some() {
                                " (provided)"
                            } else {
                                ""
                            };
                            (&function.attrs, format!("{shown}{default}"))
                        }
                        TraitItem::Type(inner) => (
                            &inner.attrs,
                            format!("type {path}::{}: {}", inner.ident, text(&inner.bounds)),
                        ),
                        TraitItem::Const(inner) => (
                            &inner.attrs,
                            format!("const {path}::{}: {}", inner.ident, text(&inner.ty)),
                        ),
                        _ => continue,
                    };
                    self.add(attributes, cfg, &shown);
                }
                let bounds = match item.supertraits.is_empty() {
                    true => String::new(),
                    false => format!(": {}", text(&item.supertraits)),
                };
                (
                    &item.attrs,
                    format!("trait {path}{}{bounds}", generics(&item.generics)),
                )
            }
            Item::Fn(item) => {
                let (before, _) = path.rsplit_once("::").unwrap_or_default();
                (&item.attrs, signature(&item.sig, before))
            }
            Item::Type(item) => (&item.attrs, format!("type {path} = {}", text(&item.ty))),
            Item::Const(item) => (&item.attrs, format!("const {path}: {}", text(&item.ty))),
            Item::Static(item) => (&item.attrs, format!("static {path}: {}", text(&item.ty))),
            _ => return,
        };
        self.add(attributes, cfg, &text);
        self.implementations(place, path, cfg);
    }

    /// Its methods and traits, wherever in the crate they stand.
    fn implementations(&mut self, place: &Place, path: &str, cfg: &str) {
        for (module, source) in &self.read.0 {
            for item in &source.items {
                let Item::Impl(block) = item else { continue };
                if is_left_out(&block.attrs)
                    || is_hidden(&block.attrs)
                    || self.of(module, block).as_ref() != Some(place)
                {
                    continue;
                }
                let cfg = format!("{cfg}{}", self::cfg(&block.attrs));
                self.at.clone_from(module);
                if let Some((implemented, _)) = &block.trait_ {
                    self.note(format!("{cfg}impl {} for {path}", text(implemented)));
                    continue;
                }
                for inner in &block.items {
                    match inner {
                        ImplItem::Fn(function) if is_public(&function.vis) => {
                            self.add(&function.attrs, &cfg, &signature(&function.sig, path));
                        }
                        ImplItem::Const(inner) if is_public(&inner.vis) => {
                            let shown =
                                format!("const {path}::{}: {}", inner.ident, text(&inner.ty));
                            self.add(&inner.attrs, &cfg, &shown);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// The type that a block is for.
    fn of(&self, module: &Module, block: &syn::ItemImpl) -> Option<Place> {
        let syn::Type::Path(path) = &*block.self_ty else {
            return None;
        };
        let parts: Vec<_> = path
            .path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        let from_here: Vec<_> = std::iter::once("self".to_owned())
            .chain(parts.clone())
            .collect();
        let found = self
            .place(module, &from_here, 8)
            .or_else(|| self.place(module, &parts, 8));
        found.and_then(|(module, name)| Some((module, name?)))
    }

    fn add(&mut self, attributes: &[syn::Attribute], cfg: &str, line: &str) {
        if is_hidden(attributes) || is_left_out(attributes) {
            return;
        }
        let cfg = format!("{cfg}{}", self::cfg(attributes));
        let open = match attributes
            .iter()
            .any(|one| one.path().is_ident("non_exhaustive"))
        {
            true => "#[non_exhaustive] ",
            false => "",
        };
        let mut derived = String::new();
        for attribute in attributes {
            if attribute.path().is_ident("derive")
                && let syn::Meta::List(list) = &attribute.meta
            {
                derived = format!(" [{}]", tidy(&list.tokens.to_string()));
            }
        }
        self.note(format!("{cfg}{open}{line}{derived}"));
    }

    fn note(&mut self, line: String) {
        let imports: Vec<_> = self.read.0[&self.at]
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Use(import) => Some(leaves(&import.tree)),
                _ => None,
            })
            .flatten()
            .filter(|(_, name)| name != "_")
            .collect();
        let is_ours = |path: &[String]| self.read.absolute(&self.at, path).is_some();
        // Paths as they are written: `a::B`, or `B` alone.
        let paths = line.split(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c));
        for path in paths.map(|path| path.trim_matches(':')) {
            let first = path.split("::").next().unwrap_or_default();
            let imported = imports.iter().find(|(_, name)| name == first);
            let whole = match imported {
                Some((import, _)) if !is_ours(import) => import.join("::"),
                None if path.contains("::") && !is_ours(&[first.to_owned()]) => path.to_owned(),
                _ => continue,
            };
            self.foreign.insert((whole, line.clone()));
        }
        self.lines.insert(line);
    }
}

fn below(module: &Module, name: &str) -> Module {
    [module.clone(), vec![name.to_owned()]].concat()
}

/// The name of an item, and who sees it.
fn named(item: &Item) -> Option<(String, &Visibility)> {
    let (name, visibility, attributes) = match item {
        Item::Struct(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Enum(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Trait(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Fn(item) => (&item.sig.ident, &item.vis, &item.attrs),
        Item::Type(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Const(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Static(item) => (&item.ident, &item.vis, &item.attrs),
        _ => return None,
    };
    (!is_left_out(attributes)).then(|| (name.to_string(), visibility))
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_hidden(attributes: &[syn::Attribute]) -> bool {
    is_left_out(attributes)
        || attributes.iter().any(|one| {
            one.path().is_ident("doc") && one.meta.to_token_stream().to_string().contains("hidden")
        })
}

/// The condition under which an item is compiled, if there is one.
fn cfg(attributes: &[syn::Attribute]) -> String {
    let mut found = String::new();
    for attribute in attributes {
        if let syn::Meta::List(list) = &attribute.meta
            && list.path.is_ident("cfg")
        {
            let _ = write!(
                found,
                "#[cfg({})] ",
                list.tokens.to_string().replace(" = ", "=")
            );
        }
    }
    found
}

fn signature(signature: &syn::Signature, path: &str) -> String {
    // Whether an argument is changed within is no part of it.
    let inputs = signature
        .inputs
        .iter()
        .map(|input| text(input).trim_start_matches("mut ").to_owned());
    let inputs: Vec<_> = inputs.collect();
    let output = match &signature.output {
        ReturnType::Default => String::new(),
        ReturnType::Type(_, output) => format!(" -> {}", text(output)),
    };
    let kind = [
        (signature.asyncness.is_some(), "async "),
        (signature.constness.is_some(), "const "),
    ];
    let kind: String = kind
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, word)| *word)
        .collect();
    format!(
        "{kind}fn {path}::{}{}({}){output}",
        signature.ident,
        generics(&signature.generics),
        inputs.join(", "),
    )
}

/// Parameters and bounds.
fn generics(generics: &syn::Generics) -> String {
    let clause = generics.where_clause.as_ref();
    let clause = clause.map(|clause| format!(" {}", text(clause)));
    let clause = clause.unwrap_or_default();
    format!("{}{}", text(generics), clause.trim_end_matches(','))
}

fn text(tokens: &impl ToTokens) -> String {
    tidy(&tokens.to_token_stream().to_string())
}

/// Tokens as people write them.
fn tidy(tokens: &str) -> String {
    let mut text = tokens.replace('\n', " ");
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" ::", "::"),
        (" <", "<"),
        ("< ", "<"),
        (" >", ">"),
        ("& ", "&"),
        (" ,", ","),
        ("( ", "("),
        (" )", ")"),
        (" (", "("),
        (" :", ":"),
        ("' ", "'"),
        (" ;", ";"),
        ("[ ", "["),
        (" ]", "]"),
        (" ?", "?"),
        ("? ", "?"),
        (",>", ">"),
        (",)", ")"),
        ("-> ", "-> "),
        ("->", " -> "),
        ("  ", " "),
        ("  ", " "),
    ] {
        text = text.replace(from, to);
    }
    text.trim().to_owned()
}

/// The public surface of a published library.
pub(crate) struct Shown {
    pub(crate) library: String,
    /// A line for each item.
    pub(crate) text: String,
    /// Names in lines that are imported from other crates: the path of the import, and the line.
    pub(crate) foreign: BTreeSet<(String, String)>,
}

/// The libraries that are published.
pub(crate) fn surfaces() -> Vec<Shown> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for folder in fs::read_dir(crates).unwrap() {
        let folder = folder.unwrap().path();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let src = folder.join("src");
        if !src.join("lib.rs").is_file() || manifest.contains("publish = false") {
            continue;
        }
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let mut surface = Surface {
            read: &Crate::read(&src),
            lines: BTreeSet::new(),
            at: Module::new(),
            foreign: BTreeSet::new(),
        };
        surface.module(&Module::new(), &name.replace('-', "_"));
        // By name, whatever stands before it.
        let mut lines: Vec<_> = surface.lines.into_iter().collect();
        let crate_name = name.replace('-', "_");
        lines.sort_by_key(|line| {
            let at = line.find(&format!("{crate_name}::")).unwrap_or(0);
            line[at..].to_owned()
        });
        found.push(Shown {
            library: name,
            text: lines.join("\n") + "\n",
            foreign: surface.foreign,
        });
    }
    found
}
