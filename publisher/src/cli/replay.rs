//! `packice replay`.

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
    let mut first = None;
    let ended = replay(&bytes, &mut |seen, now| {
        if let (true, Some(line)) = (args.explain, told(&seen)) {
            // The engine's first moment counts from its first input.
            let at = now.since(*first.get_or_insert(now));
            println!("{at:>9} ms  {line}");
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
fn told(seen: &Seen<'_>) -> Option<String> {
    let line = match seen {
        Seen::Start(config) => {
            format!("an engine begins: {} on {}", config.dataset, config.channel)
        }
        Seen::Input(input) => format!("> {}", input_told(input)?),
        Seen::Output(Output::Event(Event::Progress(_)) | Output::Work, _) => return None,
        Seen::Output(Output::Wait { until, why }, pressure) => {
            let until = until.map_or_else(String::new, |Millis(until)| format!(" until {until}"));
            format!(
                "  waits ({why:?}){until}: {} queued, {} under way for {}, {} to be written, {} \
                 being written",
                pressure.queued,
                pressure.fetching,
                show_size(pressure.in_flight_bytes),
                show_size(pressure.waiting_bytes),
                show_size(pressure.writing_bytes),
            )
        }
        Seen::Output(Output::Store { request, batch }, _) => {
            let bytes: usize = batch.puts.iter().map(|(_, row)| row.len()).sum();
            let (puts, deletes) = (batch.puts.len(), batch.deletes.len());
            let size = show_size(bytes as u64);
            let durable = if batch.durable { ", durable" } else { "" };
            format!("  {request:?}: writes {puts} rows of {size}, deletes {deletes}{durable}")
        }
        Seen::Output(Output::Answer { read, answer }, _) => match answer {
            Ok(_) => format!("  {read:?} is answered"),
            Err(failure) => format!("  {read:?} fails: {failure}"),
        },
        Seen::Output(output, _) => format!("  {output:?}"),
    };
    Some(line)
}

/// What an input says, without its bytes; ticks and pieces of bodies are left out.
fn input_told(input: &Input) -> Option<String> {
    Some(match input {
        Input::Tick | Input::Body { .. } => return None,
        Input::Pushed { request, bytes } => {
            format!("{request:?}: a push of {}", show_size(bytes.len() as u64))
        }
        Input::Loaded { request, rows } => {
            let here = rows.iter().flatten().count();
            format!("{request:?}: {here} of {} rows are there", rows.len())
        }
        Input::Listed { request, keys } => format!("{request:?}: {} rows in all", keys.len()),
        Input::AddSource { .. }
        | Input::AddSeed { .. }
        | Input::RemoveSource(_)
        | Input::Command(_)
        | Input::BodyEnd { .. }
        | Input::FetchFailed { .. }
        | Input::LineEnded { .. }
        | Input::Stored { .. }
        | Input::Idle => format!("{input:?}"),
    })
}
