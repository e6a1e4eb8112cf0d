//! `cargo xtask bench frames`: the frame's size against the bytes of a full sync and the cost of a
//! read, by `packice tune` on the demo's three sets, whole.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::shop::Shop;
use crate::step::{self, Step};
use crate::{data, demo};

/// Where the table stands in docs/tuning.md.
const BEGIN: &str = "<!-- curve: written by `cargo xtask bench frames --docs` -->\n";
const END: &str = "<!-- /curve -->";

/// Measure the frame's size against the bytes of a full sync and the cost of a read.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the table of docs/tuning.md and docs/frame-size.svg.
    #[arg(long)]
    docs: bool,
    /// Take what was measured last, target/bench/tune-{set}.json.
    #[arg(long)]
    again: bool,
}

/// A frame target over all sets.
struct Point {
    frame: u64,
    full_sync: u64,
    reference: u64,
    /// Of each set's largest collection: cold read in bytes, decoding in microseconds.
    reads: Vec<(u64, u64)>,
}

impl Point {
    #[expect(clippy::cast_precision_loss, reason = "bytes are far below 2^52")]
    fn ratio(&self) -> f64 {
        self.full_sync as f64 / self.reference.max(1) as f64
    }
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    let mut sets = Vec::new();
    if args.again {
        for name in data::names() {
            sets.push((name, read(shop, name)?));
        }
    } else {
        let packice = demo::build_publisher(shop)?;
        let root = data::write_all(shop, demo::LOCAL_EDGE)?;
        for name in data::names() {
            sets.push((name, measure(shop, &packice, &root.join(name), name)?));
        }
    }
    let points = points(&sets)?;
    let table = table(&points);
    println!("{table}");
    let detail: Vec<_> = points
        .iter()
        .map(|point| {
            json!({
                "frame_bytes": point.frame,
                "full_sync_bytes": point.full_sync,
                "one_file_bytes": point.reference,
                "cold_read_bytes": point.reads.iter().map(|read| read.0).collect::<Vec<_>>(),
                "decode_us": point.reads.iter().map(|read| read.1).collect::<Vec<_>>(),
            })
        })
        .collect();
    shop.write_bench("frames", &[], json!({ "points": detail }))?;
    if args.docs {
        let path = shop.path("docs/tuning.md");
        let text = std::fs::read_to_string(&path)?;
        let (before, rest) = text.split_once(BEGIN).context("docs/tuning.md has no curve")?;
        let (_, after) = rest.split_once(END).context("docs/tuning.md's curve has no end")?;
        let image = "![Full sync against frame size, and the cold read of each \
                     set](frame-size.svg)";
        std::fs::write(&path, format!("{before}{BEGIN}{image}\n\n{table}\n{END}{after}"))?;
        std::fs::write(shop.path("docs/frame-size.svg"), chart(&points))?;
    }
    Ok(())
}

fn measure(shop: &Shop, packice: &Path, dir: &Path, name: &str) -> Result<Value> {
    let step = Step::start(format!("packice tune {name}"));
    let mut tune = shop.command(packice);
    tune.current_dir(dir).args(["tune", "--sample", "all", "--json"]);
    let said = step::capture(&mut tune)?;
    let out = shop.target.join("bench");
    std::fs::create_dir_all(&out)?;
    std::fs::write(out.join(format!("tune-{name}.json")), &said)?;
    step.done("");
    Ok(serde_json::from_str(&said)?)
}

fn read(shop: &Shop, name: &str) -> Result<Value> {
    let path = shop.target.join("bench").join(format!("tune-{name}.json"));
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// The rows of a collection that vary the frame alone: before the leaf's turn, leaves are equal.
fn row(collection: &Value, frame: u64) -> Result<&Value> {
    let rows = collection["rows"].as_array().context("a collection without rows")?;
    let first = rows.first().context("a collection without rows")?;
    let same_leaf = |row: &&Value| row["leaf_target"] == first["leaf_target"];
    let of_frame = rows.iter().filter(same_leaf).filter(|row| row["frame_target"] == frame);
    let best = of_frame.min_by_key(|row| row["full_sync_bytes"].as_u64());
    // A collection of one frame was measured once.
    Ok(best.unwrap_or(first))
}

fn number(value: &Value, field: &str) -> Result<u64> {
    value[field].as_u64().with_context(|| format!("a row without {field}"))
}

fn points(sets: &[(&str, Value)]) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for frame in (4..11).map(|log| 1024u64 << log) {
        let mut point = Point { frame, full_sync: 0, reference: 0, reads: Vec::new() };
        for (name, set) in sets {
            let collections = set["collections"].as_array().context("no collections")?;
            ensure!(!collections.is_empty(), "{name} has no collections");
            let mut largest = (0, (0, 0));
            for collection in collections {
                let row = row(collection, frame)?;
                let bytes = number(collection, "content_bytes")?;
                point.full_sync += number(row, "full_sync_bytes")?;
                point.reference += number(collection, "reference_bytes")?;
                let read = (number(row, "cold_read_bytes")?, number(row, "decode_us")?);
                largest = largest.max((bytes, read));
            }
            point.reads.push(largest.1);
        }
        points.push(point);
    }
    Ok(points)
}

