//! The objects of a remote store below a prefix, past keys that the client cannot hold.
//!
//! One such key makes its whole page unreadable. Servers tell keys in an order of theirs, which need not be that of bytes, so the page
//! is asked for again in smaller ones until the key stands alone, and the next one begins behind it.

use std::sync::Arc;

use object_store::{
    Error, ObjectMeta,
    list::{PaginatedListOptions, PaginatedListStore},
    path,
};

/// Objects that servers tell at once.
const PAGE: usize = 1000;

/// What a page tells.
#[derive(Debug)]
pub(crate) enum Listed {
    /// By its key in the bucket.
    Object(ObjectMeta),
    /// A key with an empty part, a part `.` or `..`, or a control character.
    Unusable(String),
}

pub(crate) struct Keys {
    bucket: Arc<dyn PaginatedListStore>,
    /// With a slash at its end, but for the whole bucket.
    prefix: String,
    next: Next,
    /// Of the next page.
    size: usize,
    /// Of so many keys ahead one has spoilt a page.
    spoilt: usize,
    /// The first of all.
    first: Option<String>,
}

/// Where the next page begins.
enum Next {
    First,
    /// As the last page said.
    Page(String),
    Behind(String),
    End,
}

impl Keys {
    /// `prefix`: without slashes at its ends.
    pub(crate) fn new(bucket: Arc<dyn PaginatedListStore>, prefix: &str) -> Self {
        let prefix = match prefix {
            "" => String::new(),
            some => format!("{some}/"),
        };
        Self {
            bucket,
            prefix,
            next: Next::First,
            size: PAGE,
            spoilt: 0,
            first: None,
        }
    }

