use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use agon_envs::spaces::{BoxSpace, Dtype};
use agon_envs::{Action, ActionBatch, ActionSpec, Env, EnvSpec, MakeOptions, Registry, Space, Step};
use serde::{Deserialize, Serialize};

use super::*;
use crate::augmentation::{Augmenter, Transformation};
use crate::learner::Spaces;
use crate::test_support::spec_of;

fn board(id: &str, num_envs: usize) -> (Simulator, StepBatch) {
    let mut options = MakeOptions { num_envs, ..Default::default() };
    options.args.insert("opponent".into(), "self".into());
    reset(Registry::builtin().make(id, &options).unwrap())
}

fn made(spec: &EnvSpec, num_envs: usize) -> (Simulator, StepBatch) {
    reset(spec.make(&MakeOptions { num_envs, ..Default::default() }).unwrap())
}

fn reset(mut simulator: Simulator) -> (Simulator, StepBatch) {
    let mut now = simulator.new_batch();
    simulator.reset(0, &mut now).unwrap();
    (simulator, now)
}

/// One move in every arena of a game against oneself.
fn make_moves(simulator: &mut Simulator, now: &mut StepBatch, moves: &[usize]) {
    let mut actions = vec![0; simulator.num_rows()];
    for (env, &action) in moves.iter().enumerate() {
        actions[env * simulator.num_agents() + simulator.turn(env)] = action as u32;
    }
    simulator.step(&ActionBatch::Discrete(actions), now).unwrap();
}

fn puct(simulations: usize) -> SearchConfig {
    let kind = SearchKind::Puct(PuctConfig { temperature_moves: 0, ..PuctConfig::default() });
    SearchConfig { simulations, outcomes: 0, kind, ..SearchConfig::default() }
}

fn gumbel(simulations: usize) -> SearchConfig {
    SearchConfig { simulations, outcomes: 0, ..SearchConfig::default() }
}

/// What a search with nothing but ends to go by finds.
fn find(
    settings: &SearchConfig,
    (simulator, now): (&mut Simulator, &StepBatch),
    mode: ActMode,
) -> Vec<Found> {
    let lookahead = Lookahead { settings, discount: 1.0, evaluator: &Uniform };
    let mut search = Search::new(simulator, settings).unwrap();
    search.search(simulator, now, &lookahead, &mut Pcg64::seed_from(1), mode).unwrap().to_vec()
}

