//! How often one client may ask: by its address, or by its key once that is known.
//!
//! The counting is the platform's (Workers rate limiting, one count for each data centre). In
//! scope: which requests count, and as whose. What the cache answers does not count: it costs
//! nothing that would have to be protected. What an attacker could try: to count as many clients.
//! An IPv6 address counts with its /64, which one subscriber has whole.

use std::net::IpAddr;

use crate::problem::{Problem, ProblemCode};

/// How long a client that asked too often is to wait, in seconds.
const WAIT_S: &str = "10";

/// What is counted: the binding in wrangler.toml that has its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Reads that no cache answered, by address.
    Reads,
    /// Uploads and signed reads, by address, before the signature is looked at.
    Writes,
    /// The same, by key.
    Keys,
}

impl Counted {
    /// The binding.
    pub fn binding(self) -> &'static str {
        match self {
            Self::Reads => "LIMIT_READS",
            Self::Writes => "LIMIT_WRITES",
            Self::Keys => "LIMIT_KEYS",
        }
    }
}

/// As whom a client's address counts.
pub fn bucket(address: &str) -> String {
    match address.trim().parse() {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => address.to_string(),
            None => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        },
        // The platform always sends one: without it, all count together.
        Err(_) => String::from("unknown"),
    }
}

/// The refusal of one that asked too often.
pub fn too_many() -> Problem {
    let detail = format!("too many requests from here: wait {WAIT_S} s");
    Problem::new(ProblemCode::RateLimited, detail).with_header("retry-after", WAIT_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_as_its_subscriber() {
        for (address, counts_as) in [
            ("192.0.2.7", "192.0.2.7"),
            (" 192.0.2.7 ", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
            ("", "unknown"),
            ("a\r\nb", "unknown"),
        ] {
            assert_eq!(bucket(address), counts_as, "{address}");
        }
    }
}
