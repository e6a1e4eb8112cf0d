//! `packice replay`.

use packice_core::engine::io::{ByteRange, StoreKey, Target};
use packice_core::engine::{Event, Input, Output};
use packice_core::trace::{Ended, Seen, replay};
use packice_core::types::Millis;
use serde_json::json;

use super::args::ReplayArgs;
use crate::failure::{Failure, Kind, Result, on_file};
use crate::text::{show_count, show_size};
use crate::ui::Ui;

pub(super) fn run(args: &ReplayArgs, ui: Ui) -> Result<()> {
    let bytes = std::fs::read(&args.file).map_err(on_file("read", &args.file))?;
    let mut began = None;
    let ended = replay(&bytes, &mut |seen, now| {
        // An engine begins before it is told a time.
        let zero = match seen {
            Seen::Start(_) => now,
            Seen::Input(_) | Seen::Output(..) => *began.get_or_insert(now),
        };
        if args.explain
            && !ui.json
            && let Some(line) = told(&seen, now)
        {
            println!("{:>9} ms  {line}", now.since(zero));
        }
    });
    let Ended { calls, compared, differs_after, cut } =
        ended.map_err(|error| Failure::from(error).within(args.file.display()))?;
    if let Some(call) = differs_after {
        let message = format!(
            "after call {call} this engine decides otherwise than the one that was recorded"
        );
        let failure = Failure::new(Kind::Verification, message);
        return Err(failure.next("replay it with the version that recorded it"));
    }
    let end = if cut { "; the last record is cut off" } else { "" };
    let text = format!(
        "{}: {} calls, {} turns, and the same outputs in each{end}",
        args.file.display(),
        show_count(calls),
        show_count(compared),
    );
    ui.result(&text, &json!({ "calls": calls, "turns": compared, "cut": cut }));
    Ok(())
}

/// A line of the story; progress tells nothing that is not told otherwise.
fn told(seen: &Seen<'_>, now: Millis) -> Option<String> {
    let (output, pressure) = match seen {
        Seen::Start(config) => {
            return Some(format!("an engine begins: {} on {}", config.dataset, config.channel));
        }
        Seen::Input(input) => return Some(format!("> {}", input_told(input)?)),
        Seen::Output(output, pressure) => (output, pressure),
    };
    Some(match output {
        Output::Event(Event::Progress(_)) | Output::Work => return None,
        Output::Event(event) => format!("  tells {event:?}"),
        Output::Fetch { request, source, target, max_bytes, deadline } => format!(
            "  {}: asks source {} for {}, at most {} within {} ms",
            request.0,
            source.0,
            shown(target),
            show_size(*max_bytes),
            deadline.since(now),
        ),
        Output::Listen { request, source, target, .. } => {
            format!("  {}: listens to source {} at {}", request.0, source.0, shown(target))
        }
        Output::CancelFetch { request } => format!("  {}: is given up", request.0),
        Output::Load { request, keys } => {
            let keys: Vec<String> = keys.iter().map(StoreKey::text).collect();
            format!("  {}: loads {}", request.0, keys.join(", "))
        }
        Output::List { request } => format!("  {}: lists the rows", request.0),
        Output::Store { request, batch } => {
            let bytes: usize = batch.puts.iter().map(|(_, row)| row.len()).sum();
            let (puts, deletes) = (batch.puts.len(), batch.deletes.len());
            let size = show_size(bytes as u64);
            let durable = if batch.durable { ", durable" } else { "" };
            format!("  {}: writes {puts} rows of {size}, deletes {deletes}{durable}", request.0)
        }
        Output::Answer { read, answer: Ok(_) } => format!("  read {} is answered", read.0),
        Output::Answer { read, answer: Err(failure) } => {
            format!("  read {} fails: {failure} ({})", read.0, failure.code())
        }
        Output::SyncEnded { result: Ok(report) } => {
            format!("  the sync ends at version {}", report.version)
        }
        Output::SyncEnded { result: Err(failure) } => {
            format!("  the sync fails: {failure} ({})", failure.code())
        }
        Output::RolledBack { version, result: Ok(()) } => {
            format!("  version {version} serves again")
        }
        Output::RolledBack { version, result: Err(failure) } => {
            format!("  version {version} does not serve again: {failure}")
        }
        Output::Wait { until, why } => {
            let until = until.map(|until| format!(", {} ms at most", until.since(now)));
            format!(
                "  waits ({why:?}{}): {} queued, {} under way for {}, {} to be written, {} being \
                 written",
                until.unwrap_or_default(),
                pressure.queued,
                pressure.fetching,
                show_size(pressure.in_flight_bytes),
                show_size(pressure.waiting_bytes),
                show_size(pressure.writing_bytes),
            )
        }
    })
}

fn shown(target: &Target) -> String {
    match &target.range {
        None => target.path.clone(),
        Some(ByteRange { start, len }) => {
            format!("{} from byte {start} on, {len} of them", target.path)
        }
    }
}

/// What an input says, without its bytes; ticks and pieces of bodies are left out.
fn input_told(input: &Input) -> Option<String> {
    Some(match input {
        Input::Tick | Input::Body { .. } => return None,
        Input::AddSource { name } => format!("a source: {name}"),
        Input::AddSeed { name } => format!("the seed: {name}"),
        Input::RemoveSource(source) => format!("source {} is removed", source.0),
        Input::Command(command) => format!("{command:?}"),
        Input::BodyEnd { request } => format!("{}: has all of it", request.0),
        Input::FetchFailed { request, failure } => format!("{}: fails: {failure:?}", request.0),
        Input::Pushed { request, bytes } => {
            format!("{}: a push of {}", request.0, show_size(bytes.len() as u64))
        }
        Input::LineEnded { request } => format!("{}: the line ends", request.0),
        Input::Loaded { request, rows } => {
            let here = rows.iter().flatten().count();
            format!("{}: {here} of {} rows are there", request.0, rows.len())
        }
        Input::Listed { request, keys } => format!("{}: {} rows in all", request.0, keys.len()),
        Input::Stored { request, result: Ok(()) } => format!("{}: is written", request.0),
        Input::Stored { request, result: Err(failure) } => {
            format!("{}: is not written: {failure:?}", request.0)
        }
        Input::Idle => "idle time".to_owned(),
    })
}
