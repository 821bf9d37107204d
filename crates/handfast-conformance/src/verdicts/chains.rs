//! Typical chains of servers, each with the trust anchors of a client and the expected name.

use handfast_testbed::pki::{
    Basic, ExtendedKeyUsagePurpose as Eku, Fault, Issued, Key, KeyUsagePurpose as Ku, Spec, der,
};

use super::Chain;

/// The expected name if the chain is not about names.
const NAME: &str = "shop.example";

/// Extensions by their numbers.
const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];
const NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];
const CERTIFICATE_POLICIES: &[u64] = &[2, 5, 29, 32];
const POLICY_CONSTRAINTS: &[u64] = &[2, 5, 29, 36];

/// All of them, in the order of the table.
pub fn all() -> Vec<Chain> {
    let mut all = Chains::default();
    all.orders();
    all.roots();
    all.cross_signs();
    all.times();
    all.names();
    all.constraints();
    all.purposes();
    all.forms();
    all.chains
}

#[derive(Default)]
struct Chains {
    chains: Vec<Chain>,
}

fn server() -> Spec {
    Spec::server(&[NAME])
}

fn authority(name: &str) -> Spec {
    Spec::authority(name)
}

fn root() -> Issued {
    authority("Example Root").self_signed()
}

/// Requires a policy of every certificate below.
fn requiring_policy(spec: Spec) -> Spec {
    spec.extension(POLICY_CONSTRAINTS, &der(0x30, &[0x80, 1, 0]), true)
}

fn with_policy(spec: Spec) -> Spec {
    let policy = der(6, &[0x2a, 3, 4]);
    spec.extension(CERTIFICATE_POLICIES, &der(0x30, &der(0x30, &policy)), false)
}

/// Name constraints with one subtree: permitted (0xa0) or excluded (0xa1).
fn constrained(spec: Spec, list: u8, base: &[u8]) -> Spec {
    spec.extension(
        NAME_CONSTRAINTS,
        &der(0x30, &der(list, &der(0x30, base))),
        true,
    )
}

/// A common name as the base of a subtree of directory names: subjects of the test PKI begin with it.
fn common_name(name: &str) -> Vec<u8> {
    let pair = [vec![6, 3, 0x55, 4, 3], der(12, name.as_bytes())].concat();
    der(0xa4, &der(0x30, &der(0x31, &der(0x30, &pair))))
}

/// Alternative names that the test PKI would not write.
fn raw_names(names: &[(u8, &str)]) -> Spec {
    let names: Vec<u8> = names
        .iter()
        .flat_map(|(tag, name)| der(*tag, name.as_bytes()))
        .collect();
    Spec::server(&[])
        .common_name(Some(NAME))
        .extension(SUBJECT_ALT_NAME, &der(0x30, &names), false)
}

impl Chains {
    fn add(&mut self, what: &'static str, sent: &[&Issued], trusted: &[&Issued]) {
        self.add_for(what, NAME, sent, trusted);
    }

    fn add_for(
        &mut self,
        what: &'static str,
        name: &'static str,
        sent: &[&Issued],
        trusted: &[&Issued],
    ) {
        let ders = |all: &[&Issued]| all.iter().map(|one| one.der.clone()).collect();
        self.chains.push(Chain {
            what,
            name,
            sent: ders(sent),
            trusted: ders(trusted),
        });
    }

    /// A root, an intermediate and an end entity, each as given.
    fn add_three(&mut self, what: &'static str, root: Spec, middle: Spec, end_entity: Spec) {
        let root = root.self_signed();
        let middle = root.issue(middle);
        let end_entity = middle.issue(end_entity);
        self.add(what, &[&end_entity, &middle], &[&root]);
    }

    /// An end entity below an ordinary intermediate, with the expected `name`.
    fn add_named(&mut self, what: &'static str, name: &'static str, end_entity: Spec) {
        let root = root();
        let middle = root.issue(authority("Example Intermediate"));
        let end_entity = middle.issue(end_entity);
        self.add_for(what, name, &[&end_entity, &middle], &[&root]);
    }

