//! Policies: each rule, and comparison with the tree of RFC 5280.

use proptest::prelude::*;

use super::*;

const P: &[u8] = &[0x2a, 1];
const Q: &[u8] = &[0x2a, 2];
const R: &[u8] = &[0x2a, 3];
const NAMES: [(char, &[u8]); 4] = [('p', P), ('q', Q), ('r', R), ('*', ANY_POLICY)];

/// A certificate in a line: policies (`-` for no extension, `*` for any policy), then `e0`, `m1`, `a2` for
/// requireExplicitPolicy, inhibitPolicyMapping and inhibitAnyPolicy, `p>q` for a mapping, `self` for a self-issued one.
fn certificate(text: &str) -> PolicyExtensions<'static> {
    let policy = |name: char| NAMES.iter().find(|(known, _)| *known == name).unwrap().1;
    let mut words = text.split(' ');
    let mut read = PolicyExtensions::default();
    let policies = words.next().unwrap();
    if policies != "-" {
        read.policies = Some(Policies {
            any: policies.contains('*'),
            others: policies
                .chars()
                .filter(|name| *name != '*')
                .map(policy)
                .collect(),
        });
    }
    for word in words {
        let mut letters = word.chars();
        let (first, rest) = (letters.next().unwrap(), letters.as_str());
        match first {
            's' => read.is_self_issued = true,
            'e' => read.require_explicit_policy = rest.parse().ok(),
            'm' => read.inhibit_policy_mapping = rest.parse().ok(),
            'a' => read.inhibit_any_policy = rest.parse().ok(),
            from => read
                .mappings
                .push((policy(from), policy(rest.chars().last().unwrap()))),
        }
    }
    read
}

/// Ok, or the certificate at which no policy is left and the one that requires one.
type Verdict = Result<(), (usize, usize)>;

