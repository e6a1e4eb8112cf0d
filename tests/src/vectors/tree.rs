//! The vectors of trees: leaves, nodes, roots, frames, bundles, layouts, proofs.

use packice_core::format::leaf::LeafWriter;
use packice_core::format::node::Node;
use packice_core::hash;
use packice_core::tree::proof;
use packice_core::types::hex;

use super::data::{Built, Records, TOKEN_COUNT, TOKENS, World, build_tree, config, token, tokens};
use super::{Format, Vector};

pub(super) fn formats(world: &World) -> Vec<Format> {
    vec![
        leaves(world),
        nodes(world),
        roots(),
        frames(world),
        bundles(world),
        dictionaries(world),
        layout_pages(world),
        layout_directories(world),
        proofs(world),
    ]
}

fn leaf(records: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut writer = LeafWriter::default();
    for (key, value) in records {
        writer.push(key, value);
    }
    writer.finish()
}

fn leaves(world: &World) -> Format {
    let shared: [(&[u8], &[u8]); 4] =
        [(b"", b""), (b"a", b"1"), (b"ab", &[0xff; 200]), (b"b", b"")];
    let frame = &world.tokens.frames[0];
    let first_len = usize::try_from(frame.node.children[0].plain_len).expect("a short leaf");
    let whole = frame.plain[..first_len].to_vec();
    let vectors = vec![
        Vector::new("one", "the record k -> v", leaf(&[(b"k", b"v")])).identified(),
        Vector::new(
            "shared-keys",
            "the records (empty) -> (empty), a -> 1, ab -> 200 bytes 0xff, b -> (empty)",
            leaf(&shared),
        )
        .identified(),
        Vector::new("whole", "the first leaf of the collection tokens (see tree-root)", whole)
            .identified()
            .fact("records", frame.node.children[0].records),
    ];
    Format {
        name: "leaf",
        spec: "docs/spec/tree.md",
        about: "Records in key order, keys prefix-compressed.",
        vectors,
    }
}

fn nodes(world: &World) -> Format {
    let node = |name: &str, about: &str, node: &Node| {
        let vector = Vector::new(name, about, node.encode()).identified();
        vector.fact("plain_len", node.plain_len()).fact("records", node.records())
    };
    let root = &world.tokens.tree.levels[1][0];
    let empty = Node { level: 1, children: Vec::new() };
    Format {
        name: "node",
        spec: "docs/spec/tree.md",
        about: "Separators, child identities, lengths and counts.",
        vectors: vec![
            node("empty", "the root of a collection without records", &empty),
            node(
                "level-1",
                "over the leaves of the first frame of tokens",
                &world.tokens.frames[0].node,
            ),
            node("level-2", "the first level-2 node of tokens", &world.tokens.tree.levels[0][0]),
            node("root", "the root of tokens, of level 3", root),
        ],
    }
}

fn roots() -> Format {
    let root = |name: &str, about: String, records: &Records| {
        let (tree, frames) = build_tree(records);
        Vector::new(name, &about, tree.info.root.0.to_vec())
            .fact("level", tree.info.level)
            .fact("records", tree.info.records)
            .fact("plain_len", tree.info.plain_len)
            .fact("frames", frames.len())
    };
    let squares = "setting/N -> N squared in decimal, N = 0..11".to_owned();
    let many = |count: u64| format!("{count} records: {TOKENS}, i from 0");
    Format {
        name: "tree-root",
        spec: "docs/spec/tree.md",
        about: "Root identities of whole collections, with leaf target 1024, frame target 4096 and \
                node target 1024. The bytes are the root's identity.",
        vectors: vec![
            root("empty", "no record".to_owned(), &Records::new()),
            root("config", squares, &config()),
            root("tokens", many(TOKEN_COUNT), &tokens(TOKEN_COUNT)),
            root("many-tokens", many(20_000), &tokens(20_000)),
        ],
    }
}

