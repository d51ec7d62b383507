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
