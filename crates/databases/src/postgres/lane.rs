//! A lane: units of work, one transaction each, on a connection of its own.
//!
//! A unit is sent whole, up to its COMMIT, and the next one behind it before
//! the answer to the first. If a unit is refused, those behind it refuse
//! themselves: their transactions begin in one that has failed, or find the
//! mark where it was.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{
    Counts, Fault, Kind, Landed, Lane, LaneKey, Refusal, Rejection, Result, Rows, Settled, Span,
    Unit, crash_point, is_to_crash,
};

use super::ask::{Dialogue, Failure, blamed, send};
use super::diagnose::{Learnt, diagnose};
use super::fault::{leaves_open, of_server, session_over};
use super::session::Beginning;
use super::suspects::{UNIQUE, Why};
use super::transaction::{Step, Transaction};
use super::wire::{self, Answers, Connection, Parameter, Request, ServerError};
use super::write::{Halfway, How, Writer};
use super::{dead_letters, mark, rules};
use crate::written::{Order, Written};

/// Units on their way before the first is answered: while the server commits
/// one the next arrives, and over a slow link the one behind that.
const WINDOW: usize = 3;

/// So many units have to commit behind a refused one until others are sent
/// ahead: bad items come together, and what is behind them is sent in vain.
const CALM: u32 = 2;

/// What a guard fails with.
const DIVISION_BY_ZERO: &str = "22012";

/// A lane does not reconnect: once its connection is gone every unit is answered
/// with a transient [`Settled::Unknown`], so that the lane is opened again and
/// the mark tells.
pub(super) struct PostgresLane {
    /// None while a unit is dealt with, and once it is lost.
    connection: Option<Connection>,
    beginning: Beginning,
    key: LaneKey,
    writers: Vec<Writer>,
    order: Order,
    queue: VecDeque<Turn>,
    /// Why the last unit was refused.
    why: Option<Why>,
    /// What a diagnosis left written in the transaction that is open.
    kept: Option<Kept>,
    learnt: Learnt,
    /// How many units have committed since the last one was refused.
    calm: u32,
}

/// Items whose rows are written, all that are left of a span.
struct Kept {
    span: Span,
    items: Vec<u64>,
}

impl Kept {
    fn of(unit: &Unit, rejections: &[Rejection]) -> Self {
        let bad: BTreeSet<u64> = rejections.iter().map(|r| r.ordinal).collect();
        let is_good = |o: &&u64| !bad.contains(o);
        Self { span: unit.span, items: unit.items.iter().filter(is_good).copied().collect() }
    }

    fn is_all_of(&self, unit: &Unit) -> bool {
        (self.span, &self.items) == (unit.span, &unit.items)
    }
}

/// A unit that was submitted and is not settled.
enum Turn {
    /// On its way, up to its COMMIT.
    Sent(Sent),
    /// To be dealt with once those before it are settled.
    Waiting(Arc<Unit>),
    Settled(Settled),
}

struct Sent {
    unit: Arc<Unit>,
    /// What each statement of it is for.
    steps: Vec<Step>,
    counts: Counts,
}

/// What the answers to a unit mean for it.
enum Verdict {
    Committed,
    /// Nobody knows what COMMIT did.
    Open(Fault),
    Refused(Step, Refusal),
    /// Keys with different texts are the same key, or a row was not found.
    Mistaken,
}

impl PostgresLane {
    pub(super) fn new(
        connection: Connection,
        beginning: Beginning,
        key: LaneKey,
        writers: Vec<Writer>,
        order: Order,
    ) -> Self {
        let queue = VecDeque::new();
        Self {
            connection: Some(connection),
            beginning,
            key,
            writers,
            order,
            queue,
            why: None,
            kept: None,
            learnt: Learnt::default(),
            calm: CALM,
        }
    }

    /// Whether the next unit may be sent though others are on their way. A test
    /// that ends the process at a unit means those before it to be settled.
    fn may_send_ahead(&self) -> bool {
        !is_to_crash()
            && self.kept.is_none()
            && !self.writers.iter().any(Writer::asks)
            && self.queue.iter().all(|turn| matches!(turn, Turn::Sent(_)))
    }

    /// The unit's whole transaction, if the server need not be asked.
    fn transaction(&self, unit: &Unit) -> Result<(Transaction, Counts), Refusal> {
        self.refuse_early(unit)?;
        let mut transaction = self.beginning.transaction()?;
        let mut halfway = Halfway::of(unit.writes.iter().map(Rows::len).sum());
        halfway.pass(0, &mut transaction);
        let mut written = Written::new(&self.order);
        for i in self.order.first.iter().chain(&self.order.then) {
            let rows = &unit.writes[*i];
            let passed = self.writers[*i].put(rows, &mut transaction, &mut halfway)?;
            written.add(rows, &passed);
        }
        let duplicates = written.nothing_of(&unit.items).len() as u64;
        let counts = unit.counts().with_duplicates(duplicates);
        self.put_end(&mut transaction, unit, &counts)?;
        Ok((transaction, counts))
    }

