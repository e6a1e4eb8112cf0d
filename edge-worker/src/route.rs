//! From a method and a path to what is asked for. Pure, total, and strict.
//!
//! Every resource has one spelling. Nothing is decoded, resolved or folded: a percent sign, a dot
//! segment, an upper-case digit or a doubled slash matches no grammar and is a 404.

use packice_core::trust::tiles::TileRef;
use packice_core::types::{Name, ObjectKind, WireName};

use crate::limits::MAX_PATH_LEN;
use crate::problem::{Problem, ProblemCode};
use crate::resource::Resource;
use crate::service::{self, Service};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Something beside the resources.
    Service {
        /// What.
        service: Service,
        /// Whether only the headers are wanted.
        head: bool,
    },
    /// Read a resource.
    Read {
        /// The resource.
        resource: Resource,
        /// Whether only the headers are wanted.
        head: bool,
    },
    /// Write a resource.
    Write {
        /// The resource.
        resource: Resource,
    },
    /// What may be done here? (`OPTIONS`, and so a CORS preflight)
    Options {
        /// The methods.
        allow: &'static str,
    },
    /// Nothing that can be served.
    Reject {
        /// Why.
        problem: Problem,
    },
}

/// The methods of what is only read.
pub(crate) const READ: &str = "GET, HEAD, OPTIONS";
const READ_WRITE: &str = "GET, HEAD, PUT, OPTIONS";

