//! Reads: what to fetch for a request, and the answer once the object's size and tag are known.
//!
//! [`plan`] comes before the store or the cache is asked, [`respond`] after. Both are pure, so
//! every status of a read is tested natively. What a cache gave back is put through the same
//! [`respond`]; an answer that it does not fit is a miss.

use crate::conditional::{allows_range, is_expected_state, is_not_modified};
use crate::headers::RequestHeaders;
use crate::limits::MAX_STORED_LEN;
use crate::problem::{Problem, ProblemCode};
use crate::range::{RangeSpec, Span};
use crate::reply::{Body, Extent, Reply};
use crate::resource::{Freshness, POINTER_MAX_AGE_S, Resource};

/// What is known of a stored object without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The length of the whole object, in bytes.
    pub size: u64,
    /// The entity tag, without quotes.
    pub etag: String,
}

/// What to ask of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// Size and tag.
    Meta,
    /// The whole object.
    Whole,
    /// The bytes of a range.
    Part(RangeSpec),
}

/// How to go about a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPlan {
    /// What to ask of the store.
    pub fetch: Fetch,
    /// Whether a cache may answer instead. Not for `HEAD`, by which publishers ask whether an
    /// object exists *now*, and not for a pointer that is wanted fresh.
    pub use_cache: bool,
}

impl ReadPlan {
    /// What to look up in a cache, where one may answer: the whole object or a range of it.
    pub fn cached_part(&self) -> Option<Option<RangeSpec>> {
        match self.fetch {
            Fetch::Whole if self.use_cache => Some(None),
            Fetch::Part(range) if self.use_cache => Some(Some(range)),
            Fetch::Whole | Fetch::Part(_) | Fetch::Meta => None,
        }
    }
}

/// How to go about a read.
pub fn plan(resource: &Resource, head: bool, headers: &RequestHeaders) -> ReadPlan {
    let named = resource.named_etag();
    // A client that has the object already needs only to hear that it exists.
    let settled = named.as_deref().is_some_and(|etag| is_not_modified(headers, etag));
    if head || settled {
        return ReadPlan { fetch: Fetch::Meta, use_cache: false };
    }
    let range = named.and_then(|etag| wanted_range(resource, head, headers, &etag));
    let fetch = match range {
        None => Fetch::Whole,
        // No object is so long: all there is to answer is how long it is.
        Some(range) if range.resolve(MAX_STORED_LEN).is_none() => Fetch::Meta,
        Some(range) => Fetch::Part(range),
    };
    let moves = resource.kept_freshness() == Freshness::Pointer;
    ReadPlan { fetch, use_cache: fetch != Fetch::Meta && !(moves && headers.wants_fresh()) }
}

/// The answer to a read of an object that exists. The tag of an object that is named by its
/// content is its name, whatever the store calls it.
pub fn respond(
    resource: &Resource,
    freshness: Freshness,
    meta: &ObjectMeta,
    head: bool,
    headers: &RequestHeaders,
) -> Reply {
    let etag = resource.named_etag().unwrap_or_else(|| meta.etag.clone());
    let meta = &ObjectMeta { size: meta.size, etag };
    if !is_expected_state(headers, &meta.etag) {
        let detail = format!("`if-match` does not name the current state \"{}\"", meta.etag);
        let problem = Problem::new(ProblemCode::PreconditionFailed, detail);
        return Reply::problem(problem, head);
    }
    if is_not_modified(headers, &meta.etag) {
        return described(304, resource, freshness, meta);
    }
    let Some(range) = wanted_range(resource, head, headers, &meta.etag) else {
        let reply = described(200, resource, freshness, meta);
        return carrying(reply, Extent::Whole, meta.size, head);
    };
    let Some(span) = range.resolve(meta.size) else {
        let detail = format!("`{range}` has no byte of the object, which has {}", meta.size);
        let problem = Problem::new(ProblemCode::RangeNotSatisfiable, detail)
            .with_header("content-range", format!("bytes */{}", meta.size));
        return Reply::problem(problem, head);
    };
    let reply = described(206, resource, freshness, meta)
        .with_header("content-range", span.content_range(meta.size));
    carrying(reply, Extent::Part(span), span.length, head)
}

