//! What the edge answers beside the resources of its data sets: the table of its services.
//!
//! A service is one row here, with its methods, and one arm in the shell's `services`. In scope:
//! paths and methods. Out of scope: what a service says, which its own module decides.

use packice_core::types::Name;

use crate::keep::Question;
use crate::route::READ;

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// Is the Worker alive?
    Health,
    /// Is the store there as well?
    Ready,
    /// Which edges serve the dataset?
    Sources {
        /// The dataset.
        dataset: Name,
    },
    /// An object of the dataset was found damaged.
    Report {
        /// The dataset.
        dataset: Name,
    },
    /// What was counted, for Prometheus.
    Metrics,
    /// Who moved the dataset's pointers? For its publishers.
    Trail {
        /// The dataset.
        dataset: Name,
    },
    /// Tell me of new versions of a channel.
    Live {
        /// The dataset.
        dataset: Name,
        /// The channel.
        channel: Name,
    },
    /// What is kept? For the dataset's publishers.
    Keep {
        /// The dataset.
        dataset: Name,
        /// Which question.
        question: Question,
    },
}

/// The services of the edge as a whole, and the methods of each.
const OF_EDGE: &[(&str, Service, &str)] = &[
    ("/healthz", Service::Health, READ),
    ("/readyz", Service::Ready, READ),
    ("/metrics", Service::Metrics, READ),
];

/// The service behind a path outside of every data set, with its methods.
pub(crate) fn of_edge(path: &str) -> Option<(Service, &'static str)> {
    let (_, service, methods) = OF_EDGE.iter().find(|(own, ..)| *own == path)?;
    Some((service.clone(), methods))
}

/// A service of a data set: makes the row's value.
type OfDataset = fn(Name) -> Service;

/// The services of a data set, by what follows `/v1/{dataset}/`, and the methods of each.
const OF_DATASET: &[(&str, OfDataset, &str)] = &[
    ("trail", |dataset| Service::Trail { dataset }, READ),
    ("sources", |dataset| Service::Sources { dataset }, READ),
    ("report", |dataset| Service::Report { dataset }, POST),
    ("keep/list", |dataset| keep(dataset, Question::List), POST),
    ("keep/rows", |dataset| keep(dataset, Question::Rows), POST),
    ("keep/claim", |dataset| keep(dataset, Question::Claim), POST),
    ("keep/condemn", |dataset| keep(dataset, Question::Condemn), POST),
    ("keep/remove", |dataset| keep(dataset, Question::Remove), POST),
];

/// The methods of a question that publishers ask.
const POST: &str = "POST, OPTIONS";
/// The methods of a path that is listened to.
const LISTEN: &str = "GET, OPTIONS";

fn keep(dataset: Name, question: Question) -> Service {
    Service::Keep { dataset, question }
}

/// The service behind a path of a data set, with its methods.
pub(crate) fn of_dataset(dataset: &Name, rest: &str) -> Option<(Service, &'static str)> {
    if let Some(channel) = rest.strip_prefix("live/") {
        let channel = Name::new(channel).ok()?;
        return Some((Service::Live { dataset: dataset.clone(), channel }, LISTEN));
    }
    let (_, service, methods) = OF_DATASET.iter().find(|(own, ..)| *own == rest)?;
    Some((service(dataset.clone()), methods))
}
