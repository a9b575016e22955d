//! Measures AUROC, AUPR and AUPRO of many anomaly maps on one thread: one JSON line.
//!
//! `pixel_metrics MAPS [SIDE] [PIXELS_IN_MEMORY]` exact, `pixel_metrics MAPS SIDE binned` of bins, with how far off they can be. The maps are like those of the peers' script: smooth noise, every second
//! one with one or two raised rectangles, which its mask marks. Making them does not count. More pixels than may be in
//! memory (2^25, as in a score task) go to a file of states, which are merged. `cpu_s` is what the thread ran of it: less than `s`
//! where others use the processor, too.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Error, Seek, Write},
    time::{Duration, Instant},
};

use metrics::{BinnedCounts, FprLimit, Merge, RawScores, Regions, ScoreCounts, Summary};

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_binned = words.get(2).is_some_and(|word| word == "binned");
    let numbers = words.iter().filter(|word| *word != "binned");
    let mut numbers = numbers.map(|number| number.parse::<u64>());
    let maps = numbers.next().ok_or("how many maps?")??;
    let side = numbers.next().transpose()?.unwrap_or(256) as usize;
    let in_memory = numbers.next().transpose()?.unwrap_or(1 << 25);

    if is_binned {
        return binned(maps, side);
    }
    let (mut taken, mut counts, mut sealed) = (Taken::default(), ScoreCounts::new(), Vec::new());
    for index in 0..maps {
        let (map, mask) = map(index, side);
        let start = Start::now()?;
        counts.observe_map(RawScores::new(&map)?, &Regions::of_mask(&mask, side));
        let totals = counts.totals();
        if totals.normal + totals.anomalous > in_memory {
            sealed.push(seal(&mut counts)?);
        }
        taken.add(start)?;
    }
    let start = Start::now()?;
    let summary = finish(counts, sealed)?;
    taken.add(start)?;
    println!(
        r#"{{"maps": {maps}, "side": {side}, "s": {:.3}, "cpu_s": {:.3}, "auroc": {}, "aupr": {}, "aupro": {}, "regions": {}, "peak_rss_mib": {}}}"#,
        taken.wall.as_secs_f64(),
        taken.cpu.as_secs_f64(),
        summary.auroc?,
        summary.aupr?,
        summary.aupro?,
        summary.totals.regions,
        peak_mib()?,
    );
    Ok(())
}

fn binned(maps: u64, side: usize) -> Result<(), Failed> {
    let (mut taken, mut counts) = (Taken::default(), BinnedCounts::default());
    for index in 0..maps {
        let (map, mask) = map(index, side);
        let start = Start::now()?;
        counts.observe_map(RawScores::new(&map)?, &Regions::of_mask(&mask, side));
        taken.add(start)?;
    }
    let start = Start::now()?;
    let found = counts.finish(FprLimit::STANDARD);
    taken.add(start)?;
    let (auroc, aupr, aupro) = (found.auroc?, found.aupr?, found.aupro?);
    println!(
        r#"{{"maps": {maps}, "side": {side}, "s": {:.3}, "cpu_s": {:.3}, "auroc": {}, "aupr": {}, "aupro": {}, "errors": [{:e}, {:e}, {:e}], "peak_rss_mib": {}}}"#,
        taken.wall.as_secs_f64(),
        taken.cpu.as_secs_f64(),
        auroc.value,
        aupr.value,
        aupro.value,
        auroc.error(),
        aupr.error(),
        aupro.error(),
        peak_mib()?,
    );
    Ok(())
}

/// Writes the state to a file without a name, and empties it.
fn seal(counts: &mut ScoreCounts) -> Result<File, Failed> {
    let path = std::env::temp_dir().join(format!("pixel-metrics-{}", std::process::id()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    let mut sink = BufWriter::new(&file);
    std::mem::take(counts).write(&mut sink)?;
    sink.flush()?;
    drop(sink);
    Ok(file)
}

fn finish(mut counts: ScoreCounts, mut sealed: Vec<File>) -> Result<Summary, Failed> {
    if sealed.is_empty() {
        return Ok(counts.summary(&[]));
    }
    sealed.push(seal(&mut counts)?);
    let rewound = |mut file: File| -> Result<_, Error> {
        file.rewind()?;
        Ok(BufReader::new(file))
    };
    let sources: Result<Vec<_>, Error> = sealed.into_iter().map(rewound).collect();
    Ok(Merge::open(sources?)?.summary(&[])?)
}

/// One map with its mask.
fn map(index: u64, side: usize) -> (Vec<f32>, Vec<u8>) {
    let mut random = Random(index);
    let grid = side.div_ceil(16) + 1;
    let coarse: Vec<f32> = (0..grid * grid).map(|_| random.share()).collect();
    let mut map = Vec::with_capacity(side * side);
    for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
        let (top, left) = (y / 16, x / 16);
        let (down, right) = ((y % 16) as f32 / 16.0, (x % 16) as f32 / 16.0);
        let corner = |y: usize, x: usize| coarse[(top + y) * grid + left + x];
        let upper = corner(0, 0) * (1.0 - right) + corner(0, 1) * right;
        let lower = corner(1, 0) * (1.0 - right) + corner(1, 1) * right;
        let smooth = upper * (1.0 - down) + lower * down;
        map.push(smooth * 0.6 + random.share() * 0.1);
    }
    let mut mask = vec![0; side * side];
    let rectangles = if index.is_multiple_of(2) {
        0
    } else {
        1 + index % 4 / 2
    };
    for _ in 0..rectangles {
        let (y, x) = (random.below(side - 50), random.below(side - 50));
        let (height, width) = (10 + random.below(40), 10 + random.below(40));
        for row in y..y + height {
            let pixels = row * side + x..row * side + x + width;
            mask[pixels.clone()].fill(1);
            if row < y + height * 3 / 4 {
                map[pixels].iter_mut().for_each(|score| *score += 0.3);
            }
        }
    }
    map.iter_mut()
        .for_each(|score| *score = score.clamp(0.0, 1.0));
    (map, mask)
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// In [0, 1).
    fn share(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

#[derive(Default)]
struct Taken {
    wall: Duration,
    cpu: Duration,
}

struct Start {
    wall: Instant,
    cpu: Duration,
}

impl Start {
    fn now() -> Result<Self, Failed> {
        Ok(Self {
            wall: Instant::now(),
            cpu: cpu()?,
        })
    }
}

impl Taken {
    fn add(&mut self, start: Start) -> Result<(), Failed> {
        self.wall += start.wall.elapsed();
        self.cpu += cpu()?.saturating_sub(start.cpu);
        Ok(())
    }
}

/// What this thread ran so far.
fn cpu() -> Result<Duration, Failed> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ran = stat.split_ascii_whitespace().next().ok_or("no schedstat")?;
    Ok(Duration::from_nanos(ran.parse()?))
}

fn peak_mib() -> Result<u64, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.ok_or("no VmHWM")?.trim().trim_end_matches(" kB");
    Ok(kib.parse::<u64>()? / 1024)
}
