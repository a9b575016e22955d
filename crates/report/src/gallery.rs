//! The worst and the best images of a run.

use crate::base64;
use crate::choice::List;
use crate::html::Html;
use crate::number;
use crate::picture::Pictured;
use crate::run::verdict;
use crate::scores::{Cut, Scored};
use crate::values::Finished;

/// Characters of an image's address below its picture; the whole stands in its title.
const NAME: usize = 60;
/// Bytes that stand around a picture at most: its text, of characters that become six each.
const AROUND: usize = 6 * NAME + 200;
/// In the place of a picture.
pub(crate) const NO_ROOM: &str = "left out to keep the file below 10 MB";

/// Bytes of all pictures that are shown.
pub fn wanted(finished: &Finished) -> usize {
    Finished::shown(&finished.scores)
        .into_iter()
        .filter_map(|image| finished.pictures.get(&image.uri))
        .map(embedded)
        .sum()
}

fn embedded(pictured: &Pictured) -> usize {
    pictured
        .pictures()
        .map(|picture| base64::length(picture.size()) + AROUND)
        .sum()
}

/// All lists; pictures of at most `room` bytes, those of the first lists first.
pub fn lists(finished: &Finished, room: usize) -> Html {
    let mut html = Html::new();
    let mut room = room;
    let with_maps = |pictured: &Pictured| matches!(pictured, Pictured::WithMap { .. });
    if finished.pictures.values().any(with_maps) {
        html.markup(
            "<p class=\"key\">Below each image its anomaly map, <span class=\"heat\"></span> ",
        );
        match finished.heat {
            Some([low, high]) => {
                html.markup("from ").text(&number::score(low.into()));
                html.markup(" to ").text(&number::score(high.into()));
            }
            None => _ = html.markup("the redder, the more unusual"),
        }
        html.markup(". Light blue: the outline of the defect as it was marked. Dark margins: what the model does not look at.</p>");
    }
    for (list, images) in List::ALL.into_iter().zip(List::choose(&finished.scores)) {
        if images.is_empty() {
            continue;
        }
        let (title, explained) = titles(list, finished.cut.as_ref());
        html.markup("<div class=\"gallery\"><h4>").markup(title);
        html.markup(" <small>")
            .markup(explained)
            .markup("</small></h4><ul>");
        for image in images {
            let card = card(image, finished, &mut room);
            html.push(&card);
        }
        html.markup("</ul></div>");
    }
    html
}

fn titles(list: List, cut: Option<&Cut>) -> (&'static str, &'static str) {
    let decided = cut.is_some();
    match list {
        List::WorstNormal => (
            "Normal, highest scores",
            if decided {
                "false alarms, and what is nearest to one"
            } else {
                "the most suspicious of the good"
            },
        ),
        List::WorstAnomalous => (
            "Anomalous, lowest scores",
            if decided {
                "misses, and what is nearest to one"
            } else {
                "the least suspicious of the bad"
            },
        ),
        List::BestAnomalous => ("Anomalous, highest scores", "found most clearly"),
        List::BestNormal => ("Normal, lowest scores", "the most normal"),
        List::Highest => ("Highest scores", "of the images without label"),
        List::Lowest => ("Lowest scores", "the most normal"),
    }
}

fn card(image: &Scored, finished: &Finished, room: &mut usize) -> Html {
    let mut html = Html::new();
    let name = short(&image.uri);
    html.markup("<li class=\"card ")
        .markup(image.truth.word())
        .markup("\"><div class=\"pictures\">");
    match finished.pictures.get(&image.uri) {
        None => absent(&mut html, "no picture"),
        Some(Pictured::Missing { reason }) => absent(&mut html, reason),
        Some(pictured) => {
            let needed = embedded(pictured);
            if needed > *room {
                absent(&mut html, NO_ROOM);
            } else {
                *room -= needed;
                embed(&mut html, pictured, &name, image);
            }
        }
    }
    html.markup("</div><div class=\"said\"><span class=\"score\">");
    html.text(&number::score(image.score.value().into()));
    html.markup("</span> <span class=\"label ")
        .markup(image.truth.word())
        .markup("\">");
    html.markup(image.truth.word()).markup("</span>");
    if let Some(verdict) = verdict(finished.cut.as_ref(), image) {
        html.markup(" <span class=\"verdict\">")
            .markup(verdict)
            .markup("</span>");
    }
    if let Some(value) = finished.aupimo.get(&image.uri) {
        html.markup(" <span class=\"aupimo\">AUPIMO ")
            .text(&number::metric(*value))
            .markup("</span>");
    }
    html.markup("</div><div class=\"name\" title=\"")
        .cut(&image.uri, 300)
        .markup("\">");
    html.text(&name).markup("</div></li>");
    html
}

pub(crate) fn absent(html: &mut Html, reason: &str) {
    html.markup("<p class=\"absent\">")
        .cut(reason, 160)
        .markup("</p>");
}

fn embed(html: &mut Html, pictured: &Pictured, name: &str, image: &Scored) {
    let score = number::score(image.score.value().into());
    for (at, picture) in pictured.pictures().enumerate() {
        html.markup("<img alt=\"");
        if at > 0 {
            html.markup("Anomaly map over ");
        }
        html.text(name)
            .markup(", ")
            .markup(image.truth.word())
            .markup(", score ")
            .text(&score);
        html.markup("\" src=\"").data(picture).markup("\">");
    }
}

/// The end of an address tells images apart.
pub(crate) fn short(uri: &str) -> String {
    let parts: Vec<&str> = uri.rsplitn(4, '/').take(3).collect();
    let end = parts.into_iter().rev().collect::<Vec<_>>().join("/");
    let end = if end.is_empty() { uri.to_owned() } else { end };
    let length = end.chars().count();
    if length <= NAME {
        return end;
    }
    let tail: String = end.chars().skip(length - NAME).collect();
    format!("…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_ends_of_addresses() {
        assert_eq!(
            short("file:///data/t/grid/test/bad/001.png"),
            "test/bad/001.png"
        );
        assert_eq!(short("001.png"), "001.png");
        assert_eq!(short(""), "");
        let long = format!("{}.png", "ä".repeat(100));
        assert_eq!(short(&long).chars().count(), NAME + 1);
    }
}
