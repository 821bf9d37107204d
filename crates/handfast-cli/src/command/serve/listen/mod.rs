//! What is listened on, from settings to sockets, and how it changes while the server runs.
//!
//! A change is made in two steps. What is to be listened on and is not yet is opened first: if that is not possible, nothing changes at
//! all. What cannot fail any more comes when everything else is in place: the new listeners are served, others redirect or do so
//! no more, and those that are gone are closed, while connections that they have accepted live on.
//!
//! ```text
//! settings -> wanted -> beside what is served -> Plan: opened here, or by a helper -> in place
//! ```

#[cfg(target_os = "linux")]
pub(super) mod descriptors;
#[cfg(target_os = "linux")]
mod helper;
mod open;
mod opener;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::rc::Rc;

use handfast::escape_control;
use handfast_https::server::{BindError, Listener, ListenerId, Redirect, Running};

#[cfg(target_os = "linux")]
pub(crate) use self::helper::{Args as HelperArgs, run as run_helper};
use self::open::is_unavailable;
pub(super) use self::opener::Opener;
use super::args::Args;
use super::bind::{self, Listens};
use super::config::choices::Kind;
use super::config::{Address, At, Problem};
use super::inherited::Inherited;
#[cfg(target_os = "linux")]
use super::once::is_pipe;
use super::settings::Settings;
use super::takeover::{self, Claim, Keys};
use crate::failure::Failure;
use crate::output;

/// Something to listen on: one address, not several that are written as one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    address: At<Address>,
    /// Another address of the same name serves as well.
    is_optional: bool,
    /// The port of HTTPS to which plain HTTP is redirected.
    redirect: Option<u16>,
}

impl Wanted {
    fn redirect(&self) -> Option<Redirect> {
        self.redirect.map(Redirect::to_port)
    }

    fn adjust(&self, listener: Listener) -> Listener {
        match self.redirect() {
            Some(redirect) => listener.redirecting(redirect),
            None => listener,
        }
    }
}

/// Listeners for HTTPS, then those that redirect.
fn wanted(settings: &Settings) -> Vec<Wanted> {
    let listeners = || settings.listeners.iter();
    let https = listeners().find(|one| one.kind == Kind::Https);
    let port = https.and_then(|https| https.address.value.port());
    let port = port.unwrap_or(443);
    let mut wanted = Vec::new();
    for kind in [Kind::Https, Kind::Redirect] {
        for one in listeners().filter(|one| one.kind == kind) {
            let parts = one.address.value.parts().into_iter().enumerate();
            wanted.extend(parts.map(|(number, part)| Wanted {
                address: one.address.with(part),
                is_optional: number > 0,
                redirect: (kind == Kind::Redirect).then_some(port),
            }));
        }
    }
    wanted
}

/// What a server begins with.
pub(super) struct Beginning {
    pub(super) listeners: Vec<Listener>,
    /// The first of them that redirects.
    pub(super) redirects_from: usize,
    /// How many listeners each is.
    pub(super) counts: Vec<(Wanted, usize)>,
}

impl Beginning {
    /// Takes what the process before this one and systemd have handed over. Nothing is bound yet.
    pub(super) fn of(settings: &Settings, claim: &mut Claim) -> Result<Self, Failure> {
        let wanted = wanted(settings);
        let mut inherited = Inherited::from_environment()?;
        // Those that ask for a name come before those that take what is left.
        let mut taken: HashMap<usize, Vec<Listener>> = HashMap::new();
        for by_name in [true, false] {
            for (index, one) in wanted.iter().enumerate() {
                if let Address::Systemd(name) = &one.address.value
                    && name.is_some() == by_name
                {
                    let key = takeover::key(&one.address.value);
                    let mut these: Vec<_> = std::iter::from_fn(|| claim.take(&key)).collect();
                    if these.is_empty() {
                        these = inherited.take(name.as_deref())?;
                    }
                    taken.insert(index, these);
                }
            }
        }
        for name in inherited.unused() {
            output::warning(format!(
                "nothing listens on the socket \"{}\" that systemd hands over: add --listen systemd",
                escape_control(name)
            ));
        }
        let mut beginning = Self {
            listeners: Vec::new(),
            redirects_from: 0,
            counts: Vec::new(),
        };
        let keys: Vec<_> = wanted
            .iter()
            .map(|one| takeover::key(&one.address.value))
            .collect();
        for (index, one) in wanted.into_iter().enumerate() {
            let these = match &one.address.value {
                Address::Systemd(_) => taken.remove(&index).unwrap_or_default(),
                address if one.is_optional && !open::is_here(address) => Vec::new(),
                address => {
                    let given = claim.take(&takeover::key(address));
                    let unopened = || match claim.gives_way_to(address, &keys) {
                        true => open::unopened(address).map(Listener::beside_own),
                        false => open::unopened(address),
                    };
                    given.or_else(unopened).into_iter().collect()
                }
            };
            if one.redirect.is_none() {
                beginning.redirects_from += these.len();
            }
            beginning.counts.push((one.clone(), these.len()));
            let these = these.into_iter().map(|listener| one.adjust(listener));
            beginning.listeners.extend(these);
        }
        Ok(beginning)
    }
}

