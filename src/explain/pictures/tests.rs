use agon_policy::{
    ActionSpace, Activation, Decision, InputKind, InputPart, Operation, Parameter, Parameters, PolicyProgram,
    PortablePolicy,
};

use super::*;
use crate::explain::features::Group;
use crate::explain::tests::{setup, trained, trained_with};

fn parameter(shape: &[usize], values: &[f32]) -> Parameter {
    Parameter { shape: shape.to_vec(), values: values.to_vec() }
}

/// A policy of values that is made by hand.
fn made(
    shape: &[usize],
    actions: usize,
    operations: Vec<Operation>,
    parameters: &[(&str, Parameter)],
) -> PortablePolicy {
    let part = InputPart {
        name: "obs".to_owned(),
        shape: shape.to_vec(),
        kind: InputKind::Float,
        low: Vec::new(),
        high: Vec::new(),
    };
    let program = PolicyProgram {
        inputs: vec![part],
        preparation: Vec::new(),
        operations,
        decision: Decision::Values { actions },
        adjustments: Vec::new(),
        action: ActionSpace::Discrete { n: actions, start: 0 },
        mask_len: 0,
    };
    let parameters: Parameters =
        parameters.iter().map(|(name, parameter)| ((*name).to_owned(), parameter.clone())).collect();
    PortablePolicy::new(program, &parameters).unwrap()
}

fn linear(name: &str, inputs: usize, outputs: usize) -> Operation {
    Operation::Linear { weight: format!("{name}.w"), bias: format!("{name}.b"), inputs, outputs }
}

fn point<'a>(policy: &'a PortablePolicy, observation: &[f32], action: usize) -> Point<'a> {
    Point::new(policy, policy.begin(), observation, Target::Values(vec![action])).unwrap()
}

fn view(policy: &PortablePolicy, values: usize) -> View {
    let group = |value: usize| Group { name: value.to_string(), values: vec![value] };
    View::new(policy, (0..values).map(group).collect())
}

fn reference(baseline: &[f32]) -> Reference {
    Reference { baseline: baseline.to_vec(), ranges: vec![1.0; baseline.len()], seed: 5 }
}

#[test]
fn of_a_linear_policy_every_method_gives_its_weights() {
    let parameters = [
        ("a.w", parameter(&[2, 3], &[9.0, 9.0, 9.0, 2.0, -1.0, 0.5])),
        ("a.b", parameter(&[2], &[0.0, 7.0])),
    ];
    let policy = made(&[3], 2, vec![linear("a", 3, 2)], &parameters);
    let point = point(&policy, &[3.0, 4.0, -2.0], 1);
    let (reference, view) = (reference(&[1.0, -1.0, 2.0]), view(&policy, 3));
    let of = |method| attribute(method, &point, &reference, &view).unwrap().unwrap();
    let close = |found: &[f64], expected: &[f64]| {
        let is_close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(is_close, "expected {expected:?}, found {found:?}");
    };
    // w · (x − x⁰).
    let integrated = of(Method::IntegratedGradients);
    close(&integrated.of_values.unwrap(), &[4.0, -5.0, -2.0]);
    let told = integrated.integrated.unwrap();
    assert!((told.difference + 3.0).abs() < 1e-6 && told.error < 1e-6, "{told:?}");
    assert_eq!(told.gradients, 8, "a straight path needs no more than it begins with");
    close(&of(Method::Occlusion).of_values.unwrap(), &[4.0, -5.0, -2.0]);
    close(&of(Method::Gradient).of_values.unwrap(), &[2.0, 1.0, 0.5]);
    close(&of(Method::SmoothGrad).of_values.unwrap(), &[2.0, 1.0, 0.5]);
    assert!(attribute(Method::GradCam, &point, &reference, &view).unwrap().is_none(), "there is no image");
}

#[test]
fn integrated_gradients_cut_the_path_at_kinks() {
    // max(0, x + y − 1), from (0, 0) to (2, 1): zero for the first third, then a slope of one.
    let parameters = [
        ("a.w", parameter(&[1, 2], &[1.0, 1.0])),
        ("a.b", parameter(&[1], &[-1.0])),
        ("b.w", parameter(&[1, 1], &[1.0])),
        ("b.b", parameter(&[1], &[0.0])),
    ];
    let relu = Operation::Activation { function: Activation::Relu };
    let policy = made(&[2], 1, vec![linear("a", 2, 1), relu, linear("b", 1, 1)], &parameters);
    let point = point(&policy, &[2.0, 1.0], 0);
    let found = integrated(&point, &[0.0, 0.0]).unwrap();
    assert_eq!(found.difference, 2.0);
    assert!(found.is_complete() && found.gradients > 8 && found.gradients < 40, "{found:?}");
    assert!((found.of_inputs[0] - 4.0 / 3.0).abs() < 0.02, "{found:?}");
    assert!((found.of_inputs[1] - 2.0 / 3.0).abs() < 0.01, "{found:?}");
}

