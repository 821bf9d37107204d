//! Builds a model from a recipe, step by step.

use handfast::Purpose;

use crate::model::{
    Basic, Certificate, Constraints, DAY, ELSEWHERE, General, Id, Key, List, NOW, Name,
    ORGANIZATION, Pki, Policy, Signature, Spelling, Usage,
};
use crate::recipe::{CERTIFICATES_MAX, Extra, Fault, Recipe, Twist};

/// The PKI of a recipe. Steps that are not applicable are ignored.
pub(crate) fn build(recipe: &Recipe) -> Pki {
    let mut builder = Builder::new(recipe.intermediates, recipe.is_client);
    for (extra, target, number) in &recipe.extras {
        builder.extra(*extra, *target, *number);
    }
    for (twist, target, number) in &recipe.twists {
        builder.twist(*twist, *target, *number);
    }
    builder.lists();
    for (fault, target, number) in &recipe.faults {
        builder.fault(*fault, *target, *number);
    }
    builder.shuffle(recipe.order);
    builder.pki
}

struct Builder {
    pki: Pki,
    /// The chain's root. The end entity is 0, the intermediates are in between, the issuer of n is n + 1.
    root: Id,
    with_lists: bool,
}

impl Builder {
    fn new(intermediates: usize, is_client: bool) -> Self {
        let purpose = if is_client {
            Purpose::ClientAuth
        } else {
            Purpose::ServerAuth
        };
        let root = intermediates + 1;
        let mut pki = Pki {
            certificates: Vec::new(),
            sent: (0..root).collect(),
            trusted: vec![root],
            lists: Vec::new(),
            purpose,
            name: "shop.example",
            depth_max: 6,
            now: NOW,
        };
        for id in 0..=root {
            let issuer = (id + 1).min(root);
            let mut one = authority(id, issuer, id, issuer);
            one.role = match id {
                0 => "end entity".to_owned(),
                id if id == root => "root".to_owned(),
                id => format!("intermediate {id}"),
            };
            if id == 0 {
                one.basic = Basic::EndEntity;
                one.usage = Usage::DigitalSignature;
                one.purposes = vec![pki.purpose_number()];
                one.names = vec![
                    General::Dns("shop.example"),
                    General::Dns("www.shop.example"),
                ];
            }
            pki.certificates.push(one);
        }
        Self {
            pki,
            root,
            with_lists: false,
        }
    }

    /// One of the authorities of the chain, including the root.
    fn authority(&self, target: usize) -> Id {
        1 + target % self.root
    }

    fn any(&self, target: usize) -> Id {
        target % self.pki.certificates.len()
    }

    fn at(&mut self, id: Id) -> &mut Certificate {
        &mut self.pki.certificates[id]
    }

    fn has_room_for(&self, count: usize) -> bool {
        self.pki.certificates.len() + count <= CERTIFICATES_MAX
    }

    /// Adds a certificate; its number is also that of its new key and name.
    fn add(&mut self, role: &str, change: impl FnOnce(Id, &mut Certificate)) -> Id {
        let id = self.pki.certificates.len();
        let mut one = authority(id, id, id, id);
        one.role = role.to_owned();
        change(id, &mut one);
        self.pki.certificates.push(one);
        id
    }

