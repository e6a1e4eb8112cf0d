//! Uploads of what never changes: who may, how long, and whether the body is what its URL names.
//!
//! A body is hashed whole before a byte of it is visible. In scope: admission, the collector that
//! holds a body to its declared length, the rules for objects and tiles. Out of scope: moves of a
//! pointer (`pointer`).

use std::time::Duration;

use packice_core::hash;
use packice_core::trust::tiles::{TileKind, TileRef, parse_entries, parse_hashes};
use packice_core::types::WireName;

use crate::headers::RequestHeaders;
use crate::limits::{MAX_STORED_LEN, max_body_len};
use crate::problem::{Problem, ProblemCode};
use crate::reply::Reply;
use crate::resource::{Freshness, Resource, is_settled};

/// What any body may take, in milliseconds.
const BODY_MS: u64 = 30_000;
/// What the slowest line brings, in bytes for each millisecond.
const SLOWEST_BYTES_A_MS: u64 = 16;
/// How long a body may pause.
const STALL: Duration = Duration::from_secs(10);
/// How long the rest of a refused body is read.
pub const DRAIN: Duration = Duration::from_secs(10);

/// Checks what the headers of an upload say of its body, once it is known who sends it; gives the
/// body's length.
pub fn admit(resource: &Resource, headers: &RequestHeaders) -> Result<usize, Problem> {
    let coding = headers.content_encoding.as_deref().map(str::trim);
    if coding.is_some_and(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity")) {
        let detail = "objects are named by the bytes that travel: send them without a \
                      `content-encoding`";
        return Err(Problem::new(ProblemCode::UnsupportedEncoding, detail));
    }
    let declared = headers.content_length.as_deref().ok_or_else(|| {
        let detail = "send `content-length`: an upload is refused by its length before it is read";
        Problem::new(ProblemCode::LengthRequired, detail)
    })?;
    let max = max_body_len(resource);
    match declared.trim().parse::<u64>() {
        Ok(length) if length <= max => {
            usize::try_from(length).map_err(|_| too_large(length.to_string(), max))
        }
        Ok(length) => Err(too_large(length.to_string(), max)),
        Err(_) => {
            let detail = "`content-length` is not a number of bytes";
            Err(Problem::new(ProblemCode::BadRequest, detail))
        }
    }
}

/// How long the next bytes of a body may take to come, after it took so long already. The whole
/// may take half a minute, and a second more for each 16 KiB: a slow line is enough, one that
/// holds a connection open for its own sake is not.
pub fn patience(len: usize, took_ms: u64) -> Result<Duration, Problem> {
    let allowed_ms = BODY_MS + (len as u64 / SLOWEST_BYTES_A_MS);
    match allowed_ms.checked_sub(took_ms) {
        Some(left_ms) if left_ms > 0 => Ok(STALL.min(Duration::from_millis(left_ms))),
        Some(_) | None => Err(too_slow()),
    }
}

/// The refusal of a body that comes too slowly.
pub fn too_slow() -> Problem {
    let detail = "the body comes too slowly: 16 KiB a second, without a pause of 10 s, is needed";
    Problem::new(ProblemCode::RequestTimeout, detail)
}

/// Whether to read a body to its end although the request is refused. A client of HTTP/1.1 that
/// is still sending when the connection closes sees a broken pipe instead of the answer.
pub fn is_worth_draining(headers: &RequestHeaders) -> bool {
    let declared = headers.content_length.as_deref().and_then(|length| length.trim().parse().ok());
    declared.is_some_and(|length: u64| (1..=MAX_STORED_LEN).contains(&length))
}

fn too_large(length: String, max: u64) -> Problem {
    let detail = format!("the body has {length} bytes; {max} are taken here");
    Problem::new(ProblemCode::PayloadTooLarge, detail)
}

/// Holds a body to its declared length while it arrives.
#[derive(Debug)]
pub struct Collector {
    body: Vec<u8>,
    declared: usize,
}

impl Collector {
    /// For a body of an admitted length.
    pub fn new(declared: usize) -> Self {
        Self { body: Vec::with_capacity(declared), declared }
    }

    /// Takes the next bytes in.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        if chunk.len() > self.declared.saturating_sub(self.body.len()) {
            let detail = format!("the body goes on past its `content-length` of {}", self.declared);
            return Err(Problem::new(ProblemCode::PayloadTooLarge, detail));
        }
        self.body.extend_from_slice(chunk);
        Ok(())
    }

    /// The body, when all of it is there.
    pub fn finish(self) -> Result<Vec<u8>, Problem> {
        if self.body.len() == self.declared {
            return Ok(self.body);
        }
        let detail = format!("the body ends after {} of {} bytes", self.body.len(), self.declared);
        Err(Problem::new(ProblemCode::BadRequest, detail))
    }
}

