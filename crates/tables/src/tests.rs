//! The tables: what is written reads back, and files of something else are refused by name.

use bytes::Bytes;
use parquet::{
    basic::Compression,
    file::reader::{FileReader, SerializedFileReader},
};

use super::*;

fn sample(n: u64) -> SampleRow {
    SampleRow {
        sample: n,
        uri: format!("file:///data/{n:05}.png"),
        etag: format!("etag{n}"),
        size: n * 10,
        modified: Micros(1_700_000_000_000_000 + n as i64),
        split: "test".to_owned(),
        label: if n.is_multiple_of(2) {
            "normal"
        } else {
            "anomalous"
        }
        .to_owned(),
        defect_type: (n % 2 == 1).then(|| "crack".to_owned()),
        mask_uri: None,
        synthetic: None,
        entry: None,
        mask_etag: None,
    }
}

fn score(n: u64) -> ScoreRow {
    let good = !n.is_multiple_of(3);
    ScoreRow {
        run: 1,
        sample: n,
        uri: format!("file:///data/{n:05}.png"),
        etag: "e".to_owned(),
        model: "Padim resnet18".to_owned(),
        split: "validation".to_owned(),
        label: "unknown".to_owned(),
        defect_type: None,
        score: good.then_some(n as f32 + 0.25),
        score_normalized: good.then_some(0.5),
        is_anomalous: good.then_some(true),
        width: Some(640),
        height: Some(480),
        boxes: (n % 4 != 1).then(|| {
            let one = |at: u64| AnomalyBox {
                x: at as u32,
                y: 2,
                width: 3,
                height: 4,
                score: 0.5,
            };
            (0..n % 3).map(one).collect()
        }),
        map_part: None,
        map_row: None,
        error_class: (!good).then(|| "decode".to_owned()),
        error: (!good).then(|| "truncated".to_owned()),
        decode_us: Some(1000),
        infer_us: good.then_some(3000),
    }
}

#[test]
fn row_groups_that_cannot_have_what_is_wanted_are_not_read() {
    for folder in ["file:///data", &format!("file:///{}", "deep/".repeat(40))] {
        let uri = |n: u64| format!("{folder}/{n:05}.png");
        let rows = (0..20_000).map(|n| SampleRow {
            uri: uri(n),
            ..sample(n)
        });
        let (bytes, _) = write_bytes(rows).unwrap();
        let read = |wanted: &dyn Fn(&[u8], &[u8]) -> bool| {
            let table = TableReader::<SampleRow>::open_groups(bytes.clone(), "uri", wanted);
            let rows = table.unwrap().flat_map(|batch| batch.unwrap());
            rows.map(|row| row.sample).collect::<Vec<_>>()
        };
        let one = uri(9000);
        let found = read(&|least, greatest| least <= one.as_bytes() && one.as_bytes() <= greatest);
        assert_eq!(found, (8192..16_384).collect::<Vec<_>>(), "{folder}");
        assert_eq!(read(&|_, _| false), []);
        assert_eq!(read(&|_, _| true).len(), 20_000);
    }
}

#[test]
fn rows_read_back_over_several_batches() {
    let samples: Vec<_> = (0..20_000).map(sample).collect();
    let (bytes, rows) = write_bytes(samples.clone()).unwrap();
    assert_eq!(rows, 20_000);
    assert_eq!(
        TableReader::<SampleRow>::open(bytes.clone())
            .unwrap()
            .rows(),
        20_000
    );
    assert_eq!(read_bytes::<SampleRow>(bytes).unwrap(), samples);
    let scores: Vec<_> = (0..10).map(score).collect();
    assert_eq!(
        read_bytes::<ScoreRow>(write_bytes(scores.clone()).unwrap().0).unwrap(),
        scores
    );
}

