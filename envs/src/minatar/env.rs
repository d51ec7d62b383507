//! The shell around every game: sticky actions, the random stream and the systems.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use super::draw;
use super::game::{CELLS, Game, GameAction, SIDE};
use crate::random::Mt19937;
use crate::simulator::{
    Actions, EcsEnv, EnvRng, IN_TABLES, Observations, Outcomes, Row, Scope, SimulatorBuilder,
};
use crate::{EnvError, Space};

/// Arguments of every game.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Arguments {
    /// Probability that the last action is repeated instead of the chosen one, in [0, 1].
    pub sticky_action_prob: f64,
    /// Whether a game gets harder as it goes on. Breakout and Freeway never do.
    pub difficulty_ramping: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { sticky_action_prob: 0.1, difficulty_ramping: true }
    }
}

/// Which actions an agent chooses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionSet {
    /// All six.
    All,
    /// Those that the game has a rule for.
    Minimal,
}

impl ActionSet {
    /// The actions of a game, by number.
    pub(super) fn actions<G: Game<C>, const C: usize>(self) -> &'static [GameAction] {
        match self {
            Self::All => &GameAction::ALL,
            Self::Minimal => G::MINIMAL_ACTIONS,
        }
    }
}

/// A game in the simulator: every arena holds the game, the action used last and a stream of [`Mt19937`].
pub struct MinAtar<G, const C: usize> {
    args: Arguments,
    actions: &'static [GameAction],
    game: std::marker::PhantomData<fn() -> G>,
}

impl<G: Game<C>, const C: usize> MinAtar<G, C> {
    /// The game with these arguments.
    ///
    /// # Errors
    /// If the probability is not one.
    pub fn new(args: Arguments, set: ActionSet) -> Result<Self, EnvError> {
        if !(0.0..=1.0).contains(&args.sticky_action_prob) {
            return Err(EnvError::Setting {
                field: "sticky_action_prob",
                expected: "between 0 and 1",
                found: args.sticky_action_prob.to_string(),
            });
        }
        Ok(Self { args, actions: set.actions::<G, C>(), game: std::marker::PhantomData })
    }
}

/// What the systems read: the arguments and the game action of each agent action.
#[derive(Resource)]
struct Shell {
    args: Arguments,
    actions: &'static [GameAction],
}

/// The game of an arena.
#[derive(Component, Clone, Serialize, Deserialize)]
#[serde(bound = "G: Game<C>")]
struct State<G: Game<C>, const C: usize>(G);

/// The action used last, after stickiness; a new episode does not clear it.
#[derive(Component, Clone, Copy, Default, Serialize, Deserialize)]
struct LastAction(GameAction);

impl<G: Game<C>, const C: usize> EcsEnv for MinAtar<G, C> {
    #[expect(clippy::expect_used, reason = "every game has channels")]
    fn observation_space(&self) -> Space {
        Space::image_u8(&[SIDE, SIDE, C]).expect("no dimension is zero")
    }

    #[expect(clippy::expect_used, reason = "every game has actions")]
    fn action_space(&self) -> Space {
        Space::discrete(self.actions.len()).expect("at least one action")
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        simulator
            .random::<Mt19937>()
            .constant(Shell { args: self.args, actions: self.actions })
            .arena_component(State::<G, C>(G::default()))
            .arena_component(LastAction::default())
            .act(choose)
            .outcome(step::<G, C>)
            .observe(observe::<G, C>)
            .reset(reset::<G, C>)
            .draw(|world, arena| Some(draw::frame(&world.get::<State<G, C>>(arena)?.0)))
            .write(|world, arena| Some(draw::text(&world.get::<State<G, C>>(arena)?.0)));
    }
}

