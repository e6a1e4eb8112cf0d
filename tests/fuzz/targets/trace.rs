#![no_main]

use libfuzzer_sys::fuzz_target;
use packice_core::trace::replay;

fuzz_target!(|data: &[u8]| {
    // A trace that does not parse is as good as one that leads an engine through nonsense.
    let _ = replay(data, &mut |_, _| {});
});
