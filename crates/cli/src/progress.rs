//! How far a run is: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kiln_core::{Event, Observer, Progress};

use crate::output;
use crate::table::grouped;

/// How often a line is written where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// How often the bar is drawn anew, at most.
const FRAMES_PER_SECOND: u8 = 10;

/// Where progress is shown, if anywhere.
#[derive(Debug, Clone)]
pub(crate) enum Screen {
    /// Nowhere.
    None,
    /// As a bar.
    Bar(ProgressBar),
    /// As lines.
    Lines,
}

impl Screen {
    /// Standard error, unless it should stay quiet.
    pub(crate) fn new(quiet: bool) -> Self {
        if quiet {
            return Self::None;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines;
        }
        let target = ProgressDrawTarget::stderr_with_hz(FRAMES_PER_SECOND);
        let style = ProgressStyle::with_template("{prefix} {bar:30} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        Self::Bar(bar)
    }

    /// Does something that prints, with the bar out of its way.
    pub(crate) fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        match self {
            Self::Bar(bar) => bar.suspend(print),
            _ => print(),
        }
    }

    /// The bar is of no more use.
    pub(crate) fn clear(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// Counts what this start of a run does, and shows it.
#[derive(Debug)]
pub(crate) struct Meter {
    screen: Screen,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
struct State {
    job: String,
    /// The job, and the step where there are several.
    name: String,
    began: Instant,
    told: Instant,
    step_began: Instant,
    /// The next step to begin may have been begun before.
    resumed: bool,
    source: Progress,
    /// Where this start began to read the step's source, in its own measure.
    from: Option<u64>,
    /// Items that this start has committed.
    items: u64,
    /// Items that failed, those of earlier starts included.
    failed: u64,
}

impl Meter {
    pub(crate) fn new(screen: Screen) -> Self {
        let now = Instant::now();
        let state = State {
            job: String::new(),
            name: String::new(),
            began: now,
            told: now,
            step_began: now,
            resumed: false,
            source: Progress::default(),
            from: None,
            items: 0,
            failed: 0,
        };
        Self { screen, state: Mutex::new(state) }
    }

    /// How many items this start has committed.
    pub(crate) fn items(&self) -> u64 {
        self.lock().items
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn show(&self, state: &mut State) {
        match &self.screen {
            Screen::None => {}
            Screen::Bar(bar) => {
                bar.set_length(state.source.total.unwrap_or(0));
                bar.set_position(state.source.done);
                bar.set_message(state.sentence());
            }
            Screen::Lines if state.told.elapsed() >= EVERY => {
                state.told = Instant::now();
                output::notice(&format!("{}: {}", state.name, state.sentence()));
            }
            Screen::Lines => {}
        }
    }
}

impl Observer for Meter {
    fn observe(&self, event: &Event) {
        let mut state = self.lock();
        match event {
            Event::RunStarted { job, resumed, .. } => {
                state.job = kiln_jobfile::printable(job);
                state.failed = resumed.map_or(0, |counts| counts.failed);
                state.resumed = resumed.is_some();
                (state.began, state.told) = (Instant::now(), Instant::now());
            }
            Event::StepStarted { step, place, of, .. } => {
                state.begin_step(step, *place, *of);
                if let Screen::Bar(bar) = &self.screen {
                    bar.set_prefix(state.name.clone());
                }
            }
            Event::ChunkRead { progress } => {
                // A resumed run has read nothing of what lies before.
                state.from.get_or_insert(progress.done);
                state.source = *progress;
            }
            Event::Committed { counts, .. } => {
                state.items += counts.read;
                state.failed += counts.failed;
                self.show(&mut state);
            }
            _ => {}
        }
    }
}

impl State {
    fn begin_step(&mut self, step: &str, place: usize, of: usize) {
        self.name = match of {
            1 => self.job.clone(),
            _ => format!("{} {place}/{of} {}", self.job, kiln_jobfile::printable(step)),
        };
        self.source = Progress::default();
        self.step_began = Instant::now();
        self.from = if std::mem::take(&mut self.resumed) { None } else { Some(0) };
    }

    /// `43% · 230,000 items · 55,000/s · 12 s left · 1,023 failed`
    fn sentence(&self) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        let mut parts = Vec::new();
        if let Some(total) = self.source.total.filter(|total| *total > 0) {
            parts.push(format!("{:>3}%", self.source.done.min(total) * 100 / total));
        }
        parts.push(format!("{} items", grouped(self.items)));
        parts.push(format!("{}/s", grouped(per_second(self.items, seconds))));
        if let Some(left) = self.left(self.step_began.elapsed().as_secs_f64()) {
            parts.push(format!("{} left", duration(left)));
        }
        if self.failed > 0 {
            parts.push(format!("{} failed", grouped(self.failed)));
        }
        parts.join(" · ")
    }

    /// How long the step will take yet, if it goes on as it did for so many
    /// seconds.
    fn left(&self, seconds: f64) -> Option<Duration> {
        let done = self.source.done.checked_sub(self.from?).filter(|done| *done > 0)?;
        let rest = self.source.total?.saturating_sub(self.source.done);
        Duration::try_from_secs_f64(seconds * rest as f64 / done as f64).ok()
    }
}

/// Items a second, rounded down.
pub(crate) fn per_second(items: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (items as f64 / seconds) as u64 } else { 0 }
}

/// A duration as people say it.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        s @ 10..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min {} s", s / 60, s % 60),
        s => format!("{} h {} min", s / 3_600, s / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let cases = [(0.0, "0.0 s"), (2.34, "2.3 s"), (59.0, "59 s"), (125.0, "2 min 5 s")];
        for (seconds, text) in cases {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
        assert_eq!(duration(Duration::from_secs(7_260)), "2 h 1 min");
    }

    #[test]
    fn a_resumed_run_judges_the_rest_by_its_own_speed() {
        let meter = Meter::new(Screen::None);
        let mut state = meter.lock().clone();
        state.source = Progress { done: 150, total: Some(200) };
        state.from = Some(100);
        assert_eq!(state.left(10.0), Some(Duration::from_secs(10)));
        state.source.total = None;
        assert_eq!(state.left(10.0), None);
    }
}
