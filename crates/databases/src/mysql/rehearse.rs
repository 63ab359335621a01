//! What a set-up script would make.
//!
//! These servers commit at each `CREATE TABLE`: a script can't be tried in a
//! transaction that is rolled back. So it is tried in a database of its own,
//! into which the tables that the script names are copied empty, and which is
//! dropped at once. Where that is not permitted, or a statement would reach out
//! of that database, nothing is tried, and whoever asks is told so.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use kiln_core::{Result, TableName};

use super::fault::{fault, is_denied};
use super::order::quoted_text;
use super::script::{script_fault, statements, words};
use super::session::{Session, value};
use super::statement::quoted;
use super::table::Table;
use crate::database::Script;

/// What became of the rehearsal.
#[derive(Debug)]
pub(super) struct Rehearsal {
    /// The tables that the script names or makes, by name.
    tables: BTreeMap<String, Table>,
    /// Why there was none.
    omitted: Option<String>,
}

impl Rehearsal {
    /// Tries the script.
    ///
    /// # Errors
    /// What is wrong with the script, with its name and line.
    pub(super) async fn of(session: &mut Session, script: &Script) -> Result<Self> {
        let omitted = |why: String| Self { tables: BTreeMap::new(), omitted: Some(why) };
        let names = |rows: Vec<mysql_async::Row>| {
            rows.iter().map(|row| value::<String>(row, 0)).collect::<Result<Vec<_>, _>>()
        };
        let databases = session.ask("SHOW DATABASES").await.and_then(names);
        let databases = databases.map_err(|e| fault(&e))?;
        drop_left_behind(session, &databases).await?;
        if let Some(why) = reaches_out(script, &databases) {
            return Ok(omitted(why));
        }
        let tables = session.ask("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'").await;
        let tables = tables.and_then(names).map_err(|e| fault(&e))?;
        let scratch = Scratch::new(session);
        scratch.hold(session).await?;
        match session.run(&format!("CREATE DATABASE {}", scratch.sql)).await {
            Err(error) if is_denied(&error) => {
                return Ok(omitted(
                    "a script can only be tried in a database of its own; \
                     GRANT ALL ON `kiln\\_rehearsal\\_%`.* TO the user of the URL permits that"
                        .to_owned(),
                ));
            }
            made => made.map_err(|e| fault(&e))?,
        };
        let tried = scratch.play(session, script, &tables).await;
        let cleared = scratch.clear(session).await;
        let tables = tried?;
        cleared?;
        Ok(Self { tables, omitted: None })
    }

    /// The table as it is after the script, if the script has to do with it.
    pub(super) fn table(&self, name: &TableName) -> Option<&Table> {
        if name.schema.is_some() {
            return None;
        }
        self.tables.get(&name.name)
    }

    /// Why the script was not tried.
    pub(super) fn omitted(&self) -> Option<&str> {
        self.omitted.as_deref()
    }
}

/// Drops what rehearsals that were broken off left on the server: whoever is at
/// one holds the lock of its database's name, which ends with the session.
async fn drop_left_behind(session: &mut Session, databases: &[String]) -> Result<()> {
    for name in databases.iter().filter(|name| Scratch::is_name(name)) {
        let free = format!("SELECT IS_FREE_LOCK({})", quoted_text(name));
        let rows = session.ask(&free).await.map_err(|e| fault(&e))?;
        let free = rows.first().map(|row| value::<Option<i64>>(row, 0)).transpose();
        if free.map_err(|e| fault(&e))?.flatten() == Some(1) {
            let sql = format!("DROP DATABASE IF EXISTS {}", quoted(name)?);
            match session.run(&sql).await {
                Err(error) if !is_denied(&error) => return Err(fault(&error)),
                _ => {}
            }
        }
    }
    Ok(())
}

/// A database that is there for a moment.
struct Scratch {
    name: String,
    sql: String,
    home: String,
}

impl Scratch {
    const PREFIX: &str = "kiln_rehearsal_";