#[test]
fn every_table_keeps_its_values() {
    let metric = MetricRow {
        run: 3,
        model: "Padim".to_owned(),
        dataset: "texture".to_owned(),
        category: "brick".to_owned(),
        seed: 42,
        parameters: "{}".to_owned(),
        level: "image".to_owned(),
        metric: "F1Score".to_owned(),
        value: None,
        reason: Some("one_class".to_owned()),
        low: None,
        high: None,
        threshold: Some(3.5),
        threshold_split: Some("validation".to_owned()),
        normal: 1,
        anomalous: 0,
        errors: 2,
        engine: "openvino".to_owned(),
        fingerprint: "f".to_owned(),
    };
    let timing = TimingRow {
        run: None,
        task: "abcd-0001".to_owned(),
        kind: "list".to_owned(),
        stage: "total".to_owned(),
        wall_s: 1.5,
        busy_s: Some(2.0),
        blocked_s: None,
        cpu_s: Some(2.5),
        items: 7,
        bytes: 9,
        peak_memory: Some(1 << 30),
        trace: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
    };
    let manifest = ManifestRow {
        task: "abcd-0001".to_owned(),
        kind: "list".to_owned(),
        run: None,
        path: "jobs/abcd/tasks/abcd-0001/1-00000001/samples.parquet".to_owned(),
        size: 3,
        sha256: "00".to_owned(),
        rows: Some(1),
    };
    assert_eq!(
        read_bytes::<MetricRow>(write_bytes([metric.clone()]).unwrap().0).unwrap(),
        [metric]
    );
    assert_eq!(
        read_bytes::<TimingRow>(write_bytes([timing.clone()]).unwrap().0).unwrap(),
        [timing]
    );
    assert_eq!(
        read_bytes::<ManifestRow>(write_bytes([manifest.clone()]).unwrap().0).unwrap(),
        [manifest]
    );
    let picture = |error: Option<&str>| PictureRow {
        run: 1,
        uri: "file:///data/1.png".to_owned(),
        label: "normal".to_owned(),
        score: 2.5,
        list: "worst".to_owned(),
        rank: 0,
        image: error.is_none().then(|| vec![0xff, 0xd8, 0, 0xff]),
        overlay: None,
        heat_low: Some(0.5),
        heat_high: None,
        error: error.map(str::to_owned),
    };
    let pictures = [picture(None), picture(Some("it is gone"))];
    assert_eq!(
        read_bytes::<PictureRow>(write_bytes(pictures.clone()).unwrap().0).unwrap(),
        pictures
    );
    let curve = CurveRow {
        run: 1,
        level: "pixel".to_owned(),
        curve: "PRO".to_owned(),
        point: 3,
        x: 0.25,
        y: 0.5,
    };
    assert_eq!(
        read_bytes::<CurveRow>(write_bytes([curve.clone()]).unwrap().0).unwrap(),
        [curve]
    );
    let aupimo = |value: Option<f64>| AupimoRow {
        run: 1,
        uri: "file:///data/7.png".to_owned(),
        defect_type: Some("crack".to_owned()),
        pixels: 65,
        aupimo: value,
        reason: value.is_none().then(|| "no_normal_image".to_owned()),
    };
    let rows = [aupimo(Some(0.25)), aupimo(None)];
    assert_eq!(
        read_bytes::<AupimoRow>(write_bytes(rows.clone()).unwrap().0).unwrap(),
        rows
    );
    let defect = DefectRow {
        uri: "file:///data/7.png".to_owned(),
        defect_type: None,
        scores: 1.5_f32.to_le_bytes().to_vec(),
    };
    assert_eq!(
        read_bytes::<DefectRow>(write_bytes([defect.clone()]).unwrap().0).unwrap(),
        [defect]
    );
    let extreme = ExtremeRow {
        sample: 7,
        uri: "file:///data/7.png".to_owned(),
        etag: "e".to_owned(),
        size: 3,
        label: "anomalous".to_owned(),
        score: 1.5,
        mask_uri: None,
        mask_etag: None,
        synthetic: None,
        entry: None,
        cells: Some(Vec::new()),
    };
    assert_eq!(
        read_bytes::<ExtremeRow>(write_bytes([extreme.clone()]).unwrap().0).unwrap(),
        [extreme]
    );
}

#[test]
fn large_cells_are_held_in_few_rows_at_once() {
    let row = |n: u32| PictureRow {
        run: n,
        uri: String::new(),
        label: "normal".to_owned(),
        score: 0.0,
        list: "worst".to_owned(),
        rank: 0,
        image: Some(vec![n as u8; 100]),
        overlay: None,
        heat_low: None,
        heat_high: None,
        error: None,
    };
    let (bytes, _) = write_bytes((0..5_000).map(row)).unwrap();
    let file = SerializedFileReader::new(bytes.clone()).unwrap();
    assert_eq!(file.num_row_groups(), 3);
    let mut rows = 0;
    for batch in TableReader::<PictureRow>::open(bytes).unwrap() {
        let batch = batch.unwrap();
        assert!(batch.len() <= 16);
        rows += batch.len();
    }
    assert_eq!(rows, 5_000);
}

#[test]
fn an_empty_table_has_its_schema() {
    let (bytes, rows) = write_bytes::<ScoreRow>([]).unwrap();
    assert_eq!(rows, 0);
    assert_eq!(read_bytes::<ScoreRow>(bytes).unwrap(), []);
}

