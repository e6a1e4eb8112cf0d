//! The invariants: what is checked of each row, answer and event, and at the end of a run.

use std::collections::BTreeMap;

use packice_core::engine::io::{
    Answer, Failure, Milestone, RangeQuery, ReadId, SourceState, StoreKey, SyncReport,
};
use packice_core::engine::{Command, Event, Input};
use packice_core::hash;
use packice_core::types::{ObjectKind, Version};

use super::{CALM_MS, PROGRESS_MS, START, World, engine};

impl World<'_> {
    pub(super) fn event(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Status(status) => {
                let first = status.sources.first();
                self.banned = first.is_some_and(|source| source.state == SourceState::Banned);
            }
            Event::Milestone { milestone, version } => {
                let news = (milestone.clone(), version.0);
                let past = |told: &(Milestone, u64)| told.1 > version.0 || *told == news;
                let past = !self.spoiled && self.told.iter().any(past);
                if past || version.0 > self.published as u64 + 1 {
                    return Err(format!("{milestone:?} of {version} after {:?}", self.told));
                }
                self.told.push(news);
            }
            Event::Condition { condition, holds, .. } => {
                if self.holds.contains(condition) == *holds {
                    return Err(format!("{condition:?} is told twice"));
                }
                self.holds.retain(|held| held != condition);
                self.holds.extend(holds.then_some(*condition));
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn answer(
        &mut self,
        read: ReadId,
        answer: Result<Answer, Failure>,
    ) -> Result<(), String> {
        let Some((at, key)) = self.reads.remove(&read) else {
            self.pages = answer.ok();
            return Ok(());
        };
        let answer = answer.map_err(|failure| format!("a read failed: {failure:?}"))?;
        let (value, version) = match answer {
            Answer::Present { value, version } => (Some(value), version),
            Answer::Absent { version } => (None, version),
            Answer::Unknown(_) => return Ok(()),
            other => return Err(format!("a read of a key was answered {other:?}")),
        };
        self.ran.answers += 1;
        let versions = self.published + 1;
        let place = usize::try_from(version.0).expect("small");
        if place == 0 || place > versions || version.0 < self.held {
            return Err(format!("{version} answers; {} was held of {versions}", self.held));
        }
        match self.set.versions[place - 1][at].records.get(&key) == value.as_ref() {
            true => Ok(()),
            false => Err(format!("a wrong answer from {version}: {value:?}")),
        }
    }

    pub(super) fn sync_ended(&mut self, result: Result<SyncReport, Failure>) -> Result<(), String> {
        let result = result.map(|report| report.version.0).map_err(|f| f.code().to_owned());
        if let Ok(version) = &result {
            if *version < self.held || *version > self.published as u64 + 1 {
                return Err(format!("a sync committed {version} after {}", self.held));
            }
            self.held = *version;
            if self.ran.synced_ms == 0 {
                self.ran.synced_ms = self.now - START;
            }
        }
        self.syncs.push(result);
        Ok(())
    }

    /// Going back ends where a version was asked for, and makes it the one that is held.
    pub(super) fn rolled_back(
        &mut self,
        version: Version,
        result: &Result<(), Failure>,
    ) -> Result<(), String> {
        if self.going_back.take() != Some(version) {
            return Err(format!("nobody went back to {version}"));
        }
        if result.is_ok() {
            self.held = version.0;
        }
        Ok(())
    }

    /// A row is what it is named after, and the publisher made it, or the client did (layers).
    pub(super) fn check_row(&mut self, key: &StoreKey, row: &[u8]) -> Result<(), String> {
        self.ran.rows += 1;
        let files = &self.set.releases[3].files;
        let (name, known) = match key {
            StoreKey::State | StoreKey::Audit | StoreKey::Sources => return Ok(()),
            StoreKey::Frame(name) => (name, self.set.frames.contains(name)),
            StoreKey::Object(kind, name) => {
                let path = format!("{}/{name}", kind.as_str());
                let made = matches!(kind, ObjectKind::Layer | ObjectKind::LayerPage);
                (name, made || files.contains_key(&path))
            }
        };
        match known && hash::wire_name(row) == *name {
            true => Ok(()),
            false => Err(format!("{key:?} was stored and is nobody's")),
        }
    }

    pub(super) fn check_store(&mut self) -> Result<(), String> {
        let store = std::mem::take(&mut self.store);
        let checked = store.iter().try_for_each(|(key, row)| self.check_row(key, row));
        self.store = store;
        checked
    }

    /// After the faults: the newest version comes within a bounded time, from the honest source.
    pub(super) fn recover(&mut self) -> Result<(), String> {
        self.crash = None;
        let newest = self.published as u64 + 1;
        let end = START + CALM_MS + PROGRESS_MS;
        while self.held < newest {
            if self.now >= end {
                return Err(format!("no progress: {} of {newest}, {:?}", self.held, self.syncs));
            }
            self.handle(Input::Command(Command::Sync));
            self.until(self.now + 30_000)?;
        }
        for draw in [3, 47, 1501] {
            self.get(1, draw);
        }
        self.handle(Input::Command(Command::Status));
        self.until(self.now + 30_000)?;
        if !self.reads.is_empty() {
            return Err(format!("reads without an answer: {:?}", self.reads));
        }
        if self.banned {
            return Err("the honest source is banned".into());
        }
        self.check_store()
    }

    /// A client without a source finds what was committed, record for record.
    pub(super) fn offline(&mut self) -> Result<(), String> {
        let engine = engine(self.set, 7);
        let live = std::mem::replace(&mut self.engine, engine);
        let (queue, due) = (std::mem::take(&mut self.queue), std::mem::take(&mut self.due));
        let (now, disk_free) = (self.now, self.disk_free);
        for at in 0..self.set.names.len() {
            self.range(at)?;
        }
        (self.queue, self.due, self.engine) = (queue, due, live);
        // It is another process, whose time is its own.
        (self.now, self.disk_free) = (now, disk_free);
        Ok(())
    }

    fn range(&mut self, at: usize) -> Result<(), String> {
        let collection = self.set.names[at];
        let (mut start, mut root, mut all) = (Vec::new(), None, BTreeMap::new());
        loop {
            self.order += 1;
            let read = ReadId(self.order);
            let range = RangeQuery {
                collection: collection.into(),
                start,
                end: None,
                limit: 200,
                at: root,
            };
            self.handle(Input::Command(Command::Range { read, range, version: None }));
            self.until(self.now + 60_000)?;
            let (records, next, of, version) = match self.pages.take() {
                Some(Answer::Records { records, next, root, version }) => {
                    (records, next, root, version)
                }
                other => return Err(format!("a commit was lost: {collection} says {other:?}")),
            };
            let place = usize::try_from(version.0).expect("small");
            if version.0 < self.held || place > self.published + 1 {
                return Err(format!("{version} took the place of {}", self.held));
            }
            all.extend(records.iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
            match next {
                Some(next) => (start, root) = (next, Some(of)),
                None if all == self.set.versions[place - 1][at].records => {
                    self.ran.answers += 1;
                    return Ok(());
                }
                None => return Err(format!("{collection} of {version} has other records")),
            }
        }
    }
}
