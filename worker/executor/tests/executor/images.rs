//! Tiny data sets: grey texture from a counter-based generator, defects as bright squares with masks.

use std::{fs, io::BufWriter, path::Path};

pub const SIDE: u32 = 64;

/// A folder in MVTec's layout: `train` normal images, and `test` normal and anomalous ones.
pub fn dataset(root: &Path, train: u32, test: u32) {
    for index in 0..train {
        write(
            &root.join(format!("tiny/train/good/{index:03}.png")),
            &texture(index),
        );
    }
    for index in 0..test {
        write(
            &root.join(format!("tiny/test/good/{index:03}.png")),
            &texture(1000 + index),
        );
        let (mut image, mut mask) = (texture(2000 + index), vec![0; (SIDE * SIDE) as usize]);
        let (left, top) = (8 + 3 * index % 30, 10 + 5 * index % 30);
        for (y, x) in (top..top + 16).flat_map(|y| (left..left + 16).map(move |x| (y, x))) {
            image[(y * SIDE + x) as usize] = 250;
            mask[(y * SIDE + x) as usize] = 255;
        }
        write(&root.join(format!("tiny/test/bad/{index:03}.png")), &image);
        write(
            &root.join(format!("tiny/ground_truth/bad/{index:03}_mask.png")),
            &mask,
        );
    }
}

pub fn texture(seed: u32) -> Vec<u8> {
    (0..SIDE * SIDE)
        .map(|index| {
            let noise = (index ^ seed.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B);
            let wave = 20.0 * (f64::from(index % SIDE) / 5.0).sin();
            (100.0 + wave + f64::from((noise ^ (noise >> 15)) % 24)) as u8
        })
        .collect()
}

pub fn write(path: &Path, grey: &[u8]) {
    write_sized(path, grey, SIDE, SIDE);
}

pub fn write_sized(path: &Path, grey: &[u8], width: u32, height: u32) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    let file = BufWriter::new(fs::File::create(path).expect("a file"));
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(grey))
        .expect("a picture");
}

/// A picture of a few bytes that claims to be 30,000 x 30,000.
pub fn write_bomb(path: &Path) {
    write(path, &texture(1));
    let mut bytes = fs::read(path).expect("the file");
    bytes[16..20].copy_from_slice(&30_000_u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&30_000_u32.to_be_bytes());
    let crc = crc32(&bytes[12..29]).to_be_bytes();
    bytes[29..33].copy_from_slice(&crc);
    fs::write(path, bytes).expect("the file");
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
