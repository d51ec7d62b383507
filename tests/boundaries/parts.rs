//! A part of a network that is written in dfdx trains like any other.

use agon::nn::Init;
use agon::nn::custom::{CustomPart, PartParameter, PartWeights, Traced};
use agon::nn::dfdx::prelude::*;
use agon::policy;
use agon::runtime::Setup;

use crate::{assert_same, common, train, train_in_two};

#[derive(Clone, Debug)]
struct Fourier(usize);

impl CustomPart for Fourier {
    fn outputs(&self, _inputs: usize) -> usize {
        2 * self.0
    }

    fn parameters(&self, inputs: usize) -> Vec<PartParameter> {
        vec![PartParameter::new("frequencies", (inputs, self.0), Init::Normal { std: 1.0 })]
    }

    fn forward(&self, weights: &PartWeights, x: Traced) -> Traced {
        let angles = x.matmul(weights.get(0));
        (angles.retaped::<OwnedTape<f32, Cpu>>().sin(), angles.cos()).concat_along(Axis::<1>)
    }
}

const ENCODER: &str =
    "network.encoder={kind='custom', part='fourier', arguments={frequencies=8}, hidden=[16]}";

fn setup() -> Setup {
    let mut setup = Setup::default();
    setup.algorithms.parts_mut().register("fourier", |arguments| {
        let frequencies = arguments.get("frequencies").ok_or("expected `frequencies`, found none")?;
        Ok(Fourier(*frequencies as usize))
    });
    setup
}

#[test]
fn a_part_trains_in_ppo_and_dqn_with_the_same_bits_for_any_number_of_threads_and_after_a_stop() {
    let setup = setup();
    for (algorithm, settings) in [
        ("ppo", common::PPO.iter().filter(|s| !s.contains("hidden")).copied().collect::<Vec<_>>()),
        ("dqn", common::DQN.iter().filter(|s| !s.contains("hidden")).copied().collect::<Vec<_>>()),
    ] {
        let settings = [&settings[..], &[ENCODER]].concat();
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for threads in [1, 2, 4] {
            train(&setup, algorithm, &settings, threads, &path(&threads.to_string()));
        }
        assert_same(&path("1"), &path("2"), algorithm);
        assert_same(&path("1"), &path("4"), algorithm);
        train_in_two(&setup, algorithm, &settings, 7, &path("stopped"));
        assert_same(&path("1"), &path("stopped"), algorithm);
        let (_, weights) = policy::read(&path("1").join("model.safetensors")).unwrap();
        let names: Vec<&str> = weights.iter().map(|(name, _, _)| name).collect();
        assert!(names.iter().any(|name| name.ends_with("encoder.0.frequencies")), "{names:?}");
        // The program that knows the part can use the policy, another one says what it lacks.
        let mut trained = policy::load_with(&setup, &path("1")).unwrap();
        assert!(trained.act(&[0.0_f32; 4][..]).is_ok());
        let message = policy::load(path("1")).err().unwrap().to_string();
        assert!(message.contains("fourier") && message.contains("registers none"), "{message}");
    }
}
