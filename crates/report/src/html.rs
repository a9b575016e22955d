//! Text that becomes HTML: markup is written in this crate's source, everything else is escaped.
//!
//! [`Html::markup`] takes text of the program alone (`'static`); what comes from a job, a file or a user can only go
//! through [`Html::text`], which makes text of it, inside elements and inside quoted attributes.

use crate::base64;
use crate::picture::Picture;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Html(String);

impl Html {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Escapes; characters that have no place in a document, and those that turn its direction, are shown by their number.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(character),
                _ if character.is_control() || turns(character) => {
                    self.0.push_str(&character.escape_unicode().to_string());
                }
                _ => self.0.push(character),
            }
        }
        self
    }

    /// Text of at most so many characters: a message of a megabyte helps nobody.
    pub fn cut(&mut self, text: &str, characters: usize) -> &mut Self {
        match text.char_indices().nth(characters) {
            Some((end, _)) => self.text(&text[..end]).markup("…"),
            None => self.text(text),
        }
    }

    /// A coordinate in a drawing: two decimals are a hundredth of a pixel.
    pub fn at(&mut self, coordinate: f64) -> &mut Self {
        let rounded = (coordinate * 100.0).round() / 100.0;
        self.0.push_str(&format!("{}", rounded + 0.0)); // no -0
        self
    }

    pub fn count(&mut self, count: u64) -> &mut Self {
        self.0.push_str(&count.to_string());
        self
    }

    /// A picture as an address of its own.
    pub fn data(&mut self, picture: &Picture) -> &mut Self {
        self.markup("data:")
            .markup(picture.kind())
            .markup(";base64,");
        base64::encode(picture.bytes(), &mut self.0);
        self
    }

    pub fn push(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// Overrides and isolates of the direction of text, which could show an address backwards.
fn turns(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut html = Html::new();
        html.text(text);
        html.into_string()
    }

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(
            escaped("<script>\"&'</script>"),
            "&lt;script&gt;&quot;&amp;&#39;&lt;/script&gt;"
        );
        assert_eq!(escaped("a\0\u{202e}b\u{85}"), "a\\u{0}\\u{202e}b\\u{85}");
        assert_eq!(escaped("Prüfung\n√"), "Prüfung\n√");
    }

    #[test]
    fn a_cut_falls_between_characters_and_never_into_an_escape() {
        let mut html = Html::new();
        html.cut("ä<ö", 2).markup("|").cut("ä<", 2);
        assert_eq!(html.into_string(), "ä&lt;…|ä&lt;");
    }

    #[test]
    fn coordinates_are_short() {
        let mut html = Html::new();
        html.at(1.0).markup(" ").at(-0.001).markup(" ").at(12.3456);
        assert_eq!(html.into_string(), "1 0 12.35");
    }
}
