//! Everything in the core that reads bytes from outside, under one call: for the tests that feed
//! it frozen, damaged and random bytes.

use std::collections::BTreeMap;
use std::path::Path;

use packice_core::delta::Unpacker;
use packice_core::engine::io::{ReadId, StoreKey};
use packice_core::engine::{Command, Engine, EngineConfig, Event, Input, Output};
use packice_core::error::{Error, FormatError};
use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::Head;
use packice_core::format::layer::{LayerDirectory, LayerPage, LayerPageWriter, PageBody};
use packice_core::format::layout::{Directory, Page};
use packice_core::format::leaf::{LeafWriter, split_leaves};
use packice_core::format::manifest::{Manifest, TreeInfo};
use packice_core::format::node::{Child, Node};
use packice_core::format::note::Checkpoint;
use packice_core::format::push::Push;
use packice_core::format::seed::{PRELUDE_LEN, SeedIndex, index_len};
use packice_core::format::trust_root::{SignedTrustRoot, TrustRoot};
use packice_core::frame::Decoder;
use packice_core::hash;
use packice_core::plan::record;
use packice_core::tree::proof::{self, Proof};
use packice_core::tree::verify::verify_frame;
use packice_core::trust::accept::TrustState;
use packice_core::trust::append::{PointerRequest, check_pointer_move, pointer_tiles};
use packice_core::trust::proof::{FullProof, verify_full};
use packice_core::trust::tiles::{TileRef, encode_hashes, parse_entries, parse_hashes, push_entry};
use packice_core::types::{Millis, Name, hex};
use serde_json::Value;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A leaf.
    Leaf,
    /// A tree node.
    Node,
    /// A frame on the wire, without a dictionary.
    Frame,
    /// A frame on the wire, with the dictionary of the vectors.
    FrameWithDictionary,
    /// The plain bytes of a frame, against its level-2 node.
    FramePlain,
    /// A dictionary on the wire.
    Dictionary,
    /// A layout page.
    LayoutPage,
    /// A layout directory.
    LayoutDirectory,
    /// A manifest.
    Manifest,
    /// A layer's directory.
    Layer,
    /// A page of a layer that is not compressed.
    LayerPage,
    /// A delta segment, against the records of the vectors.
    Segment,
    /// A head state.
    Head,
    /// A tile of three hashes.
    HashTile,
    /// A tile of three entries.
    EntriesTile,
    /// A tile's path.
    TilePath,
    /// A checkpoint.
    Checkpoint,
    /// A signed trust root, and the trust root in it.
    TrustRoot,
    /// A bootstrap.
    Bootstrap,
    /// What an edge says to whoever listens.
    Push,
    /// A bootstrap that the edge's pointer shall move to.
    Pointer,
    /// A record proof, against the root of the vectors.
    Proof,
    /// A full proof, against the first trust root of the vectors.
    FullProof,
    /// The prelude and the index of a seed file.
    SeedHead,
    /// A stored trust state.
    TrustState,
    /// The state row of a store, as an engine opens it.
    EngineState,
    /// The audit row of a store, as an engine opens it.
    AuditRow,
    /// The sources row of a store.
    SourcesRow,
}