    fn new(session: &Session) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let moment = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let moment = moment.map_or(0, |m| m.as_millis());
        let name = format!("{}{}_{moment:011x}_{made}", Self::PREFIX, std::process::id());
        let home = session.facts().database.clone().unwrap_or_default();
        Self { sql: format!("`{name}`"), name, home }
    }

    /// Whether a database has a name that [`new`](Self::new) makes: process, moment,
    /// number. No other is ever dropped.
    fn is_name(name: &str) -> bool {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let parts: Option<Vec<&str>> =
            name.strip_prefix(Self::PREFIX).map(|rest| rest.split('_').collect());
        let Some(&[process, moment, made]) = parts.as_deref() else { return false };
        let is_moment = moment.len() == 11 && moment.bytes().all(|b| b.is_ascii_hexdigit());
        digits(process) && is_moment && digits(made)
    }

    /// Says that the database is in use, for as long as the session lasts.
    async fn hold(&self, session: &mut Session) -> Result<()> {
        let lock = format!("SELECT GET_LOCK({}, 0)", quoted_text(&self.name));
        session.ask(&lock).await.map(drop).map_err(|e| fault(&e))
    }

    async fn play(
        &self,
        session: &mut Session,
        script: &Script,
        tables: &[String],
    ) -> Result<BTreeMap<String, Table>> {
        let home = quoted(&self.home)?;
        let text = script.sql.to_lowercase();
        for table in tables.iter().filter(|t| text.contains(&t.to_lowercase())) {
            let table = quoted(table)?;
            let copy = format!("CREATE TABLE {}.{table} LIKE {home}.{table}", self.sql);
            session.run(&copy).await.map_err(|e| fault(&e))?;
        }
        session.run(&format!("USE {}", self.sql)).await.map_err(|e| fault(&e))?;
        for statement in statements(&script.sql) {
            let ran = session.run(statement.sql).await;
            ran.map_err(|e| script_fault(script, &statement, &e))?;
        }
        let mut made = BTreeMap::new();
        for row in session.ask("SHOW TABLES").await.map_err(|e| fault(&e))? {
            let name: String = value(&row, 0).map_err(|e| fault(&e))?;
            let found = TableName { schema: Some(self.name.clone()), name };
            if let Some(mut table) = Table::find(session, &found).await? {
                table.sql = quoted(&found.name)?;
                table.is_rehearsed = !tables.contains(&found.name);
                made.insert(found.name, table);
            }
        }
        Ok(made)
    }

    async fn clear(&self, session: &mut Session) -> Result<()> {
        let home = quoted(&self.home)?;
        for sql in [format!("USE {home}"), format!("DROP DATABASE IF EXISTS {}", self.sql)] {
            session.run(&sql).await.map_err(|e| fault(&e))?;
        }
        let release = format!("SELECT RELEASE_LOCK({})", quoted_text(&self.name));
        session.ask(&release).await.map(drop).map_err(|e| fault(&e))
    }
}

/// What a script may do in a database of its own, by its first words.
const STAYS_INSIDE: [&str; 12] = [
    "CREATE TABLE",
    "CREATE INDEX",
    "CREATE UNIQUE",
    "CREATE VIEW",
    "CREATE TRIGGER",
    "CREATE OR",
    "ALTER TABLE",
    "DROP TABLE",
    "DROP INDEX",
    "DROP VIEW",
    "DROP TRIGGER",
    "INSERT INTO",
];

/// Why a script can't be tried: a statement that may reach out of the database.
fn reaches_out(script: &Script, databases: &[String]) -> Option<String> {
    let databases: Vec<String> = databases.iter().map(|d| d.to_uppercase()).collect();
    statements(&script.sql).iter().find_map(|statement| {
        let words = words(statement.sql);
        let start = words.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(" ");
        let place = format!("{}:{}", script.name, statement.line);
        if !STAYS_INSIDE.contains(&start.as_str()) {
            return Some(format!("{place}: {start} can't be tried without doing it"));
        }
        let named = |pair: &&[String]| pair[1] == "." && databases.contains(&pair[0]);
        let other = words.windows(2).find(named)?;
        Some(format!("{place}: it names the database {}", other[0].to_lowercase()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_databases_of_rehearsals_are_taken_for_such() {
        assert!(Scratch::is_name("kiln_rehearsal_4711_0193abcdef0_0"));
        for name in [
            "kiln_rehearsal",
            "kiln_rehearsal_",
            "kiln_rehearsal_archive",
            "kiln_rehearsal_2025_0193abcdef0_",
            "kiln_rehearsal_2025_q1_2",
            "kiln_rehearsal_1_0193abcdef0_2_old",
            "my_kiln_rehearsal_1_0193abcdef0_2",
        ] {
            assert!(!Scratch::is_name(name), "{name}");
        }
    }

    #[test]
    fn only_what_stays_inside_is_tried() {
        let databases = ["shop".to_owned(), "mysql".to_owned()];
        let reaches = |sql: &str| reaches_out(&Script::from(sql), &databases).is_some();
        for sql in [
            "CREATE TABLE IF NOT EXISTS t (a INT, b INT DEFAULT 1.5); ALTER TABLE t ADD c INT;",
            "CREATE OR REPLACE VIEW v AS SELECT t.a FROM t WHERE t.b = 'shop.t'",
        ] {
            assert!(!reaches(sql), "{sql}");
        }
        for sql in [
            "CREATE TABLE shop.t (a INT)",
            "CREATE TABLE `shop` . `t` (a INT)",
            "USE shop",
            "SET GLOBAL x = 1",
            "CREATE USER a",
            "CREATE DATABASE other",
            "DROP DATABASE other",
            "GRANT ALL ON *.* TO a",
            "/*!50001 CREATE TABLE shop.t (a INT) */",
        ] {
            assert!(reaches(sql), "{sql}");
        }
    }
}
