//! What the engine decides, told in words and frozen: a change of behaviour shows as text.

use std::collections::BTreeMap;
use std::path::Path;

use packice_tests::stories;

fn frozen() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stories");
    let files = std::fs::read_dir(folder).expect("the folder of the stories");
    let text = |file: std::io::Result<std::fs::DirEntry>| {
        let path = file.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).expect("a text"))
    };
    files.map(text).collect()
}

/// The first line that differs, and what was told before it.
fn difference(name: &str, frozen: &str, told: &str) -> Option<String> {
    if frozen == told {
        return None;
    }
    let (frozen, told): (Vec<_>, Vec<_>) = (frozen.lines().collect(), told.lines().collect());
    let same = frozen.iter().zip(&told).take_while(|(a, b)| a == b).count();
    let before = told[same.saturating_sub(4)..same].join("\n");
    let short = |line: Option<&&str>| line.map_or("(the end)", |line| *line).to_owned();
    let (was, is) = (short(frozen.get(same)), short(told.get(same)));
    Some(format!("{name}, line {}:\n{before}\n- {was}\n+ {is}\n", same + 1))
}

#[test]
fn every_story_is_told_as_it_is_frozen() {
    let frozen = frozen();
    let mut told: Vec<(String, String)> =
        stories::all().iter().map(|story| (story.name.into(), story.told())).collect();
    told.push(("lives".into(), stories::lives()));
    let nothing = String::new();
    let differs = |(name, told): &(String, String)| {
        difference(name, frozen.get(name).unwrap_or(&nothing), told)
    };
    let different: Vec<String> = told.iter().filter_map(differs).collect();
    let names = |of: &mut dyn Iterator<Item = &String>| of.cloned().collect::<Vec<_>>();
    let mut all = names(&mut told.iter().map(|(name, _)| name));
    all.sort();
    assert!(
        different.is_empty(),
        "{} of {} stories are told otherwise. If that is meant: cargo run -p packice-tests --bin \
         stories, and read the difference.\n\n{}",
        different.len(),
        told.len(),
        different.iter().take(3).cloned().collect::<String>()
    );
    assert_eq!(names(&mut frozen.keys()), all, "no file is left over");
}
