//! Lending: who gets a loan, when what becomes of loans moves the credit scores of those who come later.
//!
//! # Description
//! A bank decides on one applicant after another. An applicant belongs to one of two groups and has one of seven credit
//! scores, which decides how likely a loan is repaid. A repaid loan moves a little of the group's applicants from this score
//! to the next higher one, a default to the next lower one; refused applicants stay as they are. The disadvantaged group
//! begins with lower scores, so that a rule which is the same for all lends it less, and the scores of the two groups drift
//! further apart or closer together with what the bank does.
//!
//! # Action space
//! `Discrete(2)`: 0 refuses the applicant, 1 lends.
//!
//! # Observation space
//! | index | meaning | min | max |
//! |---|---|---|---|
//! | 0 to 6 | the applicant's credit score, one-hot, the lowest first | 0 | 1 |
//! | 7 to 8 | the applicant's group, one-hot, the advantaged first | 0 | 1 |
//! | 9 | the bank's cash over its cash at the start | 0 | ∞ |
//!
//! # Rewards
//! The change of the bank's cash: `interest_rate` for a loan that is repaid, −1 for one that is not, 0 for a refusal.
//!
//! # Starting state
//! `starting_cash`; scores are distributed as `scores_advantaged` and `scores_disadvantaged` say.
//!
//! # Episode end
//! Terminated when less than the amount of a loan, 1, is left; truncated after 500 steps.
//!
//! # Groups
//! `advantaged` and `disadvantaged`. A decision in favour is a loan; qualified is who would repay it, which is drawn before
//! the decision.
//!
//! # Metrics
//! `score_advantaged` and `score_disadvantaged`: the mean chance of repayment over the scores that the group has at the end.
//!
//! # Arguments
//! | argument | meaning | default |
//! |---|---|---|
//! | `advantaged` | share of applicants of the advantaged group | 0.5 |
//! | `scores_advantaged` | shares of the seven scores in it at first | 0, 0.1, 0.1, 0.2, 0.3, 0.3, 0 |
//! | `scores_disadvantaged` | those of the disadvantaged group | 0.1, 0.1, 0.2, 0.3, 0.3, 0, 0 |
//! | `repayment` | chance of repayment at each score | 0.1, 0.2, 0.45, 0.6, 0.65, 0.7, 0.7 |
//! | `interest_rate` | what a repaid loan of 1 earns | 1 |
//! | `starting_cash` | the bank's cash at first, at least 1 | 100 |
//! | `shift` | the share of a group that one loan moves to another score | 0.01 |
//!
//! # Version history
//! v0: the first.
//!
//! # Source
//! Liu et al. 2018, "Delayed Impact of Fair Machine Learning"; D'Amour et al. 2020, "Fairness is not static", section 4;
//! `DelayedImpactEnv` of ml-fairness-gym (`environments/lending.py`, `lending_params.py`), with the cash and interest of its
//! experiment.
//!
//! # Deviations
//! 1. The reward is the change of the bank's cash, not its sign.
//! 2. Cash is shown as a multiple of what there was at first.
//! 3. Random draws are of another generator, of the same distribution.

use serde::{Deserialize, Serialize};

use super::{distribution, out_of_range, share, within};
use crate::{Action, Canvas, Decision, Env, EnvError, Frame, Pcg64, Space, Step};

/// The environment's id.
pub const ID: &str = "Fairness/Lending-v0";
/// Number of credit scores.
pub const SCORES: usize = 7;
/// What is lent.
const AMOUNT: f64 = 1.0;
const GROUPS: [&str; 2] = ["advantaged", "disadvantaged"];
const OBSERVED: usize = SCORES + GROUPS.len() + 1;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LendingArgs {
    /// Share of applicants of the advantaged group.
    pub advantaged: f64,
    /// Shares of the scores in the advantaged group at first.
    pub scores_advantaged: Vec<f64>,
    /// Shares of the scores in the disadvantaged group at first.
    pub scores_disadvantaged: Vec<f64>,
    /// Chance of repayment at each score.
    pub repayment: Vec<f64>,
    /// What a repaid loan of 1 earns.
    pub interest_rate: f64,
    /// The bank's cash at first.
    pub starting_cash: f64,
    /// The share of a group that one loan moves to another score.
    pub shift: f64,
}

impl Default for LendingArgs {
    fn default() -> Self {
        Self {
            advantaged: 0.5,
            scores_advantaged: vec![0.0, 0.1, 0.1, 0.2, 0.3, 0.3, 0.0],
            scores_disadvantaged: vec![0.1, 0.1, 0.2, 0.3, 0.3, 0.0, 0.0],
            repayment: vec![0.1, 0.2, 0.45, 0.6, 0.65, 0.7, 0.7],
            interest_rate: 1.0,
            starting_cash: 100.0,
            shift: 0.01,
        }
    }
}

