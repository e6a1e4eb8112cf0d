#![no_main]

use libfuzzer_sys::fuzz_target;
use packice_tests::scenario::{run, setup_of};

fuzz_target!(|data: &[u8]| {
    run(&setup_of(data));
});