#[test]
fn grad_cam_weighs_what_the_last_convolution_found() {
    // Two filters over a pixel each, `x` and `1 − x`, then sums of each filter's map with a weight.
    let parameters = [
        ("c.w", parameter(&[2, 1, 1, 1], &[1.0, -1.0])),
        ("c.b", parameter(&[2], &[0.0, 1.0])),
        ("a.w", parameter(&[1, 18], &[[2.0; 9], [-1.0; 9]].concat())),
        ("a.b", parameter(&[1], &[0.0])),
    ];
    let convolution = Operation::Conv2d {
        weight: "c.w".to_owned(),
        bias: "c.b".to_owned(),
        input: [1, 3, 3],
        output: [2, 3, 3],
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
    };
    let operations = vec![
        Operation::ChannelsFirst { output: [1, 3, 3] },
        convolution,
        Operation::Activation { function: Activation::Relu },
        linear("a", 18, 1),
    ];
    let policy = made(&[3, 3, 1], 1, operations, &parameters);
    let seen = [0.0, 0.25, 0.5, 1.0, 2.0, -1.0, 0.0, 0.0, 3.0];
    let point = point(&policy, &seen, 0);
    let found = attribute(Method::GradCam, &point, &reference(&[0.0; 9]), &view(&policy, 9));
    // The means of the derivatives are 2 and −1: max(0, 2 · max(0, x) − max(0, 1 − x)).
    let expected = [0.0, 0.0, 0.5, 2.0, 4.0, 0.0, 0.0, 0.0, 6.0];
    assert_eq!(found.unwrap().unwrap().of_cells.unwrap(), expected);
}

#[test]
fn maps_are_resized_between_their_centers() {
    let found = attribution::resized(&[0.0, 4.0], [1, 2], [1, 4]);
    assert_eq!(found, [0.0, 1.0, 3.0, 4.0]);
    assert_eq!(attribution::resized(&[7.0], [1, 1], [2, 3]), [7.0; 6]);
}

#[test]
fn the_logarithm_of_a_probability_has_the_slope_of_differences() {
    let target = Target::LogProbability {
        choices: vec![3, 2],
        chosen: vec![2, 3],
        mask: vec![true, false, true, true, true],
    };
    let logits = [0.5, 100.0, -0.25, 1.0, 2.0];
    // −0.25 − log(e^0.5 + e^−0.25) + 1 − log(e + e²).
    let expected = -0.25 - (0.5_f64.exp() + (-0.25_f64).exp()).ln() + 1.0 - (1_f64.exp() + 2_f64.exp()).ln();
    assert!((target.score(&logits) - expected).abs() < 1e-9);
    let slopes = target.slopes(&logits);
    for i in 0..5 {
        let moved = |by: f32| {
            let mut logits = logits;
            logits[i] += by;
            target.score(&logits)
        };
        let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        assert!((slope - f64::from(slopes[i])).abs() < 1e-4, "{i}: {slope} and {slopes:?}");
    }
}

/// Policies of every kind of encoder and memory, and the environments that they saw.
fn encoders() -> Vec<(&'static str, Subject)> {
    let gtrxl = "network={encoder={kind='mlp', hidden=[16]}, memory={kind='gtrxl', layers=2, heads=2, width=16, feed_forward=32, window=8}}";
    let gru = "network={encoder={kind='mlp', hidden=[16]}, memory={kind='gru', hidden=16}}";
    let share = "agent.share_encoder=true";
    let dueling = "network.encoder={kind='mlp', hidden=[16,16], activation='tanh'}";
    vec![
        ("mlp, values", trained_with("dqn", "CartPole-v1", &["network.encoder.hidden=[32,32]"])),
        ("mlp, tanh, probabilities", trained_with("ppo", "CartPole-v1", &[dueling])),
        ("mlp, quantiles", trained_with("qr-dqn", "CartPole-v1", &["network.encoder.hidden=[16]"])),
        (
            "convolution",
            trained_with("dqn", "MinAtar/Breakout-v0", &["network.encoder={kind='minatar_cnn'}"]),
        ),
        ("gru", trained_with("ppo", "CartPoleNoVel-v1", &[gru, share])),
        ("attention", trained_with("ppo", "CartPoleNoVel-v1", &[gtrxl, share])),
        (
            "stacked frames",
            trained_with("dqn", "CartPole-v1", &["env.wrappers=[{kind='frame_stack', num_stack=3}]"]),
        ),
        (
            "normalised, numbers",
            trained_with("ppo", "Pendulum-v1", &["env.wrappers=[{kind='normalize_observation'}]"]),
        ),
    ]
}

