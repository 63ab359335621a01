//! Values in PostgreSQL's binary format: the server copies them instead of
//! reading them.

use std::fmt::Write as _;

use arrow_schema::DataType;
use bytes::{BufMut, BytesMut};
use kiln_core::Cell;
use tokio_postgres::types::Type;

use crate::fit::ItemType;

/// From 1970-01-01 to 2000-01-01, where PostgreSQL's time begins.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_US: i64 = EPOCH_DAYS as i64 * DAY_US;
const DAY_US: i64 = 86_400_000_000;

/// A type whose binary format kiln writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Varchar,
    Char,
    Json,
    Jsonb,
    Bytea,
    Uuid,
    Date,
    Time,
    Timestamp,
    Timestamptz,
}

impl Binary {
    /// The type with this number, if it is one of these.
    pub(super) fn of(oid: u32) -> Option<Self> {
        Some(match Type::from_oid(oid)? {
            Type::BOOL => Self::Bool,
            Type::INT2 => Self::Int2,
            Type::INT4 => Self::Int4,
            Type::INT8 => Self::Int8,
            Type::FLOAT4 => Self::Float4,
            Type::FLOAT8 => Self::Float8,
            Type::NUMERIC => Self::Numeric,
            Type::TEXT => Self::Text,
            Type::VARCHAR => Self::Varchar,
            Type::BPCHAR => Self::Char,
            Type::JSON => Self::Json,
            Type::JSONB => Self::Jsonb,
            Type::BYTEA => Self::Bytea,
            Type::UUID => Self::Uuid,
            Type::DATE => Self::Date,
            Type::TIME => Self::Time,
            Type::TIMESTAMP => Self::Timestamp,
            Type::TIMESTAMPTZ => Self::Timestamptz,
            _ => return None,
        })
    }

    /// The type, and that of an array of it.
    pub(super) fn types(self) -> (Type, Type) {
        match self {
            Self::Bool => (Type::BOOL, Type::BOOL_ARRAY),
            Self::Int2 => (Type::INT2, Type::INT2_ARRAY),
            Self::Int4 => (Type::INT4, Type::INT4_ARRAY),
            Self::Int8 => (Type::INT8, Type::INT8_ARRAY),
            Self::Float4 => (Type::FLOAT4, Type::FLOAT4_ARRAY),
            Self::Float8 => (Type::FLOAT8, Type::FLOAT8_ARRAY),
            Self::Numeric => (Type::NUMERIC, Type::NUMERIC_ARRAY),
            Self::Text => (Type::TEXT, Type::TEXT_ARRAY),
            Self::Varchar => (Type::VARCHAR, Type::VARCHAR_ARRAY),
            Self::Char => (Type::BPCHAR, Type::BPCHAR_ARRAY),
            Self::Json => (Type::JSON, Type::JSON_ARRAY),
            Self::Jsonb => (Type::JSONB, Type::JSONB_ARRAY),
            Self::Bytea => (Type::BYTEA, Type::BYTEA_ARRAY),
            Self::Uuid => (Type::UUID, Type::UUID_ARRAY),
            Self::Date => (Type::DATE, Type::DATE_ARRAY),
            Self::Time => (Type::TIME, Type::TIME_ARRAY),
            Self::Timestamp => (Type::TIMESTAMP, Type::TIMESTAMP_ARRAY),
            Self::Timestamptz => (Type::TIMESTAMPTZ, Type::TIMESTAMPTZ_ARRAY),
        }
    }

