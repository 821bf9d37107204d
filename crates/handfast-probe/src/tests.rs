//! Bytes against bytes: what is sent is taken apart by rustls' parser's rules, what arrives is anything.

use handfast::KeyAlgorithm;
use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn answer(bytes: &[u8]) -> Answer {
    let mut reader = AnswerReader::new();
    reader.push(bytes).unwrap_or_else(|| reader.end())
}

#[test]
fn a_hello_is_these_bytes() {
    let old = ClientHello::new(WireVersion::Ssl3).with_suites([SuiteId(0x0005)]);
    let random = "68616e64666173742070726f62652c206e6f7420612068616e647368616b652e";
    let expected = format!("16 0300 002d 01 000029 0300 {random} 00 0002 0005 01 00");
    assert_eq!(old.encode(), hex(&expected));

    let new = ClientHello::new(WireVersion::Tls13)
        .with_suites([SuiteId(0x1301)])
        .with_groups([GroupId(29)])
        .with_signature_schemes([0x0403])
        .with_alpn(["h2"])
        .with_server_name("a.example");
    let expected = format!(
        "16 0301 008d 01 000089 0303 {random} 20 {random} 0002 1301 01 00 003e \
         0000 000e 000c 00 0009 612e6578616d706c65 \
         000a 0004 0002 001d \
         000d 0004 0002 0403 \
         0010 0005 0003 02 6832 \
         002b 0003 02 0304 \
         002d 0002 01 01 \
         0033 0002 0000"
    );
    assert_eq!(new.encode(), hex(&expected));
}

#[test]
fn addresses_are_no_server_names() {
    let plain = ClientHello::new(WireVersion::Tls12);
    for name in ["127.0.0.1", "::1", "[::1]", "", &"a".repeat(256)] {
        assert_eq!(plain.clone().with_server_name(name), plain, "{name}");
    }
}

#[test]
fn answers_are_told_apart() {
    let closed = |bytes_received| Answer::Closed { bytes_received };
    for (bytes, expected) in [
        ("", closed(0)),
        ("16 0303 0100 02", closed(6)),
        (
            "15 0300 0002 02 28",
            Answer::Alert(handfast::Alert::new(40)),
        ),
        ("15 0303 0002 01 70", closed(7)),
        (
            "48545450",
            Answer::NotTls {
                first_bytes: b"HTTP".to_vec(),
            },
        ),
        (
            "16 0303 0004 0b 000000",
            Answer::Malformed {
                what: "a handshake that does not begin with ServerHello",
            },
        ),
        (
            "16 0303 0005 02 000001 03",
            Answer::Malformed {
                what: "a truncated ServerHello",
            },
        ),
    ] {
        assert_eq!(answer(&hex(bytes)), expected, "{bytes}");
    }
    assert_eq!(AnswerReader::new().give_up(), Answer::Silent);
}

#[test]
fn a_retry_names_suite_and_group() {
    // What OpenSSL 3.0 sends to a hello without key shares.
    let bytes = hex("16 0303 0058 02 000054 0303 \
         cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c \
         20 68616e64666173742070726f62652c206e6f7420612068616e647368616b652e \
         1302 00 000c 002b 0002 0304 0033 0002 001d");
    let Answer::Hello(hello) = answer(&bytes) else {
        panic!("{:?}", answer(&bytes));
    };
    assert!(hello.is_retry);
    assert_eq!(hello.version, WireVersion::Tls13);
    assert_eq!(hello.suite.name(), "TLS_AES_256_GCM_SHA384");
    assert_eq!(hello.group.map(GroupId::name).as_deref(), Some("x25519"));
}

#[test]
fn before_tls13_the_group_comes_with_the_key_exchange() {
    let hello = "02 00002e 0303 0101010101010101010101010101010101010101010101010101010101010101 \
                 00 c02f 00 0006 ff01 0002 0000";
    let certificate = "0b 000003 000000";
    let records = format!("16 0303 0032 {hello} 16 0303 0007 {certificate}");
    let mut reader = AnswerReader::new();
    assert_eq!(reader.push(&hex(&records)), None);
    let Some(Answer::Hello(found)) = reader.push(&hex("16 0303 0007 0c 000003 03 0017")) else {
        panic!("no answer");
    };
    assert_eq!(found.group, Some(GroupId(0x17)));
    // A finite field: the size of its prime counts, without leading zeros.
    let dhe = records.replace("c02f", "009e");
    let answer = answer(&hex(&format!("{dhe} 16 0303 0008 0c 000004 0002 007f")));
    let Answer::Hello(found) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!((found.group, found.dh_bits), (None, Some(7)));
}