/// The answer to a read of something that does not exist.
pub fn absent(resource: &Resource, head: bool) -> Reply {
    let detail = match resource {
        Resource::Object { kind, dataset, .. } => {
            format!("dataset `{dataset}` has no {} of this name here", kind.as_str())
        }
        Resource::Checkpoint { dataset } => {
            format!("dataset `{dataset}` has published nothing on its channel `stable` here")
        }
        Resource::Bootstrap { dataset, channel } | Resource::Head { dataset, channel } => {
            format!("dataset `{dataset}` has published nothing on channel `{channel}` here")
        }
        Resource::Tile { dataset, tile } => {
            format!("the log of `{dataset}` has no {}", tile.path())
        }
        Resource::TrustRoot { dataset, version } => {
            format!("dataset `{dataset}` has no trust root {version} here")
        }
    };
    Reply::problem(Problem::new(ProblemCode::NotFound, detail), head)
}

/// Whether a cache may keep this answer: whole objects whose bytes stay true for a while. Parts
/// are cut by the cache itself out of the whole.
pub fn may_keep(reply: &Reply, freshness: Freshness) -> bool {
    match freshness {
        Freshness::Immutable | Freshness::Pointer => {
            reply.status == 200 && reply.body == Body::Object(Extent::Whole)
        }
        Freshness::Unsettled => false,
    }
}

/// The header of a kept answer that tells when the read of the store behind it began, in
/// milliseconds: a cache's own clock starts later, when it is handed the answer.
pub const READ_AT: &str = "x-packice-read-at";

/// What a cached answer says of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Size and tag.
    pub meta: ObjectMeta,
    /// Which bytes of the object the answer carries.
    pub extent: Extent,
    /// How long ago it was read from the store, in whole seconds, for what ages.
    pub age_s: Option<u64>,
}

/// What a cached answer says of the object; `None` where it is not an answer that [`respond`]
/// could have given, or one that is too old.
pub fn from_cache(
    freshness: Freshness,
    now_ms: u64,
    status: u16,
    header: impl Fn(&str) -> Option<String>,
) -> Option<Cached> {
    let etag = header("etag")?.strip_prefix('"')?.strip_suffix('"')?.to_owned();
    let age_s = match freshness {
        Freshness::Immutable => None,
        Freshness::Pointer => {
            // A read in the future is one of a clock that was put back: its age is not known.
            let age_ms = now_ms.checked_sub(header(READ_AT)?.parse().ok()?)?;
            Some(age_ms.div_ceil(1000)).filter(|age_s| *age_s <= POINTER_MAX_AGE_S)
        }
        Freshness::Unsettled => return None,
    };
    if freshness == Freshness::Pointer && age_s.is_none() {
        return None;
    }
    let (extent, size) = match status {
        200 => (Extent::Whole, header("content-length")?.parse().ok()?),
        206 => {
            let (span, size) = parse_content_range(&header("content-range")?)?;
            (Extent::Part(span), size)
        }
        _ => return None,
    };
    Some(Cached { meta: ObjectMeta { size, etag }, extent, age_s })
}

/// Whether an answer carries just the bytes that are at hand.
pub fn fits(reply: &Reply, at_hand: Option<Extent>) -> bool {
    match &reply.body {
        Body::Empty | Body::Bytes(_) => true,
        Body::Object(wanted) => at_hand.as_ref() == Some(wanted),
    }
}

/// What an answer of the cache's says of itself (RFC 9211).
pub const CACHE_STATUS: &str = "packice-edge; hit";

/// Marks an answer as the cache's (RFC 9211), and as old as it is.
pub fn mark_cached(reply: Reply, age_s: Option<u64>) -> Reply {
    let reply = reply.with_header("cache-status", CACHE_STATUS);
    match age_s {
        Some(age_s) => reply.with_header("age", age_s.to_string()),
        None => reply,
    }
}

