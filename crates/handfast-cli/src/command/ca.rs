//! `handfast ca`: the local certificate authority from the command line.

mod common;
mod trust;

#[cfg(all(test, target_os = "linux"))]
pub(crate) use trust::{failure as trust_failure, not_found as trust_not_found};

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use handfast::{Explanation, escape_control, format_utc};
use handfast_ca::{
    Authority, CA_DAYS_DEFAULT, CaError, Change, Constraints, DAYS_DEFAULT, DAYS_MAX, InitOptions,
    IssueRequest, Issued, IssuedRecord, KeyType, Revocation, RevocationList, RevokeTarget,
    UnrecordedRevocation,
};
use serde_json::json;

use crate::advice::{self, Failed};
use crate::clock::unix_now;
use crate::data_dir;
use crate::failure::{Failure, code, plain};
use crate::output::{self, Palette, Tone};
use crate::passphrase::PassphraseSource;

use common::{identity, make_for_issue, print, row};

const EXAMPLES: &str = "\
Examples:
  handfast ca issue localhost 127.0.0.1 ::1      localhost.pem and localhost.key, for a server
  handfast ca issue --client alice@corp.example  a certificate for a person to show
  handfast ca init --permit corp.example         an authority for your own domain as well
  handfast ca trust                              browsers, curl and Java of this machine trust it
  handfast ca show                               where it is, what it may sign, what it issued
  handfast ca revoke localhost.pem               revoked; crl.pem updated";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directory of the local authority [default: HANDFAST_CA_DIR, or the platform's data directory]
    #[arg(long, global = true, value_name = "DIR")]
    ca_dir: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Create the authority if there is none; it can sign only for local names, private addresses and what --permit adds
    Init(InitArgs),
    /// Issue a certificate and its key, NAME.pem and NAME.key; creates the authority if there is none
    Issue(IssueArgs),
    /// Show the authority: its directory, the names it may sign for, the certificates it issued
    Show(ShowArgs),
    /// Revoke a certificate and write the revocation list
    Revoke(RevokeArgs),
    /// Renew the revocation list for another 30 days
    Crl,
    /// Put the authority into this machine's trust stores: the system's, Chromium's, Firefox' and Java's; creates it if there is none
    Trust(trust::Args),
    /// Remove the authority from this machine's trust stores
    Untrust(trust::Args),
}

#[derive(Debug, clap::Args)]
struct InitArgs {
    /// Also permit this domain and its subdomains, this address, or this network (repeatable)
    #[arg(long, value_name = "NAME")]
    permit: Vec<String>,
    /// Name of the authority
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Validity in days [default: 3650]
    #[arg(long, value_name = "DAYS")]
    days: Option<u32>,
}

#[derive(Debug, clap::Args)]
struct IssueArgs {
    /// Host names (also *.dev.localhost) and addresses; with --client, the name of the client
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Issue a client certificate
    #[arg(long)]
    client: bool,
    /// Validity in days
    #[arg(long, default_value_t = DAYS_DEFAULT, value_parser = days)]
    days: u32,
    /// Directory for the two files
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Key type; browsers do not accept ed25519 for servers
    #[arg(long, value_name = "TYPE", default_value_t, value_parser = key_type_parser())]
    key_type: KeyType,
    /// Encrypt the key file with a passphrase
    #[arg(long)]
    encrypt_key: bool,
    /// Source of the key's passphrase: env:VAR, file:PATH, fd:N, stdin, prompt, pass:TEXT
    #[arg(
        long,
        value_name = "SOURCE",
        requires = "encrypt_key",
        default_value = "prompt",
        hide_default_value = true
    )]
    pass: PassphraseSource,
    /// Replace NAME.pem and NAME.key if they exist
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct RevokeArgs {
    /// Certificate file, or serial number as shown by `ca show`
    #[arg(value_name = "SERIAL|FILE")]
    target: String,
    /// Revoke a serial number that is not in the ledger (if the ledger was lost)
    #[arg(long)]
    lost: bool,
}

