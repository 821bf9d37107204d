//! Header blocks, as every reader of them decodes them: all readings agree on what can be decoded, on how large the list
//! is and on the table; and what was decoded survives being encoded.
#![no_main]

use std::sync::LazyLock;

use handfast_fuzz::Input;
use handfast_http::h2::hpack::{Decoder, ENTRY_OVERHEAD, Entry, Fields, encode, static_table};
use handfast_http::h2::{Requests, Responses};
use libfuzzer_sys::fuzz_target;

/// Reads bytes.
#[derive(Debug)]
struct Plain;

impl Fields for Plain {
    type Name = Vec<u8>;
    type Field = (Vec<u8>, Vec<u8>);

    fn name(name: &[u8]) -> Self::Name {
        name.to_vec()
    }

    fn field(name: &Self::Name, value: &[u8]) -> Self::Field {
        (name.clone(), value.to_vec())
    }

    fn table() -> &'static [Entry<Self>] {
        static TABLE: LazyLock<Vec<Entry<Plain>>> = LazyLock::new(static_table);
        &TABLE
    }
}

/// Looks at no value, as a load tester does.
#[derive(Debug)]
struct Sizes;

impl Fields for Sizes {
    type Name = ();
    type Field = ();

    fn name(_name: &[u8]) {}

    fn field(_name: &(), _value: &[u8]) {}

    fn wants(_name: &()) -> bool {
        false
    }

    fn table() -> &'static [Entry<Self>] {
        static TABLE: LazyLock<Vec<Entry<Sizes>>> = LazyLock::new(static_table);
        &TABLE
    }
}

fn sizes<F: Fields>(decoder: &mut Decoder<F>, block: &[u8]) -> Option<Vec<usize>> {
    let mut sizes = Vec::new();
    decoder.decode(block, |_, size| sizes.push(size))?;
    Some(sizes)
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let mut plain = Decoder::<Plain>::default();
    let mut requests = Decoder::<Requests>::default();
    let mut responses = Decoder::<Responses>::default();
    let mut brief = Decoder::<Sizes>::default();
    let mut again = Decoder::<Plain>::default();
    while !input.is_empty() {
        let count = usize::from(input.short());
        let block = input.some(count);
        let mut fields = Vec::new();
        let mut expected = Vec::new();
        let decoded = plain.decode(block, |field, size| {
            assert_eq!(size, field.0.len() + field.1.len() + ENTRY_OVERHEAD);
            // A byte of a block may stand for a whole table, and for no more.
            fields.push(field.clone());
            expected.push(size);
        });
        let expected = decoded.map(|()| expected);
        assert!(fields.len() <= block.len());
        assert_eq!(sizes(&mut requests, block), expected);
        assert_eq!(sizes(&mut responses, block), expected);
        // A value that is not read is not decoded, so its mistakes are not found.
        let brief = sizes(&mut brief, block);
        if expected.is_some() {
            assert_eq!(brief.map(|sizes| sizes.len()), Some(fields.len()));
        } else {
            return;
        }
        let mut spelled = Vec::new();
        for (name, value) in &fields {
            let Ok(name) = std::str::from_utf8(name) else {
                return;
            };
            encode::put_field(&mut spelled, name, value, false);
        }
        let mut same = Vec::new();
        let decoded = again.decode(&spelled, |field, _| same.push(field.clone()));
        assert!(decoded.is_some());
        assert_eq!(fields, same);
    }
});