fn own_offer(suites: Vec<SuiteId>, groups: Vec<GroupId>) -> OwnOffer {
    let mut ours = OwnOffer::default();
    ours.versions = vec![WireVersion::Tls12, WireVersion::Tls13];
    ours.suites = suites;
    ours.groups = groups;
    ours
}

/// A server whose certificate is on a curve that we do not offer takes a group of ours from a client that offers that
/// curve as well.
#[test]
fn a_certificate_s_curve_is_told_from_a_group() {
    let (x25519, secp256k1) = (GroupId(29), GroupId(22));
    let suite = SuiteId(0xc02b);
    let answer = |hello: &ClientHello| {
        let is_older = hello.version() <= WireVersion::Tls13;
        match is_older && hello.suites.contains(&suite) && hello.groups.contains(&secp256k1) {
            true => Answer::Hello(ServerHello {
                version: WireVersion::Tls12,
                suite,
                group: Some(x25519),
                dh_bits: None,
                alpn: None,
                scheme: None,
                certificate_key: Some(KeyAlgorithm::EcOther(Some("secp256k1".to_owned()))),
                timestamps: Vec::new(),
                is_retry: false,
            }),
            false => Answer::Alert(handfast::Alert::new(40)),
        }
    };
    let ours = own_offer(vec![suite, SuiteId(0x1301)], vec![x25519, GroupId(23)]);
    let mut inquiry = Inquiry::about(ours, "shop.example");
    while let Some(hello) = inquiry.question() {
        inquiry.answered(answer(&hello));
    }
    let error = handfast::Error::new(
        handfast::Phase::Handshake,
        handfast::PeerCause::Alert(handfast::Alert::new(40)),
    );
    let told = inquiry.refine(error).explain();
    assert_eq!(told.id, "no-shared-signature-scheme", "{told}");
    assert!(told.to_string().contains("secp256k1"), "{told}");
}

/// A server with an order of its own, or one that takes the client's.
#[derive(Debug, Clone)]
struct Model {
    suites: Vec<SuiteId>,
    groups: Vec<GroupId>,
    own_order: bool,
}

impl Model {
    fn choose<T: Copy + PartialEq>(&self, own: &[T], offered: &[T]) -> Option<T> {
        let (first, second) = if self.own_order {
            (own, offered)
        } else {
            (offered, own)
        };
        first.iter().find(|item| second.contains(item)).copied()
    }

    fn answer(&self, hello: &ClientHello) -> Answer {
        let refusal = Answer::Alert(handfast::Alert::new(40));
        let chosen = self
            .choose(&self.suites, &hello.suites)
            .zip(self.choose(&self.groups, &hello.groups));
        match chosen {
            Some((suite, group)) if hello.version() == WireVersion::Tls13 => {
                Answer::Hello(ServerHello {
                    version: WireVersion::Tls13,
                    suite,
                    group: Some(group),
                    dh_bits: None,
                    alpn: None,
                    scheme: None,
                    certificate_key: None,
                    timestamps: Vec::new(),
                    is_retry: true,
                })
            }
            _ => refusal,
        }
    }
}

fn model() -> impl Strategy<Value = Model> {
    let some = |all: Vec<u16>| {
        let count = all.len();
        proptest::sample::subsequence(all, 1..=count).prop_shuffle()
    };
    let suites = some(SuiteId::all(true).iter().map(|suite| suite.0).collect());
    let groups = some(GroupId::all(true).iter().map(|group| group.0).collect());
    (suites, groups, any::<bool>()).prop_map(|(suites, groups, own_order)| Model {
        suites: suites.into_iter().map(SuiteId).collect(),
        groups: groups.into_iter().map(GroupId).collect(),
        own_order,
    })
}

