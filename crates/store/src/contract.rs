//! What every store must do, as one suite that each implementation runs.

use bytes::Bytes;

use crate::{AttemptWriter, Put, Store, StoreError, layout};

/// Runs the whole suite on an empty store; panics where it breaks the contract.
pub async fn suite(store: &Store) {
    objects_read_back_whole_and_in_part(store).await;
    listings_are_sorted_and_complete(store).await;
    a_changed_object_is_an_error(store).await;
    missing_objects_are_named(store).await;
    one_of_many_creates(store).await;
    copies_are_the_same(store).await;
    paths_cannot_leave_the_store(store).await;
    an_attempt_is_sealed_once(store).await;
    deleting_stays_below_the_prefix(store).await;
}

async fn objects_read_back_whole_and_in_part(store: &Store) {
    let content = Bytes::from_static(b"0123456789");
    ok(store.put("objects/a b%20#.bin", content.clone()).await);
    assert_eq!(ok(store.get("objects/a b%20#.bin", None).await), content);
    assert_eq!(
        ok(store.get_range("objects/a b%20#.bin", 2..5, None).await),
        &content[2..5]
    );
    ok(store.put("objects/empty", Bytes::new()).await);
    assert!(ok(store.get("objects/empty", None).await).is_empty());
}

async fn listings_are_sorted_and_complete(store: &Store) {
    for path in [
        "list/b/2",
        "list/a",
        "list/b/1",
        "list/b/c/d/3",
        "list-not/x",
    ] {
        ok(store.put(path, Bytes::from(path)).await);
    }
    let listed = ok(store.list("list").await);
    assert_eq!(
        listed
            .iter()
            .map(|info| info.path.as_str())
            .collect::<Vec<_>>(),
        ["list/a", "list/b/1", "list/b/2", "list/b/c/d/3"]
    );
    assert!(
        listed
            .iter()
            .all(|info| info.size == info.path.len() as u64 && !info.etag.is_empty())
    );
    for info in &listed {
        assert_eq!(ok(store.head(&info.path).await), *info);
        let read = store.get(&info.path, Some(&info.etag)).await;
        assert_eq!(ok(read), info.path);
    }
    assert!(ok(store.list("no/such/prefix").await).is_empty());
    assert!(ok(store.list("list/a").await).is_empty());
    assert_eq!(ok(store.folders("list").await), ["b"]);
    assert!(ok(store.folders("no/such/prefix").await).is_empty());
}

async fn a_changed_object_is_an_error(store: &Store) {
    ok(store.put("changed", Bytes::from_static(b"one")).await);
    let listed = ok(store.head("changed").await);
    assert_eq!(ok(store.get("changed", Some(&listed.etag)).await), "one");
    ok(store.put("changed", Bytes::from_static(b"other")).await);
    let error = store
        .get("changed", Some(&listed.etag))
        .await
        .expect_err("the etag is stale");
    assert!(matches!(error, StoreError::Changed { .. }), "{error:?}");
    assert!(error.to_string().contains(&store.uri("changed")));
}

async fn missing_objects_are_named(store: &Store) {
    for error in [
        store.get("no/such", None).await.expect_err("missing"),
        store.head("no/such").await.expect_err("missing"),
        store
            .copy("no/such", "elsewhere")
            .await
            .expect_err("missing"),
    ] {
        assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}");
        assert!(error.to_string().contains(&store.uri("no/such")));
    }
}

async fn one_of_many_creates(store: &Store) {
    let writers =
        (0..8).map(|n| store.put_if_absent("pointer", Bytes::from(format!("writer {n}"))));
    let outcomes = futures::future::join_all(writers).await;
    let winners: Vec<_> = outcomes
        .iter()
        .enumerate()
        .filter(|(_, put)| matches!(put, Ok(Put::Created)))
        .collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    assert!(
        outcomes
            .iter()
            .all(|put| matches!(put, Ok(Put::Created) | Err(StoreError::Conflict { .. }))),
        "{outcomes:?}"
    );
    let content = ok(store.get("pointer", None).await);
    assert_eq!(content, format!("writer {}", winners[0].0));
    assert_eq!(
        ok(store.put_if_absent("pointer", content).await),
        Put::SameContent
    );
}

