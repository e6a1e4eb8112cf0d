//! The edge of Packice: a Worker that serves verified objects and takes authenticated uploads.
//!
//! In scope: the HTTP API of docs/spec/http.md under `/v1/{dataset}/…`, over one R2 bucket
//! with the data centre's cache in front. Out of scope: keys. The edge signs nothing and is
//! trusted with nothing but availability: clients verify every byte, and a pointer moves only
//! after the core has checked signatures and growth.
//!
//! # The way of a request
//!
//! `route` reads method and path. For a read, `respond` says what to fetch and, once size and tag
//! are known, what to answer; for a write, `upload`, `pointer` and `verify` say what must hold. All
//! of these are pure and tested natively. What is no resource stands in the table of `service`. The
//! shell, `shell/`, only exists on workerd: its `mod.rs` (requests into plain data, replies into
//! responses), `serve`, `services` and `publish` (the order of steps), `cron/` (what nobody asked
//! for, decided by `refresh`), `store` (R2), `cache` (Cache API).
//!
//! # What an attacker could try here
//!
//! Paths, headers and bodies are hostile. Paths are parsed strictly and keys built from parsed
//! parts alone; lengths are checked before a body is read and again while it is; nothing is
//! visible before its hash was compared with its name; no request path panics, since a panic
//! would fail every request of the isolate.

pub mod auth;
pub mod conditional;
pub mod headers;
pub mod keep;
pub mod known;
pub mod limits;
pub mod live;
pub mod log;
pub mod metrics;
pub mod place;
pub mod pointer;
pub mod problem;
pub mod quota;
pub mod range;
pub mod rate;
pub mod refresh;
pub mod release;
pub mod reply;
pub mod resource;
pub mod respond;
pub mod route;
pub mod scrub;
pub mod service;
pub mod shelf;
pub mod sources;
pub mod status;
pub mod tiers;
pub mod trace;
pub mod trail;
pub mod upload;
pub mod verify;

#[cfg(target_arch = "wasm32")]
mod shell;
