//! A job's results as one HTML file that opens offline: the table, the curves of all runs
//! on the same images, and for each run its curves, scores and images.
//!
//! Pure: [`Report::html`] is a function of plain values, and the same values give the same bytes. The file holds no script
//! and asks for nothing: its own policy forbids both. Whatever stands in names, addresses and messages is text there
//! (see `html`), and it stays below [`FILE_LIMIT`] however many runs and pictures there are.

mod base64;
mod budget;
mod chart;
mod choice;
mod curve;
mod figures;
mod gallery;
mod groups;
mod histogram;
mod html;
mod number;
mod page;
mod picture;
mod run;
mod scores;
mod search;
mod switch;
mod table;
mod values;

#[cfg(test)]
mod tests;

/// What a report is filled with, besides its own types.
pub use metrics::{FprLimit, Interval, RawScore};

pub use budget::FILE_LIMIT;
pub use choice::PICTURES_PER_LIST;
pub use curve::{Curve, NotACurve, PixelCurves};
pub use histogram::Histogram;
pub use number::{metric, plural};
pub use picture::{NotAPicture, PICTURE_LIMIT, Picture, Pictured};
pub use scores::{Cut, Scored, Scores, Truth};
pub use search::{Search, Setting, Trial};
pub use switch::{Flip, Folder, Side, Switch};
pub use values::{Finished, Job, Mean, Measure, Metric, Outcome, Report, Run, Times};
