//! What a running server cannot change.

use super::types::Settings;

/// The keys whose change takes effect with the next start only.
pub(in crate::command::serve) fn needs_restart(
    before: &Settings,
    now: &Settings,
) -> Vec<&'static str> {
    // Whatever is added to the settings is considered here, too.
    let Settings {
        listeners: _,
        sites: _,
        certificates: _,
        versions: _,
        key_log: _,
        ca_dir: _,
        limits,
        // Sites have them, too.
        file_limits: _,
        wrong_passwords_max: _,
        threads,
        certificate_names: _,
        user,
        sandbox,
        grace: _,
        close,
        // Opened again, and replaced.
        log: _,
        status,
        takeover,
    } = now;
    let changed = [
        ("[limits]", *limits != before.limits),
        ("threads", *threads != before.threads),
        ("user", *user != before.user),
        ("sandbox", *sandbox != before.sandbox),
        ("close", *close != before.close),
        ("[status]", *status != before.status),
        ("takeover", *takeover != before.takeover),
    ];
    let changed = changed.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(key, _)| key).collect()
}
