//! CollegeAdmission: a score that admits, when applicants can raise theirs at a cost that differs between groups.
//!
//! # Description
//! In every round a college publishes the score that admits, and then 20 applicants come. Those whose score is too low raise
//! it to just that, if it costs them no more than a place is worth; for the disadvantaged group each point costs more.
//! A higher score keeps out those who are not eligible and only paid, and keeps out those who are eligible and cannot pay.
//!
//! # Action space
//! `Box(0, 1, (1,))`: the score from which on applicants are admitted; with `per_group` one for each group, the advantaged
//! first.
//!
//! # Observation space
//! Of the last round; zeros at first.
//!
//! | index | meaning | min | max |
//! |---|---|---|---|
//! | 0 to 1 | share of each group's applicants who were admitted | 0 | 1 |
//! | 2 to 3 | share of each group's admitted who turned out eligible | 0 | 1 |
//! | 4 to 5 | mean score of each group's applicants, as they showed it | 0 | 1 |
//! | 6 | share of applicants who are of the advantaged group | 0 | 1 |
//! | 7 to 8 | the scores that admitted each group | 0 | 1 |
//!
//! # Rewards
//! The share of applicants who are decided about rightly: eligible and admitted, or neither.
//!
//! # Starting state
//! The same in every episode.
//!
//! # Episode end
//! Truncated after 50 rounds.
//!
//! # Groups
//! `advantaged` and `disadvantaged`. A decision in favour is an admission; qualified is who is eligible: whose score, before
//! anything was raised, is at least `eligible_factor` above the mean of the group.
//!
//! # Metrics
//! `burden_advantaged` and `burden_disadvantaged`: what an eligible applicant had to pay on average to be admitted;
//! `raised`: the share of applicants who raised their score. All over the episode.
//!
//! # Arguments
//! | argument | meaning | default |
//! |---|---|---|
//! | `num_applicants` | applicants of a round, 1 to 1000 | 20 |
//! | `advantaged` | share of the advantaged group | 0.6 |
//! | `score_means`, `score_stds` | normal distribution of each group's scores, which are clipped to 0 and 1 | 0.8, 0.6; 0.1, 0.3 |
//! | `eligible_factor` | eligible is who has at least the group's mean times one plus this | 0.1 |
//! | `costs` | cost of raising a score by one point in each group; a place is worth 1 | 0.8, 1.2 |
//! | `gaming` | whether scores can be raised | true |
//! | `most_raised` | by how much at most | 1 |
//! | `subsidy` | the share of its cost that the disadvantaged group pays | 1 |
//! | `per_group` | whether each group has its own admitting score | false |
//!
//! # Version history
//! v0: the first.
//!
//! # Source
//! Hu, Immorlica and Vaughan 2019, "The Disparate Effects of Strategic Manipulation"; Milli et al. 2019, "The Social Cost of
//! Strategic Classification"; `environments/college_admission.py` of ml-fairness-gym, whose numbers these are.
//!
//! # Deviations
//! 1. What was observed of every single applicant is summed up by group.
//! 2. The number of applicants of each group is drawn applicant by applicant, which is the same distribution.
//! 3. Nobody is admitted at random, and neither scores nor the admitting score are noisy.
//! 4. `per_group` is added. Random draws are of another generator.

use serde::{Deserialize, Serialize};

use super::{draws, out_of_range, share, within};
use crate::{Action, Canvas, Decision, Env, EnvError, Frame, Pcg64, Space, Step};

const GROUPS: [&str; 2] = ["advantaged", "disadvantaged"];
const OBSERVED: usize = 9;
/// What rounding may cost an applicant.
const EPSILON: f64 = 1e-6;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CollegeAdmissionArgs {
    /// Applicants of a round.
    pub num_applicants: u32,
    /// Share of the advantaged group.
    pub advantaged: f64,
    /// Mean score of each group.
    pub score_means: [f64; 2],
    /// Standard deviation of each group's scores.
    pub score_stds: [f64; 2],
    /// Eligible is who has at least the group's mean times one plus this.
    pub eligible_factor: f64,
    /// Cost of raising a score by one point in each group.
    pub costs: [f64; 2],
    /// Whether scores can be raised.
    pub gaming: bool,
    /// By how much at most.
    pub most_raised: f64,
    /// The share of its cost that the disadvantaged group pays.
    pub subsidy: f64,
    /// Whether each group has its own admitting score.
    pub per_group: bool,
}

impl Default for CollegeAdmissionArgs {
    fn default() -> Self {
        Self {
            num_applicants: 20,
            advantaged: 0.6,
            score_means: [0.8, 0.6],
            score_stds: [0.1, 0.3],
            eligible_factor: 0.1,
            costs: [0.8, 1.2],
            gaming: true,
            most_raised: 1.0,
            subsidy: 1.0,
            per_group: false,
        }
    }
}

/// The environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CollegeAdmission {
    args: CollegeAdmissionArgs,
    /// Of the last round.
    rounds: [Round; 2],
    thresholds: [f64; 2],
    /// Of the episode so far.
    burdens: [Burden; 2],
    raised: u64,
    applicants: u64,
}

