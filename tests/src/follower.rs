//! Clients that follow a real edge, many in one thread: native engines over HTTP and WebSockets,
//! with their rows in memory.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use packice_core::engine::io::{
    ByteRange, FetchFailure, RequestId, Status, StoreBatch, StoreKey, Target,
};
use packice_core::engine::{Command, Engine, EngineConfig, Event, Follow, Input, Output};
use packice_core::types::Millis;
use tungstenite::handshake::client::generate_key;
use tungstenite::http::Request;
use tungstenite::{Message, WebSocket};

/// Where and whom to follow.
#[derive(Clone, Debug)]
pub struct Place {
    /// `host:port` of the edge.
    pub host: String,
    /// What an engine is made for.
    pub config: EngineConfig,
    /// How to keep up.
    pub follow: Follow,
}

/// One client.
pub struct Follower {
    place: Place,
    agent: ureq::Agent,
    engine: Engine,
    store: BTreeMap<StoreKey, Vec<u8>>,
    todo: VecDeque<Input>,
    line: Option<(RequestId, WebSocket<TcpStream>)>,
    until: Option<Millis>,
    begun: Instant,
    /// Whether lines that it opens end at once.
    pub deaf: bool,
    /// Whether it is greeted on a line.
    pub heard: bool,
    /// When the last push came in.
    pub told: Option<Instant>,
    /// Requests so far, lines not counted.
    pub requests: u64,
    /// The version of the last sync that ended well, and when it ended.
    pub reached: Option<(u64, Instant)>,
    /// Codes of faults so far.
    pub faults: Vec<&'static str>,
    status: Option<Status>,
}

impl Follower {
    /// A client on an empty store.
    pub fn new(place: &Place, agent: &ureq::Agent, seed: u64) -> Self {
        let mut engine = Engine::new(place.config.clone(), seed).expect("a trust root that holds");
        engine.follow(place.follow);
        let name = place.host.clone();
        Self {
            place: place.clone(),
            agent: agent.clone(),
            engine,
            store: BTreeMap::new(),
            todo: VecDeque::from([Input::AddSource { name }]),
            line: None,
            until: None,
            begun: Instant::now(),
            deaf: false,
            heard: false,
            told: None,
            requests: 0,
            reached: None,
            faults: Vec::new(),
            status: None,
        }
    }

    fn now(&self) -> Millis {
        let passed = self.begun.elapsed().as_millis();
        Millis(1_000_000 + u64::try_from(passed).expect("not that long"))
    }

    /// Does what can be done now; whether anything was.
    pub fn turn(&mut self) -> bool {
        if !self.is_busy() {
            self.hear();
        }
        if self.until.is_some_and(|until| until <= self.now()) {
            self.todo.push_back(Input::Tick);
        }
        let busy = !self.todo.is_empty();
        while let Some(input) = self.todo.pop_front() {
            let now = self.now();
            self.engine.handle(input, now);
            self.drain();
        }
        busy
    }

    /// Whether it has something to do.
    pub fn is_busy(&self) -> bool {
        !self.todo.is_empty()
    }

    /// Ends its line, if it has one.
    pub fn hang_up(&mut self) {
        if let Some((request, _)) = self.line.take() {
            self.todo.push_back(Input::LineEnded { request });
        }
    }

    /// The roots of its collections.
    pub fn roots(&mut self) -> Vec<String> {
        self.todo.push_back(Input::Command(Command::Status));
        self.turn();
        let collections = self.status.take().map(|status| status.collections);
        collections.unwrap_or_default().iter().map(|c| c.root.to_hex()).collect()
    }

    /// Takes in what was said on its line.
    pub fn hear(&mut self) {
        let Some((request, socket)) = &mut self.line else { return };
        let request = *request;
        match socket.read() {
            Ok(Message::Binary(bytes)) => {
                self.told = Some(Instant::now());
                self.todo.push_back(Input::Pushed { request, bytes: bytes.to_vec() });
            }
            Ok(Message::Close(_)) => self.hang_up(),
            Ok(_) => {}
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.hang_up(),
        }
    }