#[test]
fn attributions_are_complete_and_change_with_the_weights_whatever_the_encoder() {
    for (name, subject) in encoders() {
        let steps = episodes(&setup(), &subject, 3, 4, 300, None).unwrap();
        for baseline in [Baseline::Zeros, Baseline::Mean] {
            let options = PictureOptions { baseline, seed: 1, ..PictureOptions::default() };
            let scene = Scene::new(&subject, steps.clone(), &options).unwrap();
            for index in spaced(scene.steps.len(), 12) {
                let point = scene.point(&subject, &scene.steps[index], 0).unwrap();
                let found = integrated(&point, &scene.reference.baseline).unwrap();
                assert!(found.is_complete(), "{name}, {baseline:?}, step {index}: {found:?}");
                let whole = point.score(&point.inputs).unwrap();
                let expected = whole - point.score(&scene.reference.baseline).unwrap();
                let sum: f64 = found.of_inputs.iter().sum();
                let rounding = 1e-4 * whole.abs().max((whole - expected).abs());
                assert!(
                    (sum - expected).abs() <= (TOLERANCE * expected.abs()).max(rounding),
                    "{name}, {baseline:?}: {sum} is not {expected}"
                );
            }
        }
        let scene = Scene::new(&subject, steps, &PictureOptions::default()).unwrap();
        let (layers, sanity) = check(&subject, &scene, 2).unwrap();
        let methods = if name == "convolution" { 5 } else { 4 };
        assert_eq!(sanity.len(), methods, "{name}");
        for found in &sanity {
            assert_eq!(found.correlations.len(), layers.len());
            let last = *found.correlations.last().unwrap();
            assert!(last.abs() < 0.6, "{name}: {found:?} goes on as if nothing had been forgotten");
        }
    }
}

#[test]
fn each_network_with_drawn_weights_has_forgotten_one_layer_more() {
    let subject = trained("dqn", "CartPole-v1");
    let policies = randomized(&subject, 4, 0).unwrap();
    assert_eq!(policies.len(), sanity::layers(&subject).len());
    // What they choose by differs from the policy's, and from each other's.
    let seen = [0.1, 0.2, -0.05, 0.3];
    let logits = |policy: &PortablePolicy| policy.trace(&policy.begin(), &seen).unwrap().logits;
    let mut all: Vec<Vec<f32>> = policies.iter().map(logits).collect();
    all.push(logits(&subject.policy));
    for (i, own) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|other| other != own));
    }
}

#[test]
fn pages_of_pictures_are_written_and_the_same_again() {
    let cnn = ["network.encoder={kind='minatar_cnn'}"];
    for (subject, names) in [
        (trained_with("dqn", "MinAtar/Breakout-v0", &cnn), &["heat.png", "heat.gif", "sanity.svg"][..]),
        (trained("ppo", "CartPole-v1"), &["decision.svg", "attributions.png", "integrated_gradients_0.svg"]),
    ] {
        let write = || {
            let folder = tempfile::tempdir().unwrap();
            let mut page =
                Page::new(folder.path(), "explain", "why it acts", subject.trained.card()).unwrap();
            let options = PictureOptions { episodes: 2, film: 5, seed: 7, ..PictureOptions::default() };
            let report = explain(&setup(), &subject, &options, &mut page).unwrap();
            assert_eq!(report.completeness.complete, report.completeness.steps, "{report:?}");
            page.finish().unwrap();
            for name in names {
                assert!(folder.path().join(name).exists(), "{name}");
            }
            std::fs::read_to_string(folder.path().join("explain.json")).unwrap()
        };
        assert_eq!(write(), write());
    }
}

#[test]
fn attention_over_an_episode_sums_to_one_at_each_step() {
    let gtrxl = "network={encoder={kind='mlp', hidden=[16]}, memory={kind='gtrxl', layers=2, heads=2, width=16, feed_forward=32, window=4}}";
    let subject = trained_with("ppo", "CartPoleNoVel-v1", &[gtrxl, "agent.share_encoder=true"]);
    let steps = episodes(&setup(), &subject, 3, 1, 30, None).unwrap();
    let found = attended(&subject, &steps).unwrap();
    assert_eq!(found.len(), 4, "two blocks of two heads");
    for head in &found {
        assert_eq!(head.weights.len(), 4.min(steps.len()));
        for step in 0..steps.len() {
            let known: Vec<f64> =
                head.weights.iter().map(|ago| ago[step]).filter(|weight| !weight.is_nan()).collect();
            assert_eq!(known.len(), 4.min(step + 1));
            assert!((known.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        }
        assert!(head.mean_ago > 0.0 && head.mean_ago < 3.0 && head.own > 0.0);
    }
}
