//! Where the addresses of a listing lie: what is known of others need not be read.

/// The first and the last address of each place.
#[derive(Debug, Default)]
pub struct Spans(Vec<Option<[String; 2]>>);

impl Spans {
    /// What comes from now on is of another place.
    pub fn begin(&mut self) {
        self.0.push(None);
    }

    pub fn add(&mut self, uri: &str) {
        if self.0.is_empty() {
            self.begin();
        }
        match self.0.last_mut() {
            Some(Some([first, _])) if uri < first.as_str() => uri.clone_into(first),
            Some(Some([_, last])) if uri > last.as_str() => uri.clone_into(last),
            Some(span @ None) => *span = Some([uri.to_owned(), uri.to_owned()]),
            _ => {}
        }
    }

    /// Whether an address from the one to the other may be within one of them.
    pub fn meet(&self, least: &[u8], greatest: &[u8]) -> bool {
        let mut spans = self.0.iter().flatten();
        spans.any(|[first, last]| first.as_bytes() <= greatest && least <= last.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::Spans;

    #[test]
    fn addresses_between_two_places_are_of_neither() {
        let mut spans = Spans::default();
        assert!(!spans.meet(b"a", b"z"));
        for uri in ["b/2", "b/3", "b/1"] {
            spans.add(uri);
        }
        spans.begin();
        spans.begin();
        spans.add("f/1");
        for (least, greatest, meet) in [
            ("a", "b/0", false),
            ("a", "b/1", true),
            ("b/2", "b/2", true),
            ("b/3", "c", true),
            ("b/4", "f/0", false),
            ("b/4", "f/1", true),
            ("f/2", "z", false),
            ("a", "z", true),
        ] {
            let found = spans.meet(least.as_bytes(), greatest.as_bytes());
            assert_eq!(found, meet, "{least} to {greatest}");
        }
    }
}
