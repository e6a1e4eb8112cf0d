//! Measures how a collection could be cut and compressed, on its own records, and suggests.
//!
//! Every row is a real build by the real builder in a temporary directory, read back by the light
//! client's decoder: nothing is modelled but the step from a sample to the whole. In scope: what
//! to try, what to measure, which to suggest. Out of scope: how dictionaries are trained and
//! chosen (`build::dictionary`).

mod sample;
mod write;

use std::path::Path;

use packice_core::format::manifest::Params;
use serde::Serialize;

use crate::build::blocks::BuildTree;
use crate::build::dictionary::Trial;
use crate::build::objects::ObjectDir;
use crate::build::supply::Inputs;
use crate::build::{self, Made};
use crate::config::{Collection, DictionaryChoice};
use crate::failure::{Result, on_file};
use crate::scratch::Scratch;
use crate::sort::Sorted;
use crate::ui::Ui;
pub use write::rewrite;

/// The frame targets that are tried.
pub const FRAMES: [u32; 7] =
    [16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20];
/// The leaf targets that are tried.
pub const LEAVES: [u32; 5] = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];
/// What a cold read of a lazy collection should stay below; with the bootstrap before it, the
/// whole is then within 64 KiB, unless the layout is long.
const COLD_READ_BYTES: u64 = 40 << 10;
/// A smaller frame may cost so many hundredths of the least full sync.
const FRAME_SLACK: u64 = 2;
/// A smaller leaf may cost so many hundredths.
const LEAF_SLACK: u64 = 1;
/// Frames that are decoded to measure.
const TIMED_FRAMES: usize = 48;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of keys and values that are measured; all where left out.
    pub sample: Option<u64>,
    /// Memory for sorting.
    pub memory: usize,
    /// Threads that compress.
    pub threads: usize,
}

/// One way to cut and compress, measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The leaf target.
    pub leaf_target: u32,
    /// The frame target.
    pub frame_target: u32,
    /// Plain bytes of the dictionary; 0 for none.
    pub dictionary_bytes: u64,
    /// The dictionary on the wire.
    pub dictionary_wire_bytes: u64,
    /// Plain bytes of all leaves that were measured.
    pub plain_bytes: u64,
    /// All frames that were measured, on the wire.
    pub frame_bytes: u64,
    /// Their layout's directory and pages.
    pub layout_bytes: u64,
    /// How many frames.
    pub frames: u64,
    /// Everything that a new client fetches: measured, and scaled where a sample was.
    pub full_sync_bytes: u64,
    /// The same over what `zstd -19 --long=27` makes of the records in one file.
    pub ratio: f64,
    /// The dictionary, and the frame of a record, the mean over all records.
    pub cold_read_bytes: u64,
    /// Bytes of a record's proof.
    pub proof_bytes: u64,
    /// Microseconds to check, decode and verify a frame, natively on this machine.
    pub decode_us: u64,
}

/// What was measured of a collection.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tuning {
    /// The collection.
    pub name: String,
    /// Whether it allows lazy reads.
    pub lazy: bool,
    /// Its records.
    pub records: u64,
    /// Bytes of its keys and values.
    pub content_bytes: u64,
    /// Bytes of keys and values that were measured.
    pub sampled_bytes: u64,
    /// Those in one file by `zstd -19 --long=27`.
    pub reference_bytes: u64,
    /// The rows: frames by dictionary, then leaves.
    pub rows: Vec<Row>,
    /// Which row is suggested.
    pub suggested: usize,
}

/// Measures one collection; nothing stays on the disk.
pub fn tune(
    collection: &Collection,
    options: &Options,
    temporary: &Path,
    ui: Ui,
) -> Result<Tuning> {
    std::fs::create_dir_all(temporary).map_err(on_file("create", temporary))?;
    let build = build::Options {
        version: 1,
        parent: None,
        new_base: true,
        memory: options.memory,
        threads: options.threads,
    };
    let inputs = Inputs { memory: options.memory, spill_dir: temporary.to_path_buf(), ui };
    let source = inputs.read(collection)?;
    let content_bytes = sample::content_bytes(&source.sorted)?;
    let sampled = match options.sample {
        Some(most) if most < content_bytes => {
            Some(sample::spread(&source.sorted, content_bytes, most, temporary)?)
        }
        Some(_) | None => None,
    };
    let records = sampled.as_ref().unwrap_or(&source.sorted);
    let sampled_bytes = sample::content_bytes(records)?;
    let spinner = ui.spinner("one file");
    let reference_bytes = sample::one_file(records)?;
    spinner.finish_and_clear();
    let bench = Bench {
        collection,
        build,
        records,
        temporary,
        content_bytes,
        sampled_bytes,
        reference_bytes,
        ui,
    };
    let (rows, suggested) = bench.run()?;
    Ok(Tuning {
        name: collection.name.to_string(),
        lazy: collection.lazy,
        records: source.sorted.len(),
        content_bytes,
        sampled_bytes,
        reference_bytes,
        rows,
        suggested,
    })
}

