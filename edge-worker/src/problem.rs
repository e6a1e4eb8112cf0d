//! Problem bodies (RFC 9457): what is wrong with a request, and what to do about it.
//!
//! In scope: the closed list of problems with their status and stable type. Out of scope: the
//! reasons, which the places that refuse write into `detail`. A detail repeats bytes of
//! the request only where they were parsed.

use std::borrow::Cow;

use serde_json::{Value, json};

/// The headers that a problem takes along from one part of the edge to another.
const PASSED_ON: [&str; 2] = ["retry-after", "www-authenticate"];
/// Before a problem's code, in its type.
const TYPE: &str = "urn:packice:problem:";

/// What can be wrong: the stable last part of a problem's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemCode {
    /// A header that cannot be read.
    BadRequest,
    /// No signature, or one that does not count.
    Unauthorized,
    /// A key for something else.
    Forbidden,
    /// Nothing of this name.
    NotFound,
    /// The resource has no such method.
    MethodNotAllowed,
    /// Something else is there for good.
    Conflict,
    /// A body that comes too slowly.
    RequestTimeout,
    /// An upload that does not say how long it is.
    LengthRequired,
    /// A precondition that does not hold.
    PreconditionFailed,
    /// An upload that is too long.
    PayloadTooLarge,
    /// An upload in a content coding.
    UnsupportedEncoding,
    /// No byte of the range exists.
    RangeNotSatisfiable,
    /// A body that is not what its URL names.
    NameMismatch,
    /// A body that fails the checks of the formats or of the trust.
    CheckFailed,
    /// A path that takes WebSockets alone.
    UpgradeRequired,
    /// A pointer moved without a precondition.
    PreconditionRequired,
    /// Too many requests from one address or key.
    RateLimited,
    /// A publisher's quota is used up.
    QuotaExceeded,
    /// A header that is too long.
    HeaderTooLong,
    /// The edge is at fault.
    Internal,
    /// The store does not answer.
    StoreUnavailable,
}

impl ProblemCode {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::RequestTimeout,
        Self::LengthRequired,
        Self::PreconditionFailed,
        Self::PayloadTooLarge,
        Self::UnsupportedEncoding,
        Self::RangeNotSatisfiable,
        Self::NameMismatch,
        Self::CheckFailed,
        Self::PreconditionRequired,
        Self::RateLimited,
        Self::QuotaExceeded,
        Self::HeaderTooLong,
        Self::Internal,
        Self::StoreUnavailable,
    ];

    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::RequestTimeout => 408,
            Self::LengthRequired => 411,
            Self::PreconditionFailed => 412,
            Self::PayloadTooLarge => 413,
            Self::UnsupportedEncoding => 415,
            Self::RangeNotSatisfiable => 416,
            Self::NameMismatch | Self::CheckFailed => 422,
            Self::UpgradeRequired => 426,
            Self::PreconditionRequired => 428,
            Self::RateLimited | Self::QuotaExceeded => 429,
            Self::HeaderTooLong => 431,
            Self::Internal => 500,
            Self::StoreUnavailable => 503,
        }
    }

    /// The stable name, as in `urn:packice:problem:not-found`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Conflict => "conflict",
            Self::RequestTimeout => "request-timeout",
            Self::LengthRequired => "length-required",
            Self::PreconditionFailed => "precondition-failed",
            Self::PayloadTooLarge => "payload-too-large",
            Self::UnsupportedEncoding => "unsupported-encoding",
            Self::RangeNotSatisfiable => "range-not-satisfiable",
            Self::NameMismatch => "name-mismatch",
            Self::CheckFailed => "check-failed",
            Self::UpgradeRequired => "upgrade-required",
            Self::PreconditionRequired => "precondition-required",
            Self::RateLimited => "rate-limited",
            Self::QuotaExceeded => "quota-exceeded",
            Self::HeaderTooLong => "header-too-long",
            Self::Internal => "internal",
            Self::StoreUnavailable => "store-unavailable",
        }
    }

    /// The sentence that is the same for every problem of this type.
    pub fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "A header of the request cannot be read",
            Self::Unauthorized => "Publishing needs a signature by a key that this edge knows",
            Self::Forbidden => "The key does not allow this",
            Self::NotFound => "Nothing is here",
            Self::MethodNotAllowed => "The resource has no such method",
            Self::Conflict => "Something else is there and does not change",
            Self::RequestTimeout => "The body comes too slowly",
            Self::LengthRequired => "The upload does not say how long it is",
            Self::PreconditionFailed => "The precondition does not hold",
            Self::PayloadTooLarge => "The upload is too long",
            Self::UnsupportedEncoding => "Uploads carry no content coding",
            Self::RangeNotSatisfiable => "No byte of the range exists",
            Self::NameMismatch => "The body is not what its URL names",
            Self::CheckFailed => "The body fails a check",
            Self::UpgradeRequired => "The path takes WebSockets alone",
            Self::PreconditionRequired => "A pointer moves by compare-and-swap only",
            Self::RateLimited => "Too many requests",
            Self::QuotaExceeded => "The publisher's quota is used up",
            Self::HeaderTooLong => "A header of the request is too long",
            Self::Internal => "The edge failed",
            Self::StoreUnavailable => "The store does not answer",
        }
    }
}

