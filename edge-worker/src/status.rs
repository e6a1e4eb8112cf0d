//! Health and readiness, as plain data.

use serde_json::json;

use crate::auth::PublishKeys;
use crate::reply::{POLICY, Reply};

/// `/healthz`: the Worker runs.
pub fn health(head: bool) -> Reply {
    json_reply(200, &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }), head)
}

/// What a region says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionState {
    /// Its name.
    pub name: String,
    /// Whether its store answers.
    pub store: bool,
    /// How many of its shards do not.
    pub silent: u32,
    /// How many objects it holds: none after its store was wiped.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl RegionState {
    fn is_well(&self) -> bool {
        self.store && self.silent == 0
    }
}

/// `/readyz`: whether the store answered and the region does, and how the edge is set up to take
/// uploads. A store that does not answer makes the edge not ready, and so does a region, which
/// would leave its readers to the origin; missing keys do not, since it can serve, nor does a
/// region that holds nothing yet: it fills itself by being asked.
pub fn ready(
    store: Result<u64, String>,
    region: Option<&RegionState>,
    keys: &PublishKeys,
    head: bool,
) -> Reply {
    let publishing = match (keys.is_empty(), keys.malformed()) {
        (_, 1..) => "PUBLISH_KEYS has entries that are not {dataset or *}={hex}",
        (true, 0) => "closed: PUBLISH_KEYS is not set",
        (false, 0) => "open",
    };
    let well = store.is_ok() && region.is_none_or(RegionState::is_well);
    let (status, word) = if well { (200, "ready") } else { (503, "not ready") };
    let store = match store {
        Ok(took_ms) => json!({ "ok": true, "took_ms": took_ms }),
        Err(error) => json!({ "ok": false, "error": error }),
    };
    let mut said = json!({ "status": word, "store": store });
    if let Some(region) = region {
        said["region"] = json!({
            "name": region.name,
            "ok": region.is_well(),
            "store": region.store,
            "silent_shards": region.silent,
            "objects": region.objects,
            "bytes": region.bytes,
        });
    }
    said["publishing"] = json!(publishing);
    json_reply(status, &said, head)
}

/// A document that is not kept.
pub(crate) fn json_reply(status: u16, body: &serde_json::Value, head: bool) -> Reply {
    Reply::new(status)
        .with_header("content-type", "application/json")
        .with_header(POLICY.0, POLICY.1)
        .with_header("cache-control", "no-store")
        .with_bytes(body.to_string().into_bytes(), head)
}

/// Text in Prometheus's format.
pub fn text_reply(text: String, head: bool) -> Reply {
    Reply::new(200)
        .with_header("content-type", "text/plain; version=0.0.4; charset=utf-8")
        .with_header(POLICY.0, POLICY.1)
        .with_header("cache-control", "no-store")
        .with_bytes(text.into_bytes(), head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Body;

    fn text(reply: &Reply) -> &str {
        let Body::Bytes(body) = &reply.body else { panic!("no body") };
        std::str::from_utf8(body).expect("text")
    }

    #[test]
    fn a_store_that_answers_is_ready() {
        let keys = PublishKeys::parse(&format!("*={}", "ab".repeat(32)));
        let reply = ready(Ok(3), None, &keys, false);
        assert_eq!(reply.status, 200);
        assert_eq!(
            text(&reply),
            r#"{"status":"ready","store":{"ok":true,"took_ms":3},"publishing":"open"}"#
        );
        assert_eq!(ready(Ok(3), None, &keys, true).body, Body::Empty);
    }

    #[test]
    fn a_store_that_fails_is_not_ready_and_says_why() {
        let reply = ready(Err("no bucket".into()), None, &PublishKeys::default(), false);
        assert_eq!(reply.status, 503);
        assert!(text(&reply).contains("no bucket"));
        assert!(text(&reply).contains("closed"));
    }

    #[test]
    fn a_region_that_fails_is_not_ready_and_an_empty_one_is() {
        let keys = PublishKeys::default();
        let empty = RegionState { name: "weur".into(), store: true, ..RegionState::default() };
        let reply = ready(Ok(0), Some(&empty), &keys, false);
        assert_eq!(reply.status, 200);
        let part = r#""region":{"name":"weur","ok":true,"store":true,"silent_shards":0,"#;
        assert!(text(&reply).contains(part), "{}", text(&reply));
        for sick in [
            RegionState { store: false, ..empty.clone() },
            RegionState { silent: 1, objects: 9, ..empty.clone() },
        ] {
            let reply = ready(Ok(0), Some(&sick), &keys, false);
            assert_eq!(reply.status, 503);
            assert!(text(&reply).contains(r#""store":{"ok":true"#));
            assert!(text(&reply).contains(r#""ok":false"#));
        }
    }

    #[test]
    fn a_key_list_that_cannot_be_read_is_said() {
        let reply = ready(Ok(0), None, &PublishKeys::parse("*=abc"), false);
        assert_eq!(reply.status, 200);
        assert!(text(&reply).contains("entries that are not"));
    }

    #[test]
    fn metrics_are_text_that_a_page_can_do_nothing_with() {
        let reply = text_reply("packice_x 1\n".into(), false);
        assert_eq!(reply.header(POLICY.0), Some(POLICY.1));
        assert_eq!(text(&reply), "packice_x 1\n");
    }

    #[test]
    fn the_worker_says_its_version() {
        assert!(text(&health(false)).contains(env!("CARGO_PKG_VERSION")));
    }
}
