//! What a listing came upon and left out: counted by reason, the first of each named.

use std::{collections::BTreeMap, fmt::Display, mem};

use archive::Problem;

/// How many there are, and the first.
#[derive(Debug, Default)]
struct Counted {
    count: u64,
    first: String,
}

impl Counted {
    fn add(&mut self, one: impl FnOnce() -> String) {
        if self.count == 0 {
            self.first = one();
        }
        self.count += 1;
    }

    fn then(&self, tell: impl FnOnce(&Self) -> String) -> Option<String> {
        (self.count > 0).then(|| tell(self))
    }
}

#[derive(Debug, Default)]
pub struct LeftOut {
    /// Images that nothing here reads, by their endings.
    unread: BTreeMap<&'static str, u64>,
    /// In folders, or found by globs for images.
    archives: Counted,
    /// In archives.
    nested: Counted,
    /// Links that lead nowhere, names without an address.
    unusable: Counted,
    /// Of size, time and ending.
    filtered: u64,
    /// What is no image by its name.
    others: Counted,
    /// Of lists and archives, a line each.
    lines: Vec<String>,
}

impl LeftOut {
    pub fn unread(&mut self, ending: &'static str) {
        *self.unread.entry(ending).or_default() += 1;
    }

    /// So many archives, of which the first is this one.
    pub fn archives(&mut self, count: u64, first: Option<String>) {
        self.archives = Counted {
            count,
            first: first.unwrap_or_default(),
        };
    }

    pub fn nested(&mut self, uri: impl FnOnce() -> String) {
        self.nested.add(uri);
    }

    pub fn unusable(&mut self, error: &impl Display) {
        self.unusable.add(|| error.to_string());
    }

    pub fn filtered(&mut self) {
        self.filtered += 1;
    }

    pub fn other(&mut self, uri: impl FnOnce() -> String) {
        self.others.add(uri);
    }

    pub fn line(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// Entries of an archive, by why they are.
    pub fn entries(&mut self, archive: &str, problems: &[Problem]) {
        if problems.is_empty() {
            return;
        }
        // A handful of reasons at most.
        let mut reasons: Vec<(&Problem, u64)> = Vec::new();
        for problem in problems {
            let reason = mem::discriminant(&problem.refusal);
            let same = reasons
                .iter_mut()
                .find(|(first, _)| mem::discriminant(&first.refusal) == reason);
            match same {
                Some((_, count)) => *count += 1,
                None => reasons.push((problem, 1)),
            }
        }
        let reasons = reasons.iter().map(|(first, count)| {
            let (entry, refusal) = (&first.entry, &first.refusal);
            match count {
                1 => format!("{entry}: {refusal}"),
                count => format!("{entry} and {} more: {refusal}", count - 1),
            }
        });
        let reasons: Vec<String> = reasons.collect();
        let are = are(problems.len() as u64, "entry is", "entries are");
        self.lines
            .push(format!("{archive}: {are} left out: {}", reasons.join("; ")));
    }

    /// What somebody may miss, who has got other images.
    pub fn warnings(&self) -> Vec<String> {
        let unread = self.unread.iter().map(|(ending, count)| {
            let are = are(*count, "image is", "images are");
            format!(
                "{are} left out: {ending} is not read here; with `extensions: [{ending}, ...]` each is a row with that error"
            )
        });
        let archives = self.archives.then(|Counted { count, first }| {
            let are = are(*count, "archive is", "archives are");
            format!(
                "{are} not opened, the first is {first}: name each, or all by a glob that ends like them (`FOLDER/*.tar`)"
            )
        });
        let nested = self.nested.then(|Counted { count, first }| {
            let are = are(
                *count,
                "archive inside of another is",
                "archives inside of other archives are",
            );
            format!("{are} not opened, the first is {first}: unpack it from there, and name it")
        });
        let unusable = self.unusable.then(|Counted { count, first }| {
            let are = are(*count, "name is", "names are");
            format!("{are} left out, for the first one this is why: {first}")
        });
        let lines = self.lines.iter().cloned();
        lines
            .chain(unread)
            .chain(archives)
            .chain(nested)
            .chain(unusable)
            .collect()
    }

    /// Why there is no image at all.
    pub fn all(&self) -> Vec<String> {
        let filtered = (self.filtered > 0).then(|| {
            let are = are(self.filtered, "image is", "images are");
            format!(
                "{are} there, and left out by min_bytes, max_bytes, modified_since, modified_before or extensions"
            )
        });
        let others = self.others.then(|Counted { count, first }| {
            let are = are(*count, "file is", "files are");
            format!("{are} there, but no image by the ending of the name, such as {first}")
        });
        let mut all = self.warnings();
        all.extend(filtered.into_iter().chain(others));
        all
    }
}

fn are(count: u64, one: &str, more: &str) -> String {
    let words = if count == 1 { one } else { more };
    format!("{count} {words}")
}

#[cfg(test)]
mod tests {
    use archive::{Problem, Refusal};

    use super::LeftOut;

    #[test]
    fn entries_are_told_by_reason_with_the_first_of_each() {
        let mut left_out = LeftOut::default();
        left_out.entries("a.tar", &[]);
        assert!(left_out.warnings().is_empty());
        let problem = |entry: &str, refusal| Problem {
            entry: entry.to_owned(),
            refusal,
        };
        let problems = [
            problem("../evil.png", Refusal::NameClimbs),
            problem("old.png", Refusal::Method(12)),
            problem("../worse.png", Refusal::NameClimbs),
            problem("odd.png", Refusal::Method(99)),
        ];
        left_out.entries("a.tar", &problems);
        left_out.entries("b.tar", &problems[1..2]);
        let method = "it is compressed by method 12; only Deflate and none are read";
        assert_eq!(
            left_out.warnings(),
            [
                format!(
                    "a.tar: 4 entries are left out: ../evil.png and 1 more: its name climbs by `..`; old.png and 1 more: {method}"
                ),
                format!("b.tar: 1 entry is left out: old.png: {method}"),
            ]
        );
    }

    #[test]
    fn what_filters_leave_out_is_told_only_where_nothing_is_left() {
        let mut left_out = LeftOut::default();
        left_out.filtered();
        left_out.other(|| "a.txt".to_owned());
        assert!(left_out.warnings().is_empty());
        let all = left_out.all();
        assert!(all[0].starts_with("1 image is there, and left out by min_bytes"));
        assert!(all[1].starts_with("1 file is there") && all[1].ends_with("a.txt"));
        for _ in 0..2 {
            left_out.nested(|| "a.tar!/c.zip".to_owned());
            left_out.unread(".gif");
            left_out.unusable(&"b.png is a link");
        }
        left_out.archives(2, Some("b.tar".to_owned()));
        let warnings = left_out.warnings();
        for (warning, said) in warnings.iter().zip([
            "2 images are left out: .gif is not read here",
            "2 archives are not opened, the first is b.tar",
            "2 archives inside of other archives are not opened, the first is a.tar!/c.zip",
            "2 names are left out, for the first one this is why: b.png is a link",
        ]) {
            assert!(warning.starts_with(said), "{warning}");
        }
        assert_eq!((warnings.len(), left_out.all().len()), (4, 6));
    }
}
