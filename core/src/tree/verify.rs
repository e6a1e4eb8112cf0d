//! Checking a decoded frame against the signed tree, and reading in it.
//!
//! The level-1 node of a frame does not travel: it is derived from the leaves and its identity
//! compared with the one its parent gives. So a frame that passes is, byte for byte, what the
//! signed root says, and every key in it belongs there.
//!
//! A lying publisher could sign one root and lay out another content: that ends here, as
//! [`TrustError::LayoutMismatch`].

use alloc::vec::Vec;

use crate::error::{Error, TrustError};
use crate::format::leaf::{self, LeafReader, LeafSpan, Record};
use crate::format::node::{Child, Node, shortest_separator};
use crate::hash;

/// A frame that was checked up to its parent.
#[derive(Clone, Debug)]
pub struct VerifiedFrame {
    plain: Vec<u8>,
    ends: Vec<usize>,
    node: Node,
}

/// Checks the plain bytes of a frame against its entry in the level-2 node (or the signed root).
///
/// `upper` is the separator of the next frame; `None` for the last.
pub fn verify_frame(
    child: &Child,
    upper: Option<&[u8]>,
    plain: Vec<u8>,
) -> Result<VerifiedFrame, Error> {
    if plain.len() as u64 != child.plain_len {
        return Err(TrustError::LayoutMismatch.into());
    }
    let spans = leaf::split_leaves(&plain)?;
    let node = derive_node(child, &plain, &spans);
    let below = spans.first().is_none_or(|span| span.first_key < child.separator);
    let above =
        spans.last().zip(upper).is_some_and(|(span, upper)| span.last_key.as_slice() >= upper);
    let sums = node.records() == child.records && node.plain_len() == child.plain_len;
    if below || above || !sums || node.identity() != child.identity {
        return Err(TrustError::LayoutMismatch.into());
    }
    let ends = spans.into_iter().map(|span| span.range.end).collect();
    Ok(VerifiedFrame { plain, ends, node })
}

/// The level-1 node of a frame's leaves.
fn derive_node(child: &Child, plain: &[u8], spans: &[LeafSpan]) -> Node {
    let mut children: Vec<Child> = Vec::with_capacity(spans.len());
    let mut before: Option<&LeafSpan> = None;
    for span in spans {
        let bytes = plain.get(span.range.clone()).unwrap_or_default();
        let separator = match before {
            None => child.separator.clone(),
            Some(before) => shortest_separator(&before.last_key, &span.first_key).to_vec(),
        };
        children.push(Child {
            separator,
            identity: hash::identity(bytes),
            plain_len: bytes.len() as u64,
            records: span.records,
        });
        before = Some(span);
    }
    Node { level: 1, children }
}

impl VerifiedFrame {
    /// The level-1 node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Whether it is the frame of an entry.
    pub fn is_of(&self, child: &Child) -> bool {
        self.node.children.first().is_some_and(|first| first.separator == child.separator)
            && self.plain.len() as u64 == child.plain_len
            && self.node.records() == child.records
    }

    /// The plain bytes.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// The canonical bytes of the leaf of a number.
    pub fn leaf(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => *self.ends.get(before)?,
        };
        self.plain.get(start..end)
    }

    /// The canonical bytes of the leaf that a key of this frame belongs to.
    pub fn leaf_for(&self, key: &[u8]) -> Option<&[u8]> {
        self.leaf(self.node.child_for(key)?)
    }

    /// The value of a key that belongs to this frame; `None` where there is no such record.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        // The leaves were parsed before: no error is left in them.
        leaf::find(self.leaf_for(key)?, key).ok().flatten()
    }

    /// The records from a key on, in key order.
    pub fn records_from<'a>(&'a self, key: &'a [u8]) -> Records<'a> {
        let index = self.node.child_for(key).unwrap_or_default();
        Records { frame: self, next_leaf: index, reader: None, from: key }
    }

    /// Shows the records from a key on, in key order, until the visitor wants no more. Nothing is
    /// allocated for a record.
    pub fn visit_from(&self, key: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        let mut index = self.node.child_for(key).unwrap_or_default();
        while let Some(bytes) = self.leaf(index) {
            // The leaves were parsed before: no error is left in them.
            let Ok(mut reader) = LeafReader::new(bytes) else { return };
            while let Ok(Some(value)) = reader.advance() {
                if reader.key() >= key && !visit(reader.key(), value) {
                    return;
                }
            }
            index += 1;
        }
    }

    /// All records, in key order.
    pub fn records(&self) -> Records<'_> {
        self.records_from(&[])
    }
}

/// The records of a frame, in key order.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    frame: &'a VerifiedFrame,
    next_leaf: usize,
    reader: Option<LeafReader<'a>>,
    from: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        loop {
            if self.reader.is_none() {
                let bytes = self.frame.leaf(self.next_leaf)?;
                self.next_leaf += 1;
                self.reader = Some(LeafReader::new(bytes).ok()?);
            }
            let reader = self.reader.as_mut()?;
            match reader.advance().ok()? {
                None => self.reader = None,
                Some(value) if reader.key() >= self.from => {
                    return Some(Record { key: reader.key().to_vec(), value });
                }
                Some(_) => {}
            }
        }
    }
}
