//! Keeps a quiet data set fresh: which witnesses are asked for new cosignatures of the checkpoint
//! that stands, with what, and what their answers come to.
//!
//! In scope: the list of witnesses, requests, answers. Out of scope: fetching (`cron`) and the
//! check of the refreshed pointer, which is that of any move. The edge is not trusted with any of
//! it: a cosignature verifies under the trust root, or it is dropped.

use packice_core::error::Error;
use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::note::Checkpoint;
use packice_core::format::trust_root::Witness;
use packice_core::trust::append::refreshed;
use packice_core::trust::note::verify_release;
use packice_core::trust::prove::{consistency_proof, proof_tiles};
use packice_core::trust::root::TrustChain;
use packice_core::trust::tiles::TileRef;
use packice_core::trust::witness::{AddCheckpoint, take_answer};
use packice_core::types::Name;

/// Most witnesses of the list: more than one trust root may name.
const MAX_URLS: usize = 64;

/// Where the witnesses are, by name: the variable `WITNESSES`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WitnessUrls {
    list: Vec<(String, String)>,
}

impl WitnessUrls {
    /// Reads `{name}={url}`, separated by commas; what does not read is left out.
    pub fn parse(text: &str) -> Self {
        let entries = text.split([',', '\n']).filter_map(|entry| entry.trim().split_once('='));
        let list = entries
            .map(|(name, url)| (name.trim(), url.trim().trim_end_matches('/')))
            .filter(|(name, url)| {
                !name.is_empty() && (url.starts_with("https://") || url.starts_with("http://"))
            })
            .take(MAX_URLS)
            .map(|(name, url)| (name.to_owned(), url.to_owned()))
            .collect();
        Self { list }
    }

    /// Whether there is nobody to ask.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn of(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(other, _)| other == name).map(|(_, url)| url.as_str())
    }
}

/// A refresh of one checkpoint.
#[derive(Clone, Debug)]
pub struct Refresh {
    checkpoint: Checkpoint,
    note: Vec<u8>,
    trust_roots: Vec<Vec<u8>>,
    /// Who is asked.
    pub asks: Vec<Ask>,
}

/// A witness to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The witness.
    pub witness: Witness,
    /// Where it takes requests.
    pub url: String,
}

/// What to do with a witness's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is taken.
    Taken,
    /// It lags: it is asked again with a proof out of these tiles.
    Prove {
        /// Where it stands.
        from: u64,
        /// The tiles.
        tiles: Vec<TileRef>,
    },
    /// It is of no use, and why.
    Refused(String),
}

impl Refresh {
    /// Plans the refresh of the checkpoint that a bootstrap stands at; `None` where no witness is
    /// to be asked, or where the release keys that signed it no longer count.
    pub fn plan(
        dataset: &Name,
        trust_roots: &[Vec<u8>],
        bootstrap: &[u8],
        urls: &WitnessUrls,
    ) -> Result<Option<Self>, Error> {
        let Some((first, later)) = trust_roots.split_first() else { return Ok(None) };
        let mut chain = TrustChain::embedded(first, dataset)?;
        chain.extend(later)?;
        let root = chain.newest();
        let note = Bootstrap::parse(bootstrap)?.checkpoint;
        let Ok(checkpoint) = verify_release(root, &note) else { return Ok(None) };
        let ask = |witness: &Witness| {
            let url = urls.of(&witness.name)?;
            Some(Ask { witness: witness.clone(), url: format!("{url}/add-checkpoint") })
        };
        let asks: Vec<Ask> = root.witnesses.witnesses.iter().filter_map(ask).collect();
        let trust_roots = trust_roots.to_vec();
        Ok((!asks.is_empty()).then_some(Self { checkpoint, note, trust_roots, asks }))
    }

    /// The first request: that the witness stands at this checkpoint already.
    pub fn request(&self) -> Vec<u8> {
        let (old, note) = (self.checkpoint.size, self.note.clone());
        AddCheckpoint { old, proof: Vec::new(), note }.encode()
    }

    /// The request to a witness that lags.
    pub fn request_from(&self, from: u64, tiles: &[(TileRef, Vec<u8>)]) -> Result<Vec<u8>, Error> {
        let proof = consistency_proof(from, self.checkpoint.size, tiles)?;
        Ok(AddCheckpoint { old: from, proof, note: self.note.clone() }.encode())
    }

    /// Takes a witness's answer.
    pub fn answered(&mut self, witness: &Witness, status: u16, body: &[u8]) -> Next {
        if status == 200 {
            return match take_answer(&mut self.checkpoint, witness, body) {
                Ok(_) => Next::Taken,
                Err(error) => Next::Refused(error.to_string()),
            };
        }
        let stands = std::str::from_utf8(body).ok().and_then(|text| text.trim().parse().ok());
        match stands.filter(|_| status == 409) {
            Some(from) if from < self.checkpoint.size => {
                Next::Prove { from, tiles: proof_tiles(from, self.checkpoint.size) }
            }
            Some(_) | None => Next::Refused(format!("it answers {status}")),
        }
    }

    /// Whether a bootstrap stands at the checkpoint that was refreshed.
    pub fn concerns(&self, bootstrap: &[u8]) -> bool {
        let note = Bootstrap::parse(bootstrap).map(|bootstrap| bootstrap.checkpoint);
        let checkpoint = note.and_then(|note| Checkpoint::parse(&note));
        checkpoint.is_ok_and(|checkpoint| checkpoint.body == self.checkpoint.body)
    }

    /// The bootstrap with the new cosignatures; `None` where nothing is new.
    pub fn apply(&self, bootstrap: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let bytes = refreshed(bootstrap, &self.checkpoint, &self.trust_roots)?;
        Ok((bytes != bootstrap).then_some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_witnesses_takes_names_and_urls() {
        let urls = WitnessUrls::parse("w.example/1=https://a.example/, w2 = http://127.0.0.1:1\n");
        assert_eq!(urls.of("w.example/1"), Some("https://a.example"));
        assert_eq!(urls.of("w2"), Some("http://127.0.0.1:1"));
        assert_eq!(urls.of("w3"), None);
        for text in ["", " , ", "w1", "w1=", "=https://a.example", "w1=ftp://a.example"] {
            assert!(WitnessUrls::parse(text).is_empty(), "{text}");
        }
    }
}
