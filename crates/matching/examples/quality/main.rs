//! How good and how fast matching is.
//!
//! ```sh
//! cargo run --release -p kiln-matching --example quality -- FOLDER [NAMES.txt …]
//! ```
//!
//! `FOLDER` holds two lists of products and which of them are the same (Abt.csv,
//! Buy.csv, abt_buy_perfectMapping.csv). Each further file is a list of names, one
//! a line: some are kept as a catalog, and all are looked up with slips, swapped,
//! shortened and missing words. `SPEED=no` leaves the measuring of speed out.

mod corrupt;
mod judge;
mod plain;
mod products;
mod random;
mod speed;

use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("say where Abt.csv and Buy.csv are")?;
    println!("| data | compared | settings | precision | recall | F1 |");
    println!("|---|---|---|---|---|---|");
    let products = products::read(Path::new(&folder))?;
    judge::report("abt-buy", &products);
    for path in arguments {
        let names = std::fs::read_to_string(&path)?;
        let name = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        judge::report(&name, &corrupt::task(&names));
    }
    if std::env::var("SPEED").as_deref() != Ok("no") {
        println!();
        speed::report();
    }
    Ok(())
}
