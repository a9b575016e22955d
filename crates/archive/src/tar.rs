//! Tar: a header of 512 bytes before each file, and contents filled up to 512. Read by a machine that is fed with headers, so that a
//! listing and a stream read the same.

use crate::{
    Entry, Limits, Listing, Place,
    error::{ArchiveError, Problem, Refusal},
    name,
    object::{Object, Source},
};

pub(crate) const BLOCK: usize = 512;
/// A header that describes the next one may be as large.
const DESCRIPTION: u64 = 1 << 20;
/// Archives are filled up with zeros to a multiple of what tapes liked.
pub(crate) const FILLING: u64 = 1 << 20;
pub(crate) const MORE: &str = "its end marker stands here, but more follows";

/// What follows the header that was fed.
#[derive(Debug)]
pub(crate) enum Next {
    /// So many bytes of contents, for [`Machine::description`].
    Description { size: u64 },
    /// Contents of a file.
    File {
        name: String,
        size: u64,
        modified: Option<i64>,
    },
    /// So many bytes of contents that nobody reads; nothing more is to be said of a folder.
    Skip { size: u64, problem: Option<Problem> },
    /// The end: only zeros may follow.
    End,
}

/// What headers before a file's own say about it.
#[derive(Debug, Default)]
struct Described {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    modified: Option<i64>,
    sparse: bool,
}

#[derive(Debug)]
enum Description {
    /// GNU: the name, with a zero after it.
    Name,
    /// GNU: what a link points to.
    Link,
    /// POSIX: lines of `length key=value`.
    Pax,
    /// The same for all files that follow.
    Global,
    /// GNU: where the parts of a file with holes go; what follows it is the parts, so many bytes.
    Holes { size: u64, problem: Problem },
}

#[derive(Debug, Default)]
pub(crate) struct Machine {
    described: Described,
    awaited: Option<Description>,
    /// The last file, for messages.
    last: Option<String>,
    seen: u64,
}

impl Machine {
    /// An error is its reason.
    fn header(&mut self, header: &[u8; BLOCK]) -> Result<Next, String> {
        if header.iter().all(|byte| *byte == 0) {
            return Ok(Next::End);
        }
        check_sum(header)?;
        self.seen += 1;
        let own_size = number(&header[124..136]).ok_or("the size of an entry is no number")?;
        let kind = header[156];
        let awaited = match kind {
            b'L' => Some(Description::Name),
            b'K' => Some(Description::Link),
            b'x' => Some(Description::Pax),
            b'g' => Some(Description::Global),
            _ => None,
        };
        if awaited.is_some() {
            if own_size > DESCRIPTION {
                return Err(format!("a description of {own_size} bytes is too large"));
            }
            self.awaited = awaited;
            return Ok(Next::Description { size: own_size });
        }
        let described = std::mem::take(&mut self.described);
        let raw = described.name.unwrap_or_else(|| own_name(header));
        let size = described.size.unwrap_or(own_size);
        let shown = name::shown(&raw);
        self.last = Some(shown.clone());
        let refused = |size, refusal| {
            let entry = shown.clone();
            let problem = Some(Problem { entry, refusal });
            Ok(Next::Skip { size, problem })
        };
        match kind {
            b'0' | 0 | b'7' if described.sparse => refused(size, Refusal::Sparse),
            // Of old, a folder was a file whose name ends so.
            b'0' | 0 | b'7' if raw.ends_with(b"/") => Ok(Next::Skip {
                size,
                problem: None,
            }),
            b'0' | 0 | b'7' => match name::checked(&raw) {
                Ok(name) => {
                    let own = || number(&header[136..148]).and_then(|at| i64::try_from(at).ok());
                    Ok(Next::File {
                        name,
                        size,
                        modified: described.modified.or_else(own),
                    })
                }
                Err(refusal) => refused(size, refusal),
            },
            b'5' => Ok(Next::Skip {
                size: 0,
                problem: None,
            }),
            // Whatever size they name, they have no contents.
            b'1' | b'2' => refused(0, Refusal::Link),
            b'3' | b'4' | b'6' => refused(0, Refusal::NotAFile(kind.into())),
            b'S' if header[482] == 0 => refused(size, Refusal::Sparse),
            b'S' => {
                let problem = Problem {
                    entry: shown,
                    refusal: Refusal::Sparse,
                };
                self.awaited = Some(Description::Holes { size, problem });
                Ok(Next::Description { size: BLOCK as u64 })
            }
            _ => refused(size, Refusal::NotAFile(kind.into())),
        }
    }

