//! Java's store, by `keytool`: the file `cacerts` of one Java, that of `JAVA_HOME` or of the `java` that a shell runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::StoreError;
use super::kind::{Change, StoreKind};
use super::step::{Step, output};
use super::store::{Anchor, Found, Outcome, Places, Plan, Store, StoreReport, needs_root};
use super::tool::{self, Tool, ToolProblem};

/// keytool takes a second, as every Java program; the rest is for small and loaded machines.
const LIMIT: Duration = Duration::from_secs(60);

/// The password of every Java's store, unless it was changed. It protects no secret: the store holds certificates.
const PASSWORD: &str = "changeit";

/// In a runtime, and in the runtime inside a development kit (Java 8).
const STORES: [&str; 2] = ["lib/security/cacerts", "jre/lib/security/cacerts"];

/// Files beneath these directories are made from the system's store: what is put into them by hand is lost with the next update.
const MADE: [&str; 3] = [
    "etc/pki/ca-trust/extracted",
    "etc/ca-certificates/extracted",
    "var/lib/ca-certificates",
];

/// Debian's, which every Java of a package has. A hook of the system's store puts certificates into it, and leaves them there when they are
/// removed from that store.
const SHARED: &str = "etc/ssl/certs/java/cacerts";

const OWNER: &str = "Java";

/// The store of one Java; when certificates are to be removed, Debian's shared one, too. `follows`: the system's store is changed as
/// well, so one that is made from it needs nothing.
pub(super) fn find(places: &Places, change: Change, follows: bool) -> Found {
    let (home, named) = match &places.java_home {
        Some(home) => (home.clone(), "JAVA_HOME"),
        None => {
            let Some(java) = tool::find(&places.search_path, "java") else {
                let reason = "JAVA_HOME is not set, and there is no java on the PATH";
                return Err(StoreReport::not_found(StoreKind::Java, OWNER, reason));
            };
            (home_of(&java), "the java on the PATH")
        }
    };
    let store = STORES
        .iter()
        .find_map(|store| home.join(store).canonicalize().ok());
    let Some(store) = store else {
        let reason = format!("{named} is {}, which has no {}", home.display(), STORES[0]);
        return Err(StoreReport::not_found(StoreKind::Java, OWNER, reason));
    };
    let is_made = MADE.iter().any(|made| {
        let made = places.root.join(made);
        store.starts_with(made.canonicalize().unwrap_or(made))
    });
    if is_made && follows {
        return Err(StoreReport::without_store(
            StoreKind::Java,
            OWNER,
            Some(store),
            Outcome::FollowsSystem,
        ));
    }
    if is_made {
        let error = StoreError::MadeFromSystem {
            path: store.clone(),
        };
        return Err(StoreReport::failed(StoreKind::Java, OWNER, store, error));
    }
    // A runtime inside of a development kit may leave it to the kit.
    let directories = [home.join("bin"), home.join("../bin")];
    let Some(keytool) = tool::find(&directories, "keytool") else {
        let error = StoreError::ToolMissing {
            tool: "keytool",
            path: store.clone(),
            install: "a whole Java runtime (Debian: default-jre-headless)".to_owned(),
        };
        return Err(StoreReport::failed(StoreKind::Java, OWNER, store, error));
    };
    let shared = places.root.join(SHARED).canonicalize().ok();
    let shared = shared.filter(|shared| change == Change::Untrust && *shared != store);
    let stores = [Some(store), shared].into_iter().flatten();
    let stores = stores.map(|store| {
        let java: Box<dyn Store> = Box::new(Java {
            store,
            keytool: keytool.clone(),
        });
        java
    });
    Ok(stores.collect())
}

/// The home of a `java`, whose file is `HOME/bin/java`. Where a script stands for it, it is asked.
fn home_of(java: &Path) -> PathBuf {
    let file = java.canonicalize().unwrap_or_else(|_| java.to_owned());
    let home = file.parent().and_then(Path::parent).unwrap_or(&file);
    if STORES.iter().any(|store| home.join(store).exists()) {
        return home.to_owned();
    }
    let ask = Tool::new(java, LIMIT).args(["-XshowSettings:properties", "-version"]);
    String::from_utf8_lossy(&ask.run().stderr)
        .lines()
        .find_map(|line| line.trim().strip_prefix("java.home = "))
        .map_or_else(|| home.to_owned(), PathBuf::from)
}

#[derive(Debug)]
struct Java {
    store: PathBuf,
    keytool: PathBuf,
}

impl Java {
    fn keytool(&self, command: &str) -> Tool {
        Tool::new(&self.keytool, LIMIT).args([
            command,
            "-J-Duser.language=en",
            "-storepass",
            PASSWORD,
        ])
    }
}

impl Store for Java {
    fn kind(&self) -> StoreKind {
        StoreKind::Java
    }

    fn owner(&self) -> String {
        OWNER.to_owned()
    }

    fn path(&self) -> PathBuf {
        self.store.clone()
    }

    fn plan(&self, change: Change, anchor: &Anchor) -> Result<Plan, StoreError> {
        let list = self.keytool("-list").args(["-rfc", "-keystore"]);
        let list = output(&list.arg(&self.store))?;
        let entries = parse(&String::from_utf8_lossy(&list), anchor);
        let of_name = entries.iter().find(|entry| entry.alias == anchor.name);
        if of_name.is_some_and(|entry| !entry.is_own) {
            return Err(StoreError::AnotherCertificate {
                path: self.store.clone(),
                name: anchor.name.clone(),
            });
        }
        let own: Vec<_> = entries.iter().filter(|entry| entry.is_own).collect();
        // The last argument is the copy.
        let tools = match change {
            Change::Trust if own.is_empty() => vec![
                self.keytool("-importcert")
                    .args(["-noprompt", "-alias", &anchor.name, "-file"])
                    .arg(&anchor.file),
            ],
            Change::Trust => Vec::new(),
            Change::Untrust => own
                .iter()
                .map(|entry| self.keytool("-delete").args(["-alias", &entry.alias]))
                .collect(),
        };
        let steps: Vec<_> = tools
            .into_iter()
            .map(|tool| Step::RunOnCopy {
                tool: tool.arg("-keystore"),
                path: self.store.clone(),
            })
            .collect();
        let directory = self.store.parent().unwrap_or_else(|| Path::new("/"));
        let needs_root = !steps.is_empty() && needs_root(directory)?;
        Ok(Plan {
            steps,
            undo: Vec::new(),
            needs_root,
        })
    }

    fn interpret(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Tool {
                problem: ToolProblem::Ended { .. },
                message,
                ..
            } if message.contains("password was incorrect") => StoreError::Locked {
                path: self.store.clone(),
            },
            error => error,
        }
    }
}

#[derive(Debug)]
struct Entry {
    alias: String,
    /// It holds the authority's certificate, and no other.
    is_own: bool,
}

/// What `keytool -list -rfc` says: for each entry a line with the alias, and its certificates in PEM form.
fn parse(list: &str, anchor: &Anchor) -> Vec<Entry> {
    let entries = list.split("Alias name: ").skip(1);
    let entries = entries.filter_map(|entry| {
        let (alias, rest) = entry.split_once('\n')?;
        Some(Entry {
            alias: alias.trim().to_owned(),
            is_own: anchor.is_alone_in(rest.as_bytes()),
        })
    });
    entries.collect()
}