    /// Whether items of this type are written as this one. Some of their values
    /// still may not be.
    pub(super) fn takes(self, item: &DataType) -> bool {
        let Some(item) = ItemType::of(item) else { return false };
        match self {
            _ if item == ItemType::Null => true,
            Self::Bool => item == ItemType::Bool,
            Self::Int2 | Self::Int4 | Self::Int8 => item == ItemType::Int,
            Self::Float4 | Self::Float8 => item == ItemType::Float,
            Self::Numeric => matches!(item, ItemType::Int | ItemType::Decimal(..)),
            Self::Text | Self::Varchar | Self::Char => item != ItemType::Bytes,
            Self::Json | Self::Jsonb | Self::Uuid => item == ItemType::Text,
            Self::Bytea => item == ItemType::Bytes,
            Self::Date => item == ItemType::Date,
            Self::Time => item == ItemType::Time,
            Self::Timestamp | Self::Timestamptz => {
                matches!(item, ItemType::Timestamp(_) | ItemType::Date)
            }
        }
    }

    /// Adds a value with its length. False where the value is not plain enough;
    /// then the server shall read its text, or say why it can't.
    pub(super) fn put(self, cell: Cell<'_>, out: &mut BytesMut) -> bool {
        if cell.is_null() {
            out.put_i32(-1);
            return true;
        }
        match (self, cell) {
            (Self::Bool, Cell::Bool(b)) => sized(out, &[u8::from(b)]),
            (Self::Int2, Cell::Int(i)) => {
                i16::try_from(i).is_ok_and(|i| sized(out, &i.to_be_bytes()))
            }
            (Self::Int4, Cell::Int(i)) => {
                i32::try_from(i).is_ok_and(|i| sized(out, &i.to_be_bytes()))
            }
            (Self::Int8, Cell::Int(i)) => sized(out, &i.to_be_bytes()),
            (Self::Float4, Cell::Float(x)) => {
                single(x).is_some_and(|x| sized(out, &x.to_be_bytes()))
            }
            (Self::Float8, Cell::Float(x)) => sized(out, &x.to_be_bytes()),
            (Self::Numeric, Cell::Int(i)) => put_numeric(out, i.into(), 0),
            (Self::Numeric, Cell::UInt(u)) => put_numeric(out, u.into(), 0),
            (Self::Numeric, Cell::Decimal(digits, scale)) => put_numeric(out, digits, scale),
            (Self::Text | Self::Varchar | Self::Char | Self::Json, Cell::Text(text)) => {
                sized(out, text.as_bytes())
            }
            (Self::Jsonb, Cell::Text(text)) => with_length(out, |out| {
                out.put_u8(1);
                out.put_slice(text.as_bytes());
                true
            }),
            (Self::Bytea, Cell::Bytes(bytes)) => sized(out, bytes),
            (Self::Uuid, Cell::Text(text)) => uuid(text).is_some_and(|bytes| sized(out, &bytes)),
            (Self::Date, Cell::Date(days)) => {
                days.checked_sub(EPOCH_DAYS).is_some_and(|days| sized(out, &days.to_be_bytes()))
            }
            (Self::Time, Cell::Time(us)) => sized(out, &us.to_be_bytes()),
            (Self::Timestamp | Self::Timestamptz, Cell::Timestamp(us, _)) => {
                us.checked_sub(EPOCH_US).is_some_and(|us| sized(out, &us.to_be_bytes()))
            }
            (Self::Timestamp | Self::Timestamptz, Cell::Date(days)) => {
                let us = i64::from(days) * DAY_US - EPOCH_US;
                sized(out, &us.to_be_bytes())
            }
            (Self::Text | Self::Varchar | Self::Char, Cell::Bytes(_)) => false,
            (Self::Text | Self::Varchar | Self::Char, other) => {
                with_length(out, |out| write!(out, "{other}").is_ok())
            }
            _ => false,
        }
    }
}

fn sized(out: &mut BytesMut, bytes: &[u8]) -> bool {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
    true
}

fn with_length(out: &mut BytesMut, put: impl FnOnce(&mut BytesMut) -> bool) -> bool {
    let start = out.len();
    out.put_i32(0);
    let is_put = put(out);
    let length = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    is_put
}

