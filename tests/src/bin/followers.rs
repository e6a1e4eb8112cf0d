//! Follows an edge with many clients, for `cargo xtask bench push`: how long after a publisher
//! began to move the pointer each of them had the push, and stood at the new version, and what it
//! asked for.
//!
//! Arguments: the edge's URL, the dataset, the trust root's file, how many clients. It listens on a
//! port of its own that publishers go through, so that it sees when a move begins. It prints one
//! JSON object a line: `{"proxy": URL}`, `{"ready": …}` once all are greeted, and after each line
//! of standard input (`push VERSION`, `poll VERSION`, which makes all of them deaf first) a report.

use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use packice_core::engine::{EngineConfig, Follow};
use packice_core::types::Name;
use packice_tests::follower::{Follower, Place};
use serde_json::{Value, json};

/// Clients are spread over so many threads; the edge needs cores too.
const THREADS: usize = 2;
/// How often clients ask that hear nothing, on average.
const POLL_MS: u64 = 5000;
/// After so many clients had work all are listened to.
const HEAR_EVERY: usize = 8;
/// How long a phase may take at most.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a thread is told.
#[derive(Clone, Copy)]
enum Order {
    /// Come up, and be greeted.
    Begin,
    /// Wait for a version; deaf, or not.
    Reach { version: u64, deaf: bool },
}

/// What one client came to.
struct Seen {
    reached: Option<Instant>,
    told: Option<Instant>,
    requests: u64,
    faults: usize,
    roots: Vec<String>,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().expect("URL DATASET TRUST CLIENTS");
    let host = next().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let (dataset, trust) = (next(), next());
    let clients: usize = next().parse().expect("a number of clients");
    let place = Place {
        host: host.clone(),
        config: EngineConfig {
            dataset: Name::new(&dataset).expect("a name"),
            channel: Name::new("stable").expect("a name"),
            trust: std::fs::read(trust).expect("a trust root"),
        },
        follow: Follow { live: true, poll_ms: POLL_MS },
    };
    let moves = Arc::new(Mutex::new(Vec::new()));
    println!("{}", json!({ "proxy": proxy(&host, &moves) }));
    let threads: Vec<_> = (0..THREADS).map(|at| spawn(&place, clients, at)).collect();
    let ask = |order: Order| -> Vec<Seen> {
        for (orders, _) in &threads {
            orders.send(order).expect("a thread that runs");
        }
        threads.iter().flat_map(|(_, seen)| seen.recv().expect("a thread that runs")).collect()
    };
    let begun = Instant::now();
    let ready = ask(Order::Begin);
    let heard = ready.iter().filter(|seen| seen.reached.is_some()).count();
    println!("{}", json!({ "ready": heard, "ms": begun.elapsed().as_millis() }));
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let (what, version) = line.split_once(' ').expect("push VERSION or poll VERSION");
        let version = version.parse().expect("a version");
        let seen = ask(Order::Reach { version, deaf: what == "poll" });
        let moved = moves.lock().expect("no panic").last().copied();
        println!("{}", report(&seen, moved));
    }
}

fn report(seen: &[Seen], moved: Option<Instant>) -> Value {
    let moved = moved.expect("a move that went through the proxy");
    let sorted = |when: fn(&Seen) -> Option<Instant>| {
        let since = |seen| Some(when(seen)?.checked_duration_since(moved)?.as_millis());
        let mut ms: Vec<u128> = seen.iter().filter_map(since).collect();
        ms.sort_unstable();
        ms
    };
    let at = |ms: &[u128], percent: usize| {
        ms.get((ms.len() * percent).div_ceil(100).max(1) - 1).copied().map(whole)
    };
    let (ms, told_ms) = (sorted(|seen| seen.reached), sorted(|seen| seen.told));
    let roots = &seen[0].roots;
    json!({
        "clients": seen.len(),
        "reached": ms.len(),
        "same_roots": seen.iter().all(|seen| seen.roots == *roots),
        "roots": roots,
        "requests": seen.iter().map(|seen| seen.requests).sum::<u64>(),
        "faults": seen.iter().map(|seen| seen.faults).sum::<usize>(),
        "told": told_ms.len(),
        "told_p50_ms": at(&told_ms, 50),
        "told_p99_ms": at(&told_ms, 99),
        "p50_ms": at(&ms, 50),
        "p99_ms": at(&ms, 99),
        "max_ms": ms.last().copied().map(whole),
    })
}

