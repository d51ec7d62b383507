//! The random streams of a run: which key stands for what.
//!
//! Every stream is NumPy's `SeedSequence` of the run's seed with a spawn key that begins with one of these. Two streams
//! with different keys have nothing in common, so a new use of random numbers takes a new key and changes no other.
//!
//! | key | then | what is drawn |
//! |---|---|---|
//! | 0 to 15 | – | the learner's: networks, minibatches, noise |
//! | 16 | environment | dynamics and first states of one environment |
//! | 17 | shard | actions of one shard's actor |
//! | 18 | – | environments of an evaluation that a user asks for |
//! | 19 | step (low, high half) | environments of the evaluation at a step of training |
//! | 20 | environment, fragments made | an environment that could not be saved and begins anew when its run is resumed |
//! | 21 | shard, fragments made | actions in such environments |
//! | 22 | – | environments that a compressed policy is calibrated and learns in |
//! | 23 | – | minibatches and first weights of a compressed policy's student |

use agon_envs::Seed;
use agon_envs::random::SeedSequence;

const ENVIRONMENT: u32 = 16;
const ACTOR: u32 = 17;
const EVALUATION: u32 = 18;
const EVALUATION_AT: u32 = 19;
const ENVIRONMENT_ANEW: u32 = 20;
const ACTOR_ANEW: u32 = 21;
const COMPRESSION: u32 = 22;
const STUDENT: u32 = 23;

/// The stream of one environment of a run.
pub(crate) fn environment(seed: u64, env: usize) -> Seed {
    Seed::derived(seed, &[ENVIRONMENT, env as u32])
}

/// The stream of an environment that begins anew after a number of fragments.
pub(crate) fn environment_begun_anew(seed: u64, env: usize, fragments: u64) -> Seed {
    Seed::derived(seed, &[ENVIRONMENT_ANEW, env as u32, fragments as u32, (fragments >> 32) as u32])
}

/// The stream that the actor of one shard samples from.
pub(crate) fn actor(seed: u64, shard: usize) -> SeedSequence {
    SeedSequence::with_spawn_key(seed, &[ACTOR, shard as u32])
}

/// The stream of an actor in environments that begin anew after a number of fragments.
pub(crate) fn actor_begun_anew(seed: u64, shard: usize, fragments: u64) -> SeedSequence {
    let key = [ACTOR_ANEW, shard as u32, fragments as u32, (fragments >> 32) as u32];
    SeedSequence::with_spawn_key(seed, &key)
}

/// The seed of an evaluation, which must share nothing with training.
pub(crate) fn evaluation(seed: u64) -> u64 {
    SeedSequence::with_spawn_key(seed, &[EVALUATION]).seed()
}

/// The seed of the evaluation at a step of training. Each one has other episodes, so that the best evaluation is not the
/// one that suits a single set of them.
pub(crate) fn evaluation_at(seed: u64, env_steps: u64) -> u64 {
    SeedSequence::with_spawn_key(seed, &[EVALUATION_AT, env_steps as u32, (env_steps >> 32) as u32]).seed()
}

/// The environments that a compressed policy is calibrated and learns in.
pub(crate) fn compression(seed: u64) -> u64 {
    SeedSequence::with_spawn_key(seed, &[COMPRESSION]).seed()
}

/// Minibatches and first weights of a compressed policy's student.
pub(crate) fn student(seed: u64) -> u64 {
    SeedSequence::with_spawn_key(seed, &[STUDENT]).seed()
}