/// A vector of a file in tests/vectors.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// All its fields.
    pub fields: BTreeMap<String, String>,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 28] = [
        Self::Leaf,
        Self::Node,
        Self::Frame,
        Self::FrameWithDictionary,
        Self::FramePlain,
        Self::Dictionary,
        Self::LayoutPage,
        Self::LayoutDirectory,
        Self::Manifest,
        Self::Layer,
        Self::LayerPage,
        Self::Segment,
        Self::Head,
        Self::HashTile,
        Self::EntriesTile,
        Self::TilePath,
        Self::Checkpoint,
        Self::TrustRoot,
        Self::Bootstrap,
        Self::Push,
        Self::Pointer,
        Self::Proof,
        Self::FullProof,
        Self::SeedHead,
        Self::TrustState,
        Self::EngineState,
        Self::AuditRow,
        Self::SourcesRow,
    ];

    /// The vectors that it takes: their file, and the names of those that it takes alone.
    fn vectors(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Leaf => ("leaf", &[]),
            Self::Node => ("node", &[]),
            Self::Frame => ("frame", &["small", "plain"]),
            Self::FrameWithDictionary | Self::FramePlain => ("frame", &["with-dictionary"]),
            Self::Dictionary => ("dictionary", &[]),
            Self::LayoutPage => ("layout-page", &[]),
            Self::LayoutDirectory => ("layout-directory", &[]),
            Self::Manifest => ("manifest", &[]),
            Self::Layer => ("layer", &[]),
            Self::LayerPage => ("layer-page", &[]),
            Self::Segment => ("delta-segment", &[]),
            Self::Head => ("head", &[]),
            Self::HashTile | Self::TilePath => ("log", &["hashes"]),
            Self::EntriesTile => ("log", &["entries"]),
            Self::Checkpoint => ("checkpoint", &[]),
            Self::TrustRoot => ("trust-root", &[]),
            Self::Bootstrap => ("bootstrap", &[]),
            Self::Push => ("push", &[]),
            Self::Pointer => ("bootstrap", &["rotated"]),
            Self::Proof => ("record-proof", &["presence", "absence"]),
            Self::FullProof => ("full-proof", &[]),
            Self::SeedHead => ("seed", &[]),
            Self::TrustState => ("trust-state", &[]),
            Self::EngineState => ("engine-state", &[]),
            Self::AuditRow => ("audit-row", &[]),
            Self::SourcesRow => ("sources-row", &[]),
        }
    }

    /// Its name in file names.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// The frozen bytes that it takes.
    pub fn seeds(self) -> Vec<Vec<u8>> {
        let (format, names) = self.vectors();
        let mut vectors = frozen(format);
        vectors.retain(|name, _| names.is_empty() || names.contains(&name.as_str()));
        let bytes = |vector: Frozen| match self {
            Self::FramePlain => unhex(&vector.fields["plain"]),
            Self::TilePath => vector.fields["path"].clone().into_bytes(),
            _ => vector.bytes,
        };
        vectors.into_values().map(bytes).collect()
    }
}

/// The folder of the vectors.
pub fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors"))
}

/// The vectors of a file, by name.
pub fn frozen(format: &str) -> BTreeMap<String, Frozen> {
    let file = folder().join(format!("{format}.json"));
    let text = std::fs::read_to_string(&file).expect("a file of vectors");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let vector = |vector: &Value| {
        let fields: BTreeMap<String, String> = vector
            .as_object()
            .expect("an object")
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        let bytes = fields.get("bytes").map(|bytes| unhex(bytes)).unwrap_or_default();
        (fields["name"].clone(), Frozen { bytes, fields })
    };
    json["vectors"].as_array().expect("a list").iter().map(vector).collect()
}

/// The bytes of lower-case hexadecimal digits.
pub fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Reads bytes of any kind, with what the kinds need beside the bytes.
#[derive(Debug)]
pub struct Parsers {
    decoder: Decoder,
    dictionary: Frozen,
    dataset: Name,
    roots: [Vec<u8>; 2],
    tiles: Vec<(TileRef, Vec<u8>)>,
    frame: (u64, Child),
    small_len: u64,
    state: Vec<u8>,
    tree: TreeInfo,
    proven: Vec<BTreeMap<String, String>>,
    /// What the frozen segment changes.
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Default for Parsers {
    fn default() -> Self {
        Self::new()
    }
}

impl Parsers {
    /// Reads what is needed from the vectors.
    pub fn new() -> Self {
        let roots = frozen("trust-root");
        let log = frozen("log");
        let tile = |name: &str| {
            let vector = &log[name];
            (TileRef::parse(&vector.fields["path"]).expect("a path"), vector.bytes.clone())
        };
        let manifest = Manifest::parse(&frozen("manifest")["first"].bytes).expect("a manifest");
        let node = Node::parse(&frozen("node")["level-2"].bytes).expect("a node");
        let plain_len =
            |frame: &str| frozen("frame")[frame].fields["plain_len"].parse().expect("a length");
        Self {
            decoder: Decoder::new(),
            dictionary: frozen("dictionary")["trained"].clone(),
            dataset: manifest.dataset.clone(),
            roots: ["first", "rotated"].map(|name| roots[name].bytes.clone()),
            tiles: vec![tile("hashes"), tile("entries")],
            frame: (plain_len("with-dictionary"), node.children[0].clone()),
            small_len: plain_len("small"),
            state: frozen("engine-state")["committed"].bytes.clone(),
            tree: manifest.collection("tokens").expect("the collection").tree,
            proven: frozen("full-proof").into_values().map(|vector| vector.fields).collect(),
            records: crate::vectors::old_records(),
        }
    }

