//! Writes tests/vectors anew, and the fuzzer's corpora from them:
//! `cargo run -p packice-tests --bin vectors`. For a new format or a changed engine trace; where a
//! vector of a format changes, the format did.

use std::path::Path;

use packice_tests::parsers::Kind;

/// Lives of a client to begin from, as `scenario::setup_of` reads them.
const LIVES: [(&str, &[u8]); 3] = [
    ("sync", &[1, 0, 0, 10]),
    ("crash", &[2, 1, 0, 7, 30, 11, 0, 10, 12, 0, 7, 60, 11]),
    ("reads", &[3, 1, 3, 9, 0, 20, 9, 0, 7, 20, 0, 7, 25, 5, 70, 1, 2, 10, 14, 1, 0, 4, 0, 0]),
];

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    std::fs::create_dir_all(&folder)?;
    for (name, text) in packice_tests::encoder::files() {
        let file = folder.join(&name);
        let changed = std::fs::read_to_string(&file).ok().as_deref() != Some(&text);
        let note = if changed { "written" } else { "unchanged" };
        println!("{name}: {} bytes, {note}", text.len());
        std::fs::write(file, text)?;
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for kind in Kind::ALL {
        let folder = corpus.join(kind.name());
        std::fs::create_dir_all(&folder)?;
        for (at, seed) in kind.seeds().iter().enumerate() {
            std::fs::write(folder.join(format!("vector-{at}")), seed)?;
        }
    }
    std::fs::create_dir_all(corpus.join("engine"))?;
    for (name, life) in LIVES {
        std::fs::write(corpus.join("engine").join(name), life)?;
    }
    Ok(())
}
