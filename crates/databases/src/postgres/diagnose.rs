//! Naming all bad items of a unit in one round trip.
//!
//! The unit's values go to the server as texts, to a function of the session's
//! own that tries items in groups, each in a subtransaction: groups grow while
//! all is well and are halved where something fails, down to the items that fail
//! by themselves. What may have failed only because a later item was not there
//! yet is tried once more in the end. Then everything is rolled back.
//!
//! Where the refusal tells which items may be bad, the others are written first
//! as they always are, and only the suspected ones are tried. Then what is
//! written can stay, for the unit that the good items are about to become.

use std::collections::BTreeMap;

use bytes::Bytes;
use kiln_core::{CellColumn, Duplicates, Fault, Kind, Mode, Rejection, Result, Rows, Unit};

use super::ask::Failure;
use super::encode::{int_array, text, text_array};
use super::fault::of_server;
use super::lane::roll_back;
use super::session::Beginning;
use super::statement::Shape;
use super::suspects::{self, Questions, Why};
use super::transaction::{Step, Transaction};
use super::wire::{Connection, Parameter, Request, Row, ServerError, Status};
use super::write::{Halfway, How, Writer};
use crate::names::quoted;

/// A function takes a hundred parameters; each write has two.
const MOST_WRITES: usize = 49;

/// Takes back what was said of an item.
const FINE: &str = "00000";

/// What a user lacks who may create no function of the session's own.
const NOT_PERMITTED: &str = "42501";

/// How many items are tried at once, to begin with: where most are thought to be
/// good, and where each is thought to be bad.
const MANY: u32 = 16;
const ONE: u32 = 1;

/// What is found out about a unit.
pub(super) struct Diagnosis {
    /// The items that fail.
    pub(super) rejections: Vec<Rejection>,
    /// The rows of all others are written, in the transaction that is open.
    pub(super) keeps_rest: bool,
}

/// What a lane's session knows from diagnoses before.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    /// It has the function.
    is_made: bool,
    questions: Questions,
}

/// Names the items that fail, none where the server can't be asked.
pub(super) async fn diagnose(
    connection: &mut Connection,
    beginning: Beginning,
    writers: &[Writer],
    learnt: &mut Learnt,
    unit: &Unit,
    why: Option<Why>,
) -> Result<Option<Diagnosis>, Failure> {
    let known = known(writers, unit)?;
    let diagnosis = |rejections, keeps_rest| Diagnosis { rejections, keeps_rest };
    if writers.len() > MOST_WRITES || known.len() == unit.items.len() {
        return Ok((!known.is_empty()).then(|| diagnosis(known.into_values().collect(), false)));
    }
    let mut trial = Trial { connection, beginning, writers, learnt, unit, keeps: false };
    let gone: Vec<u64> = known.keys().copied().collect();
    let Some(found) = trial.find(&gone, why).await? else { return Ok(None) };
    let keeps_rest = trial.keeps;
    Ok(Some(diagnosis(known.into_iter().chain(found).map(|(_, r)| r).collect(), keeps_rest)))
}

/// Trying the items of a unit.
struct Trial<'a> {
    connection: &'a mut Connection,
    beginning: Beginning,
    writers: &'a [Writer],
    learnt: &'a mut Learnt,
    unit: &'a Unit,
    /// What went well stays, in a transaction that is left open.
    keeps: bool,
}

type Found = BTreeMap<u64, Rejection>;

