//! The order of names that people expect: `a2` before `a10`, capitals beside small letters.

use std::cmp::Ordering;

/// Compares names: digits by the number that they make, ASCII letters without regard to case, other bytes by value. Names that
/// are equal by that are in the order of their bytes, so that no two are equal.
pub(crate) fn compare(one: &[u8], other: &[u8]) -> Ordering {
    let (mut a, mut b) = (one, other);
    loop {
        match (a.split_first(), b.split_first()) {
            (Some((x, _)), Some((y, _))) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let ((m, rest_a), (n, rest_b)) = (number(a), number(b));
                match m.len().cmp(&n.len()).then_with(|| m.cmp(n)) {
                    Ordering::Equal => (a, b) = (rest_a, rest_b),
                    unequal => return unequal,
                }
            }
            (Some((x, rest_a)), Some((y, rest_b))) => {
                match x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase()) {
                    Ordering::Equal => (a, b) = (rest_a, rest_b),
                    unequal => return unequal,
                }
            }
            (None, None) => return one.cmp(other),
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
        }
    }
}

/// The digits at the beginning without leading zeros, and what follows.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit());
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    (digits.get(zeros..).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_in_the_order_that_people_expect() {
        let ordered = [
            "",
            "01",
            "1",
            "2.txt",
            "010.txt",
            "10.txt",
            "a",
            "A1",
            "a1",
            "a1b",
            "a2",
            "a10",
            "B",
            "b 2",
            "b 10",
            "b-1",
            "z99999999999999999999999998",
            "z99999999999999999999999999",
            "\u{e4}",
        ];
        for (index, one) in ordered.iter().enumerate() {
            for (position, other) in ordered.iter().enumerate() {
                let found = compare(one.as_bytes(), other.as_bytes());
                assert_eq!(found, index.cmp(&position), "{one:?} {other:?}");
            }
        }
    }

    proptest! {
        /// What a sort needs, for any bytes.
        #[test]
        fn the_order_is_total(names in prop::collection::vec("[aAbB019\u{e4}-]{0,6}", 3)) {
            let [a, b, c] = [0, 1, 2].map(|index| names[index].as_bytes());
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
            prop_assert_eq!(compare(a, b) == Ordering::Equal, a == b);
            if compare(a, b).is_le() && compare(b, c).is_le() {
                prop_assert!(compare(a, c).is_le());
            }
        }
    }
}