    fn refuse_early(&self, unit: &Unit) -> Result<(), Refusal> {
        if unit.writes.len() != self.writers.len() {
            return Err(Fault::bug("a unit has other writes than its lane").into());
        }
        let mut rejections: Vec<Rejection> = Vec::new();
        for (writer, rows) in self.writers.iter().zip(&unit.writes) {
            rejections.extend(writer.refuse_early(rows)?);
        }
        rejections.sort_by_key(|r| r.ordinal);
        rejections.dedup_by_key(|r| r.ordinal);
        Refusal::unless_none(rejections)
    }

    /// What follows the rows: dead letters, broken rules, the mark, COMMIT.
    fn put_end(&self, transaction: &mut Transaction, unit: &Unit, counts: &Counts) -> Result<()> {
        if !unit.dead_letters.is_empty() {
            dead_letters::put(transaction, &self.key, &unit.dead_letters)?;
        }
        if let Some((letters, ordinals)) = unit.redriven() {
            dead_letters::put_redriven(transaction, &self.key, letters, &ordinals)?;
        }
        rules::put(transaction, &self.key, &unit.rules())?;
        mark::put(transaction, &self.key, unit, counts)?;
        transaction.point("mark");
        transaction.point("commit");
        transaction.commit()
    }

    /// Deals with a unit while no other is on its way.
    async fn commit(&mut self, unit: Arc<Unit>) -> Settled {
        let kept = self.kept.take();
        let Some(mut connection) = self.connection.take() else { return lost() };
        crash_point("begin");
        match kept {
            Some(kept) if kept.is_all_of(&unit) => {
                let sent = self.send_end(&mut connection, &unit).await;
                return self.conclude(connection, sent, false).await;
            }
            Some(_) => {
                if let Err(error) = roll_back(&mut connection).await {
                    return over(&error);
                }
            }
            None => {}
        }
        let asks = self.writers.iter().any(Writer::asks);
        let sent = if asks {
            self.ask_and_send(&mut connection, &unit).await
        } else {
            self.send_whole(&mut connection, &unit).await
        };
        self.conclude(connection, sent, !asks).await
    }

    async fn send_whole(
        &self,
        connection: &mut Connection,
        unit: &Arc<Unit>,
    ) -> Result<Sent, Failure> {
        let (transaction, counts) = self.transaction(unit)?;
        send_all(connection, transaction, unit, counts).await
    }

    /// What follows the rows of a unit, which are written.
    async fn send_end(
        &self,
        connection: &mut Connection,
        unit: &Arc<Unit>,
    ) -> Result<Sent, Failure> {
        let (mut transaction, counts) = (Transaction::default(), unit.counts());
        transaction.point("write");
        self.put_end(&mut transaction, unit, &counts)?;
        send_all(connection, transaction, unit, counts).await
    }

    /// The unit's transaction, statement by statement where the server has to
    /// be asked, up to its COMMIT.
    async fn ask_and_send(
        &self,
        connection: &mut Connection,
        unit: &Arc<Unit>,
    ) -> Result<Sent, Failure> {
        self.refuse_early(unit)?;
        let begun = self.beginning.transaction()?;
        let dialogue = Dialogue::new(connection, &self.writers, unit, begun);
        let (counts, mut rest) = dialogue.write(&self.order).await?;
        self.put_end(&mut rest, unit, &counts)?;
        send_all(connection, rest, unit, counts).await
    }

    /// The answer to a unit that was sent to its end, if it was. What was sent
    /// in good faith that keys are different is done again if they are not.
    async fn conclude(
        &mut self,
        mut connection: Connection,
        sent: Result<Sent, Failure>,
        in_good_faith: bool,
    ) -> Settled {
        let mut sent = sent;
        let mut in_good_faith = in_good_faith;
        loop {
            let unit = match sent {
                Err(Failure::Over(error)) => return over(&error),
                Err(Failure::Refused(refusal)) => return self.refuse(connection, refusal).await,
                Ok(sent) => match connection.answers().await {
                    Err(error) => return over(&error),
                    Ok(answers) => match self.judge(&sent, &answers, in_good_faith) {
                        Verdict::Committed => {
                            crash_point("committed");
                            self.connection = Some(connection);
                            self.calm = self.calm.saturating_add(1);
                            return Settled::Committed(sent.counts);
                        }
                        Verdict::Open(fault) => return Settled::Unknown(fault),
                        Verdict::Refused(step, refusal) => {
                            self.why = Why::of(step, &refusal);
                            self.calm = 0;
                            return self.refuse(connection, refusal).await;
                        }
                        Verdict::Mistaken => sent.unit,
                    },
                },
            };
            let ended = async {
                self.drain(&mut connection, Turn::again).await?;
                roll_back(&mut connection).await
            };
            if let Err(error) = ended.await {
                return over(&error);
            }
            in_good_faith = false;
            sent = self.ask_and_send(&mut connection, &unit).await;
        }
    }

