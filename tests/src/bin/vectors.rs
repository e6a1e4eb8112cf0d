//! Writes tests/vectors anew: `cargo run -p packice-tests --bin vectors`. For a new format or a
//! changed engine trace; where a vector of a format changes, the format did.

use std::path::Path;

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
    Ok(())
}
