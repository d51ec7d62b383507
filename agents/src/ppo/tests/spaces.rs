//! Action spaces, masks and memories.

use super::*;

/// The memories that there are, small.
fn memories() -> [MemoryConfig; 4] {
    let transformer = TransformerConfig {
        layers: 1,
        heads: 2,
        width: 16,
        feed_forward: 32,
        window: 6,
        ..Default::default()
    };
    [
        MemoryConfig::Lstm { hidden: 16, init: RecurrentInit::Orthogonal },
        MemoryConfig::Gru { hidden: 16, init: RecurrentInit::Orthogonal },
        MemoryConfig::Transformer(transformer),
        MemoryConfig::Gtrxl(transformer),
    ]
}

fn remembering() -> PpoConfig {
    PpoConfig { share_encoder: true, num_minibatches: 2, ..small() }
}

fn with_memory(memory: &MemoryConfig) -> ModelConfig {
    ModelConfig { memory: memory.clone(), ..network() }
}

#[test]
fn what_was_shown_three_steps_ago_is_recalled_with_a_memory_only() {
    for memory in memories() {
        let config = PpoConfig { sequence_length: Some(16), ..remembering() };
        let network = with_memory(&memory);
        let mut trial = trial_of(&spec_of(Recall::default()), &config, &network, 100, 3);
        trial.run();
        let last = &trial.episode_returns[trial.episode_returns.len() - 200..];
        let mean = last.iter().sum::<f64>() / 200.0;
        assert!(mean >= 0.95, "{memory:?}: {mean}");
    }
    let mut blind = trial(&spec_of(Recall::default()), &small(), 100, 3);
    blind.run();
    let last = &blind.episode_returns[blind.episode_returns.len() - 200..];
    let mean = last.iter().sum::<f64>() / 200.0;
    assert!(mean < 0.65, "without a memory: {mean}");
}

#[test]
fn learning_begins_with_the_very_probabilities_that_acted() {
    // Episodes of four steps begin within sequences of eight, at their starts, and within the second fragment.
    for memory in memories() {
        let config =
            PpoConfig { sequence_length: Some(8), num_minibatches: 1, update_epochs: 1, ..remembering() };
        let network = with_memory(&memory);
        let mut trial = trial_of(&spec_of(Recall::default()), &config, &network, 4, 1);
        for iteration in 0..3 {
            let report = trial.iterate().unwrap();
            assert_eq!(report.metrics[4..7], [0.0; 3], "{memory:?}, iteration {iteration}: {report:?}");
        }
    }
}

#[test]
fn a_memory_learns_the_same_for_any_number_of_threads_and_after_a_restore() {
    for memory in memories() {
        let config = PpoConfig { sequence_length: Some(8), gradient_slices: Some(3), ..remembering() };
        let network = with_memory(&memory);
        let make = |seed| trial_of(&spec_of(Recall::default()), &config, &network, 10, seed);
        assert_threads_do_not_matter(make);
        assert_continues_after_restore(make(1), |info| Ppo::new(config.clone(), &network, info));
    }
}

#[test]
fn a_memory_needs_a_shared_encoder_and_sequences_that_fit() {
    let gru = with_memory(&memories()[1]);
    let refusal = |config| refusal_of(config, &gru, &info());
    let message = refusal(PpoConfig { share_encoder: false, ..remembering() });
    assert_eq!(message, "share_encoder must be true for a network with a memory, got false");
    let message = refusal(PpoConfig { sequence_length: Some(5), ..remembering() });
    assert_eq!(message, "sequence_length must be a divisor of num_steps = 32, got 5");
    let message = refusal(PpoConfig { num_minibatches: 3, ..remembering() });
    assert_eq!(
        message,
        "num_minibatches must be a divisor of num_envs * num_agents * num_steps / sequence_length = 4, got 3"
    );
}

#[test]
fn continuous_actions_are_learned_and_kept_within_bounds() {
    for seed in 0..3 {
        let spec = spec_of(Aim::default()).max_episode_steps(8);
        let mut trial = trial(&spec, &PpoConfig { ent_coef: 0.0.into(), ..small() }, 80, seed);
        trial.run();
        let reward = trial.evaluate(100);
        assert!(reward > -0.05, "seed {seed}: {reward}");
    }
}

#[test]
fn several_choices_with_masks_and_a_memory_are_learned_together() {
    for seed in 0..3 {
        let gru = with_memory(&memories()[1]);
        let mut trial = trial_of(&spec_of(Recall::masked()), &remembering(), &gru, 120, seed);
        trial.run();
        let last = &trial.episode_returns[trial.episode_returns.len() - 200..];
        let mean = last.iter().sum::<f64>() / 200.0;
        assert!(mean >= 0.95, "seed {seed}: {mean}");
    }
}