    /// Reads, and writes again what can be written again.
    pub fn parse(&mut self, kind: Kind, bytes: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let written = match kind {
            Kind::Leaf => leaf(bytes)?,
            Kind::Node => Node::parse(bytes)?.encode(),
            Kind::Frame => return self.decode(bytes, false),
            Kind::FrameWithDictionary => return self.decode(bytes, true),
            Kind::FramePlain => {
                let frame = verify_frame(&self.frame.1, None, bytes.to_vec())?;
                assert!(frame.records().count() as u64 == self.frame.1.records);
                frame.plain().to_vec()
            }
            Kind::Dictionary => {
                let plain_len = self.dictionary.fields["plain_len"].parse().unwrap_or(0);
                self.decoder.install_dictionary(hash::wire_name(bytes), bytes, plain_len)?;
                return Ok(None);
            }
            Kind::LayoutPage => Page::parse(bytes)?.encode(),
            Kind::LayoutDirectory => Directory::parse(bytes)?.encode(),
            Kind::Manifest => Manifest::parse(bytes)?.encode(),
            Kind::Layer => {
                let layer = LayerDirectory::parse(bytes)?;
                // Whatever its runs say, they are applied within the list or refused.
                let _ = layer.patch.apply(Vec::new());
                layer.encode()
            }
            Kind::LayerPage => layer_page(bytes)?,
            Kind::Segment => {
                let mut unpacker = Unpacker::open(bytes)?;
                while unpacker.advance(self.records.as_slice())?.is_some() {}
                return Ok(None);
            }
            Kind::Head => Head::parse(bytes)?.encode(),
            Kind::HashTile => encode_hashes(&parse_hashes(&self.tiles[0].0, bytes)?),
            Kind::EntriesTile => entries(&self.tiles[1].0, bytes)?,
            Kind::TilePath => {
                let text = std::str::from_utf8(bytes).unwrap_or_default();
                let tile = TileRef::parse(text).ok_or(FormatError::Text { field: "tile" })?;
                tile.path().into_bytes()
            }
            Kind::Checkpoint => Checkpoint::parse(bytes)?.encode().into_bytes(),
            Kind::TrustRoot => {
                let mut signed = SignedTrustRoot::parse(bytes)?;
                signed.body = TrustRoot::parse(&signed.body)?.encode();
                signed.encode()
            }
            Kind::Bootstrap => Bootstrap::parse(bytes)?.encode(),
            Kind::Push => Push::parse(bytes)?.encode(),
            Kind::Pointer => return self.move_pointer(bytes).map(|()| None),
            Kind::Proof => {
                let value = proof::verify(&self.tree, b"token/001234", bytes);
                let proof = Proof::parse(bytes)?;
                // No second proof, and no other value: the root binds every byte.
                assert!(!matches!(value, Ok(None)), "a present key was proven absent");
                proof.encode()
            }
            Kind::FullProof => {
                self.check_full_proof(bytes);
                FullProof::parse(bytes)?.encode()
            }
            Kind::SeedHead => {
                let (prelude, index) = bytes.split_at(PRELUDE_LEN.min(bytes.len()));
                if index_len(prelude)? != index.len() {
                    return Err(FormatError::Truncated { field: "seed index" }.into());
                }
                let index = SeedIndex::parse(index)?.encode();
                [SeedIndex::prelude(index.len())?, index].concat()
            }
            Kind::TrustState => {
                let restore = |bytes| TrustState::restore(&self.roots[0], &self.dataset, bytes);
                let state = restore(bytes)?;
                let written = state.encode();
                if written != bytes {
                    // Trust roots up to the embedded one are passed over: a newer build of a
                    // wallet embeds a newer one.
                    assert_eq!(restore(&written), Ok(state));
                    return Ok(None);
                }
                written
            }
            Kind::SourcesRow => record::encode(&record::parse(bytes)?),
            Kind::EngineState => return self.open_engine(bytes, None).map(|()| None),
            Kind::AuditRow => {
                return self.open_engine(&self.state, Some(bytes)).map(|()| None);
            }
        };
        Ok(Some(written))
    }

    /// Whatever was done to a full proof: of the keys of the vectors it proves what is true.
    fn check_full_proof(&self, bytes: &[u8]) {
        let channel = Name::new("stable").expect("a name");
        let Ok(proven) = verify_full(bytes, &self.roots[0], &self.dataset, &channel) else {
            return;
        };
        for fields in &self.proven {
            let value = proven.value.as_deref().map_or_else(|| "absent".into(), hex);
            let same = fields["key"] == hex(&proven.key)
                && fields["collection"] == proven.collection.as_str();
            assert!(!same || fields["value"] == value, "{} was proven {value}", fields["name"]);
        }
    }