/// The environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lending {
    args: LendingArgs,
    /// For each group the shares of the scores.
    scores: [Vec<f64>; 2],
    cash: f64,
    applicant: Applicant,
    last: Option<Decision>,
}

/// Who is decided about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Applicant {
    group: usize,
    score: usize,
    repays: bool,
}

impl Lending {
    /// With the given arguments.
    ///
    /// # Errors
    /// If a share is not between 0 and 1, shares do not sum to 1, or a number is out of range.
    pub fn new(args: LendingArgs) -> Result<Self, EnvError> {
        share("advantaged", args.advantaged)?;
        distribution("scores_advantaged", SCORES, &args.scores_advantaged)?;
        distribution("scores_disadvantaged", SCORES, &args.scores_disadvantaged)?;
        if args.repayment.len() != SCORES {
            return Err(out_of_range("repayment", "7 chances", args.repayment.len()));
        }
        args.repayment.iter().try_for_each(|&chance| share("repayment", chance))?;
        within("interest_rate", "between 0 and 1000", 1000.0, args.interest_rate)?;
        share("shift", args.shift)?;
        if !(AMOUNT..=1e9).contains(&args.starting_cash) {
            return Err(out_of_range("starting_cash", "between 1 and 1e9", args.starting_cash));
        }
        let scores = [args.scores_advantaged.clone(), args.scores_disadvantaged.clone()];
        Ok(Self { scores, cash: args.starting_cash, applicant: Applicant::default(), last: None, args })
    }

    fn next_applicant(&mut self, rng: &mut Pcg64) {
        let group = usize::from(rng.random() >= self.args.advantaged);
        let score = rng.categorical_sample(&self.scores[group]);
        self.applicant = Applicant { group, score, repays: rng.random() < self.args.repayment[score] };
    }

    fn observe(&self, obs: &mut [f32]) {
        obs.fill(0.0);
        obs[self.applicant.score] = 1.0;
        obs[SCORES + self.applicant.group] = 1.0;
        obs[OBSERVED - 1] = (self.cash / self.args.starting_cash) as f32;
    }

    /// Moves a little of the applicant's group to the next score.
    fn shift(&mut self) {
        let Applicant { group, score, repays } = self.applicant;
        let next = if repays { (score + 1).min(SCORES - 1) } else { score.saturating_sub(1) };
        let moved = self.args.shift.min(self.scores[group][score]);
        self.scores[group][score] -= moved;
        self.scores[group][next] += moved;
    }

    /// The mean chance of repayment in a group.
    fn mean_repayment(&self, group: usize) -> f64 {
        self.scores[group].iter().zip(&self.args.repayment).map(|(share, chance)| share * chance).sum()
    }
}

impl Env for Lending {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        let mut high = [1.0; OBSERVED];
        high[OBSERVED - 1] = f32::INFINITY;
        Space::box_f32(&[0.0; OBSERVED], &high).expect("constant bounds are in order")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(2).expect("two is not zero")
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.scores = [self.args.scores_advantaged.clone(), self.args.scores_disadvantaged.clone()];
        self.cash = self.args.starting_cash;
        self.next_applicant(rng);
        self.observe(obs);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        let Applicant { group, repays, .. } = self.applicant;
        let lends = action.index() == 1;
        let reward = match (lends, repays) {
            (false, _) => 0.0,
            (true, true) => AMOUNT * self.args.interest_rate,
            (true, false) => -AMOUNT,
        };
        self.last = Some(Decision {
            group: group as u32,
            favourable: lends,
            qualified: Some(repays),
            count: 1,
            reward,
        });
        self.cash += reward;
        if lends {
            self.shift();
        }
        self.next_applicant(rng);
        self.observe(obs);
        if self.cash < AMOUNT { Step::terminated(reward) } else { Step::running(reward) }
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &["score_advantaged", "score_disadvantaged"]
    }

    fn metrics(&self, out: &mut [f64]) {
        out.iter_mut().enumerate().for_each(|(group, out)| *out = self.mean_repayment(group));
    }

    fn groups(&self) -> Vec<String> {
        GROUPS.map(str::to_owned).to_vec()
    }

    fn decisions(&self, out: &mut Vec<Decision>) {
        out.extend(self.last);
    }

    fn render(&self) -> Option<Frame> {
        const COLORS: [[u8; 3]; 2] = [[70, 110, 170], [190, 110, 60]];
        let mut canvas = Canvas::new(420, 260, [245, 245, 240]);
        let cash = format!("cash {:.0}", self.cash);
        canvas.text_centered((210.0, 18.0), &cash, 18.0, [60, 60, 60]);
        for (group, color) in COLORS.into_iter().enumerate() {
            let top = 40.0 + 110.0 * group as f32;
            canvas.text(16.0, top, GROUPS[group], 14.0, color);
            for (score, &share) in self.scores[group].iter().enumerate() {
                let (x, height) = (16.0 + 56.0 * score as f32, 70.0 * share as f32);
                let is_applicant = self.applicant.group == group && self.applicant.score == score;
                canvas.rect(x, top + 92.0 - height, 40.0, height.max(1.0), color);
                if is_applicant {
                    canvas.rect_outline(x - 4.0, top + 18.0, 48.0, 78.0, 2.0, [40, 40, 40]);
                }
            }
        }
        Some(canvas.into_frame())
    }

    fn render_text(&self) -> Option<String> {
        let Applicant { group, score, .. } = self.applicant;
        Some(format!("cash {:.1}\napplicant: {}, score {score}", self.cash, GROUPS[group]))
    }
}

