//! Which values fit which columns.

use arrow_schema::DataType;

use crate::fit::ItemType;

/// The types of columns, as far as kiln tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Int,
    /// True where it has four bytes.
    Float(bool),
    /// With the digits kept behind the point.
    Numeric(u8),
    Text,
    /// With its length, where every value has the same.
    Bytes(Option<u64>),
    Date,
    /// With the digits kept behind the second.
    Time(u8),
    /// `DATETIME` and `TIMESTAMP`, with the digits kept behind the second.
    Timestamp(u8),
    Year,
    Bit,
    /// `ENUM` and `SET`.
    Words,
    /// Any other type, which the server reads from text.
    Other,
}

impl Family {
    /// The family of a type by its plain name, with what the catalogs say of its
    /// scale, its precision behind the second and its length.
    pub(super) fn new(name: &str, scale: Option<u64>, fraction: Option<u64>, length: u64) -> Self {
        let small = |n: Option<u64>| n.and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
        match name {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Self::Int,
            "float" => Self::Float(true),
            "double" => Self::Float(false),
            "decimal" => Self::Numeric(small(scale)),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Self::Text,
            "binary" => Self::Bytes(Some(length)),
            "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Self::Bytes(None),
            "date" => Self::Date,
            "time" => Self::Time(small(fraction)),
            "datetime" | "timestamp" => Self::Timestamp(small(fraction)),
            "year" => Self::Year,
            "bit" => Self::Bit,
            "enum" | "set" => Self::Words,
            _ => Self::Other,
        }
    }

    /// Whether values of an item's column may go into a column of this family.
    /// Text nearly always may: the server reads it, and a value that does not
    /// fit fails its item. (Of a text in a `BIT` it would keep the letters.)
    pub(super) fn takes(self, item: &DataType) -> bool {
        let Some(item) = ItemType::of(item) else { return false };
        match item {
            ItemType::Null => true,
            ItemType::Text => self != Self::Bit,
            ItemType::Bytes => matches!(self, Self::Bytes(_)),
            ItemType::Bool => matches!(self, Self::Int | Self::Bit | Self::Text),
            ItemType::Int => matches!(
                self,
                Self::Int | Self::Numeric(_) | Self::Float(_) | Self::Text | Self::Year | Self::Bit
            ),
            ItemType::Float => matches!(self, Self::Float(_) | Self::Numeric(_) | Self::Text),
            ItemType::Decimal(_, scale) => match self {
                Self::Numeric(_) | Self::Text => true,
                Self::Int => scale <= 0,
                _ => false,
            },
            ItemType::Date => matches!(self, Self::Date | Self::Timestamp(_) | Self::Text),
            ItemType::Time => matches!(self, Self::Time(_) | Self::Text),
            ItemType::Timestamp(_) => matches!(self, Self::Timestamp(_) | Self::Text),
        }
    }

    /// Whether the column holds numbers that can be added up.
    pub(super) fn adds(self) -> bool {
        matches!(self, Self::Int | Self::Float(_) | Self::Numeric(_))
    }

    /// Whether blanks around a text say nothing about its value.
    pub(super) fn is_number(self) -> bool {
        self.adds() || self == Self::Year
    }
}
