//! The catalog: prints of all keys that the origin holds (`known`), in the order of writing.
//!
//! There is one for the edge. It begins by listing the origin's bucket, so a bucket that was filled
//! by other means is known too; until that is done it answers 503, and regions ask the origin. It
//! lists the bucket again every hour.

use std::cell::Cell;

use packice_core::types::WireName;
use worker::{
    Date, DurableObject, Env, Method, Request, RequestInit, Response, SqlStorage, SqlStorageValue,
    State, Stub, console_error, durable_object, wasm_bindgen,
};

use super::{number, query, text, value};
use crate::known::{self, PAGE_MAX, SECRET_LEN};
use crate::log;
use crate::shell::store;

/// The binding in wrangler.toml.
const BINDING: &str = "CATALOG";
/// Most pages of the bucket's list that one request walks.
const LIST_PAGES: u32 = 20;
/// How often the bucket is listed anew, in milliseconds.
const LIST_EVERY_MS: u64 = 3_600_000;

/// The catalog.
#[durable_object(fetch)]
#[derive(Debug)]
pub struct Catalog {
    state: State,
    env: Env,
    /// Whether a request walks the bucket's list.
    listing: Cell<bool>,
}

impl DurableObject for Catalog {
    fn new(state: State, env: Env) -> Self {
        Self { state, env, listing: Cell::new(false) }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        let sql = self.state.storage().sql();
        prepare(&sql)?;
        let path = request.path();
        if let Some(after) = path.strip_prefix("/since/") {
            if !self.is_listed(&sql).await? {
                return Response::error("the catalog is being made", 503);
            }
            return page(&sql, after.parse().unwrap_or(0));
        }
        let keys = request.text().await?;
        let secret = secret(&sql)?;
        for key in keys.lines() {
            let print = value(known::print(&secret, key));
            query(&sql, "INSERT OR IGNORE INTO prints (print) VALUES (?)", vec![print])?;
        }
        Response::empty()
    }
}

impl Catalog {
    /// Whether the origin's bucket was listed whole; walks it a few pages at a time where it was
    /// not, and again after a while, since a bucket can be filled by other means.
    async fn is_listed(&self, sql: &SqlStorage) -> worker::Result<bool> {
        let listed_ms = meta(sql, "listed")?.and_then(|at| at.parse::<u64>().ok());
        let now_ms = Date::now().as_millis();
        let due = listed_ms.is_none_or(|at| now_ms.saturating_sub(at) > LIST_EVERY_MS);
        if !due || self.listing.replace(true) {
            return Ok(listed_ms.is_some());
        }
        let listed = list(&self.env, sql).await;
        self.listing.set(false);
        Ok(listed? || listed_ms.is_some())
    }
}

async fn list(env: &Env, sql: &SqlStorage) -> worker::Result<bool> {
    let bucket = env.bucket(store::ORIGIN)?;
    let secret = secret(sql)?;
    let mut cursor = meta(sql, "cursor")?.filter(|cursor| !cursor.is_empty());
    for _ in 0..LIST_PAGES {
        let mut list = bucket.list();
        if let Some(cursor) = cursor.take() {
            list = list.cursor(cursor);
        }
        let page = list.execute().await?;
        for object in page.objects() {
            let print = value(known::print(&secret, &object.key()));
            query(sql, "INSERT OR IGNORE INTO prints (print) VALUES (?)", vec![print])?;
        }
        cursor = page.cursor().filter(|_| page.truncated());
        let Some(next) = &cursor else {
            set_meta(sql, "cursor", "")?;
            set_meta(sql, "listed", &Date::now().as_millis().to_string())?;
            return Ok(true);
        };
        set_meta(sql, "cursor", next)?;
    }
    Ok(false)
}

fn prepare(sql: &SqlStorage) -> worker::Result<()> {
    query(
        sql,
        "CREATE TABLE IF NOT EXISTS prints \
         (seq INTEGER PRIMARY KEY AUTOINCREMENT, print INTEGER NOT NULL UNIQUE)",
        Vec::new(),
    )?;
    let meta = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)";
    query(sql, meta, Vec::new())?;
    let secret = "INSERT OR IGNORE INTO meta SELECT 'secret', lower(hex(randomblob(32)))";
    query(sql, secret, Vec::new()).map(drop)
}

fn meta(sql: &SqlStorage, name: &str) -> worker::Result<Option<String>> {
    let name = SqlStorageValue::String(name.to_owned());
    let rows = query(sql, "SELECT value FROM meta WHERE name = ?", vec![name])?;
    Ok(rows.first().map(|row| text(row, 0)))
}

fn set_meta(sql: &SqlStorage, name: &str, value: &str) -> worker::Result<()> {
    let [name, value] = [name, value].map(|text| SqlStorageValue::String(text.to_owned()));
    query(sql, "INSERT OR REPLACE INTO meta VALUES (?, ?)", vec![name, value]).map(drop)
}

fn secret(sql: &SqlStorage) -> worker::Result<[u8; SECRET_LEN]> {
    let hex = meta(sql, "secret")?.unwrap_or_default();
    // 32 bytes in hex, as a wire name is.
    let secret = WireName::from_hex(&hex).ok_or("the catalog's secret is damaged")?;
    Ok(secret.0)
}

fn page(sql: &SqlStorage, after: u64) -> worker::Result<Response> {
    let rows = query(
        sql,
        "SELECT seq, print FROM prints WHERE seq > ? ORDER BY seq LIMIT ?",
        vec![value(after), value(PAGE_MAX.into())],
    )?;
    let last = rows.last().map_or(after, |row| number(row, 0));
    let prints: Vec<u64> = rows.iter().map(|row| number(row, 1)).collect();
    Response::from_bytes(known::encode_page(&secret(sql)?, last, &prints))
}

/// The catalog, where the environment has one.
fn stub(env: &Env) -> Option<Stub> {
    env.durable_object(BINDING).ok()?.get_by_name("catalog").ok()
}

/// What came after a print, as the catalog has it.
pub(crate) async fn since(env: &Env, last: u64) -> worker::Result<Vec<u8>> {
    let stub = stub(env).ok_or("there is no catalog")?;
    let mut answer = stub.fetch_with_str(&format!("https://catalog/since/{last}")).await?;
    match answer.status_code() {
        200 => answer.bytes().await,
        status => Err(format!("the catalog answers {status}").into()),
    }
}

/// Keys that the origin holds from now on. An edge without regions has no use for it.
pub(crate) async fn added(env: &Env, keys: &[&str]) -> worker::Result<()> {
    let Some(stub) = stub(env) else { return Ok(()) };
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(keys.join("\n").into()));
    let request = Request::new_with_init("https://catalog/add", &init)?;
    let answer = stub.fetch_with_request(request).await?;
    if answer.status_code() == 200 {
        return Ok(());
    }
    let why = format!("the catalog answers {}", answer.status_code());
    console_error!("{}", log::line("catalog", "add", keys.first().unwrap_or(&""), &why));
    Err(why.into())
}