/// A rule that lends by score and group alone: the chance of a loan at each score, for each group.
#[derive(Clone, Debug, PartialEq)]
pub struct LendingRule {
    /// `[groups][scores]`.
    pub chances: [[f64; SCORES]; 2],
}

impl LendingRule {
    /// Lends wherever a loan earns more than it loses: `p · interest > 1 − p`. The same for both groups.
    ///
    /// # Source
    /// `MAXIMIZE_REWARD` of ml-fairness-gym; Liu et al. 2018, section 2.
    pub fn max_reward(args: &LendingArgs) -> Self {
        let mut chances = [0.0; SCORES];
        for (chance, &p) in chances.iter_mut().zip(&args.repayment) {
            *chance = if p * args.interest_rate > 1.0 - p { 1.0 } else { 0.0 };
        }
        Self { chances: [chances; 2] }
    }

    /// Lends so that, in the distributions of the start, those who would repay get a loan in both groups alike often, as
    /// profitably as that goes: a threshold for each group, at which a coin decides.
    ///
    /// # Source
    /// Hardt, Price and Srebro 2016, section 3.1; `EQUALIZE_OPPORTUNITY` of ml-fairness-gym.
    pub fn equal_opportunity(args: &LendingArgs) -> Self {
        const STEPS: usize = 1000;
        let scores = [&args.scores_advantaged, &args.scores_disadvantaged];
        let shares = [args.advantaged, 1.0 - args.advantaged];
        let rules = |rate: f64| scores.map(|scores| threshold(scores, &args.repayment, rate));
        let profit = |chances: &[[f64; SCORES]; 2]| -> f64 {
            let of_group = |group: usize| -> f64 {
                let each = (0..SCORES).map(|score| {
                    let p = args.repayment[score];
                    scores[group][score] * chances[group][score] * (p * args.interest_rate - (1.0 - p))
                });
                each.sum()
            };
            shares[0] * of_group(0) + shares[1] * of_group(1)
        };
        let mut best = rules(0.0);
        for step in 1..=STEPS {
            let candidate = rules(step as f64 / STEPS as f64);
            if profit(&candidate) > profit(&best) {
                best = candidate;
            }
        }
        Self { chances: best }
    }

    /// Whether an applicant gets a loan.
    ///
    /// # Shapes
    /// `observation`: `[O]`, of this environment.
    pub fn lends(&self, observation: &[f32], rng: &mut Pcg64) -> bool {
        let score = observation[..SCORES].iter().position(|value| *value > 0.5).unwrap_or(0);
        let group = usize::from(observation[SCORES + 1] > 0.5);
        rng.random() < self.chances[group][score]
    }
}

/// The chances of a loan, from the highest score on, with which a share `rate` of a group's good payers gets one.
fn threshold(scores: &[f64], repayment: &[f64], rate: f64) -> [f64; SCORES] {
    let good = |score: usize| scores[score] * repayment[score];
    let all: f64 = (0..SCORES).map(good).sum();
    let mut left = rate * all;
    let mut chances = [0.0; SCORES];
    for score in (0..SCORES).rev() {
        let own = good(score);
        chances[score] =
            if own > 0.0 { (left / own).clamp(0.0, 1.0) } else { f64::from(u8::from(left > 1e-12)) };
        left -= own * chances[score];
    }
    chances
}
