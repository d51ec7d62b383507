//! Playing, with whoever decides, and looking at what was seen and done.

use agon_envs::{ActionBatch, ActionSpec, ObsBuffer, ObsRow};
use agon_policy::{Action, Episode, Observation};

use super::subject::Subject;
use crate::RunError;
use crate::config::EVALUATION_LIMIT;
use crate::policy::Observed;
use crate::setup::Setup;

/// Environments that are played at once.
const MOST_ENVS: usize = 16;

/// What whoever decides is told of one environment.
pub(crate) struct Seen<'a> {
    /// Which of the environments.
    pub(crate) env: usize,
    /// `[O]`, as the environment shows it, bytes as numbers.
    pub(crate) observation: &'a [f32],
    /// Which options are legal; empty where all are.
    pub(crate) mask: &'a [bool],
    /// Whether an episode begins here.
    pub(crate) starts: bool,
}

/// Until when is played.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// So many episodes have ended.
    Episodes(usize),
    /// So many steps have been taken.
    Steps(usize),
}

/// Plays in fresh environments and gives the returns of the episodes that ended. Each environment plays a fixed number of
/// episodes: taking whichever end first would favour short ones.
///
/// # Errors
/// If the environment or whoever decides fails.
pub(crate) fn play(
    setup: &Setup,
    subject: &Subject,
    seed: u64,
    until: Until,
    decide: &mut dyn FnMut(&Seen<'_>) -> Result<Vec<f32>, RunError>,
) -> Result<Vec<f64>, RunError> {
    let num_envs = match until {
        Until::Episodes(count) => count.clamp(1, MOST_ENVS),
        Until::Steps(_) => MOST_ENVS,
    };
    let spec = setup.registry.get(&subject.env.id)?;
    let (options, _) = subject.env.options_with_limit(num_envs, &spec, EVALUATION_LIMIT);
    let mut simulator = spec.make(&options)?;
    let mut now = simulator.new_batch();
    simulator.reset(seed, &mut now)?;
    let (len, mask_len) = (simulator.observation_len(), simulator.mask_len());
    let mut actions = ActionBatch::zeros(&subject.action_spec, num_envs);
    let width = subject.action_spec.width();
    let mut starts = vec![true; num_envs];
    let mut quotas: Vec<usize> = match until {
        Until::Episodes(count) => {
            (0..num_envs).map(|env| count.saturating_sub(env).div_ceil(num_envs)).collect()
        }
        Until::Steps(_) => vec![usize::MAX; num_envs],
    };
    let (mut returns, mut steps) = (Vec::new(), 0);
    let mut observation = vec![0.0; len];
    loop {
        let is_over = match until {
            Until::Episodes(count) => returns.len() >= count,
            Until::Steps(count) => steps >= count,
        };
        if is_over {
            return Ok(returns);
        }
        simulator.check_observations(&now)?;
        for env in 0..num_envs {
            let mask = &now.action_masks[env * mask_len..(env + 1) * mask_len];
            if quotas[env] == 0 {
                idle(&subject.action_spec, mask, env, &mut actions);
                continue;
            }
            row(&now.observations, env * len, &mut observation);
            let seen = Seen { env, observation: &observation, mask, starts: starts[env] };
            let action = decide(&seen)?;
            match &mut actions {
                ActionBatch::Discrete(indices) => {
                    let own = &mut indices[env * width..(env + 1) * width];
                    own.iter_mut().zip(&action).for_each(|(index, &value)| *index = value as u32);
                }
                ActionBatch::Continuous(numbers) => {
                    numbers[env * width..(env + 1) * width].copy_from_slice(&action);
                }
            }
            steps += 1;
        }
        simulator.step(&actions, &mut now)?;
        for (env, starts) in starts.iter_mut().enumerate() {
            *starts = now.terminated[env] || now.truncated[env];
        }
        for ended in &now.episodes {
            let quota = &mut quotas[ended.row as usize];
            if *quota > 0 {
                *quota -= 1;
                returns.push(ended.episode_return);
            }
        }
    }
}

/// Something legal, for an environment that has played its episodes: what it did last may not be.
fn idle(spec: &ActionSpec, mask: &[bool], env: usize, actions: &mut ActionBatch) {
    let (ActionSpec::Discrete { nvec }, ActionBatch::Discrete(indices)) = (spec, actions) else { return };
    let mut rest = mask;
    for (index, &n) in indices[env * nvec.len()..].iter_mut().zip(nvec) {
        let (own, others) = rest.split_at(rest.len().min(n as usize));
        *index = own.iter().position(|legal| *legal).unwrap_or(0) as u32;
        rest = others;
    }
}

/// Values of one observation as numbers.
fn row(observations: &ObsBuffer, from: usize, to: &mut [f32]) {
    match observations {
        ObsBuffer::F32(values) => to.copy_from_slice(&values[from..from + to.len()]),
        ObsBuffer::U8(values) => {
            to.iter_mut().zip(&values[from..]).for_each(|(to, &value)| *to = f32::from(value));
        }
    }
}

/// The explained policy in several environments: what it remembers of each.
pub(crate) struct Teacher<'a> {
    subject: &'a Subject,
    episodes: Vec<Episode>,
    bytes: Vec<u8>,
}

