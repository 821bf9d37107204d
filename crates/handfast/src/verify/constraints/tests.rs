//! Name constraints: a table for each form, and comparison with a slow and obvious implementation.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match length {
        0..=0x7f => vec![tag, u8::try_from(length).unwrap()],
        _ => vec![
            tag,
            0x82,
            u8::try_from(length >> 8).unwrap(),
            u8::try_from(length & 0xff).unwrap(),
        ],
    };
    [header, content.to_vec()].concat()
}

/// A directory name of organizations: `a/b` is O=a, O=b.
fn directory(text: &str) -> Vec<u8> {
    let names: Vec<u8> = text
        .split('/')
        .filter(|part| !part.is_empty())
        .flat_map(|part| {
            let pair = [
                element(OBJECT_IDENTIFIER, &[0x55, 4, 10]),
                element(0x0c, part.as_bytes()),
            ];
            element(SET, &element(SEQUENCE, &pair.concat()))
        })
        .collect();
    element(SEQUENCE, &names)
}

/// A general name as `dns:`, `ip:` (hexadecimal), `dir:`, `mail:`, `uri:`, `id:`, `other:` and its text.
fn general_name(text: &str) -> Vec<u8> {
    let (form, text) = text.split_once(':').unwrap();
    match form {
        "mail" => element(0x81, text.as_bytes()),
        "dns" => element(0x82, text.as_bytes()),
        "dir" => element(0xa4, &directory(text)),
        "uri" => element(0x86, text.as_bytes()),
        "ip" => element(0x87, &from_hex(text)),
        "id" => element(0x88, &from_hex(text)),
        "other" => element(0xa0, &from_hex(text)),
        _ => panic!("{form}"),
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn subtrees(tag: u8, bases: &[&str]) -> Vec<u8> {
    let list: Vec<u8> = bases
        .iter()
        .flat_map(|base| element(SEQUENCE, &general_name(base)))
        .collect();
    if list.is_empty() {
        Vec::new()
    } else {
        element(tag, &list)
    }
}

fn constraints(permitted: &[&str], excluded: &[&str]) -> NameConstraints {
    let lists = [
        subtrees(CONTEXT_0, permitted),
        subtrees(CONTEXT_1, excluded),
    ]
    .concat();
    NameConstraints::from_der(&element(SEQUENCE, &lists)).unwrap()
}

fn verdict(constraints: &NameConstraints, subject: &str, names: &[&str]) -> Result<(), Violation> {
    let subject = directory(subject);
    let names: Vec<u8> = names.iter().flat_map(|name| general_name(name)).collect();
    let names = element(SEQUENCE, &names);
    constraints.check(
        &Names::read(&subject, Some(&names)).unwrap(),
        &mut Budget::new(),
    )
}

#[test]
fn each_form_has_its_rule() {
    const YES: bool = true;
    const NO: bool = false;
    // A base, a name, whether the name is allowed if the base is permitted, and if it is excluded.
    for (base, name, if_permitted, if_excluded) in [
        ("dns:example.com", "dns:example.com", YES, NO),
        ("dns:example.com", "dns:EXAMPLE.com", YES, NO),
        ("dns:Example.com", "dns:a.b.example.com", YES, NO),
        ("dns:example.com", "dns:badexample.com", NO, YES),
        ("dns:example.com", "dns:com", NO, YES),
        ("dns:example.com", "dns:*.example.com", YES, NO),
        ("dns:example.com", "dns:*.com", NO, NO),
        ("dns:a.example.com", "dns:*.example.com", NO, NO),
        ("dns:b.a.example.com", "dns:*.example.com", NO, YES),
        ("dns:.example.com", "dns:example.com", NO, YES),
        ("dns:.example.com", "dns:a.example.com", YES, NO),
        ("dns:.example.com", "dns:*.example.com", YES, NO),
        ("dns:", "dns:anything.example", YES, NO),
        ("dns:example.com", "dns:example.com.", NO, NO),
        ("dns:example.com", "dns:a*.example.com", NO, NO),
        ("dns:example.com", "dns:", NO, NO),
        ("dns:example.com", "ip:0a000001", YES, YES),
        (
            "dns:example.com",
            "uri:https://elsewhere.example/",
            YES,
            YES,
        ),
        ("ip:0a000000ff000000", "ip:0a010203", YES, NO),
        ("ip:0a000000ff000000", "ip:0b010203", NO, YES),
        ("ip:0a0102ffffffff00", "ip:0a010203", YES, NO),
        ("ip:0000000000000000", "ip:0b010203", YES, NO),
        (
            "ip:0a000000ff000000",
            "ip:20010db8000000000000000000000001",
            NO,
            YES,
        ),
        (
            "ip:20010db8000000000000000000000000ffffffff000000000000000000000000",
            "ip:20010db8000000000000000000000001",
            YES,
            NO,
        ),
        ("ip:0a000000ff000000", "ip:0a0102", NO, NO),
        ("mail:example.com", "mail:someone@Example.com", YES, NO),
        ("mail:example.com", "mail:someone@a.example.com", NO, YES),
        ("mail:.example.com", "mail:someone@a.example.com", YES, NO),
        ("mail:.example.com", "mail:someone@example.com", NO, YES),
        ("mail:one@example.com", "mail:one@EXAMPLE.com", YES, NO),
        ("mail:one@example.com", "mail:One@example.com", NO, YES),
        ("mail:one@example.com", "mail:two@example.com", NO, YES),
        ("mail:", "mail:someone@example.com", YES, NO),
        ("mail:example.com", "mail:example.com", NO, NO),
        ("mail:example.com", "mail:\"a@b\"@example.com", NO, NO),
        ("mail:example.com", "mail:a@b@example.com", NO, NO),
        ("uri:example.com", "uri:https://example.com/path", YES, NO),
        (
            "uri:example.com",
            "uri:https://user@EXAMPLE.com:8443?query",
            YES,
            NO,
        ),
        ("uri:example.com", "uri:https://a.example.com", NO, YES),
        ("uri:.example.com", "uri:https://a.b.example.com", YES, NO),
        ("uri:.example.com", "uri:https://example.com", NO, YES),
        ("uri:example.com", "uri:urn:example:com", NO, NO),
        ("uri:example.com", "uri:https://192.0.2.1/", NO, NO),
        ("uri:example.com", "uri:https://[2001:db8::1]/", NO, NO),
        (
            "uri:example.com",
            "uri:https://example.com@elsewhere.example/",
            NO,
            YES,
        ),
        ("uri:example.com", "uri:https:example.com", NO, NO),
        ("dir:a/b", "dir:a/b", YES, NO),
        ("dir:a/b", "dir:A/B/c", YES, NO),
        ("dir:a/b", "dir:a", NO, YES),
        ("dir:a/b", "dir:b/a", NO, YES),
        ("dir:", "dir:a", YES, NO),
        // Forms without a rule are refused only in names of that form.
        ("id:2a03", "id:2a03", NO, NO),
        ("other:0603", "other:0603", NO, NO),
        ("other:0603", "dns:example.com", YES, YES),
        ("id:2a03", "other:0603", YES, YES),
    ] {
        let permitted = verdict(&constraints(&[base], &[]), "", &[name]);
        assert_eq!(
            permitted.is_ok(),
            if_permitted,
            "permitted {base}, {name}: {permitted:?}"
        );
        let excluded = verdict(&constraints(&[], &[base]), "", &[name]);
        assert_eq!(
            excluded.is_ok(),
            if_excluded,
            "excluded {base}, {name}: {excluded:?}"
        );
    }
}

#[test]
fn one_matching_permitted_subtree_suffices_and_one_excluded_refuses() {
    let some = constraints(
        &["dns:a.example", "dns:b.example", "ip:0a000000ff000000"],
        &["dns:secret.a.example"],
    );
    for (names, expected) in [
        (&["dns:x.a.example", "dns:b.example"][..], None),
        (
            &["dns:x.a.example", "ip:0a000001", "mail:x@y.example"],
            None,
        ),
        (
            &["dns:x.a.example", "dns:c.example"],
            Some("DNS name c.example is not in the permitted subtrees: a.example, b.example"),
        ),
        (
            &["dns:x.secret.a.example"],
            Some("DNS name x.secret.a.example is in the excluded subtree secret.a.example"),
        ),
        (
            &["ip:c0000201"],
            Some("IP address 192.0.2.1 is not in the permitted subtrees: 10.0.0.0/8"),
        ),
        (
            &["dns:\u{1b}[2J"],
            Some("DNS name \\u{1b}[2J is malformed and cannot be compared"),
        ),
    ] {
        let result = verdict(&some, "", names)
            .err()
            .map(|violation| violation.to_string());
        assert_eq!(result.as_deref(), expected, "{names:?}");
    }
}

#[test]
fn the_subject_is_a_directory_name_unless_it_is_empty() {
    let some = constraints(&["dir:a"], &[]);
    assert_eq!(verdict(&some, "a/x", &["dns:example.com"]), Ok(()));
    assert_eq!(verdict(&some, "", &["dns:example.com"]), Ok(()));
    let violation = verdict(&some, "b", &["dns:example.com"]).unwrap_err();
    assert_eq!(violation.form, Form::Directory);
    assert_eq!(
        violation.to_string(),
        "directory name O=b is not in the permitted subtrees: O=a"
    );
}

#[test]
fn a_mail_address_in_the_subject_counts_without_alternative_names() {
    let pair = [
        element(OBJECT_IDENTIFIER, EMAIL_ADDRESS),
        element(0x16, b"x@b.example"),
    ]
    .concat();
    let subject = element(SEQUENCE, &element(SET, &element(SEQUENCE, &pair)));
    let some = constraints(&["mail:a.example"], &[]);
    let alone = Names::read(&subject, None).unwrap();
    let violation = some.check(&alone, &mut Budget::new()).unwrap_err();
    assert_eq!(
        (violation.form, violation.name.as_str()),
        (Form::Mail, "x@b.example")
    );
    let names = element(SEQUENCE, &general_name("dns:example.com"));
    let beside = Names::read(&subject, Some(&names)).unwrap();
    assert_eq!(some.check(&beside, &mut Budget::new()), Ok(()));
}

#[test]
fn malformed_constraints_are_a_fault_of_the_authority() {
    let of_base = |base: &[u8]| element(SEQUENCE, &element(CONTEXT_0, &element(SEQUENCE, base)));
    for (value, what) in [
        (vec![], "not a sequence"),
        (element(SEQUENCE, &[]), "they are empty"),
        (
            element(SEQUENCE, &element(CONTEXT_0, &[])),
            "an empty list of subtrees",
        ),
        (
            element(SEQUENCE, &element(CONTEXT_1, &[])),
            "an empty list of subtrees",
        ),
        (
            element(SEQUENCE, &element(0xa2, &[])),
            "bytes follow the subtrees",
        ),
        (of_base(&[]), "a subtree without a base"),
        (of_base(&element(0x89, b"")), "a base of an unknown form"),
        (
            of_base(&general_name("dns:*.example.com")),
            "\"*.example.com\" is not a DNS name",
        ),
        (
            of_base(&general_name("dns:example.com.")),
            "\"example.com.\" is not a DNS name",
        ),
        (
            of_base(&general_name("dns:exämple")),
            "a DNS name that is not ASCII",
        ),
        (
            of_base(&general_name("ip:0a000000")),
            "an IP address range that is not an address and a mask",
        ),
        (
            of_base(&general_name("ip:0a000000ff00ff00")),
            "an IP address range that is not an address and a mask",
        ),
        (
            of_base(&general_name("mail:@example.com")),
            "\"@example.com\" is neither a mailbox nor a host",
        ),
        (
            of_base(&general_name("uri:https://example.com")),
            "\"https://example.com\" is not a host",
        ),
        (of_base(&element(0xa4, b"x")), "a malformed directory name"),
        (
            of_base(&[general_name("dns:a"), element(0x82, b"")].concat()),
            "bytes follow a base",
        ),
    ] {
        let result = NameConstraints::from_der(&value).unwrap_err();
        assert_eq!(
            result,
            format!("its name constraints are malformed: {what}"),
            "{value:?}"
        );
    }
}

#[test]
fn a_minimum_or_maximum_is_not_processed() {
    for field in [
        element(0x80, &[0]),
        element(0x80, &[1]),
        element(0x81, &[3]),
    ] {
        let subtree = element(SEQUENCE, &[general_name("dns:a.example"), field].concat());
        let value = element(SEQUENCE, &element(CONTEXT_0, &subtree));
        let some = NameConstraints::from_der(&value).unwrap();
        let violation = verdict(&some, "", &["dns:a.example"]).unwrap_err();
        assert_eq!(violation.breach, Breach::NotProcessed);
        assert_eq!(verdict(&some, "", &["ip:0a000001"]), Ok(()));
    }
}

#[test]
fn comparisons_are_bounded() {
    let some = constraints(
        &["dns:a.example", "dns:b.example"],
        &["ip:0a000000ff000000"],
    );
    let names = element(SEQUENCE, &general_name("dns:a.example").repeat(10));
    let subject = directory("");
    let names = Names::read(&subject, Some(&names)).unwrap();
    assert_eq!(some.check(&names, &mut Budget::of(30)), Ok(()));
    let violation = some.check(&names, &mut Budget::of(29)).unwrap_err();
    assert_eq!(violation.breach, Breach::TooManyComparisons);
}

#[test]
fn malformed_names_are_a_fault_of_their_certificate() {
    let subject = directory("a");
    for value in [&[][..], &[0x31, 0], &[0x30, 2, 0x89, 0], &[0x30, 1, 0x82]] {
        assert!(Names::read(&subject, Some(value)).is_err(), "{value:?}");
    }
    assert!(Names::read(&subject, Some(&[0x30, 0])).is_ok());
}

/// Every host name of up to three labels a, b, c. Bases have only a and b, so some names are always outside.
fn every_host() -> Vec<String> {
    let mut hosts: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
    for _ in 0..2 {
        let longer: Vec<String> = hosts
            .iter()
            .flat_map(|host| ["a", "b", "c"].map(|label| format!("{label}.{host}")))
            .collect();
        hosts.extend(longer);
    }
    hosts.sort();
    hosts.dedup();
    hosts
}

/// The hosts that a name or, with subdomains, a base matches, compared by labels from the right.
fn hosts_of(text: &str, with_subdomains: bool) -> BTreeSet<String> {
    let pattern: Vec<&str> = text.rsplit('.').filter(|label| !label.is_empty()).collect();
    every_host()
        .into_iter()
        .filter(|host| {
            let labels: Vec<&str> = host.rsplit('.').collect();
            let fits = pattern.len() <= labels.len()
                && pattern
                    .iter()
                    .zip(&labels)
                    .all(|(expected, label)| *expected == "*" || expected == label);
            let is_longer = labels.len() > pattern.len();
            fits && (with_subdomains || !is_longer) && (!text.starts_with('.') || is_longer)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn dns_constraints_agree_with_lists_of_hosts(
        name in r"(\*\.)?([abc]\.){0,1}[abc]",
        base in r"\.?([ab]\.){0,1}[ab]|",
    ) {
        let (hosts, subtree) = (hosts_of(&name, false), hosts_of(&base, true));
        let (name, base) = (format!("dns:{name}"), format!("dns:{base}"));
        let permitted = verdict(&constraints(&[&base], &[]), "", &[&name]).is_ok();
        prop_assert_eq!(permitted, hosts.is_subset(&subtree));
        let excluded = verdict(&constraints(&[], &[&base]), "", &[&name]).is_err();
        prop_assert_eq!(excluded, !hosts.is_disjoint(&subtree));
    }

    #[test]
    fn address_constraints_agree_with_arithmetic(address: u32, network: u32, bits in 0u32..=32) {
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        let base = format!("ip:{network:08x}{mask:08x}");
        let allowed = verdict(&constraints(&[&base], &[]), "", &[&format!("ip:{address:08x}")]).is_ok();
        prop_assert_eq!(allowed, (address ^ network) & mask == 0);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        value in prop::collection::vec(any::<u8>(), 0..60),
        position in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let lists = [
            subtrees(CONTEXT_0, &["dns:a.example", "dir:a/b", "mail:x@a.example"]),
            subtrees(CONTEXT_1, &["ip:0a000000ff000000", "uri:.a.example", "id:2a03"]),
        ];
        let mut changed = element(SEQUENCE, &lists.concat());
        let position = position.index(changed.len());
        changed[position] = byte;
        for value in [&value, &changed] {
            if let Ok(constraints) = NameConstraints::from_der(value) {
                let _ = verdict(&constraints, "a/b", &["dns:a.example", "ip:0a000001", "uri:x", "id:2a03"]);
            }
            let subject = directory("a");
            for (subject, names) in [(&subject[..], Some(&value[..])), (value, None)] {
                if let Ok(names) = Names::read(subject, names) {
                    let some = constraints(&["dns:a.example", "dir:a/b"], &["mail:a.example"]);
                    let result = some.check(&names, &mut Budget::new());
                    let is_escaped = !result.is_err_and(|result| result.to_string().contains('\u{1b}'));
                    prop_assert!(is_escaped);
                }
            }
        }
    }
}
