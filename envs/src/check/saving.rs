//! Snapshots of all environments; single ones that are forked, or saved and loaded.

use super::{Check, NUM_ENVS, random_actions};
use crate::simulator::{Autoreset, Simulator};
use crate::{ActionBatch, EnvError, Pcg64, StepBatch, VectorInfo};

/// The environments that are forked, from and to.
const FORK: (usize, usize) = (1, 3);
/// Ticks for which a copy is compared with its original at most, if no episode ends.
const MAX_TICKS: usize = 2000;
/// Ticks that are compared after the episode's end: the generators go on alike.
const TICKS_AFTER: usize = 60;

impl Check<'_> {
    /// Whether the environment can be saved; then all ways of it are checked, else that they say so.
    pub(super) fn saving(&self) -> Result<bool, EnvError> {
        let mut simulator = self.make(NUM_ENVS, Autoreset::SameStep)?;
        if simulator.snapshot_support().is_ok() {
            self.snapshot_has_the_same_future()?;
            for autoreset in [Autoreset::SameStep, Autoreset::NextStep] {
                self.fork_has_the_same_future(autoreset)?;
                self.loaded_environment_has_the_same_future(autoreset)?;
            }
            return Ok(true);
        }
        self.walk(&mut simulator, 21, 3, |_, _| Ok(()))?;
        let refused = [
            ("snapshot", simulator.snapshot().err()),
            ("restore", simulator.restore(&[]).err()),
            ("save_env", simulator.save_env(0).err()),
            ("load_env", simulator.load_env(0, &[]).err()),
            ("fork", simulator.fork(FORK.0, FORK.1).err()),
        ];
        for (method, error) in refused {
            let said = matches!(error, Some(EnvError::NotSnapshotable { .. }));
            self.ensure(said, || format!("it cannot be saved, but {method} gave {error:?}"))?;
        }
        Ok(false)
    }

    fn snapshot_has_the_same_future(&self) -> Result<(), EnvError> {
        for autoreset in [Autoreset::SameStep, Autoreset::NextStep] {
            let mut original = self.make(NUM_ENVS, autoreset)?;
            let mut out = self.walk(&mut original, 21, 150, |_, _| Ok(()))?;
            let snapshot = original.snapshot()?;
            let mut restored = self.make(NUM_ENVS, autoreset)?;
            restored.restore(&snapshot)?;
            self.ensure(restored.snapshot()? == snapshot, || {
                "a restored snapshot, saved again, is another one".to_owned()
            })?;
            let mut restored_out = out.clone();
            let mut rng = Pcg64::seed_from(22);
            let mut actions = ActionBatch::zeros(original.action_spec(), original.num_rows());
            for tick in 0..300 {
                random_actions(&original, &out, &mut rng, &mut actions)?;
                original.step(&actions, &mut out)?;
                restored.step(&actions, &mut restored_out)?;
                self.ensure(out == restored_out, || {
                    format!("tick {tick} after a snapshot: the restored environment differs ({autoreset:?})")
                })?;
            }
        }
        Ok(())
    }

    /// A forked environment goes on like the one it was copied from, and no other environment notices.
    fn fork_has_the_same_future(&self, autoreset: Autoreset) -> Result<(), EnvError> {
        let ((from, to), mut pair) = (FORK, self.twins(autoreset)?);
        pair.copy.fork(from, to)?;
        pair.copy_out.copy_env(from, to, &pair.info);
        let (width, agents) = (pair.copy.action_spec().width(), pair.info.num_agents);
        let mut actions = pair.actions.clone();
        let mut left = None;
        for tick in 0..MAX_TICKS {
            pair.choose()?;
            actions.copy_range(0, &pair.actions, 0, pair.actions.len());
            actions.copy_range(to * agents * width, &pair.actions, from * agents * width, agents * width);
            pair.original.step(&pair.actions, &mut pair.out)?;
            pair.copy.step(&actions, &mut pair.copy_out)?;
            let same = |a: &StepBatch, i, b: &StepBatch, j| same_env((a, i), (b, j), &pair.info);
            self.ensure(same(&pair.copy_out, from, &pair.copy_out, to), || {
                format!("tick {tick} after a fork: the copy differs from its original ({autoreset:?})")
            })?;
            let others = (0..NUM_ENVS).filter(|&env| env != to);
            let undisturbed = others.clone().all(|env| same(&pair.out, env, &pair.copy_out, env));
            self.ensure(undisturbed, || format!("tick {tick}: a fork changed another environment"))?;
            if is_over(&mut left, &pair.copy_out, from, &pair.info) {
                break;
            }
        }
        Ok(())
    }

    /// An environment that was saved goes on in another simulator, of another size, in another place.
    fn loaded_environment_has_the_same_future(&self, autoreset: Autoreset) -> Result<(), EnvError> {
        let ((from, to), mut pair) = (FORK, self.twins(autoreset)?);
        let saved = pair.original.save_env(from)?;
        let mut other = self.make(to + 1, autoreset)?;
        let mut other_out = self.walk(&mut other, 77, 20, |_, _| Ok(()))?;
        other.load_env(to, &saved)?;
        self.ensure(other.save_env(to)? == saved, || {
            "an environment that was loaded, saved again, is another one".to_owned()
        })?;
        other_out.copy_env_from(&pair.out, from, to, &pair.info);
        let (width, agents) = (other.action_spec().width(), pair.info.num_agents);
        let mut actions = ActionBatch::zeros(other.action_spec(), other.num_rows());
        let mut rng = Pcg64::seed_from(78);
        let mut left = None;
        for tick in 0..MAX_TICKS {
            pair.choose()?;
            random_actions(&other, &other_out, &mut rng, &mut actions)?;
            actions.copy_range(to * agents * width, &pair.actions, from * agents * width, agents * width);
            pair.original.step(&pair.actions, &mut pair.out)?;
            other.step(&actions, &mut other_out)?;
            self.ensure(same_env((&pair.out, from), (&other_out, to), &pair.info), || {
                format!("tick {tick} after it was loaded: an environment differs from the saved one ({autoreset:?})")
            })?;
            if is_over(&mut left, &pair.out, from, &pair.info) {
                break;
            }
        }
        Ok(())
    }

    /// Two simulators in the same state, some way into their episodes.
    fn twins(&self, autoreset: Autoreset) -> Result<Twins, EnvError> {
        let mut original = self.make(NUM_ENVS, autoreset)?;
        let out = self.walk(&mut original, 41, 7, |_, _| Ok(()))?;
        let mut copy = self.make(NUM_ENVS, autoreset)?;
        copy.restore(&original.snapshot()?)?;
        let actions = ActionBatch::zeros(original.action_spec(), original.num_rows());
        let (info, rng, copy_out) = (original.info().clone(), Pcg64::seed_from(42), out.clone());
        Ok(Twins { original, out, copy, copy_out, info, actions, rng })
    }
}