/// What rows are measured with.
struct Bench<'a> {
    collection: &'a Collection,
    build: build::Options,
    records: &'a Sorted,
    temporary: &'a Path,
    content_bytes: u64,
    sampled_bytes: u64,
    reference_bytes: u64,
    ui: Ui,
}

impl Bench<'_> {
    fn run(&self) -> Result<(Vec<Row>, usize)> {
        let leaf = self.collection.params.leaf_target;
        let total = FRAMES.iter().filter(|frame| **frame >= leaf).count() + LEAVES.len();
        let bar = self.ui.count_bar("tune", total as u64);
        bar.set_message(self.collection.name.to_string());
        let (smallest, own) = (FRAMES[0].max(leaf), self.collection.params.frame_target);
        if self.row(leaf, smallest, DictionaryChoice::None)?.0.frames <= 1 {
            // All of it is one frame whatever the sizes.
            bar.finish_and_clear();
            return Ok((vec![self.row(leaf, own, DictionaryChoice::None)?.0], 0));
        }
        let mut rows = Vec::new();
        for frame in FRAMES.into_iter().filter(|frame| *frame >= leaf) {
            bar.inc(1);
            self.rows_of_frame(leaf, frame, &mut rows)?;
        }
        let best = rows[choose_frame(&rows, self.collection.lazy)].clone();
        let first_leaf = rows.len();
        for leaf in LEAVES.into_iter().filter(|leaf| *leaf <= best.frame_target) {
            bar.inc(1);
            let dictionary = match u32::try_from(best.dictionary_bytes) {
                Ok(0) | Err(_) => DictionaryChoice::None,
                Ok(bytes) => DictionaryChoice::Bytes(bytes),
            };
            rows.push(self.row(leaf, best.frame_target, dictionary)?.0);
        }
        bar.finish_and_clear();
        let suggested = first_leaf + choose_leaf(&rows[first_leaf..]);
        Ok((rows, suggested))
    }

    /// A frame target without a dictionary, with the one that `auto` takes, and with the one of
    /// the least full sync, where these are others.
    fn rows_of_frame(&self, leaf: u32, frame: u32, rows: &mut Vec<Row>) -> Result<()> {
        rows.push(self.row(leaf, frame, DictionaryChoice::None)?.0);
        // The bootstrap decodes from its own bytes.
        if self.collection.priority == 0 {
            return Ok(());
        }
        let (auto, trials) = self.row(leaf, frame, DictionaryChoice::Auto)?;
        let least = trials.iter().min_by_key(|trial| trial.full_sync_bytes);
        let least = least.map_or(0, |trial| trial.dictionary_bytes);
        let taken = auto.dictionary_bytes;
        rows.extend((taken > 0).then_some(auto));
        if least > 0 && least != taken {
            let choice = DictionaryChoice::Bytes(u32::try_from(least).unwrap_or(u32::MAX));
            rows.push(self.row(leaf, frame, choice)?.0);
        }
        Ok(())
    }

    fn row(
        &self,
        leaf: u32,
        frame: u32,
        dictionary: DictionaryChoice,
    ) -> Result<(Row, Vec<Trial>)> {
        let params = Params { leaf_target: leaf, frame_target: frame, ..self.collection.params };
        let collection = Collection { params, dictionary, ..self.collection.clone() };
        let dir = Scratch::new(self.temporary, "tune-")?;
        let objects = ObjectDir::create(dir.path())?;
        let quiet = Ui { quiet: true, ..self.ui };
        let Made { tree, base, layout, trials, .. } =
            build::make_base(&collection, &self.build, self.records, &objects, quiet)?;
        let cost = BuildTree::open(&objects, &base)?.read_cost(TIMED_FRAMES)?;
        let dictionary = base.dictionary;
        let dictionary_wire_bytes = dictionary.map_or(0, |dictionary| dictionary.object.len);
        let layout_bytes = layout.page_bytes + layout.directory.len;
        let scaled = scale(layout.wire_len + layout_bytes, self.content_bytes, self.sampled_bytes);
        let whole_file = scale(self.reference_bytes, self.content_bytes, self.sampled_bytes);
        let full_sync_bytes = scaled + dictionary_wire_bytes;
        let row = Row {
            leaf_target: leaf,
            frame_target: frame,
            dictionary_bytes: dictionary.map_or(0, |dictionary| dictionary.plain_len.into()),
            dictionary_wire_bytes,
            plain_bytes: tree.plain_len,
            frame_bytes: layout.wire_len,
            layout_bytes,
            frames: layout.frames,
            full_sync_bytes,
            ratio: full_sync_bytes as f64 / whole_file.max(1) as f64,
            cold_read_bytes: dictionary_wire_bytes + cost.frame_bytes,
            proof_bytes: cost.proof_bytes,
            decode_us: u64::try_from(cost.decode.as_micros()).unwrap_or(u64::MAX),
        };
        Ok((row, trials))
    }
}

