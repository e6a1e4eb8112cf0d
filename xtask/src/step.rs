//! Steps: short progress lines with the time taken, and child processes whose output is shown
//! only when it matters. Progress goes to stderr; stdout is for results that machines read.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How many lines of a failed child's output are shown.
const LINES_SHOWN: usize = 60;

/// A failure that was reported already: there is nothing more to print.
#[derive(Debug)]
pub(crate) struct Reported;

impl std::fmt::Display for Reported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed, as reported above")
    }
}

impl std::error::Error for Reported {}

/// One step that is done.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    /// What it was.
    pub(crate) name: String,
    /// When it began, counted from the first step.
    pub(crate) began: Duration,
    /// How long it took.
    pub(crate) took: Duration,
    /// What it said of itself: what was built, installed or downloaded.
    pub(crate) note: String,
}

/// When the first step began, and the steps of this process that are done.
static TAKEN: Mutex<(Option<Instant>, Vec<Taken>)> = Mutex::new((None, Vec::new()));

/// The steps that are done, in the order in which they began.
pub(crate) fn taken() -> Vec<Taken> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
    taken.sort_by_key(|step| step.began);
    taken
}

/// The steps that took a moment, as a table for people.
pub(crate) fn table() -> String {
    let steps = taken();
    let mut table = String::from(" began    took  step\n");
    for Taken { name, began, took, note } in &steps {
        let (began, took) = (began.as_secs_f64(), took.as_secs_f64());
        let gap = if note.is_empty() { "" } else { ": " };
        if took >= 0.05 {
            table.push_str(&format!("{began:5.0} s {took:5.1} s  {name}{gap}{note}\n"));
        }
    }
    let end = steps.iter().map(|step| step.began + step.took).max().unwrap_or_default();
    table.push_str(&format!("{:5.0} s          all of it\n", end.as_secs_f64()));
    table
}

/// One step under way; say how it ended with [`Step::done`].
pub(crate) struct Step {
    name: String,
    started: Instant,
}

impl Step {
    /// Announces the step.
    pub(crate) fn start(name: impl Into<String>) -> Self {
        let name = name.into();
        eprintln!("xtask: {name} …");
        let started = Instant::now();
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).0.get_or_insert(started);
        Self { name, started }
    }

    /// Prints the time taken and a note (may be empty).
    pub(crate) fn done(self, note: impl AsRef<str>) -> Duration {
        let took = self.started.elapsed();
        let note = note.as_ref();
        let gap = if note.is_empty() { "" } else { ": " };
        eprintln!("xtask: {} done in {:.1} s{gap}{note}", self.name, took.as_secs_f64());
        let mut all = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let began = all.0.map_or(Duration::ZERO, |first| self.started - first);
        all.1.push(Taken { name: self.name, began, took, note: note.to_owned() });
        took
    }
}

/// Runs a child with its output on our stderr; an error when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = name_of(command);
    command.stdout(std::io::stderr());
    let status = command.status().with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}

/// Runs a child silently; on failure the end of its output is shown.
pub(crate) fn quiet(command: &mut Command) -> Result<()> {
    capture(command).map(drop)
}

/// Runs a child and returns its stdout; on failure the end of what it said is shown.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let name = name_of(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {name}: is it installed and on PATH?"))?;
    if !output.status.success() {
        show_end(&output.stdout)?;
        show_end(&output.stderr)?;
        bail!("{name} ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{name} did not print UTF-8"))
}

/// Some tools print their whole input with an error: the end is where the reason stands.
fn show_end(said: &[u8]) -> Result<()> {
    let lines: Vec<_> = said.split_inclusive(|byte| *byte == b'\n').collect();
    let skipped = lines.len().saturating_sub(LINES_SHOWN);
    if skipped > 0 {
        eprintln!("… ({skipped} lines before these)");
    }
    Ok(std::io::stderr().write_all(&lines[skipped..].concat())?)
}

/// Runs a child, shows its output as it comes, and returns it too, with the success flag.
pub(crate) fn tee(command: &mut Command) -> Result<(bool, String)> {
    let name = name_of(command);
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    // The command keeps its ends of the pipe open until it is given others.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut text = String::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        text.push_str(&line);
        text.push('\n');
    }
    Ok((child.wait()?.success(), text))
}

fn name_of(command: &Command) -> String {
    let stem = |part: &OsStr| {
        let path = Path::new(part);
        path.file_name().unwrap_or(part).to_string_lossy().into_owned()
    };
    let mut name = stem(command.get_program());
    for arg in command.get_args().take(4) {
        name.push(' ');
        name.push_str(&arg.to_string_lossy());
    }
    name
}

/// A helper server that prints one JSON line when it is ready and ends when its stdin closes.
pub(crate) struct Server {
    child: Child,
    /// The line it printed.
    pub(crate) hello: serde_json::Value,
}

impl Server {
    /// Starts the server and waits for its line.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let name = name_of(command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().context("the child has no stdout")?);
        out.read_line(&mut line)?;
        // Whatever it prints later is drained, so that it never blocks on a full pipe.
        std::thread::spawn(move || out.read_to_end(&mut Vec::new()));
        let hello = serde_json::from_str(&line).with_context(|| {
            let said = line.trim();
            format!("{name} did not say where it listens (it said {said:?})")
        })?;
        Ok(Self { child, hello })
    }

    /// The base URL it serves.
    pub(crate) fn url(&self) -> Result<&str> {
        self.hello["url"].as_str().context("the server's line has no url")
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the server ends by itself (Ctrl-C reaches it too).
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        // `Child::wait` closes a stdin that the child still has, and with it this server.
        let open = self.child.stdin.take();
        let status = self.child.wait().context("waiting for the server");
        drop(open);
        status
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // It did not end in time: nothing useful can be done about an error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_step_that_took_a_moment_with_its_note() {
        let step = Step::start("a step of the test");
        std::thread::sleep(Duration::from_millis(60));
        step.done("3 packages");
        Step::start("a moment").done("");
        let table = table();
        assert!(table.contains(" s  a step of the test: 3 packages\n"), "{table}");
        assert!(!table.contains("a moment"), "{table}");
    }

    #[cfg(unix)]
    #[test]
    fn a_server_that_is_waited_for_keeps_its_stdin() {
        // `timeout` ends a `cat` that still waits with 124; one whose stdin closed ends with 0.
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo '{}'; timeout 0.3 cat; exit $?"]);
        let status = Server::start(&mut shell).and_then(|mut server| server.wait());
        assert_eq!(status.expect("the shell runs").code(), Some(124));
    }
}
