//! `packice apply`: a version from operations over the one before, or one for each batch of a
//! stream.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use serde_json::json;

use super::args::{ApplyArgs, Cli};
use super::build::{Wanted, place, show, sort_memory, threads};
use crate::apply::batch::{BatchPolicy, Batcher};
use crate::apply::log::{Counts, LogWriter};
use crate::apply::{Changes, Intake};
use crate::build::content::{Content, Differ, Nothing};
use crate::build::past::{Past, PastCollection};
use crate::build::report::Report;
use crate::build::supply::Supply;
use crate::build::{self, Options};
use crate::config::Config;
use crate::failure::{Failure, Result, on_file};
use crate::project::Project;
use crate::publish;
use crate::text::{parse_size, parse_span_ms, show_count, show_size, show_span};
use crate::ui::Ui;

/// Longest line that is read; one with a value of the greatest size, escaped, is well below it.
const MAX_LINE_LEN: u64 = 16 << 20;
/// Lines that wait while a batch is built.
const QUEUED_LINES: usize = 1024;

pub(super) fn run(cli: &Cli, args: &ApplyArgs, ui: Ui) -> Result<()> {
    let config = Config::load(&cli.config)?;
    let builder = Builder {
        project: Project::new(config.work_dir()),
        memory: sort_memory(&args.memory)?,
        threads: threads(args.threads),
        what: match args.changes == Path::new("-") {
            true => "standard input".to_owned(),
            false => args.changes.display().to_string(),
        },
        config,
        ui,
    };
    if args.follow {
        return follow(&builder, args);
    }
    let edge = match args.after_edge {
        true => Some(builder.config.edge(args.release.edge.as_deref())?),
        false => None,
    };
    let mut intake = builder.intake();
    let mut lines = Lines::open(&args.changes)?;
    while let Some(line) = lines.next_line()? {
        intake.line(&line, lines.number)?;
    }
    let begun = Instant::now();
    let (report, counts) = builder.build(intake, edge.as_deref())?;
    ui.note(&format!(
        "{} added, {} updated, {} removed",
        show_count(counts.added),
        show_count(counts.updated),
        show_count(counts.removed)
    ));
    show(&builder.config, &report, begun.elapsed(), ui);
    Ok(())
}

struct Builder {
    config: Config,
    project: Project,
    memory: usize,
    threads: usize,
    what: String,
    ui: Ui,
}

impl Builder {
    fn intake(&self) -> Intake<'_> {
        Intake::new(&self.config, &self.project.temporary_dir(), self.memory, &self.what)
    }

    /// Builds the version that operations make, and writes down what they did.
    fn build(&self, intake: Intake<'_>, edge: Option<&str>) -> Result<(Report, Counts)> {
        let wanted = Wanted { version: None, edge };
        let (version, parent) = place(&self.config, &wanted, self.ui)?;
        let past = parent.as_ref().and_then(|parent| parent.history.first().cloned());
        let Some(past) = past else {
            return Err(Failure::absent("there is no version to change").next(
                "run `packice build` and publish it first, or pass --after-edge where the build \
                 is elsewhere",
            ));
        };
        let changes = intake.over(&past)?;
        let options = Options {
            version,
            parent,
            new_base: false,
            memory: self.memory,
            threads: self.threads,
        };
        let report = build::build(&self.config, &options, &changes, self.ui)?;
        Ok((report, self.write_log(version, &past, &changes)?))
    }

    fn write_log(&self, version: u64, past: &Past, changes: &Changes) -> Result<Counts> {
        let mut log = LogWriter::create(&self.project.operations_dir(), version)?;
        let mut sum = Counts::default();
        for collection in &self.config.collections {
            let new = changes.records(collection)?.content;
            let held = past.manifest.collection(collection.name.as_str());
            let held = held.map(|held| PastCollection::open(&past.objects, held)).transpose()?;
            let old = match &held {
                Some(held) => held.stream()?,
                None => Box::new(Nothing),
            };
            let differ = Differ::new(old, new.stream()?)?;
            let counts = log.collection(collection.name.as_str(), differ)?;
            sum.added += counts.added;
            sum.updated += counts.updated;
            sum.removed += counts.removed;
        }
        log.finish()?;
        Ok(sum)
    }
}

/// Lines of a file or of standard input, the empty ones left out.
struct Lines {
    input: Box<dyn BufRead + Send>,
    what: String,
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self> {
        let (input, what): (Box<dyn BufRead + Send>, _) = match path == Path::new("-") {
            true => (Box::new(BufReader::new(std::io::stdin())), "standard input".to_owned()),
            false => {
                let file = File::open(path).map_err(on_file("read", path))?;
                (Box::new(BufReader::new(file)), path.display().to_string())
            }
        };
        Ok(Self { input, what, number: 0 })
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let mut text = Vec::new();
            let read = self.input.by_ref().take(MAX_LINE_LEN + 1).read_until(b'\n', &mut text);
            let len = read
                .map_err(|error| Failure::input(format!("cannot read {}: {error}", self.what)))?;
            if len == 0 {
                return Ok(None);
            }
            self.number += 1;
            if text.len() as u64 > MAX_LINE_LEN {
                let message = format!("{} line {} is longer than 16 MiB", self.what, self.number);
                return Err(Failure::input(message));
            }
            let line = text.trim_ascii();
            if !line.is_empty() {
                return Ok(Some(line.to_vec()));
            }
        }
    }
}

