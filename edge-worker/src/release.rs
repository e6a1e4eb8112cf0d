//! What a release brings, for the regions: what clients ask for first, which is placed in every
//! region before the pointer moves, and the groups that the regional store's rule knows (`shelf`).
//!
//! Reading the layouts is the shell's; what it hands in was checked as any upload is.

use packice_core::error::Error;
use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::Head;
use packice_core::format::layout::{Directory, Page};
use packice_core::format::manifest::Manifest;
use packice_core::types::{Name, ObjectKind, ObjectRef, WireName};

use crate::resource::Resource;
use crate::shelf::Shelf;

/// Most members of a release that are told: 100,000 bundles are 100 GB. What is not told counts as
/// needed.
const MAX_MEMBERS: usize = 16_384;

/// A release on its way to the regions.
#[derive(Clone, Debug)]
pub struct Arrival {
    dataset: Name,
    /// Keys of what clients ask for first: the manifest, directories, dictionaries, deltas.
    pub first: Vec<String>,
    /// The layouts' directories that are to be read.
    pub directories: Vec<WireName>,
    groups: Vec<(u64, Vec<String>)>,
    members: usize,
}

impl Arrival {
    /// From the manifest and its name.
    pub fn of(dataset: &Name, name: WireName, manifest: &Manifest) -> Self {
        let key = |kind, object: &ObjectRef| object_key(dataset, kind, object.name);
        let mut first = vec![object_key(dataset, ObjectKind::Manifest, name)];
        let (mut directories, mut groups) = (Vec::new(), Vec::new());
        for collection in &manifest.collections {
            let base = &collection.base;
            let mut own = vec![key(ObjectKind::Layout, &base.directory)];
            if let Some(dictionary) = &base.dictionary {
                own.push(key(ObjectKind::Dictionary, &dictionary.object));
            }
            first.extend(own.iter().cloned());
            groups.push((group(base.directory.name), own));
            directories.push(base.directory.name);
            if let Some(overlay) = &collection.overlay {
                first.push(key(ObjectKind::Layout, &overlay.directory));
            }
            let segments = collection.deltas.iter().flat_map(|delta| &delta.segments);
            first.extend(segments.map(|segment| key(ObjectKind::Delta, &segment.object)));
        }
        groups.push((group(name), first.clone()));
        let members = groups.iter().map(|(_, keys)| keys.len()).sum();
        Self { dataset: dataset.clone(), first, directories, groups, members }
    }

    /// Takes a directory in; the names of its pages.
    pub fn directory(&mut self, name: WireName, bytes: &[u8]) -> Result<Vec<WireName>, Error> {
        let pages: Vec<WireName> =
            Directory::parse(bytes)?.pages.iter().map(|page| page.object.name).collect();
        self.join(name, ObjectKind::Layout, &pages);
        Ok(pages)
    }

    /// Takes a page of a directory in.
    pub fn page(&mut self, directory: WireName, bytes: &[u8]) -> Result<(), Error> {
        let bundles: Vec<WireName> =
            Page::parse(bytes)?.bundles.iter().map(|bundle| bundle.name).collect();
        self.join(directory, ObjectKind::Bundle, &bundles);
        Ok(())
    }

    /// What the regions are told once the pointer moved.
    pub fn release(self) -> Release {
        Release { dataset: self.dataset, groups: self.groups }
    }

    fn join(&mut self, directory: WireName, kind: ObjectKind, names: &[WireName]) {
        let number = group(directory);
        let room = MAX_MEMBERS.saturating_sub(self.members);
        let keys = names.iter().take(room).map(|name| object_key(&self.dataset, kind, *name));
        let keys: Vec<String> = keys.collect();
        self.members += keys.len();
        if let Some((_, own)) = self.groups.iter_mut().find(|(own, _)| *own == number) {
            own.extend(keys);
        }
    }
}

/// The name of the manifest that a pointer's new bootstrap leads to on a channel, if any.
pub fn manifest_of(bootstrap: &[u8], channel: &Name) -> Option<WireName> {
    let head = Head::parse(&Bootstrap::parse(bootstrap).ok()?.head).ok()?;
    let channel = head.channels.iter().find(|own| own.name == *channel)?;
    Some(channel.manifest.name)
}

/// The number of an object's group: 48 bits of its name, which a JavaScript number holds.
fn group(name: WireName) -> u64 {
    name.0.iter().take(6).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn object_key(dataset: &Name, kind: ObjectKind, name: WireName) -> String {
    Resource::Object { dataset: dataset.clone(), kind, name }.key()
}

/// What a release says to the shelf: its groups, and the members of those that are new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The dataset.
    pub dataset: Name,
    /// Groups by number, each with its members' keys.
    pub groups: Vec<(u64, Vec<String>)>,
}

impl Release {
    /// As lines: the dataset, then `={group}` and `+{key}` for each of its members.
    pub fn encode(&self) -> String {
        let mut text = self.dataset.as_str().to_owned();
        for (group, keys) in &self.groups {
            text.push_str(&format!("\n={group}"));
            for key in keys {
                text.push_str("\n+");
                text.push_str(key);
            }
        }
        text
    }

    /// Reads the lines; `None` where one is of no such form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let dataset = Name::new(lines.next()?).ok()?;
        let mut groups: Vec<(u64, Vec<String>)> = Vec::new();
        for line in lines {
            if let Some(group) = line.strip_prefix('=') {
                groups.push((group.parse().ok()?, Vec::new()));
            } else {
                groups.last_mut()?.1.push(line.strip_prefix('+')?.to_owned());
            }
        }
        Some(Self { dataset, groups })
    }

    /// The part for one shard: all groups, with its members.
    #[must_use]
    pub fn part(&self, belongs: impl Fn(&str) -> bool) -> Self {
        let own = |keys: &[String]| keys.iter().filter(|key| belongs(key)).cloned().collect();
        let groups = self.groups.iter().map(|(group, keys)| (*group, own(keys))).collect();
        Self { dataset: self.dataset.clone(), groups }
    }

    /// Tells the shelf.
    pub fn put_on(&self, shelf: &mut Shelf) {
        for (group, keys) in &self.groups {
            keys.iter().for_each(|key| shelf.join(key, *group));
        }
        let groups: Vec<u64> = self.groups.iter().map(|(group, _)| *group).collect();
        shelf.release(&self.dataset, &groups);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shelf::Policy;

    #[test]
    fn a_release_comes_back_as_it_was() {
        let alpha = Name::new("alpha").expect("a name");
        let groups = vec![(7, vec!["alpha/bundle/1".to_owned()]), (9, Vec::new())];
        let release = Release { dataset: alpha.clone(), groups };
        assert_eq!(Release::parse(&release.encode()), Some(release.clone()));
        for odd in ["", "Alpha", "alpha\n+x", "alpha\n=x", "alpha\n=1\nx"] {
            assert_eq!(Release::parse(odd), None, "{odd}");
        }
        let mut shelf = Shelf::new(Policy { budget: 100, newest: 1 }, 1);
        release.put_on(&mut shelf);
        assert!(shelf.knows(&alpha, 7) && !shelf.knows(&alpha, 8));
    }
}