#[test]
fn files_say_what_they_are() {
    let file = SerializedFileReader::new(write_bytes((0..10).map(sample)).unwrap().0).unwrap();
    let metadata = file.metadata();
    assert!(
        metadata
            .file_metadata()
            .created_by()
            .unwrap()
            .starts_with("nightshift ")
    );
    let group = metadata.row_group(0);
    assert!(matches!(
        group.column(1).compression(),
        Compression::ZSTD(_)
    ));
    assert!(group.column(1).statistics().is_some());
    assert!(
        group.column(1).column_index_offset().is_some(),
        "page statistics"
    );
    assert_eq!(
        group.sorting_columns().map(|columns| columns[0].column_idx),
        Some(1)
    );
}

#[test]
fn the_same_rows_are_the_same_bytes() {
    let write = || write_bytes((0..100).map(score)).unwrap().0;
    assert_eq!(write(), write());
}

#[test]
fn other_files_are_refused_by_name() {
    let samples = write_bytes([sample(1)]).unwrap().0;
    let error = read_bytes::<ScoreRow>(samples.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected the table scores, but the file says \"samples/3\""
    );
    for broken in [
        Bytes::new(),
        Bytes::from_static(b"PAR1 no"),
        samples.slice(..samples.len() / 2),
    ] {
        assert!(matches!(
            read_bytes::<SampleRow>(broken),
            Err(TableError::Read { .. })
        ));
    }
    let newer = table::check_tag::<SampleRow>(Some("samples/9")).unwrap_err();
    assert!(matches!(
        newer,
        TableError::Newer {
            found: 9,
            newest: 3,
            ..
        }
    ));
    assert!(table::check_tag::<SampleRow>(None).is_err());
}

crate::table::table! {
    TimingRowBefore = "timings" version 1 sorted by [task, stage] {
        run: Option<u32>,
        task: String,
        kind: String,
        stage: String,
        wall_s: f64,
        cpu_s: Option<f64>,
        items: u64,
        bytes: u64,
        peak_memory: Option<u64>,
    }
}

#[test]
fn the_version_before_reads_with_nulls_for_what_it_did_not_have() {
    let before = TimingRowBefore {
        run: Some(1),
        task: "abcd-0001".to_owned(),
        kind: "fit".to_owned(),
        stage: "infer".to_owned(),
        wall_s: 1.5,
        cpu_s: None,
        items: 7,
        bytes: 9,
        peak_memory: None,
    };
    let rows = read_bytes::<TimingRow>(write_bytes([before]).unwrap().0).unwrap();
    assert_eq!(
        (rows[0].wall_s, rows[0].busy_s, rows[0].blocked_s),
        (1.5, None, None)
    );
    assert_eq!(rows[0].items, 7);
}

#[test]
fn rows_out_of_order_are_refused() {
    // Within a batch, and at the seam of two.
    for length in [3, 8192, 8193] {
        let mut rows: Vec<_> = (0..length).map(sample).collect();
        rows.push(sample(length - 2));
        let error = write_bytes(rows).unwrap_err();
        assert!(
            matches!(&error, TableError::Order { row, columns, .. } if *row == length && columns == "uri"),
            "{error}"
        );
    }
    let mut later = score(1);
    later.run = 2;
    assert!(write_bytes([score(5), later]).is_ok(), "by the run first");
    assert!(write_bytes([score(5), score(5)]).is_ok());
}

/// A job's scores are one file: for a million images it is to be of a size that people copy and load.
#[test]
fn the_scores_of_a_million_images_take_tens_of_megabytes() {
    const ROWS: u64 = 50_000;
    let scramble = |n: u64| (n ^ (n << 21)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let row = |n: u64| ScoreRow {
        uri: format!("s3://line3/2026/11/28/camera-{:02}/{n:09}.jpg", n / 10_000),
        etag: format!("{:016x}{:016x}", scramble(n), scramble(n + ROWS)),
        score: Some(scramble(n) as f32 / 1e18),
        score_normalized: Some(scramble(n + 1) as f32 / 2e19),
        boxes: None,
        decode_us: Some(2_000 + scramble(n) % 1_000),
        infer_us: Some(4_000 + scramble(n + 3) % 1_000),
        ..score(n)
    };
    let (bytes, rows) = write_bytes((0..ROWS).map(row)).unwrap();
    assert_eq!(rows, ROWS);
    let of_a_million = (bytes.len() as u64 * (1_000_000 / ROWS)) >> 20;
    assert!((10..100).contains(&of_a_million), "{of_a_million} MiB");
}
