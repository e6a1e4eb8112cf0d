//! Every length, count and size of a format, found by walking its bytes, so that each can lie.

/// A number that says how much there is of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// What it is of, as `docs/spec` calls it; joined by `-`.
    pub name: &'static str,
    /// Where it stands.
    pub at: std::ops::Range<usize>,
    /// What it says.
    pub value: u64,
}

/// How a field lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// One more than there is.
    More,
    /// As much as a number can say.
    Huge,
}

impl Lie {
    /// Each.
    pub const ALL: [Self; 2] = [Self::More, Self::Huge];

    /// The name in sets.
    pub fn name(self) -> &'static str {
        match self {
            Self::More => "more",
            Self::Huge => "huge",
        }
    }

    /// The bytes with a lie in a field's place.
    pub fn tell(self, bytes: &[u8], field: &Field) -> Vec<u8> {
        let value = match self {
            Self::More => field.value + 1,
            Self::Huge => u64::MAX,
        };
        [&bytes[..field.at.start], &leb128(value), &bytes[field.at.end..]].concat()
    }
}

fn leb128(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
    out
}

/// Goes through a format's bytes; a field of one name is noted where it comes first.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    found: Vec<Field>,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 4, found: Vec::new() }
    }

    fn skip(&mut self, len: u64) {
        self.at += usize::try_from(len).expect("a short format");
    }

    /// A number that is no length.
    fn pass(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.bytes[self.at];
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return value;
            }
            shift += 7;
        }
    }

    fn size(&mut self, name: &'static str) -> u64 {
        let start = self.at;
        let value = self.pass();
        if self.found.iter().all(|field| field.name != name) {
            self.found.push(Field { name, at: start..self.at, value });
        }
        value
    }

    fn bytes(&mut self, name: &'static str) {
        let len = self.size(name);
        self.skip(len);
    }

    fn object(&mut self, name: &'static str) {
        self.skip(32);
        self.size(name);
    }

    fn finish(self, format: &str) -> Vec<Field> {
        assert_eq!(self.at, self.bytes.len(), "the walk through a {format} is wrong");
        self.found
    }
}

/// The sizes in a bootstrap.
pub fn bootstrap(bytes: &[u8]) -> Vec<Field> {
    let mut walk = Walk::new(bytes);
    walk.bytes("checkpoint-length");
    for _ in 0..walk.size("trust-chain-count") {
        walk.bytes("trust-root-length");
    }
    walk.bytes("head-state-length");
    let hashes = walk.size("inclusion-proof-count");
    walk.skip(32 * hashes);
    for _ in 0..walk.size("objects-count") {
        walk.bytes("object-length");
    }
    walk.finish("bootstrap")
}

/// The sizes in a head state.
pub fn head(bytes: &[u8]) -> Vec<Field> {
    let mut walk = Walk::new(bytes);
    walk.bytes("dataset-length");
    walk.pass();
    for _ in 0..walk.size("channels-count") {
        walk.bytes("channel-length");
        walk.pass();
        walk.object("manifest-length");
    }
    walk.pass();
    walk.pass();
    walk.finish("head state")
}

/// The sizes in a manifest whose versions are bases, without deltas.
pub fn manifest(bytes: &[u8]) -> Vec<Field> {
    let mut walk = Walk::new(bytes);
    walk.bytes("dataset-length");
    walk.pass();
    walk.skip(1 + 32);
    walk.bytes("tool-length");
    for _ in 0..walk.size("collections-count") {
        walk.bytes("collection-length");
        walk.skip(2);
        for _ in 0..3 {
            walk.pass();
        }
        walk.skip(32 + 1);
        walk.size("records-count");
        walk.size("plain-length");
        walk.pass();
        walk.object("directory-length");
        walk.size("base-wire-length");
        walk.size("base-bundles-count");
        walk.size("base-frames-count");
        let has_dictionary = walk.bytes[walk.at] == 1;
        walk.skip(1);
        if has_dictionary {
            walk.pass();
            walk.object("dictionary-wire-length");
            walk.size("dictionary-plain-length");
        }
        walk.size("deltas-count");
    }
    walk.finish("manifest")
}

/// The sizes in a layout directory.
pub fn directory(bytes: &[u8]) -> Vec<Field> {
    let mut walk = Walk::new(bytes);
    for _ in 0..walk.size("nodes-count") {
        walk.bytes("node-length");
    }
    for _ in 0..walk.size("pages-count") {
        walk.object("page-length");
        walk.size("page-nodes-count");
        walk.size("page-bundles-count");
        walk.size("page-frames-count");
        walk.size("page-wire-length");
    }
    walk.finish("layout directory")
}

/// The sizes in a layout page.
pub fn page(bytes: &[u8]) -> Vec<Field> {
    let mut walk = Walk::new(bytes);
    for _ in 0..walk.size("nodes-count") {
        walk.bytes("node-length");
    }
    for _ in 0..walk.size("bundles-count") {
        walk.skip(32);
        for _ in 0..walk.size("bundle-frames-count") {
            walk.object("frame-wire-length");
        }
    }
    walk.finish("layout page")
}

/// The sizes in a tree node.
pub fn node(bytes: &[u8]) -> Vec<Field> {
    let mut walk = Walk::new(bytes);
    walk.skip(1);
    for _ in 0..walk.size("children-count") {
        walk.bytes("separator-length");
        walk.skip(32);
        walk.size("child-plain-length");
        walk.size("child-records-count");
    }
    walk.finish("tree node")
}

/// The sizes in a frame's plain bytes: leaves, one after the other.
pub fn leaves(bytes: &[u8]) -> Vec<Field> {
    let mut walk = Walk { bytes, at: 0, found: Vec::new() };
    while walk.at < bytes.len() {
        walk.skip(4);
        for _ in 0..walk.size("records-count") {
            walk.size("shared-key-length");
            walk.bytes("key-length");
            walk.bytes("value-length");
        }
    }
    walk.finish("frame")
}

/// The sizes in a signed trust root, and in the trust root that it is of.
pub fn signed_root(bytes: &[u8]) -> Vec<Field> {
    let mut walk = Walk::new(bytes);
    let body = walk.size("body-length");
    let end = walk.at + usize::try_from(body).expect("a short body");
    walk.skip(4);
    walk.bytes("dataset-length");
    walk.bytes("origin-length");
    walk.pass();
    for [keys, threshold] in
        [["root-keys-count", "root-threshold"], ["release-keys-count", "release-threshold"]]
    {
        walk.size(threshold);
        let count = walk.size(keys);
        walk.skip(32 * count);
    }
    walk.size("quorum");
    for _ in 0..walk.size("witnesses-count") {
        walk.bytes("witness-length");
        walk.skip(32);
    }
    walk.pass();
    walk.pass();
    walk.skip(1);
    assert_eq!(walk.at, end, "the walk through a trust root is wrong");
    for _ in 0..walk.size("signatures-count") {
        walk.skip(96);
    }
    walk.finish("signed trust root")
}
