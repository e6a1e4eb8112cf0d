//! The keeper of a data set: a Durable Object with one row for each object that nothing needs.
//!
//! Every step on the rows is synchronous, between awaits; what is asked of the bucket in between
//! has a row that says so (`packice_core::keep::keeper`).

use packice_core::keep::keeper::{self, Claim, Removal, Row, Rules};
use packice_core::types::{Millis, Name, WireName};
use serde_json::{Value, json};
use worker::{
    Date, DurableObject, Env, Method, Request, RequestInit, Response, SqlStorage, SqlStorageValue,
    State, console_error, durable_object, wasm_bindgen,
};

use crate::keep::{self, Asked, Key, PAGE, Question, key_text, parse_key};
use crate::log;
use crate::problem::{Problem, ProblemCode};
use crate::resource::Resource;
use crate::shell::store::Store;

/// The binding in wrangler.toml.
const BINDING: &str = "KEEPER";
/// The variable with the rules' times.
const RULES: &str = "KEEP_RULES";

/// A data set's keeper.
#[durable_object(fetch)]
pub struct Keeper {
    state: State,
    env: Env,
}

impl DurableObject for Keeper {
    fn new(state: State, env: Env) -> Self {
        Self { state, env }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        let body = request.bytes().await?;
        let path = request.path();
        let answer = self.answer(&path, &body).await.unwrap_or_else(
            |problem| json!({ "problem": problem.code.as_str(), "detail": problem.detail }),
        );
        Response::ok(answer.to_string())
    }
}

impl Keeper {
    async fn answer(&self, path: &str, body: &[u8]) -> Result<Value, Problem> {
        let (dataset, what) = path.trim_start_matches('/').split_once('/').ok_or_else(lost)?;
        let dataset = Name::new(dataset).map_err(|_| lost())?;
        let rows = Rows::open(&self.state).map_err(internal)?;
        let question = match what {
            "rows" => Question::Rows,
            "claim" => Question::Claim,
            "condemn" => Question::Condemn,
            "remove" => Question::Remove,
            _ => return self.moving(&rows, &dataset, what).await,
        };
        match Asked::parse(question, body)? {
            Asked::List { .. } => Err(lost()),
            Asked::Rows { after } => self.rows(&rows, &after),
            Asked::Claim { keys } => {
                let leaving = self.claim(&rows, &dataset, &keys).await?;
                let leaving: Vec<String> = leaving.iter().map(key_text).collect();
                Ok(json!({ "leaving": leaving, "grace_ms": self.rules().grace_ms }))
            }
            Asked::Condemn { seen, unneeded, needed } => {
                self.check_fence(&rows, seen)?;
                condemn(&rows, &unneeded, &needed).map_err(internal)
            }
            Asked::Remove { seen, keys } => {
                self.check_fence(&rows, seen)?;
                self.remove(&rows, &dataset, seen, &keys).await
            }
        }
    }

    fn rules(&self) -> Rules {
        keep::rules(&self.env.var(RULES).map(|rules| rules.to_string()).unwrap_or_default())
    }

    fn check_fence(&self, rows: &Rows, seen: Millis) -> Result<(), Problem> {
        match keeper::saw_all(rows.moved().map_err(internal)?, seen, &self.rules()) {
            true => Ok(()),
            false => Err(keep::overtaken()),
        }
    }

    /// A pointer is about to move to a manifest.
    async fn moving(&self, rows: &Rows, dataset: &Name, what: &str) -> Result<Value, Problem> {
        let manifest = what.strip_prefix("moving/").and_then(parse_key).ok_or_else(lost)?;
        rows.set_moved(now()).map_err(internal)?;
        match self.claim(rows, dataset, &[manifest]).await?.is_empty() {
            true => Ok(json!({})),
            false => Err(keep::leaving()),
        }
    }

    fn rows(&self, rows: &Rows, after: &str) -> Result<Value, Problem> {
        let page = rows.page(after).map_err(internal)?;
        let full = page.len() == PAGE as usize;
        let last = page.last().filter(|_| full).map(|(object, _)| object.clone());
        let shown: Vec<Value> = page.iter().map(|(object, row)| keep::shown(object, row)).collect();
        let grace_ms = self.rules().grace_ms;
        Ok(json!({ "now_ms": now().0, "grace_ms": grace_ms, "rows": shown, "after": last }))
    }

