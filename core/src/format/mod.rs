//! The binary and text formats, each with its bounds, its parser and its writer.
//!
//! The specification is docs/spec/; every type here names its page. Parsers accept exactly what
//! writers write: parsing and writing again gives the same bytes.

pub mod bootstrap;
pub mod head;
pub mod layer;
pub mod layout;
pub mod leaf;
pub mod manifest;
pub mod node;
pub mod note;
pub mod push;
pub mod seed;
pub mod trust_root;