fn days(text: &str) -> Result<u32, String> {
    let days = text.parse().ok();
    let days = days.filter(|days| (1..=DAYS_MAX).contains(days));
    days.ok_or_else(|| format!("expected 1 to {DAYS_MAX} days"))
}

fn key_type_parser() -> impl TypedValueParser<Value = KeyType> {
    PossibleValuesParser::new(KeyType::ALL.map(KeyType::as_str))
        .try_map(|text| text.parse::<KeyType>())
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let dir = data_dir::ca_dir(args.ca_dir)?;
    match args.action {
        Action::Init(args) => init(&dir, args)?,
        Action::Issue(args) => issue(&dir, args)?,
        Action::Show(args) => show(&dir, &args)?,
        Action::Revoke(args) => revoke(&dir, &args)?,
        Action::Crl => renew_crl(&dir)?,
        Action::Trust(args) => return trust::run(Change::Trust, &dir, &args),
        Action::Untrust(args) => return trust::run(Change::Untrust, &dir, &args),
    }
    Ok(ExitCode::SUCCESS)
}

fn init(dir: &Path, args: InitArgs) -> Result<(), Failure> {
    let mut options = InitOptions::default();
    options.common_name.clone_from(&args.name);
    options.permit.clone_from(&args.permit);
    options.days = args.days.unwrap_or(CA_DAYS_DEFAULT);
    let (authority, created) = match Authority::init(dir, &options) {
        Ok(authority) => (authority, true),
        // The authority matches: running it again changes nothing.
        Err(exists @ CaError::Exists { .. }) => {
            let authority = Authority::open(dir)?;
            if let Some(difference) = difference(&authority, &args) {
                let mut failure = Failure::from(exists);
                failure.explanation = failure.explanation.with_evidence(difference);
                return Err(failure);
            }
            (authority, false)
        }
        Err(error) => return Err(error.into()),
    };
    print(&identity(&authority, Palette::stdout()))?;
    output::note(match created {
        true => "Clients need its certificate file to trust it. Do not copy its key.",
        false => "This authority exists already; nothing was changed.",
    });
    Ok(())
}

/// How an existing authority differs from the requested one.
fn difference(authority: &Authority, args: &InitArgs) -> Option<String> {
    if let Some(name) = &args.name
        && name != authority.common_name()
    {
        return Some(format!(
            "its name is {}, not {}",
            escape_control(authority.common_name()),
            escape_control(name)
        ));
    }
    if let Some(missing) = authority.permitted().first_missing(&args.permit) {
        return Some(format!("it may not sign for {}", escape_control(missing)));
    }
    const DAY_SECS: i64 = 86_400;
    let days = (authority.not_after() - authority.not_before() + 1) / DAY_SECS;
    args.days
        .filter(|asked| i64::from(*asked) != days)
        .map(|asked| format!("it was created for {days} days, not for {asked}"))
}

fn issue(dir: &Path, args: IssueArgs) -> Result<(), Failure> {
    let pass = args.encrypt_key.then_some(&args.pass);
    let passphrase = pass.map(|source| {
        let read = source.read_new("the new key");
        read.map_err(|error| passphrase_failure(source, &error))
    });
    let passphrase = passphrase.transpose()?;
    let mut request = match args.client {
        true => IssueRequest::client(args.names),
        false => IssueRequest::server(args.names),
    };
    request.days = args.days;
    request.out = Some(args.out);
    request.key_type = args.key_type;
    request.passphrase = passphrase;
    request.overwrite = args.force;
    let explained = |error| issue_failure(error, args.client);
    let authority = match Authority::open(dir) {
        Err(CaError::Missing { .. }) => {
            // A request that a default authority cannot fulfil must not create it: it needs
            // `ca init --permit` first.
            request.check(&Constraints::local()).map_err(explained)?;
            make_for_issue(dir)?
        }
        opened => opened?,
    };
    let issued = authority.issue(&request).map_err(explained)?;
    if issued.shortened {
        output::warning("it expires with the authority, earlier than requested");
    }
    if !args.client && request.key_type == KeyType::Ed25519 {
        output::warning(
            "browsers refuse server certificates with Ed25519 keys: for them, issue it with \
             --key-type ecdsa-p256 (curl and handfast support both)",
        );
    }
    print(&issued_text(&issued, Palette::stdout()))?;
    output::note(issued_hint(&authority, &issued, args.client, pass));
    Ok(())
}

