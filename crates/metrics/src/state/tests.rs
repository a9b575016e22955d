//! The written form of a metric's state: it comes back the same, and no damage goes unnoticed.

use proptest::prelude::*;

use super::*;
use crate::properties::{counts, uniform};
use crate::{Origin, Overlap, ScoreCounts, Step, Threshold, Totals};

/// What a written state holds.
fn read(bytes: &[u8]) -> Result<(Totals, Vec<Step>), StateError> {
    let (mut reader, mut steps) = (StateReader::new(bytes)?, Vec::new());
    while let Some(step) = reader.next_step()? {
        steps.push(step);
    }
    Ok((reader.totals(), steps))
}

fn many() -> ScoreCounts {
    let normal: Vec<f32> = (0..100_000).map(|i| uniform(1, i) as f32 - 0.25).collect();
    let anomalous: Vec<f32> = (0..5_000)
        .map(|i| (uniform(2, i) * 50.0).round() as f32 / 40.0)
        .collect();
    counts(&normal, &anomalous)
}

#[test]
fn comes_back_the_same_over_several_blocks() {
    let mut state = many();
    let bytes = state.to_bytes();
    assert!(bytes.len() > 2 * BLOCK_BYTES, "{}", bytes.len());
    let (totals, steps) = read(&bytes).unwrap();
    assert_eq!(totals, state.totals());
    assert!(steps.iter().copied().eq(state.ordered()));
    let empty = ScoreCounts::new().to_bytes();
    assert_eq!(read(&empty).unwrap(), (Totals::default(), Vec::new()));
}

#[test]
fn a_merge_writes_what_the_whole_state_does() {
    // Longer than what a writer keeps, so that blocks are passed on between steps.
    let value = |i: u64| (uniform(3, i) * 40.0) as f32;
    let parts: Vec<Vec<f32>> = (0..3)
        .map(|part| (0..500_000).map(|i| value(part * 500_000 + i)).collect())
        .collect();
    let mut whole = counts(&[], &[1.0, 2.0]);
    parts
        .iter()
        .for_each(|part| whole.merge(&counts(part, &[])));
    let expected = whole.to_bytes();
    assert!(expected.len() > 20 * BLOCK_BYTES, "{}", expected.len());
    let mut streamed = Vec::new();
    whole.write(&mut streamed).unwrap();
    assert!(streamed == expected);
    let states: Vec<Vec<u8>> = parts
        .iter()
        .map(|part| counts(part, &[]).to_bytes())
        .chain([counts(&[], &[1.0, 2.0]).to_bytes()])
        .collect();
    let mut merged = Vec::new();
    let merge = Merge::open(states.iter().map(Vec::as_slice)).unwrap();
    merge.write(&mut merged).unwrap();
    assert!(merged == expected);
}

#[test]
fn stretches_of_several_states_add_up_to_the_whole() {
    // As many thresholds as meet ends of stretches, scores of both classes, and gaps.
    let thresholds: Vec<Threshold> = (0..400)
        .map(|i| f32::from(i as u16) / 300.0 - 0.3)
        .map(|score| Threshold::restore(score, Origin::Manual).unwrap())
        .collect();
    let part = |seed: u64, items: u64, ties: f64| {
        let normal: Vec<f32> = (0..items).map(|i| uniform(seed, i) as f32 - 0.25).collect();
        let anomalous: Vec<f32> = (0..items / 20)
            .map(|i| ((uniform(seed + 1, i) * ties).round() / (ties * 0.8)) as f32)
            .collect();
        counts(&normal, &anomalous)
    };
    let mut parts = [
        part(10, 60_000, 50.0),
        part(20, 9_000, 1e6),
        part(30, 3, 1.0),
        many(),
    ];
    let mut whole = ScoreCounts::new();
    parts.iter().for_each(|part| whole.merge(part));
    let mut states: Vec<Vec<u8>> = parts.iter_mut().map(ScoreCounts::to_bytes).collect();
    let merged = |states: &[Vec<u8>]| {
        Merge::open(states.iter().map(Vec::as_slice))
            .and_then(|merge| merge.summary(thresholds.as_slice()))
    };
    assert_eq!(
        merged(&states).unwrap(),
        whole.summary(thresholds.as_slice())
    );

    let last = states[3].len() - 20;
    states[3][last] ^= 1;
    assert!(matches!(merged(&states), Err(StateError::Checksum { .. })));
}