fn parse_content_range(value: &str) -> Option<(Span, u64)> {
    let (span, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let length = last.checked_sub(first)?.checked_add(1)?;
    Some((Span { offset: first, length }, size.parse().ok()?))
}

/// The range that a request asks for and may have. `range` means something for `GET` alone.
fn wanted_range(
    resource: &Resource,
    head: bool,
    headers: &RequestHeaders,
    etag: &str,
) -> Option<RangeSpec> {
    let ranged = resource.has_ranges() && !head && allows_range(headers, etag);
    let range = headers.range.as_deref().filter(|_| ranged).and_then(RangeSpec::parse);
    range.map(|range| range.within(MAX_STORED_LEN))
}

/// The headers that say what the object is, which a 304 carries as well.
fn described(status: u16, resource: &Resource, freshness: Freshness, meta: &ObjectMeta) -> Reply {
    Reply::new(status)
        .with_header("content-type", resource.content_type())
        .with_header("cache-control", freshness.cache_control())
        .with_header("etag", format!("\"{}\"", meta.etag))
        .with_header("accept-ranges", if resource.has_ranges() { "bytes" } else { "none" })
}

fn carrying(reply: Reply, extent: Extent, length: u64, head: bool) -> Reply {
    let mut reply = reply.with_header("content-length", length.to_string());
    if !head {
        reply.body = Body::Object(extent);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use packice_core::trust::tiles::TileRef;
    use packice_core::types::{Name, ObjectKind, WireName};

    const SIZE: u64 = 1000;

    fn dataset() -> Name {
        Name::new("alpha").expect("a name")
    }

    fn bundle() -> Resource {
        Resource::Object {
            dataset: dataset(),
            kind: ObjectKind::Bundle,
            name: WireName([0xab; 32]),
        }
    }

    fn pointer() -> Resource {
        Resource::Bootstrap { dataset: dataset(), channel: dataset() }
    }

    fn meta() -> ObjectMeta {
        ObjectMeta { size: SIZE, etag: "r2".into() }
    }

    fn with(pairs: &[(&str, &str)]) -> RequestHeaders {
        RequestHeaders::collect(|name| {
            let (_, value) = pairs.iter().find(|(own, _)| *own == name)?;
            Some((*value).to_owned())
        })
    }

    fn read(resource: &Resource, head: bool, headers: &RequestHeaders) -> Reply {
        respond(resource, resource.freshness(0), &meta(), head, headers)
    }

    fn tag(resource: &Resource) -> String {
        format!("\"{}\"", resource.named_etag().unwrap_or_else(|| "r2".into()))
    }

    #[test]
    fn a_whole_object_is_immutable_and_tagged_with_its_name() {
        let reply = read(&bundle(), false, &with(&[]));
        assert_eq!(reply.status, 200);
        assert_eq!(reply.body, Body::Object(Extent::Whole));
        assert_eq!(reply.header("content-length"), Some("1000"));
        assert_eq!(reply.header("etag"), Some(tag(&bundle()).as_str()));
        assert_eq!(reply.header("accept-ranges"), Some("bytes"));
        assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
        let kept = Some("public, max-age=31536000, immutable");
        assert_eq!(reply.header("cache-control"), kept);
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }

    #[test]
    fn a_pointer_stays_fresh_for_seconds() {
        let reply = read(&pointer(), false, &with(&[]));
        let fresh = Some("public, max-age=5, stale-while-revalidate=30");
        assert_eq!(reply.header("cache-control"), fresh);
        assert_eq!(reply.header("accept-ranges"), Some("none"));
        let checkpoint = Resource::Checkpoint { dataset: dataset() };
        let reply = read(&checkpoint, false, &with(&[]));
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    }

    #[test]
    fn head_has_the_headers_of_get_and_no_body() {
        for resource in [bundle(), pointer()] {
            let get = read(&resource, false, &with(&[]));
            let head = read(&resource, true, &with(&[]));
            assert_eq!((head.status, &head.headers), (get.status, &get.headers));
            assert_eq!(head.body, Body::Empty);
        }
        // A range means something for GET alone.
        let head = read(&bundle(), true, &with(&[("range", "bytes=0-1")]));
        assert_eq!((head.status, head.header("content-length")), (200, Some("1000")));
    }

    #[test]
    fn a_range_is_answered_with_exactly_its_bytes() {
        for (range, content_range, offset, length) in [
            ("bytes=0-0", "bytes 0-0/1000", 0, 1),
            ("bytes=10-19", "bytes 10-19/1000", 10, 10),
            ("bytes=990-2000", "bytes 990-999/1000", 990, 10),
            ("bytes=500-", "bytes 500-999/1000", 500, 500),
            ("bytes=-1", "bytes 999-999/1000", 999, 1),
            ("bytes=-99999", "bytes 0-999/1000", 0, 1000),
            ("bytes=0-99999999999999999999", "bytes 0-999/1000", 0, 1000),
        ] {
            let reply = read(&bundle(), false, &with(&[("range", range)]));
            assert_eq!(reply.status, 206, "{range}");
            assert_eq!(reply.header("content-range"), Some(content_range));
            assert_eq!(reply.header("content-length"), Some(length.to_string().as_str()));
            assert_eq!(reply.body, Body::Object(Extent::Part(Span { offset, length })));
        }
    }

    #[test]
    fn a_range_past_the_end_is_not_satisfiable() {
        for range in ["bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=99999999999999999999-"] {
            let headers = with(&[("range", range)]);
            let reply = read(&bundle(), false, &headers);
            assert_eq!(reply.status, 416, "{range}");
            assert_eq!(reply.header("content-range"), Some("bytes */1000"));
            assert!(matches!(reply.body, Body::Bytes(_)));
        }
    }

    #[test]
    fn several_ranges_and_unreadable_ones_get_the_whole_object() {
        for range in ["bytes=0-1,3-4", "bytes=5-2", "rows=0-1", "bytes=x", "nonsense"] {
            let reply = read(&bundle(), false, &with(&[("range", range)]));
            assert_eq!(reply.status, 200, "{range}");
        }
    }

    #[test]
    fn what_has_no_layout_is_served_whole() {
        let reply = read(&pointer(), false, &with(&[("range", "bytes=0-1")]));
        assert_eq!((reply.status, reply.body), (200, Body::Object(Extent::Whole)));
    }

    #[test]
    fn a_range_goes_with_the_current_tag_only() {
        let own = tag(&bundle());
        for (if_range, status) in [(own.as_str(), 206), ("\"x\"", 200), ("W/\"x\"", 200)] {
            let headers = with(&[("range", "bytes=0-1"), ("if-range", if_range)]);
            assert_eq!(read(&bundle(), false, &headers).status, status, "{if_range}");
        }
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        for resource in [bundle(), pointer()] {
            let own = format!("\"x\", W/{}", tag(&resource));
            let headers = with(&[("if-none-match", &own), ("range", "bytes=0-1")]);
            for head in [false, true] {
                let reply = read(&resource, head, &headers);
                assert_eq!((reply.status, &reply.body), (304, &Body::Empty));
                assert_eq!(reply.header("etag"), Some(tag(&resource).as_str()));
                assert!(reply.header("cache-control").is_some());
                assert_eq!(reply.header("content-length"), None);
            }
            let other = with(&[("if-none-match", "\"x\"")]);
            assert_eq!(read(&resource, false, &other).status, 200);
        }
    }

    #[test]
    fn a_read_of_another_state_than_expected_fails() {
        let reply = read(&pointer(), false, &with(&[("if-match", "\"x\"")]));
        assert_eq!(reply.status, 412);
        let own = tag(&pointer());
        assert_eq!(read(&pointer(), false, &with(&[("if-match", &own)])).status, 200);
    }

    #[test]
    fn the_plan_fetches_no_byte_that_is_not_sent() {
        let own = tag(&bundle());
        let part = RangeSpec::Between { first: 5, last: 9 };
        for (head, pairs, fetch, use_cache) in [
            (false, &[][..], Fetch::Whole, true),
            (true, &[], Fetch::Meta, false),
            (false, &[("range", "bytes=5-9")], Fetch::Part(part), true),
            (false, &[("range", "bytes=5-9,11-12")], Fetch::Whole, true),
            (false, &[("range", "bytes=99999999999-")], Fetch::Meta, false),
            (false, &[("range", "bytes=-0")], Fetch::Meta, false),
            (false, &[("if-none-match", own.as_str())], Fetch::Meta, false),
            (false, &[("cache-control", "no-cache")], Fetch::Whole, true),
        ] {
            let planned = plan(&bundle(), head, &with(pairs));
            assert_eq!(planned, ReadPlan { fetch, use_cache }, "{head} {pairs:?}");
            assert_eq!(planned.cached_part().is_some(), use_cache);
        }
    }

    #[test]
    fn a_pointer_can_be_read_past_the_cache() {
        assert!(plan(&pointer(), false, &with(&[])).use_cache);
        assert!(!plan(&pointer(), false, &with(&[("cache-control", "no-cache")])).use_cache);
        assert!(!plan(&pointer(), true, &with(&[])).use_cache);
    }

    #[test]
    fn caches_keep_whole_answers_of_settled_things_only() {
        let whole = read(&bundle(), false, &with(&[]));
        assert!(may_keep(&whole, Freshness::Immutable));
        assert!(may_keep(&whole, Freshness::Pointer));
        assert!(!may_keep(&whole, Freshness::Unsettled));
        let part = read(&bundle(), false, &with(&[("range", "bytes=0-1")]));
        let head = read(&bundle(), true, &with(&[]));
        for reply in [part, head, absent(&bundle(), false)] {
            assert!(!may_keep(&reply, Freshness::Immutable));
        }
    }

    #[test]
    fn a_cached_answer_goes_through_the_same_checks() {
        for range in [None, Some("bytes=10-19"), Some("bytes=-1")] {
            let pairs: Vec<_> = range.map(|range| ("range", range)).into_iter().collect();
            let reply = read(&bundle(), false, &with(&pairs));
            let header = |name: &str| reply.header(name).map(ToOwned::to_owned);
            let cached = from_cache(Freshness::Immutable, 0, reply.status, header);
            let cached = cached.expect("one of our own answers");
            assert_eq!((cached.meta.size, cached.age_s), (SIZE, None));
            assert_eq!(format!("\"{}\"", cached.meta.etag), tag(&bundle()));
            assert_eq!(reply.body, Body::Object(cached.extent));
        }
        let missing = absent(&bundle(), false);
        let header = |name: &str| missing.header(name).map(ToOwned::to_owned);
        assert_eq!(from_cache(Freshness::Immutable, 0, 404, header), None);
        assert_eq!(from_cache(Freshness::Immutable, 0, 200, |_| None), None);
        let foreign = |name: &str| match name {
            "etag" => Some("\"x\"".into()),
            "content-range" => Some("bytes 5-2/9".into()),
            _ => None,
        };
        assert_eq!(from_cache(Freshness::Immutable, 0, 206, foreign), None);
    }

    #[test]
    fn a_cached_pointer_ages_from_its_read_of_the_store() {
        let reply = read(&pointer(), false, &with(&[]));
        let age_s = |now_ms| {
            let header = |name: &str| match name {
                READ_AT => Some("10000".to_owned()),
                _ => reply.header(name).map(ToOwned::to_owned),
            };
            from_cache(Freshness::Pointer, now_ms, 200, header).map(|cached| cached.age_s)
        };
        assert_eq!(age_s(10_000), Some(Some(0)));
        assert_eq!(age_s(10_001), Some(Some(1)));
        assert_eq!(age_s(15_000), Some(Some(5)));
        assert_eq!(age_s(15_001), None);
        // A clock that went back must not make an answer immortal.
        assert_eq!(age_s(9_999), None);
        let unstamped = |name: &str| reply.header(name).map(ToOwned::to_owned);
        assert_eq!(from_cache(Freshness::Pointer, 0, 200, unstamped), None);
        assert_eq!(from_cache(Freshness::Unsettled, 0, 200, unstamped), None);
    }

    #[test]
    fn an_answer_goes_out_with_its_own_bytes_only() {
        let (whole, part) = (Extent::Whole, Extent::Part(Span { offset: 0, length: 2 }));
        let reply = read(&bundle(), false, &with(&[("range", "bytes=0-1")]));
        assert!(fits(&reply, Some(part)));
        assert!(!fits(&reply, Some(whole)));
        assert!(!fits(&reply, None));
        assert!(fits(&read(&bundle(), true, &with(&[])), None));
        assert!(fits(&absent(&bundle(), false), None));
    }

    #[test]
    fn an_answer_of_the_cache_says_so_and_how_old_it_is() {
        let marked = mark_cached(read(&pointer(), false, &with(&[])), Some(3));
        assert_eq!(marked.header("cache-status"), Some("packice-edge; hit"));
        assert_eq!(marked.header("age"), Some("3"));
        assert_eq!(mark_cached(read(&bundle(), false, &with(&[])), None).header("age"), None);
    }

    #[test]
    fn what_is_absent_is_named() {
        let tile = TileRef::parse("tile/0/000.p/2").expect("a tile");
        for (resource, said) in [
            (bundle(), "no bundle"),
            (pointer(), "channel `alpha`"),
            (Resource::Head { dataset: dataset(), channel: dataset() }, "channel `alpha`"),
            (Resource::Checkpoint { dataset: dataset() }, "channel `stable`"),
            (Resource::Tile { dataset: dataset(), tile }, "0/000.p/2"),
            (Resource::TrustRoot { dataset: dataset(), version: 3 }, "trust root 3"),
        ] {
            let reply = absent(&resource, false);
            assert_eq!(reply.status, 404);
            let Body::Bytes(body) = reply.body else { panic!("no body") };
            let body = String::from_utf8(body).expect("text");
            assert!(body.contains(said), "{body}");
        }
    }
}