/// What became of a group's applicants in a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Round {
    /// `[admitted][eligible]`.
    counts: [[u32; 2]; 2],
    /// Sum of the scores that were shown.
    shown: f64,
}

/// What eligible applicants had to pay to be admitted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Burden {
    eligible: u64,
    cost: f64,
}

impl Round {
    fn applicants(&self) -> u32 {
        self.counts.iter().flatten().sum()
    }

    fn admitted(&self) -> u32 {
        self.counts[1].iter().sum()
    }
}

impl CollegeAdmission {
    /// With the given arguments.
    ///
    /// # Errors
    /// If a number is out of range.
    pub fn new(args: CollegeAdmissionArgs) -> Result<Self, EnvError> {
        if !(1..=1000).contains(&args.num_applicants) {
            return Err(out_of_range("num_applicants", "between 1 and 1000", args.num_applicants));
        }
        share("advantaged", args.advantaged)?;
        for group in 0..2 {
            share("score_means", args.score_means[group])?;
            share("score_stds", args.score_stds[group])?;
            within("costs", "between 0 and 1000", 1000.0, args.costs[group])?;
        }
        if !(-1.0..=1.0).contains(&args.eligible_factor) {
            return Err(out_of_range("eligible_factor", "between -1 and 1", args.eligible_factor));
        }
        share("most_raised", args.most_raised)?;
        share("subsidy", args.subsidy)?;
        Ok(Self {
            args,
            rounds: [Round::default(); 2],
            thresholds: [0.0; 2],
            burdens: [Burden::default(); 2],
            raised: 0,
            applicants: 0,
        })
    }

    /// What a group pays for each point.
    fn cost(&self, group: usize) -> f64 {
        self.args.costs[group] * if group == 1 { self.args.subsidy } else { 1.0 }
    }

    /// The score that an applicant shows, and what it would cost to be admitted.
    fn shown(&self, group: usize, score: f64) -> (f64, f64) {
        let missing = self.thresholds[group] - score;
        if missing <= 0.0 {
            return (score, 0.0);
        }
        let cost = missing * self.cost(group);
        // A place is worth 1: nobody pays more.
        let raises = self.args.gaming && cost <= 1.0 && missing <= self.args.most_raised + EPSILON;
        (if raises { self.thresholds[group] } else { score }, cost)
    }

    /// One applicant of a group with a score of their own.
    fn apply(&mut self, group: usize, score: f64) {
        let (shown, cost) = self.shown(group, score);
        let admitted = shown >= self.thresholds[group];
        let needed = self.args.score_means[group] * (1.0 + self.args.eligible_factor);
        let eligible = score >= needed;
        self.rounds[group].counts[usize::from(admitted)][usize::from(eligible)] += 1;
        self.rounds[group].shown += shown;
        if eligible {
            self.burdens[group].eligible += 1;
            self.burdens[group].cost += cost;
        }
        self.raised += u64::from(shown > score);
        self.applicants += 1;
    }

    fn observe(&self, obs: &mut [f32]) {
        let share = |part: u32, whole: u32| if whole == 0 { 0.0 } else { part as f32 / whole as f32 };
        for (group, round) in self.rounds.iter().enumerate() {
            obs[group] = share(round.admitted(), round.applicants());
            obs[2 + group] = share(round.counts[1][1], round.admitted());
            obs[4 + group] = (round.shown / f64::from(round.applicants().max(1))) as f32;
            obs[7 + group] = self.thresholds[group] as f32;
        }
        let all: u32 = self.rounds.iter().map(Round::applicants).sum();
        obs[6] = share(self.rounds[0].applicants(), all);
    }
}

impl Env for CollegeAdmission {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        Space::box_uniform(0.0, 1.0, &[OBSERVED]).expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn action_space(&self) -> Space {
        let width = if self.args.per_group { 2 } else { 1 };
        Space::box_uniform(0.0, 1.0, &[width]).expect("constant bounds are in order")
    }

    fn reset(&mut self, _rng: &mut Pcg64, obs: &mut [f32]) {
        self.rounds = [Round::default(); 2];
        self.thresholds = [0.0; 2];
        self.burdens = [Burden::default(); 2];
        (self.raised, self.applicants) = (0, 0);
        self.observe(obs);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        let values = action.values();
        self.thresholds = [values[0], values[values.len() - 1]].map(f64::from);
        self.rounds = [Round::default(); 2];
        for _ in 0..self.args.num_applicants {
            let group = usize::from(rng.random() >= self.args.advantaged);
            let (mean, std) = (self.args.score_means[group], self.args.score_stds[group]);
            self.apply(group, draws::normal(rng, mean, std).clamp(0.0, 1.0));
        }
        self.observe(obs);
        let right: u32 = self.rounds.iter().map(|round| round.counts[0][0] + round.counts[1][1]).sum();
        Step::running(f64::from(right) / f64::from(self.args.num_applicants))
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &["burden_advantaged", "burden_disadvantaged", "raised"]
    }

