//! Refused calls in the log: the first at once, the others of the same kind counted, so that nobody fills the disk with them.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Between two lines about refusals of one kind.
const EVERY: Duration = Duration::from_secs(60);

/// Why somebody was refused. There are no more kinds than tokens, whatever strangers send.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Stranger {
    WithoutToken,
    UnknownToken,
    /// Whatever its token.
    TooFast,
    /// The name of the token, which is good for other calls.
    OfOtherRole(String),
}

/// Of [`Stranger`], as monitoring names them.
const REASONS: [&str; 4] = ["no_token", "unknown_token", "other_role", "too_fast"];

impl Stranger {
    /// Place in [`REASONS`].
    fn reason(&self) -> usize {
        match self {
            Self::WithoutToken => 0,
            Self::UnknownToken => 1,
            Self::OfOtherRole(_) => 2,
            Self::TooFast => 3,
        }
    }
}

/// One refused call, as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub call: String,
    pub from: Option<SocketAddr>,
    pub why: String,
}

/// Says refusals; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    unsaid: Arc<Mutex<Counts>>,
    /// Since the start, in the order of [`REASONS`].
    all: Arc<[AtomicU64; REASONS.len()]>,
}

/// Refusals that were not said since the last line about their kind, with the newest.
#[derive(Debug, Default)]
struct Counts(HashMap<Stranger, Option<(u64, Refusal)>>);

impl Counts {
    /// The refusal, if it is to be said now.
    fn note(&mut self, whom: Stranger, refusal: Refusal) -> Option<Refusal> {
        let Some(unsaid) = self.0.get_mut(&whom) else {
            self.0.insert(whom, None);
            return Some(refusal);
        };
        let before = unsaid.take().map_or(0, |(count, _)| count);
        *unsaid = Some((before + 1, refusal));
        None
    }

    /// What came since the last line. Nothing: the next one is said at once again.
    fn due(&mut self, whom: &Stranger) -> Option<(u64, Refusal)> {
        let unsaid = self.0.get_mut(whom)?.take();
        if unsaid.is_none() {
            self.0.remove(whom);
        }
        unsaid
    }
}

impl Refusals {
    /// Needs a tokio runtime.
    pub fn note(&self, whom: Stranger, refusal: Refusal) {
        self.all[whom.reason()].fetch_add(1, Ordering::Relaxed);
        let said = self.counts(|counts| counts.note(whom.clone(), refusal));
        if let Some(Refusal { call, from, why }) = said {
            tracing::warn!(
                call,
                from = from.map(tracing::field::display),
                "refused: {why}"
            );
            tokio::spawn(self.clone().count(whom));
        }
    }

    /// How many there were since the start, by reason.
    pub fn numbers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let numbers = self.all.iter().map(|number| number.load(Ordering::Relaxed));
        REASONS.into_iter().zip(numbers)
    }

    /// Says how many more there were, as long as there are some.
    async fn count(self, whom: Stranger) {
        loop {
            tokio::time::sleep(EVERY).await;
            let Some((more, last)) = self.counts(|counts| counts.due(&whom)) else {
                return;
            };
            let Refusal { call, from, why } = last;
            let seconds = EVERY.as_secs();
            tracing::warn!(
                more,
                call,
                from = from.map(tracing::field::display),
                "refused {more} more within {seconds} s, the last of them: {why}"
            );
        }
    }

    fn counts<T>(&self, act: impl FnOnce(&mut Counts) -> T) -> T {
        act(&mut self.unsaid.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(call: &str) -> Refusal {
        Refusal {
            call: call.to_owned(),
            from: None,
            why: "no".to_owned(),
        }
    }

    #[tokio::test]
    async fn every_refusal_is_counted_said_or_not() {
        let refusals = Refusals::default();
        for whom in [Stranger::TooFast, Stranger::TooFast, Stranger::WithoutToken] {
            refusals.clone().note(whom, refusal("a"));
        }
        let numbers: Vec<_> = refusals.numbers().collect();
        let expected = [
            ("no_token", 1),
            ("unknown_token", 0),
            ("other_role", 0),
            ("too_fast", 2),
        ];
        assert_eq!(numbers, expected);
    }

    #[test]
    fn the_first_of_a_kind_is_said_and_the_others_are_counted() {
        let mut counts = Counts::default();
        let unknown = || Stranger::UnknownToken;
        assert_eq!(counts.note(unknown(), refusal("a")), Some(refusal("a")));
        assert_eq!(counts.note(unknown(), refusal("b")), None);
        assert_eq!(counts.note(unknown(), refusal("c")), None);
        // Another kind does not hide behind it.
        let other = Stranger::OfOtherRole("ann".to_owned());
        assert_eq!(counts.note(other, refusal("d")), Some(refusal("d")));
        assert_eq!(counts.due(&unknown()), Some((2, refusal("c"))));
        assert_eq!(counts.note(unknown(), refusal("e")), None);
        assert_eq!(counts.due(&unknown()), Some((1, refusal("e"))));
        // A quiet minute: from now on it is news again.
        assert_eq!(counts.due(&unknown()), None);
        assert_eq!(counts.note(unknown(), refusal("f")), Some(refusal("f")));
    }
}
