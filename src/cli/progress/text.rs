//! What lines of progress say.

use crate::sinks::Progress;
use crate::text::{duration, human, significant};

/// Seconds that a rate looks back.
const RECENT_S: f64 = 5.0;
/// The least time between two measurements of a rate.
const SHORTEST_S: f64 = 0.05;
/// Significant digits of a loss.
const LOSS_DIGITS: usize = 3;

/// Environment steps a second of late: what lies `RECENT_S` back counts a third of what is now.
#[derive(Debug, Default)]
pub(super) struct Rate {
    last: Option<(f64, u64)>,
    /// Weighted steps and seconds.
    sums: (f64, f64),
}

impl Rate {
    /// Takes in how far a run was after so many seconds, and gives the rate; none at first.
    pub(super) fn add(&mut self, seconds: f64, env_steps: u64) -> Option<f64> {
        match self.last {
            Some((before, steps)) if seconds - before >= SHORTEST_S => {
                let (new, passed) = (env_steps.saturating_sub(steps) as f64, seconds - before);
                let kept = (-passed / RECENT_S).exp();
                self.sums = (self.sums.0 * kept + new, self.sums.1 * kept + passed);
                self.last = Some((seconds, env_steps));
            }
            Some(_) => {}
            None => self.last = Some((seconds, env_steps)),
        }
        (self.sums.1 > 0.0).then(|| self.sums.0 / self.sums.1)
    }
}

/// A part of a line that is shown whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Which parts go first where there is no room for all: those with the highest number.
    rank: u8,
    text: String,
}

impl Part {
    fn new(rank: u8, text: String) -> Self {
        Self { rank, text }
    }
}

/// How far several runs are together.
pub(super) struct Standing {
    pub(super) runs_over: usize,
    pub(super) runs: usize,
    pub(super) env_steps: u64,
    pub(super) goal: u64,
    pub(super) rate: f64,
}

/// What the line of a run says: share, time that is left, speed, return, steps, losses.
pub(super) fn run_parts(progress: &Progress<'_>, goal: u64, rate: f64) -> Vec<Part> {
    let mean_return = match progress.mean_return {
        mean if mean.is_nan() => "–".to_owned(),
        mean => format!("{mean:.1}"),
    };
    let mut parts = vec![
        Part::new(0, percent(progress.env_steps, goal)),
        Part::new(4, format!("{}/{goal} steps", progress.env_steps)),
        Part::new(2, format!("{} steps/s", human(rate))),
        Part::new(3, format!("return {mean_return}")),
    ];
    let losses = progress.metrics.iter().filter(|(name, value)| name.ends_with("_loss") && !value.is_nan());
    parts.extend(losses.map(|(name, value)| {
        let name = name.trim_start_matches("losses/");
        Part::new(5, format!("{name} {}", significant(*value, LOSS_DIGITS)))
    }));
    parts.push(Part::new(1, time_left(progress.env_steps, goal, rate)));
    parts
}

/// What the line of several runs together says.
pub(super) fn total_parts(standing: &Standing) -> Vec<Part> {
    let &Standing { runs_over, runs, env_steps, goal, rate } = standing;
    vec![
        Part::new(0, percent(env_steps, goal)),
        Part::new(1, format!("{runs_over} of {runs} runs done")),
        Part::new(3, format!("{} steps/s", human(rate))),
        Part::new(2, time_left(env_steps, goal, rate)),
    ]
}

fn percent(env_steps: u64, goal: u64) -> String {
    format!("{:.0}%", (env_steps as f64 / goal.max(1) as f64).min(1.0) * 100.0)
}

fn time_left(env_steps: u64, goal: u64, rate: f64) -> String {
    let left = goal.saturating_sub(env_steps) as f64 / rate;
    if left.is_finite() { format!("{} left", duration(left)) } else { "– left".to_owned() }
}

/// As many parts as fit into so many columns, the most important ones first, in their order.
pub(super) fn fitted(parts: &[Part], columns: usize) -> String {
    const BETWEEN: &str = "  ";
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|&i| parts[i].rank);
    let mut chosen = Vec::new();
    let mut used = 0;
    for i in order {
        let needed = parts[i].text.chars().count() + if chosen.is_empty() { 0 } else { BETWEEN.len() };
        if needed > columns - used {
            // A less important part must not take the place of a more important one.
            break;
        }
        used += needed;
        chosen.push(i);
    }
    chosen.sort_unstable();
    chosen.iter().map(|&i| parts[i].text.as_str()).collect::<Vec<_>>().join(BETWEEN)
}

