//! A part of a collection that stands for the whole, and the one file that all is compared with.

use std::io::Write;
use std::path::Path;

use packice_core::codec::Writer;
use zstd::zstd_safe::CParameter;

use crate::failure::{Failure, Result};
use crate::sort::{Sorted, Sorter, Unit};

/// Neighbouring records that are taken together: long enough for the largest frames.
const RUN_BYTES: u64 = 4 << 20;

/// Bytes of all keys and values.
pub(super) fn content_bytes(records: &Sorted) -> Result<u64> {
    let mut bytes = 0;
    let mut reading = records.read()?;
    while let Some(record) = reading.advance()? {
        bytes += (record.key.len() + record.value.len()) as u64;
    }
    Ok(bytes)
}

/// About `most` bytes of records: runs of neighbours, spread evenly over the keys.
pub(super) fn spread(records: &Sorted, total: u64, most: u64, temporary: &Path) -> Result<Sorted> {
    let run = RUN_BYTES.min(most.max(1));
    let stride = u64::try_from(u128::from(total) * u128::from(run) / u128::from(most.max(1)));
    let stride = stride.unwrap_or(u64::MAX).max(run);
    let mut sorter = Sorter::new(temporary, crate::sort::MEMORY_BYTES, Unit::Line)?;
    let mut at = 0u64;
    let mut reading = records.read()?;
    while let Some(record) = reading.advance()? {
        if at % stride < run {
            sorter.push(&record.key, &record.value, record.line)?;
        }
        at += (record.key.len() + record.value.len()) as u64;
    }
    sorter.finish()
}

/// The length of `zstd -19 --long=27` over the records, each as the lengths of its key and value
/// in front of them, in key order.
pub(super) fn one_file(records: &Sorted) -> Result<u64> {
    let length = each_plain(records, &mut |_| Ok(()))?;
    let failed = |error: std::io::Error| Failure::internal(format!("zstd: {error}"));
    let mut encoder = zstd::Encoder::new(Counter(0), 19).map_err(failed)?;
    encoder.set_parameter(CParameter::EnableLongDistanceMatching(true)).map_err(failed)?;
    encoder.set_parameter(CParameter::WindowLog(27)).map_err(failed)?;
    encoder.set_pledged_src_size(Some(length)).map_err(failed)?;
    each_plain(records, &mut |plain| encoder.write_all(plain).map_err(failed))?;
    Ok(encoder.finish().map_err(failed)?.0)
}

/// Hands each record's plain form on; gives the length of all.
fn each_plain(records: &Sorted, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<u64> {
    let mut length = 0;
    let mut reading = records.read()?;
    while let Some(record) = reading.advance()? {
        let mut plain = Writer::default();
        plain.bytes(&record.key);
        plain.bytes(&record.value);
        let plain = plain.finish();
        length += plain.len() as u64;
        sink(&plain)?;
    }
    Ok(length)
}

/// Counts what is written to it.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_and_of_the_size_asked_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut sorter = Sorter::new(dir.path(), 1 << 20, Unit::Line).expect("a sorter");
        for i in 0..100_000u64 {
            sorter.push(format!("{i:06}").as_bytes(), &[7; 94], i + 1).expect("pushed");
        }
        let sorted = sorter.finish().expect("sorted");
        assert_eq!(content_bytes(&sorted).expect("read"), 10_000_000);
        let part = spread(&sorted, 10_000_000, 1_000_000, dir.path()).expect("a sample");
        let bytes = content_bytes(&part).expect("read");
        assert!((900_000..=1_100_000).contains(&bytes), "{bytes}");
        let part = spread(&sorted, 10_000_000, 8_000_000, dir.path()).expect("a sample");
        let bytes = content_bytes(&part).expect("read");
        assert!((7_000_000..=9_000_000).contains(&bytes), "{bytes}");
        let mut reading = part.read().expect("read");
        let first = reading.advance().expect("read").expect("a record");
        assert_eq!(first.key, b"000000");
    }

    #[test]
    fn one_file_holds_keys_and_values() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut sorter = Sorter::new(dir.path(), 1 << 20, Unit::Line).expect("a sorter");
        let mut expected = Vec::new();
        for i in 0..300u64 {
            let (key, value) = (format!("key-{i:06}"), format!("value of {}", i * i));
            sorter.push(key.as_bytes(), value.as_bytes(), i + 1).expect("pushed");
            for part in [&key, &value] {
                expected.push(u8::try_from(part.len()).expect("short"));
                expected.extend(part.as_bytes());
            }
        }
        let length = one_file(&sorter.finish().expect("sorted")).expect("compressed");
        let plainly = zstd::bulk::compress(&expected, 19).expect("compressed").len() as u64;
        assert!(length.abs_diff(plainly) * 20 < plainly, "{length}, plainly {plainly}");
    }
}