async fn copies_are_the_same(store: &Store) {
    ok(store.put("copies/from", Bytes::from_static(b"table")).await);
    ok(store.copy("copies/from", "copies/deep/to").await);
    // An outbox may do its work twice.
    ok(store.copy("copies/from", "copies/deep/to").await);
    assert_eq!(ok(store.get("copies/deep/to", None).await), "table");
}

async fn paths_cannot_leave_the_store(store: &Store) {
    for path in ["../outside", "a/../../outside", "a//b"] {
        let error = store
            .put(path, Bytes::from_static(b"x"))
            .await
            .expect_err(path);
        assert!(matches!(error, StoreError::InvalidUri { .. }), "{error:?}");
    }
}

async fn an_attempt_is_sealed_once(store: &Store) {
    let writer = AttemptWriter::new(store.clone(), "jobs/abcd/tasks/abcd-0001/3-00000001");
    ok(writer
        .put("b.parquet", Bytes::from_static(b"rows"), Some(4))
        .await);
    ok(writer.put("a.json", Bytes::from_static(b"{}"), None).await);
    let outputs = ok(writer.finish().await);
    assert_eq!(
        outputs
            .iter()
            .map(|object| (object.path.as_str(), object.size, object.rows))
            .collect::<Vec<_>>(),
        [("a.json", 2, None), ("b.parquet", 4, Some(4))]
    );
    assert_eq!(
        outputs[0].sha256,
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
    let written = ok(store.get(&writer.path(layout::OUTPUTS), None).await);
    assert_eq!(
        serde_json::from_slice::<Vec<types::OutputObject>>(&written).ok(),
        Some(outputs)
    );
    assert!(matches!(
        writer.put("late", Bytes::new(), None).await,
        Err(StoreError::Sealed { .. })
    ));
    assert!(matches!(
        writer.finish().await,
        Err(StoreError::Sealed { .. })
    ));
    assert!(matches!(
        store.get(&writer.path("late"), None).await,
        Err(StoreError::NotFound { .. })
    ));
}

async fn deleting_stays_below_the_prefix(store: &Store) {
    for path in [
        "gone/a",
        "gone/log/0.log",
        "gone/log/1.log",
        "gone-not/x",
        "kept/a",
    ] {
        ok(store.put(path, Bytes::from(path)).await);
    }
    assert_eq!(ok(store.delete_below("gone", &[]).await), 3);
    assert!(ok(store.list("gone").await).is_empty());
    assert_eq!(ok(store.get("gone-not/x", None).await), "gone-not/x");
    assert_eq!(ok(store.get("kept/a", None).await), "kept/a");
    // Again, and where nothing ever was.
    assert_eq!(ok(store.delete_below("gone", &[]).await), 0);
    assert_eq!(ok(store.delete_below("no/such/prefix", &[]).await), 0);
    // Who writes late is swept again.
    ok(store.put("gone/late", Bytes::from_static(b"late")).await);
    assert_eq!(ok(store.delete_below("gone", &[]).await), 1);
    // But what is to stay, and not what only begins like it.
    for path in ["gone/t/1/x", "gone/t/2/x", "gone/t/22/x", "gone/y"] {
        ok(store.put(path, Bytes::from(path)).await);
    }
    let keep = ["gone/t/2".to_owned(), "elsewhere".to_owned()];
    assert_eq!(ok(store.delete_below("gone", &keep).await), 3);
    let left = ok(store.list("gone").await);
    let left: Vec<&str> = left.iter().map(|object| object.path.as_str()).collect();
    assert_eq!(left, ["gone/t/2/x"]);
    assert_eq!(ok(store.delete_below("gone", &keep).await), 0);
    for path in ["", "..", "kept/..", "kept//", "/"] {
        let error = store.delete_below(path, &[]).await.expect_err(path);
        assert!(
            matches!(error, StoreError::InvalidUri { .. }),
            "{path:?}: {error:?}"
        );
    }
    assert_eq!(ok(store.get("kept/a", None).await), "kept/a");
}

fn ok<T>(result: Result<T, StoreError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!(
            "the store failed: {error}: {:?}",
            std::error::Error::source(&error)
        ),
    }
}