    fn drain(&mut self) {
        loop {
            match self.engine.poll_output() {
                Output::Work => {
                    let now = self.now();
                    self.engine.work(1 << 20, now);
                }
                Output::Wait { until, .. } => {
                    self.until = until;
                    return;
                }
                output => self.perform(output),
            }
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Fetch { request, target, max_bytes, .. } => {
                self.requests += 1;
                match self.get(&target, max_bytes) {
                    Ok(bytes) => {
                        self.todo.push_back(Input::Body { request, bytes });
                        self.todo.push_back(Input::BodyEnd { request });
                    }
                    Err(failure) => self.todo.push_back(Input::FetchFailed { request, failure }),
                }
            }
            Output::Listen { request, target, .. } => match self.listen(&target) {
                Some(socket) => self.line = Some((request, socket)),
                None => self.todo.push_back(Input::LineEnded { request }),
            },
            // What it fetches is fetched in one go.
            Output::CancelFetch { request }
                if self.line.as_ref().is_some_and(|(own, _)| *own == request) =>
            {
                self.hang_up();
            }
            Output::Load { request, keys } => {
                let rows = keys.iter().map(|key| self.store.get(key).cloned()).collect();
                self.todo.push_back(Input::Loaded { request, rows });
            }
            Output::List { request } => {
                let keys = self.store.keys().copied().filter(|key| key.name().is_some());
                self.todo.push_back(Input::Listed { request, keys: keys.collect() });
            }
            Output::Store { request, batch } => self.write(request, batch),
            Output::Event(Event::Fault { code, .. }) => self.faults.push(code),
            Output::Event(Event::Live { heard, .. }) => self.heard = heard,
            Output::Event(Event::Status(status)) => self.status = Some(*status),
            Output::SyncEnded { result: Ok(report) } => {
                let version = report.version.0;
                if self.reached.is_none_or(|(reached, _)| reached < version) {
                    self.reached = Some((version, Instant::now()));
                }
            }
            _ => {}
        }
    }

    fn write(&mut self, request: RequestId, batch: StoreBatch) {
        self.store.extend(batch.puts.iter().map(|(key, row)| (*key, row.to_vec())));
        for key in &batch.deletes {
            self.store.remove(key);
        }
        self.todo.push_back(Input::Stored { request, result: Ok(()) });
    }

    fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}/v1/{}/{path}", self.place.host, self.place.config.dataset)
    }

    fn get(&self, target: &Target, max_bytes: u64) -> Result<Vec<u8>, FetchFailure> {
        let mut request = self.agent.get(self.url("http", &target.path));
        if let Some(ByteRange { start, len }) = target.range {
            request = request.header("range", format!("bytes={start}-{}", start + len - 1));
        }
        let response = request.call().map_err(|_| FetchFailure::Network)?;
        let status = response.status().as_u16();
        if status != if target.range.is_some() { 206 } else { 200 } {
            return Err(FetchFailure::Status { status, retry_after_ms: None });
        }
        let mut bytes = Vec::new();
        let body = response.into_body().into_reader();
        body.take(max_bytes + 1).read_to_end(&mut bytes).map_err(|_| FetchFailure::Network)?;
        match bytes.len() as u64 > max_bytes {
            true => Err(FetchFailure::TooLong),
            false => Ok(bytes),
        }
    }

    fn listen(&self, target: &Target) -> Option<WebSocket<TcpStream>> {
        if self.deaf {
            return None;
        }
        let stream = TcpStream::connect(&self.place.host).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        let request = Request::get(self.url("ws", &target.path))
            .header("host", &self.place.host)
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-key", generate_key())
            .header("sec-websocket-version", "13")
            .body(())
            .ok()?;
        let (socket, _) = tungstenite::client(request, stream).ok()?;
        socket.get_ref().set_nonblocking(true).ok()?;
        Some(socket)
    }
}