#[test]
fn sequential_halving_visits_all_alike_then_the_better_half() {
    let schedule = |considered, budget| -> Vec<u32> {
        (0..budget).map(|simulation| gumbel::visits_at(considered, budget, simulation)).collect()
    };
    assert_eq!(schedule(4, 16), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    // Three phases of five: one round of each, and what is left among the last two.
    assert_eq!(schedule(5, 15), [0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    assert_eq!(schedule(1, 4), [0, 1, 2, 3]);
    assert_eq!(schedule(16, 4), [0; 4]);
}

#[test]
fn a_win_is_taken_a_loss_is_avoided_and_values_are_those_of_whoever_moves() {
    for settings in [puct(400), gumbel(400)] {
        let (mut simulator, mut now) = board("TicTacToe-v0", 2);
        // X . O     X X .
        // X O .     O . .
        // . . .     . . .
        // X wins below on the left, O has to stop X at the top right.
        for moves in [[0, 0], [2, 3], [3, 1]] {
            make_moves(&mut simulator, &mut now, &moves);
        }
        make_moves(&mut simulator, &mut now, &[4, 2]);
        let found = find(&settings, (&mut simulator, &now), ActMode::Deterministic);
        assert_eq!(found[0].action, 6, "{settings:?}");
        assert!(found[0].value > 0.5, "{settings:?}: {}", found[0].value);
        let (mut simulator, mut now) = board("TicTacToe-v0", 1);
        for action in [0, 4, 1] {
            make_moves(&mut simulator, &mut now, &[action]);
        }
        let found = find(&settings, (&mut simulator, &now), ActMode::Deterministic);
        assert_eq!(found[0].action, 2, "{settings:?}");
        assert!(found[0].policy[2] > 0.3 && found[0].policy[0] == 0.0, "{:?}", found[0].policy);
    }
}

#[test]
fn wins_losses_and_draws_are_proven_and_end_the_search() {
    for settings in [puct(400), gumbel(400)] {
        // Played out to a draw, to a win of who moves, and to a loss: X X . / . X O / . . O, and the corner that threatens twice.
        for (moves, value, action) in [
            (&[0, 1, 2, 4, 3, 5, 7, 6][..], 0.0, Some(8)),
            (&[0, 3, 1, 4], 1.0, Some(2)),
            (&[0, 5, 4, 8, 2], -1.0, None),
        ] {
            let (mut simulator, mut now) = board("TicTacToe-v0", 1);
            for &action in moves {
                make_moves(&mut simulator, &mut now, &[action]);
            }
            let found = find(&settings, (&mut simulator, &now), ActMode::Deterministic);
            assert!(found[0].proven && found[0].value == value, "{settings:?}: {:?}", found[0]);
            assert!(action.is_none_or(|action| found[0].action == action && found[0].policy[action] == 1.0));
            assert!((found[0].policy.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        // Lost, but only the block makes the other side play on.
        let (mut simulator, mut now) = board("TicTacToe-v0", 1);
        for action in [0, 3, 1] {
            make_moves(&mut simulator, &mut now, &[action]);
        }
        let settings = SearchConfig { simulations: 4000, ..settings };
        let found = find(&settings, (&mut simulator, &now), ActMode::Deterministic);
        assert!(found[0].proven && found[0].value == -1.0 && found[0].action == 2, "{:?}", found[0]);
        let (mut simulator, now) = board("TicTacToe-v0", 1);
        let settings = SearchConfig { simulations: 100, ..settings };
        assert!(!find(&settings, (&mut simulator, &now), ActMode::Deterministic)[0].proven);
    }
}

#[test]
fn the_value_of_a_lost_position_is_minus_one() {
    // X X .
    // . X O
    // . . O   O to move: it cannot stop both of X's lines, at the top right and at the bottom... unless it wins itself.
    let (mut simulator, mut now) = board("TicTacToe-v0", 1);
    for action in [0, 5, 4, 8] {
        make_moves(&mut simulator, &mut now, &[action]);
    }
    // X takes the corner that threatens twice.
    make_moves(&mut simulator, &mut now, &[2]);
    let found = find(&puct(2000), (&mut simulator, &now), ActMode::Deterministic);
    assert!(found[0].value < -0.8, "{}", found[0].value);
}

/// Counts the rows that it is asked about.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Evaluator for Counting {
    fn evaluate(
        &self,
        observations: &ObsBuffer,
        rows: usize,
        scratch: &mut ModelScratch,
        logits: &mut [f32],
        values: &mut [f32],
    ) -> Result<(), AgentError> {
        self.0.fetch_add(rows, Ordering::Relaxed);
        Uniform.evaluate(observations, rows, scratch, logits, values)
    }
}

#[test]
fn a_position_that_many_games_meet_is_judged_once() {
    let (mut simulator, now) = board("ConnectFour-v0", 16);
    let (settings, evaluator) = (puct(20), Counting::default());
    let lookahead = Lookahead { settings: &settings, discount: 1.0, evaluator: &evaluator };
    let mut search = Search::new(&simulator, &settings).unwrap();
    let mut rng = Pcg64::seed_from(1);
    let found = search.search(&mut simulator, &now, &lookahead, &mut rng, ActMode::Deterministic).unwrap();
    assert!(found.iter().all(|other| other == &found[0]));
    // The root and 20 positions, of which some may be met by two orders of moves.
    assert!(evaluator.0.load(Ordering::Relaxed) <= 21);
}

#[test]
fn only_environments_that_are_asked_about_are_searched_in() {
    let (mut simulator, now) = board("ConnectFour-v0", 3);
    let (settings, evaluator) = (gumbel(16), Uniform);
    let lookahead = Lookahead { settings: &settings, discount: 1.0, evaluator: &evaluator };
    let mut search = Search::new(&simulator, &settings).unwrap();
    let mut rng = Pcg64::seed_from(1);
    let mode = ActMode::Deterministic;
    let found = search.search_in(&[1], &mut simulator, &now, &lookahead, &mut rng, mode).unwrap();
    assert_eq!((found[0].depth, found[1].depth, found[2].depth), (Depth::None, Depth::Full, Depth::None));
    assert_eq!(search.trees()[1].node(search.trees()[1].root()).visits, 17);
}

#[test]
fn what_was_found_below_the_move_is_kept_and_trees_stay_within_their_room() {
    let (mut simulator, mut now) = board("ConnectFour-v0", 4);
    let (settings, evaluator) = (puct(50), Counting::default());
    let lookahead = Lookahead { settings: &settings, discount: 1.0, evaluator: &evaluator };
    let mut search = Search::new(&simulator, &settings).unwrap();
    let mut rng = Pcg64::seed_from(1);
    let mut kept = 0;
    for _ in 0..60 {
        let found = search.search(&mut simulator, &now, &lookahead, &mut rng, ActMode::Explore).unwrap();
        let moves: Vec<usize> = found.iter().map(|found| found.action).collect();
        kept += search.kept.iter().flatten().count();
        for tree in search.trees() {
            let root = tree.node(tree.root());
            assert!(root.visits == 51 || root.visits < 51 && root.proven.is_some(), "{root:?}");
        }
        make_moves(&mut simulator, &mut now, &moves);
    }
    assert!(kept > 150, "{kept}");
}

#[test]
fn a_kept_tree_finds_what_a_fresh_one_finds() {
    // Without noise, visits that are kept are those that a fresh search would take too, in a game without transpositions of
    // values: the values agree about.
    let (mut simulator, mut now) = board("TicTacToe-v0", 1);
    let settings = puct(3000);
    let lookahead = Lookahead { settings: &settings, discount: 1.0, evaluator: &Uniform };
    let mut search = Search::new(&simulator, &settings).unwrap();
    let mut rng = Pcg64::seed_from(1);
    let mode = ActMode::Deterministic;
    for action in [0, 4] {
        search.search(&mut simulator, &now, &lookahead, &mut rng, mode).unwrap();
        make_moves(&mut simulator, &mut now, &[action]);
    }
    let kept = search.search(&mut simulator, &now, &lookahead, &mut rng, mode).unwrap()[0].clone();
    let fresh = find(&settings, (&mut simulator, &now), mode)[0].clone();
    assert!((kept.value - fresh.value).abs() < 0.1, "{} and {}", kept.value, fresh.value);
    // Corner, middle: a draw.
    assert!(fresh.value.abs() < 0.2, "{}", fresh.value);
}

/// Whoever names the side of a coin that is about to be tossed gets 1; not naming one pays 0.6.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Coin;

impl Env for Coin {
    type Obs = f32;

    fn observation_space(&self) -> Space {
        Space::box_f32(&[0.0], &[1.0]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::discrete(3).unwrap()
    }

    fn reset(&mut self, _rng: &mut Pcg64, obs: &mut [f32]) {
        obs[0] = 0.0;
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        obs[0] = 0.0;
        let side = rng.integers(0, 2) as usize;
        Step::terminated(match action.index() {
            2 => 0.6,
            named => f64::from(u8::from(named == side)),
        })
    }
}

#[test]
fn a_search_does_not_see_the_future() {
    let means = |outcomes: usize| {
        let (mut simulator, mut now) = made(&spec_of(Coin), 64);
        let settings = SearchConfig { simulations: 60, outcomes, ..puct(60) };
        let lookahead = Lookahead { settings: &settings, discount: 1.0, evaluator: &Uniform };
        let mut search = Search::new(&simulator, &settings).unwrap();
        let mut rng = Pcg64::seed_from(1);
        let mut sum = 0.0;
        for _ in 0..20 {
            let mode = ActMode::Deterministic;
            let found = search.search(&mut simulator, &now, &lookahead, &mut rng, mode).unwrap();
            let actions = found.iter().map(|found| found.action as u32).collect();
            simulator.step(&ActionBatch::Discrete(actions), &mut now).unwrap();
            sum += now.rewards.iter().sum::<f64>();
        }
        sum / (64.0 * 20.0)
    };
    // One outcome of each: as good as guessing whenever a guess happened to be right.
    assert!((means(1) - 0.525).abs() < 0.05, "{}", means(1));
    // Many outcomes: the sure 0.6 is better than a mean of 0.5.
    assert!(means(60) > 0.58, "{}", means(60));
}

/// Three steps right pay 1; stepping left pays 0.1 and ends it.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Walk(u32);

impl Env for Walk {
    type Obs = f32;

    fn observation_space(&self) -> Space {
        Space::box_f32(&[0.0], &[3.0]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::discrete(2).unwrap()
    }

    fn reset(&mut self, _rng: &mut Pcg64, obs: &mut [f32]) {
        (self.0, obs[0]) = (0, 0.0);
    }

    fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        if action.index() == 0 {
            return Step::terminated(0.1);
        }
        self.0 += 1;
        obs[0] = self.0 as f32;
        if self.0 == 3 { Step::terminated(1.0) } else { Step::running(0.0) }
    }
}

/// Expects the more of a walk the further it has gone.
struct Hopeful;

impl Evaluator for Hopeful {
    fn evaluate(
        &self,
        observations: &ObsBuffer,
        _: usize,
        _: &mut ModelScratch,
        logits: &mut [f32],
        values: &mut [f32],
    ) -> Result<(), AgentError> {
        logits.fill(0.0);
        values.iter_mut().zip(observations.as_f32()).for_each(|(value, &at)| *value = at / 3.0);
        Ok(())
    }
}

#[test]
fn a_single_agent_looks_ahead_and_values_are_discounted() {
    let kind = SearchKind::Gumbel(GumbelConfig { c_scale: 0.1, ..GumbelConfig::default() });
    for settings in [SearchConfig { kind, ..gumbel(400) }, puct(400)] {
        let (mut simulator, now) = made(&spec_of(Walk::default()), 1);
        let lookahead = Lookahead { settings: &settings, discount: 0.5, evaluator: &Hopeful };
        let mut search = Search::new(&simulator, &settings).unwrap();
        let mut rng = Pcg64::seed_from(1);
        let mode = ActMode::Deterministic;
        let found = search.search(&mut simulator, &now, &lookahead, &mut rng, mode).unwrap();
        assert_eq!(found[0].action, 1);
        let tree = &search.trees()[0];
        let (_, left) = tree.action_value(tree.root(), 0, 0.5).unwrap();
        assert!((left - 0.1).abs() < 1e-6);
        // 0.5 * 0.5 * 1 for those that went all the way.
        let (_, right) = tree.action_value(tree.root(), 1, 0.5).unwrap();
        assert!(right > 0.12 && right <= 0.25, "{right}");
    }
}

#[test]
fn a_cut_episode_is_worth_what_the_network_says() {
    struct Two;
    impl Evaluator for Two {
        fn evaluate(
            &self,
            _: &ObsBuffer,
            _: usize,
            _: &mut ModelScratch,
            logits: &mut [f32],
            values: &mut [f32],
        ) -> Result<(), AgentError> {
            logits.fill(0.0);
            values.fill(2.0);
            Ok(())
        }
    }
    let (mut simulator, now) = made(&spec_of(Walk::default()).max_episode_steps(1), 1);
    let settings = puct(32);
    let lookahead = Lookahead { settings: &settings, discount: 0.5, evaluator: &Two };
    let mut search = Search::new(&simulator, &settings).unwrap();
    let mut rng = Pcg64::seed_from(1);
    search.search(&mut simulator, &now, &lookahead, &mut rng, ActMode::Deterministic).unwrap();
    let tree = &search.trees()[0];
    assert!((tree.action_value(tree.root(), 1, 0.5).unwrap().1 - 1.0).abs() < 1e-6);
    // Terminated by the first step, not cut.
    assert!((tree.action_value(tree.root(), 0, 0.5).unwrap().1 - 0.1).abs() < 1e-6);
}

#[test]
fn forced_visits_are_not_learned() {
    // The second side must stop three in a column; all else loses, and is visited because it is forced.
    let (mut simulator, mut now) = board("ConnectFour-v0", 1);
    for action in [0, 3, 0, 3, 0] {
        make_moves(&mut simulator, &mut now, &[action]);
    }
    let mut search_with = |forced_playouts: f64| {
        let puct = PuctConfig { forced_playouts, c_puct: 0.1, temperature_moves: 0, ..PuctConfig::default() };
        let settings = SearchConfig {
            simulations: 300,
            outcomes: 0,
            kind: SearchKind::Puct(puct),
            ..SearchConfig::default()
        };
        let lookahead = Lookahead { settings: &settings, discount: 1.0, evaluator: &Uniform };
        let mut search = Search::new(&simulator, &settings).unwrap();
        let mut rng = Pcg64::seed_from(1);
        let mode = ActMode::Explore;
        let found = search.search(&mut simulator, &now, &lookahead, &mut rng, mode).unwrap()[0].clone();
        let tree = &search.trees()[0];
        let visits = |action| tree.action_value(tree.root(), action, 1.0).map_or(0, |(visits, _)| visits);
        (found, (1..7).map(visits).sum::<u32>())
    };
    let ((with, forced), (without, free)) = (search_with(3.0), search_with(0.0));
    assert!(forced > free + 10, "{forced} and {free}");
    assert_eq!((with.action, without.action), (0, 0));
    assert!((with.policy.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    assert!(with.policy[0] >= without.policy[0], "{:?} and {:?}", with.policy, without.policy);
}

#[test]
fn cheap_searches_and_random_openings_are_recorded_as_such() {
    let (mut simulator, mut now) = board("ConnectFour-v0", 64);
    let settings = SearchConfig {
        full_probability: 0.25,
        cheap_simulations: 4,
        openings: OpeningConfig { moves: 4, probability: 0.5, share: 0.5 },
        ..gumbel(16)
    };
    let lookahead = Lookahead { settings: &settings, discount: 1.0, evaluator: &Uniform };
    let mut search = Search::new(&simulator, &settings).unwrap();
    let mut rng = Pcg64::seed_from(1);
    let mut counts = [0; 5];
    for tick in 0..8 {
        let found = search.search(&mut simulator, &now, &lookahead, &mut rng, ActMode::Explore).unwrap();
        for (env, found) in found.iter().enumerate() {
            counts[found.depth as usize] += 1;
            let is_random = found.depth == Depth::Random;
            let length = simulator.episode_length(env);
            assert!(!is_random || (env < 32 && length < 4), "environment {env} at {length}, tick {tick}");
            let mut data = vec![9.0; data_width(7)];
            found.write(&mut data);
            let recorded = Recorded::read(&data);
            assert_eq!((recorded.depth, recorded.value), (found.depth, found.value));
            assert_eq!(is_random, recorded.policy.iter().all(|&p| p == 0.0));
        }
        let moves: Vec<usize> = found.iter().map(|found| found.action).collect();
        make_moves(&mut simulator, &mut now, &moves);
    }
    let [none, cheap, full, random, resigned] = counts;
    assert!(none == 0 && resigned == 0 && cheap > 2 * full && (40..90).contains(&random), "{counts:?}");
    // Whoever evaluates gets full searches without chance.
    let found = search.search(&mut simulator, &now, &lookahead, &mut rng, ActMode::Deterministic).unwrap();
    assert!(found.iter().all(|found| found.depth == Depth::Full));
}

#[test]
fn games_that_are_given_up_are_played_on_with_hardly_any_search() {
    /// Whoever has fewer pieces has lost.
    struct Half;
    impl Evaluator for Half {
        fn evaluate(
            &self,
            observations: &ObsBuffer,
            rows: usize,
            _: &mut ModelScratch,
            logits: &mut [f32],
            values: &mut [f32],
        ) -> Result<(), AgentError> {
            let ObsBuffer::U8(bytes) = observations else { panic!("boards are bytes") };
            logits.fill(0.0);
            for (value, board) in values.iter_mut().zip(bytes.chunks_exact(bytes.len() / rows)) {
                let own = board.iter().step_by(3).filter(|&&byte| byte > 0).count();
                let other = board.iter().skip(1).step_by(3).filter(|&&byte| byte > 0).count();
                *value = if own < other { -0.9 } else { 0.0 };
            }
            Ok(())
        }
    }
    let resignation = ResignationConfig { value: 0.5, simulations: 2 };
    let settings = SearchConfig { resignation, ..gumbel(16) };
    let lookahead = Lookahead { settings: &settings, discount: 1.0, evaluator: &Half };
    let (mut simulator, mut now) = board("ConnectFour-v0", 3);
    let mut search = Search::new(&simulator, &settings).unwrap();
    let mut rng = Pcg64::seed_from(1);
    for (tick, (depth, visits)) in [(Depth::Full, 17), (Depth::Resigned, 3)].into_iter().enumerate() {
        let found = search.search(&mut simulator, &now, &lookahead, &mut rng, ActMode::Explore).unwrap();
        assert!(found.iter().all(|found| found.depth == depth), "tick {tick}: {found:?}");
        let roots = search.trees().iter().map(|tree| tree.node(tree.root()).visits);
        assert!(roots.into_iter().all(|own| own == visits), "tick {tick}");
        make_moves(&mut simulator, &mut now, &[3, 3, 3]);
    }
    make_moves(&mut simulator, &mut now, &[3, 3, 3]);
    // Whoever evaluates never gives up.
    let mode = ActMode::Deterministic;
    let found = search.search(&mut simulator, &now, &lookahead, &mut rng, mode).unwrap();
    assert!(found.iter().all(|found| found.depth == Depth::Full));
}

#[test]
fn a_search_of_one_future_is_refused_where_chance_has_a_say() {
    let search_once = |(mut simulator, now): (Simulator, StepBatch), outcomes: usize| {
        let settings = SearchConfig { outcomes, ..gumbel(4) };
        let lookahead = Lookahead { settings: &settings, discount: 1.0, evaluator: &Uniform };
        let mut search = Search::new(&simulator, &settings).unwrap();
        let mode = ActMode::Explore;
        search.search(&mut simulator, &now, &lookahead, &mut Pcg64::seed_from(1), mode).map(<[_]>::len)
    };
    let registry = Registry::builtin();
    let random = |id: &str| made(&registry.get(id).unwrap(), 8);
    for id in ["ConnectFour-v0", "Game2048-v0", "MinAtar/Breakout-v0"] {
        let error = search_once(random(id), 0).unwrap_err().to_string();
        assert!(error.contains("search.outcomes must be at least 1"), "{id}: {error}");
        assert_eq!(search_once(random(id), 2).unwrap(), 8, "{id}");
    }
    assert_eq!(search_once(random("CartPole-v1"), 0).unwrap(), 8);
    assert_eq!(search_once(board("ConnectFour-v0", 8), 0).unwrap(), 8);
}

#[test]
fn environments_that_cannot_be_searched_in_are_refused() {
    let (simulator, _) = made(&Registry::builtin().get("Foraging-8x8-2p-2f-v3").unwrap(), 1);
    let error = Search::new(&simulator, &gumbel(4)).err().unwrap().to_string();
    assert!(error.contains("2 that act at the same time"), "{error}");
    let (simulator, _) = made(&Registry::builtin().get("Pendulum-v1").unwrap(), 1);
    assert!(Search::new(&simulator, &gumbel(4)).is_err());
    let (simulator, _) = board("TicTacToe-v0", 64);
    for (settings, field) in [
        // More copies than any memory has room for.
        (gumbel(100_000), "below 32768, for 64 environments"),
        (gumbel(0), "search.simulations"),
        (SearchConfig { full_probability: 0.0, ..gumbel(4) }, "search.full_probability"),
        (SearchConfig { cheap_simulations: 0, ..gumbel(4) }, "search.cheap_simulations"),
        (
            SearchConfig { resignation: ResignationConfig { value: 1.5, simulations: 1 }, ..gumbel(4) },
            "search.resignation.value",
        ),
    ] {
        let error = Search::new(&simulator, &settings).err().unwrap().to_string();
        assert!(error.contains(field), "{error}");
    }
}

/// Says that the top left corner of a board of 3 × 3 is worth its first number, and that every cell is as good as its own; the
/// last action is as good as the corner.
struct Lopsided(Option<Looks>);

impl Evaluator for Lopsided {
    fn evaluate(
        &self,
        observations: &ObsBuffer,
        _: usize,
        _: &mut ModelScratch,
        logits: &mut [f32],
        values: &mut [f32],
    ) -> Result<(), AgentError> {
        for (row, board) in observations.as_f32().chunks_exact(18).enumerate() {
            values[row] = board[0];
            logits[row * 10..row * 10 + 9]
                .iter_mut()
                .zip(board.chunks_exact(2))
                .for_each(|(to, cell)| *to = cell[0]);
            logits[row * 10 + 9] = board[0];
        }
        Ok(())
    }

    fn looks(&self) -> Option<&Looks> {
        self.0.as_ref()
    }
}

#[test]
fn a_position_is_judged_by_the_mean_of_its_looks() {
    let settings = r#"[{ kind = "symmetry", group = "square", actions = "cells" }]"#;
    let settings: Vec<Transformation> = toml::Value::from_str(settings).unwrap().try_into().unwrap();
    let spaces = Spaces {
        observation: Space::Box(BoxSpace::uniform(0.0, 100.0, &[3, 3, 2], Dtype::F32).unwrap()),
        frames: None,
        action: ActionSpec::Discrete { nvec: vec![10] },
        mask_len: 0,
        tasks: Vec::new(),
    };
    let looks = Augmenter::new(&settings, &spaces).unwrap().looks().unwrap();
    assert_eq!(looks.0.len(), 8);
    assert_eq!(looks.0[0], Look::of(18, 10));
    let evaluator = Lopsided(Some(looks));
    let boards = ObsBuffer::F32((0..36).map(|at| at as f32).collect());
    let judged = |looks: usize, evaluator: &Lopsided| {
        let settings = SearchConfig { looks, ..SearchConfig::default() };
        let (mut logits, mut values) = (vec![0.0; 20], vec![0.0; 2]);
        let scratch = &mut ModelScratch::default();
        settings.judge(evaluator, (&boards, 2), scratch, &mut logits, &mut values).map(|()| (logits, values))
    };
    let cells = |first: f32| (0..9).map(move |cell| first + 2.0 * cell as f32);
    // Each corner of the first board, 0, 4, 12 and 16, is on top at the left twice; cells keep their numbers in every look.
    let (logits, values) = judged(8, &evaluator).unwrap();
    assert_eq!(values, [8.0, 26.0]);
    let expected: Vec<f32> = cells(0.0).chain([8.0]).chain(cells(18.0)).chain([26.0]).collect();
    assert_eq!(logits, expected);
    // More looks than there are, one, and the mirrored one beside it.
    assert_eq!(judged(100, &evaluator).unwrap(), (logits, values));
    assert_eq!(judged(1, &evaluator).unwrap().1, [0.0, 18.0]);
    assert_eq!(judged(2, &evaluator).unwrap().1, [2.0, 20.0]);
    let error = judged(2, &Lopsided(None)).unwrap_err().to_string();
    assert!(error.contains("search.looks") && error.contains("agent.symmetries"), "{error}");
}