/// Cells of a bar in a terminal.
pub(super) fn bar_cells(columns: usize) -> usize {
    (columns / 8).clamp(4, 24)
}

/// A name that is cut in the middle if it is longer than so many columns.
pub(super) fn shortened(name: &str, columns: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= columns {
        return name.to_owned();
    }
    let kept = columns.saturating_sub(1);
    let begin = kept - kept / 2;
    let tail = &letters[letters.len() - kept / 2..];
    letters[..begin].iter().chain(&['…']).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(metrics: &[(&'static str, f64)]) -> Vec<Part> {
        let progress = Progress {
            env_steps: 45_056,
            total_timesteps: 100_000,
            updates: 10,
            mean_return: 123.45,
            seconds: 2.0,
            steps_per_second: 20_000.0,
            metrics,
        };
        run_parts(&progress, 100_000, 12_345.0)
    }

    #[test]
    fn lines_fit_every_terminal_and_never_cut_a_word() {
        let parts = parts(&[("losses/value_loss", 0.000_123_456), ("losses/policy_loss", -12.345)]);
        let whole = "45%  45056/100000 steps  12.3k steps/s  return 123.5  value_loss 0.000123  policy_loss -12.3  4.5s left";
        assert_eq!(fitted(&parts, usize::MAX), whole);
        let words: Vec<&str> = whole.split("  ").collect();
        for columns in 0..130 {
            let line = fitted(&parts, columns);
            assert!(line.chars().count() <= columns, "{columns}: {line}");
            assert!(
                line.is_empty() || line.split("  ").all(|part| words.contains(&part)),
                "{columns}: {line}"
            );
        }
        // What 80 and 60 columns leave beside a short name, and beside one that is cut to a third of them.
        let room = |columns: usize, name: usize| columns - 3 - name - bar_cells(columns - 3) - 2;
        assert_eq!(fitted(&parts, room(80, 18)), "45%  12.3k steps/s  return 123.5  4.5s left");
        assert_eq!(fitted(&parts, room(60, 18)), "45%  12.3k steps/s  4.5s left");
        assert_eq!(fitted(&parts, room(80, 25)), "45%  12.3k steps/s  4.5s left");
        assert_eq!(fitted(&parts, 20), "45%  4.5s left");
    }

    #[test]
    fn the_rate_is_that_of_late() {
        let mut rate = Rate::default();
        assert_eq!(rate.add(0.0, 0), None);
        // A second at a time at 1000 steps a second, then at 100.
        for second in 1..=20_u32 {
            let now = rate.add(f64::from(second), u64::from(second) * 1000).unwrap();
            assert!((now - 1000.0).abs() < 1e-6, "{now}");
        }
        let late =
            (1..=15_u32).map(|second| rate.add(20.0 + f64::from(second), 20_000 + 100 * u64::from(second)));
        let last = late.last().unwrap().unwrap();
        assert!((100.0..150.0).contains(&last), "{last}, and not the mean of 614");
    }

    #[test]
    fn iterations_that_take_no_time_are_measured_together() {
        let mut rate = Rate::default();
        let rates: Vec<_> = (0..100_u32).map(|i| rate.add(f64::from(i) * 0.001, u64::from(i) * 10)).collect();
        assert_eq!(rates[40], None);
        assert!(rates[99].is_some_and(|rate| (rate - 10_000.0).abs() < 1.0), "{:?}", rates[99]);
    }

    #[test]
    fn totals_count_runs_and_steps() {
        let standing = Standing { runs_over: 3, runs: 12, env_steps: 340, goal: 1000, rate: 0.0 };
        assert_eq!(fitted(&total_parts(&standing), 80), "34%  3 of 12 runs done  0 steps/s  – left");
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shortened("MiniGrid-DoorKey-5x5-v0 seed 12", 20), "MiniGrid-D…0 seed 12");
        assert_eq!(shortened("CartPole-v1 seed 1", 20), "CartPole-v1 seed 1");
        assert_eq!(shortened("abc", 0), "…");
    }
}