/// A problem, ready to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which problem.
    pub code: ProblemCode,
    /// What exactly is wrong, and what to do.
    pub detail: String,
    /// The stable code of the check that failed, where one did (`trust/below-threshold`).
    pub reason: Option<Cow<'static, str>>,
    /// Headers that belong to the status, such as `allow`.
    pub headers: Vec<(&'static str, String)>,
}

impl Problem {
    /// A problem with its reason.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), reason: None, headers: Vec::new() }
    }

    /// With the stable code of the check that failed.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// With a header that belongs to the status.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The problem with its headers, for another part of the edge.
    pub fn to_message(&self) -> Value {
        let headers = self.headers.iter().map(|(name, value)| ((*name).into(), json!(value)));
        json!({ "problem": self.fields(), "headers": Value::Object(headers.collect()) })
    }

    /// Reads what [`Problem::to_message`] wrote; `None` for anything else.
    pub fn from_message(message: &Value) -> Option<Self> {
        let body = &message["problem"];
        let kind = body["type"].as_str()?.strip_prefix(TYPE)?;
        let code = ProblemCode::ALL.iter().find(|code| code.as_str() == kind)?;
        let mut problem = Self::new(*code, body["detail"].as_str()?);
        for name in PASSED_ON {
            if let Some(value) = message["headers"][name].as_str() {
                problem = problem.with_header(name, value);
            }
        }
        Some(match body["reason"].as_str() {
            Some(reason) => problem.with_reason(reason.to_owned()),
            None => problem,
        })
    }

    /// The `application/problem+json` body.
    pub fn to_json(&self) -> String {
        self.fields().to_string()
    }

    fn fields(&self) -> Value {
        let mut body = json!({
            "type": format!("{TYPE}{}", self.code.as_str()),
            "title": self.code.title(),
            "status": self.code.status(),
            "detail": self.detail,
        });
        if let (Some(reason), Some(fields)) = (&self.reason, body.as_object_mut()) {
            fields.insert("reason".into(), reason.as_ref().into());
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_type_title_status_and_detail() {
        let problem = Problem::new(ProblemCode::NotFound, "no \"such\"\nthing");
        assert_eq!(
            problem.to_json(),
            r#"{"type":"urn:packice:problem:not-found","title":"Nothing is here","status":404,"#
                .to_owned()
                + r#""detail":"no \"such\"\nthing"}"#
        );
    }

    #[test]
    fn every_problem_reads_back() {
        for code in ProblemCode::ALL {
            let problem = Problem::new(*code, "why").with_reason("a/reason");
            let problem = problem.with_header("retry-after", "7");
            assert_eq!(Problem::from_message(&problem.to_message()), Some(problem));
        }
        assert_eq!(Problem::from_message(&json!({ "rows": [] })), None);
    }

    #[test]
    fn a_failed_check_passes_its_code_on() {
        let problem = Problem::new(ProblemCode::CheckFailed, "signed by nobody")
            .with_reason("trust/below-threshold");
        assert!(problem.to_json().ends_with(r#""reason":"trust/below-threshold"}"#));
    }
}
