//! The element types of weight files, and their conversion to f32.

/// How elements are stored, always little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    F64,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

/// Integers up to here have an exact f32.
const EXACT: i64 = 1 << 24;

impl Element {
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// All of `bytes` as f32; the message says why not. Floats are rounded, integers must fit exactly.
    pub(crate) fn to_f32(self, bytes: &[u8]) -> Result<Vec<f32>, String> {
        match self {
            Self::F32 => Ok(words(bytes, f32::from_le_bytes)),
            Self::F64 => Ok(words(bytes, |w| f64::from_le_bytes(w) as f32)),
            Self::F16 => Ok(words(bytes, |w| half(u16::from_le_bytes(w)))),
            Self::Bf16 => Ok(words(bytes, |w| {
                f32::from_bits(u32::from(u16::from_le_bytes(w)) << 16)
            })),
            Self::I64 => exact(words(bytes, i64::from_le_bytes)),
            Self::I32 => exact(words(bytes, |w| i64::from(i32::from_le_bytes(w)))),
            Self::I16 => exact(words(bytes, |w| i64::from(i16::from_le_bytes(w)))),
            Self::I8 => exact(words(bytes, |w| i64::from(i8::from_le_bytes(w)))),
            Self::U8 | Self::Bool => Ok(bytes.iter().map(|&b| f32::from(b)).collect()),
        }
    }
}

fn words<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (words, _) = bytes.as_chunks::<N>();
    words.iter().map(|&word| convert(word)).collect()
}

fn exact(values: Vec<i64>) -> Result<Vec<f32>, String> {
    match values.iter().find(|v| v.unsigned_abs() > EXACT as u64) {
        Some(value) => Err(format!("the integer {value} has no exact f32")),
        None => Ok(values.into_iter().map(|v| v as f32).collect()),
    }
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_every_kind_are_converted() {
        let cases = [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (bits, expected) in cases {
            assert_eq!(half(bits), expected, "0x{bits:04x}");
        }
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn integers_without_exact_float_are_refused() {
        assert_eq!(
            Element::I64.to_f32(&EXACT.to_le_bytes()),
            Ok(vec![16_777_216.0])
        );
        assert!(Element::I64.to_f32(&(EXACT + 1).to_le_bytes()).is_err());
        assert!(Element::I64.to_f32(&i64::MIN.to_le_bytes()).is_err());
    }
}
