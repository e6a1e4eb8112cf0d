//! Data sets for the benchmarks: published once through a real edge, then kept as the files that
//! any server could serve. A set is made again when its input or the publisher changes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::shop::Shop;
use crate::stamp::Stamp;
use crate::step::{self, Step};
use crate::{data, demo, text};

/// Records of the synthetic set.
const SYN_RECORDS: u64 = 1_000_000;

/// How often the browser compatibility data stands in the large set.
const COPIES: usize = 8;

/// A project to be published.
struct Project {
    name: String,
    dir: PathBuf,
    /// What is made of it to compare with.
    rivals: Rivals,
}

/// Other forms of the same records.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rivals {
    /// None.
    None,
    /// Files for a browser to decode.
    Parts,
    /// Those, and the length of all records as one file of `zstd -19 --long=27`.
    PartsAndReference,
}

/// Makes sure of all sets; gives each as the driver takes it, by name.
pub(crate) struct Sets<'a> {
    shop: &'a Shop,
    packice: PathBuf,
    tool: PathBuf,
    root: PathBuf,
}

impl<'a> Sets<'a> {
    /// Builds what makes sets.
    pub(crate) fn new(shop: &'a Shop) -> Result<Self> {
        let packice = demo::build_publisher(shop)?;
        let step = Step::start("cargo build bench_content (release)");
        let mut cargo = shop.cargo();
        cargo.args(["build", "--quiet", "--release", "--package", "packice-tests"]);
        step::run(cargo.args(["--bin", "bench_content"]))?;
        step.done("");
        let name = format!("bench_content{}", std::env::consts::EXE_SUFFIX);
        let tool = shop.target.join("release").join(name);
        Ok(Self { shop, packice, tool, root: shop.target.join("bench-sets") })
    }

    /// The three sets of the demo, with their reference lengths.
    pub(crate) fn npm(&self) -> Result<Vec<Value>> {
        let from = data::write_all(self.shop, demo::LOCAL_EDGE)?;
        data::names().map(|name| self.demo_set(&from, name)).collect()
    }

    fn demo_set(&self, from: &Path, name: &str) -> Result<Value> {
        let dir = self.root.join(name);
        std::fs::create_dir_all(&dir)?;
        for entry in std::fs::read_dir(from.join(name))? {
            let path = entry?.path();
            let wanted = path.extension().is_some_and(|s| s == "jsonl" || s == "toml");
            if let Some(file) = path.file_name().filter(|_| wanted) {
                std::fs::copy(&path, dir.join(file))?;
            }
        }
        self.publish(&Project { name: name.to_owned(), dir, rivals: Rivals::PartsAndReference })
    }

    /// The browser compatibility data eight times in one collection, the copy's number in front of
    /// each key: 165 MB.
    pub(crate) fn compat_copies(&self) -> Result<Value> {
        let from = data::write_all(self.shop, demo::LOCAL_EDGE)?;
        let lines = from.join("browser-compat/compat.jsonl");
        let name = format!("bcd-{COPIES}");
        let dir = self.root.join(&name);
        std::fs::create_dir_all(&dir)?;
        let mut out = BufWriter::new(File::create(dir.join("records.jsonl"))?);
        for copy in 0..COPIES {
            for line in BufReader::new(File::open(&lines)?).lines() {
                let line = line?;
                let rest = line.strip_prefix("{\"k\":\"").context("a line begins with its key")?;
                writeln!(out, "{{\"k\":\"{copy}/{rest}")?;
            }
        }
        out.flush()?;
        let project = Project { name, dir, rivals: Rivals::Parts };
        self.one_collection(&project, "key = \"{k}\"\nvalue = \"v\"\n")?;
        self.publish(&project)
    }

    /// A million records of 100 bytes, most of them random.
    pub(crate) fn syn(&self) -> Result<Value> {
        self.write_syn("syn-1m".to_owned(), SYN_RECORDS, Rivals::Parts)
    }

    /// As many records of the same kind as are asked for, and nothing to compare with.
    pub(crate) fn syn_of(&self, records: u64) -> Result<Value> {
        self.write_syn(format!("syn-{records}"), records, Rivals::None)
    }

    fn write_syn(&self, name: String, records: u64, rivals: Rivals) -> Result<Value> {
        let dir = self.root.join(&name);
        std::fs::create_dir_all(&dir)?;
        let written = data::write_syn(self.shop, records, 1, demo::LOCAL_EDGE)?;
        let from = written.join("accounts.jsonl");
        std::fs::copy(&from, dir.join("records.jsonl"))
            .with_context(|| format!("cannot read {}", from.display()))?;
        let project = Project { name, dir, rivals };
        self.one_collection(&project, "key = \"{k|hex}\"\nvalue = \"v|base64\"\n")?;
        self.publish(&project)
    }

