//! What an edge costs on Cloudflare: counted requests times list prices, by line.
//!
//! Pure. In scope: the prices, and the lines of a bill. Out of scope: what is included in a plan
//! (its fee is a line of its own, and what it includes is not taken off), and taxes. The prices
//! are those of November 2026: <https://developers.cloudflare.com/workers/platform/pricing/>,
//! <https://developers.cloudflare.com/r2/pricing/>,
//! <https://developers.cloudflare.com/durable-objects/platform/pricing/>.

const MILLION: f64 = 1e6;
/// Bytes of a decimal terabyte and gigabyte, as they are billed.
const TB: f64 = 1e12;
const GB: f64 = 1e9;

/// List prices in US dollars.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    /// A million requests to Workers.
    pub requests: f64,
    /// A million milliseconds of processor time.
    pub cpu_ms: f64,
    /// A million reads of R2 (class B).
    pub r2_reads: f64,
    /// A million writes and lists of R2 (class A).
    pub r2_writes: f64,
    /// A gigabyte stored in R2 for a month.
    pub r2_gb_month: f64,
    /// A million requests to Durable Objects.
    pub object_requests: f64,
    /// A million rows written by Durable Objects.
    pub object_rows: f64,
    /// The plan, for a month.
    pub plan: f64,
}

/// November 2026.
pub const LIST: Prices = Prices {
    requests: 0.30,
    cpu_ms: 0.02,
    r2_reads: 0.36,
    r2_writes: 4.50,
    r2_gb_month: 0.015,
    object_requests: 0.15,
    object_rows: 1.00,
    plan: 5.00,
};

/// What a cold sync takes, as it was counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sync {
    /// Requests.
    pub requests: f64,
    /// Bytes of their bodies.
    pub bytes: f64,
}

/// How requests come to reads and to processor time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Serving {
    /// The share of requests that no cache answers, from 0 to 1.
    pub misses: f64,
    /// Processor time of a request, in milliseconds.
    pub cpu_ms: f64,
}

/// What a month of publishing takes, beside what clients ask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Publishing {
    /// Releases.
    pub releases: f64,
    /// Uploads of each.
    pub uploads: f64,
    /// Gigabytes kept, in all regions together.
    pub gigabytes: f64,
}

/// One line of a bill.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What is paid for.
    pub what: &'static str,
    /// How many of them.
    pub count: f64,
    /// What one million of them costs, or one, as `what` says.
    pub price: f64,
    /// In US dollars.
    pub usd: f64,
}

/// The lines of a bill.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bill {
    /// The lines.
    pub lines: Vec<Line>,
}

impl Bill {
    /// Their sum, in US dollars.
    pub fn total(&self) -> f64 {
        self.lines.iter().map(|line| line.usd).sum()
    }

    fn millions(mut self, what: &'static str, count: f64, price: f64) -> Self {
        self.lines.push(Line { what, count, price, usd: count / MILLION * price });
        self
    }

    fn units(mut self, what: &'static str, count: f64, price: f64) -> Self {
        self.lines.push(Line { what, count, price, usd: count * price });
        self
    }
}

/// The bill of so many requests of clients.
pub fn requests(count: f64, serving: Serving, prices: &Prices) -> Bill {
    Bill::default()
        .millions("requests", count, prices.requests)
        .millions("processor time, ms", count * serving.cpu_ms, prices.cpu_ms)
        .millions("reads of R2", count * serving.misses, prices.r2_reads)
}

/// The bill of so many terabytes, at what a cold sync takes.
pub fn terabytes(count: f64, sync: Sync, serving: Serving, prices: &Prices) -> Bill {
    requests(count * TB / sync.bytes.max(1.0) * sync.requests, serving, prices)
        .units("egress", count, 0.0)
}

/// The bill of so many cold syncs.
pub fn clients(count: f64, sync: Sync, serving: Serving, prices: &Prices) -> Bill {
    requests(count * sync.requests, serving, prices).units("egress", count * sync.bytes / TB, 0.0)
}

/// The bill of a month of publishing: each upload is a request, a write of R2, a request to the
/// data set's Durable Object and four rows there; a release moves a pointer besides.
pub fn publishing(month: Publishing, prices: &Prices) -> Bill {
    let uploads = month.releases * (month.uploads + 1.0);
    Bill::default()
        .millions("uploads", uploads, prices.requests)
        .millions("writes of R2", uploads + month.releases, prices.r2_writes)
        .millions(
            "requests to the pointer's object",
            uploads + month.releases,
            prices.object_requests,
        )
        .millions(
            "rows of the pointer's object",
            4.0 * uploads + 8.0 * month.releases,
            prices.object_rows,
        )
        .units("GB in R2, a month", month.gigabytes, prices.r2_gb_month)
        .units("Workers Paid, a month", 1.0, prices.plan)
}

/// Decimal gigabytes of bytes.
pub fn gigabytes(bytes: f64) -> f64 {
    bytes / GB
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_MISSES: Serving = Serving { misses: 0.0, cpu_ms: 0.0 };

    #[test]
    fn a_terabyte_costs_its_requests() {
        // What the platform's own figures say of 1 MiB and 16 KiB objects, requests alone and
        // with a read of R2 for each.
        let of = |object: f64| Sync { requests: 1.0, bytes: object };
        let alone = terabytes(1.0, of(1_048_576.0), NO_MISSES, &LIST).total();
        assert!((alone - 0.286).abs() < 0.001, "{alone}");
        let cold = Serving { misses: 1.0, cpu_ms: 0.5 };
        let small = terabytes(1.0, of(16_384.0), cold, &LIST).total();
        assert!((small - 40.9).abs() < 0.1, "{small}");
    }

    #[test]
    fn a_bill_is_the_sum_of_its_lines() {
        let sync = Sync { requests: 30.0, bytes: 30e6 };
        let serving = Serving { misses: 0.05, cpu_ms: 0.5 };
        let bill = clients(1e6, sync, serving, &LIST);
        let by_hand = 30.0 * 0.30 + 30.0 * 0.5 * 0.02 + 30.0 * 0.05 * 0.36;
        assert!((bill.total() - by_hand).abs() < 1e-9, "{bill:?}");
        assert!(bill.lines.iter().any(|line| line.what == "egress" && line.usd == 0.0));
    }

    #[test]
    fn publishing_pays_for_writes_and_for_what_is_kept() {
        let month = Publishing { releases: 720.0, uploads: 10.0, gigabytes: 10.0 };
        let bill = publishing(month, &LIST);
        let kept = bill.lines.iter().find(|line| line.what.starts_with("GB")).expect("a line");
        assert!((kept.usd - 0.15).abs() < 1e-9);
        assert!(bill.total() > LIST.plan);
    }
}