    fn extra(&mut self, extra: Extra, target: usize, number: usize) {
        let copied_id = self.authority(target);
        let copied = self.pki.certificate(copied_id).clone();
        let is_root = copied_id == self.root;
        let root = self.pki.certificate(self.root).clone();
        let is_two = matches!(
            extra,
            Extra::CrossSigned | Extra::CrossSignedUntrusted | Extra::OldWithNew
        );
        if extra != Extra::Duplicate && !self.has_room_for(if is_two { 2 } else { 1 }) {
            return;
        }
        match extra {
            Extra::Unrelated => {
                let id = self.add("unrelated", |id, one| {
                    if number.is_multiple_of(2) {
                        // By an issuer outside of the PKI.
                        one.issuer.number = id + 100;
                        one.signer = id + CERTIFICATES_MAX;
                    }
                });
                self.pki.sent.push(id);
            }
            Extra::Duplicate => {
                let id = self.any(target);
                self.pki.sent.push(id);
            }
            Extra::Double => {
                let id = self.add("double", |id, one| {
                    *one = copied.clone();
                    one.role = format!("double of {copied_id}");
                    one.key = id;
                    if is_root {
                        one.signer = id;
                    }
                });
                self.pki.sent.push(id);
            }
            Extra::DoubleRoot => {
                let id = self.add("trusted double of the root", |_, one| {
                    one.subject = root.subject;
                    one.issuer = root.subject;
                });
                self.pki.trusted.push(id);
            }
            Extra::Alias => {
                let id = self.add("alias", |_, one| {
                    one.role = format!("alias of {copied_id}");
                    one.key = copied.key;
                    one.issuer = copied.issuer;
                    one.signer = copied.signer;
                });
                self.pki.sent.push(id);
            }
            Extra::CrossSigned | Extra::CrossSignedUntrusted => {
                let other = self.add("other root", |_, _| {});
                let id = self.add("cross-sign", |_, one| {
                    *one = copied.clone();
                    one.role = format!("cross-sign of {copied_id}");
                    one.issuer.number = other;
                    one.signer = other;
                });
                self.pki.sent.push(id);
                if extra == Extra::CrossSigned {
                    self.pki.trusted.push(other);
                } else if number.is_multiple_of(2) {
                    self.pki.sent.push(other);
                }
            }
            Extra::SelfSigned => {
                let id = self.add("self-signed", |_, one| {
                    *one = copied.clone();
                    one.role = format!("self-signed copy of {copied_id}");
                    one.issuer = copied.subject;
                    one.signer = copied.key;
                });
                self.pki.sent.push(id);
            }
            Extra::Cycle => {
                let below = 1 + number % copied_id;
                let (name, key) = {
                    let below = self.pki.certificate(below);
                    (below.subject, below.key)
                };
                let id = self.add("cycle", |_, one| {
                    *one = copied.clone();
                    one.role = format!("cycle: {copied_id} by {below}");
                    one.issuer = name;
                    one.signer = key;
                });
                self.pki.sent.push(id);
            }
            Extra::OldWithNew => {
                let new = self.add("new root", |_, one| {
                    one.subject = root.subject;
                    one.issuer = root.subject;
                });
                let link = self.add("old with new", |_, one| {
                    one.subject = root.subject;
                    one.issuer = root.subject;
                    one.key = root.key;
                    one.signer = new;
                });
                self.pki.sent.push(link);
                let old = self.root;
                self.pki.trusted.retain(|id| *id != old);
                self.pki.trusted.push(new);
            }
            Extra::NewWithOld => {
                let id = self.add("new with old", |_, one| {
                    one.subject = root.subject;
                    one.issuer = root.subject;
                    one.signer = root.key;
                });
                let old = self.root;
                for (other, one) in self.pki.certificates.iter_mut().enumerate() {
                    if other != old && other != id && one.signer == root.key {
                        one.signer = id;
                    }
                }
                self.pki.sent.push(id);
            }
        }
    }

    fn twist(&mut self, twist: Twist, target: usize, number: usize) {
        let authority = self.authority(target);
        let any = self.any(target);
        let root = self.root;
        let purpose = self.pki.purpose_number();
        match twist {
            Twist::RootSent => self.pki.sent.push(root),
            Twist::MoreNames => self.at(0).names.extend([
                General::Ip([192, 0, 2, 7]),
                General::Email("ops@shop.example"),
                General::Uri("https://shop.example/start"),
            ]),
            Twist::AskForAddress => {
                self.at(0).names.push(General::Ip([192, 0, 2, 7]));
                self.pki.name = "192.0.2.7";
            }
            Twist::KeyIdentifiers => {
                for one in &mut self.pki.certificates {
                    one.key_identifiers = true;
                }
            }
            Twist::Lists => self.with_lists = true,
            Twist::SubjectSpelled => self.at(any).subject.spelling = spelling(number),
            Twist::IssuerSpelled => self.at(any).issuer.spelling = spelling(number),
            Twist::NoUsage => self.at(any).usage = Usage::Absent,
            Twist::Purposes => {
                self.at(authority).purposes = if number.is_multiple_of(2) {
                    vec![1, 2]
                } else {
                    vec![purpose]
                };
            }
            Twist::PathLen => {
                let enough = (authority - 1 + number % 2) as u8;
                self.at(authority).basic = Basic::Authority(Some(enough));
            }
            Twist::Permitted => {
                let base = covering(number);
                let constraints = &mut self.at(authority).constraints;
                constraints.permitted.push(base);
            }
            Twist::Excluded => {
                let base = elsewhere(number);
                let constraints = &mut self.at(authority).constraints;
                constraints.excluded.push(base);
            }
            Twist::Policies => {
                for one in &mut self.pki.certificates {
                    one.policies = vec![Policy::A];
                }
                if number.is_multiple_of(3) {
                    self.at(authority).policies = vec![Policy::B, Policy::Any];
                }
            }
            Twist::PoliciesCritical => self.at(any).policies_critical = true,
            Twist::ExplicitPolicy => {
                for one in &mut self.pki.certificates {
                    if one.policies.is_empty() {
                        one.policies = vec![Policy::A];
                    }
                }
                if authority != root {
                    self.at(authority).explicit_policy_after = Some((number % 3) as u8);
                }
            }
            Twist::TrustedVersion1 => self.at(root).version = 1,
            Twist::TrustedWithoutBasic => self.at(root).basic = Basic::Absent,
            Twist::TrustedAsItself => self.pki.trusted.push(0),
            Twist::IntermediateTrusted => self.pki.trusted = vec![authority],
            Twist::DirectoryName => self.at(0).names.push(General::Directory(Name {
                number: 50,
                spelling: spelling(number),
            })),
            Twist::BornBefore1970 => self.at(any).not_before = -100 * DAY,
            Twist::MisleadingIdentifier => self.at(any).misleading_identifier = true,
        }
    }