fn show(dir: &Path, args: &ShowArgs) -> Result<(), Failure> {
    let authority = Authority::open(dir)?;
    let records = authority.issued()?;
    let unrecorded = authority.revoked_unrecorded()?;
    let crl = authority.crl()?;
    if args.json {
        let document = as_json(&authority, &records, &unrecorded, &crl);
        let text = serde_json::to_string_pretty(&document);
        // Strings, numbers and lists: nothing that JSON cannot hold.
        return output::write_stdout((text.unwrap_or_default() + "\n").as_bytes());
    }
    let palette = Palette::stdout();
    let now = unix_now();
    let mut text = identity(&authority, palette);
    text.push_str(&row("revocations", &crl_words(&crl, now), palette));
    text.push('\n');
    if records.is_empty() {
        text.push_str("No certificates issued yet.\n");
    } else {
        text.push_str(&palette.paint(Tone::Heading, "Issued"));
        text.push('\n');
    }
    for record in &records {
        text.push_str(&record_text(record, now, palette));
    }
    if !unrecorded.is_empty() {
        let heading = "Revoked, not in the ledger";
        text.push_str(&palette.paint(Tone::Heading, heading));
        text.push('\n');
    }
    for one in &unrecorded {
        let names = escape_control(&one.names.join(", ")).into_owned();
        let state = format!("revoked {}", format_utc(one.revoked_at));
        let state = palette.paint(Tone::Bad, state);
        text.push_str(&format!("  {}  {names}\n    {state}\n", one.serial));
    }
    print(&text)
}

fn revoke(dir: &Path, args: &RevokeArgs) -> Result<(), Failure> {
    let authority = Authority::open(dir)?;
    let file = Path::new(&args.target);
    let names_file = file
        .extension()
        .is_some_and(|end| end == "pem" || end == "key");
    let target = if names_file || file.exists() || args.target.contains(['/', '\\']) {
        RevokeTarget::File(file.to_owned())
    } else if args.lost {
        RevokeTarget::LostSerial(args.target.clone())
    } else {
        RevokeTarget::Serial(args.target.clone())
    };
    let revocation = authority
        .revoke(&target)
        .map_err(|error| revoke_failure(error, file))?;
    print(&revocation_text(&revocation, Palette::stdout()))?;
    if !revocation.recorded {
        output::note("Its issue is not in the ledger; the list contains it nevertheless.");
    }
    let issued = authority.issued().unwrap_or_default();
    let record = issued.iter().find(|one| one.serial == revocation.serial);
    let list = output::shell_path(&revocation.list.file);
    output::note(match record {
        Some(record) if !record.client && data_dir::is_default(authority.dir()) => format!(
            "handfast's clients on this machine refuse it from now on; other clients need the new list (handfast: --crl {list})."
        ),
        Some(record) if !record.client => format!(
            "Clients refuse it once they have the new list (handfast: --crl {list})."
        ),
        _ => "`handfast serve --client-ca local` uses the list automatically; other servers need the new file."
            .to_owned(),
    });
    Ok(())
}

/// What to give, if what was given is none of it.
fn revoke_failure(error: CaError, given: &Path) -> Failure {
    let is_given = |path: &Path| path == given;
    let certificate = match &error {
        CaError::Malformed { path, .. } if is_given(path) => given.with_extension("pem"),
        CaError::File { path, source, .. }
            if is_given(path) && source.kind() == io::ErrorKind::NotFound =>
        {
            "NAME.pem".into()
        }
        CaError::InvalidSerial { text } => format!("{text}.pem").into(),
        _ => return error.into(),
    };
    let mut failure = Failure::from(error);
    failure.explanation.fix = vec![format!(
        "give the file of the certificate ({}), or the serial number from `handfast ca show`",
        escape_control(&certificate.display().to_string())
    )];
    failure
}