impl Trial<'_> {
    /// The items that fail, beside those `gone`: if some are suspected, those
    /// behind all others; if that fails, all.
    async fn find(&mut self, gone: &[u64], why: Option<Why>) -> Result<Option<Found>, Failure> {
        let items = others(&self.unit.items, gone);
        if let Some(why) = why {
            let Self { connection, beginning, writers, learnt, unit, .. } = self;
            let questions = &mut learnt.questions;
            let asked = suspects::suspects(connection, *beginning, writers, unit, &why, questions);
            let mut suspected = asked.await?;
            suspected.retain(|o| items.binary_search(o).is_ok());
            if !suspected.is_empty()
                && let Some(found) = self.behind_others(gone, &suspected).await?
            {
                return Ok(Some(found));
            }
        }
        let transaction = self.begin()?;
        self.ask(transaction, &items, MANY).await
    }

    /// Writes all that are not suspected as a unit is written, and tries those
    /// that are behind them; `None` if others fail too.
    async fn behind_others(
        &mut self,
        gone: &[u64],
        suspected: &[u64],
    ) -> Result<Option<Found>, Failure> {
        if self.writers.iter().any(Writer::asks) {
            return Ok(None);
        }
        let mut left_out = [gone, suspected].concat();
        left_out.sort_unstable();
        let mut transaction = self.begin()?;
        for (writer, rows) in self.writers.iter().zip(&self.unit.writes) {
            let rows = tried(writer, rows, &left_out)?;
            if writer.put(&rows, &mut transaction, &mut Halfway::of(0)).is_err() {
                return Ok(None);
            }
        }
        // What other writes did depends on which rows are written with which.
        self.keeps = self.writers.iter().all(|writer| writer.mode() == Mode::Insert);
        let found = self.ask(transaction, suspected, ONE).await?;
        self.keeps &= found.is_some();
        Ok(found)
    }

    /// Lets the server try some items, a few at once, behind what the transaction
    /// does; none if one of its writes fails, or the user may make no function.
    async fn ask(
        &mut self,
        mut transaction: Transaction,
        items: &[u64],
        at_once: u32,
    ) -> Result<Option<Found>, Failure> {
        let others = others(&self.unit.items, items);
        let mut parameters = Vec::with_capacity(2 * self.writers.len());
        for (writer, rows) in self.writers.iter().zip(&self.unit.writes) {
            parameters.extend(values(&tried(writer, rows, &others)?, items)?);
        }
        let function = function(self.writers)?;
        match (self.beginning.is_pooled, self.learnt.is_made) {
            (true, _) => transaction.run(Step::Begin, &function, &[])?,
            (false, false) => match self.make(&function).await? {
                true => self.learnt.is_made = true,
                false => return Ok(None),
            },
            (false, true) => {}
        }
        let given: Vec<String> = (1..=parameters.len()).map(|n| format!("${n}")).collect();
        let call = format!("SELECT * FROM pg_temp.kiln_diagnose({at_once}, {})", given.join(", "));
        transaction.run(Step::Begin, &call, &parameters)?;
        let (bytes, steps, _) = transaction.end();
        let Self { connection, writers, unit, .. } = self;
        connection.send(bytes).await.map_err(Failure::Over)?;
        let mut answers = connection.answers().await.map_err(Failure::Over)?;
        let keeps = self.keeps && answers.error.is_none();
        if !keeps && answers.status != Status::Idle {
            roll_back(connection).await.map_err(Failure::Over)?;
        }
        let Some(error) = answers.error else {
            let rows = answers.done.pop().map(|answer| answer.rows).unwrap_or_default();
            return Ok(Some(read(&rows, writers, unit, items)?));
        };
        let is_write = matches!(steps.get(answers.done.len()), Some(Step::Write(_)));
        if is_write || error.code == NOT_PERMITTED {
            return Ok(None);
        }
        Err(of_server(&error).into())
    }

    /// Makes the function; false if the user may make none.
    async fn make(&mut self, function: &str) -> Result<bool, Failure> {
        let mut request = Request::default();
        request.run(function, &[]).map_err(Failure::Over)?;
        self.connection.send(request.end()).await.map_err(Failure::Over)?;
        match self.connection.answers().await.map_err(Failure::Over)?.error {
            None => Ok(true),
            Some(error) if error.code == NOT_PERMITTED => Ok(false),
            Some(error) => Err(of_server(&error).into()),
        }
    }

    fn begin(&self) -> Result<Transaction> {
        let mut transaction = self.beginning.transaction()?;
        transaction.run(Step::Begin, "SET CONSTRAINTS ALL IMMEDIATE", &[])?;
        Ok(transaction)
    }
}

/// The items that are at fault whatever is in the tables.
fn known(writers: &[Writer], unit: &Unit) -> Result<BTreeMap<u64, Rejection>> {
    let mut known = BTreeMap::new();
    for (writer, rows) in writers.iter().zip(&unit.writes) {
        for rejection in writer.refuse_early(rows)? {
            known.entry(rejection.ordinal).or_insert(rejection);
        }
    }
    Ok(known)
}