/// Checks that a body is what its URL names.
pub fn check_name(name: &WireName, body: &[u8]) -> Result<(), Problem> {
    let found = hash::wire_name(body);
    if found == *name {
        return Ok(());
    }
    let detail = format!("BLAKE3 of the {} bytes is {found}, not the name in the URL", body.len());
    Err(Problem::new(ProblemCode::NameMismatch, detail))
}

/// The answer to a write that is done.
pub fn written(resource: &Resource, created: bool, etag: &str) -> Reply {
    let reply = Reply::new(if created { 201 } else { 204 })
        .with_header("etag", format!("\"{etag}\""))
        .with_header("cache-control", Freshness::Unsettled.cache_control());
    if created {
        return reply.with_header("location", resource.path());
    }
    reply
}

/// What to do about an upload of a tile that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileWrite {
    /// The same bytes are there.
    AlreadyThere,
    /// A tile of a release that was never signed is there: replace it.
    Replace,
}

/// Checks that a body has the shape of a tile. What it says is checked by whoever relies on it:
/// the edge when a pointer moves, clients against the signed root.
pub fn check_tile(tile: &TileRef, body: &[u8]) -> Result<(), Problem> {
    let parsed = match tile.kind() {
        TileKind::Hashes { .. } => parse_hashes(tile, body).map(drop),
        TileKind::Entries => parse_entries(tile, body).map(drop),
    };
    parsed.map_err(|error| {
        let detail = format!("the body is not {} of {}: {error}", tile.path(), tile.width());
        Problem::new(ProblemCode::CheckFailed, detail).with_reason(error.code())
    })
}

/// What to do about an upload of a tile that exists, by the size of the log that the pointers
/// stand at.
pub fn tile_write(
    tile: &TileRef,
    log_size: u64,
    existing: &[u8],
    body: &[u8],
) -> Result<TileWrite, Problem> {
    if existing == body {
        return Ok(TileWrite::AlreadyThere);
    }
    check_open(tile, log_size).map(|()| TileWrite::Replace)
}

/// Checks that no signed checkpoint covers a tile, whose bytes are there for good then.
pub fn check_open(tile: &TileRef, log_size: u64) -> Result<(), Problem> {
    if !is_settled(tile, log_size) {
        return Ok(());
    }
    let detail = format!(
        "{} covers the log up to {}, and a signed checkpoint stands at {log_size}: other bytes \
         are there for good",
        tile.path(),
        tile.covers()
    );
    Err(Problem::new(ProblemCode::Conflict, detail))
}