/// Whether this user may listen there at all: to be known before anything is made for that, such as a local authority.
///
/// # Errors
/// The first address that it may not have.
pub(super) fn check_permitted(settings: &Settings) -> Result<(), Box<Problem>> {
    // Of a running server it gets its sockets.
    if settings.takeover.is_some() {
        return Ok(());
    }
    for one in wanted(settings) {
        let Address::Ip(address) = &one.address.value else {
            continue;
        };
        if let Some(source) = open::is_refused(address) {
            let error = BindError::new(Some((*address).into()), source);
            let place = &one.address.place;
            let failure = bind::failure(&error, Listens::Sites, place);
            return Err(Box::new(Problem::of(place, failure)));
        }
    }
    Ok(())
}

/// What can open further listeners later, if the configuration names some. Called before the process gives up its rights.
pub(super) fn opener(args: &Args, settings: &Settings, threads: usize) -> Opener {
    #[cfg(target_os = "linux")]
    if let Some(config) = &args.configuration.config
        && (settings.sandbox || settings.user.is_some())
        // Otherwise nothing can change.
        && !is_pipe(config)
        && args.listen.is_empty()
        && args.port.is_none()
    {
        match helper::Helper::start(config, threads, settings.sandbox) {
            Ok(helper) => return Opener::Helper(helper),
            Err(error) => output::warning(format!(
                "listeners that are added to the configuration take effect with the next start: the process that would open them does not start: {error}"
            )),
        }
    }
    let _ = (args, settings);
    Opener::Here(threads)
}

/// The listeners of a running server.
pub(super) struct Listeners {
    served: Vec<Served>,
    opener: Opener,
    keys: Keys,
}

/// Something that is listened on.
struct Served {
    wanted: Wanted,
    /// None if it is optional and this machine does not have it.
    ids: Vec<ListenerId>,
}

/// A change that can be made.
#[derive(Default)]
pub(super) struct Plan {
    /// By their places among those that are served.
    kept: Vec<(usize, Wanted)>,
    opened: Vec<(Wanted, Vec<Listener>)>,
    closed: Vec<usize>,
}