    /// A list of every authority, with nothing in it.
    fn lists(&mut self) {
        if !self.with_lists {
            return;
        }
        for one in &self.pki.certificates {
            let is_known = |list: &List| list.name.is(one.subject) && list.key == one.key;
            if matches!(one.basic, Basic::EndEntity) || self.pki.lists.iter().any(is_known) {
                continue;
            }
            self.pki.lists.push(List {
                name: one.subject,
                key: one.key,
                this_update: NOW - DAY,
                next_update: NOW + 7 * DAY,
                number: 1,
                revoked: Vec::new(),
            });
        }
    }

    fn fault(&mut self, fault: Fault, target: usize, number: usize) {
        let any = self.any(target);
        let authority = self.authority(target);
        let is_authority = any != 0;
        let purpose = self.pki.purpose_number();
        match fault {
            Fault::Expired => self.at(any).not_after = NOW - (1 + any as i64) * DAY,
            Fault::NotYetValid => self.at(any).not_before = NOW + (1 + any as i64) * DAY,
            Fault::Reversed => self.at(any).not_before = self.at(any).not_after + DAY,
            Fault::BrokenSignature => self.at(any).signature = Signature::Broken,
            Fault::WeakSignature => self.at(any).signature = Signature::Sha1,
            Fault::WeakKey => {
                // In every certificate with this key.
                let key = self.pki.certificate(any).key;
                for one in &mut self.pki.certificates {
                    one.shows_weak_key |= one.key == key;
                }
            }
            Fault::Missing if is_authority => self.pki.sent.retain(|id| *id != any),
            Fault::Untrusted if self.has_room_for(1) => {
                let id = self.add("somebody else's root", |_, _| {});
                if number.is_multiple_of(2) {
                    let untrusted = self.pki.trusted.clone();
                    self.pki.sent.extend(untrusted);
                    self.pki.sent.sort_unstable();
                    self.pki.sent.dedup();
                }
                self.pki.trusted = vec![id];
            }
            Fault::RemadeRoot if self.has_room_for(1) => {
                let root = self.pki.certificate(self.root).clone();
                let id = self.add("remade root", |_, one| {
                    one.subject = root.subject;
                    one.issuer = root.subject;
                });
                if number.is_multiple_of(2) {
                    self.pki.sent.push(self.root);
                }
                self.pki.trusted = vec![id];
            }
            Fault::OtherName => {
                self.pki.name = ["pay.example", "example", "192.0.2.8"][number % 3];
            }
            Fault::NoNames => self.at(0).names.clear(),
            Fault::NotAuthority if is_authority => {
                self.at(any).basic = [Basic::Absent, Basic::EndEntity][number % 2];
            }
            Fault::NotForCertificates if is_authority => self.at(any).usage = Usage::CrlSign,
            Fault::NotForHandshakes => self.at(0).usage = Usage::KeyEncipherment,
            Fault::AuthorityAsEndEntity => self.at(0).basic = Basic::Authority(None),
            Fault::PathLen => {
                self.at(authority).basic = Basic::Authority(Some((number % 2) as u8));
            }
            Fault::OtherPurpose => self.at(any).purposes = vec![3 - purpose],
            Fault::Permitted => {
                let base = elsewhere(number);
                self.at(authority).constraints = Constraints {
                    permitted: vec![base],
                    excluded: Vec::new(),
                };
            }
            Fault::Excluded => {
                let base = covering(number);
                let constraints = &mut self.at(authority).constraints;
                constraints.excluded.push(base);
            }
            Fault::UnknownCritical => self.at(any).unknown_critical = true,
            Fault::Version1 => self.at(any).version = 1,
            Fault::ExplicitPolicy if authority != self.root => {
                self.at(authority).explicit_policy_after = Some((number % 2) as u8);
            }
            Fault::NoPolicy => self.at(any).policies.clear(),
            Fault::OtherPolicy => self.at(any).policies = vec![Policy::B],
            Fault::Revoked => {
                let signer = self.pki.certificate(any).signer;
                for list in &mut self.pki.lists {
                    if list.key == signer {
                        list.revoked.push(any);
                    }
                }
            }
            Fault::ListExpired => {
                let key = self.pki.certificate(authority).key;
                for list in &mut self.pki.lists {
                    if list.key == key {
                        list.next_update = NOW - DAY / 2;
                    }
                }
            }
            Fault::ListMissing => {
                let key = self.pki.certificate(authority).key;
                // Without lists, none is required.
                if self.pki.lists.len() > 1 {
                    self.pki.lists.retain(|list| list.key != key);
                }
            }
            Fault::ListOfTheFuture => {
                let key = self.pki.certificate(authority).key;
                for list in &mut self.pki.lists {
                    if list.key == key {
                        list.this_update = NOW + DAY;
                    }
                }
            }
            Fault::RevokedInOlderList => {
                let signer = self.pki.certificate(any).signer;
                let newer = self.pki.lists.iter().find(|list| list.key == signer);
                if let Some(newer) = newer.cloned() {
                    self.pki.lists.push(List {
                        this_update: newer.this_update - 2 * DAY,
                        // It may even expire later than the newer one.
                        next_update: NOW + 14 * DAY,
                        number: 0,
                        revoked: vec![any],
                        ..newer
                    });
                }
            }
            Fault::NotForLists if is_authority => self.at(any).usage = Usage::CertificateSign,
            Fault::Depth => self.pki.depth_max = number % 3,
            _ => {}
        }
    }