    /// Claims objects: those that are being removed.
    async fn claim(&self, rows: &Rows, dataset: &Name, keys: &[Key]) -> Result<Vec<Key>, Problem> {
        let (mut leaving, rules) = (Vec::new(), self.rules());
        for key in keys {
            let row = rows.get(key).map_err(internal)?;
            let asked = now();
            let (after, claim) = keeper::claim(row, asked, &rules);
            if after != row {
                rows.set(key, after).map_err(internal)?;
            }
            match claim {
                Claim::Granted => {}
                Claim::Leaving => leaving.push(*key),
                Claim::Remove => self.take_out(rows, dataset, key, asked).await?,
            }
        }
        Ok(leaving)
    }

    async fn remove(
        &self,
        rows: &Rows,
        dataset: &Name,
        seen: Millis,
        keys: &[Key],
    ) -> Result<Value, Problem> {
        let (mut removed, mut waiting, rules) = (Vec::new(), 0, self.rules());
        for key in keys {
            let row = rows.get(key).map_err(internal)?;
            let asked = now();
            let (after, removal) = keeper::remove(row, seen, asked, &rules);
            if after != row {
                rows.set(key, after).map_err(internal)?;
            }
            match removal {
                Removal::Remove => {
                    self.take_out(rows, dataset, key, asked).await?;
                    removed.push(key_text(key));
                }
                Removal::NotBefore(_) | Removal::NotCondemned | Removal::UnderWay => waiting += 1,
            }
        }
        Ok(json!({ "removed": removed, "waiting": waiting }))
    }

    /// Has the bucket remove an object whose row says so, and takes the row back after.
    async fn take_out(
        &self,
        rows: &Rows,
        dataset: &Name,
        (kind, name): &Key,
        asked: Millis,
    ) -> Result<(), Problem> {
        let resource = Resource::Object { dataset: dataset.clone(), kind: *kind, name: *name };
        Store::open(&self.env)?.remove(&resource.key()).await?;
        let key = (*kind, *name);
        let row = keeper::left(rows.get(&key).map_err(internal)?, asked);
        rows.set(&key, row).map_err(internal)
    }
}

fn condemn(rows: &Rows, unneeded: &[(Key, u64)], needed: &[Key]) -> worker::Result<Value> {
    for key in needed {
        let row = rows.get(key)?;
        let spared = keeper::spare(row);
        if spared != row {
            rows.set(key, spared)?;
        }
    }
    let mut fresh = 0;
    for (key, keep_ms) in unneeded {
        let row = rows.get(key)?;
        let condemned = Some(keeper::condemn(row, *keep_ms, now()));
        fresh += u32::from(row.is_none());
        if condemned != row {
            rows.set(key, condemned)?;
        }
    }
    Ok(json!({ "condemned": fresh }))
}

/// The rows.
struct Rows {
    sql: SqlStorage,
}

/// How a row says that it is leaving: no promise is negative.
const LEAVING: i64 = -1;

impl Rows {
    fn open(state: &State) -> worker::Result<Self> {
        let sql = state.storage().sql();
        let none = None::<Vec<SqlStorageValue>>;
        sql.exec(
            "CREATE TABLE IF NOT EXISTS marks \
             (object TEXT PRIMARY KEY, since INTEGER NOT NULL, keep INTEGER NOT NULL) \
             WITHOUT ROWID",
            none.clone(),
        )?;
        sql.exec("CREATE TABLE IF NOT EXISTS moved (one INTEGER PRIMARY KEY, at INTEGER)", none)?;
        Ok(Self { sql })
    }

    fn get(&self, key: &Key) -> worker::Result<Option<Row>> {
        let found = self.sql.exec(
            "SELECT since, keep FROM marks WHERE object = ?",
            vec![SqlStorageValue::from(key_text(key))],
        )?;
        let mut rows = found.raw();
        let row = rows.next().transpose()?;
        Ok(row.and_then(|row| read_row(row.first()?, row.get(1)?)))
    }

    fn set(&self, key: &Key, row: Option<Row>) -> worker::Result<()> {
        let object = SqlStorageValue::from(key_text(key));
        let (since, keep) = match row {
            None => {
                self.sql.exec("DELETE FROM marks WHERE object = ?", vec![object])?;
                return Ok(());
            }
            Some(Row::Condemned { since, keep_ms }) => (since, whole(keep_ms)),
            Some(Row::Leaving { since }) => (since, LEAVING),
        };
        self.sql.exec(
            "INSERT OR REPLACE INTO marks (object, since, keep) VALUES (?, ?, ?)",
            vec![object, whole(since.0).into(), keep.into()],
        )?;
        Ok(())
    }

