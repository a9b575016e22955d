//! What a dataset says of its licence.

/// Names of the file that says it, in the dataset's folder.
pub const LICENCE_FILES: [&str; 4] = ["LICENCE.txt", "LICENSE.txt", "license.txt", "LICENSE"];

/// As much of the file as needs to be read.
pub const LICENCE_BYTES: u64 = 4096;

/// Longest licence that goes into tables and packages; a file has more to say.
const MAX_CHARS: usize = 200;

/// The licence in one line: the first of the file that says something, printable wherever it is shown.
pub fn licence_line(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let printable = |line: &str| -> String {
        let plain = line.chars().filter(|c| !c.is_control() && *c != '\u{feff}');
        plain.collect::<String>().trim().to_owned()
    };
    let line = text.lines().map(printable).find(|line| !line.is_empty())?;
    Some(line.chars().take(MAX_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::licence_line;

    #[test]
    fn a_licence_is_the_first_line_that_says_something() {
        let line = |text: &str| licence_line(text.as_bytes());
        assert_eq!(
            line("\u{feff}\n \t\nCC BY 4.0\r\nmore"),
            Some("CC BY 4.0".to_owned())
        );
        assert_eq!(line("a\u{1b}[31mb\tc"), Some("a[31mbc".to_owned()));
        assert_eq!(line(&"é".repeat(300)), Some("é".repeat(200)));
        assert_eq!(licence_line(b"MIT\xff"), Some("MIT\u{fffd}".to_owned()));
        assert_eq!((line(""), line("\n\r\n")), (None, None));
    }
}
