//! The value of a parameter as a literal of SQL.

use kiln_core::Fault;
use kiln_files::ColumnType;

/// What the values of a parameter are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of a declared type, or of that of a default.
    Of(ColumnType),
    /// A number with a point, by its default: exact, with as many digits as are
    /// written.
    Number,
}

/// Whose SQL it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sql {
    /// kiln's own, over items.
    Items,
    /// That of the database whose table is read.
    Database,
}

impl Kind {
    /// Whether the text is a value of this kind.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config), if it is not.
    pub(crate) fn check(self, text: &str) -> Result<(), Fault> {
        let (is_one, noun) = match self {
            Self::Of(kind @ ColumnType::Decimal { .. }) => {
                (kind.reads(text) && is_plain_number(text.trim()), kind.to_string())
            }
            Self::Of(kind) => (kind.reads(text), kind.to_string()),
            Self::Number => (is_plain_number(text.trim()), "number".to_owned()),
        };
        match is_one {
            true => Ok(()),
            false => Err(Fault::config(format!("{text:?} is not of type {noun}"))),
        }
    }

    /// The value as a literal that means it, and nothing else, wherever an
    /// expression may stand. A negative number stands in parentheses: behind a
    /// minus it would begin a comment.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(crate) fn literal(self, text: &str, sql: Sql) -> Result<String, Fault> {
        self.check(text)?;
        let trimmed = text.trim();
        Ok(match (self, sql) {
            (Self::Of(ColumnType::Text), _) => quoted(text),
            (Self::Of(ColumnType::Int) | Self::Number, _) => number(trimmed),
            (Self::Of(ColumnType::Decimal { precision, scale }), Sql::Items) => {
                format!("CAST({} AS DECIMAL({precision},{scale}))", quoted(trimmed))
            }
            (Self::Of(ColumnType::Decimal { .. }), Sql::Database) => number(trimmed),
            (Self::Of(ColumnType::Bool), _) => truth(trimmed).to_owned(),
            (Self::Of(kind), Sql::Items) => {
                let data_type = match kind {
                    ColumnType::Float => "Float64",
                    ColumnType::Date => "Date32",
                    ColumnType::Time => "Time64(Microsecond)",
                    ColumnType::TimestampTz => "Timestamp(Microsecond, Some(\"+00:00\"))",
                    _ => "Timestamp(Microsecond, None)",
                };
                format!("arrow_cast({}, '{data_type}')", quoted(trimmed))
            }
            // A database reads what is compared with a date as a date.
            (Self::Of(_), Sql::Database) => quoted(trimmed),
        })
    }
}

/// Digits, perhaps with a sign and a point in them, at most as many as a decimal
/// has.
fn is_plain_number(text: &str) -> bool {
    let size = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = size.split_once('.').unwrap_or((size, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits(whole) && digits(fraction) && whole.len() + fraction.len() <= 38
}

fn number(text: &str) -> String {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text.starts_with('-') { format!("({text})") } else { text.to_owned() }
}

/// A word that [`ColumnType::Bool`] reads.
fn truth(text: &str) -> &'static str {
    let is_true = ["true", "t", "yes", "y", "on", "1"];
    if is_true.iter().any(|word| word.eq_ignore_ascii_case(text)) { "TRUE" } else { "FALSE" }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_literal_of_its_type() {
        let of = |kind: &str| Kind::Of(ColumnType::parse(kind).unwrap());
        for (kind, text, items, database) in [
            (of("text"), "a'b", "'a''b'", "'a''b'"),
            (of("int"), " 5 ", "5", "5"),
            (of("int"), "-5", "(-5)", "(-5)"),
            (Kind::Number, "-0.50", "(-0.50)", "(-0.50)"),
            (of("decimal(5,2)"), "1.50", "CAST('1.50' AS DECIMAL(5,2))", "1.50"),
            (of("float"), "1e3", "arrow_cast('1e3', 'Float64')", "'1e3'"),
            (of("bool"), "Yes", "TRUE", "TRUE"),
            (of("bool"), "0", "FALSE", "FALSE"),
            (of("date"), "2026-01-02", "arrow_cast('2026-01-02', 'Date32')", "'2026-01-02'"),
        ] {
            assert_eq!(kind.literal(text, Sql::Items).unwrap(), items);
            assert_eq!(kind.literal(text, Sql::Database).unwrap(), database);
        }
        for (kind, text) in [
            (of("int"), "5; DROP TABLE x"),
            (of("int"), "1 OR 1"),
            (of("int"), ""),
            (Kind::Number, "1e5"),
            (Kind::Number, "1.2.3"),
            (Kind::Number, "1--"),
            (of("decimal(5,2)"), "1.505"),
            (of("bool"), "maybe"),
            (of("date"), "2026-13-02"),
            (of("date"), "2026-01-02'"),
        ] {
            let fault = kind.literal(text, Sql::Items).unwrap_err();
            assert!(fault.message().contains("is not of type"), "{fault}");
        }
    }
}
