//! How much one publisher may send in a day: the variable `PUBLISH_QUOTA`.
//!
//! Counted for each key, dataset and day (UTC) when an upload is admitted, by its declared length,
//! whether or not the bytes turn out to be good. What an attacker with a stolen key could try:
//! to fill the store and the bill; this bounds both until the key is taken off the list.

use crate::problem::{Problem, ProblemCode};

const DAY_S: u64 = 24 * 60 * 60;
const MIB: u64 = 1 << 20;

/// What a key may do in a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Signed requests.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// Some 100 full releases of a gigabyte, and a request for each of their objects.
pub const USUAL: Quota = Quota { requests: 200_000, bytes: 100 * 1024 * MIB };

impl Quota {
    /// Reads `requests={n}, mib={n}`, either or both; what cannot be read is as usual.
    pub fn parse(text: &str) -> Self {
        let mut quota = USUAL;
        for part in text.split(',') {
            let Some((name, number)) = part.split_once('=') else { continue };
            match (name.trim(), number.trim().parse::<u64>()) {
                ("requests", Ok(number)) => quota.requests = number,
                ("mib", Ok(number)) => quota.bytes = number.saturating_mul(MIB),
                (_, Ok(_) | Err(_)) => {}
            }
        }
        quota
    }

    /// Checks one more request of so many bytes, after what the day has seen already.
    pub fn check(&self, used: &Quota, bytes: u64, now_s: u64) -> Result<(), Problem> {
        let what = match () {
            () if used.requests >= self.requests => format!("{} requests", self.requests),
            () if used.bytes.saturating_add(bytes) > self.bytes => {
                format!("{} MiB", self.bytes / MIB)
            }
            () => return Ok(()),
        };
        let wait_s = DAY_S - now_s % DAY_S;
        let detail =
            format!("this key may send {what} a day: go on in {wait_s} s, or ask for more");
        Err(Problem::new(ProblemCode::QuotaExceeded, detail)
            .with_header("retry-after", wait_s.to_string()))
    }
}

/// The number of a time's day.
pub fn day(now_s: u64) -> u64 {
    now_s / DAY_S
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_read_part_by_part() {
        assert_eq!(Quota::parse(""), USUAL);
        let read = Quota::parse("requests=5, mib = 2");
        assert_eq!(read, Quota { requests: 5, bytes: 2 * MIB });
        assert_eq!(Quota::parse("mib=2, x=1, requests=many").requests, USUAL.requests);
    }

    #[test]
    fn the_request_that_would_go_over_is_refused_until_midnight() {
        let quota = Quota { requests: 3, bytes: 10 };
        let noon_s = 20 * DAY_S + DAY_S / 2;
        assert_eq!(quota.check(&Quota { requests: 2, bytes: 4 }, 6, noon_s), Ok(()));
        for used in [Quota { requests: 3, bytes: 0 }, Quota { requests: 0, bytes: 5 }] {
            let problem = quota.check(&used, 6, noon_s).expect_err("over");
            assert_eq!(problem.code, ProblemCode::QuotaExceeded);
            assert_eq!(problem.headers, [("retry-after", (DAY_S / 2).to_string())]);
        }
        assert_eq!((day(noon_s), day(noon_s + DAY_S / 2)), (20, 21));
    }
}