fn frames(world: &World) -> Format {
    let plain = |built: &Built| hex(&built.frames[0].plain);
    let vector = |name: &str, about: &str, built: &Built, wire: &[u8]| {
        Vector::new(name, about, wire.to_vec())
            .named()
            .fact("plain_len", built.frames[0].plain.len())
            .fact("node_identity", built.frames[0].child.identity)
            .fact("plain", plain(built))
    };
    let with = vector(
        "with-dictionary",
        "the first frame of tokens, compressed with the vector of dictionary",
        &world.tokens,
        &world.tokens.wires[0],
    );
    let name = world.tokens.dictionary.as_ref().map(|(_, wire)| hash::wire_name(wire));
    Format {
        name: "frame",
        spec: "docs/spec/frame-and-bundle.md",
        about: "The zstd-compressed leaves of one level-1 node, as the pinned encoder writes them. \
                The plain bytes stand beside.",
        vectors: vec![
            vector("small", "the only frame of config", &world.config, &world.config.wires[0]),
            vector(
                "plain",
                "the first frame of tokens, no dictionary",
                &world.tokens,
                &world.undictioned,
            ),
            with.fact("dictionary", name.expect("a dictionary")),
        ],
    }
}

fn bundles(world: &World) -> Format {
    let vector = |name: &str, about: &str, built: &Built| {
        let lens: Vec<String> = built.wires.iter().map(|wire| wire.len().to_string()).collect();
        let vector = Vector::new(name, about, built.bundles[0].clone()).named();
        vector.fact("frame_lens", lens.join(" "))
    };
    Format {
        name: "bundle",
        spec: "docs/spec/frame-and-bundle.md",
        about: "Whole frames, one after the other.",
        vectors: vec![
            vector("one-frame", "all of config", &world.config),
            vector("many-frames", "all of tokens", &world.tokens),
        ],
    }
}

fn dictionaries(world: &World) -> Format {
    let (plain, wire) = world.tokens.dictionary.as_ref().expect("a dictionary");
    let vector =
        Vector::new("trained", "trained on the frames of tokens, 2048 bytes at most", wire.clone())
            .named()
            .fact("plain_len", plain.len())
            .fact("plain", hex(plain));
    Format {
        name: "dictionary",
        spec: "docs/spec/frame-and-bundle.md",
        about: "A trained zstd dictionary, itself one zstd frame.",
        vectors: vec![vector],
    }
}

fn layout_pages(world: &World) -> Format {
    let vector = |name: &str, about: &str, built: &Built| {
        Vector::new(name, about, built.layout.pages[0].bytes.clone()).named()
    };
    Format {
        name: "layout-page",
        spec: "docs/spec/layout.md",
        about: "Level-2 nodes, and the bundles and frames under them.",
        vectors: vec![
            vector("one-frame", "of config: a root of level 1 has no level-2 node", &world.config),
            vector("many-frames", "the only page of tokens", &world.tokens),
        ],
    }
}

fn layout_directories(world: &World) -> Format {
    let vector = |name: &str, about: &str, built: &Built| {
        Vector::new(name, about, built.layout.directory.bytes.clone()).named()
    };
    Format {
        name: "layout-directory",
        spec: "docs/spec/layout.md",
        about: "Nodes of level 3 and above, and the pages.",
        vectors: vec![
            vector("no-page", "of a collection without records", &world.empty),
            vector("one-frame", "of config", &world.config),
            vector("three-levels", "of tokens", &world.tokens),
        ],
    }
}

fn proofs(world: &World) -> Format {
    let vector = |name: &str, about: &str, built: &Built, key: &[u8]| {
        let proof = built.prove(key);
        let value = proof::verify(&built.tree.info, key, &proof).expect("a proof that holds");
        let value = value.map_or_else(|| "absent".to_owned(), |value| hex(&value));
        let vector = Vector::new(name, about, proof).fact("root", built.tree.info.root);
        vector.fact("key", hex(key)).fact("value", value)
    };
    let present = token(1234).0;
    let empty =
        Vector::new("empty", "that a collection without records has no key", proof::prove_empty())
            .fact("root", world.empty.tree.info.root)
            .fact("value", "absent");
    Format {
        name: "record-proof",
        spec: "docs/spec/proof.md",
        about: "The nodes from the root down to level 1, and the leaf.",
        vectors: vec![
            vector("presence", "of token/001234", &world.tokens, &present),
            vector("absence", "of token/001234x", &world.tokens, &[&present[..], b"x"].concat()),
            vector("presence-in-one-frame", "of setting/7 in config", &world.config, b"setting/7"),
            empty,
        ],
    }
}