/// What was measured of a part, for the whole.
fn scale(bytes: u64, whole: u64, part: u64) -> u64 {
    let scaled = u128::from(bytes) * u128::from(whole) / u128::from(part.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn within(row: &Row, best: u64, slack: u64) -> bool {
    u128::from(row.full_sync_bytes) * 100 <= u128::from(best) * u128::from(100 + slack)
}

/// The smallest frame, then the smallest dictionary, within a slack of the least full sync among
/// those that may be taken.
fn choose_frame(rows: &[Row], lazy: bool) -> usize {
    let fits = |row: &Row| !lazy || row.cold_read_bytes <= COLD_READ_BYTES;
    let any_fits = rows.iter().any(fits);
    let allowed = |row: &&Row| !any_fits || fits(row);
    if !any_fits {
        // Nothing is small enough: the least there is.
        let least = rows.iter().enumerate().min_by_key(|(_, row)| row.cold_read_bytes);
        return least.map_or(0, |(at, _)| at);
    }
    let best = rows.iter().filter(allowed).map(|row| row.full_sync_bytes).min().unwrap_or(0);
    let near = rows.iter().enumerate().filter(|(_, row)| allowed(row));
    near.filter(|(_, row)| within(row, best, FRAME_SLACK))
        .min_by_key(|(_, row)| (row.frame_target, row.dictionary_bytes))
        .map_or(0, |(at, _)| at)
}

/// The smallest leaf within a slack of the least full sync.
fn choose_leaf(rows: &[Row]) -> usize {
    let best = rows.iter().map(|row| row.full_sync_bytes).min().unwrap_or(0);
    rows.iter().position(|row| within(row, best, LEAF_SLACK)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(frame_kib: u32, dictionary: u64, full: u64, cold_kib: u64) -> Row {
        Row {
            leaf_target: 16 << 10,
            frame_target: frame_kib << 10,
            dictionary_bytes: dictionary,
            dictionary_wire_bytes: dictionary / 3,
            plain_bytes: 0,
            frame_bytes: 0,
            layout_bytes: 0,
            frames: 1,
            full_sync_bytes: full,
            ratio: 1.0,
            cold_read_bytes: cold_kib << 10,
            proof_bytes: 0,
            decode_us: 0,
        }
    }

    #[test]
    fn the_smallest_frame_that_costs_little_is_taken() {
        let rows = [row(64, 0, 1100, 9), row(128, 0, 1015, 16), row(256, 0, 1000, 30)];
        assert_eq!(choose_frame(&rows, false), 1);
        assert_eq!(choose_leaf(&rows), 2);
    }

    #[test]
    fn lazy_reads_stay_small_where_they_can() {
        let rows = [row(64, 0, 1100, 9), row(128, 9, 1000, 50), row(256, 0, 900, 60)];
        assert_eq!(choose_frame(&rows, true), 0);
        assert_eq!(choose_frame(&rows, false), 2);
        let rows = [row(64, 0, 1100, 90), row(128, 9, 1000, 50), row(256, 0, 900, 60)];
        assert_eq!(choose_frame(&rows, true), 1);
    }
}