    fn orders(&mut self) {
        let root = root();
        let upper = root.issue(authority("Upper Intermediate"));
        let lower = upper.issue(authority("Lower Intermediate"));
        let own = upper.issue(server());
        let deep = lower.issue(server());
        let direct = root.issue(server());
        let other = root.issue(authority("Other Intermediate"));
        let trusted = [&root];
        self.add("complete", &[&own, &upper], &trusted);
        self.add("issued by the root itself", &[&direct], &trusted);
        self.add("with the root at its end", &[&own, &upper, &root], &trusted);
        self.add("without the intermediate", &[&own], &trusted);
        let named = upper.issue(server().ca_issuers("http://ca.example/upper.der"));
        self.add(
            "without the intermediate, whose address the certificate names",
            &[&named],
            &trusted,
        );
        self.add(
            "the root in place of the intermediate",
            &[&own, &root],
            &trusted,
        );
        self.add("two intermediates", &[&deep, &lower, &upper], &trusted);
        self.add(
            "two intermediates in the wrong order",
            &[&deep, &upper, &lower],
            &trusted,
        );
        self.add(
            "of two intermediates the upper one missing",
            &[&deep, &lower],
            &trusted,
        );
        self.add(
            "each certificate twice",
            &[&own, &own, &upper, &upper],
            &trusted,
        );
        self.add(
            "an unrelated intermediate beside its own",
            &[&own, &upper, &other],
            &trusted,
        );
        self.add(
            "another intermediate than its own",
            &[&own, &other],
            &trusted,
        );
        self.add("the intermediate first", &[&upper, &own], &trusted);
        let mut all: Vec<Issued> = Vec::new();
        for number in 1..=7 {
            let next = authority(&format!("Intermediate {number}"));
            all.push(all.last().unwrap_or(&root).issue(next));
        }
        let end_entity = all.last().unwrap_or(&root).issue(server());
        let sent: Vec<&Issued> = std::iter::once(&end_entity)
            .chain(all.iter().rev())
            .collect();
        self.add("seven intermediates", &sent, &trusted);
    }

    fn roots(&mut self) {
        let (known, private) = (root(), authority("Private Root").self_signed());
        let of_private = private.issue(server());
        self.add("private root, sent", &[&of_private, &private], &[&known]);
        self.add("private root, not sent", &[&of_private], &[&known]);
        let proxy = authority("Zscaler Root CA").self_signed();
        let intercepted = proxy.issue(server());
        self.add(
            "issued by a company's proxy",
            &[&intercepted, &proxy],
            &[&known],
        );
        let own = server().self_signed();
        self.add("self-signed", &[&own], &[&known]);
        self.add("self-signed, trusted as itself", &[&own], &[&own]);
        let openssl_req = Spec::openssl_req(&[NAME]).self_signed();
        self.add("`openssl req -x509`", &[&openssl_req], &[&known]);
        self.add(
            "`openssl req -x509`, trusted",
            &[&openssl_req],
            &[&openssl_req],
        );
        let remade = root();
        let of_old = known.issue(server());
        self.add(
            "root recreated with the same name and a new key: the old one sends",
            &[&of_old, &known],
            &[&remade],
        );
        let end_entity = known.issue(server());
        self.add(
            "end entity trusted as itself, issuer unknown",
            &[&end_entity],
            &[&end_entity],
        );
        for (what, spec) in [
            (
                "root of version 1",
                authority("Old Root").fault(Fault::Version1),
            ),
            (
                "root without basic constraints",
                authority("Plain Root").basic(Basic::Absent),
            ),
            (
                "root for clients only (extended key usage)",
                authority("Client Root").extended_key_usage(&[Eku::ClientAuth]),
            ),
            (
                "root without keyCertSign",
                authority("Mute Root").key_usage(&[Ku::CrlSign]),
            ),
            ("expired root", authority("Late Root").expired()),
        ] {
            let root = spec.self_signed();
            let end_entity = root.issue(server());
            self.add(what, &[&end_entity], &[&root]);
        }
    }

