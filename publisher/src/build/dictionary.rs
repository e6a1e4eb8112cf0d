//! Chooses a collection's dictionary on a sample of its real frames.
//!
//! A dictionary makes every frame smaller and costs its own bytes once; a cold lazy read pays for
//! it and for one frame. Both are measured. The sample is chosen by hash, so the same content
//! gives the same choice whatever its order, and its size is bounded.

use std::collections::BTreeMap;

use packice_core::hash::identity;
use packice_core::types::Identity;
use serde::{Deserialize, Serialize};

use super::compress::{FrameEncoder, train};
use crate::config::DictionaryChoice;
use crate::failure::Result;

/// The sizes that `auto` tries, besides none.
const SIZES: [usize; 4] = [16 << 10, 32 << 10, 64 << 10, 112 << 10];
/// Plain bytes of frames that are kept to train on.
const SAMPLE_BYTES: usize = 8 << 20;
/// Plain bytes of frames that are compressed to compare.
const MEASURED_BYTES: usize = 2 << 20;
/// With so many frames, those that are measured are not trained on.
const FRAMES_TO_SPLIT: usize = 8;
/// What the dictionary and one frame may cost a cold lazy read; with the bootstrap before it, the
/// whole stays below 64 KiB, unless the layout is long.
const LAZY_READ_BYTES: u64 = 40 << 10;
/// A larger dictionary must save at least one part in so many of the whole.
const LEAST_GAIN: u64 = 100;

/// A bounded choice of a collection's frames.
#[derive(Debug, Default)]
pub struct Sample {
    frames: BTreeMap<Identity, SampleFrame>,
    bytes: usize,
    total_bytes: u64,
    total_frames: u64,
}

/// A frame's plain bytes and the lengths of its leaves.
#[derive(Clone, Debug)]
pub struct SampleFrame {
    /// The leaves, one after the other.
    pub plain: Vec<u8>,
    /// The length of each.
    pub leaf_lens: Vec<usize>,
}

/// What was measured for one size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Plain bytes of the dictionary; 0 for none.
    pub dictionary_bytes: u64,
    /// The dictionary on the wire.
    pub dictionary_wire_bytes: u64,
    /// All frames and the dictionary on the wire, estimated from the measured frames.
    pub full_sync_bytes: u64,
    /// The dictionary and the longest measured frame: what a cold read of one key fetches.
    pub lazy_read_bytes: u64,
}

/// The chosen dictionary, and what was measured.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// The dictionary's plain bytes.
    pub dictionary: Option<Vec<u8>>,
    /// What was tried; empty where nothing had to be measured.
    pub trials: Vec<Trial>,
}

impl Sample {
    /// Takes the next frame in, or leaves it out.
    pub fn push(&mut self, frame: SampleFrame) {
        self.total_bytes += frame.plain.len() as u64;
        self.total_frames += 1;
        self.bytes += frame.plain.len();
        let replaced = self.frames.insert(identity(&frame.plain), frame);
        self.bytes -= replaced.map_or(0, |old| old.plain.len());
        while self.bytes > SAMPLE_BYTES && self.frames.len() > 1 {
            if let Some((_, last)) = self.frames.pop_last() {
                self.bytes -= last.plain.len();
            }
        }
    }

    /// The frames to measure, and the frames to train on.
    fn split(&self) -> (Vec<&SampleFrame>, Vec<&SampleFrame>) {
        let all: Vec<&SampleFrame> = self.frames.values().collect();
        let mut bytes = 0;
        let measured = all.iter().take_while(|frame| {
            bytes += frame.plain.len();
            bytes <= MEASURED_BYTES
        });
        let count = measured.count().clamp(1.min(all.len()), all.len());
        let trained = if all.len() >= FRAMES_TO_SPLIT { &all[count..] } else { &all[..] };
        (all[..count].to_vec(), trained.to_vec())
    }

    /// Chooses the dictionary.
    pub fn decide(&self, choice: DictionaryChoice, lazy: bool) -> Result<Decision> {
        let sizes: &[usize] = match choice {
            DictionaryChoice::None => return Ok(Decision::default()),
            DictionaryChoice::Bytes(size) => &[size as usize],
            DictionaryChoice::Auto => &SIZES,
        };
        let (measured, trained) = self.split();
        let leaves: Vec<&[u8]> = trained.iter().flat_map(|frame| frame.leaves()).collect();
        let mut options = Vec::new();
        if choice == DictionaryChoice::Auto {
            options.push(None);
        }
        options.extend(sizes.iter().filter_map(|size| train(&leaves, *size)).map(Some));
        // Each size is measured on its own thread: the sizes are few and cost about the same.
        let trials = std::thread::scope(|scope| {
            let running: Vec<_> = options
                .iter()
                .map(|option| scope.spawn(|| self.measure(option.as_deref(), &measured)))
                .collect();
            running.into_iter().map(join).collect::<Result<Vec<Trial>>>()
        })?;
        let best = pick(&trials, lazy);
        Ok(Decision { dictionary: best.and_then(|at| options.swap_remove(at)), trials })
    }

