#![no_main]

use libfuzzer_sys::fuzz_target;
use packice_tests::parsers::Kind;

fuzz_target!(|data: &[u8]| packice_fuzz::parse(Kind::SourcesRow, data));