    fn cross_signs(&mut self) {
        let (old, new) = (
            authority("Old Root").self_signed(),
            authority("New Root").self_signed(),
        );
        let middle = new.issue(authority("Example Intermediate"));
        let own = middle.issue(server());
        let cross = old.cross_sign(&new);
        let late_old = authority("Late Root").expired().self_signed();
        let late_cross = late_old.cross_sign(&new);
        self.add(
            "cross-sign to an old root",
            &[&own, &middle, &cross],
            &[&old],
        );
        self.add(
            "cross-sign to an old root, new root trusted",
            &[&own, &middle, &cross],
            &[&new],
        );
        self.add(
            "cross-sign to an expired root, new root trusted",
            &[&own, &middle, &late_cross],
            &[&late_old, &new],
        );
        self.add(
            "cross-sign to an expired root, new root unknown",
            &[&own, &middle, &late_cross],
            &[&late_old],
        );
        let mut expiring = authority("New Root").self_signed();
        let below = expiring.issue(authority("Example Intermediate"));
        let leaf = below.issue(server());
        let (not_before, not_after) = (expiring.spec.not_before, expiring.spec.not_after);
        let expired = authority("New Root").expired();
        (expiring.spec.not_before, expiring.spec.not_after) =
            (expired.not_before, expired.not_after);
        let expired_cross = old.cross_sign(&expiring);
        (expiring.spec.not_before, expiring.spec.not_after) = (not_before, not_after);
        self.add(
            "expired cross-sign, new root trusted",
            &[&leaf, &below, &expired_cross],
            &[&old, &expiring],
        );
        self.add(
            "expired cross-sign, new root unknown",
            &[&leaf, &below, &expired_cross],
            &[&old],
        );
        let wrong_key = new.issue(authority("Example Intermediate"));
        self.add(
            "an intermediate of the same name and another key before the right one",
            &[&own, &wrong_key, &middle],
            &[&new],
        );
        self.add(
            "only an intermediate of the same name and another key",
            &[&own, &wrong_key],
            &[&new],
        );
        let (one, two) = (
            authority("One").self_signed(),
            authority("Two").self_signed(),
        );
        let (one_by_two, two_by_one) = (two.cross_sign(&one), one.cross_sign(&two));
        let end_entity = one.issue(server());
        self.add(
            "two authorities that cross-sign each other, neither trusted",
            &[&end_entity, &one_by_two, &two_by_one],
            &[&new],
        );
    }

    fn times(&mut self) {
        let middle = || authority("Example Intermediate");
        let root = || authority("Example Root");
        self.add_three("expired end entity", root(), middle(), server().expired());
        self.add_three(
            "end entity not yet valid",
            root(),
            middle(),
            server().not_yet_valid(),
        );
        self.add_three("expired intermediate", root(), middle().expired(), server());
        self.add_three(
            "intermediate not yet valid",
            root(),
            middle().not_yet_valid(),
            server(),
        );
    }

    fn names(&mut self) {
        self.add_named("another name", NAME, Spec::server(&["other.example"]));
        self.add_named(
            "wildcard",
            "www.shop.example",
            Spec::server(&["*.shop.example"]),
        );
        self.add_named(
            "wildcard, for the domain itself",
            NAME,
            Spec::server(&["*.shop.example"]),
        );
        self.add_named(
            "wildcard, two labels below",
            "a.b.shop.example",
            Spec::server(&["*.shop.example"]),
        );
        self.add_named(
            "wildcard within a label (`w*.shop.example`)",
            "www.shop.example",
            raw_names(&[(0x82, "w*.shop.example")]),
        );
        self.add_named("upper case", NAME, Spec::server(&["SHOP.Example"]));
        self.add_named(
            "trailing dot in the certificate",
            NAME,
            raw_names(&[(0x82, "shop.example.")]),
        );
        self.add_named(
            "underscore",
            "my_shop.example",
            Spec::server(&["my_shop.example"]),
        );
        self.add_named("IP address", "192.0.2.1", Spec::server(&["192.0.2.1"]));
        self.add_named(
            "another IP address",
            "192.0.2.2",
            Spec::server(&["192.0.2.1"]),
        );
        self.add_named(
            "IP address as a DNS name",
            "192.0.2.1",
            raw_names(&[(0x82, "192.0.2.1")]),
        );
        self.add_named(
            "common name only",
            NAME,
            Spec::server(&[]).common_name(Some(NAME)),
        );
        self.add_named(
            "common name right, alternative name wrong",
            NAME,
            Spec::server(&["other.example"]).common_name(Some(NAME)),
        );
    }

