//! The client's end of HTTP/2, with a server and a driver that do anything in any order.
#![no_main]

use arbitrary::Unstructured;
use handfast_fuzz::Driver;
use handfast_http::h2::{Requests, Responses};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Driver::<Responses, Requests>::run(&mut Unstructured::new(bytes));
});