    /// The next page; none behind the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Listed>>, Error> {
        loop {
            let mut options = PaginatedListOptions {
                max_keys: Some(self.size),
                ..PaginatedListOptions::default()
            };
            match &self.next {
                Next::First => {}
                Next::Page(token) => options.page_token = Some(token.clone()),
                Next::Behind(key) => options.offset = Some(key.clone()),
                Next::End => return Ok(None),
            }
            let prefix = (!self.prefix.is_empty()).then_some(self.prefix.as_str());
            let asked = self.bucket.list_paginated(prefix, options).await;
            match asked.map_err(unusable_key) {
                Ok(page) => {
                    let objects = page.result.objects;
                    if let Some(first) = objects.first() {
                        self.begin(first.location.as_ref())?;
                    }
                    self.spoilt = self.spoilt.saturating_sub(objects.len());
                    self.next = page.page_token.map_or(Next::End, Next::Page);
                    if self.spoilt == 0 {
                        self.size = PAGE.min(2 * self.size);
                    }
                    return Ok(Some(objects.into_iter().map(Listed::Object).collect()));
                }
                Err(Unread::Key(_)) if self.size > 1 => {
                    self.spoilt = self.size;
                    self.size /= 2;
                }
                Err(Unread::Key(key)) => {
                    self.begin(&key)?;
                    self.spoilt = 0;
                    self.next = Next::Behind(key.clone());
                    return Ok(Some(vec![Listed::Unusable(key)]));
                }
                Err(Unread::Other(error)) => return Err(error),
            }
        }
    }

    /// Notes the first key of a page. An error where a server does not begin behind the key that it was given: it would tell the same
    /// for ever.
    fn begin(&mut self, first: &str) -> Result<(), Error> {
        match (&self.next, &self.first) {
            (Next::Behind(key), known) if key == first || known.as_deref() == Some(first) => {
                Err(Error::Generic {
                    store: "listing",
                    source: format!("the server does not list what is behind the key {key:?}, which no address can hold; rename it").into(),
                })
            }
            (_, None) => {
                self.first = Some(first.to_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

enum Unread {
    Key(String),
    Other(Error),
}

fn unusable_key(error: Error) -> Unread {
    use path::Error::{BadSegment, EmptySegment};
    match error {
        Error::InvalidPath {
            source: BadSegment { path, .. } | EmptySegment { path },
        } => Unread::Key(path),
        other => Unread::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use std::{future, sync::Mutex};

    use futures::future::BoxFuture;
    use object_store::{ListResult, Result, list::PaginatedListResult, path::Path};
    use proptest::prelude::*;

    use super::*;

    /// Tells its keys in their order here, at most so many at once.
    #[derive(Default)]
    struct Bucket {
        keys: Vec<String>,
        /// It does not know where to begin.
        forgetful: bool,
        requests: Mutex<usize>,
    }

    impl PaginatedListStore for Bucket {
        fn list_paginated<'s: 'f, 'p: 'f, 'f>(
            &'s self,
            prefix: Option<&'p str>,
            options: PaginatedListOptions,
        ) -> BoxFuture<'f, Result<PaginatedListResult>>
        where
            Self: 'f,
        {
            Box::pin(future::ready(self.page(prefix, options)))
        }
    }

    impl Bucket {
        fn page(
            &self,
            prefix: Option<&str>,
            options: PaginatedListOptions,
        ) -> Result<PaginatedListResult> {
            *self.requests.lock().unwrap() += 1;
            let after = options
                .page_token
                .or(options.offset.filter(|_| !self.forgetful));
            let below = self
                .keys
                .iter()
                .filter(|key| key.starts_with(prefix.unwrap_or("")));
            let begin = match &after {
                Some(after) => 1 + below.clone().position(|key| key == after).unwrap(),
                None => 0,
            };
            let mut rest = below.skip(begin);
            let told: Vec<&String> = rest
                .by_ref()
                .take(options.max_keys.unwrap_or(PAGE))
                .collect();
            let is_last = rest.next().is_none();
            let objects = told.iter().map(|key| {
                Ok(ObjectMeta {
                    location: Path::parse(key)?,
                    last_modified: Default::default(),
                    size: 1,
                    e_tag: None,
                    version: None,
                })
            });
            Ok(PaginatedListResult {
                result: ListResult {
                    common_prefixes: Vec::new(),
                    objects: objects.collect::<Result<_>>()?,
                    extensions: Default::default(),
                },
                page_token: told.last().filter(|_| !is_last).map(|key| (*key).clone()),
            })
        }
    }

    fn all(bucket: Bucket, prefix: &str) -> Result<(Vec<String>, usize)> {
        let bucket = Arc::new(bucket);
        let mut keys = Keys::new(bucket.clone(), prefix);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut told = Vec::new();
        while let Some(page) = runtime.block_on(keys.next())? {
            told.extend(page.into_iter().map(|listed| match listed {
                Listed::Object(meta) => meta.location.to_string(),
                Listed::Unusable(key) => key,
            }));
        }
        let requests = *bucket.requests.lock().unwrap();
        Ok((told, requests))
    }

    proptest! {
        #[test]
        fn every_key_is_told_once_whatever_their_order(
            keys in prop::collection::btree_set("(a|b|\u{1}|\\.)(/|//|/\u{7f}/)[a-c]{1,3}", 0..40),
            more in 0..2500_usize,
            stride in prop::sample::select(vec![1, 7, 1009]),
        ) {
            let sorted: Vec<String> = keys.into_iter().chain((0..more).map(|n| format!("a/n{n:04}"))).collect();
            let (count, mut keys) = (sorted.len(), Vec::new());
            for start in 0..stride.min(count) {
                keys.extend(sorted.iter().skip(start).step_by(stride).cloned());
            }
            let bucket = Bucket { keys: keys.clone(), ..Bucket::default() };
            prop_assert_eq!(all(bucket, "").unwrap().0, keys.clone());
            let below: Vec<String> = keys.iter().filter(|key| key.starts_with("a/")).cloned().collect();
            prop_assert_eq!(all(Bucket { keys, ..Bucket::default() }, "a").unwrap().0, below);
        }
    }

    #[test]
    fn a_page_is_halved_and_a_row_of_unusable_keys_costs_a_request_each() {
        let mut keys: Vec<String> = (0..3000).map(|n| format!("a/{n:04}")).collect();
        keys.extend((0..200).map(|n| format!("a/1499//{n:03}")));
        keys.sort_unstable();
        let (told, requests) = all(
            Bucket {
                keys: keys.clone(),
                ..Bucket::default()
            },
            "a",
        )
        .unwrap();
        assert_eq!(told, keys);
        assert!(requests < 240, "{requests}");
    }

    #[test]
    fn a_server_that_begins_anew_is_not_asked_for_ever() {
        for keys in [["a", "b//c"], ["b//c", "d"]] {
            let keys = keys.map(str::to_owned).to_vec();
            let error = all(
                Bucket {
                    keys,
                    forgetful: true,
                    ..Bucket::default()
                },
                "",
            )
            .unwrap_err();
            assert!(error.to_string().contains("b//c"), "{error}");
        }
    }
}
