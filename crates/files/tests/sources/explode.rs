//! Arrays in a column become rows.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use kiln_core::{CellColumn, Items, Kind, Mapped, Mapper as _, NoOrigins, Stage};
use kiln_files::{Column, ColumnType, Explode, ExplodeMapper, JsonColumn, JsonPath, Missing};

fn column(name: &str, kind: &str, path: &[&str], missing: Missing) -> JsonColumn {
    let column = Column::new(name, ColumnType::parse(kind).unwrap());
    JsonColumn { column, path: JsonPath::keys(path.iter().copied()), missing }
}

fn lines() -> Explode {
    Explode {
        column: "lines".into(),
        stream: "lines".into(),
        of: None,
        number: Some("no".into()),
        columns: vec![
            column("sku", "text", &["sku"], Missing::Null),
            column("qty", "decimal(5,2)", &["qty"], Missing::Reject),
        ],
    }
}

fn orders(arrays: &[Option<&str>]) -> Items {
    let n = arrays.len() as u64;
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(1..=n as i64));
    let lines: ArrayRef = Arc::new(StringArray::from(arrays.to_vec()));
    let batch =
        RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("lines", lines, true)]);
    Items { batch: batch.unwrap(), ordinals: (1..=n).collect(), origins: Arc::new(NoOrigins) }
}

async fn explode(explode: Explode, items: Items) -> Mapped {
    let mut mapper = ExplodeMapper::new(explode, &items.batch.schema()).unwrap();
    let mapped = mapper.map(items).await.unwrap();
    assert_eq!(mapped.items.batch.schema(), mapper.schema());
    mapped
}

fn text(items: &Items) -> Vec<String> {
    let columns = CellColumn::of(&items.batch).unwrap();
    let row = |i| columns.iter().map(|c| c.cell(i).to_string()).collect::<Vec<_>>().join("|");
    (0..items.len()).map(row).collect()
}

