//! A witness's HTTP: `POST /add-checkpoint` as C2SP tlog-witness has it, and what it stands at
//! under `GET /`.
//!
//! Requests are small and few. A client that sends slowly holds one thread; there is a bound on
//! those, and past it a request is told to come again. TLS and limits by address are a reverse
//! proxy's.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use packice_core::trust::witness::{AddCheckpoint, MAX_REQUEST_LEN, Refusal, answer_text};
use tiny_http::{Header, Method, Request, Response, Server};

use super::book::{Book, NotCosigned};
use crate::failure::{Failure, Result};

/// Requests that are looked at at the same time.
const THREADS_MAX: usize = 64;

/// A witness that listens.
pub struct Running {
    server: Server,
    book: Arc<Book>,
}

/// What is answered.
struct Reply {
    status: u16,
    kind: &'static str,
    body: String,
}

/// Listens on an address; port 0 takes a free one.
pub fn listen(book: Book, address: &str) -> Result<Running> {
    let server = Server::http(address).map_err(|error| {
        Failure::usage(format!("cannot listen on {address}: {error}"))
            .next("give an address and a free port, such as 127.0.0.1:7337")
    })?;
    Ok(Running { server, book: Arc::new(book) })
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.server_addr().to_ip()
    }

    /// Answers until the process ends; tells of each request that is done.
    pub fn run(&self, tell: &(dyn Fn(&str) + Sync)) -> Result<()> {
        let busy = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            loop {
                let request = self.server.recv().map_err(|error| {
                    Failure::internal(format!("the listening socket failed: {error}"))
                })?;
                if busy.fetch_add(1, Ordering::Relaxed) >= THREADS_MAX {
                    busy.fetch_sub(1, Ordering::Relaxed);
                    send(request, text(503, "too many requests at a time: come again"));
                    continue;
                }
                let (busy, book) = (&busy, &self.book);
                scope.spawn(move || {
                    answer(book, request, tell);
                    busy.fetch_sub(1, Ordering::Relaxed);
                });
            }
        })
    }
}

fn answer(book: &Book, mut request: Request, tell: &dyn Fn(&str)) {
    let reply = match (request.method(), request.url()) {
        (Method::Post, "/add-checkpoint") => {
            let reply = add_checkpoint(book, &mut request);
            tell(&format!("{} {}", reply.status, reply.body.trim_end()));
            reply
        }
        (_, "/add-checkpoint") => text(405, "POST a request of C2SP tlog-witness"),
        (Method::Get | Method::Head, "/") => {
            let line = |(origin, seen): (&str, packice_core::trust::accept::Seen)| {
                format!("{origin} {} {}\n", seen.size, packice_core::types::hex(&seen.root.0))
            };
            Reply {
                status: 200,
                kind: "text/plain; charset=utf-8",
                body: book.seen().into_iter().map(line).collect(),
            }
        }
        _ => text(404, "a witness: POST /add-checkpoint"),
    };
    send(request, reply);
}

fn add_checkpoint(book: &Book, request: &mut Request) -> Reply {
    let mut body = Vec::new();
    let most = MAX_REQUEST_LEN as u64 + 1;
    if let Err(error) = request.as_reader().take(most).read_to_end(&mut body) {
        return text(400, &format!("the body broke off: {error}"));
    }
    let parsed = match AddCheckpoint::parse(&body) {
        Ok(parsed) => parsed,
        Err(error) => return text(400, &error.to_string()),
    };
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match book.add_checkpoint(&parsed, now_s) {
        Ok(line) => {
            let kind = "text/plain; charset=utf-8";
            Reply { status: 200, kind, body: answer_text(&[line]) }
        }
        Err(NotCosigned::Refused(Refusal::Conflict { size })) => {
            Reply { status: 409, kind: "text/x.tlog.size", body: format!("{size}\n") }
        }
        Err(NotCosigned::Refused(refusal)) => {
            let why = match &refusal {
                Refusal::BadRequest(error)
                | Refusal::NotSigned(error)
                | Refusal::BadProof(error) => error.to_string(),
                Refusal::UnknownLog => "this witness does not watch this log".to_owned(),
                Refusal::Conflict { size } => size.to_string(),
            };
            text(refusal.status(), &why)
        }
        Err(NotCosigned::NotKept(failure)) => text(500, &failure.to_string()),
    }
}

fn text(status: u16, body: &str) -> Reply {
    Reply { status, kind: "text/plain; charset=utf-8", body: format!("{body}\n") }
}

fn send(request: Request, reply: Reply) {
    let mut response = Response::from_string(reply.body).with_status_code(reply.status);
    if let Ok(header) = Header::from_bytes("Content-Type", reply.kind) {
        response.add_header(header);
    }
    // Who has gone away needs no answer.
    let _ = request.respond(response);
}
