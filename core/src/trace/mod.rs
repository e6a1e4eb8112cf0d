//! A trace: every call into an engine, and a digest of what came out of each (docs/spec/trace.md).
//!
//! The engine is deterministic, so a trace is a recording of all its decisions: `replay` leads the
//! same core, on another machine, through the same life, and says where the outputs differ. A
//! shell that records uses [`Traced`] in the engine's place; without a limit given it costs
//! nothing.
//!
//! A trace holds what the sources sent and what was read: it is as private as the data. An attacker
//! who makes one can have a replay work on what they like; lengths are bounded as for every format,
//! and an engine that is led through nonsense does nothing but decide.

mod calls;
mod outputs;
mod replay;

use crate::codec::Writer;
use crate::engine::io::{Input, StoreBatch};
use crate::engine::{Engine, EngineConfig, Follow, Output};
use crate::error::Error;
use crate::hash;
use crate::types::Millis;

pub use self::replay::{Ended, Seen, replay};

/// No trace is longer: 1 GiB.
pub const MAX_TRACE_LEN: usize = 1 << 30;

const MAGIC: &[u8; 4] = b"PKX1";
/// The kinds of records.
const START: u8 = 0;
const FOLLOW: u8 = 1;
const CLOCK: u8 = 2;
const INPUT: u8 = 3;
const WORK: u8 = 4;
const OUTPUTS: u8 = 5;
const LAST_ROWS: u8 = 6;
const REFUSE: u8 = 7;
const NO_AUDIT: u8 = 8;
/// Bytes of a digest.
const DIGEST_LEN: usize = 8;

/// What was recorded.
#[derive(Clone, Debug)]
pub struct Trace {
    records: Writer,
    /// It ends before the record that would make it longer than this.
    max_len: usize,
    full: bool,
    /// What came out since the last call, encoded.
    outputs: Writer,
}

impl Trace {
    /// A trace of at most so many bytes.
    pub fn new(max_len: usize) -> Self {
        let records = Writer::with_magic(MAGIC);
        Self { records, max_len, full: false, outputs: Writer::default() }
    }

    /// The bytes so far.
    pub fn bytes(&self) -> &[u8] {
        self.records.written()
    }

    /// Adds a record whose content is about so long.
    fn record(&mut self, kind: u8, about: usize, content: impl FnOnce(&mut Writer)) {
        // A record's numbers and names are far below this.
        const SLACK: usize = 4096;
        self.full |= self.records.len() + about + SLACK > self.max_len;
        if !self.full {
            self.records.byte(kind);
            content(&mut self.records);
        }
    }

    /// The digest of what came out since the last one.
    fn digest(&mut self) -> [u8; DIGEST_LEN] {
        let outputs = core::mem::take(&mut self.outputs).finish();
        let digest = hash::wire_name(&outputs).0;
        digest.first_chunk().copied().unwrap_or_default()
    }
}

/// An engine, and a trace of it where one is wanted.
#[derive(Debug)]
pub struct Traced {
    engine: Engine,
    trace: Option<Trace>,
}

impl Traced {
    /// [`Engine::new`]; the trace, where there is one, goes on with it.
    pub fn new(config: EngineConfig, seed: u64, mut trace: Option<Trace>) -> Result<Self, Error> {
        if let Some(trace) = &mut trace {
            trace.record(START, config.trust.len(), |w| {
                calls::write_config(w, &config);
                w.number(seed);
            });
        }
        Ok(Self { engine: Engine::new(config, seed)?, trace })
    }

    /// The trace so far.
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// The trace, for the engine that takes this one's place.
    pub fn take_trace(&mut self) -> Option<Trace> {
        self.trace.take()
    }

    /// [`Engine::refuse_expired`].
    pub fn refuse_expired(&mut self, refuse: bool) {
        if let Some(trace) = &mut self.trace {
            trace.record(REFUSE, 0, |w| w.byte(u8::from(refuse)));
        }
        self.engine.refuse_expired(refuse);
    }

    /// [`Engine::leave_audit`].
    pub fn leave_audit(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.record(NO_AUDIT, 0, |_| {});
        }
        self.engine.leave_audit();
    }

    /// [`Engine::follow`].
    pub fn follow(&mut self, follow: Follow) {
        if let Some(trace) = &mut self.trace {
            trace.record(FOLLOW, 0, |w| {
                w.byte(u8::from(follow.live));
                w.number(follow.poll_ms);
            });
        }
        self.engine.follow(follow);
    }

    /// [`Engine::set_clock`].
    pub fn set_clock(&mut self, clock: Millis, now: Millis) {
        if let Some(trace) = &mut self.trace {
            trace.record(CLOCK, 0, |w| {
                w.number(clock.0);
                w.number(now.0);
            });
        }
        self.engine.set_clock(clock, now);
    }

    /// [`Engine::handle`].
    pub fn handle(&mut self, input: Input, now: Millis) {
        if let Some(trace) = &mut self.trace {
            trace.record(INPUT, calls::about(&input), |w| {
                w.number(now.0);
                calls::write_input(w, &input);
            });
        }
        self.engine.handle(input, now);
    }

    /// [`Engine::work`].
    pub fn work(&mut self, budget_bytes: usize, now: Millis) {
        if let Some(trace) = &mut self.trace {
            trace.record(WORK, 0, |w| {
                w.count(budget_bytes);
                w.number(now.0);
            });
        }
        self.engine.work(budget_bytes, now);
    }

    /// [`Engine::last_rows`].
    pub fn last_rows(&mut self) -> StoreBatch {
        if let Some(trace) = &mut self.trace {
            trace.record(LAST_ROWS, 0, |_| {});
        }
        self.engine.last_rows()
    }

    /// [`Engine::poll_output`].
    pub fn poll_output(&mut self) -> Output {
        let output = self.engine.poll_output();
        if let Some(trace) = &mut self.trace {
            outputs::write(&mut trace.outputs, &output);
            if matches!(output, Output::Work | Output::Wait { .. }) {
                let digest = trace.digest();
                trace.record(OUTPUTS, 0, |w| w.raw(&digest));
            }
        }
        output
    }
}
