//! Tests of trust: each algorithm beside a slow oracle, published vectors, independent
//! implementations, and what an attacker would try.

// Sizes of logs in tests are small.
#![allow(clippy::cast_possible_truncation)]

mod accept;
mod append;
mod formats;
mod histories;
mod independent;
mod log;
mod note;
mod prove;
mod publisher;
mod release;
mod root;
mod sign;
mod signature;
mod tiles;
mod witness;

use alloc::vec::Vec;

use crate::hash;
use crate::types::LogHash;

/// Hashes of so many different entries.
fn leaves(count: usize) -> Vec<LogHash> {
    (0..count as u64).map(|at| hash::log_leaf(&at.to_be_bytes())).collect()
}

/// The root by the words of RFC 6962, section 2.1.
fn naive_root(leaves: &[LogHash]) -> LogHash {
    match leaves {
        [] => LogHash(hash::sha256(b"")),
        [leaf] => *leaf,
        _ => {
            let mut split = 1;
            while split * 2 < leaves.len() {
                split *= 2;
            }
            let (left, right) = leaves.split_at(split);
            hash::log_node(&naive_root(left), &naive_root(right))
        }
    }
}

/// The same bytes with one bit turned, for every bit.
fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

fn unhex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0);
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect()
}

fn log_hash(text: &str) -> LogHash {
    LogHash::from_hex(text).expect("64 digits")
}