/// What has been changed, and what could not be.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Listeners {
    /// Those with which the server began.
    pub(super) fn new(began_with: Vec<(Wanted, usize)>, running: &Running, opener: Opener) -> Self {
        let mut ids = running.listeners().into_iter().map(|one| one.id);
        let served = began_with.into_iter().map(|(wanted, count)| Served {
            wanted,
            ids: ids.by_ref().take(count).collect(),
        });
        let listeners = Self {
            served: served.collect(),
            opener,
            keys: Keys::default(),
        };
        listeners.note_keys();
        listeners
    }

    /// By what a process that takes over finds them, also after changes.
    pub(super) fn keys(&self) -> Keys {
        Rc::clone(&self.keys)
    }

    fn note_keys(&self) {
        let served = self.served.iter();
        let keys = served.flat_map(|one| {
            let key = takeover::key(&one.wanted.address.value);
            one.ids.iter().map(move |id| (*id, key.clone()))
        });
        self.keys.replace(keys.collect());
    }

    /// Opens what these settings listen on and the server does not yet.
    ///
    /// # Errors
    /// Everything that cannot be listened on. What was opened is closed again.
    pub(super) async fn open(&mut self, settings: &Settings) -> Result<Plan, Vec<Problem>> {
        let mut plan = Plan::default();
        let mut left: Vec<usize> = (0..self.served.len()).collect();
        let mut missing = Vec::new();
        for one in wanted(settings) {
            let is_same = |at: &usize| {
                let served = self.served.get(*at);
                served.is_some_and(|served| served.wanted.address == one.address)
            };
            match left.iter().position(is_same) {
                Some(position) => plan.kept.push((left.remove(position), one)),
                None => missing.push(one),
            }
        }
        plan.closed = left;
        let mut problems = Vec::new();
        for one in missing {
            if let Address::Systemd(_) = one.address.value {
                let what = format!(
                    "{}: sockets from systemd are taken at the start only",
                    one.address.value
                );
                let problem = Problem::new(one.address.place.clone(), what);
                problems.push(problem.with_fix("restart the server"));
                continue;
            }
            let is_beside = self.takes_over(&one, &plan.closed);
            match self.opener.open(&one.address.value, is_beside).await {
                Ok(listeners) => plan.opened.push((one, listeners)),
                Err(error) if one.is_optional && is_unavailable(&error.source) => {
                    plan.opened.push((one, Vec::new()));
                }
                Err(error) => {
                    problems.push(Problem::of(
                        &one.address.place,
                        bind::failure(&error, Listens::Sites, &one.address.place),
                    ));
                }
            }
        }
        if problems.is_empty() {
            return Ok(plan);
        }
        for (wanted, listeners) in plan.opened {
            drop(listeners);
            self.opener.discarded(&wanted.address.value);
        }
        Err(problems)
    }

    /// Another process serves all of it from now on: files of Unix sockets stay.
    pub(super) fn leave(&self) {
        self.opener.leave();
    }

    /// Opens a log that this process may not open; nothing if there is no other that may.
    pub(super) async fn open_log(&mut self, path: &Path) -> Option<File> {
        self.opener.log(path).await
    }

    /// Whether its port is one of ours, and those that have it are closed.
    fn takes_over(&self, one: &Wanted, closed: &[usize]) -> bool {
        let mut beside = false;
        for (at, served) in self.served.iter().enumerate() {
            if served.wanted.address.value.overlaps(&one.address.value) {
                if !closed.contains(&at) {
                    return false;
                }
                beside = true;
            }
        }
        beside
    }

    /// Makes the change.
    pub(super) fn put_in_place(&mut self, plan: Plan, running: &Running) -> Changes {
        let mut changes = Changes::default();
        for (at, wanted) in plan.kept {
            let Some(served) = self.served.get_mut(at) else {
                continue;
            };
            let mut is_done = true;
            if served.wanted.redirect != wanted.redirect {
                for id in &served.ids {
                    match running.set_redirect(*id, wanted.redirect()) {
                        Ok(_) => changes.notes.extend(listening(running, *id)),
                        Err(error) => {
                            is_done = false;
                            let address = &wanted.address.value;
                            changes.warnings.push(format!(
                                "{address} serves what it did before: {error}; reload again"
                            ));
                        }
                    }
                }
            }
            if is_done {
                served.wanted = wanted;
            }
        }
        let mut added = Vec::new();
        for (wanted, listeners) in plan.opened {
            let mut ids = Vec::new();
            let is_none = listeners.is_empty();
            for listener in listeners {
                match running.listen(&wanted.adjust(listener)) {
                    Ok(id) => {
                        changes.notes.extend(listening(running, id));
                        ids.push(id);
                    }
                    Err(error) => changes
                        .warnings
                        .push(format!("{error}: {}; reload again", error.source)),
                }
            }
            if is_none || !ids.is_empty() {
                added.push(Served { wanted, ids });
            }
        }
        for at in plan.closed.into_iter().rev() {
            if at >= self.served.len() {
                continue;
            }
            let gone = self.served.remove(at);
            let known = running.listeners();
            for id in gone.ids {
                let address = known.iter().find(|one| one.id == id);
                if running.stop_listening(id)
                    && let Some(one) = address
                {
                    let address = &one.address;
                    changes.notes.push(format!(
                        "no longer listening on {address}; open connections live on"
                    ));
                }
            }
            self.opener.closed(&gone.wanted.address.value);
        }
        self.served.extend(added);
        self.note_keys();
        changes
    }
}

/// What is listened on from now on.
fn listening(running: &Running, id: ListenerId) -> Option<String> {
    let known = running.listeners();
    let one = known.iter().find(|one| one.id == id)?;
    Some(match (one.address.socket(), one.redirects) {
        (Some(address), true) => format!("redirecting http://{address}/ to https from now on"),
        (Some(address), false) => format!("listening on https://{address}/ from now on"),
        (None, true) => format!(
            "redirecting plain HTTP at {} to https from now on",
            one.address
        ),
        (None, false) => format!("listening on {} from now on", one.address),
    })
}
