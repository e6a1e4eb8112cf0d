//! The one file that reads and writes R2 objects.
//!
//! In scope: reads that pass bodies through, conditional writes, where a dataset's pointers stand.
//! Out of scope: what any of it means. Every failure is logged here with its operation and key,
//! and goes up as an error; nothing panics.

use std::fmt::Display;
use std::time::Duration;

use futures_util::future::{Either, select};
use packice_core::types::Name;
use worker::{
    Bucket, Conditional, Delay, Env, Include, Object, ObjectBody, Range, ResponseBody,
    console_error,
};

use crate::keep::parse_key;
use crate::limits::MAX_STORED_LEN;
use crate::log;
use crate::pointer::{PointerMark, Swap};
use crate::problem::{Problem, ProblemCode};
use crate::range::{RangeSpec, Span};
use crate::reply::Extent;
use crate::resource::bootstrap_prefix;
use crate::respond::{Fetch, ObjectMeta};
use crate::shell::durable::catalog;

/// How long one write may take: a store that is full may leave it hanging.
const PATIENCE: Duration = Duration::from_secs(15);
/// The binding of the origin's bucket in wrangler.toml.
pub(crate) const ORIGIN: &str = "OBJECTS";
/// The custom metadata of a pointer that tells where it stands, so that a list of a dataset's
/// pointers answers without reading them.
const MARK: &str = "x-packice-mark";

/// An operation of the store that failed. The log has the rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreError {
    operation: &'static str,
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = format!("the store failed at `{}`; try again", error.operation);
        Self::new(ProblemCode::StoreUnavailable, detail)
    }
}

/// A stored object, its body still in the store where there is one.
#[derive(Debug)]
pub(crate) struct Found {
    /// Size and tag.
    pub(crate) meta: ObjectMeta,
    /// The object, and which of its bytes a body would be.
    pub(crate) content: Option<(Object, Extent)>,
}

/// A small object in memory.
#[derive(Clone, Debug)]
pub(crate) struct Small {
    /// All of its bytes.
    pub(crate) bytes: Vec<u8>,
    /// The entity tag, without quotes.
    pub(crate) etag: String,
}

/// The bucket.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    bucket: Bucket,
    /// Who is told of keys that are new, for the origin's.
    env: Option<Env>,
}

impl Store {
    /// The bucket of the environment.
    pub(crate) fn open(env: &Env) -> Result<Self, StoreError> {
        match env.bucket(ORIGIN) {
            Ok(bucket) => Ok(Self { bucket, env: Some(env.clone()) }),
            Err(error) => Err(failed("open", ORIGIN, error)),
        }
    }

    /// A region's bucket.
    pub(crate) fn open_region(env: &Env, binding: &str) -> Result<Self, StoreError> {
        match env.bucket(binding) {
            Ok(bucket) => Ok(Self { bucket, env: None }),
            Err(error) => Err(failed("open", binding, error)),
        }
    }

    /// Deletes objects, at most a thousand.
    pub(crate) async fn delete(&self, keys: Vec<String>) -> Result<(), StoreError> {
        let first = keys.first().cloned().unwrap_or_default();
        let deleted = self.bucket.delete_multiple(keys).await;
        deleted.map_err(|error| failed("delete", &first, error))
    }

