//! Numbers in the text format of Prometheus.

use std::fmt::Write;

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
        let text = &mut self.0;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "# HELP nightshift_{name} {help}\n# TYPE nightshift_{name} {kind}"
        );
        for (labels, number) in numbers {
            let labels = labels
                .map(|(label, value)| format!("{label}=\"{value}\""))
                .join(",");
            let labels = if labels.is_empty() {
                labels
            } else {
                format!("{{{labels}}}")
            };
            let _ = writeln!(text, "nightshift_{name}{labels} {number}");
        }
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
    use super::*;

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
