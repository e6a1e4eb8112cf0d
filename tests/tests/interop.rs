//! Cosigned checkpoints, both ways, with an implementation that is not ours: the notes are those
//! of the crate `signed_note` (Cloudflare's azul), signatures and hashes those of `ring`, and what
//! a witness signs is put together here from the words of C2SP's tlog-cosignature. Checkpoints,
//! proofs and tiles against `signed_note` and `tlog_tiles`: core/src/trust/tests/independent.rs.

use packice_core::format::note::Checkpoint;
use packice_core::format::trust_root::{Role, Staleness, TrustRoot, Witness, WitnessPolicy};
use packice_core::hash;
use packice_core::trust::accept::Seen;
use packice_core::trust::log::Frontier;
use packice_core::trust::note::verify_note;
use packice_core::trust::sign;
use packice_core::types::Name;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use signed_note::{Note, Signer, Verifier, VerifierList};

const ORIGIN: &str = "packice.test/interop";
const WITNESS: &str = "witness.test/w1";
const RELEASE: [u8; 32] = [2; 32];
const WITNESS_SEED: [u8; 32] = [3; 32];
const TIME_S: u64 = 1_790_000_000;

/// SHA-256(name, newline, algorithm 4, key), its first four bytes.
fn cosignature_id(key: &[u8]) -> u32 {
    let text = [WITNESS.as_bytes(), b"\n\x04", key].concat();
    let hash = digest(&SHA256, &text);
    u32::from_be_bytes(hash.as_ref()[..4].try_into().expect("four bytes"))
}

/// What the specification says that a witness signs.
fn cosigned(time_s: u64, text: &[u8]) -> Vec<u8> {
    [format!("cosignature/v1\ntime {time_s}\n").as_bytes(), text].concat()
}

fn checkpoint() -> Checkpoint {
    let mut log = Frontier::new();
    for entry in 0..13u8 {
        log.push(hash::log_leaf(&[entry]));
    }
    let at = Seen { size: log.size(), root: log.root() };
    sign::sign_checkpoint(ORIGIN, at, &[RELEASE])
}

fn root(witness_key: [u8; 32]) -> TrustRoot {
    let role = |seed| Role { threshold: 1, keys: vec![sign::public_key(&seed)] };
    TrustRoot {
        dataset: Name::new("interop").expect("a name"),
        origin: ORIGIN.into(),
        version: 1,
        root: role([1; 32]),
        release: role(RELEASE),
        witnesses: WitnessPolicy {
            quorum: 1,
            witnesses: vec![Witness { name: WITNESS.into(), key: witness_key }],
        },
        staleness: Staleness::default(),
        floor: None,
    }
}

/// A witness as `signed_note` knows signers and verifiers; the signature and its time by `ring`.
struct Cosigner {
    pair: Ed25519KeyPair,
    /// The time that is written, and the time that is signed.
    times_s: (u64, u64),
}

impl Cosigner {
    fn at(written_s: u64, signed_s: u64) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&WITNESS_SEED).expect("a seed");
        Self { pair, times_s: (written_s, signed_s) }
    }

    fn public(&self) -> [u8; 32] {
        self.pair.public_key().as_ref().try_into().expect("32 bytes")
    }
}

impl Verifier for Cosigner {
    fn name(&self) -> &str {
        WITNESS
    }

    fn key_id(&self) -> u32 {
        cosignature_id(&self.public())
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let Some((time, signature)) = signature.split_first_chunk() else { return false };
        let signed = cosigned(u64::from_be_bytes(*time), text);
        UnparsedPublicKey::new(&ED25519, self.public()).verify(&signed, signature).is_ok()
    }
}

impl Signer for Cosigner {
    fn name(&self) -> &str {
        WITNESS
    }

    fn key_id(&self) -> u32 {
        cosignature_id(&self.public())
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let (written_s, signed_s) = self.times_s;
        let signature = self.pair.sign(&cosigned(signed_s, text));
        Ok([&written_s.to_be_bytes()[..], signature.as_ref()].concat())
    }
}

fn known(cosigner: Cosigner) -> VerifierList {
    VerifierList::new(vec![Box::new(cosigner)])
}

#[test]
fn an_independent_implementation_accepts_our_cosignature() {
    let mut ours = checkpoint();
    sign::add_cosignature(&mut ours, WITNESS, &WITNESS_SEED, TIME_S);
    let note = Note::from_bytes(ours.encode().as_bytes()).expect("a note");
    let (verified, others) = note.verify(&known(Cosigner::at(0, 0))).expect("our cosignature");
    assert_eq!((verified.len(), others.len()), (1, 1), "the release key's line is not known here");
    assert_eq!(verified[0].signature()[..8], TIME_S.to_be_bytes());
    // And the same line under another text is refused there, too.
    let moved = ours.encode().replacen("\n13\n", "\n14\n", 1);
    let note = Note::from_bytes(moved.as_bytes()).expect("a note");
    assert!(note.verify(&known(Cosigner::at(0, 0))).is_err());
}

#[test]
fn we_accept_the_cosignature_of_an_independent_implementation() {
    let bytes = checkpoint().encode().into_bytes();
    let root = root(Cosigner::at(0, 0).public());
    let cosign = |written_s, signed_s| {
        let mut note = Note::from_bytes(&bytes).expect("a note");
        note.add_sigs(&[&Cosigner::at(written_s, signed_s)]).expect("a cosignature");
        verify_note(&root, &note.to_bytes()).map_err(|error| error.code())
    };
    let verified = cosign(TIME_S, TIME_S).expect("a cosigned checkpoint");
    assert_eq!((verified.cosigned_s, verified.checkpoint.size), (TIME_S, 13));
    assert_eq!(cosign(TIME_S + 1, TIME_S), Err("trust/bad-signature"));
    let alone = verify_note(&root, &bytes).map_err(|error| error.code());
    assert_eq!(alone, Err("trust/below-quorum"));
}
