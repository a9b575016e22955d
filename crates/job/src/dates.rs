//! Days in addresses: `s3://line3/{yesterday:%Y/%m/%d}` is read as the address of one night.

use jiff::{Timestamp, ZonedDateTime, civil::DateTime, tz::TimeZone};

use crate::{
    node::{Node, Value},
    report::Report,
};

/// How a day is written where the file does not say.
const FORMAT: &str = "%Y-%m-%d";

/// Puts days into a text, such as a job's key: `{today}` and `{yesterday}`, each with a format (`{today:%d.%m.}`) or without.
/// A brace that means itself is doubled; one that closes nothing may stand alone. `Err` says what is wrong.
pub fn fill(text: &str, now: &ZonedDateTime) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, braced) = rest.split_at(at);
        filled.push_str(before);
        let (brace, opened) = braced.split_at(1);
        if let Some(after) = opened.strip_prefix(brace) {
            filled.push_str(brace);
            rest = after;
        } else if brace == "}" {
            filled.push_str(brace);
            rest = opened;
        } else {
            let (field, after) = opened
                .split_once('}')
                .ok_or_else(|| format!("{text:?}: a {{ without a }}; {DOUBLED}"))?;
            filled.push_str(&day(field, now)?);
            rest = after;
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The text that [`fill`] makes this one of, whatever braces are in it.
pub fn literal(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

const DOUBLED: &str = "a brace that means itself is doubled: {{";

fn day(field: &str, now: &ZonedDateTime) -> Result<String, String> {
    let (name, format) = field.split_once(':').unwrap_or((field, FORMAT));
    let today = now.date();
    let day = match name {
        "today" => Ok(today),
        "yesterday" => today.yesterday().map_err(|error| error.to_string()),
        choice if choice.contains(',') => Err(format!(
            "{{{choice}}}: globs have no alternatives in braces: name a place for each, such as [\"*.tar\", \"*.zip\"]; {DOUBLED}"
        )),
        other => Err(format!(
            "{{{other}}} is no day; there are {{today}} and {{yesterday}}, such as {{yesterday:%Y/%m/%d}}; {DOUBLED}"
        )),
    }?;
    if format.is_empty() {
        return Err(format!(
            "{{{field}}} has no format behind its colon; such as {{{name}}} or {{{name}:%Y/%m/%d}}"
        ));
    }
    jiff::fmt::strtime::format(format, day)
        .map_err(|error| format!("{format:?} is no format of a day ({error}); such as %Y/%m/%d"))
}

/// The time in the zone that a file names, such as `Europe/Berlin`.
pub fn in_zone(now: Timestamp, zone: &str) -> Result<ZonedDateTime, String> {
    if zone.eq_ignore_ascii_case("utc") {
        return Ok(now.to_zoned_datetime(TimeZone::UTC));
    }
    let zone = TimeZone::get(zone).map_err(|error| {
        format!("{zone:?} is no time zone that this machine knows ({error}); such as UTC or Europe/Berlin")
    })?;
    Ok(now.to_zoned_datetime(zone))
}

/// The moment that a day (its midnight) or a time without an offset is in the zone, as text with its offset; `None` of
/// what is neither: it says its offset itself, or is wrong.
pub(crate) fn moment(text: &str, zone: &TimeZone) -> Option<String> {
    // A zone in brackets would be passed over.
    if text.contains('[') || text.parse::<Timestamp>().is_ok() {
        return None;
    }
    let time = text.parse::<DateTime>().ok()?;
    let moment = time.to_zoned_datetime(zone.clone()).ok()?;
    Some(moment.timestamp().to_string())
}

/// Fills every text below a node.
pub(crate) fn fill_all(node: &mut Node, now: &ZonedDateTime, report: &mut Report<'_>) {
    match &mut node.value {
        Value::Text(text) if text.contains('{') => match fill(text, now) {
            Ok(filled) => *text = filled,
            Err(reason) => report.error(node.at, reason),
        },
        Value::List(items) => items
            .iter_mut()
            .for_each(|item| fill_all(item, now, report)),
        Value::Map(entries) => entries
            .iter_mut()
            .for_each(|entry| fill_all(&mut entry.node, now, report)),
        Value::Text(_) | Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::{Offset, TimeZone};

    use super::{fill, in_zone, literal, moment};

    #[test]
    fn days_and_times_without_an_offset_are_those_of_the_zone() {
        let zone = TimeZone::fixed(Offset::constant(9));
        for (text, expected) in [
            ("2026-11-30", Some("2026-11-29T15:00:00Z")),
            ("2026-11-29T22:23", Some("2026-11-29T13:23:00Z")),
            ("2026-11-29 22:23:07", Some("2026-11-29T13:23:07Z")),
            ("2026-11-29T22:00:00+01:00", None),
            ("2026-11-29T22:00:00Z", None),
            ("2026-11-29T22:00[Europe/Berlin]", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(moment(text, &zone).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let now = "2026-11-27T23:30:00Z".parse().unwrap();
        let utc = in_zone(now, "UTC").unwrap();
        assert_eq!(
            fill("s3://line3/{yesterday:%Y/%m/%d}/{today}", &utc).unwrap(),
            "s3://line3/2026/11/26/2026-11-27"
        );
        // Half past midnight there.
        if let Ok(berlin) = in_zone(now, "Europe/Berlin") {
            assert_eq!(fill("{yesterday}", &berlin).unwrap(), "2026-11-27");
        }
    }

    #[test]
    fn a_doubled_brace_is_a_brace() {
        let now = in_zone("2026-03-01T00:00:00Z".parse().unwrap(), "utc").unwrap();
        for (text, filled) in [
            ("{{today}}", "{today}"),
            ("{{{today}}}", "{2026-03-01}"),
            ("a}b{{c", "a}b{c"),
            ("{{{{", "{{"),
        ] {
            assert_eq!(fill(text, &now).unwrap(), filled, "{text}");
        }
        for name in ["{brace}.png", "}}{", "{{today}}", "plain"] {
            assert_eq!(fill(&literal(name), &now).unwrap(), name);
        }
    }

    #[test]
    fn what_is_no_day_is_said() {
        let now = in_zone("2026-03-01T00:00:00Z".parse().unwrap(), "utc").unwrap();
        assert_eq!(fill("{yesterday}", &now).unwrap(), "2026-02-28");
        for (text, part) in [
            ("{tomorrow}", "{tomorrow} is no day"),
            ("{tomorrow}", "doubled: {{"),
            ("*.{tar,zip}", "{tar,zip}: globs have no alternatives"),
            ("a{today", "without a }"),
            ("{today:%Q}", "is no format"),
            ("a/{yesterday:}", "{yesterday:} has no format"),
        ] {
            let error = fill(text, &now).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let error = in_zone("2026-03-01T00:00:00Z".parse().unwrap(), "Moon/Sea").unwrap_err();
        assert!(error.contains("no time zone"), "{error}");
    }
}