/// What a policy makes of what it sees.
#[derive(Clone, Debug)]
pub(crate) struct Opinion {
    /// What it would do, in the environment's terms: an index for each choice, or numbers.
    pub(crate) action: Vec<f32>,
    /// What it chooses by, see [`agon_policy::PortablePolicy::logits`].
    pub(crate) logits: Vec<f32>,
}

impl<'a> Teacher<'a> {
    pub(crate) fn new(subject: &'a Subject) -> Self {
        let episodes = (0..MOST_ENVS).map(|_| subject.policy.begin()).collect();
        Self { subject, episodes, bytes: Vec::new() }
    }

    /// What it makes of what is seen, which it then remembers.
    pub(crate) fn opinion(&mut self, seen: &Seen<'_>) -> Result<Opinion, RunError> {
        let Self { subject, episodes, bytes } = self;
        let episode = &mut episodes[seen.env];
        if seen.starts {
            episode.begin_again();
        }
        opinion(subject, episode, seen.observation, seen.mask, bytes)
    }
}

/// What a policy makes of an observation, after what an episode remembers, which moves on.
pub(crate) fn opinion(
    subject: &Subject,
    episode: &mut Episode,
    values: &[f32],
    mask: &[bool],
    bytes: &mut Vec<u8>,
) -> Result<Opinion, RunError> {
    let observation = if subject.program().takes_bytes() {
        bytes.clear();
        bytes.extend(values.iter().map(|&value| value.round() as u8));
        Observation::Bytes(bytes)
    } else {
        Observation::Floats(values)
    };
    let mask = if subject.program().mask_len == 0 { &[] } else { mask };
    let policy = &subject.policy;
    // The first of both only looks: an action is read from the same outputs.
    let logits = policy.logits(&mut episode.clone(), observation, mask)?.to_vec();
    let start = match subject.program().action {
        agon_policy::ActionSpace::Discrete { start, .. } => start,
        _ => 0,
    };
    let action = match policy.act(episode, observation, mask)? {
        Action::Discrete(indices) => indices.iter().map(|&index| (index - start) as f32).collect(),
        Action::Continuous(numbers) => numbers.to_vec(),
    };
    Ok(Opinion { action, logits })
}

/// One step of the explained policy's own episode.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// `[O]`.
    pub(crate) observation: Vec<f32>,
    /// Which options were legal; empty where all are.
    pub(crate) mask: Vec<bool>,
    /// What the policy remembered before it.
    pub(crate) episode: Episode,
    /// What it made of it.
    pub(crate) opinion: Opinion,
    /// What it expected of the rest of the episode.
    pub(crate) value: Option<f32>,
    /// Which episode this is, from zero.
    pub(crate) number: usize,
    /// Which step of it, from zero.
    pub(crate) step: usize,
    /// What the action brought.
    pub(crate) reward: f64,
}

/// The policy's own episodes, one after the other, up to `most` steps of all; who asks for frames gets one of each step, none
/// where the environment cannot be drawn.
///
/// # Errors
/// If the environment fails.
pub(crate) fn episodes(
    setup: &Setup,
    subject: &Subject,
    seed: u64,
    count: usize,
    most: usize,
    frames: Option<&mut dyn FnMut(agon_envs::Frame)>,
) -> Result<Vec<Step>, RunError> {
    let mut frames = frames;
    let spec = setup.registry.get(&subject.env.id)?;
    let (options, _) = subject.env.options_with_limit(1, &spec, EVALUATION_LIMIT);
    let mut simulator = spec.make(&options)?;
    let mut now = simulator.new_batch();
    simulator.reset(seed, &mut now)?;
    let mut trained = subject.trained.anew();
    let (mut episode, mut bytes) = (subject.policy.begin(), Vec::new());
    let (mut number, mut step, mut starts) = (0, 0, true);
    let mut steps: Vec<Step> = Vec::new();
    let mut actions = ActionBatch::zeros(&subject.action_spec, 1);
    while number < count && steps.len() < most {
        let mut observation = vec![0.0; simulator.observation_len()];
        row(&now.observations, 0, &mut observation);
        let observed = Observed {
            observations: ObsRow::from(&now.observations),
            action_masks: &now.action_masks,
            episode_starts: &[starts],
            rewards: &now.rewards,
        };
        let (_, values) = trained.act_and_value(&observed)?;
        if starts {
            episode.begin_again();
        }
        let before = episode.clone();
        let opinion = opinion(subject, &mut episode, &observation, &now.action_masks, &mut bytes)?;
        match &mut actions {
            ActionBatch::Discrete(indices) => {
                indices.iter_mut().zip(&opinion.action).for_each(|(index, &value)| *index = value as u32);
            }
            ActionBatch::Continuous(numbers) => numbers.copy_from_slice(&opinion.action),
        }
        if let Some(frames) = &mut frames {
            simulator.render(0).into_iter().for_each(&mut **frames);
        }
        let mask = now.action_masks.clone();
        simulator.step(&actions, &mut now)?;
        steps.push(Step {
            observation,
            mask,
            episode: before,
            opinion,
            value: values.and_then(|values| values.first().copied()),
            number,
            step,
            reward: now.rewards[0],
        });
        starts = now.terminated[0] || now.truncated[0];
        (number, step) = if starts { (number + 1, 0) } else { (number, step + 1) };
    }
    Ok(steps)
}
