//! Hand-made cases, an oracle from the definition, and how often a difference is seen where there is none.

use super::*;
use crate::properties::uniform;

fn scores(values: impl IntoIterator<Item = f64>) -> Vec<RawScore> {
    let score = |value| RawScore::new(value as f32).unwrap();
    values.into_iter().map(score).collect()
}

/// Scores of a model whose anomalous images lie `shift` higher, sharing `common` of their noise with other models.
fn model(trial: u64, which: u64, anomalous: &[bool], shift: f64) -> Vec<RawScore> {
    scores((0_u64..).zip(anomalous).map(|(image, anomalous)| {
        let noise = uniform(trial, image) + uniform(trial, 1_000 * which + image);
        noise + if *anomalous { shift } else { 0.0 }
    }))
}

const CLASSES: [bool; 60] = {
    let mut classes = [false; 60];
    let mut image = 0;
    while image < 60 {
        classes[image] = image % 3 == 0;
        image += 1;
    }
    classes
};

#[test]
fn a_model_that_is_better_on_every_image_is_better() {
    let value = |image: usize, is_right: bool| (image % 10) as f64 / 100.0 + f64::from(is_right);
    let of = |is_right: bool| {
        [scores(
            (0..20).map(|image| value(image, (image < 10) != is_right)),
        )]
    };
    let (good, bad) = (of(true), of(false));
    let anomalous: Vec<bool> = (0..20).map(|image| image >= 10).collect();
    let paired = |a, b| Paired {
        anomalous: &anomalous,
        a,
        b,
    };
    let found = compare(&[paired(&good, &bad)], RESAMPLES, 1).unwrap();
    assert_eq!((found.a, found.b), (1.0, 0.0));
    assert_eq!(found.verdict(), Verdict::A);
    let turned = compare(&[paired(&bad, &good)], RESAMPLES, 1).unwrap();
    assert_eq!(turned.verdict(), Verdict::B);
    assert_eq!(turned.difference.low, -found.difference.high);
}

#[test]
fn a_few_images_tell_nothing() {
    let good = [scores((0..19).map(f64::from))];
    let bad = [scores((0..19).map(|image| f64::from(-image)))];
    // Nine of one class.
    let anomalous: Vec<bool> = (0..19).map(|image| image >= 10).collect();
    let paired = Paired {
        anomalous: &anomalous,
        a: &good,
        b: &bad,
    };
    let found = compare(&[paired], RESAMPLES, 1).unwrap();
    assert_eq!((found.a, found.b, found.fewest), (1.0, 0.0, 9));
    assert!(found.difference.low > 0.0 && !found.has_enough_images());
    assert_eq!(found.verdict(), Verdict::Open);
}

#[test]
fn a_model_is_not_better_than_itself() {
    let same = [model(1, 1, &CLASSES, 0.4)];
    let paired = Paired {
        anomalous: &CLASSES,
        a: &same,
        b: &same,
    };
    let found = compare(&[paired], RESAMPLES, 1).unwrap();
    assert_eq!(
        found.difference,
        Interval {
            low: 0.0,
            high: 0.0
        }
    );
    assert_eq!(found.verdict(), Verdict::Open);
}

#[test]
fn what_cannot_be_compared_has_a_reason() {
    let one = [scores([0.1, 0.2])];
    let paired = |anomalous, a| Paired {
        anomalous,
        a,
        b: &one,
    };
    let reason = |paired: Paired| compare(&[paired], 10, 1).unwrap_err();
    assert_eq!(reason(paired(&[true, true], &one)), Undefined::OneClass);
    assert_eq!(reason(paired(&[true, false], &[])), Undefined::Empty);
    assert_eq!(compare(&[], 10, 1), Err(Undefined::Empty));
}

/// The weighted AUROC is that of the images written out as often as they were drawn.
#[test]
fn a_resample_counts_each_image_as_often_as_it_was_drawn() {
    for trial in 0..50 {
        // Few values, so that many tie.
        let values = (0..12).map(|image| (uniform(trial, image) * 5.0).floor());
        let values = scores(values);
        let anomalous: Vec<bool> = (0..12).map(|image| image % 2 == 0).collect();
        let times: Vec<u64> = [3, 1, 0, 2, 1, 0, 0, 1, 2, 2, 0, 0].into();
        let category = Category::new(&Paired {
            anomalous: &anomalous,
            a: std::slice::from_ref(&values),
            b: std::slice::from_ref(&values),
        })
        .unwrap();
        let drawn = |class: bool| {
            let images = (0..12).filter(|image| anomalous[*image] == class);
            let times = |image: usize| usize::try_from(times[image]).unwrap();
            let values = |image: usize| std::iter::repeat_n(values[image].value(), times(image));
            images.flat_map(values).collect::<Vec<f32>>()
        };
        let (normal, found) = (drawn(false), drawn(true));
        let wins = found.iter().flat_map(|a| {
            let against = move |n: &f32| match a.total_cmp(n) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
            normal.iter().map(against)
        });
        let expected = wins.sum::<f64>() / (normal.len() * found.len()) as f64;
        assert_eq!((normal.len(), found.len()), (6, 6));
        let auroc = category.auroc(&category.a.seeds[0], &times);
        assert!((auroc - expected).abs() < 1e-12, "{auroc} {expected}");
    }
}

#[test]
fn equals_are_rarely_told_apart_and_a_true_difference_is_mostly_seen() {
    let told = |shift_of_b: f64| {
        let mut told = 0;
        for trial in 0..200 {
            let a = [model(trial, 1, &CLASSES, 0.4)];
            let b = [model(trial, 2, &CLASSES, shift_of_b)];
            let paired = Paired {
                anomalous: &CLASSES,
                a: &a,
                b: &b,
            };
            told += u32::from(compare(&[paired], 400, trial).unwrap().verdict() != Verdict::Open);
        }
        f64::from(told) / 200.0
    };
    assert!(told(0.4) < 0.1, "{}", told(0.4));
    assert!(told(1.2) > 0.9, "{}", told(1.2));
}

#[test]
fn seeds_that_disagree_widen_the_interval() {
    let of_shifts = |shifts: [f64; 4]| {
        let seeds = (1..).zip(shifts);
        seeds
            .map(|(seed, shift)| model(5, seed, &CLASSES, shift))
            .collect::<Vec<_>>()
    };
    let (steady, shaky) = (
        of_shifts([0.6, 0.6, 0.6, 0.6]),
        of_shifts([0.0, 0.2, 1.0, 1.2]),
    );
    let width = |a: &[Vec<RawScore>]| {
        let paired = Paired {
            anomalous: &CLASSES,
            a,
            b: &steady,
        };
        let Interval { low, high } = compare(&[paired], RESAMPLES, 1).unwrap().difference;
        high - low
    };
    assert!(width(&shaky) > 1.5 * width(&steady));
}
