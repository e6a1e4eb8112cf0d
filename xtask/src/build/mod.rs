//! The wasm builds: what both pipelines share.

pub(crate) mod bindgen;
pub(crate) mod edge;
pub(crate) mod edge_shim;
pub(crate) mod npm;
pub(crate) mod parity;