    fn measure(&self, dictionary: Option<&[u8]>, frames: &[&SampleFrame]) -> Result<Trial> {
        let mut encoder = FrameEncoder::new(dictionary)?;
        let (mut plain, mut wire, mut longest) = (0u64, 0u64, 0u64);
        for frame in frames {
            let len = encoder.encode(&frame.plain)?.len() as u64;
            plain += frame.plain.len() as u64;
            wire += len;
            longest = longest.max(len);
        }
        let own = match dictionary {
            Some(dictionary) => FrameEncoder::new(None)?.encode(dictionary)?.len() as u64,
            None => 0,
        };
        let frames = u128::from(self.total_bytes) * u128::from(wire) / u128::from(plain.max(1));
        Ok(Trial {
            dictionary_bytes: dictionary.map_or(0, |bytes| bytes.len() as u64),
            dictionary_wire_bytes: own,
            full_sync_bytes: u64::try_from(frames).unwrap_or(u64::MAX).saturating_add(own),
            lazy_read_bytes: own + longest,
        })
    }
}

impl SampleFrame {
    fn leaves(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.plain.as_slice();
        self.leaf_lens.iter().map(move |len| {
            let (leaf, after) = rest.split_at(*len);
            rest = after;
            leaf
        })
    }
}

fn join(handle: std::thread::ScopedJoinHandle<'_, Result<Trial>>) -> Result<Trial> {
    handle.join().unwrap_or_else(|_| Err(crate::failure::Failure::internal("a thread panicked")))
}

/// The trial with the smallest full sync among those that leave a lazy read small; a larger
/// dictionary must be worth it.
fn pick(trials: &[Trial], lazy: bool) -> Option<usize> {
    let fits = |trial: &Trial| !lazy || trial.lazy_read_bytes <= LAZY_READ_BYTES;
    let any_fits = trials.iter().any(fits);
    let mut best: Option<usize> = None;
    for (at, trial) in trials.iter().enumerate() {
        if any_fits && !fits(trial) {
            continue;
        }
        let better = match best.map(|best| &trials[best]) {
            None => true,
            Some(best) if any_fits => {
                let gain = best.full_sync_bytes / LEAST_GAIN;
                trial.full_sync_bytes + gain < best.full_sync_bytes
            }
            // Nothing leaves a lazy read small: then as small as can be.
            Some(best) => trial.lazy_read_bytes < best.lazy_read_bytes,
        };
        if better {
            best = Some(at);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(dictionary: u64, full: u64, lazy: u64) -> Trial {
        Trial {
            dictionary_bytes: dictionary,
            dictionary_wire_bytes: dictionary / 3,
            full_sync_bytes: full,
            lazy_read_bytes: lazy,
        }
    }

    #[test]
    fn a_dictionary_must_be_worth_its_bytes() {
        let trials =
            [trial(0, 1000, 10), trial(16, 995, 12), trial(32, 900, 14), trial(64, 895, 20)];
        assert_eq!(pick(&trials, false), Some(2));
        assert_eq!(pick(&[], false), None);
    }

    #[test]
    fn lazy_reads_stay_small_where_they_can() {
        let trials = [trial(0, 1000, 30 << 10), trial(16, 900, 50 << 10)];
        assert_eq!(pick(&trials, true), Some(0));
        assert_eq!(pick(&trials, false), Some(1));
        let trials = [trial(0, 1000, 90 << 10), trial(16, 1100, 60 << 10)];
        assert_eq!(pick(&trials, true), Some(1));
    }

    #[test]
    fn the_choice_does_not_depend_on_the_order() {
        let frame = |seed: u64| {
            let text: String = (0..4000u64)
                .map(|i| {
                    format!("{{\"name\":\"token {}\",\"n\":{}}}", (seed * 31 + i) % 977, i * seed)
                })
                .collect();
            let plain = text.into_bytes();
            let leaf_lens = vec![plain.len() / 2, plain.len() - plain.len() / 2];
            SampleFrame { plain, leaf_lens }
        };
        let mut forward = Sample::default();
        let mut backward = Sample::default();
        for seed in 0..12 {
            forward.push(frame(seed));
            backward.push(frame(11 - seed));
        }
        let a = forward.decide(DictionaryChoice::Auto, true).expect("decided");
        let b = backward.decide(DictionaryChoice::Auto, true).expect("decided");
        assert_eq!(a.dictionary, b.dictionary);
        assert_eq!(a.trials, b.trials);
        assert!(!a.trials.is_empty());
    }
}
