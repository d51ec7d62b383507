//! Hand-computed steps and rewards of the particle worlds.

use super::*;
use crate::{ActionBatch, MakeOptions, Registry, Simulator, StepBatch};

fn make(id: &str, args: &str) -> (Simulator, StepBatch) {
    let options = MakeOptions { args: toml::from_str(args).unwrap(), ..Default::default() };
    let mut simulator = Registry::builtin().make(id, &options).unwrap();
    let mut out = simulator.new_batch();
    simulator.reset(3, &mut out).unwrap();
    (simulator, out)
}

fn scene(sizes: &[f64]) -> Scene {
    let kind = |&size: &f64| Kind { size, acceleration: 5.0, max_speed: 1.0, color: [0; 3] };
    Scene {
        kinds: sizes.iter().map(kind).collect(),
        num_landmarks: 1,
        landmark_size: 0.2,
        solid_landmarks: true,
        landmark_range: 1.0,
        continuous_actions: false,
    }
}

fn at(x: f64, y: f64) -> Body {
    Body { position: [x, y], velocity: [0.0; 2] }
}

#[test]
fn a_push_changes_the_velocity_now_and_the_position_a_step_later() {
    let scene = scene(&[0.1]);
    let mut bodies = [at(0.0, 0.0)];
    scene.step(&mut bodies, &[[5.0, 5.0]], &mut [[5.0, 0.0]]);
    assert_eq!(bodies[0], Body { position: [0.0; 2], velocity: [0.5, 0.0] });
    scene.step(&mut bodies, &[[5.0, 5.0]], &mut [[0.0, 0.0]]);
    assert_eq!(bodies[0], Body { position: [0.05, 0.0], velocity: [0.375, 0.0] });
}

#[test]
fn speed_is_capped_and_keeps_its_direction() {
    let scene = scene(&[0.1]);
    let mut bodies = [Body { position: [0.0; 2], velocity: [4.0, 3.0] }];
    scene.step(&mut bodies, &[[5.0, 5.0]], &mut [[0.0; 2]]);
    let [x, y] = bodies[0].velocity;
    assert!((x - 0.8).abs() < 1e-15 && (y - 0.6).abs() < 1e-15, "{x} {y}");
}

#[test]
fn discs_that_touch_push_each_other_apart_by_their_depth() {
    // Exactly in touch the depth is ln 2 margins.
    let [x, y] = contact([0.5, 0.0], [0.0, 0.0], 0.5);
    assert!((x - 100.0 * 1e-3 * 2.0_f64.ln()).abs() < 1e-15 && y == 0.0, "{x}");
    // 0.2 deep: 200 margins, and ln(1 + e^200) is 200.
    let [x, y] = contact([0.0, 0.3], [0.0, 0.0], 0.5);
    assert!((y - 20.0).abs() < 1e-12 && x == 0.0, "{y}");
    assert_eq!(contact([2.0, 0.0], [0.0, 0.0], 0.5), [0.0; 2]);
    let scene = scene(&[0.25, 0.25]);
    let mut bodies = [at(0.0, 0.0), at(0.3, 0.0)];
    scene.step(&mut bodies, &[[5.0, 5.0]], &mut [[0.0; 2]; 2]);
    // Both are pushed to 2 a second and capped at 1.
    assert_eq!((bodies[0].velocity, bodies[1].velocity), ([-1.0, 0.0], [1.0, 0.0]));
}

#[test]
fn continuous_pushes_at_full_strength_are_the_discrete_ones() {
    for id in ["SimpleSpread-v3", "SimpleTag-v3"] {
        let (mut discrete, mut out) = make(id, "");
        let (mut continuous, mut other) = make(id, "continuous_actions = true");
        for step in 0..60 {
            let rows = discrete.num_rows();
            let actions: Vec<u32> = (0..rows).map(|row| ((step * 7 + row * 3) % 5) as u32).collect();
            let strengths =
                actions.iter().flat_map(|&action| (0..5).map(move |i| f32::from(i == action && i > 0)));
            let strengths = ActionBatch::Continuous(strengths.collect());
            discrete.step(&ActionBatch::Discrete(actions), &mut out).unwrap();
            continuous.step(&strengths, &mut other).unwrap();
            assert_eq!((&out.observations, &out.rewards), (&other.observations, &other.rewards));
        }
    }
}

