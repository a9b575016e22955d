//! What changes from one job to another on the same images, as one HTML file.

use crate::base64;
use crate::budget::FILE_LIMIT;
use crate::gallery;
use crate::html::Html;
use crate::number;
use crate::page;
use crate::picture::Picture;
use crate::scores::Truth;

/// Folders that the table shows, those with the most flips.
const FOLDERS: usize = 200;
/// Bytes that are kept for what is no picture.
const TEXT: usize = 1_000_000;

/// Decisions of two jobs on the images that both have decided. Index 0 is the first job.
#[derive(Debug, Clone, PartialEq)]
pub struct Switch {
    pub sides: [Side; 2],
    /// Images by decision: `[first][second]`, 0 normal, 1 anomalous.
    pub images: [[u64; 2]; 2],
    /// Images that only one of the jobs has.
    pub only: [u64; 2],
    /// Images that were written between the jobs: what they decide differently says nothing about the jobs. They are in none
    /// of the other counts.
    pub changed: u64,
    /// Images that both have, and that at least one could not score or decide.
    pub undecided: u64,
    /// How alike both order the images they have scores of: Spearman's rank correlation. `None`: too few, or all alike.
    pub rank_correlation: Option<f64>,
    pub folders: Vec<Folder>,
    /// Images whose decision flips: to anomalous, to normal; the clearest first.
    pub flips: [Vec<Flip>; 2],
    /// Of images with labels, how many each job decides rightly, and of how many. `None`: none has one.
    pub right: Option<([u64; 2], u64)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    pub job: String,
    pub name: String,
    /// Class of the model and what distinguishes it, or the name of a package.
    pub model: String,
    /// Of the package that scored; `None`: the job trained its model, or scored by a file without versions.
    pub version: Option<u32>,
    pub threshold: Option<f64>,
}

/// Images of one folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Folder {
    pub name: String,
    pub images: u64,
    /// By each job.
    pub anomalous: [u64; 2],
    /// To anomalous, to normal.
    pub flipped: [u64; 2],
}

/// An image on which the jobs do not agree.
#[derive(Debug, Clone, PartialEq)]
pub struct Flip {
    pub uri: String,
    pub truth: Option<Truth>,
    /// By each job.
    pub scores: [f32; 2],
    /// 0 to 1, 0.5 at the threshold; `None` without bounds.
    pub normalized: [Option<f32>; 2],
    pub image: Option<Picture>,
    /// With each job's anomaly map.
    pub overlays: [Option<Picture>; 2],
    /// Why it could not be drawn, by one of the jobs or both.
    pub lacks: Option<String>,
}

impl Switch {
    /// Images that both jobs have decided.
    pub fn decided(&self) -> u64 {
        self.images.iter().flatten().sum()
    }

    /// To anomalous, to normal.
    pub fn flipped(&self) -> [u64; 2] {
        [self.images[0][1], self.images[1][0]]
    }

    /// The file. Equal values give equal bytes.
    pub fn html(&self) -> String {
        let (mut head, mut main) = (Html::new(), Html::new());
        self.head(&mut head);
        self.tables(&mut main);
        let mut room = FILE_LIMIT - TEXT;
        let titles = [
            ("Become anomalous", "normal before, by the first job"),
            ("Become normal", "anomalous before, by the first job"),
        ];
        for ((title, explained), flips) in titles.into_iter().zip(&self.flips) {
            if flips.is_empty() {
                continue;
            }
            main.markup("<section><h2>")
                .markup(title)
                .markup(" <small>")
                .markup(explained)
                .markup("; the clearest first. Below each image its map by the first job, and by the second</small></h2><div class=\"gallery\"><ul>");
            for flip in flips {
                flip.card(&mut main, &mut room);
            }
            main.markup("</ul></div></section>");
        }
        let mut foot = Html::new();
        foot.markup("Jobs ")
            .cut(&self.sides[0].job, 100)
            .markup(" and ")
            .cut(&self.sides[1].job, 100);
        page::document("Nightshift difference", &head, &main, &foot)
    }

