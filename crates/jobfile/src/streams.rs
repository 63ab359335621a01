//! `[[explode]]`: the streams of a step, and which columns each of them has.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use kiln::{OfStream, Scope};
use kiln_core::{Fault, Mapper, STREAM};
use kiln_files::{Explode, ExplodeMapper};

use crate::jobfile::JobFile;
use crate::nearest::suggestion;
use crate::problem::Problem;
use crate::shapes::Word;
use crate::source::json;
use crate::spec::ExplodeSpec;

/// The rows of items while mappers are put one behind the other: first those of
/// the items themselves, then those of each stream.
pub(crate) struct Streams {
    schema: SchemaRef,
    /// For each column, the stream that has it first; streams made of that one
    /// have it, too.
    owners: Vec<usize>,
    streams: Vec<Stream>,
}

struct Stream {
    /// None for the items themselves.
    name: Option<String>,
    /// The stream whose rows its rows are made of.
    of: Option<usize>,
}

impl Streams {
    /// The items themselves.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        let owners = vec![0; schema.fields().len()];
        Self { schema, owners, streams: vec![Stream { name: None, of: None }] }
    }

    /// All columns, those of all streams.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The stream that `from` names.
    pub(crate) fn find(&self, job: &JobFile, from: Option<&Word>) -> Result<usize, Problem> {
        let Some(word) = from else { return Ok(0) };
        let name = word.get_ref();
        let at = self.streams.iter().position(|s| s.name.as_ref() == Some(name));
        at.ok_or_else(|| {
            let names: Vec<&str> = self.streams.iter().filter_map(|s| s.name.as_deref()).collect();
            let hint = match names.as_slice() {
                [] => "an [[explode]] makes rows of an array; leave `from` out".to_owned(),
                names => suggestion("there are rows of", name, names),
            };
            let fault = Fault::config(format!("no [[explode]] makes rows called {name:?}"));
            job.problem(word.span(), fault.with_hint(hint))
        })
    }

    /// The name of a stream; none for the items themselves.
    pub(crate) fn name(&self, stream: usize) -> Option<String> {
        self.streams.get(stream).and_then(|s| s.name.clone())
    }

    /// The columns that the rows of a stream have.
    pub(crate) fn columns(&self, stream: usize) -> SchemaRef {
        if self.streams.len() == 1 {
            return Arc::clone(&self.schema);
        }
        let sees = self.sees(stream);
        Arc::new(Schema::new(
            sees.into_iter().map(|i| Arc::clone(&self.schema.fields()[i])).collect::<Vec<_>>(),
        ))
    }

    /// Those that it does not have from the rows its own are made of.
    pub(crate) fn own_columns(&self, stream: usize) -> Vec<String> {
        let own = self.sees(stream).into_iter().filter(|i| self.owners[*i] == stream);
        own.map(|i| self.schema.field(i).name().clone()).collect()
    }

    fn sees(&self, stream: usize) -> Vec<usize> {
        let owned = |i: &usize| self.is_made_of(stream, self.owners[*i]);
        let visible = |i: &usize| self.schema.field(*i).name() != STREAM;
        (0..self.owners.len()).filter(visible).filter(owned).collect()
    }

    /// Whether the rows of a stream are those of another, or made of them.
    fn is_made_of(&self, stream: usize, other: usize) -> bool {
        let mut at = Some(stream);
        while let Some(here) = at {
            if here == other {
                return true;
            }
            at = self.streams[here].of;
        }
        false
    }

    /// Refuses a name for a new column that a column of another stream has, which
    /// is not among those that are seen.
    pub(crate) fn refuse_hidden(
        &self,
        job: &JobFile,
        word: &Word,
        seen: &Schema,
    ) -> Result<(), Problem> {
        let name = word.get_ref();
        let is_column = |schema: &Schema| schema.column_with_name(name).is_some();
        if !is_column(&self.schema) || is_column(seen) {
            return Ok(());
        }
        let fault = Fault::config(format!("rows of another [[explode]] have a column {name}"))
            .with_hint("give this one another name");
        Err(job.problem(word.span(), fault))
    }

    /// A mapper that was made for the [columns](Self::columns) of a stream, as one
    /// for all rows. What it adds the stream has from then on.
    pub(crate) fn add(&mut self, stream: usize, mapper: Box<dyn Mapper>) -> Box<dyn Mapper> {
        let mapper = if self.streams.len() == 1 {
            mapper
        } else {
            let below = (0..self.streams.len())
                .filter(|other| *other != stream && self.is_made_of(*other, stream))
                .filter_map(|other| self.name(other))
                .collect();
            let scope = Scope { stream: self.name(stream), below, sees: self.sees(stream) };
            Box::new(OfStream::new(scope, mapper, &self.schema))
        };
        self.schema = mapper.schema();
        self.owners.resize(self.schema.fields().len(), stream);
        mapper
    }

    /// The mapper of an `[[explode]]`, whose rows are a stream from then on.
    pub(crate) fn explode(
        &mut self,
        job: &JobFile,
        spec: &ExplodeSpec,
    ) -> Result<Box<dyn Mapper>, Problem> {
        let of = self.find(job, spec.from.as_ref())?;
        let explode = self.read(job, spec, of)?;
        let (stream, gone) = (explode.stream.clone(), explode.column.clone());
        let mapper = ExplodeMapper::new(explode, &self.schema)
            .map_err(|fault| job.problem(spec.column.span(), fault))?;
        let before = std::mem::replace(&mut self.schema, mapper.schema());
        let stays =
            |i: &usize| ![gone.as_str(), STREAM].contains(&before.field(*i).name().as_str());
        self.owners = (0..self.owners.len()).filter(stays).map(|i| self.owners[i]).collect();
        self.owners.resize(self.schema.fields().len(), self.streams.len());
        self.streams.push(Stream { name: Some(stream), of: Some(of) });
        Ok(Box::new(mapper))
    }

    fn read(&self, job: &JobFile, spec: &ExplodeSpec, of: usize) -> Result<Explode, Problem> {
        let name = spec.stream.as_ref().unwrap_or(&spec.column);
        if name.get_ref().is_empty() {
            return Err(job.problem(name.span(), Fault::config("the name of the rows is empty")));
        }
        if self.streams.iter().any(|s| s.name.as_ref() == Some(name.get_ref())) {
            let fault =
                Fault::config(format!("two [[explode]] make rows called {}", name.get_ref()))
                    .with_hint("give one of them another name: as = \"…\"");
            return Err(job.problem(name.span(), fault));
        }
        let columns = self.columns(of);
        crate::mapping::known_column(job, &spec.column, &columns)?;
        Ok(Explode {
            column: spec.column.get_ref().clone(),
            stream: name.get_ref().clone(),
            of: self.name(of),
            number: spec.number.as_ref().map(|word| word.get_ref().clone()),
            columns: json::columns(job, spec.columns.get_ref())?,
        })
    }
}
