//! How a CSV file is written, and what its columns are.

use kiln_core::{Fault, Result};

use crate::text_source::{check_record_limit, of_text};
use crate::{Column, Compression, Encoding};

/// How a CSV file is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// What stands between fields: a comma; in TSV files a tab.
    pub delimiter: u8,
    /// What encloses a field that holds delimiters or line ends. A doubled
    /// quote inside is one quote. `None`: nothing does.
    pub quote: Option<u8>,
    /// In a quoted field, this character takes the meaning from a quote or from
    /// itself; before anything else it is itself. With a backslash, an unquoted
    /// `\N` is NULL, as in every producer that writes backslashes.
    pub escape: Option<u8>,
    /// Where the names of the columns come from.
    pub header: Header,
    /// Unquoted texts that are NULL, in any column. An unquoted field that is
    /// empty always is; a quoted one (`""`) is the empty text.
    pub nulls: Vec<String>,
    /// Whether blanks and tabs around a field, outside its quotes, are dropped.
    pub trim: bool,
    /// What happens to records with too few or too many fields.
    pub ragged: Ragged,
    /// Bytes of the longest record, 1 to 512 MiB. A longer one is a bad record;
    /// about three times as much memory may be used for reading.
    pub max_record_bytes: usize,
    /// The columns that are not text, or have a format or NULL texts of their
    /// own.
    pub columns: Vec<Column>,
    /// How the file is packed; `None`: its first bytes tell.
    pub compression: Option<Compression>,
    /// The encoding of its text; `None`, or where a byte order mark tells
    /// otherwise: what the mark says, else UTF-8.
    pub encoding: Option<Encoding>,
    /// The name of the source as people know it; the file's name if there is
    /// none.
    pub name: Option<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            header: Header::Yes,
            nulls: Vec::new(),
            trim: false,
            ragged: Ragged::Reject,
            max_record_bytes: 1 << 20,
            columns: Vec::new(),
            compression: None,
            encoding: None,
            name: None,
        }
    }
}

/// Where the names of the columns come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Header {
    /// From the first line of the file that is not blank. A name that is empty
    /// becomes `column_N`.
    #[default]
    Yes,
    /// The file has none: columns are `column_1`, `column_2`, …, as many as the
    /// first good record has fields.
    No,
    /// The file has none: these are the names.
    Names(Vec<String>),
}

/// What happens to a record that has not as many fields as there are columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ragged {
    /// It fails.
    #[default]
    Reject,
    /// Missing fields are NULL, and fields too many are ignored.
    Pad,
}

impl CsvOptions {
    /// Checks what can be checked without the file.
    pub(crate) fn check(&self) -> Result<()> {
        let mut marks = vec![("delimiter", self.delimiter)];
        marks.extend(self.quote.map(|q| ("quote", q)));
        marks.extend(self.escape.map(|e| ("escape", e)));
        for (what, mark) in &marks {
            if !mark.is_ascii() || matches!(mark, b'\n' | b'\r' | 0) {
                return Err(Fault::config(format!(
                    "the {what} can't be byte {mark:#04x}: it must be one ASCII character, and \
                     neither a line end nor NUL"
                )));
            }
        }
        if [self.quote, self.escape].contains(&Some(self.delimiter)) {
            return Err(Fault::config("the delimiter can't be the quote or the escape as well"));
        }
        if self.escape.is_some() && self.quote.is_none() {
            return Err(Fault::config("an escape without a quote has no effect")
                .with_hint("leave the escape out, or name the quote"));
        }
        check_record_limit(self.max_record_bytes)?;
        if self.header == Header::Names(Vec::new()) {
            return Err(Fault::config("the list of column names is empty"));
        }
        Ok(())
    }

    /// The options that positions depend on, in words.
    pub(crate) fn layout(&self) -> String {
        let mark = |b: u8| format!("{:?}", char::from(b));
        let or_none = |b: Option<u8>| b.map_or_else(|| "none".to_owned(), mark);
        format!(
            "delimiter {} quote {} escape {} header {} trim {} max_record_bytes {}",
            mark(self.delimiter),
            or_none(self.quote),
            or_none(self.escape),
            self.header == Header::Yes,
            self.trim,
            self.max_record_bytes,
        ) + &of_text(self.compression, self.encoding)
    }
}
