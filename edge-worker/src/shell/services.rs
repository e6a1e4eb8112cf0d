//! The services' way through the shell: each arm asks what it needs, and its own module says what
//! the answer is.

use worker::Date;

use crate::problem::Problem;
use crate::reply::Reply;
use crate::service::Service;
use crate::shell::serve::{Answer, Edge};
use crate::status;

impl Edge {
    /// Answers for a service.
    pub(crate) async fn serve(&self, service: Service, head: bool) -> Answer {
        match service {
            Service::Health => status::health(head).into(),
            Service::Ready => self.ready(head).await.into(),
        }
    }

    async fn ready(&self, head: bool) -> Reply {
        let began_ms = Date::now().as_millis();
        let pinged = match self.store() {
            Ok(store) => store.ping().await.map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        let took_ms = Date::now().as_millis().saturating_sub(began_ms);
        let pinged = pinged.map(|()| took_ms).map_err(|problem| problem.detail);
        status::ready(pinged, &self.tokens(), head)
    }
}
