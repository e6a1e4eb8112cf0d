//! Health and readiness, as plain data.

use serde_json::json;

use crate::auth::PublishKeys;
use crate::reply::{POLICY, Reply};

/// `/healthz`: the Worker runs.
pub fn health(head: bool) -> Reply {
    json_reply(200, &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }), head)
}

/// `/readyz`: whether the store answered, and how the edge is set up to take uploads. A store
/// that does not answer makes the edge not ready; missing keys do not, since it can serve.
pub fn ready(store: Result<u64, String>, keys: &PublishKeys, head: bool) -> Reply {
    let publishing = match (keys.is_empty(), keys.malformed()) {
        (_, 1..) => "PUBLISH_KEYS has entries that are not {dataset or *}={hex}",
        (true, 0) => "closed: PUBLISH_KEYS is not set",
        (false, 0) => "open",
    };
    let (status, word, store) = match store {
        Ok(took_ms) => (200, "ready", json!({ "ok": true, "took_ms": took_ms })),
        Err(error) => (503, "not ready", json!({ "ok": false, "error": error })),
    };
    json_reply(status, &json!({ "status": word, "store": store, "publishing": publishing }), head)
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
        let reply = ready(Ok(3), &keys, false);
        assert_eq!(reply.status, 200);
        assert_eq!(
            text(&reply),
            r#"{"status":"ready","store":{"ok":true,"took_ms":3},"publishing":"open"}"#
        );
        assert_eq!(ready(Ok(3), &keys, true).body, Body::Empty);
    }

    #[test]
    fn a_store_that_fails_is_not_ready_and_says_why() {
        let reply = ready(Err("no bucket".into()), &PublishKeys::default(), false);
        assert_eq!(reply.status, 503);
        assert!(text(&reply).contains("no bucket"));
        assert!(text(&reply).contains("closed"));
    }

    #[test]
    fn a_key_list_that_cannot_be_read_is_said() {
        let reply = ready(Ok(0), &PublishKeys::parse("*=abc"), false);
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
