//! Leading an engine through a recorded life.

use crate::codec::Reader;
use crate::engine::io::Input;
use crate::engine::{Engine, EngineConfig, Follow, Output, Pressure};
use crate::error::{Error, FormatError};
use crate::types::Millis;

use super::{
    CLOCK, DIGEST_LEN, FOLLOW, INPUT, LAST_ROWS, MAGIC, MAX_TRACE_LEN, NO_AUDIT, OUTPUTS, REFUSE,
    START, Trace, WORK, calls, outputs,
};

/// What a replay shows, in the order in which it happened.
#[derive(Debug)]
pub enum Seen<'a> {
    /// An engine begins.
    Start(&'a EngineConfig),
    /// It is told something.
    Input(&'a Input),
    /// Something comes out of it; before it waits, how much it has to do.
    Output(&'a Output, Pressure),
}

/// How a replay ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Calls into engines.
    pub calls: u64,
    /// Turns whose outputs were compared.
    pub compared: u64,
    /// The first call after which the outputs were others than the recorded ones.
    pub differs_after: Option<u64>,
    /// Whether the last record is cut off, as where a process was killed.
    pub cut: bool,
}

/// Leads engines through a trace and shows what happens, up to the first turn whose outputs are
/// not those that were recorded.
pub fn replay(trace: &[u8], see: &mut dyn FnMut(Seen<'_>, Millis)) -> Result<Ended, Error> {
    let mut r = Reader::with_magic(trace, MAGIC, "trace", MAX_TRACE_LEN)?;
    let (mut ended, mut now) = (Ended::default(), Millis(0));
    let mut engine: Option<Engine> = None;
    while !r.rest().is_empty() {
        let step = step(&mut r, &mut engine, &mut ended, &mut now, see);
        match step {
            Ok(true) => {}
            Ok(false) => return Ok(ended),
            Err(Error::Format(FormatError::Truncated { .. })) => {
                ended.cut = true;
                return Ok(ended);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(ended)
}

/// One record; whether to go on.
fn step(
    r: &mut Reader<'_>,
    engine: &mut Option<Engine>,
    ended: &mut Ended,
    now: &mut Millis,
    see: &mut dyn FnMut(Seen<'_>, Millis),
) -> Result<bool, Error> {
    let kind = r.byte("record")?;
    if kind == START {
        let config = calls::read_config(r)?;
        see(Seen::Start(&config), *now);
        *engine = Some(Engine::new(config, r.number("seed", u64::MAX)?)?);
        return Ok(true);
    }
    let none = FormatError::Invalid { field: "record before a start", value: kind.into() };
    let engine = engine.as_mut().ok_or(none)?;
    let time = |r: &mut Reader<'_>| r.number("time", u64::MAX).map(Millis);
    match kind {
        FOLLOW => {
            let live = r.flag("live")?;
            engine.follow(Follow { live, poll_ms: r.number("interval", u64::MAX)? });
        }
        CLOCK => {
            let clock = time(r)?;
            engine.set_clock(clock, time(r)?);
        }
        INPUT => {
            *now = time(r)?;
            let input = calls::read_input(r)?;
            see(Seen::Input(&input), *now);
            ended.calls += 1;
            engine.handle(input, *now);
        }
        WORK => {
            let budget = r.count("budget", usize::MAX)?;
            *now = time(r)?;
            ended.calls += 1;
            engine.work(budget, *now);
        }
        LAST_ROWS => _ = engine.last_rows(),
        REFUSE => engine.refuse_expired(r.flag("refuse")?),
        NO_AUDIT => engine.leave_audit(),
        OUTPUTS => {
            let recorded = r.raw(DIGEST_LEN, "digest")?;
            let same = turn(engine, *now, see) == recorded;
            ended.compared += 1;
            if !same {
                ended.differs_after = Some(ended.calls);
            }
            return Ok(same);
        }
        other => {
            return Err(FormatError::Invalid { field: "record", value: other.into() }.into());
        }
    }
    Ok(true)
}

/// Drains an engine, as the shell did: the digest of what came out.
fn turn(
    engine: &mut Engine,
    now: Millis,
    see: &mut dyn FnMut(Seen<'_>, Millis),
) -> [u8; DIGEST_LEN] {
    let mut trace = Trace::new(0);
    loop {
        let output = engine.poll_output();
        see(Seen::Output(&output, engine.pressure()), now);
        outputs::write(&mut trace.outputs, &output);
        if matches!(output, Output::Work | Output::Wait { .. }) {
            return trace.digest();
        }
    }
}