    /// A set of one collection, `records`, from `records.jsonl` in the project's folder.
    fn one_collection(&self, project: &Project, mapping: &str) -> Result<()> {
        let text = format!(
            "dataset = \"{}\"\n\n[[collection]]\nname = \"records\"\npriority = 1\nlazy = true\n\
             input = \"records.jsonl\"\n{mapping}dictionary = \"auto\"\n",
            project.name
        );
        Ok(std::fs::write(project.dir.join("packice.toml"), text)?)
    }

    /// `packice init`, `build` and `publish`, and what a benchmark compares with.
    fn publish(&self, project: &Project) -> Result<Value> {
        let Project { name, dir, rivals } = project;
        let described = dir.join("set.json");
        let mut inputs = vec![self.packice.clone(), self.tool.clone()];
        let files = std::fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
        let files = files.iter().map(|entry| entry.path());
        inputs.extend(files.filter(|p| p.extension().is_some_and(|s| s == "jsonl" || s == "toml")));
        let stamp = Stamp::new(dir.join("stamp"), "2", &inputs)?;
        let build = dir.join(".packice/builds/1");
        if !stamp.fresh(&[described.clone(), build.clone()]) {
            let step = Step::start(format!("publishing {name} and packing its content"));
            let trust = self.release(name, dir)?;
            let parts = dir.join("parts");
            let mut set = match rivals {
                Rivals::None => self.content(&build, &["totals".as_ref()])?,
                Rivals::Parts | Rivals::PartsAndReference => {
                    self.content(&build, &["parts".as_ref(), parts.as_os_str()])?
                }
            };
            if *rivals == Rivals::PartsAndReference {
                let whole = self.content(&build, &["reference".as_ref()])?;
                set["reference_bytes"] = whole["reference_bytes"].clone();
            }
            set["name"] = json!(name);
            set["build"] = json!(build);
            set["head"] = json!(dir.join("head"));
            set["trust"] = json!(trust);
            if *rivals != Rivals::None {
                set["parts_dir"] = json!(parts);
            }
            std::fs::write(&described, format!("{set:#}\n"))?;
            stamp.write()?;
            step.done("");
        }
        let text = std::fs::read_to_string(&described)?;
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", described.display()))
    }

    /// What `bench_content` makes of a build.
    fn content(&self, build: &Path, args: &[&OsStr]) -> Result<Value> {
        let mut tool = self.shop.command(&self.tool);
        Ok(serde_json::from_str(&step::capture(tool.arg(build).args(args))?)?)
    }

    /// Publishes through an edge of its own; returns the trust root as base64.
    fn release(&self, name: &str, dir: &Path) -> Result<String> {
        let config = std::fs::read(dir.join("packice.toml"))?;
        for stale in ["packice.toml", ".packice", "keys", "trust", "head", "parts", "store"] {
            let path = dir.join(stale);
            if path.is_dir() {
                std::fs::remove_dir_all(&path)?;
            } else if path.exists() {
                std::fs::remove_file(&path)?;
            }
        }
        let key = demo::random_key()?;
        let store = dir.join("store");
        std::fs::create_dir_all(&store)?;
        let edge = demo::start_edge(self.shop, 0, &store, &key)?;
        let url = edge.url()?;
        let run = |args: &[&str]| {
            let mut command = self.shop.command(&self.packice);
            step::quiet(command.args(args).current_dir(dir).env("PACKICE_PUBLISH_KEY", &key))
        };
        run(&["init", "--dataset", name, "--non-interactive"])?;
        // The keys and the trust root are init's; what to publish is ours.
        std::fs::write(dir.join("packice.toml"), config)?;
        run(&["build", "--json"])?;
        run(&["publish", "--json", "--edge", url])?;
        let mut node = self.shop.node();
        node.arg(self.shop.path("tests/bench/sync/save-head.mjs"));
        step::quiet(node.arg(format!("{url}/v1/{name}")).arg(dir.join("head")))?;
        drop(edge);
        std::fs::remove_dir_all(&store)?;
        let trust = std::fs::read(dir.join("trust/1.bin"))
            .context("`packice init` wrote no trust root (trust/1.bin)")?;
        Ok(text::base64(&trust))
    }
}
