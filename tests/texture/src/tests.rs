//! What the generator promises: repeatable, masks that tell the truth, nothing half-written.

use super::*;
use crate::picture::SIDE;

/// A photograph stand-in with structure.
fn photo(period: usize) -> Photo {
    let side = 512;
    let pixels = (0..side * side)
        .map(|i| {
            (60 + ((i % side) % period) * 100 / period + ((i / side) % period) * 60 / period) as u8
        })
        .collect();
    Photo {
        width: side,
        height: side,
        pixels,
    }
}

#[test]
fn a_picture_follows_from_its_name_alone() {
    let (photo, other) = (photo(23), photo(7));
    let other = Other {
        photo: &other,
        tint: CATEGORIES[1].tint,
    };
    for kind in [None, Some(Kind::Stain)] {
        let first = make("brick/test/x/001", &CATEGORIES[0], &photo, other, kind);
        assert_eq!(
            first,
            make("brick/test/x/001", &CATEGORIES[0], &photo, other, kind)
        );
        assert_ne!(
            first.0,
            make("brick/test/x/002", &CATEGORIES[0], &photo, other, kind).0
        );
    }
}

#[test]
fn every_kind_changes_the_picture_inside_its_mask_and_nowhere_far_from_it() {
    let (photo, other) = (photo(23), photo(7));
    let other = Other {
        photo: &other,
        tint: CATEGORIES[1].tint,
    };
    for kind in Kind::ALL {
        for index in 0..10 {
            let name = format!("brick/test/x/{index:03}");
            let (good, none) = make(&name, &CATEGORIES[0], &photo, other, None);
            let (bad, mask) = make(&name, &CATEGORIES[0], &photo, other, Some(kind));
            assert!(none.is_none());
            let mask = mask.unwrap();
            let area = mask.iter().filter(|value| **value == 255).count();
            assert!(
                (60..SIDE * SIDE / 8).contains(&area),
                "{} {index}: {area} pixels",
                kind.name()
            );
            let change = |inside: bool| {
                let of = good
                    .chunks(3)
                    .zip(bad.chunks(3))
                    .zip(&mask)
                    .filter(|(_, value)| (**value == 255) == inside);
                let (sum, count) = of.fold((0_u64, 0_u64), |(sum, count), ((a, b), _)| {
                    (
                        sum + a
                            .iter()
                            .zip(b)
                            .map(|(a, b)| u64::from(a.abs_diff(*b)))
                            .sum::<u64>(),
                        count + 3,
                    )
                });
                sum as f64 / count as f64
            };
            assert!(
                change(true) > 5.0,
                "{} {index}: {}",
                kind.name(),
                change(true)
            );
            assert!(
                change(false) < 2.0,
                "{} {index}: {}",
                kind.name(),
                change(false)
            );
        }
    }
}

#[test]
fn a_missing_photograph_is_named_and_leaves_no_category_behind() {
    let folder = tempfile::tempdir().unwrap();
    let error = write_dataset(folder.path(), &folder.path().join("out"))
        .err()
        .unwrap();
    assert!(format!("{error:#}").contains("brick.png"), "{error:#}");
    assert!(!folder.path().join("out").exists());
}

#[test]
fn directions_have_length_one() {
    let mut random = Random::new(1, "direction");
    for _ in 0..1000 {
        let (x, y) = random.direction();
        assert!((x * x + y * y - 1.0).abs() < 1e-5);
    }
}
