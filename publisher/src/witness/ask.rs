//! Asks the witnesses of a trust root for their cosignatures, all at the same time.
//!
//! A witness that stands elsewhere than was thought says where, and gets the proof from there. One
//! that does not answer, refuses, or answers with a line that does not verify is named; the others
//! count.

use std::io::Read;
use std::time::Duration;

use packice_core::format::note::Checkpoint;
use packice_core::format::trust_root::{TrustRoot, Witness};
use packice_core::trust::prove::{consistency_proof, proof_tiles};
use packice_core::trust::tiles::TileRef;
use packice_core::trust::witness::{AddCheckpoint, MAX_ANSWER_LEN, take_answer};
use ureq::Agent;

use crate::config::WitnessUrl;
use crate::failure::{Failure, Result};

/// How long one witness may take altogether.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the log's tiles come from.
pub type Tiles<'a> = dyn Fn(&[TileRef]) -> Result<Vec<(TileRef, Vec<u8>)>> + Sync + 'a;

/// What a witness said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The witness.
    pub name: String,
    /// The time of its cosignature in seconds since 1970, or why there is none.
    pub outcome: Result<u64, String>,
}

/// Asks the witnesses, and takes what they cosign into the checkpoint. It is for the caller to
/// check the quorum.
pub fn ask_witnesses(
    root: &TrustRoot,
    urls: &[WitnessUrl],
    old: u64,
    checkpoint: &mut Checkpoint,
    tiles: &Tiles<'_>,
) -> Vec<Said> {
    let note = checkpoint.encode().into_bytes();
    let size = checkpoint.size;
    let answers: Vec<(&Witness, Result<Vec<u8>>)> = std::thread::scope(|scope| {
        let asked: Vec<_> = root
            .witnesses
            .witnesses
            .iter()
            .map(|witness| {
                let note = &note;
                let url = urls.iter().find(|url| url.name == witness.name);
                (witness, scope.spawn(move || ask_one(url, old, size, note, tiles)))
            })
            .collect();
        asked
            .into_iter()
            .map(|(witness, thread)| {
                let lost = |_| Err(Failure::internal("the thread that asked it failed"));
                (witness, thread.join().unwrap_or_else(lost))
            })
            .collect()
    });
    answers
        .into_iter()
        .map(|(witness, answer)| {
            let outcome = answer.map_err(|failure| failure.message).and_then(|answer| {
                take_answer(checkpoint, witness, &answer)
                    .map_err(|error| format!("its answer does not hold: {error}"))
            });
            Said { name: witness.name.clone(), outcome }
        })
        .collect()
}

/// Whether enough have cosigned; else who did not, and why.
pub fn check_quorum(root: &TrustRoot, said: &[Said]) -> Result<()> {
    let quorum = root.witnesses.quorum as usize;
    let cosigned = said.iter().filter(|said| said.outcome.is_ok()).count();
    if cosigned >= quorum {
        return Ok(());
    }
    let reasons: Vec<String> = said
        .iter()
        .filter_map(|said| {
            let why = said.outcome.as_ref().err()?;
            Some(format!("\n  {}: {why}", said.name))
        })
        .collect();
    let message = format!("{cosigned} witnesses cosigned, {quorum} must{}", reasons.concat());
    Err(Failure::network(message)
        .coded("trust/below-quorum")
        .next("nothing moved: when enough of them answer, run the command again"))
}

fn ask_one(
    url: Option<&WitnessUrl>,
    old: u64,
    size: u64,
    note: &[u8],
    tiles: &Tiles<'_>,
) -> Result<Vec<u8>> {
    let Some(url) = url else {
        return Err(Failure::usage("packice.toml names no URL for it under [[witness]]"));
    };
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("packice/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(PATIENCE));
    if crate::edge::is_loopback(&url.url) {
        config = config.proxy(None);
    }
    let agent = config.build().new_agent();
    let mut from = old;
    // It may stand elsewhere, and say so; and then move on by another's request once more.
    for _ in 0..3 {
        let needed = proof_tiles(from, size);
        let held = if needed.is_empty() { Vec::new() } else { tiles(&needed)? };
        let proof = consistency_proof(from, size, &held)?;
        let request = AddCheckpoint { old: from, proof, note: note.to_vec() };
        let address = format!("{}/add-checkpoint", url.url);
        let response = agent.post(&address).send(&request.encode());
        let response = response.map_err(|error| Failure::network(error.to_string()))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let most = MAX_ANSWER_LEN as u64 + 1;
        let read = response.into_body().into_reader().take(most).read_to_end(&mut body);
        read.map_err(|error| Failure::network(format!("its answer broke off: {error}")))?;
        let text = String::from_utf8_lossy(&body).trim().to_owned();
        match (status, text.parse::<u64>()) {
            (200, _) => return Ok(body),
            (409, Ok(stands)) if stands <= size && stands != from => from = stands,
            (409, Ok(stands)) if stands == from => {
                let message = format!("it cosigned another history of {stands} releases: a fork");
                return Err(Failure::conflict(message));
            }
            (409, Ok(stands)) if stands > size => {
                let message = format!("it stands at {stands} releases already, this is {size}");
                return Err(Failure::conflict(message));
            }
            _ => {
                let said: String = text.chars().take(200).collect();
                return Err(Failure::network(format!("it answers {status}: {said}")));
            }
        }
    }
    Err(Failure::conflict("it keeps moving: somebody else publishes to this log"))
}
