//! Several files as one source.

mod join;
mod place;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use kiln_core::{Chunk, ChunkLimits, Fault, Fingerprint, Kind, Position, Progress, Result, Source};
use twox_hash::XxHash3_128;

use self::join::{Part, join};
use self::place::Place;
use crate::raw::{columns_of, listed};

/// Up to so many files, a fingerprint has a part for each, so that a difference
/// names the file.
const NAMED: usize = 100;

/// Opens one of several files; the second argument is the name by which people
/// are to know it.
pub type OpenFile = dyn Fn(&Path, &str) -> Result<Box<dyn Source>> + Send + Sync;

/// Several files as one source: their items one after another, in the order of
/// the files.
///
/// * All files have the same columns, in any order; the first tells the order.
/// * Chunks go on over the ends of files, so that many small files make few
///   chunks. Where an item came from ([`Origin`](kiln_core::Origin)) is its own
///   file.
/// * A [`Position`]'s place is `file=2;first=100;…`: the second file, before which
///   100 items lie, and the place in it.
/// * Its fingerprint is made of those of the files: one file more, less or
///   changed is another source. A file that changes before its turn comes is
///   noticed then.
pub struct Files {
    name: String,
    files: Vec<Listed>,
    open: Box<OpenFile>,
    schema: SchemaRef,
    fingerprint: Fingerprint,
    current: Option<Current>,
    /// Where the next file begins, if none is open.
    next: Place,
    position: Position,
    /// Whether an error came between, so that items may have been lost.
    interrupted: bool,
}

/// A file that has its turn, or will have.
struct Listed {
    path: PathBuf,
    name: String,
    fingerprint: Fingerprint,
    /// As its progress counts.
    size: u64,
}

/// The file that is being read.
struct Current {
    source: Box<dyn Source>,
    /// Its place among the files, counted from 0.
    index: usize,
    /// Items before it.
    first: u64,
    /// For each column of the whole, the one of the file; `None`: they are the
    /// same.
    columns: Option<Vec<usize>>,
}

impl Files {
    /// Looks at each of the files, in this order. `name` is what people know
    /// them by, such as `in/*.csv`.
    ///
    /// # Errors
    /// * [`Kind::InputMissing`]: there is none.
    /// * [`Kind::InputInvalid`]: their columns differ.
    /// * Whatever opening one of them says.
    pub fn open(name: &str, paths: Vec<PathBuf>, open: Box<OpenFile>) -> Result<Self> {
        let names = names(&paths);
        Self::named(name, paths.into_iter().zip(names).collect(), open)
    }

