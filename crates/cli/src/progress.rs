//! How far a run is: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
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

#[derive(Debug)]
struct State {
    job: String,
    began: Instant,
    told: Instant,
    /// Steps may have been begun by an earlier start.
    resumed: bool,
    /// Those at work, in the order in which they began.
    steps: Vec<AtWork>,
    /// Items that this start has committed.
    items: u64,
    /// Items that failed, those of earlier starts included.
    failed: u64,
}

/// A step at work.
#[derive(Debug, Clone)]
struct AtWork {
    step: Arc<str>,
    /// Which of how many it is; nothing for a job's only one.
    place: Option<(usize, usize)>,
    began: Instant,
    source: Progress,
    /// Where this start began to read the source, in its own measure.
    from: Option<u64>,
}

impl Meter {
    pub(crate) fn new(screen: Screen) -> Self {
        let now = Instant::now();
        let state = State {
            job: String::new(),
            began: now,
            told: now,
            resumed: false,
            steps: Vec::new(),
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
                bar.set_length(1_000);
                bar.set_position((state.share().unwrap_or(0.0) * 1e3) as u64);
                bar.set_message(state.sentence());
            }
            Screen::Lines if state.told.elapsed() >= EVERY => {
                state.told = Instant::now();
                output::notice(&format!("{}: {}", state.name(), state.sentence()));
            }
            Screen::Lines => {}
        }
    }

    fn name_bar(&self, state: &State) {
        if let Screen::Bar(bar) = &self.screen {
            bar.set_prefix(state.name());
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
                state.begin(step, (*of > 1).then_some((*place, *of)));
                self.name_bar(&state);
            }
            Event::StepEnded { step, .. } => {
                state.steps.retain(|at_work| at_work.step != *step);
                self.name_bar(&state);
            }
            Event::ChunkRead { step, progress } => {
                if let Some(at_work) = state.steps.iter_mut().find(|s| s.step == *step) {
                    // A resumed step has read nothing of what lies before.
                    at_work.from.get_or_insert(progress.done);
                    at_work.source = *progress;
                }
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
    fn begin(&mut self, step: &Arc<str>, place: Option<(usize, usize)>) {
        let from = if self.resumed { None } else { Some(0) };
        let (step, source) = (Arc::clone(step), Progress::default());
        self.steps.push(AtWork { step, place, began: Instant::now(), source, from });
    }

    /// The job, and where it has several steps those at work: `shop 2/3 orders`.
    fn name(&self) -> String {
        let step = |step: &AtWork| {
            let (place, of) = step.place?;
            Some(format!("{place}/{of} {}", kiln_jobfile::printable(&step.step)))
        };
        let steps: Vec<String> = self.steps.iter().filter_map(step).collect();
        if steps.is_empty() {
            self.job.clone()
        } else {
            format!("{} {}", self.job, steps.join(", "))
        }
    }

    /// How much of the sources that tell is read, of all that are at work.
    fn share(&self) -> Option<f64> {
        let shares: Vec<f64> = self.steps.iter().filter_map(AtWork::share).collect();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    }

    /// `43% · 230,000 items · 55,000/s · 12 s left · 1,023 failed`
    fn sentence(&self) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        let mut parts = Vec::new();
        if let Some(share) = self.share() {
            parts.push(format!("{:>3}%", (share * 100.0) as u64));
        }
        parts.push(format!("{} items", grouped(self.items)));
        parts.push(format!("{}/s", grouped(per_second(self.items, seconds))));
        let left = self.steps.iter().filter_map(|s| s.left(s.began.elapsed().as_secs_f64())).max();
        if let Some(left) = left {
            parts.push(format!("{} left", duration(left)));
        }
        if self.failed > 0 {
            parts.push(format!("{} failed", grouped(self.failed)));
        }
        parts.join(" · ")
    }
}

impl AtWork {
    fn share(&self) -> Option<f64> {
        let total = self.source.total.filter(|total| *total > 0)?;
        Some(self.source.done.min(total) as f64 / total as f64)
    }

    /// How long it will take yet, if it goes on as it did for so many seconds.
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

    fn at_work(done: u64, total: Option<u64>, from: Option<u64>) -> AtWork {
        let source = Progress { done, total };
        AtWork { step: "a".into(), place: None, began: Instant::now(), source, from }
    }

    #[test]
    fn a_resumed_step_judges_the_rest_by_its_own_speed() {
        let step = at_work(150, Some(200), Some(100));
        assert_eq!(step.left(10.0), Some(Duration::from_secs(10)));
        assert_eq!(at_work(150, None, Some(100)).left(10.0), None);
        assert_eq!(at_work(150, Some(200), None).left(10.0), None);
    }

    #[test]
    fn steps_side_by_side_are_one_sentence() {
        let meter = Meter::new(Screen::None);
        let tell = |event: Event| meter.observe(&event);
        let begin = |step: &str, place| Event::StepStarted {
            step: step.into(),
            place,
            of: 3,
            source: String::new(),
        };
        tell(begin("a", 1));
        tell(begin("b", 2));
        let read = |step: &str, done, total| Event::ChunkRead {
            step: step.into(),
            progress: Progress { done, total },
        };
        tell(read("a", 30, Some(100)));
        assert_eq!(meter.lock().share(), Some(0.3));
        tell(read("b", 5, Some(10)));
        assert_eq!(meter.lock().share(), Some(0.4));
        assert_eq!(meter.lock().name(), " 1/3 a, 2/3 b");
        let counts = kiln_core::Counts::default();
        tell(Event::StepEnded { step: "a".into(), counts });
        assert_eq!(meter.lock().name(), " 2/3 b");
        assert!(meter.lock().sentence().starts_with(" 50% · 0 items"));
    }
}
