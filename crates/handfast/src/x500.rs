//! Compares distinguished names (RFC 5280, section 7.1).
//!
//! Decides whether two DER names are the same name. Each name is converted to a canonical form, and two are
//! equal if their forms are; so equality is an equivalence for all bytes. The meaning of a name,
//! and its form for users, are in `x509`.
//!
//! - Text in PrintableString, UTF8String, IA5String, TeletexString (read as Latin-1, as everywhere), BMPString,
//!   UniversalString and similar types is compared regardless of its type. Case is ignored, and space at the
//!   ends; inner runs of space count as one (RFC 4518, required by section 7.1). The same applies to domain components and mail
//!   addresses in IA5String (7.3).
//! - Values of other types, and text that is invalid for its type, are compared as bytes, including the type.
//! - The attributes of one relative name may be in any order.
//! - Composed and decomposed characters stay different (no Unicode normalization), as in OpenSSL and BoringSSL: the
//!   stricter side, and no real name depends on it.

use crate::der::{Element, OBJECT_IDENTIFIER, SEQUENCE, SET};

const UTF8_STRING: u8 = 0x0c;
const NUMERIC_STRING: u8 = 0x12;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const VISIBLE_STRING: u8 = 0x1a;
const UNIVERSAL_STRING: u8 = 0x1c;
const BMP_STRING: u8 = 0x1e;

/// Marks a value as text in canonical form; every other value begins with its tag. DER has no element of tag 0.
const TEXT: u8 = 0;

/// Whether two DER names, each with its SEQUENCE, are the same name. Malformed names are equal only to the same
/// bytes.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    matches!((canonical(a), canonical(b)), (Some(a), Some(b)) if a == b)
}

/// Whether `name` lies within the subtree of `base`: its first relative names are those of `base` (RFC 5280,
/// 4.2.1.10). Malformed names are not within any subtree.
#[cfg(test)]
pub(crate) fn begins_with(name: &[u8], base: &[u8]) -> bool {
    matches!((canonical(name), canonical(base)), (Some(name), Some(base)) if name.starts_with(&base))
}

/// The canonical form, to compare one name with many. Each relative name has its length before it, so
/// that a name within a subtree begins with the form of the subtree's base. `None` for a malformed name.
pub(crate) fn canonical(name: &[u8]) -> Option<Vec<u8>> {
    let mut form = Vec::with_capacity(name.len().saturating_mul(2));
    let mut relative_names = Element::only_of(name, SEQUENCE)?.reader();
    while !relative_names.is_done() {
        let mut attributes = relative_names.take(SET)?.reader();
        let mut values = Vec::new();
        while !attributes.is_done() {
            values.push(canonical_attribute(attributes.take(SEQUENCE)?)?);
        }
        if values.is_empty() {
            return None;
        }
        values.sort_unstable();
        let mut relative_name = Vec::new();
        for value in &values {
            push_with_length(&mut relative_name, value);
        }
        push_with_length(&mut form, &relative_name);
    }
    Some(form)
}

fn canonical_attribute(attribute: Element<'_>) -> Option<Vec<u8>> {
    let mut reader = attribute.reader();
    let kind = reader.take(OBJECT_IDENTIFIER)?;
    let value = reader.take_next()?;
    if !reader.is_done() || value.tag == TEXT {
        return None;
    }
    let mut form = Vec::with_capacity(attribute.raw.len());
    push_with_length(&mut form, kind.content);
    match text(value) {
        Some(text) => {
            form.push(TEXT);
            form.extend_from_slice(prepared(&text).as_bytes());
        }
        None => form.extend_from_slice(value.raw),
    }
    Some(form)
}

