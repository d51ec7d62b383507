//! Hand-computed numbers, identities, and the reference's recordings.

use super::*;
use crate::test_support::Golden;

/// Runs `estimate` on the recorded trajectory and compares with the recorded tensor.
fn compare(golden: &Golden, expected: &str, estimate: impl Fn(&Trajectory<'_>, f32, &mut [f32])) {
    let (rewards, values) = (golden.floats("reward"), golden.floats("value"));
    let (next_values, expected) = (golden.floats("value_next"), golden.floats(expected));
    let (terminated, truncated) = (golden.flags("terminated"), golden.flags("truncated"));
    let trajectory = Trajectory {
        num_rows: 3,
        rewards: &rewards,
        values: &values,
        next_values: &next_values,
        terminated: &terminated,
        truncated: &truncated,
    };
    let mut out = vec![0.0; rewards.len()];
    estimate(&trajectory, golden.floats("gamma")[0], &mut out);
    for (i, (got, want)) in out.iter().zip(&expected).enumerate() {
        assert!((got - want).abs() <= 1e-5 + 1e-4 * want.abs(), "row {i}: expected {want}, got {got}");
    }
}

#[test]
fn gae_equals_the_reference() {
    let golden = Golden::load("gae.safetensors");
    let lambda = golden.floats("gae_lambda")[0];
    compare(&golden, "advantage", |trajectory, gamma, out| gae(trajectory, gamma, lambda, out));
    compare(&golden, "ret", |trajectory, gamma, out| {
        gae(trajectory, gamma, lambda, out);
        out.iter_mut().zip(trajectory.values).for_each(|(a, v)| *a += v);
    });
}

#[test]
fn n_step_equals_the_reference() {
    let golden = Golden::load("n_step.safetensors");
    compare(&golden, "ret", |trajectory, gamma, out| n_step(trajectory, gamma, 3, out));
}

#[test]
fn vtrace_equals_the_reference() {
    let golden = Golden::load("vtrace.safetensors");
    let (ratios, rho_bar) = (golden.floats("rho"), golden.floats("rho_bar")[0]);
    let c_bar = golden.floats("c_bar")[0];
    compare(&golden, "vs", |trajectory, gamma, out| {
        vtrace(trajectory, &ratios, gamma, rho_bar, c_bar, out, &mut vec![0.0; ratios.len()]);
    });
    compare(&golden, "pg_advantage", |trajectory, gamma, out| {
        vtrace(trajectory, &ratios, gamma, rho_bar, c_bar, &mut vec![0.0; ratios.len()], out);
    });
}

const NEVER: [bool; 3] = [false; 3];

fn one_env<'a>(terminated: &'a [bool], truncated: &'a [bool]) -> Trajectory<'a> {
    Trajectory {
        num_rows: 1,
        rewards: &[1.0, 2.0, 3.0],
        values: &[0.5, 0.25, 0.125],
        next_values: &[0.25, 0.125, 10.0],
        terminated,
        truncated,
    }
}

#[test]
fn lambda_one_is_monte_carlo() {
    let mut out = [0.0; 3];
    gae(&one_env(&NEVER, &NEVER), 0.5, 1.0, &mut out);
    // Returns with the bootstrap 10: 1 + 1 + 0.75 + 1.25 = 4, then 6 and 8.
    assert_eq!(out, [4.0 - 0.5, 6.0 - 0.25, 8.0 - 0.125]);
}

#[test]
fn truncation_bootstraps_from_final_observation() {
    let mut out = [0.0; 3];
    gae(&one_env(&NEVER, &[false, false, true]), 0.5, 0.9, &mut out);
    assert_eq!(out[2], 3.0 + 0.5 * 10.0 - 0.125);
    n_step(&one_env(&NEVER, &[false, true, false]), 0.5, 3, &mut out);
    assert_eq!(out[0], 1.0 + 0.5 * 2.0 + 0.25 * 0.125);
}

#[test]
fn termination_never_bootstraps() {
    let mut out = [0.0; 3];
    // A NaN where nothing follows must not leak.
    let next_values = [0.25, f32::NAN, f32::NAN];
    let terminated = [false, true, true];
    let trajectory = Trajectory { next_values: &next_values, ..one_env(&terminated, &NEVER) };
    gae(&trajectory, 0.5, 0.9, &mut out);
    assert_eq!(out[2], 3.0 - 0.125);
    assert_eq!(out[1], 2.0 - 0.25);
    n_step(&trajectory, 0.5, 2, &mut out);
    assert_eq!(out, [1.0 + 0.5 * 2.0, 2.0, 3.0]);
}

#[test]
fn vtrace_without_correction_is_monte_carlo() {
    let (mut vs, mut pg_advantages, mut advantages) = ([0.0; 3], [0.0; 3], [0.0; 3]);
    let trajectory = one_env(&NEVER, &NEVER);
    vtrace(&trajectory, &[1.0; 3], 0.5, 1.0, 1.0, &mut vs, &mut pg_advantages);
    gae(&trajectory, 0.5, 1.0, &mut advantages);
    assert_eq!(vs, [4.0, 6.0, 8.0]);
    assert_eq!(pg_advantages, advantages);
}

#[test]
fn vtrace_bounds_its_weights() {
    let (mut vs, mut pg_advantages) = ([0.0; 3], [0.0; 3]);
    let trajectory = one_env(&NEVER, &[false, true, false]);
    vtrace(&trajectory, &[4.0, 0.5, 4.0], 0.5, 2.0, 0.25, &mut vs, &mut pg_advantages);
    // Temporal differences 0.625, 1.8125 and 7.875, weighted by 2, 0.5 and 2.
    assert_eq!(vs[2], 0.125 + 15.75);
    assert_eq!(vs[1], 0.25 + 0.90625);
    assert_eq!(vs[0], 0.5 + 1.25 + 0.5 * 0.25 * 0.90625);
    // The first step sees the corrected value, the truncated one that of its final observation.
    assert_eq!(pg_advantages, [2.0 * (1.0 + 0.5 * vs[1] - 0.5), 0.5 * 1.8125, 15.75]);
}

#[test]
fn vtrace_never_bootstraps_after_termination() {
    let (mut vs, mut pg_advantages) = ([0.0; 3], [0.0; 3]);
    let next_values = [0.25, f32::NAN, f32::NAN];
    let terminated = [false, true, true];
    let trajectory = Trajectory { next_values: &next_values, ..one_env(&terminated, &NEVER) };
    vtrace(&trajectory, &[1.0; 3], 0.5, 1.0, 1.0, &mut vs, &mut pg_advantages);
    assert_eq!(vs, [2.0, 2.0, 3.0]);
    assert_eq!(pg_advantages, [1.5, 1.75, 2.875]);
}

#[test]
fn explained_variance_is_one_for_perfect_values() {
    assert_eq!(explained_variance(&[1.0, 2.0, 4.0], &[1.0, 2.0, 4.0]), 1.0);
    assert_eq!(explained_variance(&[2.0, 2.0, 2.0], &[1.0, 2.0, 3.0]), 0.0);
    assert!(explained_variance(&[1.0], &[1.0]).is_nan());
}

#[test]
fn advantages_over_v_trace_targets_are_those_of_v_trace_without_their_weights() {
    // Two environments of four steps: one truncated at the second, one terminated at the third.
    let trajectory = Trajectory {
        num_rows: 2,
        rewards: &[1.0, 2.0, 0.5, -1.0, 0.25, 3.0, 1.5, 0.0],
        values: &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
        next_values: &[0.3, 0.4, 9.0, 0.6, 0.7, 0.8, 0.9, 1.0],
        terminated: &[false, false, false, false, false, true, false, false],
        truncated: &[false, false, true, false, false, false, false, false],
    };
    let ratios = [0.5, 1.5, 2.0, 0.25, 0.75, 1.0, 0.5, 3.0];
    let (mut vs, mut weighted, mut plain) = ([0.0; 8], [0.0; 8], [0.0; 8]);
    vtrace(&trajectory, &ratios, 0.9, 1.0, 1.0, &mut vs, &mut weighted);
    one_step_advantages(&trajectory, &vs, 0.9, &mut plain);
    for row in 0..8 {
        assert!((ratios[row].min(1.0) * plain[row] - weighted[row]).abs() < 1e-6, "row {row}");
    }
    // By hand: r + γ · 9 − V where the first environment was truncated, r − V where the second one terminated.
    assert!((plain[2] - (0.5 + 8.1 - 0.3)).abs() < 1e-6 && (plain[5] - 2.4).abs() < 1e-6);
}
