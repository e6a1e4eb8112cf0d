//! Trace ids (W3C Trace Context, `traceparent`): the client's goes with a miss down to the read of
//! the origin, and stands in the log lines on its way. Hits are not traced.
//!
//! A header that is not of the standard's form is dropped, so nothing of a request reaches a log
//! line that was not parsed.

/// The trace that a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    trace_id: String,
    parent_id: String,
    flags: String,
}

impl Trace {
    /// Reads a `traceparent` header of version 00.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace_id) = (parts.next()?, parts.next()?);
        let (parent_id, flags) = (parts.next()?, parts.next()?);
        let hex = |text: &str, length: usize| {
            text.len() == length
                && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let some = |text: &str| text.bytes().any(|byte| byte != b'0');
        let well_formed = version == "00"
            && parts.next().is_none()
            && hex(trace_id, 32)
            && hex(parent_id, 16)
            && hex(flags, 2)
            && some(trace_id)
            && some(parent_id);
        well_formed.then(|| Self {
            trace_id: trace_id.to_owned(),
            parent_id: parent_id.to_owned(),
            flags: flags.to_owned(),
        })
    }

    /// The trace's id.
    pub fn id(&self) -> &str {
        &self.trace_id
    }

    /// The header, to be handed on.
    pub fn header(&self) -> String {
        format!("00-{}-{}-{}", self.trace_id, self.parent_id, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_is_handed_on_as_it_came() {
        let trace = Trace::parse(HEADER).expect("a trace");
        assert_eq!(trace.id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.header(), HEADER);
    }

    #[test]
    fn what_is_not_of_the_form_is_dropped() {
        for header in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473\"-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::parse(header), None, "{header}");
        }
    }
}