/// The text of a value, if it has a string type and is valid for it.
fn text(value: Element<'_>) -> Option<String> {
    let bytes = value.content;
    match value.tag {
        UTF8_STRING => String::from_utf8(bytes.to_vec()).ok(),
        // Authorities often use other ASCII characters in a PrintableString.
        PRINTABLE_STRING | IA5_STRING | VISIBLE_STRING | NUMERIC_STRING => bytes
            .is_ascii()
            .then(|| bytes.iter().copied().map(char::from).collect()),
        TELETEX_STRING => Some(bytes.iter().copied().map(char::from).collect()),
        BMP_STRING => units(bytes)?
            .map(|[high, low]| char::from_u32(u32::from_be_bytes([0, 0, high, low])))
            .collect(),
        UNIVERSAL_STRING => units(bytes)?
            .map(|unit: [u8; 4]| char::from_u32(u32::from_be_bytes(unit)))
            .collect(),
        _ => None,
    }
}

/// Units of `N` bytes each; `None` if bytes are left over.
fn units<const N: usize>(bytes: &[u8]) -> Option<impl Iterator<Item = [u8; N]>> {
    let units = bytes.chunks_exact(N);
    units
        .remainder()
        .is_empty()
        .then(|| units.filter_map(|unit| unit.try_into().ok()))
}

/// Folds case, removes space at the ends, and collapses inner runs (RFC 4518, sections 2.2 and 2.6.1).
fn prepared(text: &str) -> String {
    let mut prepared = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !prepared.is_empty() {
            prepared.push(' ');
        }
        for character in word.chars() {
            match character {
                // Lower case already, but mapped to another letter (RFC 3454, appendix B.2).
                'ß' | 'ẞ' => prepared.push_str("ss"),
                'ς' => prepared.push('σ'),
                'ſ' => prepared.push('s'),
                _ => prepared.extend(character.to_lowercase()),
            }
        }
    }
    prepared
}

