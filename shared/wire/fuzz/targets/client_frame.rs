#![no_main]
#![allow(unsafe_code, missing_docs, reason = "libFuzzer calls an exported function")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    waxwing_wire_fuzz::client_frame(data);
});
