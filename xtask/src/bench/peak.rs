//! Runs a child and watches how much memory it takes at most: `VmHWM`, the kernel's own mark of a
//! process's largest resident set. Only Linux tells it.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often the mark is read. It never falls, so only what a child takes in its last moments can
/// be missed.
const PAUSE: Duration = Duration::from_millis(10);

/// What a child printed, and what it took.
pub(crate) struct Ran {
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its largest resident set, in bytes; 0 where the platform does not tell.
    pub(crate) peak_bytes: u64,
    /// How long it ran.
    pub(crate) took: Duration,
}

/// Runs a child to its end; its errors go to ours.
pub(crate) fn run(command: &mut Command) -> Result<Ran> {
    let started = Instant::now();
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let mut out = child.stdout.take().context("the child has no stdout")?;
    let said = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let mut peak_bytes = 0;
    let status = loop {
        peak_bytes = peak_bytes.max(peak_of(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(PAUSE);
    };
    let took = started.elapsed();
    let Ok(stdout) = said.join() else { bail!("the reader of {name} panicked") };
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(Ran { stdout: stdout?, peak_bytes, took })
}

/// The largest resident set of a process so far, in bytes.
pub(crate) fn peak_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// The peaks of a process and of all that it started, by program.
pub(crate) fn peaks_under(pid: u32) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(pid) = open.pop() {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        found.extend(peak_of(pid).map(|peak| (name.trim().to_owned(), peak)));
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        open.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    found
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_takes_memory_is_seen_taking_it() {
        // dd fills one buffer of 64 MiB.
        let mut dd = Command::new("dd");
        dd.args(["if=/dev/zero", "of=/dev/null", "bs=64M", "count=8", "status=none"]);
        let large = run(&mut dd).expect("dd runs").peak_bytes;
        assert!((64 << 20..80 << 20).contains(&large), "{large}");
        assert!(run(&mut Command::new("false")).is_err());
        assert!(!peaks_under(std::process::id()).is_empty());
    }
}