enum Target {
    Service(Service, &'static str),
    Resource(Resource),
}

/// The kind of the object that a URL is of: those say the same for ever.
pub fn immutable(url: &str) -> Option<ObjectKind> {
    let (_, rest) = url.split_once("://")?;
    match target(rest.get(rest.find('/')?..)?)? {
        Target::Resource(Resource::Object { kind, .. }) => Some(kind),
        Target::Resource(_) | Target::Service(..) => None,
    }
}

/// What a request asks for.
pub fn route(method: &str, path: &str) -> Route {
    let Some(target) = target(path) else {
        let detail = "no such path: paths are /v1/{dataset}/{kind}/{name} in lower case";
        return Route::Reject { problem: Problem::new(ProblemCode::NotFound, detail) };
    };
    let allow = match &target {
        Target::Service(_, methods) => methods,
        Target::Resource(Resource::Checkpoint { .. } | Resource::Head { .. }) => READ,
        Target::Resource(
            Resource::Object { .. }
            | Resource::Bootstrap { .. }
            | Resource::Tile { .. }
            | Resource::TrustRoot { .. },
        ) => READ_WRITE,
    };
    let head = method == "HEAD";
    match (method, target) {
        ("OPTIONS", Target::Service(..) | Target::Resource(_)) => Route::Options { allow },
        (_, Target::Service(service, _)) if allows(allow, method) => {
            Route::Service { service, head }
        }
        ("GET" | "HEAD", Target::Resource(resource)) => Route::Read { resource, head },
        ("PUT", Target::Resource(resource)) if allow == READ_WRITE => Route::Write { resource },
        (_, Target::Service(..) | Target::Resource(_)) => {
            let detail = format!("this path takes {allow}");
            let problem = Problem::new(ProblemCode::MethodNotAllowed, detail);
            Route::Reject { problem: problem.with_header("allow", allow) }
        }
    }
}

fn allows(allow: &str, method: &str) -> bool {
    allow.split(", ").any(|allowed| allowed == method)
}

fn target(path: &str) -> Option<Target> {
    if path.len() > MAX_PATH_LEN {
        return None;
    }
    if let Some((service, methods)) = service::of_edge(path) {
        return Some(Target::Service(service, methods));
    }
    let (dataset, rest) = path.strip_prefix("/v1/")?.split_once('/')?;
    let dataset = Name::new(dataset).ok()?;
    if let Some((service, methods)) = service::of_dataset(&dataset, rest) {
        return Some(Target::Service(service, methods));
    }
    resource(dataset, rest).map(Target::Resource)
}

fn resource(dataset: Name, rest: &str) -> Option<Resource> {
    let Some((kind, name)) = rest.split_once('/') else {
        return (rest == "checkpoint").then_some(Resource::Checkpoint { dataset });
    };
    match kind {
        "bootstrap" => {
            let channel = Name::new(name).ok()?;
            Some(Resource::Bootstrap { dataset, channel })
        }
        "head" => {
            let channel = Name::new(name).ok()?;
            Some(Resource::Head { dataset, channel })
        }
        "log" => {
            let tile = TileRef::parse(name)?;
            Some(Resource::Tile { dataset, tile })
        }
        "trust-root" => {
            let version = trust_root_version(name)?;
            Some(Resource::TrustRoot { dataset, version })
        }
        _ => {
            let kind = ObjectKind::from_segment(kind)?;
            Some(Resource::Object { dataset, kind, name: WireName::from_hex(name)? })
        }
    }
}

/// A version from 1 on, without leading zeros; nine digits outlive every dataset.
fn trust_root_version(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && !text.starts_with('0') && (1..=9).contains(&text.len());
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn status(method: &str, path: &str) -> u16 {
        match route(method, path) {
            Route::Reject { problem } => problem.code.status(),
            Route::Options { .. } => 204,
            Route::Service { .. } | Route::Read { .. } => 200,
            Route::Write { .. } => 201,
        }
    }

    #[test]
    fn objects_alone_are_immutable() {
        let name = "0a".repeat(32);
        let url = format!("https://edge.example/v1/alpha/bundle/{name}");
        assert_eq!(immutable(&url), Some(ObjectKind::Bundle));
        for odd in [
            url.replace("/bundle/", "/bootstrap/"),
            url.replace("https://", ""),
            url.replace("/v1/", "/v2/"),
            url.replace("/alpha/", "/alpha//"),
            format!("{url}?x"),
            url.to_uppercase(),
            "https://edge.example/v1/alpha/bootstrap/stable".to_owned(),
            "https://edge.example/v1/alpha/log/000".to_owned(),
            "https://edge.example/healthz".to_owned(),
            "https://edge.example".to_owned(),
        ] {
            assert_eq!(immutable(&odd), None, "{odd}");
        }
    }

    #[test]
    fn every_path_of_the_contract_is_read_and_spelled_back() {
        for path in [
            "/v1/alpha/checkpoint".to_owned(),
            "/v1/alpha/bootstrap/stable".to_owned(),
            "/v1/0-9/bootstrap/a".to_owned(),
            "/v1/alpha/head/stable".to_owned(),
            format!("/v1/alpha/manifest/{HEX}"),
            format!("/v1/alpha/dictionary/{HEX}"),
            format!("/v1/alpha/layout/{HEX}"),
            format!("/v1/alpha/bundle/{HEX}"),
            format!("/v1/alpha/delta/{HEX}"),
            "/v1/alpha/log/tile/0/000.p/1".to_owned(),
            "/v1/alpha/log/tile/1/x001/x234/067".to_owned(),
            "/v1/alpha/log/tile/entries/273.p/112".to_owned(),
            "/v1/alpha/trust-root/1".to_owned(),
            "/v1/alpha/trust-root/999999999".to_owned(),
        ] {
            for method in ["GET", "HEAD"] {
                let Route::Read { resource, head } = route(method, &path) else {
                    panic!("{method} {path}: {:?}", route(method, &path));
                };
                assert_eq!(resource.path(), path);
                assert_eq!(head, method == "HEAD");
            }
            assert_eq!(status("OPTIONS", &path), 204, "{path}");
            let writable = !path.ends_with("checkpoint") && !path.contains("/head/");
            assert_eq!(status("PUT", &path), if writable { 201 } else { 405 }, "{path}");
        }
        let health = Route::Service { service: Service::Health, head: false };
        assert_eq!(route("GET", "/healthz"), health);
        let ready = Route::Service { service: Service::Ready, head: true };
        assert_eq!(route("HEAD", "/readyz"), ready);
    }

    #[test]
    fn path_tricks_find_nothing() {
        let long = format!("/v1/{}/checkpoint", "a".repeat(64));
        let longer = format!("/v1/alpha/bundle/{}", "a/".repeat(4000));
        for path in [
            "",
            "/",
            "//",
            "/v1",
            "/v1/",
            "/v2/alpha/checkpoint",
            "/v1/alpha",
            "/v1/alpha/",
            "/v1/alpha/checkpoint/",
            "/v1/alpha//checkpoint",
            "//v1/alpha/checkpoint",
            "/v1/Alpha/checkpoint",
            "/v1/-alpha/checkpoint",
            "/v1/al_pha/checkpoint",
            "/v1/../checkpoint",
            "/v1/alpha/../beta/checkpoint",
            "/v1/alpha/bootstrap/..",
            "/v1/alpha/bootstrap/.",
            "/v1/alpha/bootstrap/",
            "/v1/alpha/bootstrap/stable/",
            "/v1/alpha/bootstrap/stable%2fx",
            "/v1/alpha/head/",
            "/v1/alpha/head/Stable",
            "/v1/alpha%2fcheckpoint",
            "/v1/%61lpha/checkpoint",
            "/v1/alpha/bundle/%2e%2e",
            "/v1/alpha/bundle/00112233",
            &format!("/v1/alpha/bundle/{}", HEX.to_uppercase()),
            &format!("/v1/alpha/bundle/{HEX}0"),
            &format!("/v1/alpha/bundle/{HEX}/"),
            &format!("/v1/alpha/bundle//{HEX}"),
            &format!("/v1/alpha/bundles/{HEX}"),
            &format!("/v1/alpha/Bundle/{HEX}"),
            &format!("/v1/alpha/bundle/0x{}", HEX.get(2..).unwrap_or_default()),
            &format!("/v1/alpha/bundle/{}é", HEX.get(2..).unwrap_or_default()),
            "/v1/alpha/log/tile/0/000.p/0",
            "/v1/alpha/log/tile/0/../../../trust-root/1",
            "/v1/alpha/log/0/000",
            "/v1/alpha/log/tile/0/00",
            "/v1/alpha/log/tile/00/000",
            "/v1/alpha/log/tile/8/000",
            "/v1/alpha/log/tile/0/x000/001",
            "/v1/alpha/log/tile/0/000.p/256",
            "/v1/alpha/log/tile/data/000",
            "/v1/alpha/trust-root/0",
            "/v1/alpha/trust-root/01",
            "/v1/alpha/trust-root/-1",
            "/v1/alpha/trust-root/1000000000",
            "/v1/alpha/trust-root/",
            "/healthz/",
            "/Healthz",
            "/readyz?x",
            &long,
            &longer,
        ] {
            for method in ["GET", "HEAD", "PUT", "OPTIONS", "DELETE"] {
                assert_eq!(status(method, path), 404, "{method} {path}");
            }
        }
    }

    #[test]
    fn other_methods_are_not_allowed_and_the_allowed_ones_are_named() {
        for method in ["POST", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", ""] {
            for (path, allow) in [
                ("/healthz", READ),
                ("/readyz", READ),
                ("/v1/alpha/checkpoint", READ),
                ("/v1/alpha/head/stable", READ),
                ("/v1/alpha/bootstrap/stable", READ_WRITE),
            ] {
                let Route::Reject { problem } = route(method, path) else {
                    panic!("{method} {path} was let through");
                };
                assert_eq!(problem.code, ProblemCode::MethodNotAllowed);
                assert_eq!(problem.headers, [("allow", allow.to_owned())]);
            }
        }
    }
}
