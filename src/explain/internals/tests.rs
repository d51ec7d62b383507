use super::*;
use crate::explain::tests::{setup, train, trained, trained_with};
use crate::policy;

#[test]
fn activations_are_those_of_acting_whatever_is_remembered() {
    let gru = "network={encoder={kind='mlp', hidden=[16]}, memory={kind='gru', hidden=16}}";
    for subject in [
        trained("dqn", "CartPole-v1"),
        trained_with("ppo", "CartPoleNoVel-v1", &[gru, "agent.share_encoder=true"]),
    ] {
        let steps = episodes(&setup(), &subject, 5, 3, 200, None).unwrap();
        let indices = spaced(steps.len(), 20);
        let sites = sites(&subject.policy, &steps, &indices).unwrap();
        for (state, &index) in indices.iter().enumerate() {
            let step = &steps[index];
            assert_eq!(sites[sites.len() - 1].row(state), &step.opinion.logits[..], "state {index}");
            let trace = subject.policy.trace(&step.episode, &step.observation).unwrap();
            assert_eq!(sites[0].row(state), trace.network_inputs());
            let layers = subject.policy.layers_of(&trace);
            for site in &sites[1..sites.len() - 1] {
                let layer = layers.iter().find(|layer| layer.name == site.name).unwrap();
                assert_eq!(site.row(state), layer.values, "{}", site.name);
            }
        }
    }
}

#[test]
fn what_is_shown_is_read_and_layers_are_like_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let settings = ["network.encoder.hidden=[32,32]", "runtime.checkpoint_every=200"];
    train("dqn", "CartPole-v1", &settings, directory.path());
    let subject = Subject::of(&setup(), policy::load(directory.path()).unwrap()).unwrap();
    let write = || {
        let folder = tempfile::tempdir().unwrap();
        let mut page = Page::new(folder.path(), "explain", "why it acts", subject.trained.card()).unwrap();
        let options = InternalsOptions { states: 120, episodes: 20, ..InternalsOptions::default() };
        let report = explain(&setup(), directory.path(), &subject, &options, &mut page).unwrap();
        page.finish().unwrap();
        for name in ["probes.svg", "cka.svg", "cka_checkpoints.png", "units.png", "explain.md"] {
            assert!(folder.path().join(name).exists(), "{name}");
        }
        (report, std::fs::read_to_string(folder.path().join("explain.json")).unwrap())
    };
    let (report, json) = write();
    assert_eq!(json, write().1);
    // The four values that the network reads are all there, at the first site.
    let position = report.quantities.iter().position(|name| name == "pole angle").unwrap();
    let probe = report.layers[0].probes[position].unwrap();
    assert!(probe > 0.99, "{probe}");
    for (i, row) in report.cka.iter().enumerate() {
        assert!((row[i] - 1.0).abs() < 1e-9);
        for (j, value) in row.iter().enumerate() {
            assert!((value - report.cka[j][i]).abs() < 1e-12 && *value > -1e-12 && *value < 1.0 + 1e-12);
        }
    }
    assert_eq!(report.layers[0].units.units, 4);
    assert!(report.layers.iter().all(|layer| layer.ranks.srank <= layer.values));
    let checkpoints = report.checkpoints.unwrap().checkpoints;
    assert!(checkpoints.len() >= 2, "{checkpoints:?}");
    let newest = checkpoints.last().unwrap();
    assert!((newest.cka - 1.0).abs() < 1e-9 && newest.same_action == Some(1.0));
    assert!(newest.moved.unwrap() > 0.0);
    // The norm of all weights is that of its parts.
    let squares: f64 = report.weights.iter().map(|own| own.norm * own.norm).sum();
    assert!((squares.sqrt() / newest.weight_norm - 1.0).abs() < 1e-9);
}

#[test]
fn quantities_of_images_are_counted_and_located_and_can_be_chosen() {
    let subject = trained_with("dqn", "MinAtar/Breakout-v0", &["network.encoder={kind='minatar_cnn'}"]);
    let steps = episodes(&setup(), &subject, 5, 5, 100, None).unwrap();
    let indices = spaced(steps.len(), 40);
    let (found, names) = quantities(&subject.features, &steps, &indices, &["row of ball".to_owned()]);
    let told: Vec<&str> = found.iter().map(|quantity| quantity.name.as_str()).collect();
    assert_eq!(told, ["row of ball", "change of row of ball"]);
    assert!(names.iter().any(|name| name == "return to come"), "{names:?}");
    // The layer of the convolution has channels for units.
    let sites = sites(&subject.policy, &steps, &indices).unwrap();
    let convolution = sites.iter().find(|site| site.image.is_some()).unwrap();
    assert_eq!((convolution.image, convolution.units()), (Some([16, 8, 8]), 16));
}

#[test]
fn a_quantity_that_there_is_not_is_named_with_those_that_there_are() {
    let subject = trained("dqn", "CartPole-v1");
    let folder = tempfile::tempdir().unwrap();
    let mut page = Page::new(folder.path(), "explain", "why it acts", subject.trained.card()).unwrap();
    let options =
        InternalsOptions { probes: vec!["colour".to_owned()], episodes: 2, ..InternalsOptions::default() };
    let error = explain(&setup(), folder.path(), &subject, &options, &mut page).unwrap_err().to_string();
    assert!(error.contains("colour") && error.contains("pole angle"), "{error}");
}
