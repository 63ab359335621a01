//! Abt's products, to be found among Buy's.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use kiln_matching::Compare;

use crate::Result;
use crate::judge::Task;

/// Reads the three files of the benchmark (Köpcke, Thor, Rahm, "Evaluation of
/// entity resolution approaches on real-world match problems", PVLDB 3(1), 2010).
pub(crate) fn read(folder: &Path) -> Result<Task> {
    let buy = records(&folder.join("Buy.csv"))?;
    let places: HashMap<&str, u32> =
        buy.iter().enumerate().map(|(i, r)| (r["id"].as_str(), i as u32)).collect();
    let mut right: HashMap<String, BTreeSet<u32>> = HashMap::new();
    let pairs = records(&folder.join("abt_buy_perfectMapping.csv"))?;
    for pair in &pairs {
        right.entry(pair["idAbt"].clone()).or_default().insert(places[pair["idBuy"].as_str()]);
    }
    let values = |record: &HashMap<String, String>| {
        let value = |name: &str| record.get(name).filter(|v| !v.is_empty()).cloned();
        vec![value("name"), value("price")]
    };
    let item = |record: &HashMap<String, String>| {
        (values(record), right.get(&record["id"]).cloned().unwrap_or_default())
    };
    Ok(Task {
        items: records(&folder.join("Abt.csv"))?.iter().map(item).collect(),
        catalog: buy.iter().map(values).collect(),
        others: vec![(Compare::Number, 0.1)],
    })
}

/// The records of a file in Latin-1.
fn records(path: &Path) -> Result<Vec<HashMap<String, String>>> {
    let text: String = std::fs::read(path)?.into_iter().map(char::from).collect();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    Ok(reader.deserialize().collect::<std::result::Result<_, _>>()?)
}