fn push_with_length(form: &mut Vec<u8>, bytes: &[u8]) {
    // Lengths come from DER of at most four octets each.
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    form.extend_from_slice(&length.to_be_bytes());
    form.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMMON_NAME: &[u8] = &[0x55, 4, 3];
    const ORGANIZATION: &[u8] = &[0x55, 4, 10];
    const UNIQUE_IDENTIFIER: &[u8] = &[0x55, 4, 45];
    const DOMAIN_COMPONENT: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25];

    type Attribute<'a> = (&'a [u8], u8, &'a [u8]);

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        assert!(content.len() < 0x80, "short names will do");
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn name(relative_names: &[&[Attribute<'_>]]) -> Vec<u8> {
        let sets: Vec<u8> = relative_names
            .iter()
            .flat_map(|attributes| {
                let attributes: Vec<u8> = attributes
                    .iter()
                    .flat_map(|(kind, tag, value)| {
                        let pair = [element(OBJECT_IDENTIFIER, kind), element(*tag, value)];
                        element(SEQUENCE, &pair.concat())
                    })
                    .collect();
                element(SET, &attributes)
            })
            .collect();
        element(SEQUENCE, &sets)
    }

    fn common_name(tag: u8, value: &[u8]) -> Vec<u8> {
        name(&[&[(COMMON_NAME, tag, value)]])
    }

    #[test]
    fn text_is_compared_without_its_type_its_case_and_its_space() {
        let plain = common_name(PRINTABLE_STRING, b"Example Root 1");
        for (tag, value) in [
            (PRINTABLE_STRING, &b"example ROOT 1"[..]),
            (UTF8_STRING, b"Example Root 1"),
            (UTF8_STRING, b"  Example \t Root  1 "),
            (UTF8_STRING, "Example\u{a0}Root\u{2003}1".as_bytes()),
            (TELETEX_STRING, b"Example Root 1"),
            (IA5_STRING, b"EXAMPLE ROOT 1"),
            (VISIBLE_STRING, b"Example Root 1"),
            (
                BMP_STRING,
                b"\0E\0x\0a\0m\0p\0l\0e\0 \0R\0o\0o\0t\0 \x001",
            ),
            (
                UNIVERSAL_STRING,
                b"\0\0\0e\0\0\0x\0\0\0a\0\0\0m\0\0\0p\0\0\0l\0\0\0e\0\0\0 \0\0\0r\0\0\0o\0\0\0o\0\0\0t\0\0\0 \0\0\x001",
            ),
        ] {
            assert!(equal(&plain, &common_name(tag, value)), "{tag:#x} {value:?}");
        }
        for (tag, value) in [
            (PRINTABLE_STRING, &b"ExampleRoot 1"[..]),
            (PRINTABLE_STRING, b"Example Root 2"),
            (PRINTABLE_STRING, b"Example Root 1\0"),
            (UTF8_STRING, "Example Root 1\u{200b}".as_bytes()),
            (OBJECT_IDENTIFIER, b"Example Root 1"),
        ] {
            assert!(
                !equal(&plain, &common_name(tag, value)),
                "{tag:#x} {value:?}"
            );
        }
    }

    #[test]
    fn letters_beyond_ascii_are_case_folded() {
        for (a, b, same) in [
            ("MÜNCHEN", "münchen", true),
            ("Straße", "STRASSE", true),
            ("ΟΔΟΣ", "οδος", true),
            ("Пример", "пРИМЕР", true),
            // A dotless i is not folded.
            ("ı", "i", false),
            ("e\u{301}", "é", false),
        ] {
            let a_name = common_name(UTF8_STRING, a.as_bytes());
            let b_name = common_name(UTF8_STRING, b.as_bytes());
            assert_eq!(equal(&a_name, &b_name), same, "{a} {b}");
        }
        let latin_1 = common_name(TELETEX_STRING, b"M\xdcNCHEN");
        assert!(equal(
            &latin_1,
            &common_name(UTF8_STRING, "München".as_bytes())
        ));
    }

    #[test]
    fn text_that_is_invalid_for_its_type_is_compared_as_bytes() {
        for (tag, value) in [
            (UTF8_STRING, &b"\xff"[..]),
            (PRINTABLE_STRING, b"\xe9"),
            (IA5_STRING, b"\xe9"),
            (BMP_STRING, b"\0A\0"),
            (BMP_STRING, b"\xd8\x00"),
            (UNIVERSAL_STRING, b"\0\0\0"),
            (UNIVERSAL_STRING, b"\x7f\0\0\0"),
            (0x03, b"\0\x01"),
        ] {
            let odd = common_name(tag, value);
            assert!(equal(&odd, &odd.clone()), "{tag:#x} {value:?}");
            let other_type = if tag == UTF8_STRING {
                BMP_STRING
            } else {
                UTF8_STRING
            };
            assert!(!equal(&odd, &common_name(other_type, value)), "{tag:#x}");
        }
        // Bytes are not case folded.
        let (upper, lower): (Attribute<'_>, Attribute<'_>) = (
            (UNIQUE_IDENTIFIER, 0x03, b"\0A"),
            (UNIQUE_IDENTIFIER, 0x03, b"\0a"),
        );
        assert!(!equal(&name(&[&[upper]]), &name(&[&[lower]])));
    }

    #[test]
    fn attributes_of_one_relative_name_are_a_set_and_relative_names_a_sequence() {
        let (cn, o): (Attribute<'_>, Attribute<'_>) = (
            (COMMON_NAME, UTF8_STRING, b"a"),
            (ORGANIZATION, UTF8_STRING, b"b"),
        );
        assert!(equal(&name(&[&[cn, o]]), &name(&[&[o, cn]])));
        assert!(!equal(&name(&[&[cn], &[o]]), &name(&[&[o], &[cn]])));
        assert!(!equal(&name(&[&[cn, o]]), &name(&[&[cn], &[o]])));
        assert!(!equal(&name(&[&[cn, cn]]), &name(&[&[cn]])));
        assert!(!equal(
            &name(&[&[(COMMON_NAME, UTF8_STRING, b"b")]]),
            &name(&[&[o]]),
        ));
    }

    #[test]
    fn domain_components_have_no_case() {
        let domain = |tag, label: &'static [u8]| name(&[&[(DOMAIN_COMPONENT, tag, label)]]);
        assert!(equal(
            &domain(IA5_STRING, b"Example"),
            &domain(IA5_STRING, b"eXAMPLE")
        ));
        assert!(!equal(
            &domain(IA5_STRING, b"example"),
            &domain(IA5_STRING, b"example2")
        ));
    }

    #[test]
    fn a_subtree_holds_the_names_that_begin_with_its_base() {
        let (c, o, cn): (Attribute<'_>, Attribute<'_>, Attribute<'_>) = (
            (&[0x55, 4, 6], PRINTABLE_STRING, b"DE"),
            (ORGANIZATION, UTF8_STRING, b"Example"),
            (COMMON_NAME, UTF8_STRING, b"shop"),
        );
        let whole = name(&[&[c], &[o], &[cn]]);
        for base in [
            name(&[]),
            name(&[&[c]]),
            name(&[&[c], &[(ORGANIZATION, PRINTABLE_STRING, b"EXAMPLE")]]),
            whole.clone(),
        ] {
            assert!(begins_with(&whole, &base));
        }
        for base in [
            name(&[&[o]]),
            name(&[&[o], &[cn]]),
            name(&[&[c], &[cn]]),
            name(&[&[c, o]]),
            name(&[&[c], &[o], &[cn], &[cn]]),
            name(&[&[c], &[(ORGANIZATION, UTF8_STRING, b"Exam")]]),
        ] {
            assert!(!begins_with(&whole, &base));
        }
    }

    #[test]
    fn malformed_names_are_equal_only_to_themselves() {
        for odd in [
            &[][..],
            &[0x30],
            &[0x30, 1],
            &[0x30, 2, 0x31, 0],
            &[0x30, 2, 0x30, 0],
            &[0x30, 4, 0x31, 2, 0x30, 0],
            &[0x30, 0, 0],
            &[0x31, 0],
            &common_name(0, b"a"),
        ] {
            assert_eq!(canonical(odd), None, "{odd:?}");
            assert!(equal(odd, odd));
            assert!(!begins_with(odd, &name(&[])), "{odd:?}");
            assert!(!begins_with(&name(&[]), odd), "{odd:?}");
        }
    }

    /// Names of few letters, so that equal ones come up.
    fn any_name() -> impl Strategy<Value = Vec<u8>> {
        let tag = prop::sample::select(vec![UTF8_STRING, PRINTABLE_STRING, TELETEX_STRING, 0x04]);
        let attribute = (prop::bool::ANY, tag, "[aA ß]{0,3}");
        prop::collection::vec(prop::collection::vec(attribute, 1..3), 0..3).prop_map(|names| {
            let names: Vec<Vec<Attribute<'_>>> = names
                .iter()
                .map(|attributes| {
                    attributes
                        .iter()
                        .map(|(is_common_name, tag, value)| {
                            let kind = if *is_common_name {
                                COMMON_NAME
                            } else {
                                ORGANIZATION
                            };
                            (kind, *tag, value.as_bytes())
                        })
                        .collect()
                })
                .collect();
            let names: Vec<&[Attribute<'_>]> = names.iter().map(Vec::as_slice).collect();
            name(&names)
        })
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_compared(a in prop::collection::vec(any::<u8>(), 0..64), b in any_name()) {
            prop_assert!(equal(&a, &a));
            prop_assert_eq!(equal(&a, &b), equal(&b, &a));
            let _ = begins_with(&a, &b);
        }

        #[test]
        fn a_changed_byte_never_panics(a in any_name(), position in any::<prop::sample::Index>(), byte: u8) {
            let mut changed = a.clone();
            let position = position.index(changed.len());
            changed[position] = byte;
            prop_assert_eq!(equal(&a, &changed), equal(&changed, &a));
        }

        #[test]
        fn equality_is_an_equivalence(a in any_name(), b in any_name(), c in any_name()) {
            prop_assert!(equal(&a, &a));
            prop_assert_eq!(equal(&a, &b), equal(&b, &a));
            if equal(&a, &b) && equal(&b, &c) {
                prop_assert!(equal(&a, &c));
            }
            // Two names within each other's subtree are one.
            prop_assert_eq!(begins_with(&a, &b) && begins_with(&b, &a), equal(&a, &b));
        }
    }
}
