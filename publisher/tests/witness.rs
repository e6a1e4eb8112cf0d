//! The witness as it runs: over HTTP, over restarts, and beside a second one.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use common::{Project, assert_fails, assert_success};
use packice_core::format::note::Checkpoint;
use packice_core::format::trust_root::Witness;
use packice_core::trust::accept::Seen;
use packice_core::trust::log::{Frontier, prove_consistency};
use packice_core::trust::sign::{public_key, sign_checkpoint};
use packice_core::trust::witness::{AddCheckpoint, take_answer};
use packice_core::types::LogHash;
use serde_json::Value;

const ORIGIN: &str = "packice/witnessed";
const RELEASE: [u8; 32] = [11; 32];

/// A running witness, which ends with the test.
struct Running {
    child: Child,
    url: String,
    witness: Witness,
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGKILL: it gets no time to tidy up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn project() -> Project {
    let project = Project::new();
    assert_success(&project.run(&["keys", "generate", "witness", "w.key", "--unencrypted"]));
    project
}

fn arguments() -> Vec<String> {
    let log = format!("{ORIGIN},{}", packice_core::types::hex(&public_key(&RELEASE)));
    ["witness", "run", "--name", "w1", "--key", "w.key", "--state", "state", "--json"]
        .into_iter()
        .map(str::to_owned)
        .chain(["--listen".to_owned(), "127.0.0.1:0".to_owned(), "--log".to_owned(), log])
        .collect()
}

fn start(project: &Project) -> Running {
    let mut command = project.command();
    command.args(arguments()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let told: Value = serde_json::from_str(&line).expect("JSON");
    let key = told["public"].as_str().and_then(LogHash::from_hex).expect("a key").0;
    let url = told["url"].as_str().expect("a URL").to_owned();
    Running { child, url, witness: Witness { name: "w1".into(), key } }
}

fn leaves(fork: u8, size: u64) -> Vec<LogHash> {
    let leaf = |at: u64| packice_core::hash::log_leaf(&[&at.to_be_bytes()[..], &[fork]].concat());
    (0..size).map(leaf).collect()
}

fn note(leaves: &[LogHash]) -> Checkpoint {
    let mut log = Frontier::new();
    leaves.iter().for_each(|leaf| log.push(*leaf));
    sign_checkpoint(ORIGIN, Seen { size: log.size(), root: log.root() }, &[RELEASE])
}

fn request(old: usize, leaves: &[LogHash]) -> AddCheckpoint {
    let proof = prove_consistency(leaves, old).expect("an old size");
    AddCheckpoint { old: old as u64, proof, note: note(leaves).encode().into_bytes() }
}

/// Status, content type and body.
fn post(running: &Running, body: &[u8]) -> (u16, String, Vec<u8>) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    let agent = config.build().new_agent();
    let answer = agent.post(format!("{}/add-checkpoint", running.url)).send(body);
    let answer = answer.expect("an answer");
    let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    let (status, kind) = (answer.status().as_u16(), kind.unwrap_or_default().to_owned());
    let mut bytes = Vec::new();
    answer.into_body().into_reader().read_to_end(&mut bytes).expect("a body");
    (status, kind, bytes)
}

#[test]
fn it_cosigns_growth_alone_and_remembers_over_a_kill() {
    let project = project();
    let (log, fork) = (leaves(0, 9), leaves(1, 9));
    let running = start(&project);
    let (status, _, answer) = post(&running, &request(0, &log[..3]).encode());
    assert_eq!(status, 200);
    let time_s = take_answer(&mut note(&log[..3]), &running.witness, &answer).expect("it holds");
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    assert!(now_s.expect("a clock").as_secs().abs_diff(time_s) < 3600);
    assert_eq!(post(&running, &request(3, &log[..7]).encode()).0, 200);
    let witness = running.witness.clone();
    drop(running);

    let running = start(&project);
    assert_eq!(running.witness, witness);
    let (status, kind, body) = post(&running, &request(3, &log[..8]).encode());
    assert_eq!((status, kind.as_str(), &body[..]), (409, "text/x.tlog.size", &b"7\n"[..]));
    let (status, _, body) = post(&running, &request(7, &fork[..7]).encode());
    assert_eq!((status, &body[..]), (409, &b"7\n"[..]), "a fork of the same size");
    assert_eq!(post(&running, &request(7, &fork).encode()).0, 422, "a fork that grew");
    assert_eq!(post(&running, &request(7, &log[..7]).encode()).0, 200, "a newer time");
    let (status, _, answer) = post(&running, &request(7, &log).encode());
    assert_eq!(status, 200);
    take_answer(&mut note(&log), &running.witness, &answer).expect("it holds");

    let mut unsigned = request(9, &log);
    unsigned.note =
        sign_checkpoint(ORIGIN, Seen { size: 9, root: log[0] }, &[[12; 32]]).encode().into_bytes();
    assert_eq!(post(&running, &unsigned.encode()).0, 403);
    let mut unknown = request(9, &log);
    unknown.note = sign_checkpoint("another/log", Seen { size: 9, root: log[0] }, &[RELEASE])
        .encode()
        .into_bytes();
    assert_eq!(post(&running, &unknown.encode()).0, 404);
    assert_eq!(post(&running, b"old 9\n").0, 400);
    assert_eq!(post(&running, &vec![b'x'; 1 << 20]).0, 400, "it stops reading");
    assert_eq!(post(&running, &request(9, &log).encode()).0, 200, "it goes on");
}

#[test]
fn of_requests_at_the_same_time_one_line_of_history_comes_out() {
    let project = project();
    let running = start(&project);
    let histories: Vec<Vec<LogHash>> = (0..8).map(|fork| leaves(fork, 5)).collect();
    let bodies: Vec<Vec<u8>> = histories.iter().map(|log| request(0, log).encode()).collect();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let sent: Vec<_> =
            bodies.iter().map(|body| scope.spawn(|| post(&running, body).0)).collect();
        sent.into_iter().map(|sent| sent.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
}

#[test]
fn two_witnesses_do_not_share_a_state_and_a_damaged_one_is_not_begun_anew() {
    let project = project();
    let running = start(&project);
    assert_eq!(post(&running, &request(0, &leaves(0, 3)).encode()).0, 200);
    let arguments: Vec<String> = arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = assert_fails(&project.run(&arguments), 6);
    assert!(said.contains("another witness runs on state"), "{said}");
    drop(running);
    let entries = std::fs::read_dir(project.path("state")).expect("listed").flatten();
    let kept = entries.map(|entry| entry.path()).find(|path| path.extension().is_some());
    std::fs::write(kept.expect("a checkpoint"), b"damaged").expect("written");
    let said = assert_fails(&project.run(&arguments), 4);
    assert!(said.contains("witness/damaged-state"), "{said}");
}
