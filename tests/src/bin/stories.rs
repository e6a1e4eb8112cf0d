//! `stories`: tells every story anew and writes it to tests/stories, for its change to be read.

use std::path::Path;

use packice_tests::stories;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stories");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    for story in stories::all() {
        std::fs::write(folder.join(format!("{}.txt", story.name)), story.told())?;
    }
    std::fs::write(folder.join("lives.txt"), stories::lives())
}
