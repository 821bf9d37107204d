//! What a site answers besides plain files: the tables of the file, with paths resolved, and options in their place.

use std::path::PathBuf;

use super::types::Answers;
use crate::command::serve::args::AnswersArgs;
use crate::command::serve::config::answers::{
    BasicAuthTable, CorsTable, ErrorPageTable, HstsTable, RuleTable, UploadTable,
};
use crate::command::serve::config::file::SiteTable;
use crate::command::serve::config::{At, FilePath};

/// Where an application's page is, with `--spa`.
const FALLBACK: &str = "/index.html";

/// The tables of a site; `path` resolves the paths in them.
pub(super) fn of_table(table: &SiteTable, path: impl Fn(&At<FilePath>) -> At<PathBuf>) -> Answers {
    let resolved = |file: &At<FilePath>| {
        let resolved = path(file);
        At {
            value: FilePath(resolved.value),
            place: resolved.place,
        }
    };
    let mut answers = Answers {
        fallback: table.fallback.clone(),
        cors: table.cors.clone(),
        hsts: table.hsts.clone(),
        error_page: table.error_page.clone(),
        rule: table.rule.clone(),
        guard: table.guard.clone(),
        basic_auth: table.basic_auth.clone(),
        upload: table.upload.clone(),
    };
    for table in &mut answers.basic_auth {
        table.value.file = resolved(&table.value.file);
    }
    for table in &mut answers.upload {
        table.value.directory = resolved(&table.value.directory);
    }
    answers
}

/// Puts them into a table, with paths made absolute by `path`.
pub(super) fn write(answers: &Answers, table: &mut SiteTable, path: impl Fn(&PathBuf) -> FilePath) {
    let answers = answers.clone();
    table.fallback = answers.fallback;
    table.cors = answers.cors;
    table.hsts = answers.hsts;
    table.error_page = answers.error_page;
    table.rule = answers.rule;
    table.guard = answers.guard;
    table.basic_auth = answers.basic_auth;
    table.upload = answers.upload;
    for one in &mut table.basic_auth {
        one.value.file.value = path(&one.value.file.value.0);
    }
    for one in &mut table.upload {
        one.value.directory.value = path(&one.value.directory.value.0);
    }
}

/// The options, as tables of the one site that they describe.
pub(super) fn of_options(args: &AnswersArgs, table: &mut SiteTable) {
    if args.spa {
        table.fallback = Some(At::flag("--spa", FALLBACK.to_owned()));
    }
    if !args.cors.is_empty() {
        let cors = CorsTable {
            origins: At::flag("--cors", args.cors.clone()),
            methods: None,
            headers: None,
            exposed_headers: None,
            max_age: None,
            credentials: None,
        };
        table.cors = Some(At::flag("--cors", cors));
    }
    if let Some(max_age) = args.hsts {
        let hsts = HstsTable {
            max_age: At::flag("--hsts", max_age),
            subdomains: None,
            preload: None,
        };
        table.hsts = Some(At::flag("--hsts", hsts));
    }
    if let Some(file) = &args.not_found {
        let page = ErrorPageTable {
            status: Some(At::flag("--404", 404)),
            file: At::flag("--404", file.clone()),
        };
        table.error_page.push(At::flag("--404", page));
    }
    if !args.add_header.is_empty() {
        let field = |field: &String| At::flag("--add-header", field.clone());
        let rule = RuleTable {
            path: At::flag("--add-header", "/**".to_owned()),
            redirect: None,
            rewrite: None,
            status: None,
            headers: Some(args.add_header.iter().map(field).collect()),
            add_headers: None,
            remove_headers: None,
            cache_control: None,
        };
        table.rule.push(At::flag("--add-header", rule));
    }
    for user in &args.basic_auth {
        let one = BasicAuthTable {
            path: None,
            file: At::flag("--basic-auth", FilePath(user.file.clone())),
            user: Some(At::flag("--basic-auth", user.name.clone())),
            realm: None,
        };
        table.basic_auth.push(At::flag("--basic-auth", one));
    }
    if let Some(directory) = &args.upload {
        let upload = UploadTable {
            directory: At::flag("--upload", FilePath(directory.clone())),
            path: None,
            replace: None,
            file_bytes_max: None,
            request_bytes_max: None,
            files_max: None,
            uploads_max: None,
            free_bytes_min: None,
            time_max: None,
        };
        table.upload.push(At::flag("--upload", upload));
    }
}
