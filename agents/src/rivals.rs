//! Rivals: past selves that play one side of some episodes, so that what is learned holds against more than the newest self.
//!
//! Whether an episode is one against a rival, against which and on which side is drawn when it begins, from a stream of the
//! loop's own. What a rival does is not learned from: its rows take no part in their ticks, as far as a fragment says.

use std::sync::Arc;

use agon_envs::{ActionBatch, ObsBuffer, Pcg64, StepBatch, VectorInfo};
use serde::{Deserialize, Serialize};

use crate::AgentError;
use crate::policy::{ActInput, ActMode, ActOutput, Actor, Policy};

/// A self of the past.
#[derive(Clone)]
pub struct PastSelf {
    /// Its number among all that there ever were.
    pub number: u64,
    /// What it does.
    pub policy: Arc<dyn Policy>,
}

/// Whom rivals are drawn from.
#[derive(Clone, Copy)]
pub struct Rivals<'a> {
    /// The oldest first.
    pub past: &'a [PastSelf],
    /// Share of episodes that are played against one of them.
    pub share: f64,
}

impl Rivals<'_> {
    /// Every side is the newest self.
    pub const NONE: Self = Self { past: &[], share: 0.0 };

    fn is_none(&self) -> bool {
        self.past.is_empty() || self.share <= 0.0
    }

    /// A self by its number; where it is forgotten, the one that has been kept longest.
    fn numbered(&self, number: u64) -> Option<&PastSelf> {
        self.past.iter().find(|own| own.number == number).or(self.past.first())
    }
}

/// Who plays which side of an episode against the newest self.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Rival {
    number: u64,
    side: usize,
}

/// The rivals of an environment loop.
#[derive(Default)]
pub(crate) struct Rivalry {
    /// The stream of draws and of what rivals do; none before the first is met.
    rng: Option<Pcg64>,
    /// `[E]`.
    of_env: Vec<Option<Rival>>,
    /// `[N]`: the rows that a rival plays.
    rows: Vec<bool>,
    /// Working memory.
    work: Option<Work>,
}

/// What a rival sees and does.
struct Work {
    observations: ObsBuffer,
    masks: Vec<bool>,
    actor: Actor,
    data: Vec<f32>,
}

/// What is saved of a loop's rivals.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SavedRivalry {
    rng: Option<Pcg64>,
    of_env: Vec<Option<Rival>>,
}

impl Rivalry {
    pub(crate) fn save(&self) -> SavedRivalry {
        SavedRivalry { rng: self.rng.clone(), of_env: self.of_env.clone() }
    }

    /// Takes on what was saved of a loop of so many environments.
    pub(crate) fn restore(saved: SavedRivalry, envs: usize) -> Result<Self, AgentError> {
        if !saved.of_env.is_empty() && saved.of_env.len() != envs {
            let message = format!("expected rivals of {envs} environments, found {}", saved.of_env.len());
            return Err(AgentError::Restore(message));
        }
        Ok(Self { rng: saved.rng, of_env: saved.of_env, ..Self::default() })
    }

    /// Which rows a rival has played in this tick, `[N]`; none if there is none.
    pub(crate) fn rows(&self) -> Option<&[bool]> {
        (!self.rows.is_empty()).then_some(self.rows.as_slice())
    }

    /// Draws the rivals of episodes that begin, and has all of them act in their rows.
    pub(crate) fn act(
        &mut self,
        rivals: &Rivals<'_>,
        (info, now, resets): (&VectorInfo, &StepBatch, &[bool]),
        own: &mut Pcg64,
        env_steps: u64,
        actions: &mut ActionBatch,
    ) -> Result<(), AgentError> {
        self.rows.clear();
        if rivals.is_none() && self.of_env.iter().all(Option::is_none) {
            return Ok(());
        }
        self.draw(rivals, info, resets, own);
        let sides = sides(info);
        self.rows.resize(info.num_rows(), false);
        for (env, rival) in self.of_env.iter().enumerate() {
            let Some(Rival { side, .. }) = rival else { continue };
            let rows = info.rows_of_env(env);
            self.rows[rows].iter_mut().zip(&sides).for_each(|(row, own)| *row = own == side);
        }
        for past in rivals.past {
            self.act_as(past, rivals, (info, now), env_steps, actions)?;
        }
        Ok(())
    }

