//! Compresses frames on all cores, hands them to the layout in their order, and writes bundles.
//!
//! At most a few frames for each thread are on their way and one bundle is open, so memory stays
//! flat. Where bundles and pages end is core's decision (`tree::layout`).

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use packice_core::format::node::Child;
use packice_core::tree::build::{BuiltFrame, BuiltTree};
use packice_core::tree::layout::LayoutBuilder;
use packice_core::types::{ObjectKind, ObjectRef};

use super::compress::FrameEncoder;
use super::objects::ObjectDir;
use crate::failure::{Failure, Result};

/// A written layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenLayout {
    /// Its directory.
    pub directory: ObjectRef,
    /// Bytes of all bundles.
    pub wire_len: u64,
    /// Bundles.
    pub bundles: u64,
    /// Frames.
    pub frames: u64,
    /// Pages.
    pub pages: u64,
    /// Bytes of all pages.
    pub page_bytes: u64,
    /// The longest frame on the wire.
    pub longest_frame: u64,
}

struct Job {
    plain: Vec<u8>,
    done: SyncSender<Result<Vec<u8>>>,
}

/// A frame on its way.
struct Item {
    child: Child,
    ends_node: bool,
    wire: Receiver<Result<Vec<u8>>>,
}

/// Threads that compress, in front of a layout.
pub struct Pool<'a> {
    objects: &'a ObjectDir,
    layout: LayoutBuilder,
    bundle: Vec<u8>,
    longest_frame: u64,
    jobs: SyncSender<Job>,
    workers: Vec<JoinHandle<()>>,
    items: VecDeque<Item>,
    most_items: usize,
}

impl<'a> Pool<'a> {
    /// Starts the threads.
    pub fn new(objects: &'a ObjectDir, dictionary: Option<&[u8]>, threads: usize) -> Self {
        let threads = threads.max(1);
        let (jobs, queue) = sync_channel::<Job>(threads);
        let queue = Arc::new(Mutex::new(queue));
        let dictionary: Option<Arc<[u8]>> = dictionary.map(Arc::from);
        let workers = (0..threads)
            .map(|_| {
                let (queue, dictionary) = (queue.clone(), dictionary.clone());
                std::thread::spawn(move || work(&queue, dictionary.as_deref()))
            })
            .collect();
        Self {
            objects,
            layout: LayoutBuilder::new(),
            bundle: Vec::new(),
            longest_frame: 0,
            jobs,
            workers,
            items: VecDeque::new(),
            most_items: 2 * threads + 2,
        }
    }

    /// Adds the next frame of the tree.
    pub fn frame(&mut self, frame: BuiltFrame) -> Result<()> {
        let (done, wire) = sync_channel(1);
        self.jobs
            .send(Job { plain: frame.plain, done })
            .map_err(|_| Failure::internal("the compressing threads are gone"))?;
        let (child, ends_node) = (frame.child, frame.ends_node);
        self.items.push_back(Item { child, ends_node, wire });
        if self.items.len() > self.most_items { self.place_oldest() } else { Ok(()) }
    }

    fn place_oldest(&mut self) -> Result<()> {
        let Some(item) = self.items.pop_front() else { return Ok(()) };
        let gone = |_| Failure::internal("a compressing thread panicked");
        let wire = item.wire.recv().map_err(gone)??;
        self.longest_frame = self.longest_frame.max(wire.len() as u64);
        let placement = self.layout.push_child(&item.child, item.ends_node, &wire)?;
        self.bundle.extend_from_slice(&wire);
        self.write_bundle(placement.ends_bundle)
    }

    fn write_bundle(&mut self, ended: Option<ObjectRef>) -> Result<()> {
        let Some(object) = ended else { return Ok(()) };
        let written = self.objects.write(ObjectKind::Bundle, &self.bundle)?;
        self.bundle.clear();
        match written == object {
            true => Ok(()),
            false => Err(Failure::internal("a bundle is not what its layout names")),
        }
    }

    /// Waits for all frames and writes the layout.
    pub fn finish(mut self, tree: &BuiltTree) -> Result<WrittenLayout> {
        while !self.items.is_empty() {
            self.place_oldest()?;
        }
        let layout = std::mem::take(&mut self.layout).finish(tree).map_err(|error| {
            Failure::input(format!("the layout is too large: {error}"))
                .next("raise 'frame_target', or split the collection")
        })?;
        self.write_bundle(layout.last_bundle)?;
        drop(self.jobs);
        for worker in self.workers {
            worker.join().map_err(|_| Failure::internal("a compressing thread panicked"))?;
        }
        for page in &layout.pages {
            self.objects.write(ObjectKind::Layout, &page.bytes)?;
        }
        self.objects.write(ObjectKind::Layout, &layout.directory.bytes)?;
        Ok(WrittenLayout {
            directory: layout.directory.object,
            wire_len: layout.wire_len,
            bundles: layout.bundles,
            frames: layout.frames,
            pages: layout.pages.len() as u64,
            page_bytes: layout.pages.iter().map(|page| page.object.len).sum(),
            longest_frame: self.longest_frame,
        })
    }
}

fn work(queue: &Mutex<Receiver<Job>>, dictionary: Option<&[u8]>) {
    let mut encoder = FrameEncoder::new(dictionary);
    loop {
        // The lock is held while waiting: one thread waits at the queue, the others at the lock.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let wire = match &mut encoder {
            Ok(encoder) => encoder.encode(&job.plain),
            Err(failure) => Err(failure.clone()),
        };
        // Nobody waits any more where the build failed elsewhere.
        let _ = job.done.send(wire);
    }
}
