//! Writes invoice lines as CSV, always the same ones for the same arguments:
//!
//! ```text
//! generate FILE ROWS SEED [duplicate|number EVERY]
//! ```
//!
//! `EVERY` is how many lines there are to one bad one, on average: `duplicate`
//! repeats the `line_id` of a line not far above, `number` writes a quantity
//! that is none. The facts about the good lines go to standard output as JSON:
//! whoever has loaded the file can be held to them.

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};

const CODES: u64 = 4_000;
/// From how many lines above a key is repeated.
const NEAR: u64 = 100;
const COUNTRIES: [&str; 8] = [
    "United Kingdom",
    "United Kingdom",
    "United Kingdom",
    "Germany",
    "France",
    "EIRE",
    "Spain",
    "Netherlands",
];
const COLOURS: [&str; 8] = ["WHITE", "RED", "BLUE", "PINK", "IVORY", "GREEN", "BLACK", "SILVER"];
const THINGS: [&str; 10] = [
    "HANGING HEART T-LIGHT HOLDER",
    "METAL LANTERN",
    "CREAM CUPID HEARTS COAT HANGER",
    "UNION FLAG HOT WATER BOTTLE",
    "RETROSPOT LUNCH BAG",
    "POPPY'S PLAYHOUSE BEDROOM",
    "BOX OF VINTAGE JIGSAW BLOCKS",
    "DOORMAT, WELCOME",
    "6\" FRAME, OVAL",
    "REGENCY CAKESTAND 3 TIER",
];

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Bad {
    Duplicate,
    Number,
}

/// What a table must show when exactly the good lines are in it.
#[derive(Default)]
struct Facts {
    rows: u64,
    bad: u64,
    quantity: u64,
    price_millis: u64,
    customers: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let (path, rows, seed) = match args.as_slice() {
        [path, rows, seed, ..] => (path, rows.parse::<u64>()?, seed.parse::<u64>()?),
        _ => return Err("usage: generate FILE ROWS SEED [duplicate|number EVERY]".into()),
    };
    let bad = match args.get(3..).unwrap_or_default() {
        [] => None,
        [kind, every] if kind == "duplicate" => Some((Bad::Duplicate, every.parse::<u64>()?)),
        [kind, every] if kind == "number" => Some((Bad::Number, every.parse::<u64>()?)),
        _ => {
            return Err(
                "a kind of bad line is `duplicate` or `number`, and how many there are to one"
                    .into(),
            );
        }
    };
    let facts = write(BufWriter::with_capacity(1 << 18, File::create(path)?), rows, seed, bad)?;
    let Facts { rows, bad, quantity, price_millis, customers } = facts;
    println!(
        "{{\"rows\": {rows}, \"bad\": {bad}, \"quantity\": {quantity}, \
         \"price_millis\": {price_millis}, \"customers\": {customers}}}"
    );
    Ok(())
}

fn write(
    mut out: impl Write,
    rows: u64,
    seed: u64,
    bad: Option<(Bad, u64)>,
) -> Result<Facts, Box<dyn Error>> {
    let mut random = Random(seed);
    // Which lines are bad is drawn apart, so that the lines themselves are the
    // same in every variant.
    let mut fate = Random(seed ^ 0xBAD);
    let mut facts = Facts::default();
    // The last good lines: one of their keys is what a bad line repeats.
    let mut good = [0; NEAR as usize];
    writeln!(
        out,
        "line_id,invoice_no,stock_code,description,quantity,unit_price,sold_at,customer_id,country"
    )?;
    for id in 1..=rows {
        let code = random.below(CODES);
        let quantity = 1 + random.below(60);
        let price_millis = 10 * (20 + random.below(4_000));
        let customer = random.below(4).ne(&0).then(|| 12_346 + random.below(5_942));
        let country = COUNTRIES[random.below(COUNTRIES.len() as u64) as usize];
        let is_bad = bad.filter(|(_, every)| id > NEAR && fate.below(*every) == 0).map(|b| b.0);
        let key = match is_bad {
            Some(Bad::Duplicate) => good[fate.below(NEAR) as usize],
            _ => id,
        };
        let letter = if is_bad == Some(Bad::Number) { "x" } else { "" };
        write!(out, "{key},{},{},", 536_365 + id / 20, 10_000 + code)?;
        write_description(&mut out, code)?;
        write!(out, ",{quantity}{letter},{}.{:03},", price_millis / 1_000, price_millis % 1_000)?;
        let minute = id / 20;
        let (day, hour) = (minute / 600 % 28, 8 + minute / 60 % 10);
        let month = minute / 16_800 % 12;
        write!(out, "2011-{:02}-{:02} {hour:02}:{:02}:00,", month + 1, day + 1, minute % 60)?;
        match customer {
            Some(customer) => writeln!(out, "{customer},{country}")?,
            None => writeln!(out, ",{country}")?,
        }
        if is_bad.is_some() {
            facts.bad += 1;
            continue;
        }
        good[(facts.rows % NEAR) as usize] = id;
        facts.rows += 1;
        facts.quantity += quantity;
        facts.price_millis += price_millis;
        facts.customers += customer.unwrap_or(0);
    }
    out.flush()?;
    Ok(facts)
}

/// The same text for the same code; quoted where CSV wants it.
fn write_description(out: &mut impl Write, code: u64) -> Result<(), Box<dyn Error>> {
    let colour = COLOURS[(code / 10 % 8) as usize];
    let thing = THINGS[(code % 10) as usize];
    if thing.contains([',', '"']) {
        write!(out, "\"{colour} {}\"", thing.replace('"', "\"\""))?;
    } else {
        write!(out, "{colour} {thing}")?;
    }
    Ok(())
}
