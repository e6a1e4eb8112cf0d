//! Byte ranges (RFC 9110, section 14): a single range in, a span within the object out.
//!
//! A header that asks for several ranges, another unit or something unreadable is no range: the
//! whole object is the answer, as the RFC lets a server choose. Numbers that no u64 holds are
//! held at the greatest, which lies past the end of every object.

use core::fmt;

/// A single range as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSpec {
    /// `bytes=first-last`, both inclusive.
    Between {
        /// The first byte.
        first: u64,
        /// The last byte.
        last: u64,
    },
    /// `bytes=first-`
    From {
        /// The first byte.
        first: u64,
    },
    /// `bytes=-length`
    Last {
        /// How many bytes from the end.
        length: u64,
    },
}

/// A span of bytes that exists in an object; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

impl Span {
    /// The `content-range` header of this span of an object.
    pub fn content_range(&self, size: u64) -> String {
        let last = self.offset.saturating_add(self.length).saturating_sub(1);
        format!("bytes {}-{last}/{size}", self.offset)
    }
}

impl RangeSpec {
    /// Reads a `range` header; `None` where it is not one single range of bytes.
    pub fn parse(header: &str) -> Option<Self> {
        let (unit, set) = header.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
            return None;
        }
        let (first, last) = set.trim().split_once('-')?;
        match (first.is_empty(), last.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Last { length: position(last)? }),
            (false, true) => Some(Self::From { first: position(first)? }),
            (false, false) => {
                let (first, last) = (position(first)?, position(last)?);
                (first <= last).then_some(Self::Between { first, last })
            }
        }
    }

    /// The same range with its numbers held to a length that no object is over.
    #[must_use]
    pub fn within(self, longest: u64) -> Self {
        match self {
            Self::Between { first, last } => {
                Self::Between { first: first.min(longest), last: last.min(longest) }
            }
            Self::From { first } => Self::From { first: first.min(longest) },
            Self::Last { length } => Self::Last { length: length.min(longest) },
        }
    }

    /// The span that an object of this size has of the range; `None` where it has no byte of it.
    pub fn resolve(self, size: u64) -> Option<Span> {
        let (offset, end) = match self {
            Self::Between { first, last } => (first, last.saturating_add(1).min(size)),
            Self::From { first } => (first, size),
            Self::Last { length } => (size.saturating_sub(length), size),
        };
        let length = end.checked_sub(offset).filter(|length| *length > 0)?;
        Some(Span { offset, length })
    }
}

impl fmt::Display for RangeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between { first, last } => write!(f, "bytes={first}-{last}"),
            Self::From { first } => write!(f, "bytes={first}-"),
            Self::Last { length } => write!(f, "bytes=-{length}"),
        }
    }
}

fn position(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(header: &str, size: u64) -> Option<(u64, u64)> {
        let spec = RangeSpec::parse(header).expect(header);
        spec.resolve(size).map(|span| (span.offset, span.length))
    }

    #[test]
    fn single_ranges_resolve_within_the_object() {
        for (header, size, expected) in [
            ("bytes=0-0", 10, Some((0, 1))),
            ("bytes=2-5", 10, Some((2, 4))),
            ("bytes=2-99", 10, Some((2, 8))),
            ("bytes=9-9", 10, Some((9, 1))),
            ("bytes=10-10", 10, None),
            ("bytes=10-", 10, None),
            ("bytes=0-", 10, Some((0, 10))),
            ("bytes=-3", 10, Some((7, 3))),
            ("bytes=-99", 10, Some((0, 10))),
            ("bytes=-0", 10, None),
            ("bytes=0-0", 0, None),
            ("bytes=-1", 0, None),
            ("BYTES=1-2", 10, Some((1, 2))),
            ("bytes= 1-2 ", 10, Some((1, 2))),
            ("bytes=99999999999999999999-", 10, None),
            ("bytes=0-99999999999999999999", 10, Some((0, 10))),
            ("bytes=-99999999999999999999", 10, Some((0, 10))),
            ("bytes=0-18446744073709551615", u64::MAX, Some((0, u64::MAX))),
        ] {
            assert_eq!(span(header, size), expected, "{header} of {size}");
        }
    }

    #[test]
    fn what_is_not_one_range_of_bytes_is_no_range() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=1-b",
            "bytes=1",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=--1",
            "bytes=+1-2",
            "bytes=1 -2",
            "bytes=0x1-2",
        ] {
            assert_eq!(RangeSpec::parse(header), None, "{header}");
        }
    }

    #[test]
    fn a_range_writes_itself_the_way_it_is_read() {
        for header in ["bytes=2-5", "bytes=7-", "bytes=-3"] {
            assert_eq!(RangeSpec::parse(header).expect(header).to_string(), header);
        }
    }

    #[test]
    fn holding_a_range_to_the_longest_object_changes_no_answer() {
        for header in ["bytes=0-99999999999999999999", "bytes=50-", "bytes=-70", "bytes=3-4"] {
            let spec = RangeSpec::parse(header).expect(header);
            for size in 0..=20 {
                assert_eq!(spec.within(20).resolve(size), spec.resolve(size), "{header} of {size}");
            }
        }
    }

    /// The slow oracle: which bytes of an object the range picks, byte by byte.
    #[test]
    fn resolving_agrees_with_counting_bytes() {
        for size in 0..6u64 {
            for a in 0..8u64 {
                for b in 0..8u64 {
                    let between: Vec<u64> = (0..size).filter(|at| (a..=b).contains(at)).collect();
                    let from: Vec<u64> = (0..size).filter(|at| *at >= a).collect();
                    let last: Vec<u64> = (0..size).filter(|at| at + a >= size).collect();
                    for (spec, picked) in [
                        (RangeSpec::Between { first: a, last: b }, between),
                        (RangeSpec::From { first: a }, from),
                        (RangeSpec::Last { length: a }, last),
                    ] {
                        let got: Vec<u64> = spec.resolve(size).map_or_else(Vec::new, |span| {
                            (span.offset..span.offset + span.length).collect()
                        });
                        assert_eq!(got, picked, "{spec} of {size}");
                    }
                }
            }
        }
    }
}
