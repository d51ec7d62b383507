//! Against Opacus, and what must hold whatever the numbers.

use super::*;

/// What Opacus says of one setting; see `benches/opacus_accountants.py`.
#[derive(serde::Deserialize)]
struct Row {
    sample_rate: f64,
    noise_multiplier: f64,
    steps: u64,
    delta: f64,
    rdp: f64,
    prv: f64,
}

fn reference() -> Vec<Row> {
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(&include_bytes!("../../../tests/golden/privacy/opacus.csv")[..]);
    reader.deserialize().collect::<Result<_, _>>().unwrap()
}

#[test]
fn both_accountants_say_what_opacus_says() {
    let rows = reference();
    assert!(rows.len() >= 60, "{} rows", rows.len());
    for Row { sample_rate, noise_multiplier, steps, delta, rdp, prv } in rows {
        let mechanism = Mechanism { sample_rate, noise_multiplier, steps };
        let own = Spent::of(mechanism, delta).unwrap();
        assert!((own.rdp.epsilon - rdp).abs() < 1e-3, "{own:?}: rdp {rdp}");
        let upper = own.prv.unwrap().upper;
        assert!((upper - prv).abs() < 1e-3, "{own:?}: prv {prv}");
    }
}

const USUAL: Mechanism = Mechanism { sample_rate: 0.01, noise_multiplier: 1.0, steps: 1000 };

#[test]
fn the_known_setting_has_its_known_numbers() {
    let Spent { rdp, prv, .. } = Spent::of(USUAL, 1e-5).unwrap();
    let prv = prv.unwrap();
    assert!((rdp.epsilon - 2.101).abs() < 1e-3, "{rdp:?}");
    assert!((prv.upper - 1.838).abs() < 1e-3 && (prv.estimate - 1.828).abs() < 1e-3, "{prv:?}");
    assert!(prv.lower < prv.estimate);
}

#[test]
fn without_sampling_one_step_is_the_gaussian_mechanism() {
    // Balle and Wang 2018, theorem 8: δ(ε) = Φ(1/2σ − εσ) − e^ε Φ(−1/2σ − εσ).
    let sigma = 2.0;
    let normal = |x: f64| 0.5 * statrs::function::erf::erfc(-x / std::f64::consts::SQRT_2);
    let delta_at = |epsilon: f64| {
        normal(0.5 / sigma - epsilon * sigma) - epsilon.exp() * normal(-0.5 / sigma - epsilon * sigma)
    };
    let mechanism = Mechanism { sample_rate: 1.0, noise_multiplier: sigma, steps: 1 };
    let prv = prv::epsilon(&mechanism, 1e-5).unwrap().unwrap();
    assert!((delta_at(prv.estimate) / 1e-5 - 1.0).abs() < 0.02, "{prv:?} {}", delta_at(prv.estimate));
    // Four steps without sampling are one with half the noise.
    let four = Mechanism { noise_multiplier: 2.0 * sigma, steps: 4, ..mechanism };
    assert!((prv::epsilon(&four, 1e-5).unwrap().unwrap().estimate - prv.estimate).abs() < 1e-3);
}

#[test]
fn more_steps_spend_more_and_more_noise_spends_less() {
    let spent = |mechanism| {
        let spent = Spent::of(mechanism, 1e-5).unwrap();
        [spent.rdp.epsilon, spent.prv.unwrap().upper]
    };
    let usual = spent(USUAL);
    for (more, less) in [
        (spent(Mechanism { steps: 2000, ..USUAL }), usual),
        (spent(Mechanism { sample_rate: 0.02, ..USUAL }), usual),
        (usual, spent(Mechanism { noise_multiplier: 1.5, ..USUAL })),
    ] {
        assert!(more[0] > less[0] && more[1] > less[1], "{more:?} {less:?}");
    }
}

#[test]
fn noise_is_found_for_a_budget() {
    let noise = noise_for(0.01, 1000, 2.101, 1e-5).unwrap();
    assert!((noise - 1.0).abs() < 1e-3, "{noise}");
    assert!(noise_for(0.01, 1000, -1.0, 1e-5).is_err());
}

#[test]
fn numbers_out_of_range_are_refused_and_large_grids_left_out() {
    for (mechanism, delta, word) in [
        (Mechanism { sample_rate: 0.0, ..USUAL }, 1e-5, "sample_rate"),
        (Mechanism { noise_multiplier: f64::NAN, ..USUAL }, 1e-5, "noise_multiplier"),
        (Mechanism { steps: 0, ..USUAL }, 1e-5, "steps"),
        (USUAL, 0.0, "delta"),
    ] {
        let message = Spent::of(mechanism, delta).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
    let spent = Spent::of(Mechanism { noise_multiplier: 0.3, steps: 1_000_000, ..USUAL }, 1e-5).unwrap();
    assert!(spent.prv.is_none() && spent.epsilon() == spent.rdp.epsilon);
}
