//! The whole document.

use crate::budget::{self, Fitted};
use crate::groups;
use crate::html::Html;
use crate::number;
use crate::run::Section;
use crate::search::Search;
use crate::table;
use crate::values::{Outcome, Report};

/// Forbids everything but the file's own style and pictures, whatever else stood in it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
const STYLE: &str = include_str!("style.css");

/// One of the numbers at the top.
pub(crate) fn tile(html: &mut Html, name: &'static str, value: &str, more: &str) {
    html.markup("<div><dt>")
        .markup(name)
        .markup("</dt><dd>")
        .text(value);
    html.markup(" <small>")
        .text(more)
        .markup("</small></dd></div>");
}

/// A file of its own, with this style.
pub(crate) fn document(title: &str, head: &Html, main: &Html, foot: &Html) -> String {
    let mut html = Html::new();
    html.markup("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"Content-Security-Policy\" content=\"");
    html.markup(POLICY);
    html.markup("\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>");
    html.cut(title, 220).markup("</title><style>");
    html.markup(STYLE).markup("</style></head>\n<body><header>");
    html.push(head).markup("</header><main>");
    html.push(main).markup("</main><footer>").push(foot);
    html.markup(". Written by Nightshift; this file needs no network and runs no script.</footer></body></html>\n");
    html.into_string()
}

impl Report {
    /// The file. Equal reports give equal bytes.
    pub fn html(&self) -> String {
        let (mut head, mut notes) = (Html::new(), Html::new());
        self.head(&mut head);
        self.notes(&mut notes);
        // With a link in every row; fewer links make it shorter.
        let longest = table::table(self, self.runs.len()).len();
        let mut groups = groups::section(self, self.runs.len());
        let search = self
            .search
            .as_ref()
            .map(Search::section)
            .unwrap_or_default();
        let others = head.len() + notes.len() + search.len() + longest + groups.len();
        let sections = self.sections(budget::BODY.saturating_sub(others));
        let mut html = Html::new();
        html.push(&notes).push(&search);
        html.markup("<section><h2>Results</h2>");
        if self.search.is_some() && self.runs.is_empty() {
            html.markup("<p>Nothing was measured on test images: <code>refit: true</code> does that once, if a trial came to a value.</p>");
        } else if self.runs.is_empty() {
            html.markup("<p>The job has no runs.</p>");
        } else {
            html.push(&table::table(self, sections.taken));
        }
        html.markup("</section>");
        if sections.left_out > 0 {
            groups = groups::section(self, sections.taken);
        }
        html.push(&groups);
        if sections.taken > 0 {
            html.markup("<h2>Runs</h2>").push(&sections.html);
        }
        if sections.left_out > 0 {
            html.markup("<p class=\"caution\">")
                .text(&number::counted(sections.left_out as u64, "run"));
            html.markup(
                " more: what is known of each is left out here, to keep the file below 10 MB.</p>",
            );
        }
        let mut foot = Html::new();
        foot.markup("Job ").cut(&self.job.id, 100);
        let title = format!("{} · Nightshift report", self.job.name);
        document(&title, &head, &html, &foot)
    }

    fn head(&self, html: &mut Html) {
        let job = &self.job;
        html.markup("<p class=\"kind\">")
            .cut(&job.kind, 40)
            .markup(" report</p><h1>");
        html.cut(&job.name, 200).markup("</h1><p class=\"job\">");
        table::badge(html, &job.state);
        html.markup(" <code>")
            .cut(&job.id, 100)
            .markup("</code></p><dl class=\"tiles\">");
        let mut tile = |name, value: &str, more: &str| tile(html, name, value, more);
        let finished = || {
            self.runs.iter().filter_map(|run| match &run.outcome {
                Outcome::Finished(finished) => Some(finished),
                Outcome::Unfinished { .. } => None,
            })
        };
        let of = format!("of {} succeeded", number::count(self.runs.len() as u64));
        tile("Runs", &number::count(finished().count() as u64), &of);
        let images: u64 = finished()
            .map(|finished| finished.scores.len() as u64)
            .sum();
        let unreadable: u64 = finished().map(|finished| finished.unreadable).sum();
        let has_labels = finished().any(|finished| finished.scores.has_labels());
        let predicts = finished().any(|finished| finished.predicts);
        let more = match unreadable {
            0 if (images > 0 && !has_labels) || predicts => "images scored".to_owned(),
            0 => "test images scored".to_owned(),
            _ => format!("scored, {} unreadable", number::count(unreadable)),
        };
        tile("Image scores", &number::count(images), &more);
        let confusions = || {
            finished().filter_map(|finished| {
                let cut = finished.cut.filter(|_| finished.scores.has_labels())?;
                Some(finished.scores.confusion(&cut))
            })
        };
        if confusions().next().is_some() {
            let alarms = confusions()
                .map(|confusion| confusion.false_positives)
                .sum();
            let missed = confusions()
                .map(|confusion| confusion.false_negatives)
                .sum();
            tile(
                "False alarms",
                &number::count(alarms),
                "normal, called anomalous",
            );
            tile("Missed", &number::count(missed), "anomalous, called normal");
        }
        let unlabelled: Vec<u64> = finished()
            .filter_map(|finished| {
                let (images, called) = finished.scores.unlabelled(finished.cut.as_ref());
                called.filter(|_| images > 0)
            })
            .collect();
        if !unlabelled.is_empty() {
            tile(
                "Anomalous",
                &number::count(unlabelled.iter().sum()),
                "of those without label, by the threshold",
            );
        }
        html.markup("</dl>");
        let facts = job.facts.iter().take(40).map(|(name, value)| {
            let mut fact = Html::new();
            fact.markup("<div><dt>")
                .cut(name, 60)
                .markup("</dt><dd>")
                .cut(value, 400);
            fact.markup("</dd></div>");
            fact
        });
        let facts = Fitted::new(facts, budget::HEAD / 2);
        if facts.taken > 0 {
            html.markup("<dl class=\"facts\">")
                .push(&facts.html)
                .markup("</dl>");
        }
    }

    fn notes(&self, html: &mut Html) {
        let notes = self.notes.iter().map(|note| {
            let mut line = Html::new();
            line.markup("<li>").cut(note, 2_000).markup("</li>");
            line
        });
        let notes = Fitted::new(notes, budget::NOTES - 1_000);
        if notes.taken > 0 {
            html.markup("<section class=\"notes\"><h2>Notes</h2><ul>")
                .push(&notes.html);
            html.markup("</ul></section>");
        }
        if notes.left_out > 0 {
            html.markup("<p class=\"caution\">")
                .text(&number::counted(notes.left_out as u64, "note"));
            html.markup(" more: left out here.</p>");
        }
    }

    /// The first runs of which there is room for all that is written; pictures share what is left.
    fn sections(&self, room: usize) -> Fitted {
        let (mut sections, mut text) = (Vec::new(), 0);
        for (place, run) in self.runs.iter().enumerate() {
            let section = Section::new(place, run);
            if text + section.text > room {
                break;
            }
            text += section.text;
            sections.push(section);
        }
        let wanted: Vec<usize> = sections.iter().map(|section| section.wanted).collect();
        let share = budget::share(&wanted, room - text);
        let mut fitted = Fitted::new(sections.iter().map(|section| section.html(share)), room);
        fitted.left_out += self.runs.len() - sections.len();
        fitted
    }
}
