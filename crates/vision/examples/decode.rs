//! What reading the images of a folder costs: milliseconds of CPU time an image for decoding and resizing to 256 x 256, in full and
//! scaled, the best of several rounds.
//!
//! ```text
//! cargo run --example decode -- FOLDER [ROUNDS]
//! ```

use std::{error::Error, path::PathBuf};

use vision::{Decoding, Limits, Preprocess, decode, decode_input, decode_scaled};

/// CPU time of this process in milliseconds.
fn cpu_ms() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds = stat.split_whitespace().next().ok_or("no schedstat")?;
    Ok(nanoseconds.parse::<f64>()? / 1e6)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("no folder given")?);
    let rounds: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && vision::header(&std::fs::read(&path)?).is_ok() {
            files.push(std::fs::read(path)?);
        }
    }
    let (limits, size) = (Limits::default(), [256, 256]);
    let mut input = vec![0.0; 3 * size[0] * size[1]];
    for decoding in [Decoding::Full, Decoding::Scaled] {
        let preprocess = Preprocess::new(size, None).decoding(decoding);
        let (mut decoded, mut both) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..rounds {
            let (mut first, mut second) = (0.0, 0.0);
            for bytes in &files {
                let start = cpu_ms()?;
                match decoding {
                    Decoding::Full => drop(decode(bytes, &limits)?),
                    Decoding::Scaled => drop(decode_scaled(bytes, &limits, size)?),
                }
                let middle = cpu_ms()?;
                decode_input(bytes, &limits, &preprocess, &mut input)?;
                first += middle - start;
                second += cpu_ms()? - middle;
            }
            decoded = decoded.min(first / files.len() as f64);
            both = both.min(second / files.len() as f64);
        }
        println!("{decoding:?}: decoding {decoded:.2} ms, with resizing {both:.2} ms");
    }
    Ok(())
}
