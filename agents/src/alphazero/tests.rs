use agon_envs::spaces::Dtype;
use agon_envs::{ActionSpec, EpisodeStats};

use super::positions::Shape;
use super::*;
use crate::FragmentShape;
use crate::search::Depth;

const SHAPE: Shape = Shape { dtype: Dtype::U8, observation_len: 2, actions: 2 };

/// A fragment of a game of two rows, in which each tick is searched by whose turn it is; the first side wins with the last.
fn game(depths: &[Depth]) -> Fragment {
    let shape = FragmentShape {
        num_steps: depths.len(),
        num_envs: 1,
        num_agents: 2,
        observation_len: 2,
        dtype: Dtype::U8,
        action_spec: ActionSpec::Discrete { nvec: vec![2] },
        policy_data_width: data_width(2),
        policy_state_len: 0,
        mask_len: 2,
        num_metrics: 0,
        num_tasks: 0,
        privileged: None,
    };
    let mut fragment = Fragment::new(&shape);
    for (t, depth) in depths.iter().enumerate() {
        let mover = 2 * t + t % 2;
        let data = &mut fragment.policy_data[mover * 5..mover * 5 + 5];
        data.copy_from_slice(&[f32::from(*depth as u8), 0.1 * t as f32, 0.0, 0.25, 0.75]);
    }
    let last = 2 * (depths.len() - 1);
    fragment.rewards[last..last + 2].copy_from_slice(&[1.0, -1.0]);
    fragment.terminated[last..last + 2].fill(true);
    for row in [0, 1] {
        fragment.final_rows.push(last as u32 + row);
        let stats = EpisodeStats { row, episode_return: 0.0, episode_length: depths.len() as u32 };
        fragment.episodes.push((depths.len() as u32 - 1, stats));
    }
    fragment.final_observations.resize(4);
    fragment
}

fn targets(gamma: f32, search_value: f32, td_steps: usize) -> Targets {
    Targets { gamma, search_value, td_steps }
}

/// What the values of all positions learn, and whether their probabilities are learned.
fn learned(fragment: &Fragment, targets: Targets) -> (Vec<f32>, Vec<bool>) {
    let (mut episodes, mut positions) = (Episodes::new(2), Positions::new(100, SHAPE));
    let finals = vec![0.0; fragment.final_rows.len()];
    let count = episodes.take_in(fragment, &finals, targets, &mut positions).positions;
    assert_eq!(count, positions.len());
    let all: Vec<u64> = (0..count as u64).collect();
    let drawn = positions.gather(&all).unwrap();
    (drawn.values, drawn.full)
}

#[test]
fn each_side_learns_what_the_game_came_to_for_it() {
    use Depth::{Cheap, Full};
    let fragment = game(&[Full, Cheap, Full]);
    // The first row's positions, of ticks 0 and 2, then the second row's.
    let (values, full) = learned(&fragment, targets(1.0, 0.0, 0));
    assert_eq!(values, [1.0, 1.0, -1.0]);
    assert_eq!(full, [true, true, false]);
    // Ticks in which it is the other side's turn count for the discount too.
    assert_eq!(learned(&fragment, targets(0.5, 0.0, 0)).0, [0.25, 1.0, -0.5]);
    // A quarter of the search's own values 0, 0.2 and 0.1.
    let (values, _) = learned(&fragment, targets(1.0, 0.25, 0));
    for (value, expected) in values.iter().zip([0.75, 0.8, -0.725]) {
        assert!((value - expected).abs() < 1e-6, "{values:?}");
    }
}

#[test]
fn before_a_random_move_values_learn_what_the_search_found() {
    use Depth::{Full, Random};
    let (values, _) = learned(&game(&[Full, Full, Random, Full, Full]), targets(1.0, 0.0, 0));
    // Ticks 0, 4 of the first row; 1, 3 of the second.
    assert_eq!(values, [0.0, 1.0, 0.1, -1.0]);
}

#[test]
fn games_that_were_given_up_wrongly_are_counted() {
    use Depth::{Full, Resigned};
    let judged = |depths: &[Depth]| {
        let (mut episodes, mut positions) = (Episodes::new(2), Positions::new(100, SHAPE));
        episodes.take_in(&game(depths), &[0.0; 2], targets(1.0, 0.0, 0), &mut positions)
    };
    // The search's values are above zero at ticks 1 to 3; the first side wins, which moves in the even ones.
    let found = judged(&[Full, Resigned, Resigned, Resigned, Full]);
    assert_eq!(found, Judged { positions: 5, resigned: 3, resigned_wrongly: 2 });
    assert_eq!(judged(&[Full; 3]), Judged { positions: 3, resigned: 0, resigned_wrongly: 0 });
    let (values, full) = learned(&game(&[Resigned, Full, Full]), targets(1.0, 0.0, 0));
    assert_eq!((values, full), (vec![1.0, 1.0, -1.0], vec![false, true, true]));
}

#[test]
fn what_is_proven_is_learned_whatever_the_episode_came_to() {
    let mut fragment = game(&[Depth::Full; 3]);
    // The second side had a draw in tick 1, and lost.
    fragment.policy_data[3 * 5 + 1..3 * 5 + 3].copy_from_slice(&[0.0, 1.0]);
    assert_eq!(learned(&fragment, targets(1.0, 0.0, 0)).0, [1.0, 1.0, 0.0]);
}

#[test]
fn long_episodes_lean_on_the_search_after_some_steps() {
    use Depth::Full;
    let (values, _) = learned(&game(&[Full; 5]), targets(1.0, 0.0, 2));
    // The search's values at ticks 2 and 3 for ticks 0 and 1; for the others the end, which had come by then.
    assert_eq!(values, [0.2, 0.3, 1.0, 1.0, -1.0]);
}

#[test]
fn a_buffer_forgets_the_oldest_and_is_saved_in_chunks() {
    let mut positions = Positions::new(40, SHAPE);
    let mut episodes = Episodes::new(2);
    for _ in 0..30 {
        let fragment = game(&[Depth::Full; 3]);
        episodes.take_in(&fragment, &[0.0; 2], targets(1.0, 0.0, 0), &mut positions);
    }
    assert_eq!(positions.len(), 40);
    let mut store = MemoryStore::default();
    let saved = encode(&positions.save(&mut store).unwrap()).unwrap();
    let other = Positions::new(40, SHAPE).restored(decode(&saved).unwrap(), &store).unwrap();
    assert_eq!(other, positions);
    let mut drawn = Vec::new();
    positions.draw(500, &mut Pcg64::seed_from(1), &mut drawn);
    assert!(drawn.iter().all(|slot| (50..90).contains(slot)));
    assert_eq!(positions.gather(&drawn).unwrap().values.len(), 500);
    // Of another shape, or with a chunk missing.
    for other in [Positions::new(41, SHAPE), Positions::new(40, Shape { actions: 3, ..SHAPE })] {
        assert!(other.restored(decode(&saved).unwrap(), &store).is_err());
    }
    let missing = Positions::new(40, SHAPE).restored(decode(&saved).unwrap(), &MemoryStore::default());
    assert!(matches!(missing, Err(AgentError::Chunk { .. })));
}
