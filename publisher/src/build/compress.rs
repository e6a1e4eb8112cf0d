//! The pinned zstd encoder, and dictionaries.
//!
//! Wire names of a rebuild are the same only where the encoder and every parameter of it are:
//! the crate is pinned to one release of zstd, and no parameter is left to a level's table, which
//! a new release may change.

use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, Strategy};

use crate::failure::{Failure, Result};

/// What the encoder is called in a manifest's provenance and in `inspect`.
pub const ENCODER: &str = "zstd 1.5.7, level 19 pinned";

/// A reusable encoder of frames.
pub struct FrameEncoder {
    inner: Compressor<'static>,
}

impl FrameEncoder {
    /// An encoder, with a dictionary where the collection has one.
    pub fn new(dictionary: Option<&[u8]>) -> Result<Self> {
        let mut inner = match dictionary {
            Some(dictionary) => Compressor::with_dictionary(19, dictionary),
            None => Compressor::new(19),
        }
        .map_err(zstd_error)?;
        let parameters = [
            // Frames are below the window, so a frame refers to all of itself and of the
            // dictionary.
            CParameter::WindowLog(22),
            CParameter::ChainLog(23),
            CParameter::HashLog(22),
            CParameter::SearchLog(8),
            CParameter::MinMatch(3),
            CParameter::TargetLength(256),
            CParameter::Strategy(Strategy::ZSTD_btultra2),
            CParameter::EnableLongDistanceMatching(false),
            // The layout has the hash of the frame, and the tree that of its content.
            CParameter::ChecksumFlag(false),
            CParameter::ContentSizeFlag(true),
            CParameter::DictIdFlag(true),
            CParameter::NbWorkers(0),
        ];
        for parameter in parameters {
            inner.set_parameter(parameter).map_err(zstd_error)?;
        }
        Ok(Self { inner })
    }

    /// One zstd frame over the bytes.
    pub fn encode(&mut self, plain: &[u8]) -> Result<Vec<u8>> {
        self.inner.compress(plain).map_err(zstd_error)
    }
}

/// Trains a dictionary of at most `size` bytes; `None` where the samples are too few for one.
pub fn train(samples: &[&[u8]], size: usize) -> Option<Vec<u8>> {
    zstd::dict::from_samples(samples, size).ok().filter(|dictionary| dictionary.len() > 256)
}

fn zstd_error(error: std::io::Error) -> Failure {
    Failure::internal(format!("zstd: {error}"))
}