/// Builds and publishes batches until the stream ends.
fn follow(builder: &Builder, args: &ApplyArgs) -> Result<()> {
    let policy = policy(args)?;
    let options = publish::Options {
        edge_url: builder.config.edge(args.release.edge.as_deref())?,
        publish_key: args.release.publish_key.clone(),
        passphrase: args.release.passphrase.source(),
        ..publish::Options::default()
    };
    if args.release.prepare.is_some() {
        return Err(Failure::usage(
            "--follow signs each batch here: --prepare does not go with it",
        ));
    }
    let mut lines = Lines::open(&args.changes)?;
    let (to_builder, incoming) = sync_channel(QUEUED_LINES);
    std::thread::spawn(move || {
        loop {
            let line = lines.next_line();
            let ended = !matches!(line, Ok(Some(_)));
            let number = lines.number;
            let sent = to_builder.send(line.map(|line| line.map(|line| (line, number))));
            if ended || sent.is_err() {
                return;
            }
        }
    });
    let begun = Instant::now();
    let mut batches = Batcher::new(policy);
    let mut published = 0u64;
    loop {
        let (intake, ended) = batch(builder, &incoming, &mut batches, begun)?;
        if intake.operations() > 0 {
            publish_batch(builder, intake, &options)?;
            published += 1;
        }
        if ended {
            let text = format!("the stream ended after {} batches", show_count(published));
            builder.ui.result(&text, &json!({ "batches": published }));
            return Ok(());
        }
    }
}

type Incoming = Receiver<Result<Option<(Vec<u8>, u64)>>>;

/// The operations of the next batch, and whether the stream ended with it.
fn batch<'a>(
    builder: &'a Builder,
    incoming: &Incoming,
    batches: &mut Batcher,
    begun: Instant,
) -> Result<(Intake<'a>, bool)> {
    let mut intake = builder.intake();
    loop {
        let wait = match batches.due() {
            Some(due) => due.saturating_sub(begun.elapsed()),
            // Nothing waits: whatever comes next begins a batch.
            None => Duration::from_secs(3600),
        };
        match incoming.recv_timeout(wait) {
            Ok(line) => {
                let Some((line, number)) = line? else { return Ok((intake, true)) };
                let before = intake.bytes();
                intake.line(&line, number)?;
                if batches.push(intake.bytes() - before, begun.elapsed()) {
                    return Ok((intake, false));
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if batches.is_due(begun.elapsed()) {
                    return Ok((intake, false));
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok((intake, true)),
        }
    }
}

fn publish_batch(builder: &Builder, intake: Intake<'_>, options: &publish::Options) -> Result<()> {
    let (begun, operations) = (Instant::now(), intake.operations());
    // Others may have published since the batch before.
    let (report, counts) = builder.build(intake, Some(&options.edge_url))?;
    let changed = counts.added + counts.updated + counts.removed;
    if changed == 0 {
        let all = show_count(operations);
        builder.ui.note(&format!("{all} operations changed nothing"));
        return Ok(());
    }
    let options = publish::Options { version: Some(report.version), ..options.clone() };
    let outcome = publish::publish(&builder.config, &options, builder.ui)?;
    let deltas = report.collections.iter().filter_map(|collection| collection.deltas.last());
    builder.ui.note(&format!(
        "version {}: {} operations changed {} records, delta of {}, {} after they were cut",
        outcome.version,
        show_count(operations),
        show_count(changed),
        show_size(deltas.map(|delta| delta.wire_bytes).sum()),
        show_span(begun.elapsed()),
    ));
    Ok(())
}

fn policy(args: &ApplyArgs) -> Result<BatchPolicy> {
    let span = |option: &str, text: &str| {
        parse_span_ms(text).map(Duration::from_millis).ok_or_else(|| {
            Failure::usage(format!("{option}: '{text}' is not a span of time"))
                .next("write spans such as \"2 s\" or \"5 min\"")
        })
    };
    let most_bytes = parse_size(&args.batch_bytes)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| Failure::usage(format!("--batch-bytes: '{}'", args.batch_bytes)))?;
    let least_age = span("--batch-least", &args.batch_least)?;
    let most_age = span("--batch-most", &args.batch_most)?;
    if least_age > most_age {
        return Err(Failure::usage("--batch-least is longer than --batch-most"));
    }
    Ok(BatchPolicy { most_bytes, least_age, most_age })
}