/// Makes each agent's action or, if it sticks, the last one the arena's last action. The draw for it is always made.
///
/// A pass of its own before the games': a generator is many cache lines away from the next arena's, and in a loop without
/// branches that depend on a draw the processor fetches several at once.
#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn choose(
    shell: Res<Shell>,
    scope: Res<Scope>,
    actions: Res<Actions>,
    mut arenas: Query<(&Row, &mut LastAction, &mut EnvRng<Mt19937>)>,
) {
    let choose = |last: &mut LastAction, rng: &mut Mt19937, action: u32| {
        let sticks = rng.random_sample() < shell.args.sticky_action_prob;
        last.0 = if sticks { last.0 } else { shell.actions[action as usize] };
    };
    for (rows, mut last, mut rngs) in arenas.contiguous_iter_mut().expect(IN_TABLES) {
        let first = rows[0].index();
        let (last, rngs) = (last.bypass_change_detection(), rngs.bypass_change_detection());
        let actions = &actions.indices()[first..][..rows.len()];
        if scope.is_all() {
            for ((last, rng), &action) in last.iter_mut().zip(rngs).zip(actions) {
                choose(last, &mut rng.0, action);
            }
        } else {
            for i in scope.iter().map(|env| env - first) {
                choose(&mut last[i], &mut rngs[i].0, actions[i]);
            }
        }
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn step<G: Game<C>, const C: usize>(
    shell: Res<Shell>,
    scope: Res<Scope>,
    mut outcomes: ResMut<Outcomes>,
    mut arenas: Query<(&Row, &mut State<G, C>, &LastAction, &mut EnvRng<Mt19937>)>,
) {
    let ramping = shell.args.difficulty_ramping;
    let outcomes = &mut *outcomes;
    let step = |game: &mut G, action: &LastAction, rng: &mut Mt19937, out: (&mut f64, &mut bool)| {
        let outcome = game.step(action.0, ramping, rng);
        (*out.0, *out.1) = (f64::from(outcome.reward), outcome.terminated);
    };
    for (rows, mut games, last, mut rngs) in arenas.contiguous_iter_mut().expect(IN_TABLES) {
        let range = rows[0].index()..rows[0].index() + rows.len();
        let (games, rngs) = (games.bypass_change_detection(), rngs.bypass_change_detection());
        let rewards = &mut outcomes.rewards[range.clone()];
        let flags = &mut outcomes.terminated[range.clone()];
        if scope.is_all() {
            let columns = games.iter_mut().zip(last).zip(rngs);
            for (((game, last), rng), out) in columns.zip(rewards.iter_mut().zip(flags)) {
                step(&mut game.0, last, &mut rng.0, out);
            }
        } else {
            for i in scope.iter().map(|env| env - range.start) {
                step(&mut games[i].0, &last[i], &mut rngs[i].0, (&mut rewards[i], &mut flags[i]));
            }
        }
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn observe<G: Game<C>, const C: usize>(
    scope: Res<Scope>,
    mut observations: ResMut<Observations>,
    arenas: Query<(&Row, &State<G, C>)>,
) {
    let (cells, _) = observations.rows_mut::<u8>().as_chunks_mut::<C>();
    let (images, _) = cells.as_chunks_mut::<CELLS>();
    for (rows, games) in arenas.contiguous_iter().expect(IN_TABLES) {
        let first = rows[0].index();
        if scope.is_all() {
            for (image, game) in images[first..].iter_mut().zip(games) {
                *image = [[0; C]; CELLS];
                game.0.observe(image);
            }
        } else {
            for env in scope.iter() {
                images[env] = [[0; C]; CELLS];
                games[env - first].0.observe(&mut images[env]);
            }
        }
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn reset<G: Game<C>, const C: usize>(
    scope: Res<Scope>,
    mut arenas: Query<(&Row, &mut State<G, C>, &mut LastAction, &mut EnvRng<Mt19937>)>,
) {
    for (rows, mut games, mut last, mut rngs) in arenas.contiguous_iter_mut().expect(IN_TABLES) {
        let (games, rngs) = (games.bypass_change_detection(), rngs.bypass_change_detection());
        let (last, first) = (last.bypass_change_detection(), rows[0].index());
        for i in scope.iter().map(|env| env - first) {
            if rngs[i].0.is_fresh() {
                // A seed was given: from here on nothing of what came before may count.
                last[i].0 = GameAction::Noop;
            }
            games[i].0.reset(&mut rngs[i].0);
        }
    }
}