    /// Takes what describes an entry. `None`: a header follows.
    pub fn description(&mut self, bytes: &[u8]) -> Result<Option<Next>, String> {
        match self.awaited.take() {
            Some(Description::Name) => {
                let end = bytes.iter().position(|byte| *byte == 0);
                self.described.name = Some(bytes[..end.unwrap_or(bytes.len())].to_vec());
            }
            Some(Description::Link) | None => {}
            Some(Description::Pax) => self.described.pax(bytes)?,
            Some(Description::Global) => {
                let mut all = Described::default();
                all.pax(bytes)?;
                if all.name.is_some() || all.size.is_some() || all.sparse {
                    return Err("one name or size is given to all files".to_owned());
                }
            }
            Some(Description::Holes { size, problem }) => {
                self.seen += 1;
                // More of the list.
                if bytes.get(504).is_some_and(|more| *more != 0) {
                    self.awaited = Some(Description::Holes { size, problem });
                    return Ok(Some(Next::Description { size: BLOCK as u64 }));
                }
                let problem = Some(problem);
                return Ok(Some(Next::Skip { size, problem }));
            }
        }
        Ok(None)
    }

    /// Where in the archive something is wrong, for people.
    pub fn after(&self) -> String {
        match &self.last {
            Some(last) => format!("after {last}"),
            None => "at its beginning".to_owned(),
        }
    }

    pub fn damaged(&self, archive: &str, offset: u64, reason: &str) -> ArchiveError {
        ArchiveError::Damaged {
            archive: archive.to_owned(),
            offset,
            reason: format!("{reason} ({})", self.after()),
        }
    }

    /// What a header at `offset` says. Where the first is none, this is no archive.
    pub fn next(
        &mut self,
        archive: &str,
        block: &[u8],
        offset: u64,
        expected: &'static str,
    ) -> Result<Next, ArchiveError> {
        let first = self.seen == 0;
        let next = match block.first_chunk() {
            Some(header) => self.header(header),
            None => Err("it is cut".to_owned()),
        };
        next.map_err(|reason| {
            if first {
                ArchiveError::NotAnArchive {
                    archive: archive.to_owned(),
                    expected,
                    reason,
                }
            } else {
                self.damaged(archive, offset, &reason)
            }
        })
    }

    pub fn check_count(&self, archive: &str, limits: &Limits) -> Result<(), ArchiveError> {
        if self.seen > limits.entries {
            return Err(ArchiveError::TooManyEntries {
                archive: archive.to_owned(),
                limit: limits.entries,
            });
        }
        Ok(())
    }
}

