//! Chains that are expensive to verify: many certificates of one name, authorities that all certify one
//! another, thousands of constraints and policies. All are within the limits on the size of a
//! chain (32 certificates, 256 KiB), and none leads to its anchor unless stated.

use pki_types::CertificateDer;

use crate::draft::{self, COMMON_NAME, Draft, Extension, Pair, Text};

/// A chain and its trust anchor.
pub struct Tangle {
    /// A description.
    pub what: &'static str,
    /// The peer's certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The trust anchor.
    pub anchor: CertificateDer<'static>,
    /// Whether a path leads to the anchor.
    pub is_sound: bool,
}

/// Certificates besides the peer's own.
const OTHERS: usize = 31;
/// Subtrees, names and policies in one certificate, each about 20 bytes long.
const MANY: usize = 1500;

/// All of them. The peer's name is `shop.example`.
pub fn all() -> Vec<Tangle> {
    vec![
        namesakes(false),
        namesakes(true),
        levels(false),
        levels(true),
        all_for_all(),
        two_for_each_other(),
        straight(),
        constraints(),
        policies(),
        long_names(),
    ]
}

/// A name and a key.
struct Authority {
    name: Vec<u8>,
    key: Pair,
}

impl Authority {
    fn new(name: &str) -> Self {
        Self {
            name: named(name),
            key: Pair::new(),
        }
    }

    fn root(&self) -> CertificateDer<'static> {
        self.certify(self, 1)
    }

    /// A certificate for `other`; `number` distinguishes certificates that are otherwise equal.
    fn certify(&self, other: &Self, number: usize) -> CertificateDer<'static> {
        self.certify_with(other, number, Vec::new())
    }

    fn certify_with(
        &self,
        other: &Self,
        number: usize,
        extensions: Vec<Extension>,
    ) -> CertificateDer<'static> {
        let mut draft = Draft::new(other.name.clone(), self.name.clone(), &other.key);
        draft.serial = serial(number);
        draft.extensions = vec![draft::basic_constraints(true, None)];
        draft.extensions.extend(extensions);
        draft.sign(&self.key)
    }

    fn server(&self, names: &[Vec<u8>]) -> CertificateDer<'static> {
        let mut all = vec![draft::dns("shop.example")];
        all.extend_from_slice(names);
        Draft::new(named("shop"), self.name.clone(), &Pair::new())
            .extension(draft::subject_alt_names(&all))
            .sign(&self.key)
    }
}

fn named(name: &str) -> Vec<u8> {
    draft::name(&[(COMMON_NAME, Text::Utf8, name)])
}

fn serial(number: usize) -> Vec<u8> {
    vec![0x51, (number >> 8) as u8, number as u8]
}

fn namesakes(is_sound: bool) -> Tangle {
    let root = Authority::new("Root");
    let signer = Authority::new("Issuer");
    let mut chain = vec![signer.server(&[])];
    for number in 1..OTHERS {
        chain.push(root.certify(&Authority::new("Issuer"), number));
    }
    let last = if is_sound {
        root.certify(&signer, OTHERS)
    } else {
        root.certify(&Authority::new("Issuer"), OTHERS)
    };
    chain.push(last);
    Tangle {
        what: if is_sound {
            "31 authorities of the issuer's name, the last of which signed"
        } else {
            "31 authorities of the issuer's name, none of which signed"
        },
        chain,
        anchor: root.root(),
        is_sound,
    }
}

/// Five levels of six certificates, each of which could stand on a path with each of the next level.
fn levels(is_sound: bool) -> Tangle {
    let root = Authority::new("Root");
    let levels: Vec<Authority> = (0..=5)
        .map(|level| Authority::new(&format!("Level {level}")))
        .collect();
    let mut chain = vec![levels[0].server(&[])];
    for pair in levels.windows(2) {
        for number in 0..6 {
            chain.push(pair[1].certify(&pair[0], number));
        }
    }
    if is_sound {
        chain.push(root.certify(&levels[5], 7));
    }
    Tangle {
        what: if is_sound {
            "6^5 paths to the anchor"
        } else {
            "6^5 paths that end nowhere"
        },
        chain,
        anchor: root.root(),
        is_sound,
    }
}