fn renew_crl(dir: &Path) -> Result<(), Failure> {
    let authority = Authority::open(dir)?;
    let crl = authority.renew_crl()?;
    let words = crl_words(&crl, unix_now());
    print(&row("revocations", &words, Palette::stdout()))
}

fn issued_text(issued: &Issued, palette: Palette) -> String {
    let mut text = String::new();
    for (label, value) in [
        ("certificate", issued.chain_file.display().to_string()),
        ("key", issued.key_file.display().to_string()),
        (
            "names",
            escape_control(&issued.names.join(", ")).into_owned(),
        ),
        ("valid until", format_utc(issued.not_after)),
        ("serial", issued.serial.clone()),
    ] {
        text.push_str(&row(label, &value, palette));
    }
    text
}

/// How to use it: each command can be typed as it is printed.
fn issued_hint(
    authority: &Authority,
    issued: &Issued,
    client: bool,
    pass: Option<&PassphraseSource>,
) -> String {
    let certificate = output::shell_path(&issued.chain_file);
    let key = output::shell_path(&issued.key_file);
    let ca = output::shell_path(&authority.certificate_file());
    let ca_dir = data_dir::option_for(authority.dir());
    let identity = format!("--cert {certificate} --key {key}");
    let pass = match pass {
        None => String::new(),
        // Those that can be read again.
        Some(source @ (PassphraseSource::Environment(_) | PassphraseSource::File(_))) => {
            format!(
                " --pass {}",
                output::shell_path(Path::new(&source.describe()))
            )
        }
        Some(_) => " --pass prompt".to_owned(),
    };
    if client {
        // Without the option, servers of the default authority are trusted.
        let trust = match ca_dir.is_empty() {
            true => String::new(),
            false => format!(" --cacert {ca}"),
        };
        format!(
            "Use it with: handfast get {identity}{pass}{trust} URL\n\
             or: curl --cacert {ca} {identity} URL\n\
             `handfast serve` requests it with: --client-ca local{ca_dir}"
        )
    } else {
        format!(
            "Serve with it: handfast serve {identity}{pass} DIR\n\
             Clients trust it with: --cacert {ca}\n\
             Browsers and other programs of this machine: handfast ca trust{ca_dir}"
        )
    }
}

fn record_text(record: &IssuedRecord, now: i64, palette: Palette) -> String {
    let (tone, state) = match record.revoked_at {
        Some(at) => (Tone::Bad, format!("revoked {}", format_utc(at))),
        None if now > record.not_after => (
            Tone::Faint,
            format!("expired {}", format_utc(record.not_after)),
        ),
        None => (
            Tone::Good,
            format!("valid until {}", format_utc(record.not_after)),
        ),
    };
    let purpose = if record.client { "client" } else { "server" };
    format!(
        "  {}  {purpose}  {}\n    {}, {}, {}\n",
        record.serial,
        escape_control(&record.names.join(", ")),
        palette.paint(tone, state),
        record.key_type,
        palette.paint(Tone::Faint, record.chain_file.display().to_string()),
    )
}

fn revocation_text(revocation: &Revocation, palette: Palette) -> String {
    let state = if revocation.already_revoked {
        format!("already, since {}", format_utc(revocation.revoked_at))
    } else {
        format_utc(revocation.revoked_at)
    };
    let mut text = String::new();
    for (label, value) in [
        ("serial", revocation.serial.clone()),
        (
            "names",
            escape_control(&revocation.names.join(", ")).into_owned(),
        ),
        ("revoked", state),
        ("list", crl_words(&revocation.list, revocation.revoked_at)),
    ] {
        text.push_str(&row(label, &value, palette));
    }
    text
}

fn crl_words(list: &RevocationList, now: i64) -> String {
    let until = format_utc(list.next_update);
    let state = if !list.complete {
        "incomplete: `handfast ca crl` repairs it".to_owned()
    } else if now > list.next_update {
        format!("outdated since {until}: `handfast ca crl` renews it")
    } else {
        format!("valid until {until}")
    };
    format!("{}, number {}, {state}", list.file.display(), list.number)
}

