//! The result of scoring images without labels: how many were decided to be anomalous, how many could not be scored.

use tables::{ANOMALOUS_RATE, MetricRow};

use crate::output::Table;
use crate::summary::Line;

/// `None` where labels were measured with.
pub fn table(metrics: &[MetricRow], lines: &[Line]) -> Option<Table> {
    let rows: Vec<&MetricRow> = metrics
        .iter()
        .filter(|row| row.metric == ANOMALOUS_RATE)
        .collect();
    if rows.is_empty() {
        return None;
    }
    let mut table = Table::new(&[
        "model",
        "data",
        ">images",
        ">anomalous",
        ">share",
        ">errors",
        ">images/s",
        ">threshold",
        "threshold from",
    ]);
    let dash = || "-".to_owned();
    for row in rows {
        let line = lines.iter().find(|line| line.run == row.run);
        let speed = line.and_then(|line| line.images_per_s);
        let decided = row.value.map(|share| (row.anomalous, share));
        let cells = [
            row.model.clone(),
            row.dataset.clone(),
            (row.normal + row.anomalous + row.errors).to_string(),
            decided.map_or_else(dash, |(anomalous, _)| anomalous.to_string()),
            decided.map_or_else(dash, |(_, share)| format!("{:.2} %", 100.0 * share)),
            row.errors.to_string(),
            speed.map_or_else(dash, |speed| format!("{speed:.1}")),
            row.threshold
                .map_or_else(dash, |threshold| format!("{threshold:.4}")),
            row.threshold_split.clone().unwrap_or_else(dash),
        ];
        table.row(cells);
    }
    Some(table)
}
