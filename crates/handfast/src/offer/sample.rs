//! Encodes ClientHellos for tests.

use crate::registry::{GroupId, SuiteId};

/// Signature schemes that clients offer.
const SCHEMES: &[u16] = &[
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0809, 0x080a, 0x080b, 0x0804, 0x0805, 0x0806, 0x081a,
    0x081b, 0x081c, 0x0904, 0x0905, 0x0906, 0x0401, 0x0501, 0x0601, 0x0402, 0x0302, 0x0203, 0x0201,
    0x0202,
];

/// What a client offers.
pub(crate) struct Hello {
    legacy: u16,
    /// `supported_versions`, omitted if empty.
    pub(crate) versions: Vec<u16>,
    pub(crate) suites: Vec<SuiteId>,
    pub(crate) groups: Vec<GroupId>,
    pub(crate) schemes: Vec<u16>,
    pub(crate) alpn: Vec<&'static str>,
}

impl Hello {
    /// The hello of a client with this newest version, with all parameters.
    pub(crate) fn of(version: u16) -> Self {
        let is_tls13 = version == 0x0304;
        Self {
            legacy: version.min(0x0303),
            versions: if is_tls13 { vec![version] } else { Vec::new() },
            suites: SuiteId::all(is_tls13),
            groups: GroupId::all(is_tls13),
            schemes: match version >= 0x0303 {
                true => SCHEMES.to_vec(),
                false => Vec::new(),
            },
            alpn: Vec::new(),
        }
    }

    /// The records, with the server name shop.example.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let numbers = |list: &mut dyn Iterator<Item = u16>| -> Vec<u8> {
            list.flat_map(u16::to_be_bytes).collect()
        };
        let protocols = self.alpn.iter();
        let protocols: Vec<u8> = protocols
            .flat_map(|name| vector::<1>(name.as_bytes()))
            .collect();
        let name = [&[0][..], &vector::<2>(b"shop.example")].concat();
        let groups = numbers(&mut self.groups.iter().map(|group| group.0));
        let schemes = numbers(&mut self.schemes.iter().copied());
        let versions = numbers(&mut self.versions.iter().copied());
        let extensions: Vec<u8> = [
            (0, vector::<2>(&name)),
            (10, vector::<2>(&groups)),
            (13, vector::<2>(&schemes)),
            (16, vector::<2>(&protocols)),
            (43, vector::<1>(&versions)),
        ]
        .into_iter()
        .filter(|(kind, content)| content.len() > 2 || *kind == 43 && content.len() > 1)
        .flat_map(|(kind, content)| [&[0, kind][..], &vector::<2>(&content)].concat())
        .collect();
        let body = [
            &self.legacy.to_be_bytes()[..],
            &[7; 32],
            &[0],
            &vector::<2>(&numbers(&mut self.suites.iter().map(|suite| suite.0))),
            &[1, 0],
            &vector::<2>(&extensions),
        ]
        .concat();
        let message = [&[1][..], &vector::<3>(&body)].concat();
        [&[22, 3, 1][..], &vector::<2>(&message)].concat()
    }
}

/// The content after its length in `LENGTH_BYTES` bytes.
fn vector<const LENGTH_BYTES: usize>(content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    [&length[length.len() - LENGTH_BYTES..], content].concat()
}