#[test]
fn arguments_out_of_range_are_refused() {
    for (id, args, message) in [
        ("SimpleSpread-v3", "N = 0", "N must be between 1 and 16, got 0"),
        ("SimpleSpread-v3", "local_ratio = 1.5", "local_ratio must be between 0 and 1, got 1.5"),
        ("SimpleTag-v3", "num_good = 0", "num_good must be between 1 and 15, got 0"),
        ("SimpleTag-v3", "num_obstacles = 17", "num_obstacles must be at most 16, got 17"),
    ] {
        let options = MakeOptions { args: toml::from_str(args).unwrap(), ..Default::default() };
        assert_eq!(Registry::builtin().make(id, &options).unwrap_err().to_string(), message);
    }
    let options = MakeOptions { args: toml::from_str("max_cycles = 3").unwrap(), ..Default::default() };
    assert!(Registry::builtin().make("SimpleTag-v3", &options).is_err());
}

/// Return and last observation of the first and the last agent after 24 steps of MPE2 1.1.1 from seed 3.
const REFERENCE: [(&str, [f64; 2], [&[f64]; 2]); 2] = [
    (
        "SimpleSpread-v3",
        [-28.189462465006255, -28.189462465006255],
        [
            &[
                -0.28324699,
                0.27862078,
                -0.49819017,
                -0.80733925,
                0.45629275,
                0.12681706,
                0.96734446,
                0.03468327,
                0.28064653,
                0.84081960,
                1.18692362,
                0.82017690,
                -0.68091214,
                0.90542263,
                0.0,
                0.0,
                0.0,
                0.0,
            ],
            &[
                0.37536713,
                -0.15579395,
                -1.17910230,
                0.09808339,
                1.13720489,
                -0.77860558,
                1.64825654,
                -0.87073934,
                0.96155860,
                -0.06460302,
                0.68091214,
                -0.90542263,
                1.86783576,
                -0.08524574,
                0.0,
                0.0,
                0.0,
                0.0,
            ],
        ],
    ),
    (
        "SimpleTag-v3",
        [0.0, 0.0],
        [
            &[
                -0.17195757,
                0.17072324,
                -0.75991863,
                -0.47466829,
                1.18215752,
                -0.22072208,
                0.56412941,
                0.50480062,
                1.41417825,
                0.54810053,
                -0.14271593,
                0.25973302,
                0.60976905,
                -0.13707086,
                -0.12936953,
                -0.17195757,
            ],
            &[
                -0.12936953,
                -0.17195757,
                -0.15014960,
                -0.61173916,
                0.57238847,
                -0.08365122,
                -0.04563966,
                0.64187145,
                -0.60976905,
                0.13707086,
                0.80440921,
                0.68517137,
                -0.75248498,
                0.39680389,
                0.0,
                0.0,
            ],
        ],
    ),
];

#[test]
fn trajectories_are_those_of_the_reference() {
    for (id, returns, observations) in REFERENCE {
        let (mut simulator, mut out) = make(id, "");
        let (rows, len) = (simulator.num_rows(), simulator.observation_len());
        let mut totals = vec![0.0; rows];
        for step in 0..24 {
            let actions = (0..rows).map(|row| ((step * 7 + row * 3) % 5) as u32).collect();
            simulator.step(&ActionBatch::Discrete(actions), &mut out).unwrap();
            totals.iter_mut().zip(&out.rewards).for_each(|(total, reward)| *total += reward);
        }
        for (row, (total, expected)) in [0, rows - 1].into_iter().zip(returns.into_iter().zip(observations)) {
            assert!((totals[row] - total).abs() < 1e-9, "{id}: {} {total}", totals[row]);
            let obs = &out.observations.as_f32()[row * len..(row + 1) * len];
            let near = obs.iter().zip(expected).all(|(&a, b)| (f64::from(a) - b).abs() < 1e-6);
            assert!(near && obs.len() == expected.len(), "{id}, row {row}: {obs:?} {expected:?}");
        }
    }
}