    /// The same with a name for each file; no two have the same.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn named(name: &str, paths: Vec<(PathBuf, String)>, open: Box<OpenFile>) -> Result<Self> {
        let mut files: Vec<Listed> = Vec::with_capacity(paths.len());
        let mut schema: Option<SchemaRef> = None;
        let mut common = Fingerprint::default();
        for (path, name) in paths {
            let source = open(&path, &name)?;
            match (&schema, files.first()) {
                (Some(schema), Some(first)) => {
                    let own = source.schema();
                    if columns(schema, &own, &first.name, &name)?.is_some() {
                        let names = own.fields().iter().map(|f| f.name().as_str());
                        common = common.with(columns_of(&name), listed(names));
                    }
                }
                _ => {
                    common = source.fingerprint();
                    schema = Some(source.schema());
                }
            }
            let size = source.progress().total.unwrap_or_default();
            files.push(Listed { path, name, fingerprint: source.fingerprint(), size });
        }
        let Some(schema) = schema else {
            return Err(Fault::new(Kind::InputMissing, format!("there is no file {name}")));
        };
        Ok(Self {
            name: name.to_owned(),
            fingerprint: fingerprint(common, &files),
            files,
            open,
            schema,
            current: None,
            next: Place::default(),
            position: Position::default(),
            interrupted: false,
        })
    }

    /// Opens the file at a place, which lies at its start.
    fn open_at(&self, place: &Place) -> Result<Current> {
        let Some(file) = self.files.get(place.index) else {
            return Err(Fault::bug(format!("{} has no file {}", self.name, place.index + 1)));
        };
        let source = (self.open)(&file.path, &file.name)?;
        if source.fingerprint() != file.fingerprint {
            return Err(Fault::new(
                Kind::InputInvalid,
                format!("{} changed while {} was read", file.path.display(), self.name),
            )
            .with_hint("let nobody change files while they are read; then run again"));
        }
        let columns = columns(&self.schema, &source.schema(), &self.name, &file.name)?;
        Ok(Current { source, index: place.index, first: place.first, columns })
    }

    async fn go_to(&mut self, position: &Position) -> Result<()> {
        self.current = None;
        self.next = Place::default();
        if *position != Position::default() {
            let foreign = || {
                Fault::config(format!(
                    "{}: {:?} behind item {} is no position in these files",
                    self.name, position.place, position.ordinal
                ))
            };
            let place = Place::parse(&position.place).ok_or_else(foreign)?;
            let is_possible = position.ordinal <= Position::MOST;
            let inside = position.ordinal.checked_sub(place.first);
            let inside = inside.filter(|n| is_possible && *n > 0);
            let (Some(ordinal), true) = (inside, place.index < self.files.len()) else {
                return Err(foreign());
            };
            let mut current = self.open_at(&place)?;
            current.source.seek(&Position { ordinal, place: place.inside }).await?;
            self.current = Some(current);
        }
        self.position = position.clone();
        Ok(())
    }

    async fn read(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        let began = Instant::now();
        let mut parts: Vec<Part> = Vec::new();
        while let Some(left) = left(limits, &parts, began) {
            if self.current.is_none() {
                if self.next.index >= self.files.len() {
                    break;
                }
                self.current = Some(self.open_at(&self.next)?);
            }
            let Some(current) = &mut self.current else { break };
            match current.source.next(&left).await? {
                Some(chunk) => {
                    let more = current.is_more();
                    parts.push(current.part(chunk)?);
                    if more {
                        break;
                    }
                }
                None => {
                    let first = parts.last().map_or(self.position.ordinal, |part| part.last);
                    self.next = Place { index: current.index + 1, first, inside: String::new() };
                    self.current = None;
                }
            }
        }
        let Some(last) = parts.last() else { return Ok(None) };
        let end = Position { ordinal: last.last, place: last.place.written() };
        let start = std::mem::replace(&mut self.position, end.clone());
        let (items, failures) = join(parts, &self.schema)?;
        Ok(Some(Chunk { start, end, items, failures }))
    }
}

impl Current {
    /// Whether it was a limit that closed the last chunk, and not the end.
    fn is_more(&self) -> bool {
        let Progress { done, total } = self.source.progress();
        total.is_none_or(|total| done < total)
    }

    /// A chunk of the file as a part of one of all files.
    fn part(&self, chunk: Chunk) -> Result<Part> {
        let place = Place { index: self.index, first: self.first, inside: chunk.end.place.clone() };
        Part::new(chunk, place, self.columns.as_deref())
    }
}

/// What the limits leave to the rest of a chunk; `None`: it is full.
fn left(limits: &ChunkLimits, parts: &[Part], began: Instant) -> Option<ChunkLimits> {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Some(*limits) };
    let items = usize::try_from(last.last - first.before).unwrap_or(usize::MAX);
    let bytes: usize = parts.iter().map(Part::bytes).sum();
    let rest = |limit: usize, used: usize| match limit {
        0 => Some(0),
        limit => limit.checked_sub(used).filter(|rest| *rest > 0),
    };
    let age = match limits.age {
        age if age.is_zero() => age,
        age => age.checked_sub(began.elapsed()).filter(|rest| !rest.is_zero())?,
    };
    Some(ChunkLimits { items: rest(limits.items, items)?, bytes: rest(limits.bytes, bytes)?, age })
}

#[async_trait]
impl Source for Files {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    async fn seek(&mut self, position: &Position) -> Result<()> {
        self.interrupted = true;
        self.go_to(position).await?;
        self.interrupted = false;
        Ok(())
    }

