//! How one object becomes rows of IndexedDB, and comes back.
//!
//! LevelDB, under Chromium's IndexedDB, is several times slower for incompressible values of
//! 64-256 KiB than for smaller or larger ones. So an object of 60 to 512 KiB is
//! stored as parts of at most 60 KiB; all others are one row.
//!
//! The first part has the object's own key, the next ones that key, `#` and a digit:
//! one key range covers an object, and reads its parts in order.
//!
//! In scope: keys and cuts. Out of scope: whether bytes are what their key says. A store that
//! lost or changed a row gives back an object of another length or content, and the engine's
//! check against the object's name finds that.

use core::ops::Range;

/// The largest value that is kept in one row below [`WHOLE_FROM`].
const SPLIT_OVER: usize = 60 * 1024;

/// From this length on a value is one row again.
const WHOLE_FROM: usize = 512 * 1024;

/// Stands between an object's key and the number of a later part; no object's key has it.
const PART_MARK: char = '#';

// One digit numbers the parts, so that keys sort as the parts do.
const _: () = assert!(WHOLE_FROM.div_ceil(SPLIT_OVER) <= 10);

/// The byte ranges of an object's rows, in order. An empty object is one empty row.
pub(crate) fn cuts(len: usize) -> impl Iterator<Item = Range<usize>> {
    let step = if len > SPLIT_OVER && len < WHOLE_FROM { SPLIT_OVER } else { len };
    let count = if step == 0 { 1 } else { len.div_ceil(step) };
    (0..count).map(move |part| part * step..len.min((part + 1) * step))
}

/// The key of an object's row by the row's number.
pub(crate) fn row_key(key: &str, part: usize) -> String {
    let mut name = String::with_capacity(key.len() + 2);
    name.push_str(key);
    if let Some(digit) = u32::try_from(part).ok().and_then(|part| char::from_digit(part, 10))
        && part > 0
    {
        name.push(PART_MARK);
        name.push(digit);
    }
    name
}

/// The last key that can belong to an object: with its own key, the bounds of its rows.
pub(crate) fn last_row_key(key: &str) -> String {
    row_key(key, 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_outside_the_slow_band_and_the_rows_cover_the_object() {
        let band = 64 * 1024..=256 * 1024;
        for len in [
            0,
            1,
            SPLIT_OVER - 1,
            SPLIT_OVER,
            SPLIT_OVER + 1,
            64 * 1024,
            256 * 1024,
            WHOLE_FROM - 1,
            WHOLE_FROM,
            4 << 20,
        ] {
            let rows: Vec<_> = cuts(len).collect();
            assert!(!rows.is_empty() && rows.len() <= 10, "{len}");
            assert_eq!(rows[0].start, 0);
            assert_eq!(rows[rows.len() - 1].end, len);
            for pair in rows.windows(2) {
                assert_eq!(pair[0].end, pair[1].start);
            }
            assert!(rows.iter().all(|row| !band.contains(&row.len())), "{len}");
        }
    }

    #[test]
    fn rows_of_one_object_sort_together_and_before_the_next_object() {
        let mut keys: Vec<_> =
            ["bundle/aa", "bundle/ab"].iter().flat_map(|k| (0..9).map(|n| row_key(k, n))).collect();
        let ordered = keys.clone();
        keys.sort();
        assert_eq!(keys, ordered);
        assert!(keys[8] < last_row_key("bundle/aa") && last_row_key("bundle/aa") < keys[9]);
    }
}
