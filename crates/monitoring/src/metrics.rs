//! Numbers in the text format of Prometheus.

use std::fmt::Write;

use crate::histogram::{BOUNDS_S, Histogram};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    /// Only grows; its name ends with `_total`.
    Counter,
}

#[derive(Debug, Default)]
pub struct Metrics(String);

impl Metrics {
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// A family with its numbers, each with its labels. Labels come from closed sets and names of pools and slots, whose
    /// letters need no escapes.
    pub fn family<const N: usize>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        numbers: impl IntoIterator<Item = ([(&'static str, String); N], u64)>,
    ) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        self.head(name, kind, help);
        let text = &mut self.0;
        for (labels, number) in numbers {
            let labels = labels
                .map(|(label, value)| format!("{label}=\"{value}\""))
                .join(",");
            let labels = if labels.is_empty() {
                labels
            } else {
                format!("{{{labels}}}")
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "nightshift_{name}{labels} {number}");
        }
    }

    /// Times in seconds; the name ends with `_seconds`.
    pub fn times(&mut self, name: &str, help: &str, times: &Histogram) {
        self.head(name, "histogram", help);
        let counted = times.counted();
        let text = &mut self.0;
        let mut up_to = 0;
        for (bound, number) in BOUNDS_S.iter().zip(counted.buckets) {
            up_to += number;
            let _ = writeln!(text, "nightshift_{name}_bucket{{le=\"{bound}\"}} {up_to}");
        }
        let (number, sum) = (counted.number, counted.sum.as_secs_f64());
        let _ = writeln!(
            text,
            "nightshift_{name}_bucket{{le=\"+Inf\"}} {number}\nnightshift_{name}_sum {sum}\nnightshift_{name}_count {number}"
        );
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(
            self.0,
            "# HELP nightshift_{name} {help}\n# TYPE nightshift_{name} {kind}"
        );
    }

    /// A family of one number.
    pub fn number(&mut self, name: &str, kind: Kind, help: &str, number: u64) {
        self.family(name, kind, help, [([], number)]);
    }

    pub fn text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_bucket_holds_what_took_no_longer() {
        let times = Histogram::default();
        for ms in [1, 4, 4, 3_000] {
            times.note(Duration::from_millis(ms));
        }
        let mut metrics = Metrics::default();
        metrics.times("commit_seconds", "Commits.", &times);
        let text = metrics.text();
        for line in [
            "# TYPE nightshift_commit_seconds histogram",
            "nightshift_commit_seconds_bucket{le=\"0.001\"} 1",
            "nightshift_commit_seconds_bucket{le=\"0.0025\"} 1",
            "nightshift_commit_seconds_bucket{le=\"0.005\"} 3",
            "nightshift_commit_seconds_bucket{le=\"2.5\"} 3",
            "nightshift_commit_seconds_bucket{le=\"+Inf\"} 4",
            "nightshift_commit_seconds_sum 3.009",
            "nightshift_commit_seconds_count 4",
        ] {
            assert!(
                text.lines().any(|one| one == line),
                "{line} is not in\n{text}"
            );
        }
    }

    #[test]
    fn every_family_has_help_and_type_before_its_numbers() {
        let mut metrics = Metrics::default();
        let labels =
            |pool: &str, state: &str| [("pool", pool.to_owned()), ("state", state.to_owned())];
        metrics.family(
            "tasks",
            Kind::Gauge,
            "Tasks.",
            [(labels("cpu", "ready"), 7), (labels("gpu", "dead"), 1)],
        );
        metrics.number("exits_total", Kind::Counter, "Exits.", 3);
        assert_eq!(
            metrics.text(),
            "# HELP nightshift_tasks Tasks.\n# TYPE nightshift_tasks gauge\n\
             nightshift_tasks{pool=\"cpu\",state=\"ready\"} 7\nnightshift_tasks{pool=\"gpu\",state=\"dead\"} 1\n\
             # HELP nightshift_exits_total Exits.\n# TYPE nightshift_exits_total counter\nnightshift_exits_total 3\n"
        );
    }
}
