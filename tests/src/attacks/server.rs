//! A hostile mirror on loopback, for the CLI: sets of files under paths of their own, whole or by
//! range, and whatever [`Action`] a connection can be made to do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Files;
use super::rules::{Action, Rule, Served};

/// What stands under one path.
#[derive(Debug)]
struct Mount {
    files: Files,
    rules: Vec<Rule>,
}

type Mounts = Arc<Mutex<BTreeMap<String, Arc<Mount>>>>;

/// A server for any number of mirrors.
#[derive(Clone, Debug)]
pub struct Server {
    url: String,
    mounts: Mounts,
}

/// A request, as far as it matters here.
struct Request {
    path: String,
    range: Option<(usize, usize)>,
}

impl Server {
    /// Listens on a free port; ends with the process.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mounts = Mounts::default();
        let served = mounts.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                // A connection that the client drops is no matter.
                std::thread::spawn(move || while serve(&stream, &served).is_some() {});
            }
        });
        Self { url, mounts }
    }

    /// Serves files under a path; gives the base URL.
    pub fn mount(&self, at: &str, files: Files, rules: Vec<Rule>) -> String {
        let mount = Arc::new(Mount { files, rules });
        self.mounts.lock().expect("the mounts").insert(at.to_owned(), mount);
        format!("{}/{at}", self.url)
    }
}

/// Answers one request; `None` ends the connection.
fn serve(stream: &TcpStream, mounts: &Mounts) -> Option<()> {
    let mut input = BufReader::new(stream);
    let request = read(&mut input)?;
    let (at, path) = request.path.split_once("/v1/test-set/")?;
    let mount = mounts.lock().expect("the mounts").get(at.trim_start_matches('/')).cloned()?;
    let mut out = stream;
    let Some(body) = mount.files.get(path).cloned() else {
        return answer(&mut out, "404 Not Found", "", b"");
    };
    let total = body.len();
    let part = match request.range {
        Some((start, end)) => body.get(start..=end)?.to_vec(),
        None => body.clone(),
    };
    let strike = mount.rules.iter().find(|rule| rule.strikes(path));
    let action = match strike.map(|rule| (rule, rule.apply(&mount.files, path, part.clone()))) {
        None => None,
        Some((_, Served::Body(bytes))) => {
            return whole(&mut out, &request, total, &bytes);
        }
        Some((rule, Served::Wire(action))) => Some((rule, action)),
    };
    let Some((rule, action)) = action else { return whole(&mut out, &request, total, &part) };
    match action {
        Action::IgnoreRange => answer(&mut out, "200 OK", "", &body),
        Action::Status => {
            let status = rule.with.as_deref().unwrap_or("503");
            answer(&mut out, &format!("{status} No"), "", b"")
        }
        Action::Redirect => {
            let to = format!("{at}/v1/test-set/{}", rule.target(&mount.files, path));
            answer(&mut out, "302 Found", &format!("location: {to}\r\n"), b"")
        }
        Action::Cut => {
            let half = part.len() / 2;
            head(&mut out, "200 OK", "", part.len())?;
            out.write_all(&part[..rule.at.unwrap_or(half).min(half)]).ok()?;
            None
        }
        Action::Stall => {
            head(&mut out, "200 OK", "", part.len())?;
            std::thread::sleep(Duration::from_secs(120));
            None
        }
        Action::Drip => {
            head(&mut out, "200 OK", "", part.len())?;
            for byte in part {
                out.write_all(&[byte]).ok()?;
                std::thread::sleep(Duration::from_millis(400));
            }
            Some(())
        }
        Action::Endless => endless(&mut out, ""),
        Action::GzipBomb => endless(&mut out, "content-encoding: gzip\r\n"),
        Action::Flip
        | Action::Truncate
        | Action::Extend
        | Action::Empty
        | Action::Html
        | Action::Serve => None,
    }
}

/// A body without a length that goes on until the client hangs up. Its end is out of reach, and
/// so a stream of zeros serves as well as one that decodes to more.
fn endless(out: &mut &TcpStream, coding: &str) -> Option<()> {
    let head = format!("HTTP/1.1 200 OK\r\n{coding}connection: close\r\n\r\n");
    out.write_all(head.as_bytes()).ok()?;
    loop {
        out.write_all(&[0; 16 << 10]).ok()?;
    }
}

fn whole(out: &mut &TcpStream, request: &Request, total: usize, bytes: &[u8]) -> Option<()> {
    match request.range {
        None => answer(out, "200 OK", "", bytes),
        Some((start, end)) => {
            let range = format!("content-range: bytes {start}-{end}/{total}\r\n");
            answer(out, "206 Partial Content", &range, bytes)
        }
    }
}

fn head(out: &mut &TcpStream, status: &str, headers: &str, length: usize) -> Option<()> {
    let mut head = format!("HTTP/1.1 {status}\r\n{headers}");
    let _ = write!(head, "content-length: {length}\r\n\r\n");
    out.write_all(head.as_bytes()).ok()
}

fn answer(out: &mut &TcpStream, status: &str, headers: &str, body: &[u8]) -> Option<()> {
    head(out, status, headers, body.len())?;
    out.write_all(body).ok()
}

fn read(input: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut first = String::new();
    if input.read_line(&mut first).unwrap_or(0) == 0 {
        return None;
    }
    let path = first.split(' ').nth(1)?.to_owned();
    let mut range = None;
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            return Some(Request { path, range });
        }
        if let Some(value) = line.trim().to_ascii_lowercase().strip_prefix("range: bytes=") {
            let (start, end) = value.split_once('-')?;
            range = start.parse().ok().zip(end.parse().ok());
        }
    }
}
