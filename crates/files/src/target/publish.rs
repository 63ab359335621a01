//! Showing a result: parts get their names, and the manifest comes last.

use std::collections::HashSet;

use kiln_core::{Claim, Fault, Kind, Result, RunRecord, RunState, crash_point};

use super::book::read_parts;
use super::manifest::Manifest;
use super::part::Part;
use super::sink::{Existing, FileSink, aside};
use super::{MANIFEST, lane};

/// A manifest whose parts are about to go.
const REPLACED: &str = ".kiln/replaced.json";

/// So many runs are looked through for some that were given up.
const RECENT: usize = 100;

impl FileSink {
    /// Gives all parts of the run their names, then the manifest. What was done
    /// already stays as it is. Whoever shows parts holds the folder's lock, and
    /// looks at the claim when it has it: one who slept shows nothing that is not
    /// the run's last word.
    pub(super) async fn show_run(&self, claim: &Claim, job: &str) -> Result<()> {
        let _lock = self.folder.lock().await?;
        self.still_holds(claim).await?;
        let parts = read_parts(self.book.as_ref(), &claim.run).await?;
        let bytes = self.folder.read(MANIFEST).await?;
        let is_shown = match &bytes {
            Some(bytes) => Manifest::read(bytes, self.folder.shown())?.run == claim.run.0,
            None => false,
        };
        if is_shown {
            self.folder.remove(REPLACED).await?;
        } else if let Err(fault) = self.show(claim, job, &parts).await {
            // Where there is no lock, another may have been faster meanwhile.
            self.still_holds(claim).await?;
            return Err(fault);
        }
        self.folder.remove_all(&aside(&claim.run)).await
    }

    /// Shows the parts under the lock: first what they replace goes.
    async fn show(&self, claim: &Claim, job: &str, parts: &[Part]) -> Result<()> {
        let folder = &self.folder;
        if let Some(other) = self.other(&claim.run).await? {
            if self.existing == Existing::Refuse {
                return Err(self.is_taken(&other));
            }
            folder.rename(MANIFEST, REPLACED).await?;
        }
        let replaced: HashSet<String> = match folder.read(REPLACED).await? {
            Some(bytes) => {
                let old = Manifest::read(&bytes, folder.shown())?;
                old.files().map(str::to_owned).collect()
            }
            None => HashSet::new(),
        };
        let shown: HashSet<&str> = parts.iter().map(|part| part.file.as_str()).collect();
        for file in replaced.iter().filter(|file| !shown.contains(file.as_str())) {
            folder.remove(file).await?;
        }
        self.remove_abandoned(job, parts).await?;
        for part in parts {
            crash_point("publish");
            self.show_part(part, replaced.contains(&part.file)).await?;
        }
        crash_point("manifest");
        folder.replace(MANIFEST, Manifest::of(claim, job, parts)?.bytes()?).await?;
        crash_point("published");
        folder.remove(REPLACED).await
    }

    /// Gives a part its name, unless it has it already.
    async fn show_part(&self, part: &Part, replaces: bool) -> Result<()> {
        let (folder, file) = (&self.folder, &part.file);
        let there = folder.size(file).await?;
        if folder.size(&part.staged).await?.is_none() {
            return match there {
                Some(bytes) if bytes == part.bytes => Ok(()),
                _ => Err(Fault::new(Kind::Io, format!("{}/{file} is gone", folder.shown()))
                    .with_hint("somebody removed it; start a new run with --again")),
            };
        }
        if there == Some(part.bytes) && self.has_content_of(part).await? {
            // A store copies first.
            return folder.remove(&part.staged).await;
        }
        if there.is_some() && !replaces && self.existing == Existing::Refuse {
            return Err(Fault::config(format!("{}/{file} is there already", folder.shown()))
                .with_hint(
                    "it is of no run that is complete; remove it, or say existing = \"replace\"",
                ));
        }
        folder.rename(&part.staged, file).await
    }

    /// Whether the file with the part's name is the part.
    async fn has_content_of(&self, part: &Part) -> Result<bool> {
        let bytes = self.folder.read(&part.file).await?.unwrap_or_default();
        Ok(lane::sha256(&bytes) == part.sha256)
    }

    /// Removes what runs of the job that were given up have left: what is aside,
    /// and parts that had their names already.
    async fn remove_abandoned(&self, job: &str, mine: &[Part]) -> Result<()> {
        let is_mine =
            |part: &Part| mine.iter().any(|own| own.file == part.file && own.sha256 == part.sha256);
        let mut runs = self.book.ledger().runs(Some(job), RECENT).await?;
        runs.retain(|run| run.state == RunState::Abandoned);
        for run in runs.iter().map(|run| &run.start.id) {
            for part in read_parts(self.book.as_ref(), run).await? {
                let there = self.folder.size(&part.file).await? == Some(part.bytes);
                if there && !is_mine(&part) && self.has_content_of(&part).await? {
                    self.folder.remove(&part.file).await?;
                }
            }
            self.folder.remove_all(&aside(run)).await?;
        }
        Ok(())
    }

    async fn still_holds(&self, claim: &Claim) -> Result<()> {
        let run = self.book.ledger().run(&claim.run.0).await?;
        let holds = |run: &RunRecord| run.epoch == claim.epoch && run.state == RunState::Running;
        if run.as_ref().is_some_and(holds) { Ok(()) } else { Err(claim.fenced()) }
    }
}
