//! What came out of an engine, as bytes to be hashed: never read back.
//!
//! Of rows that are named by their hash the name is enough. Of events only that there was one: what
//! they tell is what led to the outputs around them.

use crate::codec::Writer;
use crate::engine::Output;
use crate::engine::io::{Answer, Failure, StoreKey, Target};

use super::calls::{write_key, write_range};

pub(super) fn write(w: &mut Writer, output: &Output) {
    match output {
        Output::Fetch { request, source, target, max_bytes, deadline } => {
            w.byte(0);
            w.number(request.0);
            w.number(source.0.into());
            write_target(w, target);
            w.number(*max_bytes);
            w.number(deadline.0);
        }
        Output::Listen { request, source, target, max_bytes } => {
            w.byte(1);
            w.number(request.0);
            w.number(source.0.into());
            write_target(w, target);
            w.number(*max_bytes);
        }
        Output::CancelFetch { request } => {
            w.byte(2);
            w.number(request.0);
        }
        Output::Load { request, keys } => {
            w.byte(3);
            w.number(request.0);
            for key in keys {
                write_key(w, key);
            }
        }
        Output::List { request } => {
            w.byte(4);
            w.number(request.0);
        }
        Output::Store { request, batch } => {
            w.byte(5);
            w.number(request.0);
            for (key, row) in &batch.puts {
                write_key(w, key);
                match key {
                    StoreKey::State | StoreKey::Audit | StoreKey::Sources => w.bytes(row),
                    StoreKey::Object(..) | StoreKey::Frame(_) => w.count(row.len()),
                }
            }
            for key in &batch.deletes {
                write_key(w, key);
            }
            w.byte(u8::from(batch.durable));
        }
        Output::Event(_) => w.byte(6),
        Output::Answer { read, answer } => {
            w.byte(7);
            w.number(read.0);
            match answer {
                Ok(answer) => write_answer(w, answer),
                Err(failure) => write_failure(w, failure),
            }
        }
        Output::SyncEnded { result } => {
            w.byte(8);
            match result {
                Ok(report) => w.number(report.version.0),
                Err(failure) => write_failure(w, failure),
            }
        }
        Output::RolledBack { version, result } => {
            w.byte(9);
            w.number(version.0);
            if let Err(failure) = result {
                write_failure(w, failure);
            }
        }
        Output::Work => w.byte(10),
        Output::Wait { until, why } => {
            w.byte(11);
            w.number(until.map_or(0, |until| until.0));
            w.byte(*why as u8);
        }
    }
}

fn write_target(w: &mut Writer, target: &Target) {
    w.bytes(target.path.as_bytes());
    if let Some(range) = &target.range {
        write_range(w, range);
    }
}

fn write_failure(w: &mut Writer, failure: &Failure) {
    w.bytes(failure.code().as_bytes());
}

fn write_answer(w: &mut Writer, answer: &Answer) {
    match answer {
        Answer::Present { value, version } => {
            w.bytes(value);
            w.number(version.0);
        }
        Answer::Absent { version } => w.number(version.0),
        Answer::Unknown(reason) => w.byte(*reason as u8),
        Answer::Records { records, .. } => w.bytes(records.bytes()),
        Answer::Proof { full, .. } => w.bytes(full),
    }
}
