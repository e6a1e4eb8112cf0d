//! Byte sizes and other small texts, read and shown.

use std::time::Duration;

use base64ct::{Base64, Encoding};
use packice_core::trust::freshness::Freshness;
use serde_json::{Value, json};

/// Reads `16 KiB`, `1 MiB`, `4096` or `64KB` as bytes; units are binary, `KB` means `KiB`.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let factor = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" | "KB" | "K" => 1 << 10,
        "MiB" | "MB" | "M" => 1 << 20,
        "GiB" | "GB" | "G" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Bytes of hexadecimal digits, after `0x` or not.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes.filter(|_| rest.is_empty())
}

/// Bytes as a JSON field: text under `name`, or hexadecimal under `name_hex`.
pub fn put_bytes(object: &mut Value, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object[name] = json!(text),
        Err(_) => object[format!("{name}_hex")] = json!(packice_core::types::hex(bytes)),
    }
}

/// Bytes as base64.
pub fn to_base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// The bytes of canonical base64.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(text).ok()
}

/// Reads `90s`, `15 min`, `36 h` or `7 d` as milliseconds.
pub fn parse_span_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit_ms = match text[digits..].trim() {
        "" if number == 0 => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit_ms)
}

/// Shows milliseconds in the largest unit that divides them; 0 is never.
pub fn show_span_ms(span_ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    match units.into_iter().find(|(unit_ms, _)| span_ms.is_multiple_of(*unit_ms)) {
        Some(_) if span_ms == 0 => "never".to_owned(),
        Some((unit_ms, name)) => format!("{} {name}", span_ms / unit_ms),
        None => format!("{span_ms} ms"),
    }
}

/// Shows a time of a cosignature: seconds since 1970, as UTC.
pub fn show_time(time_s: u64) -> String {
    // Howard Hinnant's days-to-civil, for years after 1970.
    let days = time_s / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute) = (time_s % 86_400 / 3600, time_s % 3600 / 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02} UTC", time_s % 60)
}

/// Shows bytes with a binary unit: `837 B`, `16.0 KiB`.
pub fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Shows a count with separators: `22,713`.
pub fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Shows a span: `840 ms`, `12.3 s`, `4 min 5 s`.
pub fn show_span(span: Duration) -> String {
    match span.as_secs() {
        0 => format!("{} ms", span.as_millis()),
        1..=119 => format!("{:.1} s", span.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// Shows how old something is: `fresh, cosigned 12.3 s ago`.
pub fn show_freshness(freshness: &Freshness) -> String {
    let level = freshness.level.as_str();
    match freshness.age_ms {
        Some(age) => format!("{level}, cosigned {} ago", show_age(Duration::from_millis(age))),
        None => format!("{level}: the trust root names no witnesses"),
    }
}

fn show_age(age: Duration) -> String {
    match age.as_secs() / 60 {
        0..=119 => show_span(age),
        minutes @ 120..=2879 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / 1440),
    }
}

/// Bytes as text where they are well-formed UTF-8 without control characters, else as `0x` and
/// hexadecimal digits.
pub fn show_bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("0x{}", packice_core::types::hex(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        assert_eq!(parse_size("16 KiB"), Some(16 << 10));
        assert_eq!(parse_size("4096"), Some(4096));
        assert_eq!(parse_size("1MiB"), Some(1 << 20));
        assert_eq!(parse_size("64 KB"), Some(64 << 10));
        assert_eq!(parse_size("KiB"), None);
        assert_eq!(parse_size("1 furlong"), None);
        assert_eq!(parse_size("99999999999 GiB"), None);
    }

    #[test]
    fn spans_and_times_are_read_and_shown() {
        for (text, span_ms) in
            [("90s", 90_000), ("15 min", 900_000), ("36 h", 129_600_000), ("7d", 604_800_000)]
        {
            assert_eq!(parse_span_ms(text), Some(span_ms));
            assert_eq!(parse_span_ms(&show_span_ms(span_ms)), Some(span_ms));
        }
        assert_eq!(
            (parse_span_ms("0"), parse_span_ms("7"), parse_span_ms("d")),
            (Some(0), None, None)
        );
        assert_eq!(show_span_ms(0), "never");
        assert_eq!(show_time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(show_time(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(show_time(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(show_time(1_795_515_330), "2026-11-24 10:15:30 UTC");
    }

    #[test]
    fn sizes_and_counts_are_shown_for_people() {
        assert_eq!(show_size(837), "837 B");
        assert_eq!(show_size(16 << 10), "16.0 KiB");
        assert_eq!(show_count(22_713), "22,713");
        assert_eq!(show_count(100), "100");
        assert_eq!(show_bytes(&[0, 255]), "0x00ff");
        assert_eq!(show_bytes(b"usdc"), "usdc");
    }
}
