//! Where a job's scoring spent its time: the stage of the pipeline that the others wait for.

use serde_json::{Value, json};
use tables::TimingRow;

/// The kind of the tasks that score images.
const SCORE: &str = "score";
/// Done once a task and not for each image, or not by a stage.
const NOT_OF_IMAGES: [&str; 3] = ["total", "load", "compile"];

/// Stages of all score tasks together, the busiest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Slowest {
    stages: Vec<Stage>,
    /// Scored images.
    images: u64,
    /// In the order of `stages`, together.
    busy_s: f64,
}

#[derive(Debug, Clone, PartialEq)]
struct Stage {
    name: String,
    busy_s: f64,
    blocked_s: f64,
}

impl Slowest {
    /// `None` if no image was scored, or by a release that did not say how long its threads worked.
    pub fn of(timings: &[TimingRow]) -> Option<Self> {
        let mut stages: Vec<Stage> = Vec::new();
        let mut images = 0;
        for row in timings.iter().filter(|row| row.kind == SCORE) {
            if row.stage == "total" {
                images += row.items;
            }
            let Some(busy_s) = row.busy_s.filter(|_| !NOT_OF_IMAGES.contains(&&*row.stage)) else {
                continue;
            };
            let blocked_s = row.blocked_s.unwrap_or(0.0);
            match stages.iter_mut().find(|stage| stage.name == row.stage) {
                Some(stage) => {
                    stage.busy_s += busy_s;
                    stage.blocked_s += blocked_s;
                }
                None => stages.push(Stage {
                    name: row.stage.clone(),
                    busy_s,
                    blocked_s,
                }),
            }
        }
        stages.sort_by(|a, b| b.busy_s.total_cmp(&a.busy_s));
        let busy_s: f64 = stages.iter().map(|stage| stage.busy_s).sum();
        (busy_s > 0.0 && images > 0).then_some(Self {
            stages,
            images,
            busy_s,
        })
    }

    /// The two busiest, and how long threads had nothing to do.
    pub fn words(&self) -> String {
        let stage = |stage: &Stage| {
            format!(
                "{}, {:.0} % of the threads' work ({:.2} ms an image)",
                stage.name,
                100.0 * stage.busy_s / self.busy_s,
                1e3 * stage.busy_s / self.images as f64
            )
        };
        let mut told = self.stages.iter().map(stage);
        let mut text = told.next().unwrap_or_default();
        if let Some(next) = told.next() {
            text.push_str(&format!("; then {next}"));
        }
        let blocked_s: f64 = self.stages.iter().map(|stage| stage.blocked_s).sum();
        let idle = 100.0 * blocked_s / (blocked_s + self.busy_s);
        if idle >= 1.0 {
            text.push_str(&format!("; threads waited {idle:.0} % of their time"));
        }
        text
    }

    pub fn json(&self) -> Value {
        let stage = |stage: &Stage| json!({"stage": stage.name, "busy_s": stage.busy_s, "blocked_s": stage.blocked_s});
        json!({"images": self.images, "stages": self.stages.iter().map(stage).collect::<Value>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, stage: &str, busy_s: Option<f64>, items: u64) -> TimingRow {
        TimingRow {
            run: Some(0),
            task: "j-0002".to_owned(),
            kind: kind.to_owned(),
            stage: stage.to_owned(),
            wall_s: 1.0,
            busy_s,
            blocked_s: busy_s.map(|_| 0.0),
            cpu_s: None,
            items,
            bytes: 0,
            peak_memory: None,
            trace: None,
        }
    }

    #[test]
    fn the_busiest_stage_of_all_score_tasks_is_named_first() {
        let mut rows = vec![
            row("score", "decode", Some(0.4), 100),
            row("score", "infer", Some(0.2), 100),
            row("score", "compile", Some(9.0), 1),
            row("score", "total", None, 100),
            row("score", "infer", Some(0.4), 100),
            row("score", "total", None, 100),
            row("fit", "solve", Some(50.0), 1),
            row("evaluate", "metrics", Some(50.0), 1),
        ];
        let slowest = Slowest::of(&rows).expect("there is one");
        assert_eq!(
            slowest.words(),
            "infer, 60 % of the threads' work (3.00 ms an image); then decode, 40 % of the threads' work (2.00 ms an image)"
        );
        rows[0].blocked_s = Some(1.0);
        let waited = Slowest::of(&rows).expect("there is one").words();
        assert!(
            waited.ends_with("; threads waited 50 % of their time"),
            "{waited}"
        );
        assert_eq!(slowest.json()["stages"][0]["stage"], "infer");
    }

    #[test]
    fn nothing_is_said_where_nothing_was_scored_or_measured() {
        assert_eq!(Slowest::of(&[]), None);
        let before = [
            row("score", "infer", None, 5),
            row("score", "total", None, 5),
        ];
        assert_eq!(Slowest::of(&before), None);
        assert_eq!(Slowest::of(&[row("list", "list", Some(1.0), 5)]), None);
    }
}