    fn metrics(&self, out: &mut [f64]) {
        for (out, burden) in out.iter_mut().zip(&self.burdens) {
            *out = if burden.eligible == 0 { f64::NAN } else { burden.cost / burden.eligible as f64 };
        }
        out[2] = self.raised as f64 / self.applicants.max(1) as f64;
    }

    fn groups(&self) -> Vec<String> {
        GROUPS.map(str::to_owned).to_vec()
    }

    fn decisions(&self, out: &mut Vec<Decision>) {
        for (group, round) in self.rounds.iter().enumerate() {
            for (admitted, by_truth) in round.counts.iter().enumerate() {
                for (eligible, &count) in by_truth.iter().enumerate().filter(|(_, count)| **count > 0) {
                    let right = if admitted == eligible { f64::from(count) } else { 0.0 };
                    out.push(Decision {
                        group: group as u32,
                        favourable: admitted == 1,
                        qualified: Some(eligible == 1),
                        count,
                        reward: right / f64::from(self.args.num_applicants),
                    });
                }
            }
        }
    }

    fn render(&self) -> Option<Frame> {
        const COLORS: [[u8; 3]; 2] = [[70, 110, 170], [190, 110, 60]];
        let mut canvas = Canvas::new(420, 180, [245, 245, 240]);
        for (group, color) in COLORS.into_iter().enumerate() {
            let (round, top) = (&self.rounds[group], 20.0 + 75.0 * group as f32);
            let text = format!("{}: {} of {} admitted", GROUPS[group], round.admitted(), round.applicants());
            canvas.text(16.0, top, &text, 14.0, color);
            canvas.rect(16.0, top + 28.0, 388.0, 12.0, [215, 215, 210]);
            canvas.rect(16.0 + 386.0 * self.thresholds[group] as f32, top + 22.0, 3.0, 24.0, color);
        }
        Some(canvas.into_frame())
    }

    fn render_text(&self) -> Option<String> {
        let line = |group: usize| {
            let round = &self.rounds[group];
            let (admitted, all) = (round.admitted(), round.applicants());
            format!("{}: {admitted} of {all} admitted from {:.2} on", GROUPS[group], self.thresholds[group])
        };
        Some(format!("{}\n{}", line(0), line(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn college(args: CollegeAdmissionArgs, threshold: f64) -> CollegeAdmission {
        CollegeAdmission { thresholds: [threshold; 2], ..CollegeAdmission::new(args).unwrap() }
    }

    #[test]
    fn scores_are_raised_if_that_costs_no_more_than_a_place_is_worth() {
        let college = college(CollegeAdmissionArgs::default(), 0.9);
        // 0.85 points at 0.8 are 0.68, at 1.2 they are 1.02.
        assert_eq!(college.shown(0, 0.05).0, 0.9);
        assert!((college.shown(0, 0.05).1 - 0.68).abs() < 1e-12);
        assert_eq!(college.shown(1, 0.05).0, 0.05);
        assert!((college.shown(1, 0.05).1 - 1.02).abs() < 1e-12);
        assert_eq!(college.shown(1, 0.95), (0.95, 0.0));
    }

    #[test]
    fn subsidies_limits_and_no_gaming_change_who_raises() {
        let subsidised = CollegeAdmissionArgs { subsidy: 0.8, ..CollegeAdmissionArgs::default() };
        assert_eq!(college(subsidised, 0.9).shown(1, 0.05).0, 0.9);
        let limited = CollegeAdmissionArgs { most_raised: 0.2, ..CollegeAdmissionArgs::default() };
        assert_eq!(college(limited.clone(), 0.9).shown(0, 0.65).0, 0.65);
        assert_eq!(college(limited, 0.9).shown(0, 0.75).0, 0.9);
        let honest = CollegeAdmissionArgs { gaming: false, ..CollegeAdmissionArgs::default() };
        assert_eq!(college(honest, 0.9).shown(0, 0.85).0, 0.85);
    }

    #[test]
    fn a_round_is_told_by_group_and_sums_to_its_reward() {
        let mut college = college(CollegeAdmissionArgs { num_applicants: 4, ..Default::default() }, 0.9);
        // Eligible from 0.88 on in the first group, from 0.66 on in the second.
        for (group, score) in [(0, 0.95), (0, 0.5), (1, 0.7), (1, 0.0)] {
            college.apply(group, score);
        }
        let mut decisions = Vec::new();
        college.decisions(&mut decisions);
        let told: Vec<_> =
            decisions.iter().map(|d| (d.group, d.favourable, d.qualified, d.count, d.reward)).collect();
        let expected = [
            (0, true, Some(false), 1, 0.0),
            (0, true, Some(true), 1, 0.25),
            (1, false, Some(false), 1, 0.25),
            (1, true, Some(true), 1, 0.25),
        ];
        assert_eq!(told, expected);
        let mut metrics = [0.0; 3];
        college.metrics(&mut metrics);
        // The eligible of the second group lacked 0.2 points, which cost 0.24; two of four raised their score.
        assert!(metrics[0] == 0.0 && (metrics[1] - 0.24).abs() < 1e-12 && metrics[2] == 0.5, "{metrics:?}");
    }
}
