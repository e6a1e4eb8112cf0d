//! Who is let in to write, or to read what is for publishers alone: the signature, then the
//! dataset's pointer object, which remembers nonces and counts what a key sends.

use packice_core::httpsig::{self, Signer};
use packice_core::types::{Name, hex};
use worker::{Date, Request};

use crate::auth::{self, Credentials, PublishKeys};
use crate::headers::{self, RequestHeaders};
use crate::problem::Problem;
use crate::rate::Counted;
use crate::shell::durable::pointer;
use crate::shell::rate;
use crate::shell::serve::Edge;

/// The variable that lists who may publish.
const PUBLISH_KEYS: &str = "PUBLISH_KEYS";

/// Who signed a request.
pub(crate) struct Authentic {
    /// The publish key, in hex.
    pub(crate) who: String,
    signer: Signer,
    /// The digest of the body that was signed, where the request has a body.
    pub(crate) content_digest: Option<String>,
}

impl Edge {
    /// Who may publish; nobody where the variable is not set.
    pub(crate) fn publish_keys(&self) -> PublishKeys {
        let list = self.env.var(PUBLISH_KEYS).map(|list| list.to_string());
        PublishKeys::parse(&list.unwrap_or_default())
    }

    /// Lets a signed request without a body in, once.
    pub(crate) async fn admit(
        &self,
        dataset: &Name,
        headers: &RequestHeaders,
        request: &Request,
    ) -> Result<Authentic, Problem> {
        rate::count_address(&self.env, Counted::Writes, request).await?;
        let authentic = self.authenticate(dataset, headers, request)?;
        self.let_in(dataset, &authentic, 0).await?;
        Ok(authentic)
    }

    /// Who signed a request, which key may act on the dataset. An upload must have signed the
    /// digest of its body.
    pub(crate) fn authenticate(
        &self,
        dataset: &Name,
        headers: &RequestHeaders,
        request: &Request,
    ) -> Result<Authentic, Problem> {
        let content_digest = request.headers().get("content-digest").ok().flatten();
        headers::check_len("content-digest", content_digest.as_deref())?;
        let signer = self.signer(dataset, headers, request, content_digest.as_deref())?;
        if request.inner().method() == "PUT" {
            auth::check_covers_body(content_digest.as_deref())?;
        }
        Ok(Authentic { who: hex(&signer.key), signer, content_digest })
    }

    /// Takes a signature's nonce, and counts so many bytes for its key.
    pub(crate) async fn let_in(
        &self,
        dataset: &Name,
        authentic: &Authentic,
        bytes: u64,
    ) -> Result<(), Problem> {
        rate::count(&self.env, Counted::Keys, &authentic.who).await?;
        pointer::admit(&self.env, dataset, &authentic.signer, bytes).await
    }

    fn signer(
        &self,
        dataset: &Name,
        headers: &RequestHeaders,
        request: &Request,
        content_digest: Option<&str>,
    ) -> Result<Signer, Problem> {
        let lookup = |name: &str| request.headers().get(name).ok().flatten();
        let credentials = Credentials {
            signature_input: lookup("signature-input"),
            signature: lookup("signature"),
        };
        let url = request.inner().url();
        let (method, path) = (request.inner().method(), request.path());
        let signed = httpsig::Request {
            method: &method,
            authority: self.origin.split_once("://").map_or("", |(_, authority)| authority),
            path: &path,
            query: query(&url),
            content_digest,
            if_match: headers.if_match.as_deref(),
            if_none_match: headers.if_none_match.as_deref(),
        };
        let now_s = Date::now().as_millis() / 1000;
        auth::authenticate(&self.publish_keys(), dataset, &signed, &credentials, now_s)
    }
}

/// The query of a URL, without its `?`.
pub(crate) fn query(url: &str) -> &str {
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    url.split_once('?').map_or("", |(_, query)| query)
}