    fn head(&self, html: &mut Html) {
        html.markup("<p class=\"kind\">difference report</p><h1>");
        let [first, second] = &self.sides;
        html.cut(&first.named(), 200)
            .markup(" → ")
            .cut(&second.named(), 200);
        html.markup("</h1><dl class=\"tiles\">");
        let mut tile = |name, value: &str, more: &str| page::tile(html, name, value, more);
        let [to_anomalous, to_normal] = self.flipped();
        let decided = self.decided();
        let of = |count: u64| format!("{} of the images", number::share(count, decided));
        tile("Images", &number::count(decided), "decided by both jobs");
        tile(
            "Become anomalous",
            &number::count(to_anomalous),
            &of(to_anomalous),
        );
        tile("Become normal", &number::count(to_normal), &of(to_normal));
        if let Some(correlation) = self.rank_correlation {
            let value = number::metric(correlation);
            tile(
                "Rank correlation",
                &value,
                "of the scores; 1: the same order",
            );
        }
        if let Some(([first, second], of)) = self.right {
            let value = format!("{} → {}", number::count(first), number::count(second));
            tile(
                "Right",
                &value,
                &format!("of {} with labels", number::count(of)),
            );
        }
        html.markup("</dl><dl class=\"facts\">");
        for (place, side) in ["First job", "Second job"].into_iter().zip(&self.sides) {
            html.markup("<div><dt>").markup(place).markup("</dt><dd>");
            html.cut(&side.name, 200)
                .markup(" <code>")
                .cut(&side.job, 100)
                .markup("</code> by ")
                .cut(&side.named(), 200);
            if let Some(threshold) = side.threshold {
                html.markup(", anomalous from ")
                    .text(&number::score(threshold));
            }
            html.markup("</dd></div>");
        }
        html.markup("</dl>");
    }

    fn tables(&self, html: &mut Html) {
        let only = ["first", "second"].into_iter().zip(self.only);
        for (side, count) in only.filter(|(_, count)| *count > 0) {
            html.markup("<p class=\"caution\">")
                .text(&number::counted(count, "image"));
            html.markup(" only the ")
                .markup(side)
                .markup(" job has.</p>");
        }
        if self.changed > 0 {
            html.markup("<p class=\"caution\">")
                .text(&number::counted(self.changed, "image"));
            html.markup(" written anew between the jobs: not compared.</p>");
        }
        if self.undecided > 0 {
            html.markup("<p class=\"caution\">")
                .text(&number::counted(self.undecided, "image"));
            html.markup(" at least one of the jobs could not score or decide.</p>");
        }
        html.markup("<section><h2>Decisions</h2><table class=\"decisions\"><thead><tr><td></td><th>second: normal</th><th>second: anomalous</th></tr></thead><tbody>");
        let rows = ["first: normal", "first: anomalous"].into_iter();
        for (first, (name, row)) in rows.zip(&self.images).enumerate() {
            html.markup("<tr><th>").markup(name).markup("</th>");
            for (second, count) in row.iter().enumerate() {
                html.markup(if first == second {
                    "<td><b>"
                } else {
                    "<td class=\"wrong\"><b>"
                });
                html.text(&number::count(*count)).markup("</b></td>");
            }
            html.markup("</tr>");
        }
        html.markup("</tbody></table></section>");
        if self.folders.is_empty() {
            return;
        }
        html.markup("<section><h2>Folders</h2><div class=\"wide\"><table class=\"results\"><thead><tr><th class=\"first\">folder</th><th class=\"num\">images</th><th class=\"num\">anomalous, first</th><th class=\"num\">second</th><th class=\"num\">now anomalous</th><th class=\"num\">now normal</th></tr></thead><tbody>");
        for folder in self.folders.iter().take(FOLDERS) {
            html.markup("<tr><td class=\"first\">")
                .cut(&folder.name, 200)
                .markup("</td>");
            let rates = folder.anomalous.map(|count| {
                format!(
                    "{} ({})",
                    number::share(count, folder.images),
                    number::count(count)
                )
            });
            let [first, second] = rates;
            let [to_anomalous, to_normal] = folder.flipped.map(number::count);
            for cell in [
                number::count(folder.images),
                first,
                second,
                to_anomalous,
                to_normal,
            ] {
                html.markup("<td class=\"num\">")
                    .text(&cell)
                    .markup("</td>");
            }
            html.markup("</tr>");
        }
        html.markup("</tbody></table></div>");
        if let Some(more) = self
            .folders
            .len()
            .checked_sub(FOLDERS)
            .filter(|more| *more > 0)
        {
            html.markup("<p class=\"caution\">")
                .text(&number::counted(more as u64, "folder"));
            html.markup(" more, with fewer flips.</p>");
        }
        html.markup("</section>");
    }
}

impl Side {
    /// The model with its version, as commands name it.
    fn named(&self) -> String {
        match self.version {
            Some(version) => format!("{}@{version}", self.model),
            None => self.model.clone(),
        }
    }
}