    /// The peer's own certificate stays first.
    fn shuffle(&mut self, order: u64) {
        let rest = &mut self.pki.sent[1..];
        match order {
            0 => {}
            1 => rest.reverse(),
            _ => {
                // Any permutation that is not the first two; a small generator is enough.
                let mut state = order.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                for last in (1..rest.len()).rev() {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    rest.swap(last, (state >> 33) as usize % (last + 1));
                }
            }
        }
    }
}

fn authority(subject: usize, issuer: usize, key: Key, signer: Key) -> Certificate {
    let name = |number| Name {
        number,
        spelling: Spelling::Utf8,
    };
    Certificate {
        role: String::new(),
        subject: name(subject),
        issuer: name(issuer),
        key,
        shows_weak_key: false,
        signer,
        signature: Signature::Good,
        version: 3,
        not_before: NOW - 100 * DAY,
        not_after: NOW + 100 * DAY,
        basic: Basic::Authority(None),
        usage: Usage::Authority,
        purposes: Vec::new(),
        names: Vec::new(),
        constraints: Constraints::default(),
        policies: Vec::new(),
        policies_critical: false,
        explicit_policy_after: None,
        unknown_critical: false,
        key_identifiers: false,
        misleading_identifier: false,
    }
}

fn spelling(number: usize) -> Spelling {
    [Spelling::Printable, Spelling::Capitals, Spelling::Spaces][number % 3]
}

/// The base of a subtree that the end entity's names are in.
fn covering(number: usize) -> General {
    [
        General::Dns("shop.example"),
        General::Dns("example"),
        General::Network([192, 0, 2, 0], [255, 255, 255, 0]),
        General::Email("shop.example"),
        General::Email(".example"),
        General::Email("ops@shop.example"),
        General::Uri("shop.example"),
        General::Uri(".example"),
        General::Organization(ORGANIZATION),
    ][number % 9]
        .clone()
}

/// The base of a subtree that none of the end entity's names is in.
fn elsewhere(number: usize) -> General {
    [
        General::Dns("other.example"),
        General::Dns("op.example"),
        General::Network([198, 51, 100, 0], [255, 255, 255, 0]),
        General::Email("other.example"),
        General::Email(".shop.example"),
        General::Uri("other.example"),
        General::Uri(".shop.example"),
        General::Organization(ELSEWHERE),
        General::Directory(Name {
            number: 99,
            spelling: Spelling::Utf8,
        }),
    ][number % 9]
        .clone()
}