    fn constraints(&mut self) {
        let root = || authority("Example Root");
        let middle = || authority("Bound Intermediate");
        let dns = |name: &str| der(0x82, name.as_bytes());
        self.add_three(
            "within name constraints",
            root(),
            middle().permitting(&["example"]),
            server(),
        );
        self.add_three(
            "outside name constraints",
            root(),
            middle().permitting(&["other.example"]),
            server(),
        );
        self.add_three(
            "in an excluded subtree",
            root(),
            constrained(middle(), 0xa1, &dns(NAME)),
            server(),
        );
        self.add_three(
            "outside the root's own name constraints",
            root().permitting(&["other.example"]),
            middle(),
            server(),
        );
        let there = common_name("SHOP.example");
        self.add_three(
            "within constraints on directory names",
            root(),
            constrained(middle(), 0xa0, &there),
            server(),
        );
        let elsewhere = common_name("other.example");
        self.add_three(
            "outside constraints on directory names",
            root(),
            constrained(middle(), 0xa0, &elsewhere),
            server(),
        );
        self.add_three(
            "a required policy, asserted",
            root(),
            requiring_policy(with_policy(middle())),
            with_policy(server()),
        );
        self.add_three(
            "a required policy, missing",
            root(),
            requiring_policy(with_policy(middle())),
            server(),
        );
    }

    fn purposes(&mut self) {
        let root = || authority("Example Root");
        let middle = || authority("Example Intermediate");
        let for_clients = &[Eku::ClientAuth];
        self.add_three(
            "for clients only (extended key usage)",
            root(),
            middle(),
            server().extended_key_usage(for_clients),
        );
        self.add_three(
            "for any purpose (anyExtendedKeyUsage)",
            root(),
            middle(),
            server().extended_key_usage(&[Eku::Any]),
        );
        self.add_three(
            "no extended key usage",
            root(),
            middle(),
            server().extended_key_usage(&[]),
        );
        self.add_three(
            "intermediate for clients only",
            root(),
            middle().extended_key_usage(for_clients),
            server(),
        );
        self.add_three(
            "key usage without digitalSignature",
            root(),
            middle(),
            server().key_usage(&[Ku::KeyEncipherment]),
        );
        self.add_three(
            "intermediate without keyCertSign",
            root(),
            middle().key_usage(&[Ku::CrlSign]),
            server(),
        );
        self.add_three(
            "issued by another server's certificate",
            root(),
            Spec::server(&["other.example"]),
            server(),
        );
        self.add_three(
            "authority as the server's own certificate",
            root(),
            middle(),
            server().basic(Basic::Authority),
        );
        let strict = root().self_signed();
        let upper = strict.issue(authority("Narrow Intermediate").basic(Basic::AuthorityWithin(0)));
        let lower = upper.issue(authority("Lower Intermediate"));
        let end_entity = lower.issue(server());
        self.add(
            "path length exceeded",
            &[&end_entity, &lower, &upper],
            &[&strict],
        );
    }

    fn forms(&mut self) {
        let root = || authority("Example Root");
        let middle = || authority("Example Intermediate");
        self.add_three(
            "RSA, 2048 bits",
            root().key(Key::Rsa2048),
            middle(),
            server().key(Key::Rsa2048),
        );
        self.add_three(
            "RSA, 1024 bits",
            root(),
            middle(),
            server().key(Key::ShownAsRsa1024),
        );
        self.add_three(
            "Ed25519",
            root(),
            middle().key(Key::Ed25519),
            server().key(Key::Ed25519),
        );
        self.add_three(
            "signed with SHA-1",
            root(),
            middle(),
            server().fault(Fault::SaysSha1),
        );
        self.add_three(
            "signature changed",
            root(),
            middle(),
            server().fault(Fault::SignatureBitFlipped),
        );
        let private = server().extension(&[1, 3, 6, 1, 4, 1, 99_999, 1], &[5, 0], true);
        self.add_three("unknown critical extension", root(), middle(), private);
        self.add_three(
            "end entity of version 1",
            root(),
            middle(),
            server().fault(Fault::Version1),
        );
        let top = root().self_signed();
        let mut issuer = top.issue(middle());
        issuer.spec.common_name = Some("EXAMPLE  intermediate".to_owned());
        let end_entity = issuer.issue(server());
        self.add(
            "issuer's name in another case",
            &[&end_entity, &issuer],
            &[&top],
        );
    }
}