impl Flip {
    fn card(&self, html: &mut Html, room: &mut usize) {
        let name = gallery::short(&self.uri);
        html.markup("<li class=\"card\"><div class=\"pictures\">");
        let pictures = || self.image.iter().chain(self.overlays.iter().flatten());
        let needed: usize = pictures()
            .map(|picture| base64::length(picture.size()))
            .sum();
        if self.image.is_none() {
            gallery::absent(html, self.lacks.as_deref().unwrap_or("no picture"));
        } else if needed > *room {
            gallery::absent(html, gallery::NO_ROOM);
        } else {
            *room -= needed;
            for picture in pictures() {
                html.markup("<img alt=\"").text(&name).markup("\" src=\"");
                html.data(picture).markup("\">");
            }
            if let Some(lacks) = &self.lacks {
                gallery::absent(html, lacks);
            }
        }
        html.markup("</div><div class=\"said\"><span class=\"score\">");
        for (at, (score, normalized)) in self.scores.iter().zip(self.normalized).enumerate() {
            html.markup(if at == 0 { "" } else { " → " });
            html.text(&number::score((*score).into()));
            if let Some(normalized) = normalized {
                html.markup(" <small>(")
                    .text(&format!("{normalized:.2}"))
                    .markup(")</small>");
            }
        }
        html.markup("</span>");
        if let Some(truth) = self.truth {
            html.markup(" <span class=\"label ")
                .markup(truth.word())
                .markup("\">");
            html.markup(truth.word()).markup("</span>");
        }
        html.markup("</div><div class=\"name\" title=\"")
            .cut(&self.uri, 300)
            .markup("\">");
        html.text(&name).markup("</div></li>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch() -> Switch {
        let side = |job: &str| Side {
            job: job.to_owned(),
            name: "night".to_owned(),
            model: "Padim <b>".to_owned(),
            version: Some(7),
            threshold: Some(1.5),
        };
        let folder = |name: &str| Folder {
            name: name.to_owned(),
            images: 50,
            anomalous: [5, 7],
            flipped: [3, 1],
        };
        Switch {
            sides: [side("a"), side("b")],
            images: [[90, 3], [1, 6]],
            only: [0, 2],
            changed: 4,
            undecided: 1,
            rank_correlation: Some(0.99996),
            folders: vec![folder("cam1"), folder("cam2")],
            flips: [
                vec![Flip {
                    uri: "file:///n/cam1/<x>.png".to_owned(),
                    truth: Some(Truth::Normal),
                    scores: [1.0, 2.0],
                    normalized: [Some(0.4), None],
                    image: Picture::new(vec![0xff, 0xd8, 0xff, 1]).ok(),
                    overlays: [None, None],
                    lacks: None,
                }],
                Vec::new(),
            ],
            right: Some(([97, 95], 100)),
        }
    }

    #[test]
    fn counts_are_told_and_nothing_in_a_name_is_markup() {
        let html = switch().html();
        assert!(
            html.contains("Padim &lt;b&gt;") && !html.contains("<x>"),
            "{html}"
        );
        for text in [
            "3.00 %",
            "1.00 %",
            "97 → 95",
            "Padim &lt;b&gt;@7",
            "4 images written anew between the jobs",
            "0.9999",
            "cam2",
            "data:image/jpeg;base64,",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(html.contains("Become anomalous") && !html.contains("<h2>Become normal"));
        assert_eq!(html, switch().html());
    }

    #[test]
    fn an_image_that_is_not_drawn_says_why() {
        let mut switch = switch();
        let flip = &mut switch.flips[0][0];
        flip.image = None;
        flip.lacks = Some("not_found: it does not exist".to_owned());
        assert!(switch.html().contains("not_found: it does not exist"));
    }

    #[test]
    fn the_file_stays_below_its_limit() {
        let mut switch = switch();
        let mut flip = switch.flips[0][0].clone();
        let mut bytes = vec![0xff, 0xd8, 0xff];
        bytes.resize(300_000, 7);
        flip.image = Picture::new(bytes).ok();
        switch.flips = [vec![flip.clone(); 40], vec![flip; 40]];
        switch.folders = vec![switch.folders[0].clone(); 1000];
        let html = switch.html();
        assert!(html.len() < FILE_LIMIT, "{}", html.len());
        assert!(html.contains("left out to keep") && html.contains("800 folders"));
    }
}