#[test]
fn every_flipped_byte_is_noticed() {
    let bytes = counts(&[0.5, 0.5, 1.5, -3.0], &[0.5, 9.0]).to_bytes();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(read(&damaged).is_err(), "byte {at} of {}", bytes.len());
    }
}

#[test]
fn every_cut_is_noticed() {
    let bytes = counts(&[0.5, 0.5, 1.5, -3.0], &[0.5, 9.0]).to_bytes();
    for length in 0..bytes.len() {
        assert!(
            matches!(read(&bytes[..length]), Err(StateError::Truncated)),
            "{length}"
        );
    }
}

#[test]
fn a_lost_or_exchanged_block_is_noticed() {
    let bytes = many().to_bytes();
    let mut blocks = Vec::new();
    let mut at = HEADER_BYTES + 4;
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize + 8;
        blocks.push(&bytes[at..at + length]);
        at += length;
    }
    let header = &bytes[..HEADER_BYTES + 4];
    let lost = [&[header], &blocks[1..]].concat().concat();
    assert!(matches!(
        read(&lost),
        Err(StateError::Checksum { block: 1 })
    ));
    blocks.swap(0, 1);
    let exchanged = [&[header], &blocks[..]].concat().concat();
    assert!(matches!(
        read(&exchanged),
        Err(StateError::Checksum { block: 1 })
    ));
}

#[test]
fn foreign_and_newer_bytes_are_named() {
    let error = read(b"PAR1 is what a Parquet file starts with").unwrap_err();
    assert!(matches!(error, StateError::NotAState { .. }), "{error}");
    let mut newer = ScoreCounts::new().to_bytes();
    newer[4] = VERSION + 1;
    assert!(matches!(
        read(&newer),
        Err(StateError::Version { found }) if found == VERSION + 1
    ));
}

#[test]
fn totals_that_lie_are_noticed() {
    let step = |key: f32| crate::Step {
        score: crate::RawScore::new(key).unwrap(),
        normal: 2,
        clear: Overlap::of_pixel(2),
        anomalous: 1,
        overlap: Overlap::of_pixel(2),
        defect: Overlap::of_pixel(2),
    };
    let right = Totals {
        normal: 4,
        clear: Overlap::of_wholes(1),
        clear_pixels: 2,
        anomalous: 2,
        regions: 1,
        defective_images: 1,
    };
    let written = |totals| {
        let mut writer = StateWriter::new(Vec::new(), totals);
        writer.step(step(1.0));
        writer.step(step(2.0));
        read(&writer.finish())
    };
    assert!(written(right).is_ok());
    let wrong: [fn(&mut Totals); 13] = [
        |totals| totals.normal = 3,
        |totals| totals.normal = 5,
        |totals| totals.anomalous = 1,
        |totals| totals.anomalous = 3,
        |totals| totals.regions = 0,
        |totals| totals.regions = 2,
        |totals| totals.defective_images = 0,
        |totals| totals.defective_images = 2,
        |totals| totals.clear = Overlap::of_pixel(2),
        |totals| totals.clear = Overlap::of_wholes(2),
        |totals| totals.clear_pixels = 0,
        |totals| totals.clear = Overlap::default(),
        |totals| (totals.clear, totals.clear_pixels) = (Overlap::default(), 0),
    ];
    for (case, change) in wrong.into_iter().enumerate() {
        let mut totals = right;
        change(&mut totals);
        let found = written(totals);
        assert!(
            matches!(found, Err(StateError::Malformed(_))),
            "case {case}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        payload in prop::collection::vec(any::<u8>(), 1..100),
    ) {
        let _ = read(&bytes);
        // A block with a right checksum around anything.
        let mut state = ScoreCounts::new().to_bytes();
        for at in [8, 16, 24, 32, 48] {
            state[at..at + 8].copy_from_slice(&1000u64.to_le_bytes());
        }
        state[56..60].copy_from_slice(&3u32.to_le_bytes());
        let crc = crc::crc32(0, &state[..HEADER_BYTES]);
        state.truncate(HEADER_BYTES);
        state.extend_from_slice(&crc.to_le_bytes());
        state.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        state.extend_from_slice(&crc::crc32(crc, &payload).to_le_bytes());
        state.extend_from_slice(&payload);
        prop_assert!(read(&state).is_err());
    }
}