    fn decode(&mut self, wire: &[u8], with_dictionary: bool) -> Result<Option<Vec<u8>>, Error> {
        let name = hash::wire_name(&self.dictionary.bytes);
        let plain_len = self.dictionary.fields["plain_len"].parse().expect("a length");
        let dictionary = self.dictionary.bytes.clone();
        self.decoder.install_dictionary(name, &dictionary, plain_len)?;
        // The two frozen frames without a dictionary are of different lengths.
        let plain_len = if wire.len() < 100 { self.small_len } else { self.frame.0 };
        let plain = self.decoder.decode(wire, plain_len, with_dictionary.then_some(&name))?;
        assert_eq!(plain.len() as u64, plain_len);
        Ok(None)
    }

    fn move_pointer(&self, new: &[u8]) -> Result<(), Error> {
        let tiles = pointer_tiles(new)?;
        assert!(tiles.len() <= 9);
        let channel = Name::new("stable")?;
        let request = PointerRequest {
            dataset: &self.dataset,
            channel: &channel,
            trust_roots: &self.roots,
            old: None,
            own: None,
            new,
            tiles: &self.tiles,
        };
        let moved = check_pointer_move(&request)?;
        assert_eq!(moved.size, 3, "the log has one end");
        Ok(())
    }

    /// Opens an engine on a state row, and reads a key without any source.
    fn open_engine(&self, row: &[u8], audit: Option<&[u8]>) -> Result<(), Error> {
        let config = EngineConfig {
            dataset: self.dataset.clone(),
            channel: Name::new("stable")?,
            trust: self.roots[0].clone(),
        };
        let mut engine = Engine::new(config, 1)?;
        let mut damaged = false;
        let mut rows = vec![Some(row.to_vec()), audit.map(<[u8]>::to_vec)];
        let (read, collection) = (ReadId(1), String::from("tokens"));
        let get = Command::Get { read, collection, key: b"token/001234".to_vec(), version: None };
        let mut inputs = vec![Input::Idle, Input::Command(Command::Status), Input::Command(get)];
        loop {
            let input = match engine.poll_output() {
                Output::Load { request, keys } if keys.contains(&StoreKey::State) => {
                    Input::Loaded { request, rows: std::mem::take(&mut rows) }
                }
                Output::Load { request, keys } => {
                    Input::Loaded { request, rows: vec![None; keys.len()] }
                }
                Output::List { request } => Input::Listed { request, keys: Vec::new() },
                Output::Store { request, .. } => Input::Stored { request, result: Ok(()) },
                Output::Event(Event::Damaged { key: StoreKey::State }) => {
                    damaged = true;
                    continue;
                }
                Output::Work => {
                    engine.work(1 << 20, Millis(0));
                    continue;
                }
                Output::Wait { .. } => match inputs.pop() {
                    Some(input) => input,
                    None => break,
                },
                Output::Event(_)
                | Output::Answer { .. }
                | Output::SyncEnded { .. }
                | Output::RolledBack { .. } => continue,
                Output::Fetch { .. } | Output::CancelFetch { .. } | Output::Listen { .. } => {
                    panic!("there is no source")
                }
            };
            engine.handle(input, Millis(0));
        }
        if damaged { Err(FormatError::Text { field: "state" }.into()) } else { Ok(()) }
    }
}

fn leaf(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut writer = LeafWriter::default();
    for record in packice_core::format::leaf::records(bytes)? {
        writer.push(&record.key, record.value);
    }
    assert_eq!(split_leaves(bytes)?.len(), 1);
    Ok(writer.finish())
}

/// The same page written again; a compressed one is not of this kind.
fn layer_page(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let PageBody::Raw(plain) = PageBody::parse(bytes)? else {
        return Err(FormatError::Invalid { field: "page codec", value: 1 }.into());
    };
    let page = LayerPage::parse(plain.to_vec())?;
    let mut writer = LayerPageWriter::default();
    page.visit_from(&[], &mut |key, change| {
        writer.push(key, &change);
        true
    });
    Ok(PageBody::Raw(&writer.finish().1).encode())
}

fn entries(tile: &TileRef, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut written = Vec::new();
    for entry in parse_entries(tile, bytes)? {
        push_entry(&mut written, entry)?;
    }
    Ok(written)
}