fn spawn(place: &Place, clients: usize, at: usize) -> (Sender<Order>, Receiver<Vec<Seen>>) {
    let (orders, take) = channel();
    let (give, seen) = channel();
    let place = place.clone();
    std::thread::spawn(move || {
        let agent = ureq::Agent::new_with_defaults();
        let mut followers: Vec<Follower> = (0..clients)
            .filter(|number| number % THREADS == at)
            .map(|number| Follower::new(&place, &agent, number as u64))
            .collect();
        for order in take {
            // A client that hung up has no reason left to be here.
            if give.send(obey(&mut followers, order)).is_err() {
                return;
            }
        }
    });
    (orders, seen)
}

fn obey(followers: &mut [Follower], order: Order) -> Vec<Seen> {
    let before: Vec<u64> = followers.iter().map(|follower| follower.requests).collect();
    if let Order::Reach { deaf: true, .. } = order {
        for follower in followers.iter_mut() {
            follower.deaf = true;
            follower.hang_up();
        }
    }
    let done = |follower: &Follower| match order {
        Order::Begin => follower.heard && follower.reached.is_some(),
        Order::Reach { version, .. } => {
            follower.reached.is_some_and(|(reached, _)| reached >= version)
        }
    };
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && !followers.iter().all(done) {
        let mut busy = 0;
        for at in 0..followers.len() {
            let was_busy = followers[at].turn();
            busy += usize::from(was_busy);
            // The others' pushes are not to wait for what this one makes of its own.
            if was_busy && busy % HEAR_EVERY == 0 {
                followers.iter_mut().filter(|one| !one.is_busy()).for_each(Follower::hear);
            }
        }
        if busy == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let see = |(follower, before): (&mut Follower, &u64)| Seen {
        told: follower.told,
        reached: done(follower).then(|| follower.reached.map(|(_, when)| when)).flatten(),
        requests: follower.requests - before,
        faults: follower.faults.len(),
        roots: follower.roots(),
    };
    followers.iter_mut().zip(&before).map(see).collect()
}

/// Passes connections on to a host, and notes when the move of a pointer comes by; its URL.
fn proxy(host: &str, moves: &Arc<Mutex<Vec<Instant>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (host, moves) = (host.to_owned(), Arc::clone(moves));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&host) else { continue };
            let back = (server.try_clone(), client.try_clone());
            let moves = Arc::clone(&moves);
            std::thread::spawn(move || {
                pass(client, server, &|bytes| {
                    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
                    if text.starts_with("PUT ") && text.contains("/bootstrap/") {
                        moves.lock().expect("no panic").push(Instant::now());
                    }
                });
            });
            if let (Ok(server), Ok(client)) = back {
                std::thread::spawn(move || pass(server, client, &|_| {}));
            }
        }
    });
    url
}

fn pass(mut from: TcpStream, mut to: TcpStream, see: &dyn Fn(&[u8])) {
    let mut bytes = [0; 16 << 10];
    while let Ok(len) = from.read(&mut bytes) {
        see(&bytes[..len]);
        if len == 0 || to.write_all(&bytes[..len]).is_err() {
            break;
        }
    }
    // Whichever side ends, the other one is told.
    let _ = to.shutdown(std::net::Shutdown::Write);
}

fn whole(ms: u128) -> u64 {
    u64::try_from(ms).unwrap_or(u64::MAX)
}