fn as_json(
    authority: &Authority,
    records: &[IssuedRecord],
    unrecorded: &[UnrecordedRevocation],
    list: &RevocationList,
) -> serde_json::Value {
    let permitted = authority.permitted();
    let networks: Vec<String> = permitted
        .networks()
        .iter()
        .map(ToString::to_string)
        .collect();
    json!({
        "directory": authority.dir().to_string_lossy(),
        "certificate_file": authority.certificate_file().to_string_lossy(),
        "common_name": authority.common_name(),
        "sha256": authority.sha256(),
        "not_before": format_utc(authority.not_before()),
        "not_after": format_utc(authority.not_after()),
        "permitted": { "domains": permitted.domains(), "networks": networks },
        "crl": {
            "file": list.file.to_string_lossy(),
            "number": list.number,
            "next_update": format_utc(list.next_update),
            "complete": list.complete,
        },
        "issued": records.iter().map(record_json).collect::<Vec<_>>(),
        "revoked_unrecorded": unrecorded
            .iter()
            .map(|one| json!({
                "serial": one.serial,
                "names": one.names,
                "revoked_at": format_utc(one.revoked_at),
            }))
            .collect::<Vec<_>>(),
    })
}

fn record_json(record: &IssuedRecord) -> serde_json::Value {
    json!({
        "serial": record.serial,
        "names": record.names,
        "purpose": if record.client { "client" } else { "server" },
        "key_type": record.key_type.as_str(),
        "sha256": record.sha256,
        "issued_at": format_utc(record.issued_at),
        "not_before": format_utc(record.not_before),
        "not_after": format_utc(record.not_after),
        "revoked_at": record.revoked_at.map(format_utc),
        "certificate_file": record.chain_file.to_string_lossy(),
        "key_file": record.key_file.to_string_lossy(),
    })
}

fn issue_failure(error: CaError, client: bool) -> Failure {
    let is_dotted = matches!(&error, CaError::NotPermitted { name, .. } if name.contains('.'));
    let mut failure = Failure::from(error);
    if client && is_dotted {
        failure.explanation = failure.explanation.with_fix(
            "a client's name with a dot is treated as a host name: for a user, write it \
             without the dot or give the mail address",
        );
    }
    failure
}

fn passphrase_failure(source: &PassphraseSource, error: &io::Error) -> Failure {
    Failure::new(
        code::OTHER,
        Explanation::new("passphrase-unavailable", "no passphrase for the new key")
            .with_evidence(format!("{}: {}", source.describe(), plain(error)))
            .with_fix("give one with --pass env:VAR, file:PATH, fd:N or stdin, or at a terminal"),
    )
}

impl From<CaError> for Failure {
    fn from(error: CaError) -> Self {
        let code = match &error {
            CaError::InvalidName { .. }
            | CaError::InvalidPermit { .. }
            | CaError::InvalidDays { .. }
            | CaError::InvalidSerial { .. }
            | CaError::NoName
            | CaError::SeveralSubjects { .. } => code::USAGE,
            CaError::File { doing: "read", .. } => code::READ,
            CaError::File { .. } | CaError::FileExists { .. } => code::WRITE,
            _ => code::OTHER,
        };
        let mut explanation = Explanation::new(error.id(), error.to_string());
        match &error {
            CaError::NotPermitted { permitted, .. } => {
                explanation =
                    explanation.with_evidence(format!("it may sign for {}", permitted.join(", ")));
            }
            CaError::Expired { not_after } => {
                explanation = explanation.with_evidence(format!("at {}", format_utc(*not_after)));
            }
            CaError::File { source, .. } => {
                explanation = explanation.with_evidence(plain(source));
            }
            _ => {}
        }
        if let Some(fix) = error.fix() {
            explanation = explanation.with_fix(fix);
        }
        Self::new(
            code,
            advice::with_options(explanation, Failed::Authority(&error)),
        )
    }
}
