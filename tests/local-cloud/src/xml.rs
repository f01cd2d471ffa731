//! XML, written: just what the answers of the Query protocol need. Text is escaped; names are the caller's.

use std::fmt::{Display, Write as _};

use quick_xml::escape::escape;

/// A document in the making. Elements close themselves, so that what comes out is always well formed.
#[derive(Debug, Clone)]
pub struct Xml {
    text: String,
}

impl Xml {
    /// A document with nothing but its declaration.
    pub fn new() -> Self {
        Self { text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned() }
    }

    /// `<name>value</name>`.
    pub fn text(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.push(format_args!("<{name}>{}</{name}>", escape(value.to_string())))
    }

    /// `<name>value</name>`, or nothing when there is no value.
    pub fn optional(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// `<name>…</name>` around what `content` writes.
    pub fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) -> &mut Self {
        self.push(format_args!("<{name}>"));
        content(self);
        self.push(format_args!("</{name}>"))
    }

    /// The outermost element, in its XML namespace.
    pub fn root(
        &mut self,
        name: &str,
        namespace: &str,
        content: impl FnOnce(&mut Self),
    ) -> &mut Self {
        self.push(format_args!("<{name} xmlns=\"{}\">", escape(namespace)));
        content(self);
        self.push(format_args!("</{name}>"))
    }

    /// The document as text.
    pub fn finish(self) -> String {
        self.text
    }

    fn push(&mut self, piece: std::fmt::Arguments<'_>) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(piece);
        self
    }
}

impl Default for Xml {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_nest_and_text_is_escaped() {
        let mut xml = Xml::new();
        xml.root("Answer", "http://example.com/", |xml| {
            xml.text("size", 8).element("tagSet", |xml| {
                xml.text("key", "a<b & \"c\"");
            });
            xml.optional("gone", None::<u8>).optional("there", Some(true));
        });
        assert_eq!(
            xml.finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Answer xmlns=\"http://example.com/\"><size>8</size>\
             <tagSet><key>a&lt;b &amp; &quot;c&quot;</key></tagSet><there>true</there></Answer>"
        );
    }
}