/// The rows that would be sent: not those of the items `gone`, nor those that
/// are passed over.
fn tried(writer: &Writer, rows: &Rows, gone: &[u64]) -> Result<Rows> {
    match &writer.how {
        How::ByKey(write) if write.on_duplicate == Duplicates::First => {
            let mut passed = gone.to_vec();
            passed
                .extend(write.plainly_same(rows)?.repeats().iter().map(|row| rows.ordinals[*row]));
            passed.sort_unstable();
            rows.without(&passed)
        }
        _ => rows.without(gone),
    }
}

/// The items but those `gone`.
fn others(items: &[u64], gone: &[u64]) -> Vec<u64> {
    items.iter().filter(|o| gone.binary_search(o).is_err()).copied().collect()
}

/// For each item how many rows lie before it, and the values of all rows.
fn values(rows: &Rows, items: &[u64]) -> Result<[Parameter; 2]> {
    let before = |ordinal: &u64| rows.ordinals.partition_point(|o| o < ordinal) as u64;
    let starts: Vec<u64> = items.iter().map(before).chain([rows.len() as u64]).collect();
    let columns = CellColumn::of(&rows.batch)?;
    let value = |i: usize| text(columns[i % columns.len()].cell(i / columns.len()));
    Ok([int_array(&starts), text_array(rows.len() * columns.len(), value)])
}

/// The items that the answer names.
///
/// # Errors
/// A fault of all items.
fn read(
    answer: &[Row],
    writers: &[Writer],
    unit: &Unit,
    items: &[u64],
) -> Result<BTreeMap<u64, Rejection>> {
    let mut found = BTreeMap::new();
    for row in answer {
        let field = |i: usize| {
            let bytes: Option<&Bytes> = row.get(i)?.as_ref();
            bytes.map(|b| String::from_utf8_lossy(b).into_owned()).filter(|text| !text.is_empty())
        };
        let number = |i: usize| field(i)?.parse::<usize>().ok();
        let item = number(0).and_then(|n| items.get(n.checked_sub(1)?)).copied();
        let write = number(1).and_then(|n| Some((writers.get(n)?, unit.writes.get(n)?)));
        let (Some(ordinal), Some((writer, rows))) = (item, write) else {
            return Err(Fault::bug("the server names an item that it was not given"));
        };
        let error = ServerError {
            code: field(2).unwrap_or_default(),
            message: field(3).unwrap_or_default(),
            hint: field(4),
            constraint: field(5),
            column: field(6),
            ..ServerError::default()
        };
        if error.code == FINE {
            found.remove(&ordinal);
            continue;
        }
        let fault = writer.refusal(&error, rows).fault;
        if fault.kind() != Kind::Item {
            return Err(fault);
        }
        found.insert(ordinal, Rejection { ordinal, fault });
    }
    Ok(found)
}

/// The function that tries items; it stays with the session. A plan of its own
/// for each group would hold a copy of all values for each place where one is
/// used.
fn function(writers: &[Writer]) -> Result<String> {
    let mut parameters = vec!["kiln_group int".to_owned()];
    let mut records = String::new();
    let mut tries = String::new();
    let mut searches = String::new();
    for (n, writer) in writers.iter().enumerate() {
        parameters.push(format!("kiln_s{n} bigint[], kiln_v{n} text[]"));
        records.push_str(&format!("    kiln_r{n} {};\n", writer.sql));
        tries.push_str(&format!(
            "            kiln_write := {n};\n            {};\n",
            trial(n, writer)?
        ));
        searches.push_str(&search(n, writer)?);
    }
    let body = BODY
        .replace("{records}", &records)
        .replace("{tries}", &tries)
        .replace("{searches}", &searches);
    let tag = unused_tag(&body);
    Ok(format!(
        "CREATE FUNCTION pg_temp.kiln_diagnose({}) \
         RETURNS TABLE (kiln_item int, kiln_write int, kiln_code text, kiln_message text, \
                        kiln_hint text, kiln_constraint text, kiln_column text) \
         LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS {tag}{body}{tag}",
        parameters.join(", "),
    ))
}

/// Writes the rows of the items `kiln_from` to `kiln_to`.
fn trial(n: usize, writer: &Writer) -> Result<String> {
    let width = writer.columns.len();
    let columns: Vec<String> =
        (0..width).map(|c| format!("kiln_v{n}[kiln_k * {width} + {}] AS c{c}", c + 1)).collect();
    let source = format!(
        "(SELECT {} FROM pg_catalog.generate_series(kiln_s{n}[kiln_from], \
         kiln_s{n}[kiln_to + 1] - 1) AS kiln_g (kiln_k)) AS kiln_u",
        columns.join(", ")
    );
    let (keys, mode) = (writer.keys(), writer.mode());
    Shape { table: &writer.sql, columns: &writer.columns, keys: &keys }.trial(mode, &source)
}