#[tokio::test]
async fn each_element_is_a_row_behind_its_item() {
    let items = orders(&[
        Some(r#" [{"sku": "a", "qty": 1.50}, {"qty": 2}] "#),
        Some("[]"),
        None,
        Some("null"),
        Some(r#"[{"sku": null, "qty": 1e2}]"#),
    ]);
    let mapped = explode(lines(), items).await;
    assert_eq!(
        text(&mapped.items),
        [
            "1|NULL|NULL|NULL|NULL",
            "1|1|a|1.50|lines",
            "1|2|NULL|2.00|lines",
            "2|NULL|NULL|NULL|NULL",
            "3|NULL|NULL|NULL|NULL",
            "4|NULL|NULL|NULL|NULL",
            "5|NULL|NULL|NULL|NULL",
            "5|1|NULL|100.00|lines",
        ]
    );
    assert_eq!(mapped.items.ordinals, [1, 1, 1, 2, 3, 4, 5, 5]);
    assert!(mapped.failures.is_empty() && mapped.filtered.is_empty());
}

#[tokio::test]
async fn a_bad_element_fails_its_item_and_no_other() {
    let good = r#"[{"sku": "a", "qty": 1}]"#;
    let items = orders(&[
        Some(good),
        Some(r#"[{"qty": 1}, {"qty": "x"}]"#),
        Some(good),
        Some(r#"{"sku": "a"}"#),
        Some(r#"[{"qty": 1}, {"sku": "a"}]"#),
        Some(r#"[{"qty": 1}, 5]"#),
        Some(r#"[{"qty": 1}"#),
        Some("7"),
        Some(""),
        Some(r#"[{"qty": 1}] x"#),
        Some(good),
    ]);
    let mapped = explode(lines(), items).await;
    assert_eq!(
        text(&mapped.items),
        ["1", "3", "11"]
            .map(|id| [format!("{id}|NULL|NULL|NULL|NULL"), format!("{id}|1|a|1.00|lines")])
            .concat()
    );
    let failed: Vec<(u64, &str, &str)> = mapped
        .failures
        .iter()
        .map(|f| (f.ordinal, f.fault.code().unwrap(), f.fault.message()))
        .collect();
    let expected = [
        (2, "cast", "lines[1]: column qty: \"x\" is not a decimal(5,2)"),
        (4, "json", "lines: an array should be there, but it begins with '{'"),
        (5, "missing", "lines[1]: column qty: it is not in the record"),
        (6, "json", "lines[1]: no JSON: invalid type: integer `5`, expected an object, column 1"),
        (7, "json", "lines: no JSON: EOF while parsing a list, column 11"),
        (8, "json", "lines: an array should be there, but it begins with '7'"),
        (9, "json", "lines: no JSON: EOF while parsing a value"),
        (10, "json", "lines: no JSON: trailing characters, column 14"),
    ];
    assert_eq!(failed, expected);
    for failure in &mapped.failures {
        assert_eq!((failure.stage, failure.fault.kind()), (Stage::Map, Kind::Item));
        let is_of_value = matches!(failure.fault.code(), Some("cast" | "missing"));
        assert_eq!(failure.fault.column(), Some(if is_of_value { "qty" } else { "lines" }));
    }
}

#[tokio::test]
async fn elements_may_be_plain_values() {
    let tags = Explode {
        columns: vec![column("tag", "text", &[], Missing::Null)],
        number: None,
        ..lines()
    };
    let mapped = explode(tags, orders(&[Some(r#"["a", 5, null, {"x": 1}]"#)])).await;
    let expected = ["1|NULL|NULL", "1|a|lines", "1|5|lines", "1|NULL|lines", "1|{\"x\": 1}|lines"];
    assert_eq!(text(&mapped.items), expected);
}

#[tokio::test]
async fn rows_of_rows_are_made_too() {
    let outer =
        Explode { columns: vec![column("parts", "text", &["parts"], Missing::Null)], ..lines() };
    let items = orders(&[Some(r#"[{"parts": [1, 2]}, {}, {"parts": [3]}]"#), Some("[]")]);
    let items = explode(outer, items).await.items;
    let inner = Explode {
        column: "parts".into(),
        stream: "parts".into(),
        of: Some("lines".into()),
        number: None,
        columns: vec![column("part", "int", &[], Missing::Null)],
    };
    let mapped = explode(inner.clone(), items).await;
    assert_eq!(
        text(&mapped.items),
        [
            "1|NULL|NULL|NULL",
            "1|1|NULL|lines",
            "1|1|1|parts",
            "1|1|2|parts",
            "1|2|NULL|lines",
            "1|3|NULL|lines",
            "1|3|3|parts",
            "2|NULL|NULL|NULL",
        ]
    );
    let outer =
        Explode { columns: vec![column("parts", "text", &["parts"], Missing::Null)], ..lines() };
    let bad = orders(&[Some(r#"[{"parts": [1]}]"#), Some(r#"[{"parts": [1]}, {"parts": ["x"]}]"#)]);
    let mapped = explode(inner, explode(outer, bad).await.items).await;
    assert_eq!(mapped.items.ordinals, [1, 1, 1]);
    assert_eq!(mapped.failures[0].fault.message(), "parts[0]: column part: \"x\" is not an int");
}

#[test]
fn what_can_not_be_is_refused() {
    let schema = orders(&[]).batch.schema();
    let with = |column: &str, name: &str| Explode {
        column: column.into(),
        number: Some(name.into()),
        ..lines()
    };
    for (explode, said) in [
        (with("line", "no"), "the item has no column line"),
        (with("id", "no"), "column id is of type Int64, not text"),
        (with("lines", "id"), "column \"id\" is described twice"),
        (with("lines", "sku"), "column \"sku\" is described twice"),
    ] {
        let fault = ExplodeMapper::new(explode, &schema).unwrap_err();
        assert_eq!((fault.kind(), fault.message()), (Kind::Config, said));
    }
}
