//! Every function of the sets that the SQL has, called once.

use std::collections::BTreeSet;

use kiln_core::Mapper as _;
use kiln_sql::SqlMapper;

use crate::items::{input, items, map, text};

/// Functions and calls of them; the item is ('A1', 3, 2.550, 'a-b-c').
const CALLS: &[(&str, &str, &str)] = &[
    // core
    ("nullif", "nullif(\"StockCode\", 'A1')", "NULL"),
    ("nvl", "nvl(nullif(note, note), 'x')", "x"),
    ("nvl2", "nvl2(note, 'there', 'none')", "there"),
    ("coalesce", "coalesce(NULL, note)", "a-b-c"),
    ("greatest", "greatest(\"UnitPrice\", 2.551, 1)", "2.551"),
    ("least", "least(\"UnitPrice\", 2.551)", "2.550"),
    ("overlay", "overlay(note placing 'X' from 2 for 3)", "aXc"),
    ("arrow_cast", "arrow_cast('12', 'Int64')", "12"),
    ("arrow_try_cast", "arrow_try_cast(note, 'Int64')", "NULL"),
    ("cast_to_type", "cast_to_type('12', 1)", "12"),
    ("try_cast_to_type", "try_cast_to_type(note, 1)", "NULL"),
    ("arrow_typeof", "arrow_typeof(\"UnitPrice\")", "Decimal128(12, 3)"),
    ("arrow_field", "arrow_field(note)['name']", "note"),
    ("with_metadata", "with_metadata(note, 'unit', 'piece')", "a-b-c"),
    ("arrow_metadata", "arrow_metadata(with_metadata(note, 'unit', 'piece'), 'unit')", "piece"),
    ("named_struct", "named_struct('n', note)['n']", "a-b-c"),
    ("struct", "struct(note, 1)['c0']", "a-b-c"),
    ("get_field", "get_field(named_struct('n', note), 'n')", "a-b-c"),
    ("version", "version() LIKE 'Apache DataFusion%'", "true"),
    // text
    ("ascii", "ascii(note)", "97"),
    ("bit_length", "bit_length(note)", "40"),
    ("btrim", "btrim('xaxx', 'x')", "a"),
    ("trim", "trim(both 'x' from 'xaxx')", "a"),
    ("chr", "chr(8364)", "€"),
    ("concat", "concat(note, 1, NULL)", "a-b-c1"),
    ("concat_ws", "concat_ws('/', note, 'x')", "a-b-c/x"),
    ("contains", "contains(note, 'b-')", "true"),
    ("ends_with", "ends_with(note, 'c')", "true"),
    ("levenshtein", "levenshtein('kitten', 'sitting')", "3"),
    ("lower", "lower(\"StockCode\")", "a1"),
    ("upper", "upper(note)", "A-B-C"),
    ("ltrim", "ltrim(' a ') || '|'", "a |"),
    ("rtrim", "rtrim(' a ') || '|'", " a|"),
    ("octet_length", "octet_length('é')", "2"),
    ("repeat", "repeat('ab', 3)", "ababab"),
    ("replace", "replace(note, '-', '')", "abc"),
    ("split_part", "split_part(note, '-', 2)", "b"),
    ("starts_with", "starts_with(note, 'a-')", "true"),
    ("to_hex", "to_hex(255)", "ff"),
    ("encode", "encode(note, 'base64')", "YS1iLWM"),
    ("decode", "arrow_cast(decode('YS1iLWM', 'base64'), 'Utf8')", "a-b-c"),
    // Unicode
    ("character_length", "character_length('né')", "2"),
    ("char_length", "char_length('né')", "2"),
    ("length", "length('né')", "2"),
    ("find_in_set", "find_in_set('b', 'a,b')", "2"),
    ("initcap", "initcap('two words')", "Two Words"),
    ("left", "left(note, 2)", "a-"),
    ("right", "right(note, 2)", "-c"),
    ("lpad", "lpad('7', 3, '0')", "007"),
    ("rpad", "rpad('7', 3, '0')", "700"),
    ("reverse", "reverse('né')", "én"),
    ("strpos", "strpos(note, 'b')", "3"),
    ("instr", "instr(note, 'b')", "3"),
    ("position", "position('b' in note)", "3"),
    ("substr", "substr(note, 3)", "b-c"),
    ("substring", "substring(note from 3 for 1)", "b"),
    ("substr_index", "substr_index(note, '-', 2)", "a-b"),
    ("substring_index", "substring_index(note, '-', -1)", "c"),
    ("translate", "translate(note, 'ab-', 'xy')", "xyc"),
    // regular expressions
    ("regexp_count", "regexp_count(note, '[a-c]')", "3"),
    ("regexp_instr", "regexp_instr(note, '-(b)')", "2"),
    ("regexp_like", "regexp_like(note, '^A', 'i')", "true"),
    ("regexp_match", "regexp_match(note, '(.)-(.)-')[2]", "b"),
    ("regexp_replace", r"regexp_replace(note, '(\w)-', '\1+', 'g')", "a+b+c"),
    // dates
    ("date_bin", "date_bin('15 minutes', TIMESTAMP '2026-01-02 03:44:05')", "2026-01-02 03:30:00"),
    ("date_part", "date_part('year', DATE '2026-01-02')", "2026"),
    ("datepart", "datepart('day', DATE '2026-01-02')", "2"),
    ("date_trunc", "date_trunc('month', DATE '2026-01-02')", "2026-01-01 00:00:00"),
    ("datetrunc", "datetrunc('hour', TIMESTAMP '2026-01-02 03:44:05')", "2026-01-02 03:00:00"),
    ("from_unixtime", "from_unixtime(86400)", "1970-01-02 00:00:00"),
    ("make_date", "make_date(2026, 1, 2)", "2026-01-02"),
    ("make_time", "make_time(3, 4, 5)", "03:04:05"),
    ("to_char", "to_char(DATE '2026-01-02', '%d.%m.%Y')", "02.01.2026"),
    ("date_format", "date_format(DATE '2026-01-02', '%d.%m.%Y')", "02.01.2026"),
    ("to_date", "to_date('02.01.2026', '%d.%m.%Y')", "2026-01-02"),
    ("to_time", "to_time('03-04-05', '%H-%M-%S')", "03:04:05"),
    ("to_local_time", "to_local_time(TIMESTAMP '2026-01-02 03:04:05')", "2026-01-02 03:04:05"),
    ("to_unixtime", "to_unixtime(TIMESTAMP '1970-01-02 00:00:00')", "86400"),
    ("to_timestamp", "to_timestamp('2.1.26 3:04', '%d.%m.%y %H:%M')", "2026-01-02 03:04:00"),
    ("to_timestamp_seconds", "to_timestamp_seconds(86400)", "1970-01-02 00:00:00"),
    ("to_timestamp_millis", "to_timestamp_millis(86400000)", "1970-01-02 00:00:00"),
    ("to_timestamp_micros", "to_timestamp_micros(86400000000)", "1970-01-02 00:00:00"),
    ("to_timestamp_nanos", "to_timestamp_nanos(86400000000000)", "1970-01-02 00:00:00"),
    // numbers
    ("abs", "abs(-\"UnitPrice\")", "2.550"),
    ("acos", "acos(1)", "0"),
    ("acosh", "acosh(1)", "0"),
    ("asin", "asin(0)", "0"),
    ("asinh", "asinh(0)", "0"),
    ("atan", "atan(0)", "0"),
    ("atan2", "atan2(0, 1)", "0"),
    ("atanh", "atanh(0)", "0"),
    ("cbrt", "cbrt(27)", "3"),
    ("ceil", "ceil(\"UnitPrice\")", "3.000"),
    ("cos", "cos(0)", "1"),
    ("cosh", "cosh(0)", "1"),
    ("cot", "round(cot(1), 3)", "0.642"),
    ("degrees", "degrees(0)", "0"),
    ("exp", "exp(0)", "1"),
    ("factorial", "factorial(5)", "120"),
    ("floor", "floor(\"UnitPrice\")", "2.000"),
    ("gcd", "gcd(12, 18)", "6"),
    ("isnan", "isnan(1.5)", "false"),
    ("iszero", "iszero(0.0)", "true"),
    ("lcm", "lcm(4, 6)", "12"),
    ("ln", "ln(1)", "0"),
    ("log", "round(log(10, 1000), 6)", "3"),
    ("log2", "log2(8)", "3"),
    ("log10", "log10(1000)", "3"),
    ("nanvl", "nanvl(1.5, 2.5)", "1.5"),
    ("pi", "round(pi(), 4)", "3.1416"),
    ("power", "power(2, 10)", "1024"),
    ("pow", "pow(2, 3)", "8"),
    ("radians", "radians(0)", "0"),
    ("round", "round(\"UnitPrice\", 1)", "2.600"),
    ("signum", "signum(-3.5)", "-1"),
    ("sin", "sin(0)", "0"),
    ("sinh", "sinh(0)", "0"),
    ("sqrt", "sqrt(16)", "4"),
    ("tan", "tan(0)", "0"),
    ("tanh", "tanh(0)", "0"),
    ("trunc", "trunc(\"UnitPrice\", 1)", "2.500"),
];

