//! Which edges serve a data set, nearest first: the variable `SOURCES`, less those that are not
//! well.
//!
//! Each edge asks all of them on its cron whether they are ready, as a client would, and keeps
//! what it heard. In scope: the list, the order, who is left out. Out of scope: asking (the
//! shell). An attacker gains nothing by a place in the list: what a source serves is verified.

use packice_core::types::is_name;
use serde_json::{Value, json};

use crate::place::Place;

/// Most sources of the list.
const MAX_SOURCES: usize = 32;
/// A verdict that is older counts for nothing, in milliseconds: three rounds of the cron.
const VERDICT_AGE_MS: u64 = 15 * 60 * 1000;

/// A source.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its region.
    pub region: String,
    /// Its base URL.
    pub url: String,
    /// Where it is, if that was said.
    pub place: Option<Place>,
}

/// Reads `{region}={url}[@{latitude}/{longitude}]`, separated by commas; what does not read is
/// left out.
pub fn parse(text: &str) -> Vec<Source> {
    text.split([',', '\n']).filter_map(|entry| source(entry.trim())).take(MAX_SOURCES).collect()
}

fn source(entry: &str) -> Option<Source> {
    let (region, rest) = entry.split_once('=')?;
    let (url, place) = match rest.split_once('@') {
        Some((url, place)) => (url, Some(self::place(place)?)),
        None => (rest, None),
    };
    let (region, url) = (region.trim(), url.trim().trim_end_matches('/'));
    let web = url.starts_with("https://") || url.starts_with("http://");
    (is_name(region) && web).then(|| Source { region: region.into(), url: url.into(), place })
}

fn place(text: &str) -> Option<Place> {
    let (latitude, longitude) = text.split_once('/')?;
    Place::parse(latitude, longitude)
}

/// What was heard of the sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// When they were asked, in milliseconds since 1970.
    pub at_ms: u64,
    /// The regions that did not say that they are ready.
    pub sick: Vec<String>,
}

impl Verdicts {
    /// As it is kept.
    pub fn to_json(&self) -> Value {
        json!({ "at_ms": self.at_ms, "sick": self.sick })
    }

    /// Reads what was kept; nothing heard where it cannot be read.
    pub fn from_json(bytes: &[u8]) -> Self {
        let read: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let sick = read["sick"].as_array().into_iter().flatten();
        let sick = sick.filter_map(|region| Some(region.as_str()?.to_owned())).collect();
        Self { at_ms: read["at_ms"].as_u64().unwrap_or(0), sick }
    }
}

/// The sources for a client at a place: those that are well, the nearest first, in the list's
/// order where nothing is known. Where none is well all are listed: a client verifies what it
/// gets, and one of them may serve it yet.
pub fn answer(
    sources: &[Source],
    verdicts: &Verdicts,
    own_sick: Option<&str>,
    from: Option<Place>,
    now_ms: u64,
) -> Value {
    let heard = now_ms.saturating_sub(verdicts.at_ms) <= VERDICT_AGE_MS;
    let well = |source: &&Source| {
        own_sick != Some(source.region.as_str())
            && !(heard && verdicts.sick.contains(&source.region))
    };
    let mut listed: Vec<&Source> = sources.iter().filter(well).collect();
    if listed.is_empty() {
        listed = sources.iter().collect();
    }
    if let Some(from) = from {
        let far = |source: &&Source| source.place.map_or(f64::MAX, |place| from.distance(place));
        listed.sort_by(|a, b| far(a).total_cmp(&far(b)));
    }
    let one = |source: &&Source| json!({ "region": source.region, "url": source.url });
    json!({ "sources": listed.iter().map(one).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "weur=https://eu.example/@50.1/8.7, enam=https://us.example@40.7/-74.0,\
                        apac=https://asia.example@1.3/103.8";

    fn regions(answer: &Value) -> Vec<&str> {
        let sources = answer["sources"].as_array().expect("a list");
        sources.iter().map(|source| source["region"].as_str().expect("a region")).collect()
    }

    #[test]
    fn the_list_takes_regions_urls_and_places() {
        let sources = parse(LIST);
        assert_eq!(sources.len(), 3);
        assert_eq!(sources[0].url, "https://eu.example");
        assert_eq!(sources[0].place, Some(Place { latitude: 50.1, longitude: 8.7 }));
        assert_eq!(parse("a=http://127.0.0.1:1")[0].place, None);
        for text in ["", "a", "a=", "=https://x", "A=https://x", "a=ftp://x", "a=https://x@91/0"] {
            assert_eq!(parse(text), [], "{text}");
        }
    }

    #[test]
    fn the_nearest_comes_first() {
        let sources = parse(LIST);
        for (latitude, longitude, expected) in [
            (48.9, 2.4, ["weur", "enam", "apac"]),
            (37.8, -122.4, ["enam", "weur", "apac"]),
            (-33.9, 151.2, ["apac", "weur", "enam"]),
        ] {
            let from = Some(Place { latitude, longitude });
            let answer = answer(&sources, &Verdicts::default(), None, from, 0);
            let listed = regions(&answer);
            assert_eq!(listed[0], expected[0], "{latitude} {longitude}");
            assert_eq!(listed.len(), 3);
        }
        let unknown = answer(&sources, &Verdicts::default(), None, None, 0);
        assert_eq!(regions(&unknown), ["weur", "enam", "apac"]);
    }

    #[test]
    fn who_is_sick_is_left_out_until_the_verdict_is_old() {
        let sources = parse(LIST);
        let verdicts = Verdicts { at_ms: 1_000, sick: vec!["weur".into()] };
        let at = |now_ms, own: Option<&str>| answer(&sources, &verdicts, own, None, now_ms);
        assert_eq!(regions(&at(1_000, None)), ["enam", "apac"]);
        assert_eq!(regions(&at(1_000, Some("enam"))), ["apac"]);
        assert_eq!(regions(&at(1_000 + VERDICT_AGE_MS + 1, None)), ["weur", "enam", "apac"]);
        let all = Verdicts { at_ms: 0, sick: ["weur", "enam", "apac"].map(Into::into).into() };
        assert_eq!(regions(&answer(&sources, &all, None, None, 0)), ["weur", "enam", "apac"]);
        let kept = verdicts.to_json().to_string();
        assert_eq!(Verdicts::from_json(kept.as_bytes()), verdicts);
        assert_eq!(Verdicts::from_json(b"nonsense"), Verdicts::default());
    }
}
