//! The objects of a remote store below a prefix, past keys that the client cannot hold.
//!
//! One such key makes its whole page unreadable. Servers tell keys in order, so the page is asked for again in smaller ones until the
//! key stands alone, and the next one begins behind it.

use std::{mem, sync::Arc};

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
    /// Whether a key ahead is looked for that has spoilt a page.
    seeking: bool,
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
            seeking: false,
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
                    let first = page.result.objects.first();
                    if let Some(key) =
                        first.and_then(|meta| self.told_again(meta.location.as_ref()))
                    {
                        return Err(invalid(key));
                    }
                    self.next = page.page_token.map_or(Next::End, Next::Page);
                    if !self.seeking {
                        self.size = PAGE.min(2 * self.size);
                    }
                    let objects = page.result.objects.into_iter();
                    return Ok(Some(objects.map(Listed::Object).collect()));
                }
                Err(Unread::Key(_)) if self.size > 1 => {
                    self.seeking = true;
                    self.size /= 2;
                }
                Err(Unread::Key(key)) => {
                    if let Some(key) = self.told_again(&key) {
                        return Err(invalid(key));
                    }
                    self.seeking = false;
                    self.next = Next::Behind(key.clone());
                    return Ok(Some(vec![Listed::Unusable(key)]));
                }
                Err(Unread::Other(error)) => return Err(error),
            }
        }
    }

    /// The key that the page was to begin behind, if this first one is not: a server that cannot do that would tell the same for ever.
    fn told_again(&mut self, first: &str) -> Option<String> {
        match &mut self.next {
            Next::Behind(key) if first <= key.as_str() => Some(mem::take(key)),
            _ => None,
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

fn invalid(path: String) -> Error {
    Error::InvalidPath {
        source: path::Error::EmptySegment { path },
    }
}

#[cfg(test)]
mod tests {
    use std::{future, sync::Mutex};

    use futures::future::BoxFuture;
    use object_store::{ListResult, Result, list::PaginatedListResult, path::Path};
    use proptest::prelude::*;

    use super::*;

    /// Tells its keys in order, at most so many at once.
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
            let mut rest = below.filter(|key| after.as_ref().is_none_or(|after| *key > after));
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
        fn every_key_is_told_once_in_order(
            keys in prop::collection::btree_set("(a|b|\u{1}|\\.)(/|//|/\u{7f}/)[a-c]{1,3}", 0..40),
            more in 0..2500_usize,
        ) {
            let mut keys: Vec<String> = keys.into_iter().chain((0..more).map(|n| format!("a/n{n:04}"))).collect();
            keys.sort_unstable();
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
