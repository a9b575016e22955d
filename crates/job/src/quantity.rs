//! Times and amounts of memory as people write them.

/// Seconds of `90s`, `30m`, `2h`, `1h30m` or `1d`.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..end].parse().ok()?;
        let unit = rest[end..].chars().next()?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = &rest[end + 1..];
    }
    (total > 0).then_some(total)
}

/// Bytes of `8GiB`, `512 MiB` or `1.5GB`.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..end].parse().ok()?;
    let factor: u64 = match text[end..].trim() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    let bytes = number * factor as f64;
    (bytes.is_finite() && bytes >= 1.0 && bytes < i64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let cases = [
            ("2h", Some(7_200)),
            ("1h30m", Some(5_400)),
            ("90s", Some(90)),
            ("1d", Some(86_400)),
        ];
        for (text, expected) in cases {
            assert_eq!(seconds(text), expected, "{text}");
        }
        for bad in [
            "",
            "2",
            "h",
            "2x",
            "0s",
            "-1s",
            "99999999999999999999s",
            "9999999999999999999d",
            "2hé",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn amounts() {
        let cases = [
            ("8GiB", Some(8 << 30)),
            ("512 MiB", Some(512 << 20)),
            ("1.5GB", Some(1_500_000_000)),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text), expected, "{text}");
        }
        for bad in [
            "",
            "8",
            "GiB",
            "8gibi",
            "-1GB",
            "0MB",
            "1.2.3GB",
            "99999999999TiB",
        ] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }
}
