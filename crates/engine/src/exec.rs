//! The command of a step, as a mapper of its only item: so it is run before the
//! item's mark moves, and not again once it has.

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use kiln_core::{Event, Items, Mapped, Mapper, Result};

use crate::command::Command;
use crate::step::Context;
use crate::stop::Stop;
use crate::voice::Voice;

pub(crate) struct Exec {
    command: Command,
    items: SchemaRef,
    stop: Stop,
    events: Voice,
}

impl Exec {
    /// The command learns from its environment what it is run for.
    pub(crate) fn new(command: &Command, items: SchemaRef, context: &Context) -> Self {
        let command = command
            .clone()
            .variable("KILN_JOB", &context.job)
            .variable("KILN_RUN", &context.claim.run.0)
            .variable("KILN_STEP", &context.step)
            .variable("KILN_PARAMETERS", &context.parameters);
        Self { command, items, stop: context.stop.clone(), events: context.events.clone() }
    }
}

#[async_trait]
impl Mapper for Exec {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.items)
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        let said = self.command.run(&mut self.stop).await?;
        self.events.emit(&Event::CommandEnded { step: self.events.step(), said });
        Ok(Mapped::all(items))
    }
}