/// Looks for the column whose value can't be read.
fn search(n: usize, writer: &Writer) -> Result<String> {
    let width = writer.columns.len();
    let mut text = format!(
        "                    IF kiln_write = {n} THEN \
         FOR kiln_k IN kiln_s{n}[kiln_from] .. kiln_s{n}[kiln_to + 1] - 1 LOOP\n"
    );
    for (c, column) in writer.columns.iter().enumerate() {
        let name = quoted(&column.name)?;
        let literal = postgres_protocol::escape::escape_literal(&column.name);
        text.push_str(&format!(
            "                        kiln_name := {literal}; \
             kiln_r{n}.{name} := kiln_v{n}[kiln_k * {width} + {}];\n",
            c + 1
        ));
    }
    text.push_str("                    END LOOP; END IF;\n");
    Ok(text)
}

/// A pair of dollar quotes that the body does not hold.
fn unused_tag(body: &str) -> String {
    let mut tag = "$kiln$".to_owned();
    while body.contains(&tag) {
        tag.insert(5, '_');
    }
    tag
}

const BODY: &str = "
#variable_conflict use_column
DECLARE
    kiln_last CONSTANT int := pg_catalog.cardinality(kiln_s0) - 1;
    kiln_next int := 1; -- kiln_group items are tried at once.
    -- From kiln_next up to here an item is known to fail.
    kiln_bound int := 0;
    kiln_before int := 0;
    kiln_queue int[];
    kiln_again int[] := '{}';
    kiln_at int;
    kiln_is_better boolean := true;
    kiln_from int;
    kiln_to int;
    kiln_name text;
{records}BEGIN
    LOOP
        IF kiln_next <= kiln_last THEN
            kiln_from := kiln_next;
            kiln_to := CASE WHEN kiln_next <= kiln_bound
                            THEN greatest((kiln_next + kiln_bound - 1) / 2, kiln_next)
                            ELSE least(kiln_next + kiln_group - 1, kiln_last) END;
        ELSIF kiln_queue IS NULL OR kiln_at = pg_catalog.cardinality(kiln_queue) THEN
            EXIT WHEN kiln_again = '{}' OR NOT kiln_is_better;
            kiln_queue := kiln_again;
            kiln_again := '{}';
            kiln_at := 0;
            kiln_is_better := false;
            CONTINUE;
        ELSE
            kiln_at := kiln_at + 1;
            kiln_from := kiln_queue[kiln_at];
            kiln_to := kiln_from;
        END IF;
        BEGIN
{tries}            IF kiln_next <= kiln_last THEN
                kiln_next := kiln_to + 1;
                IF kiln_bound < kiln_from THEN
                    kiln_group := least(2 * kiln_group, 256);
                END IF;
            ELSE
                kiln_is_better := true;
                kiln_item := kiln_from;
                kiln_code := '00000';
                RETURN NEXT;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS
                kiln_code = RETURNED_SQLSTATE, kiln_message = MESSAGE_TEXT,
                kiln_hint = PG_EXCEPTION_HINT, kiln_constraint = CONSTRAINT_NAME,
                kiln_column = COLUMN_NAME;
            IF kiln_from < kiln_to AND kiln_code ~ '^(2[123]|44|54|P0|40002)' THEN
                kiln_bound := kiln_to;
                CONTINUE;
            END IF;
            IF kiln_code ~ '^22' AND kiln_column = '' THEN
                BEGIN
                    kiln_name := '';
{searches}                EXCEPTION WHEN OTHERS THEN
                    kiln_column := kiln_name;
                END;
            END IF;
            kiln_item := kiln_from;
            RETURN NEXT;
            EXIT WHEN kiln_code !~ '^(2[123]|44|54|P0|40002)';
            IF kiln_code ~ '^(23503|23514|P0)' THEN
                kiln_again := kiln_again || kiln_from;
            END IF;
            IF kiln_next <= kiln_last THEN
                kiln_next := kiln_from + 1;
                kiln_group := least(greatest((kiln_group + kiln_from - kiln_before) / 2, 1), 256);
                kiln_before := kiln_from;
                kiln_bound := 0;
            END IF;
        END;
    END LOOP;
END ";