fn all_for_all() -> Tangle {
    let all: Vec<Authority> = (0..6)
        .map(|number| Authority::new(&format!("Authority {number}")))
        .collect();
    let mut chain = vec![all[0].server(&[])];
    for (number, issuer) in all.iter().enumerate() {
        for (other, subject) in all.iter().enumerate() {
            if number != other {
                chain.push(issuer.certify(subject, number * 6 + other));
            }
        }
    }
    Tangle {
        what: "6 authorities, each certified by every other",
        chain,
        anchor: Authority::new("Root").root(),
        is_sound: false,
    }
}

fn two_for_each_other() -> Tangle {
    let (one, other) = (Authority::new("One"), Authority::new("Other"));
    let mut chain = vec![one.server(&[])];
    for number in 0..OTHERS {
        chain.push(if number % 2 == 0 {
            other.certify(&one, number)
        } else {
            one.certify(&other, number)
        });
    }
    Tangle {
        what: "31 certificates of two authorities that certify each other",
        chain,
        anchor: Authority::new("Root").root(),
        is_sound: false,
    }
}

fn straight() -> Tangle {
    let all: Vec<Authority> = (0..=OTHERS)
        .map(|number| Authority::new(&format!("Authority {number}")))
        .collect();
    let mut chain = vec![all[0].server(&[])];
    for (number, pair) in all.windows(2).enumerate() {
        chain.push(pair[1].certify(&pair[0], number));
    }
    Tangle {
        what: "31 intermediates one above the other",
        chain,
        anchor: all[OTHERS].root(),
        is_sound: false,
    }
}

fn constraints() -> Tangle {
    let root = Authority::new("Root");
    let issuers = [(); 2].map(|()| Authority::new("Issuer"));
    let bases: Vec<Vec<u8>> = (0..MANY)
        .map(|number| draft::dns(&format!("a{number}.example")))
        .collect();
    let names: Vec<Vec<u8>> = (0..MANY)
        .map(|number| draft::dns(&format!("b{number}.shop.example")))
        .collect();
    let constrained = || vec![draft::name_constraints(&[draft::dns("example")], &bases)];
    let chain = vec![
        issuers[0].server(&names),
        issuers[1].certify_with(&issuers[0], 1, constrained()),
        root.certify_with(&issuers[1], 2, constrained()),
    ];
    Tangle {
        what: "twice 1,500 excluded subtrees above 1,501 names",
        chain,
        anchor: root.root(),
        is_sound: false,
    }
}

fn policies() -> Tangle {
    let root = Authority::new("Root");
    let ids: Vec<Vec<u64>> = (0..130)
        .map(|number| vec![1, 3, 6, 1, 4, 1, 99_999, number])
        .collect();
    let all: Vec<&[u64]> = ids.iter().map(Vec::as_slice).collect();
    let authorities: Vec<Authority> = (0..5)
        .map(|number| Authority::new(&format!("Authority {number}")))
        .collect();
    let extensions = || {
        vec![
            draft::policies(&all, true),
            draft::policy_mappings(&all),
            draft::require_explicit_policy(0),
        ]
    };
    let mut chain = vec![authorities[0].server(&[])];
    for (number, pair) in authorities.windows(2).enumerate() {
        chain.push(pair[1].certify_with(&pair[0], number, extensions()));
    }
    chain.push(root.certify_with(&authorities[4], 9, extensions()));
    Tangle {
        what: "5 authorities with 130 policies, each mapped to 10 others",
        chain,
        anchor: root.root(),
        is_sound: false,
    }
}

fn long_names() -> Tangle {
    let long = |last: &str| {
        let part = "A rather long part of a rather long name";
        let mut parts = vec![(COMMON_NAME, Text::Utf8, part); 130];
        parts.push((COMMON_NAME, Text::Printable, last));
        draft::name(&parts)
    };
    let root = Authority::new("Root");
    let issuer = Authority {
        name: long("issuer"),
        key: Pair::new(),
    };
    let mut chain = vec![issuer.server(&[])];
    for number in 0..16 {
        // Names that differ in their last character, or not at all.
        let other = Authority {
            name: long(if number % 2 == 0 { "Issuer" } else { "issuers" }),
            key: Pair::new(),
        };
        chain.push(root.certify(&other, number));
    }
    Tangle {
        what: "16 authorities with names of 7 KiB, half of them the issuer's",
        chain,
        anchor: root.root(),
        is_sound: false,
    }
}
