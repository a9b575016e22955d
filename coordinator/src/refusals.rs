//! Refused calls in the log: the first at once, the others of the same kind counted, so that nobody fills the disk with them.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
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

/// One refused call, as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub call: String,
    pub from: Option<SocketAddr>,
    pub why: String,
}

/// Says refusals; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Mutex<Counts>>);

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
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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
