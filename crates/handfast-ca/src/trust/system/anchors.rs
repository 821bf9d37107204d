//! Stores of Linux distributions: a directory of certificates, and a program that makes bundles of them.

use std::fs;
use std::path::PathBuf;

use pkcs8::der::pem::LineEnding;

use crate::error::CaError;
use crate::trust::error::StoreError;
use crate::trust::kind::{Change, StoreKind};
use crate::trust::step::Step;
use crate::trust::store::{
    Anchor, Found, Places, Plan, SYSTEM_LIMIT, Store, StoreReport, needs_root,
};
use crate::trust::tool::{self, Tool};

/// A certificate has a few thousand bytes. Larger files hold something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Administrators put a handful of certificates there. So many files are not theirs.
const FILES_MAX: usize = 10_000;

/// Only the system's own directories: these programs run as root.
const PROGRAMS: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];

/// What a family of distributions does. Paths are beneath the root.
#[derive(Debug)]
struct Layout {
    owner: &'static str,
    directory: &'static str,
    extension: &'static str,
    program: &'static str,
    trust: &'static [&'static str],
    /// `-f` is `--fresh`: without it, Debian's program leaves the link of a certificate that is gone in `/etc/ssl/certs`.
    untrust: &'static [&'static str],
    /// What the program makes, and clients read.
    bundle: &'static str,
}

/// The first whose directory exists counts.
const LAYOUTS: [Layout; 5] = [
    Layout {
        owner: "Fedora",
        directory: "etc/pki/ca-trust/source/anchors",
        extension: "pem",
        program: "update-ca-trust",
        trust: &["extract"],
        untrust: &["extract"],
        bundle: "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    },
    Layout {
        owner: "Debian",
        directory: "usr/local/share/ca-certificates",
        extension: "crt",
        program: "update-ca-certificates",
        trust: &[],
        untrust: &["-f"],
        bundle: "etc/ssl/certs/ca-certificates.crt",
    },
    Layout {
        owner: "Arch",
        directory: "etc/ca-certificates/trust-source/anchors",
        extension: "crt",
        program: "trust",
        trust: &["extract-compat"],
        untrust: &["extract-compat"],
        bundle: "etc/ca-certificates/extracted/tls-ca-bundle.pem",
    },
    Layout {
        owner: "openSUSE",
        directory: "etc/pki/trust/anchors",
        extension: "pem",
        program: "update-ca-certificates",
        trust: &[],
        untrust: &["-f"],
        bundle: "var/lib/ca-certificates/ca-bundle.pem",
    },
    Layout {
        owner: "openSUSE",
        directory: "usr/share/pki/trust/anchors",
        extension: "pem",
        program: "update-ca-certificates",
        trust: &[],
        untrust: &["-f"],
        bundle: "var/lib/ca-certificates/ca-bundle.pem",
    },
];

pub(super) fn find(places: &Places) -> Found {
    let Some(layout) = LAYOUTS
        .iter()
        .find(|layout| places.root.join(layout.directory).is_dir())
    else {
        let looked: Vec<_> = LAYOUTS.iter().map(|layout| layout.directory).collect();
        return Err(StoreReport::not_found(
            StoreKind::System,
            "system",
            format!(
                "none of these directories: /{} (Debian: apt-get install ca-certificates)",
                looked.join(", /")
            ),
        ));
    };
    let directory = places.root.join(layout.directory);
    let programs = PROGRAMS.map(|directory| places.root.join(directory));
    let Some(program) = tool::find(&programs, layout.program) else {
        let error = StoreError::ToolMissing {
            tool: layout.program,
            path: directory.clone(),
            install: "the package ca-certificates".to_owned(),
        };
        return Err(StoreReport::failed(
            StoreKind::System,
            layout.owner,
            directory,
            error,
        ));
    };
    Ok(vec![Box::new(Anchors {
        layout,
        bundle: places.root.join(layout.bundle),
        directory,
        program,
    })])
}

#[derive(Debug)]
struct Anchors {
    layout: &'static Layout,
    directory: PathBuf,
    bundle: PathBuf,
    program: PathBuf,
}

impl Store for Anchors {
    fn kind(&self) -> StoreKind {
        StoreKind::System
    }

    fn owner(&self) -> String {
        self.layout.owner.to_owned()
    }

    fn path(&self) -> PathBuf {
        self.directory.clone()
    }

    fn plan(&self, change: Change, anchor: &Anchor) -> Result<Plan, StoreError> {
        let is_in_bundle = fs::read(&self.bundle).is_ok_and(|bundle| anchor.is_in(&bundle));
        let own = self.files_of(anchor)?;
        let mut plan = Plan::default();
        let update = match change {
            Change::Trust if is_in_bundle => return Ok(plan),
            Change::Trust => {
                if own.is_empty() {
                    let path = self.file_for(anchor)?;
                    plan.undo.push(Step::Remove { path: path.clone() });
                    plan.steps.push(Step::Write {
                        path,
                        bytes: pem(anchor)?,
                    });
                }
                self.layout.trust
            }
            Change::Untrust if own.is_empty() && !is_in_bundle => return Ok(plan),
            Change::Untrust => {
                let remove = own.into_iter().map(|path| Step::Remove { path });
                plan.steps.extend(remove);
                self.layout.untrust
            }
        };
        let update = Tool::new(&self.program, SYSTEM_LIMIT).args(update);
        plan.steps.push(Step::Run(update));
        plan.needs_root = needs_root(&self.directory)?;
        Ok(plan)
    }
}

impl Anchors {
    /// The files that hold this certificate and no other, whatever their names.
    fn files_of(&self, anchor: &Anchor) -> Result<Vec<PathBuf>, StoreError> {
        let failed = |error| StoreError::File(CaError::file("read", &self.directory)(error));
        let mut own = Vec::new();
        for entry in fs::read_dir(&self.directory)
            .map_err(failed)?
            .take(FILES_MAX)
        {
            let path = entry.map_err(failed)?.path();
            let is_small = fs::metadata(&path)
                .is_ok_and(|found| found.is_file() && found.len() <= FILE_BYTES_MAX);
            if is_small && fs::read(&path).is_ok_and(|pem| anchor.is_alone_in(&pem)) {
                own.push(path);
            }
        }
        own.sort();
        Ok(own)
    }

    /// Where the certificate is to be written.
    fn file_for(&self, anchor: &Anchor) -> Result<PathBuf, StoreError> {
        let name = format!("{}.{}", anchor.name, self.layout.extension);
        let path = self.directory.join(&name);
        match fs::symlink_metadata(&path) {
            Ok(_) => Err(StoreError::AnotherCertificate {
                path: self.directory.clone(),
                name,
            }),
            Err(_) => Ok(path),
        }
    }
}

/// The certificate alone, whatever else the authority's file may hold.
fn pem(anchor: &Anchor) -> Result<Vec<u8>, StoreError> {
    pkcs8::der::pem::encode_string("CERTIFICATE", LineEnding::LF, &anchor.der)
        .map(String::into_bytes)
        .map_err(|error| StoreError::File(CaError::crypto("encode the certificate")(error)))
}
