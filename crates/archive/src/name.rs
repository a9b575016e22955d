//! Names of entries: what they may be.

use crate::error::Refusal;

pub(crate) const LONGEST: usize = 4096;

/// The name without `.` and empty parts. It never leads out of where it is put.
pub(crate) fn checked(raw: &[u8]) -> Result<String, Refusal> {
    if raw.len() > LONGEST {
        return Err(Refusal::NameTooLong {
            bytes: raw.len(),
            limit: LONGEST,
        });
    }
    if raw.contains(&0) {
        return Err(Refusal::NameWithZero);
    }
    let name = str::from_utf8(raw).map_err(|_| Refusal::NameNotUtf8)?;
    if name.split(['/', '\\']).any(|part| part == "..") {
        return Err(Refusal::NameClimbs);
    }
    let parts: Vec<&str> = name
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    let joined = parts.join("/");
    // As Windows reads it, too.
    let drive = joined.as_bytes().get(1) == Some(&b':');
    if name.starts_with('/') || joined.starts_with('\\') || drive {
        return Err(Refusal::NameAbsolute);
    }
    if joined.is_empty() {
        return Err(Refusal::NameEmpty);
    }
    Ok(joined)
}

/// A name for messages: short, and without control characters.
pub(crate) fn shown(raw: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(&raw[..raw.len().min(SHOWN)]);
    let more = if raw.len() > SHOWN { "..." } else { "" };
    format!("{}{more}", text.escape_debug())
}