    /// What the answers to a unit mean.
    fn judge(&self, sent: &Sent, answers: &Answers, in_good_faith: bool) -> Verdict {
        let Some(error) = &answers.error else {
            let tag = answers.done.last().map(|answer| answer.tag.as_str());
            if tag == Some("COMMIT") && answers.done.len() == sent.steps.len() {
                return Verdict::Committed;
            }
            let undone = "the server did not answer COMMIT with COMMIT: nothing is committed";
            return Verdict::Refused(Step::Commit, Fault::new(Kind::Busy, undone).into());
        };
        let step = sent.steps.get(answers.done.len()).copied().unwrap_or(Step::Commit);
        if step == Step::Commit && leaves_open(error) {
            return Verdict::Open(of_server(error).with_landed(Landed::Unknown).transient(true));
        }
        if in_good_faith && self.may_be_mistaken(step, error) {
            return Verdict::Mistaken;
        }
        let refusal = match step {
            Step::Mark if error.code == DIVISION_BY_ZERO => unmoved(&sent.unit).into(),
            Step::Redriven if error.code == UNIQUE => taken(&sent.unit).into(),
            _ => blamed(step, error, &self.writers, &sent.unit),
        };
        Verdict::Refused(step, refusal)
    }

    fn may_be_mistaken(&self, step: Step, error: &ServerError) -> bool {
        let Step::Write(number) = step else { return false };
        match self.writers.get(number).map(|writer| &writer.how) {
            Some(How::ByKey(write)) => write.may_be_mistaken(&error.code),
            _ => false,
        }
    }

    /// Refuses a unit: takes the answers to those behind it, which refused
    /// themselves, ends the transaction if one is open, and looks at the mark.
    async fn refuse(&mut self, mut connection: Connection, refusal: Refusal) -> Settled {
        let ended = async {
            self.drain(&mut connection, Turn::refused).await?;
            roll_back_and(&mut connection, mark::LOOK, &mark::place(&self.key)).await
        };
        let answers = match ended.await {
            Ok(answers) => answers,
            Err(error) => return over(&error),
        };
        self.connection = Some(connection);
        let rows = answers.done.get(1).map(|answer| answer.rows.as_slice());
        Settled::Refused(in_light_of(mark::read(&self.key, rows.unwrap_or_default()), refusal))
    }

    /// Reads the answers to all units on their way, and makes of each what
    /// becomes of it.
    async fn drain(
        &mut self,
        connection: &mut Connection,
        becomes: fn(Sent) -> Turn,
    ) -> Result<(), wire::Error> {
        for turn in &mut self.queue {
            if !matches!(turn, Turn::Sent(_)) {
                continue;
            }
            let answers = connection.answers().await?;
            let Turn::Sent(sent) = std::mem::replace(turn, Turn::Settled(lost())) else { continue };
            *turn = match answers.done.last() {
                // That would break the lane's promise; whoever reads it is told.
                Some(answer) if answer.tag == "COMMIT" => {
                    Turn::Settled(Settled::Committed(sent.counts))
                }
                _ => becomes(sent),
            };
        }
        Ok(())
    }
}

impl Turn {
    fn again(sent: Sent) -> Self {
        Self::Waiting(sent.unit)
    }

    fn refused(_: Sent) -> Self {
        let fault = Fault::new(Kind::Busy, "a unit before it was refused");
        Self::Settled(Settled::Refused(fault.into()))
    }
}

/// Sends the rest of a unit, up to its COMMIT.
async fn send_all(
    connection: &mut Connection,
    transaction: Transaction,
    unit: &Arc<Unit>,
    counts: Counts,
) -> Result<Sent, Failure> {
    let (bytes, steps, points) = transaction.end();
    send(connection, bytes, &points).await.map_err(Failure::Over)?;
    Ok(Sent { unit: Arc::clone(unit), steps, counts })
}

/// Ends a transaction that may be open.
pub(super) async fn roll_back(connection: &mut Connection) -> Result<(), wire::Error> {
    let mut request = Request::default();
    request.run("ROLLBACK", &[])?;
    connection.send(request.end()).await?;
    connection.answers().await.map(drop)
}