/// The verdict on certificates, written from the trust anchor's side down to the end entity.
fn verdict(anchor: Option<&str>, path: &[&str]) -> Verdict {
    let path: Vec<_> = path.iter().rev().map(|text| certificate(text)).collect();
    let anchor = anchor.map(certificate);
    match evaluate(&path, anchor.as_ref()) {
        Ok(()) => Ok(()),
        Err(PolicyProblem::NoValidPolicy { index, demanded_by }) => Err((index, demanded_by)),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_required_policy_must_be_asserted_by_the_whole_path() {
    let fine = Ok(());
    let cases: [(&[&str], Verdict); 34] = [
        // Nothing required: every path is accepted.
        (&["-", "-"], fine),
        (&["p", "q"], fine),
        (&["p m0 a0", "-"], fine),
        // With one, each certificate has to assert what those before it assert.
        (&["p e0", "p"], fine),
        (&["pq e0", "qr", "q"], fine),
        (&["p e0", "q"], Err((0, 1))),
        (&["p e0", "-"], Err((0, 1))),
        (&["pq e0", "p", "q"], Err((0, 2))),
        (&["- e0", "p"], Err((1, 1))),
        (&["-", "p e0", "p"], Err((2, 1))),
        (&["p", "p", "p e0"], fine),
        (&["p", "-", "p e0"], Err((1, 0))),
        (&["p", "p", "- e0"], Err((0, 0))),
        (&["p", "p", "- e1"], fine),
        // The requirement may begin later; the nearest one applies.
        (&["- e1", "-"], Err((1, 1))),
        (&["- e2", "-"], fine),
        (&["- e2", "-", "-"], Err((2, 2))),
        (&["p e3", "p e0", "-"], Err((0, 1))),
        (&["p e0", "p e3", "-"], Err((0, 2))),
        // Self-issued certificates do not count.
        (&["- e2", "- self", "-"], fine),
        (&["- e1", "- self", "-"], Err((2, 2))),
        // anyPolicy matches the expected policies, unless it is inhibited.
        (&["* e0", "p"], fine),
        (&["p e0", "*", "p"], fine),
        (&["p e0", "*", "q"], Err((0, 2))),
        (&["p e0 a0", "*"], Err((0, 1))),
        (&["p e0 a1", "*", "p"], fine),
        (&["p e0 a1", "*", "*"], Err((0, 2))),
        (&["p e0 a0", "* self", "p"], fine),
        (&["p e0 a0", "* self"], Err((0, 1))),
        // Mappings.
        (&["p e0 p>q", "q"], fine),
        (&["p e0 p>q", "p"], Err((0, 1))),
        (&["* e0 p>q", "q"], fine),
        (&["p e0 m0", "p p>q", "q"], Err((1, 2))),
        (&["p e0 m1", "p p>q", "q q>r", "r"], Err((1, 3))),
    ];
    for (path, expected) in cases {
        assert_eq!(verdict(None, path), expected, "{path:?}");
    }
}

#[test]
fn a_trust_anchors_policy_extensions_apply() {
    for (anchor, path, expected) in [
        ("-", &["p e0", "p"][..], Ok(())),
        ("q", &["p e0", "p"], Err((1, 1))),
        ("p", &["p e0", "p"], Ok(())),
        ("p e0", &["p"], Ok(())),
        ("- e0", &["p"], Ok(())),
        ("- e0", &["-"], Err((0, 1))),
        ("- e0 a0", &["*"], Err((0, 1))),
        ("p p>q", &["q e0", "q"], Ok(())),
        ("p", &["-", "-"], Ok(())),
    ] {
        assert_eq!(verdict(Some(anchor), path), expected, "{anchor} {path:?}");
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
}

fn oid(content: &[u8]) -> Vec<u8> {
    element(OBJECT_IDENTIFIER, content)
}

fn extension<'a>(value: &'a [u8], oid: &'static [u8], critical: bool) -> X509Extension<'a> {
    X509Extension::new(
        Oid::new(oid.into()),
        critical,
        value,
        x509_parser::extensions::ParsedExtension::Unparsed,
    )
}

#[test]
fn policies_are_unique_and_critical_qualifiers_must_be_known() {
    let qualified = |qualifier: &[u8]| {
        let qualifier = element(SEQUENCE, &[oid(qualifier), vec![5, 0]].concat());
        element(SEQUENCE, &[oid(P), element(SEQUENCE, &qualifier)].concat())
    };
    let plain = |policy: &[u8]| element(SEQUENCE, &oid(policy));
    let read = |information: &[u8], critical| {
        let value = element(SEQUENCE, information);
        policies(&extension(&value, CERTIFICATE_POLICIES, critical), 7)
            .map(|policies| (policies.any, policies.others.len()))
    };
    assert_eq!(
        read(&[plain(P), plain(ANY_POLICY)].concat(), true),
        Ok((true, 1))
    );
    assert_eq!(read(&qualified(KNOWN_QUALIFIERS[0]), true), Ok((false, 1)));
    assert_eq!(read(&qualified(&[0x2a, 9]), false), Ok((false, 1)));
    let unknown = PolicyProblem::UnknownQualifier {
        index: 7,
        oid: "1.2.9".to_owned(),
    };
    assert_eq!(read(&qualified(&[0x2a, 9]), true), Err(unknown));
    for malformed in [
        &[][..],
        &[plain(P), plain(P)].concat(),
        &[plain(ANY_POLICY), plain(ANY_POLICY)].concat(),
        &oid(P),
        &element(SEQUENCE, &[oid(P), element(SEQUENCE, &[])].concat()),
        &element(SEQUENCE, &[]),
        &[0x30],
    ] {
        let problem = read(malformed, false).unwrap_err();
        assert!(
            matches!(problem, PolicyProblem::Malformed { index: 7, .. }),
            "{malformed:?}"
        );
    }
}

#[test]
fn mappings_and_constraints_are_parsed_strictly() {
    let pair = |from: &[u8], to: &[u8]| element(SEQUENCE, &[oid(from), oid(to)].concat());
    assert_eq!(mappings(&element(SEQUENCE, &pair(P, Q))), Ok(vec![(P, Q)]));
    for malformed in [
        element(SEQUENCE, &[]),
        element(SEQUENCE, &pair(P, ANY_POLICY)),
        element(SEQUENCE, &pair(ANY_POLICY, Q)),
        element(SEQUENCE, &oid(P)),
        element(SEQUENCE, &element(SEQUENCE, &oid(P))),
        vec![],
    ] {
        assert!(mappings(&malformed).is_err(), "{malformed:?}");
    }
    for (value, expected) in [
        (&[0x30, 3, 0x80, 1, 0][..], Some((Some(0), None))),
        (&[0x30, 3, 0x81, 1, 5], Some((None, Some(5)))),
        (&[0x30, 6, 0x80, 1, 1, 0x81, 1, 2], Some((Some(1), Some(2)))),
        (&[0x30, 4, 0x80, 2, 1, 0], Some((Some(256), None))),
        (
            &[0x30, 11, 0x80, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            Some((Some(usize::MAX), None)),
        ),
        (&[0x30, 0], None),
        (&[0x30, 3, 0x80, 1, 0x80], None),
        (&[0x30, 2, 0x80, 0], None),
        (&[0x30, 4, 0x80, 2, 0, 1], None),
        (&[0x30, 6, 0x81, 1, 1, 0x80, 1, 2], None),
        (&[0x30, 3, 0x82, 1, 0], None),
    ] {
        assert_eq!(constraints(value), expected, "{value:?}");
    }
}

/// A node of RFC 5280's valid_policy_tree; here a list of levels, each node with its parent's place.
struct Node<'a> {
    parent: usize,
    policy: &'a [u8],
    expected: Vec<&'a [u8]>,
}

/// RFC 5280, 6.1, literally, with the tree: whether the path is accepted.
fn tree_accepts(path: &[PolicyExtensions<'_>]) -> bool {
    let count = path.len();
    let mut tree: Vec<Vec<Node<'_>>> = vec![vec![Node {
        parent: 0,
        policy: ANY_POLICY,
        expected: vec![ANY_POLICY],
    }]];
    let mut is_null = false;
    let (mut explicit, mut mapping, mut inhibit) = (count + 1, count + 1, count + 1);
    for (position, certificate) in path.iter().rev().enumerate() {
        let is_last = position + 1 == count;
        // 6.1.3 (d)
        if let Some(asserted) = certificate.policies.as_ref().filter(|_| !is_null) {
            let above = tree.last().unwrap();
            let mut level: Vec<Node<'_>> = Vec::new();
            for policy in &asserted.others {
                let mut matched = false;
                for (parent, node) in above.iter().enumerate() {
                    if node.expected.contains(policy) {
                        matched = true;
                        level.push(Node {
                            parent,
                            policy,
                            expected: vec![policy],
                        });
                    }
                }
                if !matched {
                    for (parent, node) in above.iter().enumerate() {
                        if node.policy == ANY_POLICY {
                            level.push(Node {
                                parent,
                                policy,
                                expected: vec![policy],
                            });
                        }
                    }
                }
            }
            if asserted.any && (inhibit > 0 || (!is_last && certificate.is_self_issued)) {
                for (parent, node) in above.iter().enumerate() {
                    for policy in &node.expected {
                        if !level
                            .iter()
                            .any(|child| child.parent == parent && child.policy == *policy)
                        {
                            level.push(Node {
                                parent,
                                policy,
                                expected: vec![policy],
                            });
                        }
                    }
                }
            }
            tree.push(level);
            is_null = prune(&tree);
        } else {
            is_null = true;
        }
        if explicit == 0 && is_null {
            return false;
        }
        if is_last {
            explicit = explicit.saturating_sub(1);
            if certificate.require_explicit_policy == Some(0) {
                explicit = 0;
            }
            break;
        }
        // 6.1.4 (b)
        if !is_null && !certificate.mappings.is_empty() {
            let mut sources: Vec<&[u8]> = certificate.mappings.iter().map(|pair| pair.0).collect();
            sources.sort_unstable();
            sources.dedup();
            let targets = |source: &[u8]| -> Vec<&[u8]> {
                let pairs = certificate.mappings.iter();
                pairs
                    .filter(|pair| pair.0 == source)
                    .map(|pair| pair.1)
                    .collect()
            };
            let level = tree.last_mut().unwrap();
            for source in sources {
                if mapping > 0 {
                    let mut found = false;
                    for node in level.iter_mut().filter(|node| node.policy == source) {
                        found = true;
                        node.expected = targets(source);
                    }
                    if !found && let Some(any) = level.iter().find(|node| node.policy == ANY_POLICY)
                    {
                        let parent = any.parent;
                        level.push(Node {
                            parent,
                            policy: source,
                            expected: targets(source),
                        });
                    }
                } else {
                    level.retain(|node| node.policy != source);
                }
            }
            is_null = prune(&tree);
        }
        if !certificate.is_self_issued {
            explicit = explicit.saturating_sub(1);
            mapping = mapping.saturating_sub(1);
            inhibit = inhibit.saturating_sub(1);
        }
        explicit = explicit.min(certificate.require_explicit_policy.unwrap_or(usize::MAX));
        mapping = mapping.min(certificate.inhibit_policy_mapping.unwrap_or(usize::MAX));
        inhibit = inhibit.min(certificate.inhibit_any_policy.unwrap_or(usize::MAX));
    }
    explicit > 0 || !is_null
}

/// Whether the tree is empty. Nodes without children in higher levels are kept, since they do not matter.
fn prune(tree: &[Vec<Node<'_>>]) -> bool {
    tree.last().is_none_or(Vec::is_empty)
}

fn any_certificate() -> impl Strategy<Value = PolicyExtensions<'static>> {
    let policy = || prop::sample::select(vec![P, Q, R]);
    let number = || prop::option::weighted(0.3, 0usize..3);
    let policies = (prop::bool::ANY, prop::collection::btree_set(policy(), 0..3))
        .prop_map(|(any, others)| Policies { any, others })
        .prop_filter("an extension names one at least", |policies| {
            !policies.is_empty()
        });
    (
        prop::option::weighted(0.9, policies),
        prop::collection::vec((policy(), policy()), 0..3),
        number(),
        number(),
        number(),
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |(policies, mappings, explicit, mapping, inhibit, is_self_issued)| PolicyExtensions {
                policies,
                mappings,
                require_explicit_policy: explicit,
                inhibit_policy_mapping: mapping,
                inhibit_any_policy: inhibit,
                is_self_issued,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_set_agrees_with_the_tree(path in prop::collection::vec(any_certificate(), 1..6)) {
        prop_assert_eq!(evaluate(&path, None).is_ok(), tree_accepts(&path));
    }

    #[test]
    fn arbitrary_bytes_never_panic(value in prop::collection::vec(any::<u8>(), 0..40), critical: bool) {
        let _ = policies(&extension(&value, CERTIFICATE_POLICIES, critical), 0);
        let _ = mappings(&value);
        let _ = constraints(&value);
        let _ = skip_certificates(&value);
    }
}

#[test]
fn many_mappings_cost_linear_work() {
    // In a tree each level would multiply the nodes: 40 levels are 2^40.
    let doubling = certificate("pq e0 p>p p>q q>p q>q");
    let path: Vec<_> = std::iter::once(certificate("p"))
        .chain(std::iter::repeat_n(doubling, 40))
        .collect();
    assert_eq!(evaluate(&path, None), Ok(()));
}
