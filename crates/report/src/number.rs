//! Numbers as people read them.

/// A metric: four decimals. A value that is nearly one is never shown as one: it would say that nothing is wrong.
pub fn metric(value: f64) -> String {
    let shown = format!("{value:.4}");
    if shown == "1.0000" && value < 1.0 {
        return "0.9999".to_owned();
    }
    shown
}

/// Four significant digits; powers of ten where zeros would have to be counted.
pub fn score(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e6).contains(&size) {
        format!("{value:.3e}")
    } else {
        // Rounding may add a digit before the point: 9.9996 is 10.00.
        let digits = format!("{size:.3e}");
        let power: i32 = digits
            .rsplit('e')
            .next()
            .and_then(|power| power.parse().ok())
            .unwrap_or(0);
        format!("{value:.*}", usize::try_from(3 - power).unwrap_or(0))
    }
}

/// Whole numbers in groups of three.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}'); // a narrow space that does not break
        }
        grouped.push(digit);
    }
    grouped
}

/// `3 images`, `1 image`.
pub fn counted(value: u64, one: &str) -> String {
    format!("{} {}", count(value), plural(value, one))
}

/// `images` or, if it is one, `image`.
pub fn plural(value: u64, one: &str) -> String {
    format!("{one}{}", if value == 1 { "" } else { "s" })
}

/// A part of a whole, in per cent; of nothing a dash.
pub fn share(part: u64, whole: u64) -> String {
    match whole {
        0 => "–".to_owned(),
        whole => format!("{:.2} %", 100.0 * part as f64 / whole as f64),
    }
}

/// A length of time.
pub fn seconds(value: f64) -> String {
    let whole = value.max(0.0).round() as u64;
    match value {
        _ if value < 9.995 => format!("{:.2} s", value.max(0.0)),
        _ if value < 59.95 => format!("{value:.1} s"),
        _ if whole < 3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

/// Images a second.
pub fn rate(value: f64) -> String {
    if value < 99.95 {
        format!("{value:.1}")
    } else {
        count(value.round() as u64)
    }
}

/// A share, in percent.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Steps of 1, 2 or 5 times a power of ten, so that there are about `wanted` of them between the ends.
pub fn ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let span = high - low;
    if !(span > 0.0 && span.is_finite()) || wanted == 0 {
        return Vec::new();
    }
    let raw = span / wanted as f64;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= raw * 0.999)
        .unwrap_or(10.0 * power);
    let first = (low / step).ceil();
    let count = ((high / step).floor() - first).clamp(0.0, 4.0 * wanted as f64) as usize;
    (0..=count)
        .map(|at| (first + at as f64) * step)
        .filter(|tick| *tick <= high)
        .collect()
}

/// The powers of ten from one number to the other, or these where there are not two.
pub fn powers(low: f64, high: f64) -> Vec<f64> {
    // Logarithms of powers are not quite whole.
    let [first, last] = [(low.log10() - 1e-9).ceil(), (high.log10() + 1e-9).floor()];
    if last - first < 1.0 || !(last - first).is_finite() {
        return vec![low, high];
    }
    let powers = first as i32..=last as i32;
    powers
        .map(|power| 10_f64.powi(power).clamp(low, high))
        .collect()
}

/// A tick with as many decimals as its step needs.
pub fn tick(value: f64, step: f64) -> String {
    if value != 0.0 && (value.abs() >= 1e6 || step < 1e-4) {
        return format!("{value:.1e}");
    }
    let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{:.*}", decimals, value + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_four_decimals_and_only_one_is_one() {
        assert_eq!(metric(0.95349), "0.9535");
        assert_eq!(metric(1.0), "1.0000");
        assert_eq!(metric(0.999_99), "0.9999");
        assert_eq!(metric(0.0), "0.0000");
    }

    #[test]
    fn scores_keep_four_digits_at_any_size() {
        for (value, text) in [
            (0.0, "0"),
            (12.3456, "12.35"),
            (9.9996, "10.00"),
            (-0.5, "-0.5000"),
            (123_456.7, "123457"),
            (0.001_234_5, "0.001234"),
            (0.000_123_45, "1.234e-4"),
            (3.2e9, "3.200e9"),
        ] {
            assert_eq!(score(value), text);
        }
    }

    #[test]
    fn counts_have_groups() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1\u{202f}000"),
            (1_234_567, "1\u{202f}234\u{202f}567"),
        ] {
            assert_eq!(count(value), text);
        }
        assert_eq!(counted(1, "image"), "1 image");
        assert_eq!(counted(0, "image"), "0 images");
    }

    #[test]
    fn times_and_rates() {
        for (value, text) in [
            (0.0, "0.00 s"),
            (6.244, "6.24 s"),
            (9.996, "10.0 s"),
            (42.06, "42.1 s"),
            (59.96, "1 min 0 s"),
            (125.0, "2 min 5 s"),
            (7_260.0, "2 h 1 min"),
        ] {
            assert_eq!(seconds(value), text);
        }
        assert_eq!(rate(99.94), "99.9");
        assert_eq!(rate(1_234.5), "1\u{202f}235");
        assert_eq!(percent(0.1234), "12.3 %");
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(
            ticks(0.0, 1.0, 5),
            [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
        );
        assert_eq!(ticks(-3.0, 12.0, 4), [0.0, 5.0, 10.0]);
        for (low, high) in [
            (1.0, 1.0),
            (f64::NAN, 1.0),
            (0.0, f64::INFINITY),
            (2.0, 1.0),
        ] {
            assert!(ticks(low, high, 5).is_empty(), "{low} {high}");
        }
        assert!(ticks(0.0, f64::from(f32::MAX), 5).len() > 2);
        assert_eq!(powers(1e-5, 1e-3), [1e-5, 1e-4, 1e-3]);
        assert_eq!(powers(5e-5, 2e-4), [5e-5, 2e-4]);
        assert_eq!(tick(0.6000000000000001, 0.2), "0.6");
        assert_eq!(tick(15.0, 5.0), "15");
        assert_eq!(tick(-0.0, 0.05), "0.00");
        assert_eq!(tick(2e6, 1e6), "2.0e6");
    }
}