    fn page(&self, after: &str) -> worker::Result<Vec<(String, Row)>> {
        let found = self.sql.exec(
            "SELECT object, since, keep FROM marks WHERE object > ? ORDER BY object LIMIT ?",
            vec![after.into(), i64::from(PAGE).into()],
        )?;
        let mut page = Vec::new();
        for row in found.raw() {
            let row = row?;
            if let [SqlStorageValue::String(object), since, keep] = row.as_slice()
                && let Some(row) = read_row(since, keep)
            {
                page.push((object.clone(), row));
            }
        }
        Ok(page)
    }

    fn moved(&self) -> worker::Result<Option<Millis>> {
        let found = self.sql.exec("SELECT at FROM moved", None::<Vec<SqlStorageValue>>)?;
        let row = found.raw().next().transpose()?;
        Ok(row.and_then(|row| number(row.first()?)).map(|at| Millis(at.unsigned_abs())))
    }

    fn set_moved(&self, at: Millis) -> worker::Result<()> {
        let at = SqlStorageValue::from(whole(at.0));
        self.sql.exec("INSERT OR REPLACE INTO moved (one, at) VALUES (1, ?)", vec![at])?;
        Ok(())
    }
}

fn read_row(since: &SqlStorageValue, keep: &SqlStorageValue) -> Option<Row> {
    let since = Millis(number(since)?.unsigned_abs());
    Some(match number(keep)? {
        LEAVING => Row::Leaving { since },
        keep => Row::Condemned { since, keep_ms: keep.unsigned_abs() },
    })
}

/// Numbers come back as JavaScript has them.
#[allow(clippy::cast_possible_truncation)]
fn number(value: &SqlStorageValue) -> Option<i64> {
    match value {
        SqlStorageValue::Integer(number) => Some(*number),
        SqlStorageValue::Float(number) => Some(*number as i64),
        SqlStorageValue::Null
        | SqlStorageValue::Boolean(_)
        | SqlStorageValue::String(_)
        | SqlStorageValue::Blob(_) => None,
    }
}

/// Times and spans are far below 2^53.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn now() -> Millis {
    Millis(Date::now().as_millis())
}

fn internal(error: worker::Error) -> Problem {
    console_error!("{}", log::line("keeper", "rows", "", &error.to_string()));
    Problem::new(ProblemCode::Internal, "the keeper failed; try again")
}

fn lost() -> Problem {
    Problem::new(ProblemCode::Internal, "the keeper knows no such question")
}

/// Asks a data set's keeper.
pub(crate) async fn ask(
    env: &Env,
    dataset: &Name,
    what: &str,
    body: &[u8],
) -> Result<Value, Problem> {
    let answered = fetch(env, dataset, what, body).await.map_err(internal)?;
    let detail = answered["detail"].as_str().unwrap_or_default().to_owned();
    match answered["problem"].as_str() {
        None => Ok(answered),
        Some("conflict") => Err(keep::overtaken()),
        Some("bad-request") => Err(Problem::new(ProblemCode::BadRequest, detail)),
        Some("store-unavailable") => Err(Problem::new(ProblemCode::StoreUnavailable, detail)),
        Some(_) => Err(Problem::new(ProblemCode::Internal, detail)),
    }
}

async fn fetch(env: &Env, dataset: &Name, what: &str, body: &[u8]) -> worker::Result<Value> {
    let stub = env.durable_object(BINDING)?.get_by_name(dataset.as_str())?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post);
    init.with_body(Some(worker::js_sys::Uint8Array::from(body).into()));
    let url = format!("https://keeper/{dataset}/{what}");
    stub.fetch_with_request(Request::new_with_init(&url, &init)?).await?.json().await
}

/// Claims one object before it is written.
pub(crate) async fn claim(env: &Env, dataset: &Name, key: &Key) -> Result<(), Problem> {
    let body = json!({ "objects": [key_text(key)] }).to_string();
    let answer = ask(env, dataset, "claim", body.as_bytes()).await?;
    match answer["leaving"].as_array().is_some_and(Vec::is_empty) {
        true => Ok(()),
        false => Err(keep::leaving()),
    }
}

/// Claims a manifest that a pointer is about to move to.
pub(crate) async fn moving(env: &Env, dataset: &Name, manifest: &WireName) -> Result<(), Problem> {
    let key = (packice_core::types::ObjectKind::Manifest, *manifest);
    ask(env, dataset, &format!("moving/{}", key_text(&key)), b"").await.map(drop)
}