impl Described {
    fn pax(&mut self, mut rest: &[u8]) -> Result<(), String> {
        const MALFORMED: &str = "a line of a pax header is malformed";
        while !rest.is_empty() {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let length = str::from_utf8(&rest[..digits]).unwrap_or_default();
            let length: usize = length.parse().map_err(|_| MALFORMED)?;
            let line = rest.get(digits..length).ok_or(MALFORMED)?;
            rest = &rest[length..];
            let line = line
                .strip_prefix(b" ")
                .and_then(|line| line.strip_suffix(b"\n"));
            let line = line.ok_or(MALFORMED)?;
            let equals = line.iter().position(|byte| *byte == b'=');
            let (key, value) = line.split_at(equals.ok_or(MALFORMED)?);
            let value = &value[1..];
            let text = str::from_utf8(value).unwrap_or_default();
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"size" => {
                    let size = text.parse();
                    self.size = Some(size.map_err(|_| "the size of an entry is no number")?);
                }
                // Fractions of seconds are nothing to anybody here.
                b"mtime" => {
                    let whole = text.split('.').next().unwrap_or_default();
                    self.modified = whole.parse().ok();
                }
                _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Name and, in POSIX's form, the folders before it.
fn own_name(header: &[u8; BLOCK]) -> Vec<u8> {
    let text = |from: usize, to: usize| {
        let field = &header[from..to];
        let end = field.iter().position(|byte| *byte == 0);
        &field[..end.unwrap_or(field.len())]
    };
    let (name, prefix) = (text(0, 100), text(345, 500));
    if &header[257..263] == b"ustar\0" && !prefix.is_empty() {
        [prefix, b"/", name].concat()
    } else {
        name.to_vec()
    }
}

fn check_sum(header: &[u8; BLOCK]) -> Result<(), String> {
    let told = number(&header[148..156]).ok_or("there is no header of an entry")?;
    let blank = |(at, byte): (usize, &u8)| {
        if (148..156).contains(&at) {
            b' '
        } else {
            *byte
        }
    };
    let bytes = || header.iter().enumerate().map(blank);
    // Some added up signed numbers.
    let unsigned: u64 = bytes().map(u64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    if told == unsigned || u64::try_from(signed) == Ok(told) {
        Ok(())
    } else {
        Err("the header of an entry does not add up".to_owned())
    }
}

/// Octal digits between blanks, or GNU's big-endian bytes after a first bit of 1.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let first = u64::from(field[0] & 0x7f);
        let mut rest = field[1..].iter();
        return rest.try_fold(first, |sum, byte| {
            Some(sum.checked_mul(256)? + u64::from(*byte))
        });
    }
    let text = str::from_utf8(field).ok()?;
    let digits = text.trim_matches(['\0', ' ']);
    if digits.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(digits, 8).ok()
}

/// With what fills contents up to the next header; of a size within an archive.
pub(crate) fn filled(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64)
}

pub(crate) fn list<O: Object>(
    archive: &str,
    object: &O,
    limits: &Limits,
) -> Result<Listing, ArchiveError> {
    let mut source = Source::new(archive, object, limits.block);
    let mut machine = Machine::default();
    let mut listing = Listing::default();
    let mut offset = 0;
    let mut known = None;
    loop {
        let next = match known.take() {
            Some(next) => next,
            None => {
                let end_marker = || format!("its end marker ({})", machine.after());
                let block = source.get(offset, BLOCK, end_marker)?;
                let next = machine.next(archive, &block, offset, "tar")?;
                offset += BLOCK as u64;
                next
            }
        };
        machine.check_count(archive, limits)?;
        let contents = offset;
        let (size, what) = match next {
            Next::Description { size } => {
                let what = || format!("a description ({})", machine.after());
                let bytes = source.get(contents, size as usize, what)?;
                let described = machine.description(&bytes);
                known = described.map_err(|reason| machine.damaged(archive, contents, &reason))?;
                (size, String::new())
            }
            Next::File {
                name,
                size,
                modified,
            } => {
                let what = name.clone();
                match limits.check(size, size) {
                    Ok(()) => listing.entries.push(Entry {
                        name,
                        place: Place::Tar { offset: contents },
                        stored: size,
                        size,
                        modified,
                    }),
                    Err(refusal) => listing.problems.push(Problem {
                        entry: name,
                        refusal,
                    }),
                }
                (size, what)
            }
            Next::Skip { size, problem } => {
                let what = problem.as_ref().map(|problem| problem.entry.clone());
                listing.problems.extend(problem);
                (size, what.unwrap_or_default())
            }
            Next::End => {
                only_zeros(&mut source, contents, &machine)?;
                return Ok(listing);
            }
        };
        let end = contents.checked_add(size);
        if end.is_none_or(|end| end > source.size()) {
            return Err(ArchiveError::Truncated {
                archive: archive.to_owned(),
                what,
                needed: end.unwrap_or(u64::MAX),
                size: source.size(),
            });
        }
        offset = contents + filled(size);
    }
}

/// A hole in the middle would look like the end, and so does the end of the first of two archives in one file.
fn only_zeros<O: Object>(
    source: &mut Source<'_, O>,
    offset: u64,
    machine: &Machine,
) -> Result<(), ArchiveError> {
    let rest = source.size() - offset;
    let zeros = rest <= FILLING && {
        let bytes = source.get(offset, rest as usize, String::new)?;
        bytes.iter().all(|byte| *byte == 0)
    };
    if zeros {
        Ok(())
    } else {
        Err(machine.damaged(source.archive, offset, MORE))
    }
}