    async fn next(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        if self.interrupted {
            return Err(Fault::bug(format!("{} was read on behind an error", self.name)));
        }
        self.interrupted = true;
        let chunk = self.read(limits).await?;
        self.interrupted = false;
        Ok(chunk)
    }

    fn progress(&self) -> Progress {
        let (index, done) = match &self.current {
            Some(current) => (current.index, current.source.progress().done),
            None => (self.next.index, 0),
        };
        let before: u64 = self.files.iter().take(index).map(|f| f.size).sum();
        let total = self.files.iter().map(|f| f.size).sum();
        Progress { done: before + done, total: Some(total) }
    }
}

/// For each column of the first file, the one of another; `None`: they are the
/// same.
///
/// # Errors
/// [`Kind::InputInvalid`]: they have not the same columns.
fn columns(
    first: &Schema,
    other: &Schema,
    first_name: &str,
    name: &str,
) -> Result<Option<Vec<usize>>> {
    let differ = |what: String| {
        Err(Fault::new(
            Kind::InputInvalid,
            format!("{name} has other columns than {first_name}: {what}"),
        )
        .with_hint("read files of different kinds in jobs or steps of their own"))
    };
    for field in other.fields() {
        if first.index_of(field.name()).is_err() {
            return differ(format!("{:?} is too many", field.name()));
        }
    }
    let mut columns = Vec::with_capacity(first.fields().len());
    for field in first.fields() {
        let Ok(index) = other.index_of(field.name()) else {
            return differ(format!("{:?} is missing", field.name()));
        };
        let kind = other.field(index).data_type();
        if kind != field.data_type() {
            let expected = field.data_type();
            return differ(format!("{:?} is {kind}, not {expected}", field.name()));
        }
        columns.push(index);
    }
    let same = columns.iter().enumerate().all(|(i, c)| i == *c);
    Ok((!same).then_some(columns))
}

/// What the files have in common, and what each of them looks like.
fn fingerprint(mut common: Fingerprint, files: &[Listed]) -> Fingerprint {
    let own = |name: &String| name == "size" || name == "content";
    common.0.retain(|name, _| !own(name));
    let of = |file: &Listed| {
        let parts = file.fingerprint.0.iter().filter(|(name, _)| own(name));
        parts.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(" ")
    };
    if files.len() <= NAMED {
        return files.iter().fold(common, |all, f| all.with(format!("file {}", f.name), of(f)));
    }
    let all: String = files.iter().map(|f| format!("{} {}\n", f.name, of(f))).collect();
    let hash = XxHash3_128::oneshot(all.as_bytes());
    common.with("files", format!("{} files {hash:032x}", files.len()))
}

/// Names that tell the files from one another: without their folders, or, where
/// that is not enough, from the first folder on that is not that of all.
fn names(paths: &[PathBuf]) -> Vec<String> {
    let short =
        |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let names: Vec<String> = paths.iter().map(|p| short(p)).collect();
    let distinct: std::collections::HashSet<&String> = names.iter().collect();
    if distinct.len() == names.len() {
        return names;
    }
    let folder = |path: &PathBuf| path.parent().map(Path::to_owned).unwrap_or_default();
    let common = paths.iter().map(folder).reduce(|a, b| {
        let same = a.components().zip(b.components()).take_while(|(a, b)| a == b);
        same.map(|(part, _)| part).collect()
    });
    let common = common.unwrap_or_default();
    let inside = |path: &PathBuf| path.strip_prefix(&common).unwrap_or(path).to_owned();
    paths.iter().map(|path| inside(path).to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_short_as_can_be() {
        let of = |paths: &[&str]| names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(of(&["in/a.csv", "in/b.csv"]), ["a.csv", "b.csv"]);
        assert_eq!(of(&["in/1/a.csv", "in/2/a.csv"]), ["1/a.csv", "2/a.csv"]);
        assert_eq!(of(&["a.csv", "in/a.csv"]), ["a.csv", "in/a.csv"]);
        assert_eq!(of(&[]), [""; 0]);
    }
}
