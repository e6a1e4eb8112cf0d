//! Unpacking in wasm, for `cargo xtask bench update`.

use packice_core::delta::Unpacker;
use wasm_bindgen::prelude::wasm_bindgen;

/// A segment and the old records of its range.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Unpacking {
    segment: Vec<u8>,
    old: Vec<(Vec<u8>, Vec<u8>)>,
}

#[wasm_bindgen]
impl Unpacking {
    /// `records` has the lengths of each key and value, four bytes each, and both.
    #[wasm_bindgen(constructor)]
    pub fn new(segment: Vec<u8>, records: &[u8]) -> Result<Unpacking, String> {
        let (mut old, mut rest) = (Vec::new(), records);
        while let Some(([a, b, c, d, e, f, g, h], after)) = rest.split_first_chunk::<8>() {
            let key_len = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            let value_len = u32::from_le_bytes([*e, *f, *g, *h]) as usize;
            let cut = "a record is cut off";
            let (key, after) = after.split_at_checked(key_len).ok_or(cut)?;
            let (value, after) = after.split_at_checked(value_len).ok_or(cut)?;
            old.push((key.to_vec(), value.to_vec()));
            rest = after;
        }
        Ok(Self { segment, old })
    }

    /// Unpacks all of it: bytes of new keys and values.
    pub fn run(&self) -> Result<f64, String> {
        let mut unpacker = Unpacker::open(&self.segment).map_err(|error| error.to_string())?;
        let mut plain = 0;
        while let Some(op) =
            unpacker.advance(self.old.as_slice()).map_err(|error| error.to_string())?
        {
            plain += op.plain_len();
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        Ok(plain as f64)
    }
}
