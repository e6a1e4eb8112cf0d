//! Log lines: one JSON object each, for failures alone. A request that went well, or that its
//! client got wrong, writes none: lines cost more than the requests that they describe.

use serde_json::json;

/// The line about a failure of the store or of a cache.
pub fn line(event: &str, operation: &str, key: &str, detail: &str) -> String {
    json!({
        "level": "error",
        "event": event,
        "operation": operation,
        "key": key,
        "detail": detail,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object() {
        let line = line("store", "get", "alpha/bundle/x", "a \"bad\"\nday");
        assert!(!line.contains('\n'));
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read["detail"], "a \"bad\"\nday");
    }
}
