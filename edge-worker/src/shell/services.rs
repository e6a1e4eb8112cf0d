//! The services' way through the shell: each arm asks what it needs, and its own module says what
//! the answer is.

use worker::{Date, Request, WorkerVersionMetadata};

use crate::headers::RequestHeaders;
use crate::metrics::{self, Deployment};
use crate::problem::{Problem, ProblemCode};
use crate::rate::Counted;
use crate::reply::Reply;
use crate::service::Service;
use crate::shell::admit::query;
use crate::shell::cron::scrub;
use crate::shell::durable::pointer;
use crate::shell::rate;
use crate::shell::serve::{Answer, Edge};
use crate::{status, trail};

/// The binding that tells which deployment this is.
const VERSION: &str = "DEPLOYMENT";

impl Edge {
    /// Answers for a service.
    pub(crate) async fn serve(
        &self,
        service: Service,
        head: bool,
        headers: &RequestHeaders,
        request: &mut Request,
    ) -> Result<Answer, Problem> {
        match service {
            Service::Health => Ok(status::health(head).into()),
            Service::Ready => Ok(self.ready(head).await.into()),
            Service::Sources { dataset: _ } => Ok(self.sources(request, head).await.into()),
            Service::Report { dataset } => {
                rate::count_address(&self.env, Counted::Writes, request).await?;
                let url = request.inner().url();
                match scrub::report(&self.env, self.store()?, &dataset, query(&url)).await? {
                    true => Ok(Reply::new(202).with_header("cache-control", "no-store").into()),
                    false => {
                        let detail = "name an object that is here: ?object={kind}/{name}";
                        Err(Problem::new(ProblemCode::NotFound, detail))
                    }
                }
            }
            Service::Metrics => Ok(self.metrics(head).await.into()),
            Service::Trail { dataset } => {
                self.admit(&dataset, headers, request).await?;
                let url = request.inner().url();
                let after = trail::after(query(&url)).ok_or_else(|| {
                    let detail = "the query is not `after={number of a row}`";
                    Problem::new(ProblemCode::BadRequest, detail)
                })?;
                let page = pointer::rows(&self.env, &dataset, after).await?;
                Ok(status::json_reply(200, &page, head).into())
            }
            Service::Keep { dataset, question } => {
                Ok(self.keep(&dataset, question, headers, request).await?.into())
            }
            // A socket is no reply: it is answered before, in `shell`.
            Service::Live { .. } => {
                let detail = "this path takes WebSockets alone";
                Err(Problem::new(ProblemCode::UpgradeRequired, detail))
            }
        }
    }

    async fn metrics(&self, head: bool) -> Reply {
        let (reports, silent) = match &self.tiers {
            Some(tiers) => tiers.reports().await,
            None => Default::default(),
        };
        let version = self.env.get_binding::<WorkerVersionMetadata>(VERSION);
        let deployment = Deployment {
            release: env!("CARGO_PKG_VERSION").to_owned(),
            deployment: version.map(|version| version.id()).unwrap_or_default(),
        };
        status::text_reply(metrics::render(&deployment, &reports, silent), head)
    }

    async fn ready(&self, head: bool) -> Reply {
        let began_ms = Date::now().as_millis();
        let pinged = match self.store() {
            Ok(store) => store.ping().await.map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        let took_ms = Date::now().as_millis().saturating_sub(began_ms);
        let pinged = pinged.map(|()| took_ms).map_err(|problem| problem.detail);
        let region = match &self.tiers {
            Some(tiers) => Some(tiers.state().await),
            None => None,
        };
        status::ready(pinged, region.as_ref(), &self.publish_keys(), head)
    }
}