    /// Asks the store for anything at all.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let listed = self.bucket.list().limit(1).execute().await;
        listed.map(drop).map_err(|error| failed("list", "", error))
    }

    /// An object with as much of its body as a read needs.
    pub(crate) async fn fetch(&self, key: &str, fetch: Fetch) -> Result<Option<Found>, StoreError> {
        match fetch {
            Fetch::Meta => Ok(self.head(key).await?.map(|meta| Found { meta, content: None })),
            Fetch::Whole => {
                let object = self.bucket.get(key).execute().await;
                let object = object.map_err(|error| failed("get", key, error))?;
                Ok(object.map(|object| found(object, Extent::Whole)))
            }
            Fetch::Part(range) => self.fetch_part(key, range).await,
        }
    }

    /// One request where the range exists. R2 refuses one that does not with an error like any
    /// other, so a refusal is looked into: the size tells what the range comes to.
    async fn fetch_part(&self, key: &str, range: RangeSpec) -> Result<Option<Found>, StoreError> {
        if let Ok(object) = self.bucket.get(key).range(r2_range(range)).execute().await {
            return Ok(object.map(|object| match range.resolve(object.size()) {
                Some(span) => found(object, Extent::Part(span)),
                None => Found { meta: meta(&object), content: None },
            }));
        }
        let Some(meta) = self.head(key).await? else { return Ok(None) };
        let Some(span) = range.resolve(meta.size) else {
            return Ok(Some(Found { meta, content: None }));
        };
        let object = self.bucket.get(key).range(r2_span(span)).execute().await;
        let object = object.map_err(|error| failed("get range", key, error))?;
        Ok(object.map(|object| found(object, Extent::Part(span))))
    }

    /// Size and tag of an object.
    pub(crate) async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        let object = self.bucket.head(key).await.map_err(|error| failed("head", key, error))?;
        Ok(object.as_ref().map(meta))
    }

    /// A small object, whole. One that is longer than anything stored here is an error.
    pub(crate) async fn read(&self, key: &str) -> Result<Option<Small>, StoreError> {
        let object = self.bucket.get(key).execute().await;
        let Some(object) = object.map_err(|error| failed("get", key, error))? else {
            return Ok(None);
        };
        if object.size() > MAX_STORED_LEN {
            let detail = format!("{} bytes are more than were ever stored", object.size());
            return Err(failed("get", key, detail));
        }
        let Some(body) = object.body() else { return Ok(None) };
        let bytes = body.bytes().await.map_err(|error| failed("read", key, error))?;
        Ok(Some(Small { bytes, etag: object.etag() }))
    }

    /// Writes an object if the key is still in the expected state; its tag, or `None` where
    /// another write came before.
    pub(crate) async fn put(
        &self,
        key: &str,
        body: Vec<u8>,
        swap: &Swap,
        mark: Option<PointerMark>,
    ) -> Result<Option<String>, StoreError> {
        let mut condition = Conditional::default();
        match swap {
            Swap::Create => condition.etag_does_not_match = Some("*".into()),
            Swap::Replace { etag } => condition.etag_matches = Some(etag.clone()),
        }
        let mut put = self.bucket.put(key, body).only_if(condition);
        if let Some(mark) = mark {
            put = put.custom_metadata([(MARK.to_owned(), mark.to_string())]);
        }
        let written = Box::pin(put.execute());
        let object = match select(written, Delay::from(PATIENCE)).await {
            Either::Left((object, _)) => object.map_err(|error| failed("put", key, error))?,
            Either::Right(_) => return Err(failed("put", key, "it does not come to an end")),
        };
        if let (Some(env), Swap::Create) = (&self.env, swap) {
            // Also where it was there before: whoever wrote it may have ended before this.
            let told = catalog::added(env, &[key]).await;
            told.map_err(|error| failed("catalog", key, error))?;
        }
        Ok(object.map(|object| object.etag()))
    }

    /// Removes an object; one that is not there is removed already.
    pub(crate) async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.bucket.delete(key).await.map_err(|error| failed("delete", key, error))
    }

    /// The keys after one, in order, at most so many.
    pub(crate) async fn keys_after(
        &self,
        after: &str,
        most: u32,
    ) -> Result<Vec<String>, StoreError> {
        let mut list = self.bucket.list().limit(most);
        if !after.is_empty() {
            list = list.start_after(after);
        }
        let page = list.execute().await.map_err(|error| failed("list", after, error))?;
        Ok(page.objects().iter().map(Object::key).collect())
    }

    /// A page of a dataset's objects, each as `{kind}/{name}` with its length, and how to go on.
    pub(crate) async fn list_objects(
        &self,
        dataset: &Name,
        cursor: Option<String>,
    ) -> Result<(Vec<(String, u64)>, Option<String>), StoreError> {
        let prefix = format!("{dataset}/");
        let mut list = self.bucket.list().prefix(prefix.as_str());
        if let Some(cursor) = cursor {
            list = list.cursor(cursor);
        }
        let page = list.execute().await.map_err(|error| failed("list", &prefix, error))?;
        let object = |object: &Object| {
            let key = object.key();
            let name = key.strip_prefix(&prefix).filter(|name| parse_key(name).is_some())?;
            Some((name.to_owned(), object.size()))
        };
        let objects = page.objects().iter().filter_map(object).collect();
        Ok((objects, page.cursor().filter(|_| page.truncated())))
    }

    /// The datasets that the store holds anything of.
    pub(crate) async fn datasets(&self) -> Result<Vec<Name>, StoreError> {
        let mut datasets = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut list = self.bucket.list().delimiter("/");
            if let Some(cursor) = cursor.take() {
                list = list.cursor(cursor);
            }
            let page = list.execute().await.map_err(|error| failed("list", "", error))?;
            let names = page.delimited_prefixes();
            datasets
                .extend(names.iter().filter_map(|name| Name::new(name.strip_suffix('/')?).ok()));
            cursor = page.cursor().filter(|_| page.truncated());
            if cursor.is_none() {
                return Ok(datasets);
            }
        }
    }

    /// The keys of the dataset's pointers, and where each stands as far as its metadata tell: an
    /// object that came into the bucket by other means than a move has none.
    pub(crate) async fn pointers(
        &self,
        dataset: &Name,
    ) -> Result<Vec<(String, Option<PointerMark>)>, StoreError> {
        let prefix = bootstrap_prefix(dataset);
        let mut pointers = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut list = self.bucket.list().prefix(prefix.as_str());
            list = list.include(vec![Include::CustomMetadata]);
            if let Some(cursor) = cursor.take() {
                list = list.cursor(cursor);
            }
            let page = list.execute().await.map_err(|error| failed("list", &prefix, error))?;
            for object in page.objects() {
                let metadata = object.custom_metadata();
                let metadata = metadata.map_err(|error| failed("list", &prefix, error))?;
                let mark = metadata.get(MARK).and_then(|mark| PointerMark::parse(mark));
                pointers.push((object.key(), mark));
            }
            cursor = page.cursor().filter(|_| page.truncated());
            if cursor.is_none() {
                return Ok(pointers);
            }
        }
    }
}

