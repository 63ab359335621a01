//! The set-up script.

use kiln_core::{Fault, Kind, Result};
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::super::fault::fault;
use crate::database::Script;

/// Two that set the same database up follow each other.
const SET_UP_LOCK: i64 = 0x6b69_6c6e_0001;

/// Whoever looks waits for no lock for ever. EXECUTE refuses a script that
/// would end the transaction it runs in.
const RUN_SCRIPT: &str = "SET LOCAL lock_timeout = '30s'; \
     DO $kiln$ BEGIN EXECUTE pg_catalog.current_setting('kiln.script'); END $kiln$";

/// Runs a script in the transaction at hand.
pub(super) async fn run(client: &Client, script: &Script) -> Result<()> {
    let run = async {
        let lock = "SELECT pg_catalog.pg_advisory_xact_lock($1)";
        client.query_typed(lock, &[(&SET_UP_LOCK, Type::INT8)]).await?;
        let hand_over = "SELECT pg_catalog.set_config('kiln.script', $1, true)";
        client.query_typed(hand_over, &[(&script.sql, Type::TEXT)]).await?;
        client.batch_execute(RUN_SCRIPT).await
    };
    run.await.map_err(|e| script_fault(script, &e))
}

/// What is wrong with the script, and where in it.
pub(super) fn script_fault(script: &Script, error: &Error) -> Fault {
    let fault = fault(error);
    let place = match line_in(&script.sql, error) {
        Some(line) => format!("{}:{line}", script.name),
        None => script.name.clone(),
    };
    if fault.kind() != Kind::Item && fault.kind() != Kind::Config {
        return fault.at(format_args!("set-up script {place}"));
    }
    let described = Fault::config(format!("set-up script {place}: {}", fault.message()));
    let described = match fault.code() {
        Some(code) => described.with_code(code),
        None => described,
    };
    match fault.code() {
        Some("0A000" | "2D000") => described.with_hint(
            "leave out BEGIN, COMMIT and the like: kiln runs the script in one transaction",
        ),
        _ => described.with_hint(fault.hint().unwrap_or("mend the script, then try again")),
    }
}

/// The line of the script that an error points at, counted from 1. A statement
/// inside a function of the script has positions of its own and is left out.
fn line_in(sql: &str, error: &Error) -> Option<usize> {
    match error.as_db_error()?.position()? {
        ErrorPosition::Internal { position, query } if query == sql => {
            let before = usize::try_from(*position).ok()?.saturating_sub(1);
            Some(1 + sql.chars().take(before).filter(|c| *c == '\n').count())
        }
        _ => None,
    }
}
