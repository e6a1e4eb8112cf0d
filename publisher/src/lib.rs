//! The Packice publisher and native light client: everything that the `packice` binary does.

pub mod apply;
pub mod build;
pub mod cli;
pub mod client;
pub mod config;
pub mod cost;
pub mod describe;
pub mod edge;
pub mod events;
pub mod export;
pub mod failure;
pub mod input;
pub mod keep;
pub mod keys;
pub mod mapping;
pub mod project;
pub mod publish;
pub mod reach;
pub mod release_log;
pub mod root_draft;
mod scratch;
pub mod sort;
pub mod text;
pub mod trust_store;
pub mod tune;
pub mod ui;
pub mod witness;