/// A simulator and its copy.
struct Twins {
    original: Simulator,
    out: StepBatch,
    copy: Simulator,
    copy_out: StepBatch,
    info: VectorInfo,
    /// The original's actions.
    actions: ActionBatch,
    rng: Pcg64,
}

impl Twins {
    /// Draws the original's next actions.
    fn choose(&mut self) -> Result<(), EnvError> {
        random_actions(&self.original, &self.out, &mut self.rng, &mut self.actions)
    }
}

/// Whether two environments gave the same in their last ticks.
fn same_env(a: (&StepBatch, usize), b: (&StepBatch, usize), info: &VectorInfo) -> bool {
    let (len, mask_len, metrics) = (info.observation_len(), info.mask_len, info.metrics.len());
    let ended = |batch: &StepBatch, row: usize| {
        batch.episodes.iter().position(|episode| episode.row as usize == row).map(|i| {
            let last = batch.final_observations.view(i * len, len);
            let mut numbers = vec![0.0; len];
            last.write_f32(&mut numbers);
            let episode = batch.episodes[i];
            let metrics = &batch.episode_metrics[i * metrics..(i + 1) * metrics];
            let metrics: Vec<u64> = metrics.iter().map(|value| value.to_bits()).collect();
            (episode.episode_return.to_bits(), episode.episode_length, numbers, metrics)
        })
    };
    info.rows_of_env(a.1).zip(info.rows_of_env(b.1)).all(|(i, j)| {
        let (a, b) = (a.0, b.0);
        let masks =
            |batch: &StepBatch, row: usize| batch.action_masks[row * mask_len..(row + 1) * mask_len].to_vec();
        a.observations.view(i * len, len) == b.observations.view(j * len, len)
            && masks(a, i) == masks(b, j)
            && a.rewards[i].to_bits() == b.rewards[j].to_bits()
            && (a.terminated[i], a.truncated[i], a.active[i])
                == (b.terminated[j], b.truncated[j], b.active[j])
            && ended(a, i) == ended(b, j)
    })
}

/// Whether enough was compared: the environment's episode has ended and some ticks have passed since.
fn is_over(left: &mut Option<usize>, out: &StepBatch, env: usize, info: &VectorInfo) -> bool {
    let rows = info.rows_of_env(env);
    if left.is_none() && out.episodes.iter().any(|episode| rows.contains(&(episode.row as usize))) {
        *left = Some(TICKS_AFTER);
    }
    left.as_mut().is_some_and(|left| {
        *left = left.saturating_sub(1);
        *left == 0
    })
}
