//! Quotes of a CSV file, watched while it is read: a parser takes what follows one that is never closed for one long field.

use std::io::{self, Read};

/// A field that is longer is none: what opened it was no quote of a field.
const MOST_QUOTED: usize = 1 << 20;

/// Where the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Where a quote opens a field.
    Start,
    /// In a field without quotes, or behind the closing one: other quotes mean nothing there.
    Bare,
    Quoted,
    /// Behind a quote in a quoted field: a second one is a quote of the text, anything else is outside.
    Quote,
}

/// What is wrong with a quote; lines from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrayQuote {
    /// Where it opens.
    pub opened: u64,
    /// Where text follows the next quote, on another line; `None`: there is none.
    pub closed: Option<u64>,
}

/// A source of CSV as it was, with what its quotes say.
pub struct Quotes<R> {
    source: R,
    at: At,
    /// Bytes so far, as far as the mark of the encoding goes.
    begun: usize,
    line: u64,
    before: u8,
    has_returns: bool,
    /// Of the last quote that opened a field.
    opened: u64,
    /// Bytes since then.
    quoted: usize,
    stray: Option<StrayQuote>,
}

/// Some programs begin a file with it.
const MARK: &[u8] = "\u{feff}".as_bytes();

impl<R> Quotes<R> {
    pub fn new(source: R) -> Self {
        Self {
            source,
            at: At::Start,
            begun: 0,
            line: 1,
            before: 0,
            has_returns: false,
            opened: 0,
            quoted: 0,
            stray: None,
        }
    }

    /// The first, as far as the source has been read.
    pub fn stray(&self) -> Option<StrayQuote> {
        self.stray
    }

    /// Whether lines end with a carriage return and a line feed, as far as the source has been read.
    pub fn has_returns(&self) -> bool {
        self.has_returns
    }

    fn pass(&mut self, byte: u8) {
        if self.begun < MARK.len() {
            let is_mark = MARK[self.begun] == byte;
            self.begun = if is_mark { self.begun + 1 } else { MARK.len() };
            if is_mark {
                return;
            }
        }
        self.at = match (self.at, byte) {
            (At::Start, b'"') => {
                self.opened = self.line;
                self.quoted = 0;
                At::Quoted
            }
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) | (At::Quote, b'"') => At::Quoted,
            (_, b',' | b'\n' | b'\r') => At::Start,
            (at, _) => {
                // On one line it is somebody's way to write a quote; over several it is the opening one of another field.
                if at == At::Quote && self.opened < self.line {
                    self.note(Some(self.line));
                }
                At::Bare
            }
        };
        self.line += u64::from(byte == b'\n');
        self.has_returns |= self.before == b'\r' && byte == b'\n';
        self.before = byte;
        self.quoted += 1;
    }

    fn note(&mut self, closed: Option<u64>) {
        let opened = self.opened;
        self.stray.get_or_insert(StrayQuote { opened, closed });
    }
}

impl<R: Read> Read for Quotes<R> {
    /// Ends where the source does, or a field is too long, so that whoever reads has no more of it in memory.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == At::Quoted && self.quoted > MOST_QUOTED {
            self.note(None);
            return Ok(0);
        }
        let read = self.source.read(buffer)?;
        for &byte in &buffer[..read] {
            self.pass(byte);
        }
        if read == 0 && !buffer.is_empty() && self.at == At::Quoted {
            self.note(None);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read a few bytes at a time.
    fn stray(text: &str) -> Option<StrayQuote> {
        let mut quotes = Quotes::new(text.as_bytes());
        let mut some = [0; 2];
        while quotes.read(&mut some).expect("bytes in memory") > 0 {}
        quotes.stray()
    }

    fn of(opened: u64, closed: Option<u64>) -> Option<StrayQuote> {
        Some(StrayQuote { opened, closed })
    }

    #[test]
    fn a_quote_that_is_never_closed_has_no_more_read_than_a_field_may_have() {
        let mut quotes = Quotes::new("a\n1\n\"2".as_bytes().chain(io::repeat(b'\n')));
        let mut text = Vec::new();
        let read = quotes.read_to_end(&mut text).expect("bytes in memory");
        assert!((MOST_QUOTED..2 * MOST_QUOTED).contains(&read), "{read}");
        assert_eq!(quotes.stray(), of(3, None));
    }

    #[test]
    fn quotes_that_are_closed_are_in_order() {
        for text in [
            "",
            "a,b\n1,2\n",
            "a,b\n\"1\",\"2\"\n\"\",\"\"",
            "\u{feff}\"a\",b\r\n1,\"two\r\nlines, with a \"\"quote\"\"\n\"\r\n3,4\r\n",
            "a,b\n12\" pipe,5\" nail\n",
            "a,b\n\"12\" pipe,2\n",
            "a,b\n1,\"two\nlines\"",
        ] {
            assert_eq!(stray(text), None, "{text:?}");
        }
    }

    #[test]
    fn one_that_is_never_closed_is_told_by_its_line() {
        assert_eq!(stray("a,b\n1,\"2\n3,4\n5,6\n"), of(2, None));
        assert_eq!(stray("\u{feff}\"a,b\n1,2\n"), of(1, None));
        assert_eq!(stray("a\n\"two\nlines\"\n\"\"\"\n"), of(4, None));
        assert_eq!(stray("a\n\""), of(2, None));
        // Two of them close each other, and a field of neither.
        assert_eq!(stray("a,b\n1,\"2\n3,4\n5,\"6\n7,8\n"), of(2, Some(4)));
    }
}