/// Functions that give something else when an item is mapped again; and two for
/// a type that no source has.
const REFUSED: &[&str] = &[
    "now",
    "current_timestamp",
    "current_date",
    "today",
    "current_time",
    "random",
    "uuid",
    "input_file_name",
    "file_row_index",
];
const OF_UNIONS: &[&str] = &["union_extract", "union_tag"];

#[test]
fn every_function_can_be_called() {
    let item = (Some("A1"), Some(3), Some(2_550), Some("a-b-c"));
    let mut wrong = Vec::new();
    for (name, call, expected) in CALLS {
        let sql = format!("SELECT {call} AS x FROM item");
        let given = match SqlMapper::new(&sql, input()) {
            Err(fault) => fault.to_string(),
            Ok(mut mapper) => {
                let mapped = map(&mut mapper, items(&[item]));
                let failed = mapped.failures.first().map(|f| f.fault.to_string());
                failed.unwrap_or_else(|| text(&mapped.items.batch).join("\n"))
            }
        };
        if given != *expected {
            wrong.push(format!("{name}: {call} gives {given}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is added to the sets by a newer version is to be called above, too.
#[test]
fn no_function_is_left_out() {
    let known: BTreeSet<&str> =
        CALLS.iter().map(|c| c.0).chain(REFUSED.iter().chain(OF_UNIONS).copied()).collect();
    let mut left_out = Vec::new();
    for function in datafusion_functions::all_default_functions() {
        let names = function.aliases().iter().map(String::as_str).chain([function.name()]);
        let names: Vec<&str> = names.collect();
        if !names.iter().any(|name| known.contains(name)) {
            left_out.push(names.join(", "));
        }
    }
    assert!(left_out.is_empty(), "{left_out:?}");
    for name in REFUSED {
        let fault =
            SqlMapper::new(&format!("SELECT {name}() AS x FROM item"), input()).unwrap_err();
        assert!(fault.message().contains("something else"), "{fault}");
    }
}

fn select(expression: &str) -> String {
    let sql = format!("SELECT {expression} AS x FROM item");
    let mut mapper = SqlMapper::new(&sql, input()).unwrap_or_else(|e| panic!("{expression}: {e}"));
    let kind = mapper.schema().field(0).data_type().to_string();
    let mapped = map(&mut mapper, items(&[(Some("A"), Some(3), Some(2_550), Some("0.1"))]));
    let failed = mapped.failures.first().map(|f| f.fault.to_string());
    failed.unwrap_or_else(|| format!("{}: {kind}", text(&mapped.items.batch).join("\n")))
}

/// B38: what is computed of decimals is a decimal, to the last digit.
#[test]
fn money_stays_exact() {
    let mut wrong = Vec::new();
    for (expression, expected) in [
        ("\"UnitPrice\" * \"Quantity\"", "7.650: Decimal128(33, 3)"),
        ("\"UnitPrice\" + 0.1 + 0.2", "2.850: Decimal128(14, 3)"),
        ("0.1 + 0.2", "0.3: Decimal128(2, 1)"),
        ("\"UnitPrice\" - 3", "-0.450: Decimal128(24, 3)"),
        ("\"UnitPrice\" * 1.19", "3.03450: Decimal128(16, 5)"),
        ("round(\"UnitPrice\" * 1.19, 2)", "3.03000: Decimal128(17, 5)"),
        ("round(-2.5)", "-3: Decimal128(2, 0)"),
        ("round(2.345, 2)", "2.350: Decimal128(5, 3)"),
        ("round(12345678901234567890.125, 2)", "12345678901234567890.130: Decimal128(24, 3)"),
        ("trunc(-2.349, 2)", "-2.340: Decimal128(4, 3)"),
        ("abs(-9999999999999999.99)", "9999999999999999.99: Decimal128(18, 2)"),
        ("ceil(12345678901234567890.1)", "12345678901234567891.0: Decimal128(21, 1)"),
        ("floor(-10.01)", "-11.00: Decimal128(4, 2)"),
        ("10.00 % 0.03", "0.01: Decimal128(2, 2)"),
        ("CASE WHEN note = '' THEN 1 ELSE \"UnitPrice\" END", "2.550: Decimal128(23, 3)"),
        ("coalesce(\"UnitPrice\", 0)", "2.550: Decimal128(23, 3)"),
        (
            "greatest(12345678901234567.01, 12345678901234567.02)",
            "12345678901234567.02: Decimal128(19, 2)",
        ),
        ("CAST(note AS decimal(20,10)) * 3", "0.3000000000: Decimal128(38, 10)"),
        (
            "CAST('79228162514264337593543950335.123' AS decimal(38,3))",
            "79228162514264337593543950335.123: Decimal128(38, 3)",
        ),
        ("\"UnitPrice\" / 3", "0.8500000: Decimal128(16, 7)"),
        ("10.00 / 3.00", "3.333333: Decimal128(10, 6)"),
        ("1.00 / 3 * 3", "0.999999: Decimal128(28, 6)"),
    ] {
        let given = select(expression);
        if given != expected {
            wrong.push(format!("{expression} gives {given}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_function_that_fails_on_constants_is_refused() {
    for expression in ["floor(-0.01)", "CASE WHEN note = '' THEN floor(-0.01) END"] {
        let fault = SqlMapper::new(&format!("SELECT {expression} AS x FROM item"), input());
        assert_eq!(fault.unwrap_err().kind(), kiln_core::Kind::Config, "{expression}");
    }
}
