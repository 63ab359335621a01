//! The types that a column of text can be read as.

use std::fmt;

use arrow_schema::{DataType, TimeUnit};
use kiln_core::{Fault, Result};

use crate::Column;
use crate::builder::Builder;

/// What the texts of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ColumnType {
    /// Text as it stands: Arrow's `Utf8`.
    #[default]
    Text,
    /// A whole number of 64 bits: `Int64`.
    Int,
    /// A number of 64 bits that may be rounded: `Float64`. Never for money.
    Float,
    /// True or false: `Boolean`.
    Bool,
    /// An exact number: `Decimal128`.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits behind the point, at most `precision`.
        scale: u8,
    },
    /// A day: `Date32`.
    Date,
    /// A time of day: `Time64` in microseconds.
    Time,
    /// What a calendar and a clock showed somewhere: `Timestamp` in
    /// microseconds, without a zone.
    Timestamp,
    /// An instant: `Timestamp` in microseconds, in UTC.
    TimestampTz,
}

/// Every word that names a type without arguments.
const WORDS: [(&str, ColumnType); 33] = [
    ("text", ColumnType::Text),
    ("string", ColumnType::Text),
    ("str", ColumnType::Text),
    ("utf8", ColumnType::Text),
    ("varchar", ColumnType::Text),
    ("char", ColumnType::Text),
    ("int", ColumnType::Int),
    ("integer", ColumnType::Int),
    ("bigint", ColumnType::Int),
    ("smallint", ColumnType::Int),
    ("int2", ColumnType::Int),
    ("int4", ColumnType::Int),
    ("int8", ColumnType::Int),
    ("int16", ColumnType::Int),
    ("int32", ColumnType::Int),
    ("int64", ColumnType::Int),
    ("long", ColumnType::Int),
    ("i64", ColumnType::Int),
    ("float", ColumnType::Float),
    ("float64", ColumnType::Float),
    ("float8", ColumnType::Float),
    ("double", ColumnType::Float),
    ("double precision", ColumnType::Float),
    ("real", ColumnType::Float),
    ("f64", ColumnType::Float),
    ("bool", ColumnType::Bool),
    ("boolean", ColumnType::Bool),
    ("date", ColumnType::Date),
    ("time", ColumnType::Time),
    ("timestamp", ColumnType::Timestamp),
    ("datetime", ColumnType::Timestamp),
    ("timestamptz", ColumnType::TimestampTz),
    ("timestamp with time zone", ColumnType::TimestampTz),
];

const EXACT_WORDS: [&str; 3] = ["decimal", "numeric", "number"];

impl ColumnType {
    /// Reads `int`, `decimal(12,3)`, `float`, `bool`, `date`, `time`,
    /// `timestamp`, `timestamptz`, `text`, or another usual word for one of
    /// them (`bigint`, `numeric(12,3)`, `double`, `boolean`, `string`, …), in
    /// upper or lower case.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config), naming the nearest type.
    pub fn parse(text: &str) -> Result<Self> {
        let word = text.trim().to_ascii_lowercase();
        if let Some((_, known)) = WORDS.iter().find(|(w, _)| *w == word) {
            return Ok(*known);
        }
        let (name, arguments) = match word.split_once('(') {
            Some((name, rest)) => (name.trim_end(), rest.strip_suffix(')')),
            None => (word.as_str(), None),
        };
        if EXACT_WORDS.contains(&name) {
            return decimal(text, arguments);
        }
        Err(unknown(text, name))
    }

    /// The Arrow type of the column.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, signed(scale)),
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        }
    }

    /// Whether a text is a value of this type, as it would be read in a file.
    pub fn reads(self, text: &str) -> bool {
        Builder::new(&Column::new("", self)).is_ok_and(|mut column| column.push(text).is_ok())
    }

    /// Whether its texts can have a format.
    pub(crate) fn is_temporal(self) -> bool {
        matches!(self, Self::Date | Self::Time | Self::Timestamp | Self::TimestampTz)
    }

    /// The type as a noun: `"12x" is not an int`.
    pub(crate) fn noun(self) -> String {
        let article = if self == Self::Int { "an" } else { "a" };
        format!("{article} {self}")
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Decimal { precision, scale } => {
                return write!(f, "decimal({precision},{scale})");
            }
            Self::Date => "date",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::TimestampTz => "timestamptz",
        })
    }
}

/// Arrow counts a scale in an `i8`; ours is 38 at most.
fn signed(scale: u8) -> i8 {
    i8::try_from(scale).unwrap_or(i8::MAX)
}

fn decimal(text: &str, arguments: Option<&str>) -> Result<ColumnType> {
    let wrong = |why: &str| {
        Err(Fault::config(format!("{text:?} is no column type: {why}"))
            .with_hint("write decimal(12,3) for 12 digits in all, 3 of them behind the point"))
    };
    let Some(arguments) = arguments else {
        return wrong("a decimal needs its digits");
    };
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    match (precision.trim().parse::<u8>(), scale.trim().parse::<u8>()) {
        (Ok(p @ 1..=38), Ok(s)) if s <= p => Ok(ColumnType::Decimal { precision: p, scale: s }),
        (Ok(1..=38), Ok(_)) => wrong("more digits behind the point than in all"),
        (Ok(_), Ok(_)) => wrong("a decimal has 1 to 38 digits"),
        _ => wrong("its digits are no numbers"),
    }
}

fn unknown(text: &str, name: &str) -> Fault {
    let words = WORDS.iter().map(|(w, _)| *w).chain(EXACT_WORDS);
    let near = words.min_by_key(|w| strsim::damerau_levenshtein(w, name)).unwrap_or("text");
    let near = if EXACT_WORDS.contains(&near) { "decimal(12,3)" } else { near };
    Fault::config(format!("{text:?} is no column type; did you mean {near:?}?")).with_hint(
        "types are text, int, decimal(digits,behind the point), float, bool, date, time, \
         timestamp and timestamptz",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_words_are_understood() {
        let cases = [
            ("int", ColumnType::Int),
            (" BigInt ", ColumnType::Int),
            ("decimal(12,3)", ColumnType::Decimal { precision: 12, scale: 3 }),
            ("NUMERIC ( 38 , 38 )", ColumnType::Decimal { precision: 38, scale: 38 }),
            ("numeric(5)", ColumnType::Decimal { precision: 5, scale: 0 }),
            ("double", ColumnType::Float),
            ("Boolean", ColumnType::Bool),
            ("string", ColumnType::Text),
            ("timestamp with time zone", ColumnType::TimestampTz),
        ];
        for (text, expected) in cases {
            assert_eq!(ColumnType::parse(text).unwrap(), expected, "{text}");
            assert_eq!(ColumnType::parse(&expected.to_string()).unwrap(), expected);
        }
    }

    #[test]
    fn a_wrong_word_names_the_nearest() {
        let message = |text| ColumnType::parse(text).unwrap_err().message().to_owned();
        assert_eq!(message("intger"), r#""intger" is no column type; did you mean "integer"?"#);
        assert!(message("decimel(4,1)").contains("decimal(12,3)"));
        for (text, why) in [
            ("decimal", "needs its digits"),
            ("decimal(39,2)", "1 to 38"),
            ("decimal(0)", "1 to 38"),
            ("decimal(2,3)", "more digits behind the point"),
            ("decimal(a,b)", "no numbers"),
            ("decimal(4,2", "needs its digits"),
        ] {
            assert!(message(text).contains(why), "{text}: {}", message(text));
        }
    }
}