/// The float of four bytes, unless it would become infinite or zero by that.
fn single(x: f64) -> Option<f32> {
    let single = x as f32;
    let is_other = single.is_infinite() != x.is_infinite() || (single == 0.0) != (x == 0.0);
    (!is_other).then_some(single)
}

/// Digits in groups of four, the highest first, with the place of the point.
fn put_numeric(out: &mut BytesMut, digits: i128, scale: i8) -> bool {
    const GROUP: u32 = 10_000;
    // A group has its digits on one side of the point.
    let places = u32::from(scale.max(0).unsigned_abs());
    let zeros = if scale < 0 { u32::from(scale.unsigned_abs()) } else { (4 - places % 4) % 4 };
    let aligned = 10u128.checked_pow(zeros).and_then(|n| digits.unsigned_abs().checked_mul(n));
    let Some(mut value) = aligned else { return false };
    let mut groups = [0u16; 10];
    let mut used = 0;
    while value > 0 {
        // Numbers of 16 digits are the rule, and divided faster.
        let group = match u64::try_from(value) {
            Ok(small) => {
                value = u128::from(small / u64::from(GROUP));
                small % u64::from(GROUP)
            }
            Err(_) => {
                let group = value % u128::from(GROUP);
                value /= u128::from(GROUP);
                group as u64
            }
        };
        groups[used] = group as u16;
        used += 1;
    }
    let behind = places.div_ceil(4) as i16;
    out.put_i32(8 + 2 * used as i32);
    out.put_i16(used as i16);
    out.put_i16(used as i16 - behind - 1);
    out.put_u16(if digits < 0 { 0x4000 } else { 0 });
    out.put_u16(places as u16);
    groups[..used].iter().rev().for_each(|group| out.put_u16(*group));
    true
}

/// The usual way to write a UUID; there are others, which the server reads.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 36 || [8, 13, 18, 23].iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut digits = text.iter().filter(|b| **b != b'-');
    let mut digit = || char::from(*digits.next()?).to_digit(16);
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        *byte = (digit()? * 16 + digit()?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(type_: Binary, cell: Cell<'_>) -> Option<Vec<u8>> {
        let mut out = BytesMut::new();
        type_.put(cell, &mut out).then(|| out[4..].to_vec())
    }

    #[test]
    fn what_a_type_can_not_hold_is_left_to_the_server() {
        assert_eq!(put(Binary::Int2, Cell::Int(40_000)), None);
        assert_eq!(put(Binary::Int8, Cell::UInt(u64::MAX)), None);
        assert_eq!(put(Binary::Float4, Cell::Float(1e300)), None);
        assert_eq!(put(Binary::Float4, Cell::Float(1e-300)), None);
        assert!(put(Binary::Float4, Cell::Float(f64::INFINITY)).is_some());
        assert_eq!(put(Binary::Uuid, Cell::Text("{a}")), None);
        assert_eq!(put(Binary::Uuid, Cell::Text(&"é".repeat(18))), None);
        assert_eq!(put(Binary::Numeric, Cell::Decimal(i128::MAX, -3)), None);
        assert_eq!(put(Binary::Date, Cell::Date(i32::MIN)), None);
    }

    #[test]
    fn a_numeric_is_groups_of_four_digits() {
        let numeric = |digits, scale| put(Binary::Numeric, Cell::Decimal(digits, scale)).unwrap();
        let fields =
            |numbers: &[i16]| -> Vec<u8> { numbers.iter().flat_map(|n| n.to_be_bytes()).collect() };
        assert_eq!(numeric(0, 2), fields(&[0, -2, 0, 2]));
        assert_eq!(numeric(12_345_678, 3), fields(&[3, 1, 0, 3, 1, 2345, 6780]));
        assert_eq!(numeric(-5, 2), fields(&[1, -1, 0x4000, 2, 500]));
        assert_eq!(numeric(7, -2), fields(&[1, 0, 0, 0, 700]));
    }
}