fn table(points: &[Point]) -> String {
    let mut text = String::from(
        "| frame | full sync | of one file | cold read: phishing | solana | compat | decode: \
         phishing | solana | compat |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for point in points {
        let full = point.full_sync.div_ceil(1024);
        text.push_str(&format!(
            "| {} KiB | {full} KiB | {:.3} |",
            point.frame >> 10,
            point.ratio()
        ));
        for (bytes, _) in &point.reads {
            text.push_str(&format!(" {} KiB |", bytes.div_ceil(1024)));
        }
        for (_, us) in &point.reads {
            text.push_str(&format!(" {}.{:02} ms |", us / 1000, us % 1000 / 10));
        }
        text.push('\n');
    }
    text
}

/// The chart: full sync as a ratio on the left, the cold reads in KiB on the right.
#[expect(clippy::cast_precision_loss, reason = "pixels and kibibytes")]
fn chart(points: &[Point]) -> String {
    const COLOURS: [&str; 3] = ["#b98522", "#3f8f5c", "#7b64ad"];
    let (left, right, top, bottom) = (70.0, 650.0, 40.0, 300.0);
    let x = |at: usize| left + (right - left) * at as f64 / (points.len() - 1).max(1) as f64;
    let least = points.iter().map(Point::ratio).fold(f64::MAX, f64::min);
    let most = points.iter().map(Point::ratio).fold(0.0, f64::max);
    let (low, high) = ((least * 20.0).floor() / 20.0, (most * 20.0).ceil() / 20.0);
    let y = |ratio: f64| bottom - (bottom - top) * (ratio - low) / (high - low).max(0.01);
    let largest = points.iter().flat_map(|p| &p.reads).map(|read| read.0).max().unwrap_or(1);
    let read_high = (largest as f64 / 1024.0 / 50.0).ceil() * 50.0;
    let read_y = |bytes: u64| bottom - (bottom - top) * bytes as f64 / 1024.0 / read_high;
    let line = |ys: &mut dyn Iterator<Item = f64>, style: &str| {
        let dots: Vec<String> =
            ys.enumerate().map(|(at, y)| format!("{:.1},{y:.1}", x(at))).collect();
        format!("<polyline points=\"{}\" fill=\"none\" {style}/>\n", dots.join(" "))
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 380\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<title>Full sync and cold \
         reads by frame size</title>\n<rect width=\"720\" height=\"380\" rx=\"12\" \
         fill=\"#f7f9fb\"/>\n<g fill=\"#16232e\">\n<text x=\"{left}\" y=\"24\" \
         fill=\"#2f6f9f\">full sync, of one file</text>\n<text x=\"{right}\" y=\"24\" \
         text-anchor=\"end\">cold read (dashed)</text>\n"
    );
    for step in 0..=4 {
        let part = f64::from(step) / 4.0;
        let at = bottom - (bottom - top) * part;
        svg.push_str(&format!(
            "<line x1=\"{left}\" x2=\"{right}\" y1=\"{at}\" y2=\"{at}\" stroke=\"#c9d4de\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.2}</text>\n<text x=\"{}\" \
             y=\"{}\">{:.0} KiB</text>\n",
            left - 8.0,
            at + 4.0,
            low + (high - low) * part,
            right + 8.0,
            at + 4.0,
            read_high * part,
        ));
    }
    for (at, point) in points.iter().enumerate() {
        svg.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{} KiB</text>\n",
            x(at),
            bottom + 20.0,
            point.frame >> 10
        ));
    }
    for (set, (name, colour)) in data::names().zip(COLOURS).enumerate() {
        let style = format!("stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"6 4\"");
        svg.push_str(&line(&mut points.iter().map(|p| read_y(p.reads[set].0)), &style));
        let at = left + 200.0 * set as f64;
        svg.push_str(&format!("<text x=\"{at}\" y=\"350\" fill=\"{colour}\">- - {name}</text>\n"));
    }
    let style = "stroke=\"#2f6f9f\" stroke-width=\"3\"";
    svg.push_str(&line(&mut points.iter().map(|point| y(point.ratio())), style));
    svg.push_str("</g>\n</svg>\n");
    svg
}