    fn draw(&mut self, rivals: &Rivals<'_>, info: &VectorInfo, resets: &[bool], own: &mut Pcg64) {
        self.of_env.resize(info.num_envs, None);
        let rng = self.rng.get_or_insert_with(|| Pcg64::seed_from(own.next_u64()));
        let count = sides(info).into_iter().max().map_or(1, |last| last + 1);
        for (env, rival) in self.of_env.iter_mut().enumerate() {
            // Where an agent has ended before the others, the episode goes on.
            if !resets[info.rows_of_env(env)].iter().all(|reset| *reset) {
                continue;
            }
            let meets_one = rng.random() < rivals.share && !rivals.past.is_empty();
            *rival = meets_one.then(|| {
                let number = rivals.past[rng.integers(0, rivals.past.len() as i64) as usize].number;
                Rival { number, side: rng.integers(0, count as i64) as usize }
            });
        }
    }

    /// Has one past self act in all rows that are its.
    fn act_as(
        &mut self,
        past: &PastSelf,
        rivals: &Rivals<'_>,
        (info, now): (&VectorInfo, &StepBatch),
        env_steps: u64,
        actions: &mut ActionBatch,
    ) -> Result<(), AgentError> {
        let is_its = |env: usize| {
            let rival = self.of_env[env].and_then(|rival| rivals.numbered(rival.number));
            rival.is_some_and(|found| found.number == past.number)
        };
        let rows: Vec<usize> = (0..info.num_envs)
            .filter(|&env| is_its(env))
            .flat_map(|env| info.rows_of_env(env).filter(|&row| self.rows[row]))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let Some(rng) = &mut self.rng else { return Ok(()) };
        let work = self.work.get_or_insert_with(|| Work {
            observations: ObsBuffer::zeros(info.dtype(), 0),
            masks: Vec::new(),
            actor: Actor::new(rng.clone()),
            data: Vec::new(),
        });
        let (len, masks, width) = (info.observation_len(), info.mask_len, info.action_spec.width());
        work.observations.resize(0);
        work.masks.clear();
        for &row in &rows {
            work.observations.extend_from(&now.observations, row * len, len);
            work.masks.extend_from_slice(&now.action_masks[row * masks..(row + 1) * masks]);
        }
        work.data.resize(rows.len() * past.policy.data_width(), 0.0);
        let mut chosen = ActionBatch::zeros(&info.action_spec, rows.len());
        let input = ActInput {
            observations: &work.observations,
            num_rows: rows.len(),
            action_masks: &work.masks,
            resets: &vec![true; rows.len()],
            rewards: &[],
            tasks: &[],
            env_steps,
            mode: ActMode::Explore,
        };
        let output = ActOutput { actions: &mut chosen, policy_data: &mut work.data };
        std::mem::swap(rng, &mut work.actor.rng);
        let outcome = past.policy.act(&input, &mut work.actor, output);
        std::mem::swap(rng, &mut work.actor.rng);
        outcome?;
        for (i, row) in rows.into_iter().enumerate() {
            actions.copy_range(row * width, &chosen, i * width, width);
        }
        Ok(())
    }
}

/// The side of each agent of an environment, by its team: 0 is that of the first agent.
pub fn sides(info: &VectorInfo) -> Vec<usize> {
    let mut known: Vec<&str> = Vec::new();
    let mut sides = Vec::with_capacity(info.teams.len());
    for team in &info.teams {
        let side = known.iter().position(|known| known == team).unwrap_or_else(|| {
            known.push(team);
            known.len() - 1
        });
        sides.push(side);
    }
    sides
}

#[cfg(test)]
mod tests {
    use agon_envs::{MakeOptions, Registry, Seed};

    use super::*;
    use crate::{EnvironmentLoop, Fragment};

    /// Always takes its first legal action, or its last.
    struct Constant {
        last: bool,
    }

    impl Policy for Constant {
        fn act(&self, input: &ActInput<'_>, _: &mut Actor, output: ActOutput<'_>) -> Result<(), AgentError> {
            let masks = input.action_masks.chunks_exact(input.action_masks.len() / input.num_rows);
            for (action, mask) in output.actions.indices_mut().iter_mut().zip(masks) {
                let legal = |&action: &usize| mask[action];
                let mut all = (0..mask.len()).filter(legal);
                *action = if self.last { all.next_back() } else { all.next() }.unwrap() as u32;
            }
            Ok(())
        }
    }

