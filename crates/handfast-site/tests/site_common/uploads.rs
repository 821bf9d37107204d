//! Servers that store files, and what lies in a directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use handfast_files::Files;
use handfast_site::{Site, SiteTable, Sites, Uploads};

use super::{Fixture, Got, curl, setup, site};

/// A server that stores files in `up`, which it does not serve.
pub fn start(adjust: impl FnOnce(Uploads) -> Uploads) -> Fixture {
    site(|site, directory| {
        let up = directory.join("up");
        fs::create_dir_all(up.join("sub")).unwrap();
        site.with_uploads(adjust(Uploads::new(up).unwrap()))
    })
}

/// Everything in a directory, by its name in it: contents, links, directories.
pub fn tree(directory: &Path) -> BTreeMap<String, String> {
    fn walk(at: &Path, name: &str, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(at).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().unwrap();
            if kind.is_symlink() {
                let to = fs::read_link(entry.path()).unwrap();
                found.insert(name, format!("-> {}", to.display()));
            } else if kind.is_dir() {
                walk(&entry.path(), &name, found);
                found.insert(name, "directory".to_owned());
            } else if !kind.is_file() {
                found.insert(name, "neither".to_owned());
            } else {
                let content = fs::read(entry.path()).unwrap();
                found.insert(name, String::from_utf8_lossy(&content).into_owned());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(directory, "", &mut found);
    found
}

pub fn put(
    server: &Fixture,
    version: &str,
    path: &str,
    content: &str,
    more: &[&str],
) -> Option<Got> {
    let url = server.url(path);
    let file = server.directory.path().join("content");
    fs::write(&file, content).unwrap();
    let file = file.display().to_string();
    let mut args = vec![version, "-T", &file, &url];
    args.extend(more);
    curl(server, &args)
}

/// A server that serves what is stored in `public/in`, at `/in/`.
pub fn start_open(adjust: impl FnOnce(Site) -> Site) -> Fixture {
    Fixture::start(setup(), |directory| {
        let public = directory.join("public");
        fs::create_dir_all(public.join("in/sub")).unwrap();
        let uploads = Uploads::new(public.join("in"))
            .unwrap()
            .with_path("/in")
            .unwrap()
            .with_reading(true);
        assert_eq!(uploads.page(), "/in/?upload");
        let site = Site::new()
            .with_files(Files::new(&public).unwrap())
            .with_uploads(uploads);
        Sites::new(SiteTable::new().with_default(adjust(site)).unwrap())
    })
}

/// The arguments by which curl presents a certificate that the server verifies.
pub fn client_certificate(server: &Fixture) -> Vec<String> {
    let files = server
        .pki
        .client("ann")
        .write(server.directory.path(), "ann", &[]);
    let [certificate, key] =
        [files.chain_pem, files.key_pem].map(|path| path.display().to_string());
    vec!["--cert".to_owned(), certificate, "--key".to_owned(), key]
}
