//! How much of what there is goes into the file.

use crate::html::Html;

/// Bytes that no report exceeds: what a mail takes and a browser opens at once.
pub const FILE_LIMIT: usize = 10_000_000;

/// Of the file besides style and frame.
pub const BODY: usize = 9_900_000;
/// Title, tiles and facts, whose texts are cut.
pub const HEAD: usize = 200_000;
pub const NOTES: usize = 300_000;
pub const TABLE: usize = 3_000_000;
/// The curves of several runs together: about 20 KB a category.
pub const GROUPS: usize = 1_500_000;

const _: () = assert!(HEAD + NOTES + TABLE + GROUPS < BODY && BODY < FILE_LIMIT);

/// What each of several may have at most, so that all together have no more than there is: those that want less leave the
/// rest to the others.
pub fn share(wanted: &[usize], room: usize) -> usize {
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    let mut room = room;
    for (at, one) in wanted.iter().enumerate() {
        let equal = room / (wanted.len() - at);
        if *one > equal {
            return equal;
        }
        room -= one;
    }
    wanted.last().copied().unwrap_or(0)
}

/// Pieces one after the other, as many as there is room for.
#[derive(Debug, Default)]
pub struct Fitted {
    pub html: Html,
    pub taken: usize,
    pub left_out: usize,
}

impl Fitted {
    /// The first piece that does not fit ends it, so that what is there is a beginning and not a selection.
    pub fn new(pieces: impl IntoIterator<Item = Html>, room: usize) -> Self {
        let mut fitted = Self::default();
        let mut pieces = pieces.into_iter();
        for piece in pieces.by_ref() {
            if fitted.html.len() + piece.len() > room {
                fitted.left_out = 1;
                break;
            }
            fitted.html.push(&piece);
            fitted.taken += 1;
        }
        fitted.left_out += pieces.count();
        fitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_equal_where_not_all_can_have_what_they_want() {
        for (wanted, room, expected) in [
            (&[][..], 9, 0),
            (&[3, 1, 2], 6, 3),
            (&[3, 1, 2], 5, 2),
            (&[10, 10, 10], 9, 3),
            (&[0, 100, 100], 10, 5),
            (&[1, 100], 10, 9),
        ] {
            assert_eq!(share(wanted, room), expected, "{wanted:?} of {room}");
        }
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let piece = |text: &str| {
            let mut html = Html::new();
            html.text(text);
            html
        };
        let pieces = ["aa", "bb", "cccc", "d"].map(piece);
        let fitted = Fitted::new(pieces.clone(), 5);
        assert_eq!((fitted.taken, fitted.left_out), (2, 2));
        assert_eq!(fitted.html.into_string(), "aabb");
        let fitted = Fitted::new(pieces, 9);
        assert_eq!((fitted.taken, fitted.left_out), (4, 0));
        assert_eq!(Fitted::new([], 0).left_out, 0);
    }
}
