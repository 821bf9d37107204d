//! Key exchange groups by number: their names, and what to think of them.

use super::judgement::Judgement;

/// A key exchange group by its number on the wire (RFC 8446, section 4.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u16);

impl GroupId {
    /// Every group of the table that TLS 1.3 can use (`true`), or TLS 1.2 and older (`false`).
    pub fn all(tls13: bool) -> Vec<Self> {
        TABLE
            .iter()
            .filter(|row| match row.use_in {
                Use::Both => true,
                Use::Tls13 => tls13,
                Use::Older => !tls13,
            })
            .map(|row| Self(row.code))
            .collect()
    }

    /// Its name in IANA's registry, or its number for one that is not in the table.
    pub fn name(self) -> String {
        self.row()
            .map_or_else(|| format!("0x{:04x}", self.0), |row| row.name.to_owned())
    }

    /// Whether what it protects stays secret from a quantum computer of the future.
    pub fn is_post_quantum(self) -> bool {
        self.row()
            .is_some_and(|row| matches!(row.kind, Kind::Hybrid | Kind::Lattice | Kind::Draft))
    }

    /// What to think of it.
    pub fn judgement(self) -> Judgement {
        match self.row().map(|row| row.kind) {
            Some(Kind::Hybrid) => Judgement::fine("resists quantum computers, too"),
            Some(Kind::Lattice) => Judgement::fine("resists quantum computers; not hybrid"),
            Some(Kind::Draft) => Judgement::weak("a draft that the standard has replaced"),
            Some(Kind::Classical) => Judgement::fine("not post-quantum"),
            Some(Kind::Binary) => {
                Judgement::weak("a curve over a binary field (RFC 8422 drops it)")
            }
            Some(Kind::Odd) => Judgement::weak("dropped by RFC 8422"),
            Some(Kind::Small) => Judgement::broken("too small: less than 112 bits of strength"),
            None => Judgement::weak("not in the registry"),
        }
    }

    fn row(self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.code == self.0)
    }
}

struct Row {
    code: u16,
    name: &'static str,
    kind: Kind,
    use_in: Use,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hybrid,
    Lattice,
    Draft,
    Classical,
    Binary,
    Odd,
    Small,
}

#[derive(Clone, Copy)]
enum Use {
    Both,
    Tls13,
    Older,
}

const fn row(code: u16, name: &'static str, kind: Kind, use_in: Use) -> Row {
    Row {
        code,
        name,
        kind,
        use_in,
    }
}

/// What we would like best comes first: a server that leaves the choice to us chooses well.
const TABLE: &[Row] = &[
    row(0x11ec, "X25519MLKEM768", Kind::Hybrid, Use::Tls13),
    row(0x11eb, "SecP256r1MLKEM768", Kind::Hybrid, Use::Tls13),
    row(0x11ed, "SecP384r1MLKEM1024", Kind::Hybrid, Use::Tls13),
    row(0x0201, "MLKEM768", Kind::Lattice, Use::Tls13),
    row(0x0202, "MLKEM1024", Kind::Lattice, Use::Tls13),
    row(0x0200, "MLKEM512", Kind::Lattice, Use::Tls13),
    row(0x6399, "X25519Kyber768Draft00", Kind::Draft, Use::Tls13),
    row(0x001d, "x25519", Kind::Classical, Use::Both),
    row(0x0017, "secp256r1", Kind::Classical, Use::Both),
    row(0x0018, "secp384r1", Kind::Classical, Use::Both),
    row(0x0019, "secp521r1", Kind::Classical, Use::Both),
    row(0x001e, "x448", Kind::Classical, Use::Both),
    row(0x001f, "brainpoolP256r1tls13", Kind::Classical, Use::Tls13),
    row(0x0020, "brainpoolP384r1tls13", Kind::Classical, Use::Tls13),
    row(0x0021, "brainpoolP512r1tls13", Kind::Classical, Use::Tls13),
    row(0x0029, "curveSM2", Kind::Classical, Use::Tls13),
    row(0x0100, "ffdhe2048", Kind::Classical, Use::Both),
    row(0x0101, "ffdhe3072", Kind::Classical, Use::Both),
    row(0x0102, "ffdhe4096", Kind::Classical, Use::Both),
    row(0x0103, "ffdhe6144", Kind::Classical, Use::Both),
    row(0x0104, "ffdhe8192", Kind::Classical, Use::Both),
    row(0x001a, "brainpoolP256r1", Kind::Classical, Use::Older),
    row(0x001b, "brainpoolP384r1", Kind::Classical, Use::Older),
    row(0x001c, "brainpoolP512r1", Kind::Classical, Use::Older),
    row(0x0016, "secp256k1", Kind::Odd, Use::Older),
    row(0x0014, "secp224k1", Kind::Odd, Use::Older),
    row(0x0015, "secp224r1", Kind::Odd, Use::Older),
    row(0x0006, "sect233k1", Kind::Binary, Use::Older),
    row(0x0007, "sect233r1", Kind::Binary, Use::Older),
    row(0x0008, "sect239k1", Kind::Binary, Use::Older),
    row(0x0009, "sect283k1", Kind::Binary, Use::Older),
    row(0x000a, "sect283r1", Kind::Binary, Use::Older),
    row(0x000b, "sect409k1", Kind::Binary, Use::Older),
    row(0x000c, "sect409r1", Kind::Binary, Use::Older),
    row(0x000d, "sect571k1", Kind::Binary, Use::Older),
    row(0x000e, "sect571r1", Kind::Binary, Use::Older),
    row(0x0001, "sect163k1", Kind::Small, Use::Older),
    row(0x0002, "sect163r1", Kind::Small, Use::Older),
    row(0x0003, "sect163r2", Kind::Small, Use::Older),
    row(0x0004, "sect193r1", Kind::Small, Use::Older),
    row(0x0005, "sect193r2", Kind::Small, Use::Older),
    row(0x000f, "secp160k1", Kind::Small, Use::Older),
    row(0x0010, "secp160r1", Kind::Small, Use::Older),
    row(0x0011, "secp160r2", Kind::Small, Use::Older),
    row(0x0012, "secp192k1", Kind::Small, Use::Older),
    row(0x0013, "secp192r1", Kind::Small, Use::Older),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Grade;

    #[test]
    fn groups_are_named_and_judged() {
        for (code, name, grade, post_quantum) in [
            (0x11ec, "X25519MLKEM768", Grade::Fine, true),
            (0x001d, "x25519", Grade::Fine, false),
            (0x6399, "X25519Kyber768Draft00", Grade::Weak, true),
            (0x0013, "secp192r1", Grade::Broken, false),
            (0x7777, "0x7777", Grade::Weak, false),
        ] {
            let group = GroupId(code);
            assert_eq!(group.name(), name);
            assert_eq!(group.judgement().grade, grade, "{name}");
            assert_eq!(group.is_post_quantum(), post_quantum, "{name}");
        }
    }

    #[test]
    fn every_number_appears_once() {
        let mut codes: Vec<u16> = TABLE.iter().map(|row| row.code).collect();
        codes.sort_unstable();
        let count = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }
}
