//! The scrub: stored objects are hashed again, a few on each round of the cron and everything
//! that was reported, and what is not what its name says is repaired from elsewhere or taken out
//! of the way.
//!
//! In scope: which objects a round looks at, and what is to be done about one. Out of scope:
//! reading and writing (the shell). A report costs its sender a request and the edge a hash: it
//! decides nothing, so anybody may send one.

use packice_core::hash;
use packice_core::types::{Name, ObjectKind, WireName};

use crate::metrics::{Batch, Counter};
use crate::resource::Resource;

/// Objects that a round looks at, beside those that were reported.
pub const ROUND: u32 = 64;
/// Where an object that cannot be repaired is kept, before its key.
pub const QUARANTINE: &str = "_quarantine/";
/// Where the rounds' state is kept: the key that the last one ended at.
pub const STATE: &str = "_edge/scrub";
/// Most objects of one dataset that wait for a look because they were reported.
pub const MAX_REPORTS: u64 = 1_000;

/// A stored object that names its bytes.
pub fn object_of(key: &str) -> Option<(Resource, WireName)> {
    let mut parts = key.split('/');
    let (dataset, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
    let resource = resource(&Name::new(dataset).ok()?, kind, name)?;
    parts.next().is_none().then_some(resource)
}

/// The object that a report names: `{kind}/{name}`.
pub fn reported(dataset: &Name, query: &str) -> Option<(Resource, WireName)> {
    let (kind, name) = query.strip_prefix("object=")?.split_once('/')?;
    resource(dataset, kind, name)
}

fn resource(dataset: &Name, kind: &str, name: &str) -> Option<(Resource, WireName)> {
    let (kind, name) = (ObjectKind::from_segment(kind)?, WireName::from_hex(name)?);
    Some((Resource::Object { dataset: dataset.clone(), kind, name }, name))
}

/// Whether bytes are those of a name.
pub fn is_sound(name: &WireName, bytes: &[u8]) -> bool {
    hash::wire_name(bytes) == *name
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Objects that were hashed.
    pub looked_at: u64,
    /// Of these, those that were damaged and have their bytes again.
    pub repaired: u64,
    /// Those that nobody could repair.
    pub quarantined: u64,
}

impl Tally {
    /// What the region is told of it.
    pub fn batch(&self) -> Batch {
        let damaged = self.repaired.saturating_add(self.quarantined);
        let mut batch = Batch::default();
        batch.add(Counter::ScrubbedSound, self.looked_at.saturating_sub(damaged));
        batch.add(Counter::ScrubbedRepaired, self.repaired);
        batch.add(Counter::ScrubbedQuarantined, self.quarantined);
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_by_their_keys() {
        let hex = hash::wire_name(b"x").to_hex();
        let (resource, name) = object_of(&format!("alpha/bundle/{hex}")).expect("an object");
        assert_eq!(resource.key(), format!("alpha/bundle/{hex}"));
        assert!(is_sound(&name, b"x") && !is_sound(&name, b"y"));
        for key in [
            "alpha/bootstrap/stable",
            "alpha/log/tile/0/000",
            "_edge/scrub",
            &format!("_quarantine/alpha/bundle/{hex}"),
            &format!("alpha/bundle/{hex}/x"),
        ] {
            assert_eq!(object_of(key), None, "{key}");
        }
        let alpha = Name::new("alpha").expect("a name");
        assert!(reported(&alpha, &format!("object=bundle/{hex}")).is_some());
        for query in ["", "object=", "object=bundle", "object=bundle/x", "object=x/y&z"] {
            assert_eq!(reported(&alpha, query), None, "{query}");
        }
    }
}