/// The refusal of a write that another one came before.
pub fn overtaken(resource: &Resource) -> Problem {
    let path = resource.path();
    let detail = format!("{path} changed while this upload was checked: read it and try again");
    Problem::new(ProblemCode::Conflict, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use packice_core::types::{Name, ObjectKind};

    fn bundle(body: &[u8]) -> Resource {
        Resource::Object {
            dataset: Name::new("alpha").expect("a name"),
            kind: ObjectKind::Bundle,
            name: hash::wire_name(body),
        }
    }

    fn headers(length: Option<&str>) -> RequestHeaders {
        RequestHeaders {
            content_length: length.map(ToOwned::to_owned),
            ..RequestHeaders::default()
        }
    }

    fn status(headers: &RequestHeaders) -> u16 {
        match admit(&bundle(b"x"), headers) {
            Ok(_) => 201,
            Err(problem) => problem.code.status(),
        }
    }

    #[test]
    fn an_upload_says_its_length_before_it_is_read() {
        for (length, expected) in [
            (None, 411),
            (Some("0"), 201),
            (Some("8388608"), 201),
            (Some("8388609"), 413),
            (Some("18446744073709551615"), 413),
            (Some("18446744073709551616"), 400),
            (Some("-1"), 400),
            (Some("1,1"), 400),
            (Some("abc"), 400),
        ] {
            assert_eq!(status(&headers(length)), expected, "{length:?}");
        }
    }

    #[test]
    fn a_body_may_pause_for_a_while_and_take_longer_when_it_is_longer() {
        assert_eq!(patience(10, 0), Ok(STALL));
        assert_eq!(patience(10, BODY_MS - 3_000), Ok(Duration::from_secs(3)));
        assert_eq!(patience(10, BODY_MS).map_err(|p| p.code), Err(ProblemCode::RequestTimeout));
        assert_eq!(patience(8 << 20, BODY_MS), Ok(STALL));
        assert!(patience(8 << 20, BODY_MS + (8 << 20) / 16).is_err());
    }

    #[test]
    fn a_refused_body_of_a_plausible_length_is_read_to_its_end() {
        for (length, drained) in [
            (None, false),
            (Some("0"), false),
            (Some("1"), true),
            (Some("8388608"), true),
            (Some("8388609"), false),
            (Some("abc"), false),
        ] {
            assert_eq!(is_worth_draining(&headers(length)), drained, "{length:?}");
        }
    }

    #[test]
    fn an_encoded_upload_is_refused() {
        for (coding, expected) in [("zstd", 415), ("gzip", 415), ("identity", 201), ("", 201)] {
            let mut request = headers(Some("1"));
            request.content_encoding = Some(coding.into());
            assert_eq!(status(&request), expected, "{coding}");
        }
    }

    #[test]
    fn every_resource_has_its_own_longest_body() {
        let dataset = Name::new("alpha").expect("a name");
        let pointer = Resource::Bootstrap { dataset: dataset.clone(), channel: dataset.clone() };
        let root = Resource::TrustRoot { dataset, version: 1 };
        for (resource, max) in [(pointer, 128 * 1024), (root, 16 * 1024)] {
            let fits = headers(Some(&format!("{max}")));
            assert_eq!(admit(&resource, &fits), Ok(max));
            let long = headers(Some(&format!("{}", max + 1)));
            let problem = admit(&resource, &long).expect_err("too long");
            assert_eq!(problem.code, ProblemCode::PayloadTooLarge);
        }
    }

    #[test]
    fn a_body_is_held_to_its_declared_length() {
        let mut exact = Collector::new(5);
        assert!(exact.push(b"ab").is_ok());
        assert!(exact.push(b"cde").is_ok());
        assert_eq!(exact.finish(), Ok(b"abcde".to_vec()));

        let mut short = Collector::new(5);
        assert!(short.push(b"abcd").is_ok());
        assert_eq!(short.finish().expect_err("short").code, ProblemCode::BadRequest);

        let mut long = Collector::new(5);
        assert!(long.push(b"abcd").is_ok());
        assert_eq!(long.push(b"ef").expect_err("long").code, ProblemCode::PayloadTooLarge);
        assert_eq!(Collector::new(0).finish(), Ok(Vec::new()));
    }

    #[test]
    fn a_body_must_be_what_its_url_names() {
        let name = hash::wire_name(b"bundle");
        assert!(check_name(&name, b"bundle").is_ok());
        for body in [&b"bundlf"[..], b"bundl", b"bundle\0", b""] {
            let problem = check_name(&name, body).expect_err("another body");
            assert_eq!(problem.code, ProblemCode::NameMismatch);
        }
    }

    #[test]
    fn a_write_answers_with_the_tag_and_is_not_cached() {
        let resource = bundle(b"x");
        let created = written(&resource, true, "tag");
        assert_eq!((created.status, created.header("etag")), (201, Some("\"tag\"")));
        assert_eq!(created.header("location"), Some(resource.path().as_str()));
        assert_eq!(written(&resource, false, "tag").status, 204);
        assert_eq!(created.header("cache-control"), Some("no-store"));
    }

    #[test]
    fn a_tile_is_replaceable_until_a_checkpoint_covers_it() {
        let tile = TileRef::parse("tile/0/000.p/2").expect("a tile");
        let (old, new) = ([1u8; 64], [2u8; 64]);
        assert_eq!(tile_write(&tile, 1, &old, &new), Ok(TileWrite::Replace));
        assert_eq!(tile_write(&tile, 1, &new, &new), Ok(TileWrite::AlreadyThere));
        assert_eq!(tile_write(&tile, 2, &new, &new), Ok(TileWrite::AlreadyThere));
        let refused = tile_write(&tile, 2, &old, &new).expect_err("settled");
        assert_eq!(refused.code, ProblemCode::Conflict);
    }

    #[test]
    fn a_tile_has_its_shape() {
        let hashes = TileRef::parse("tile/0/000.p/2").expect("a tile");
        let entries = TileRef::parse("tile/entries/000.p/2").expect("a tile");
        assert_eq!(check_tile(&hashes, &[7; 64]), Ok(()));
        assert_eq!(check_tile(&entries, b"\0\x03abc\0\0"), Ok(()));
        for (tile, body) in [
            (&hashes, &[7u8; 63][..]),
            (&hashes, &[7; 96]),
            (&hashes, b""),
            (&entries, b""),
            (&entries, b"\0\x03abc"),
            (&entries, b"\0\x03abc\0\x02x"),
            (&entries, b"\0\x03abc\0\0x"),
        ] {
            let problem = check_tile(tile, body).expect_err("another shape");
            assert_eq!(problem.code, ProblemCode::CheckFailed);
            assert!(problem.reason.is_some());
        }
    }
}
