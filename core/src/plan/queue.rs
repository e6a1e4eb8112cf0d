//! The deterministic priority queue: trust → bootstrap → collections by priority → the rest; a
//! read from the user jumps the queue for its path.
//!
//! Within a class the first to come is the first to go. A job that goes back after a failed try
//! keeps its ticket, and with it its place.

use crate::map::Map;

/// What a job is for; the order of the variants is the order of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// On the path of a read that somebody waits for.
    Read,
    /// Checkpoint, trust root and proofs.
    Trust,
    /// Manifest, layouts and the priority-0 collections.
    Bootstrap,
    /// A collection of that priority.
    Collection(u8),
}

/// A job's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    class: Class,
    number: u64,
}

impl Ticket {
    /// The class.
    pub fn class(self) -> Class {
        self.class
    }
}

/// Jobs in the order of service.
#[derive(Clone, Debug)]
pub struct Queue<T> {
    jobs: Map<Ticket, T>,
    next: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { jobs: Map::new(), next: 0 }
    }
}

impl<T> Queue<T> {
    /// Adds a job behind those of its class.
    pub fn push(&mut self, class: Class, job: T) -> Ticket {
        let ticket = Ticket { class, number: self.next };
        self.next += 1;
        self.jobs.insert(ticket, job);
        ticket
    }

    /// Puts a job back to its place.
    pub fn put_back(&mut self, ticket: Ticket, job: T) {
        self.jobs.insert(ticket, job);
    }

    /// Takes the first job for which the question has an answer, and the answer.
    pub fn take_first<A>(
        &mut self,
        mut ask: impl FnMut(Ticket, &T) -> Option<A>,
    ) -> Option<(Ticket, T, A)> {
        let (ticket, answer) =
            self.jobs.iter().find_map(|(ticket, job)| Some((*ticket, ask(*ticket, job)?)))?;
        let job = self.jobs.remove(&ticket)?;
        Some((ticket, job, answer))
    }

    /// Moves the first job that matches to a class that is served earlier.
    pub fn raise(&mut self, class: Class, matches: impl Fn(&T) -> bool) {
        let found = self.jobs.iter().find(|(ticket, job)| ticket.class > class && matches(job));
        if let Some(ticket) = found.map(|(ticket, _)| *ticket)
            && let Some(job) = self.jobs.remove(&ticket)
        {
            self.push(class, job);
        }
    }

    /// Removes every job that matches.
    pub fn remove_where(&mut self, mut matches: impl FnMut(Ticket, &T) -> bool) {
        self.jobs.retain(|ticket, job| !matches(*ticket, job));
    }

    /// Every job, in the order of service.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.jobs.values()
    }

    /// Every job, to be changed, in the order of service.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.jobs.values_mut()
    }

    /// How many jobs wait.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether no job waits.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn drain(queue: &mut Queue<&'static str>) -> Vec<&'static str> {
        core::iter::from_fn(|| queue.take_first(|_, _| Some(())).map(|(_, job, ())| job)).collect()
    }

    #[test]
    fn serves_trust_then_bootstrap_then_collections_by_priority() {
        let mut queue = Queue::default();
        queue.push(Class::Collection(9), "late");
        queue.push(Class::Collection(1), "early");
        queue.push(Class::Bootstrap, "bootstrap");
        queue.push(Class::Trust, "trust");
        queue.push(Class::Collection(1), "early too");
        assert_eq!(drain(&mut queue), ["trust", "bootstrap", "early", "early too", "late"]);
    }

    #[test]
    fn a_read_jumps_the_queue_and_a_retry_keeps_its_place() {
        let mut queue = Queue::default();
        let first = queue.push(Class::Collection(1), "first");
        queue.push(Class::Collection(1), "second");
        queue.push(Class::Collection(1), "wanted");
        queue.raise(Class::Read, |job| *job == "wanted");
        let taken = queue.take_first(|ticket, _| (ticket == first).then_some(()));
        assert_eq!(taken.map(|(_, job, ())| job), Some("first"));
        queue.put_back(first, "first");
        assert_eq!(drain(&mut queue), ["wanted", "first", "second"]);
    }
}