/// The body of a found object, to be passed through.
pub(crate) fn body(object: &Object) -> Result<ResponseBody, StoreError> {
    let body = object.body().map(ObjectBody::response_body).transpose();
    match body {
        Ok(body) => Ok(body.unwrap_or(ResponseBody::Empty)),
        Err(error) => Err(failed("stream", &object.key(), error)),
    }
}

fn found(object: Object, extent: Extent) -> Found {
    Found { meta: meta(&object), content: Some((object, extent)) }
}

fn meta(object: &Object) -> ObjectMeta {
    ObjectMeta { size: object.size(), etag: object.etag() }
}

fn r2_range(range: RangeSpec) -> Range {
    match range {
        RangeSpec::Between { first, last } => Range::OffsetWithLength {
            offset: first,
            length: last.saturating_sub(first).saturating_add(1),
        },
        RangeSpec::From { first } => Range::OffsetToEnd { offset: first },
        RangeSpec::Last { length } => Range::Suffix { suffix: length },
    }
}

fn r2_span(span: Span) -> Range {
    Range::OffsetWithLength { offset: span.offset, length: span.length }
}

fn failed(operation: &'static str, key: &str, detail: impl Display) -> StoreError {
    console_error!("{}", log::line("store", operation, key, &detail.to_string()));
    StoreError { operation }
}