proptest! {
    #[test]
    fn a_survey_finds_all_that_a_server_accepts_in_its_order(model in model()) {
        let ask = |hello: &ClientHello| Ok::<_, ()>(model.answer(hello));
        let found = survey(&WireVersion::ALL, ClientHello::new, ask).unwrap();
        for version in &found.versions {
            if version.version != WireVersion::Tls13 {
                prop_assert!(version.offer.is_err());
                continue;
            }
            let offer = version.offer.as_ref().unwrap();
            if model.own_order {
                prop_assert_eq!(&offer.suites, &model.suites);
                prop_assert_eq!(&offer.groups, &model.groups);
            }
            prop_assert_eq!(offer.suites.len(), model.suites.len());
            prop_assert_eq!(offer.groups.len(), model.groups.len());
            let order = |count: usize| match (count, model.own_order) {
                (1, _) => Order::Single,
                (_, true) => Order::Server,
                (_, false) => Order::Client,
            };
            prop_assert_eq!(offer.suite_order, order(model.suites.len()));
            prop_assert_eq!(offer.group_order, order(model.groups.len()));
        }
    }

    #[test]
    fn an_inquiry_finds_where_two_offers_do_not_meet(model in model(), own in model()) {
        let ours = own_offer(own.suites.clone(), own.groups.clone());
        let mut inquiry = Inquiry::about(ours, "shop.example");
        let mut asked = 0;
        while let Some(hello) = inquiry.question() {
            inquiry.answered(model.answer(&hello));
            asked += 1;
        }
        prop_assert!(asked <= 8);
        let error = handfast::Error::new(handfast::Phase::Handshake, handfast::PeerCause::Alert(handfast::Alert::new(40)));
        let id = inquiry.refine(error).explain().id;
        let meet = |one: Vec<u16>, other: Vec<u16>| one.iter().any(|item| other.contains(item));
        let codes = |suites: &[SuiteId]| suites.iter().map(|suite| suite.0).collect();
        let groups = |groups: &[GroupId]| groups.iter().map(|group| group.0).collect();
        let expected = if !meet(codes(&own.suites), codes(&model.suites)) {
            "no-shared-cipher-suite"
        } else if !meet(groups(&own.groups), groups(&model.groups)) {
            "no-shared-group"
        } else {
            "alert-received"
        };
        prop_assert_eq!(id, expected);
    }

    #[test]
    fn no_bytes_make_the_reader_panic_and_cuts_change_nothing(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
        like_tls in any::<bool>(),
        cut in any::<proptest::sample::Index>(),
    ) {
        if like_tls && bytes.len() > 5 {
            let length = (bytes.len() as u16 - 5).to_be_bytes();
            bytes[..5].copy_from_slice(&[22, 3, 3, length[0], length[1]]);
        }
        let whole = answer(&bytes);
        let at = cut.index(bytes.len() + 1);
        let mut reader = AnswerReader::new();
        let pieces = match reader.push(&bytes[..at]) {
            Some(answer) => answer,
            None => reader.push(&bytes[at..]).unwrap_or_else(|| reader.end()),
        };
        // What is not TLS is known by its first byte; how many are kept depends on the cut.
        if !matches!(pieces, Answer::NotTls { .. }) {
            prop_assert_eq!(pieces, whole);
        }
    }

    #[test]
    fn every_hello_s_lengths_add_up(
        version in 0usize..5,
        suites in proptest::collection::vec(any::<u16>(), 0..1200),
        alpn in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..40),
        name in "[a-z.]{0,300}",
    ) {
        let hello = ClientHello::new(WireVersion::ALL[version])
            .with_suites(suites.into_iter().map(SuiteId))
            .with_alpn(alpn)
            .with_server_name(&name);
        let bytes = hello.encode();
        let length = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        prop_assert_eq!(bytes.len(), length + 5);
        prop_assert_eq!(bytes[5], 1);
        let body = u32::from_be_bytes([0, bytes[6], bytes[7], bytes[8]]) as usize;
        prop_assert_eq!(body + 4, length);
    }
}
