//! The shell's way of retention: a publisher's question to the keeper, with what only the bucket
//! knows.

use futures_util::future::join_all;
use packice_core::types::Name;
use serde_json::{Value, json};
use worker::{Date, Request};

use crate::auth;
use crate::headers::RequestHeaders;
use crate::keep::{Asked, Key, MAX_BODY_LEN, Question, key_text, parse_key};
use crate::problem::{Problem, ProblemCode};
use crate::reply::{POLICY, Reply};
use crate::resource::Resource;
use crate::shell::durable::keeper;
use crate::shell::publish::receive;
use crate::shell::serve::Edge;
use crate::shell::store::Store;

impl Edge {
    /// Answers a question about what is kept.
    pub(crate) async fn keep(
        &self,
        dataset: &Name,
        question: Question,
        headers: &RequestHeaders,
        request: &mut Request,
    ) -> Result<Reply, Problem> {
        let publisher = self.authenticate(dataset, headers, request)?;
        let digest = auth::check_covers_body(publisher.content_digest.as_deref())?.to_owned();
        let declared = headers.content_length.as_deref().and_then(|len| len.trim().parse().ok());
        let length = declared.filter(|len| *len <= MAX_BODY_LEN).ok_or_else(|| {
            let detail = format!("send a body of at most {MAX_BODY_LEN} bytes, with its length");
            Problem::new(ProblemCode::PayloadTooLarge, detail)
        })?;
        self.let_in(dataset, &publisher, 0).await?;
        let body = receive(request, length, &digest).await?;
        let asked = Asked::parse(question, &body)?;
        let store = self.store()?;
        let answer = match asked {
            Asked::List { cursor } => list(store, dataset, cursor).await?,
            Asked::Claim { keys } => self.claim(store, dataset, &keys, &body).await?,
            Asked::Rows { .. } => keeper::ask(&self.env, dataset, "rows", &body).await?,
            Asked::Condemn { .. } => keeper::ask(&self.env, dataset, "condemn", &body).await?,
            Asked::Remove { .. } => {
                let answer = keeper::ask(&self.env, dataset, "remove", &body).await?;
                for key in answer["removed"].as_array().into_iter().flatten() {
                    self.forget_removed(dataset, key).await;
                }
                answer
            }
        };
        Ok(Reply::new(200)
            .with_header("content-type", "application/json")
            .with_header(POLICY.0, POLICY.1)
            .with_header("cache-control", "no-store")
            .with_bytes(answer.to_string().into_bytes(), false))
    }

    async fn forget_removed(&self, dataset: &Name, key: &Value) {
        if let Some((kind, name)) = key.as_str().and_then(parse_key) {
            self.forget(&Resource::Object { dataset: dataset.clone(), kind, name }).await;
        }
    }

    /// Claims first, and looks then: what is there after the claim stays.
    async fn claim(
        &self,
        store: &Store,
        dataset: &Name,
        keys: &[Key],
        body: &[u8],
    ) -> Result<Value, Problem> {
        let claimed = keeper::ask(&self.env, dataset, "claim", body).await?;
        let heads = join_all(keys.iter().map(|(kind, name)| {
            let resource = Resource::Object { dataset: dataset.clone(), kind: *kind, name: *name };
            async move { store.head(&resource.key()).await }
        }));
        let mut absent = Vec::new();
        for (key, head) in keys.iter().zip(heads.await) {
            if head?.is_none() {
                absent.push(key_text(key));
            }
        }
        let (leaving, grace_ms) = (&claimed["leaving"], &claimed["grace_ms"]);
        Ok(json!({ "absent": absent, "leaving": leaving, "grace_ms": grace_ms }))
    }
}

async fn list(store: &Store, dataset: &Name, cursor: Option<String>) -> Result<Value, Problem> {
    let now_ms = Date::now().as_millis();
    let (objects, cursor) = store.list_objects(dataset, cursor).await?;
    let objects: Vec<Value> = objects.iter().map(|(object, len)| json!([object, len])).collect();
    Ok(json!({ "now_ms": now_ms, "objects": objects, "cursor": cursor }))
}
