//! Who plays: the trained policy, and rules to compare it with.

use agon_agents::EnvironmentLoop;
use agon_agents::policy::ActMode;
use agon_envs::fairness::{LendingArgs, LendingRule, lending};
use agon_envs::random::SeedSequence;
use agon_envs::wrappers::Moments;
use agon_envs::{ActionBatch, Pcg64, check};
use serde::Deserialize;

use super::FairnessOptions;
use crate::RunError;
use crate::config::EnvConfig;
use crate::policy::{TrainedPolicy, of_the_world};
use crate::setup::Setup;

/// One tick of some environments.
pub(super) type Tick<'a> = dyn FnMut(&mut EnvironmentLoop) -> Result<(), RunError> + 'a;

/// Someone who plays.
pub(super) struct Actor<'a> {
    pub(super) name: &'static str,
    /// The environment as this one sees it.
    pub(super) env: EnvConfig,
    /// What observations are normalised by, frozen.
    pub(super) statistics: Vec<Moments>,
    pub(super) tick: Box<Tick<'a>>,
}

/// The policy first, then the rules.
pub(super) fn of<'a>(
    setup: &Setup,
    trained: &'a TrainedPolicy,
    options: &FairnessOptions,
) -> Result<Vec<Actor<'a>>, RunError> {
    let (card, acting) = (trained.card(), trained.acting());
    let num_groups = setup.registry.make(&card.env.id, &card.env.options(1))?.info().groups.len();
    if num_groups < 2 || card.env_spaces.num_agents > 1 {
        return Err(RunError::Policy(format!(
            "expected an environment of one agent that decides about at least two groups, {} has {} agents and {num_groups} groups",
            card.env.id, card.env_spaces.num_agents
        )));
    }
    let mode = if options.stochastic { ActMode::Explore } else { ActMode::Deterministic };
    let mut actors = vec![Actor {
        name: "policy",
        env: card.env.clone(),
        statistics: acting.statistics.clone(),
        tick: Box::new(move |environments| Ok(environments.tick(&*acting.policy, acting.env_steps, mode)?)),
    }];
    if !options.baselines {
        return Ok(actors);
    }
    let mut env = card.env.clone();
    env.wrappers = of_the_world(&env.wrappers);
    let mut rule = |name, tick| {
        // Statistics of a registered environment's own wrappers stay as they are.
        let statistics =
            acting.statistics[..card.env_spaces.statistics.min(acting.statistics.len())].to_vec();
        actors.push(Actor { name, env: env.clone(), statistics, tick });
    };
    let rng = |key| Pcg64::from_sequence(&SeedSequence::with_spawn_key(options.seed, &[4, key]));
    let mut random = rng(0);
    rule(
        "random actions",
        Box::new(move |environments: &mut EnvironmentLoop| {
            let EnvironmentLoop { simulator, now, actions, .. } = environments;
            check::random_actions(simulator, now, &mut random, actions)?;
            Ok(simulator.step(actions, now)?)
        }) as Box<Tick<'a>>,
    );
    if card.env.id == lending::ID {
        let args = LendingArgs::deserialize(card.env.args.clone())
            .map_err(|error| RunError::Config(error.to_string()))?;
        rule("maximum reward rule", lend(LendingRule::max_reward(&args), rng(1)));
        rule("equal opportunity rule", lend(LendingRule::equal_opportunity(&args), rng(2)));
    }
    Ok(actors)
}

/// Lends by a rule.
fn lend<'a>(rule: LendingRule, mut rng: Pcg64) -> Box<Tick<'a>> {
    Box::new(move |environments| {
        let EnvironmentLoop { simulator, now, actions, .. } = environments;
        let len = simulator.observation_len();
        let rows = now.observations.as_f32().chunks_exact(len);
        *actions = ActionBatch::Discrete(rows.map(|row| u32::from(rule.lends(row, &mut rng))).collect());
        Ok(simulator.step(actions, now)?)
    })
}