/// The same, and one statement more, whose answer is the second.
async fn roll_back_and(
    connection: &mut Connection,
    sql: &str,
    parameters: &[Parameter],
) -> Result<Answers, wire::Error> {
    let mut request = Request::default();
    request.run("ROLLBACK", &[])?;
    request.run(sql, parameters)?;
    connection.send(request.end()).await?;
    connection.answers().await
}

/// The refusal in the light of the mark: rows that another runner has written
/// already are no item's fault.
fn in_light_of(mark: Result<u64>, refusal: Refusal) -> Refusal {
    match mark {
        Err(fault) if fault.kind() == Kind::Fenced => fault.into(),
        Ok(done) if refusal.fault.kind() == Kind::Bug => {
            Refusal { fault: refusal.fault.at(format_args!("mark at {done}")), ..refusal }
        }
        _ => refusal,
    }
}

fn taken(unit: &Unit) -> Fault {
    unit.redriven().map_or_else(|| unmoved(unit), |(letters, _)| letters.taken())
}

fn unmoved(unit: &Unit) -> Fault {
    let (from, to) = (unit.span.from, unit.span.to);
    Fault::bug(format!("the unit ({from}, {to}] does not follow the lane's mark"))
}

fn over(error: &wire::Error) -> Settled {
    let fault = session_over(error);
    tracing::debug!(%fault, "it is not known whether a unit is committed");
    Settled::Unknown(fault)
}

fn lost() -> Settled {
    let lost = Fault::new(Kind::Unreachable, "the lane's connection to PostgreSQL is lost");
    Settled::Unknown(lost.with_landed(Landed::Unknown))
}

#[async_trait]
impl Lane for PostgresLane {
    /// Behind a refused unit only one, for a while. Behind a pooler only one: it
    /// hands the session over as soon as a transaction ends, be the next one half
    /// on its way or not.
    fn window(&self) -> usize {
        if self.beginning.is_pooled || self.calm < CALM { 1 } else { WINDOW }
    }

    async fn submit(&mut self, unit: Arc<Unit>) {
        let ready = match self.may_send_ahead() {
            true => self.transaction(&unit).ok(),
            false => None,
        };
        let (Some((transaction, counts)), Some(connection)) = (ready, &mut self.connection) else {
            self.queue.push_back(Turn::Waiting(unit));
            return;
        };
        let (bytes, steps, _) = transaction.end();
        self.queue.push_back(Turn::Sent(Sent { unit, steps, counts }));
        // What is wrong, whoever reads the answer learns.
        if let Err(error) = connection.send(bytes).await {
            tracing::debug!(fault = %session_over(&error), "a unit was not sent");
        }
    }

    async fn settle(&mut self) -> Settled {
        match self.queue.front() {
            None => Settled::Unknown(Fault::bug("no unit was submitted to the lane")),
            Some(Turn::Sent(_)) => {
                let Some(connection) = &mut self.connection else {
                    self.queue.pop_front();
                    return lost();
                };
                // Whoever drops this future here can come again.
                connection.wait_for_answers().await;
                match (self.queue.pop_front(), self.connection.take()) {
                    (Some(Turn::Sent(sent)), Some(connection)) => {
                        self.conclude(connection, Ok(sent), true).await
                    }
                    _ => lost(),
                }
            }
            Some(_) => match self.queue.pop_front() {
                Some(Turn::Waiting(unit)) => self.commit(unit).await,
                Some(Turn::Settled(settled)) => settled,
                _ => lost(),
            },
        }
    }

    async fn diagnose(&mut self, unit: &Unit) -> Result<Option<Vec<Rejection>>> {
        let Some(mut connection) = self.connection.take() else { return Ok(None) };
        if self.kept.take().is_some() && roll_back(&mut connection).await.is_err() {
            return Ok(None);
        }
        let (why, learnt) = (self.why.take(), &mut self.learnt);
        let (beginning, writers) = (self.beginning, &self.writers);
        let named = diagnose(&mut connection, beginning, writers, learnt, unit, why).await;
        match named {
            // Whoever sends a part next is told that the session is over.
            Err(Failure::Over(_)) => Ok(None),
            // What was written to find out must not commit with what comes next.
            Err(Failure::Refused(Refusal { fault, .. })) => {
                if roll_back(&mut connection).await.is_err() {
                    return Ok(None);
                }
                self.connection = Some(connection);
                if fault.is_transient() { Ok(None) } else { Err(fault) }
            }
            Ok(None) => {
                self.connection = Some(connection);
                Ok(None)
            }
            Ok(Some(diagnosis)) => {
                self.connection = Some(connection);
                let rejections = diagnosis.rejections;
                self.kept = diagnosis.keeps_rest.then(|| Kept::of(unit, &rejections));
                Ok(Some(rejections))
            }
        }
    }
}