    fn columns(num_envs: usize) -> EnvironmentLoop {
        let mut options = MakeOptions { num_envs, ..MakeOptions::default() };
        options.args.insert("opponent".into(), "self".into());
        let mut simulator = Registry::builtin().make("ConnectFour-v0", &options).unwrap();
        let mut now = simulator.new_batch();
        simulator.reset_with(&vec![Seed::Integer(0); num_envs], &mut now).unwrap();
        EnvironmentLoop::new(simulator, now, Pcg64::seed_from(5))
    }

    fn filled(of: &mut EnvironmentLoop, rivals: &Rivals<'_>, steps: usize) -> Fragment {
        let newest = Constant { last: false };
        let mut fragment = Fragment::new(&of.fragment_shape(steps, &newest));
        of.fill_against(rivals, &mut fragment, &newest, 0, 1).unwrap();
        fragment
    }

    #[test]
    fn a_share_of_episodes_has_a_rival_on_one_side_whose_rows_are_left_out() {
        let rival = PastSelf { number: 7, policy: Arc::new(Constant { last: true }) };
        let (past, envs) = ([rival], 200);
        let rivals = Rivals { past: &past, share: 0.5 };
        let mut of = columns(envs);
        let fragment = filled(&mut of, &rivals, 40);
        fragment.validate(&fragment.shape, 1).unwrap();
        let rows = 2 * envs;
        let met = |env: usize| [0, 1].map(|side| !fragment.active[2 * env + side]);
        let (mut firsts, mut seconds) = (0, 0);
        for env in 0..envs {
            let [first, second] = met(env);
            assert!(!(first && second));
            (firsts, seconds) = (firsts + usize::from(first), seconds + usize::from(second));
            // Whoever moves first takes the first column, its rival the last one.
            let column = if first { 6 } else { 0 };
            assert_eq!(fragment.actions.row(2 * env, 1).indices(), [column], "environment {env}");
            let answer = if second { 6 } else { 0 };
            assert_eq!(fragment.actions.row(rows + 2 * env + 1, 1).indices(), [answer]);
        }
        assert!((35..65).contains(&firsts) && (35..65).contains(&seconds), "{firsts} and {seconds}");
        // An episode counts for the sides that learn from it: both, or one.
        let (mut both, mut one) = (0, 0);
        for (index, &row) in fragment.final_rows.iter().enumerate() {
            assert!(fragment.active[row as usize]);
            assert_eq!(fragment.episodes[index].1.row, row % rows as u32);
            if fragment.active[row as usize ^ 1] { both += 1 } else { one += 1 }
        }
        assert!(both > 100 && one > 100, "{both} and {one}");
        // Nobody is left out where there is no rival.
        assert!(filled(&mut columns(4), &Rivals::NONE, 40).active.iter().all(|&active| active));
    }

    #[test]
    fn a_loop_that_was_saved_amid_episodes_goes_on_with_the_same_rivals() {
        let past = [3, 9].map(|number| PastSelf { number, policy: Arc::new(Constant { last: number == 9 }) });
        let rivals = Rivals { past: &past, share: 0.7 };
        let mut of = columns(16);
        filled(&mut of, &rivals, 13);
        let saved = of.save().unwrap();
        let expected = filled(&mut of, &rivals, 30);
        let mut other = columns(16);
        other.restore(saved.clone()).unwrap();
        assert_eq!(filled(&mut other, &rivals, 30), expected);
        assert!(columns(15).restore(saved).is_err());
        // A rival that is forgotten amid an episode is taken over by the oldest one.
        assert!(Rivals { past: &past[1..], share: 0.7 }.numbered(3).is_some_and(|own| own.number == 9));
    }

    #[test]
    fn sides_are_teams() {
        let info = |id: &str| columns_of(id).info().clone();
        assert_eq!(sides(&info("SimpleTag-v3")), [0, 0, 0, 1]);
        assert!(sides(&info("CartPole-v1")).is_empty());
    }

    fn columns_of(id: &str) -> agon_envs::Simulator {
        Registry::builtin().make(id, &MakeOptions::default()).unwrap()
    }
}
