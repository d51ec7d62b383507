//! The algorithms that are built in: their names, in a sentence each, and the defaults that the names stand for.

use super::{AlgorithmSpec, Algorithms};
use crate::a2c::A2c;
use crate::alphazero::AlphaZero;
use crate::awac::Awac;
use crate::bc::Bc;
use crate::bootstrapped_dqn::BootstrappedDqn;
use crate::critics;
use crate::dagger::Dagger;
use crate::dqn::{Dqn, DqnConfig};
use crate::dreamer::Dreamer;
use crate::dt::Dt;
use crate::impala::{Impala, ImpalaConfig};
use crate::iql::Iql;
use crate::ppo::{Ppo, PpoConfig};
use crate::pqn::Pqn;
use crate::r2d2::R2d2;
use crate::sac::{Sac, SacConfig};
use crate::td3::{Td3, Td3Config};
use crate::vmc::Vmc;

impl Algorithms {
    /// The built-in algorithms.
    ///
    /// # Panics
    /// Never: the names are distinct, which a test shows.
    #[expect(clippy::expect_used, reason = "constant names, tested")]
    pub fn builtin() -> Self {
        let mut algorithms = Self::empty();
        let ppo = AlgorithmSpec::of::<Ppo>(
            "ppo",
            "Proximal policy optimisation with clipping (on-policy).",
            Default::default,
        );
        let a2c = AlgorithmSpec::of::<A2c>(
            "a2c",
            "Synchronous advantage actor-critic (on-policy).",
            Default::default,
        );
        let impala = AlgorithmSpec::of::<Impala>(
            "impala",
            "Actor-critic with V-trace, for asynchronous acting.",
            Default::default,
        );
        let appo = AlgorithmSpec::of::<Impala>(
            "appo",
            "PPO's clipped objective with V-trace, for asynchronous acting.",
            ImpalaConfig::appo,
        );
        let dqn = AlgorithmSpec::of::<Dqn>(
            "dqn",
            "Deep Q-learning with a replay buffer and a target network (off-policy).",
            Default::default,
        );
        let c51 = AlgorithmSpec::of::<Dqn>(
            "c51",
            "DQN with a categorical distribution of returns.",
            DqnConfig::c51,
        );
        let qr_dqn = AlgorithmSpec::of::<Dqn>("qr-dqn", "DQN with quantiles of returns.", DqnConfig::qr_dqn);
        let iqn = AlgorithmSpec::of::<Dqn>("iqn", "DQN with implicit quantiles of returns.", DqnConfig::iqn);
        let rainbow = AlgorithmSpec::of::<Dqn>(
            "rainbow",
            "DQN with double Q-learning, dueling, n steps, priorities, C51 and noisy layers.",
            DqnConfig::rainbow,
        );
        let rainbow = rainbow.with_network(DqnConfig::rainbow_network());
        let sac = AlgorithmSpec::of::<Sac>(
            "sac",
            "Soft actor-critic with a learned temperature, continuous or discrete (off-policy).",
            Default::default,
        );
        let td3 = AlgorithmSpec::of::<Td3>(
            "td3",
            "Twin delayed deterministic policy gradient, continuous (off-policy).",
            Default::default,
        );
        let pqn = AlgorithmSpec::of::<Pqn>(
            "pqn",
            "Parallel Q-learning with λ-returns, without replay and target network.",
            Default::default,
        );
        let bootstrapped_dqn = AlgorithmSpec::of::<BootstrappedDqn>(
            "bootstrapped-dqn",
            "An ensemble of Q networks with random priors, for deep exploration.",
            Default::default,
        );
        let r2d2 = AlgorithmSpec::of::<R2d2>(
            "r2d2",
            "Recurrent Q-learning from replayed sequences, for environments that must be remembered.",
            Default::default,
        );
        let dreamer = AlgorithmSpec::of::<Dreamer>(
            "dreamer",
            "A world model learned from few steps, and a policy learned in what it imagines (off-policy).",
            Default::default,
        );
        let alphazero = AlgorithmSpec::of::<AlphaZero>(
            "alphazero",
            "A search improves on the network, which learns from it: games against oneself, or anything that can be forked.",
            Default::default,
        );
        let alphazero = alphazero.with_num_envs(128);
        let vmc = AlgorithmSpec::of::<Vmc>(
            "vmc",
            "World models: an autoencoder, a memory that predicts, and a controller that evolves in its dreams (off-policy).",
            Default::default,
        );
        for spec in [a2c, alphazero, appo, dreamer, impala, ppo, pqn, r2d2, vmc] {
            algorithms.register(spec).expect("built-in names are distinct");
        }
        let bc =
            AlgorithmSpec::of::<Bc>("bc", "A policy that does what recorded data did.", Default::default);
        let iql = AlgorithmSpec::of::<Iql>(
            "iql",
            "Implicit Q-learning from recorded data: never asks about actions that are not in them.",
            Default::default,
        );
        let dt = AlgorithmSpec::of::<Dt>(
            "dt",
            "Decision transformer: recorded data as sequences of returns-to-go, observations and actions; asked for a high return.",
            Default::default,
        );
        let cql = AlgorithmSpec::of::<Dqn>(
            "cql",
            "Conservative Q-learning from recorded data, for discrete actions: double DQN that values what was not done less.",
            DqnConfig::cql,
        );
        let cql = cql.with_hint("cql-sac is for continuous actions");
        let cql_sac = AlgorithmSpec::of::<Sac>(
            "cql-sac",
            "Conservative Q-learning from recorded data, for continuous actions: SAC that values what was not done less.",
            SacConfig::cql,
        );
        let cal_ql = AlgorithmSpec::of::<Sac>(
            "cal-ql",
            "As CQL for continuous actions, calibrated by the data's returns, so that it goes on well where it acts.",
            SacConfig::cal_ql,
        );
        let awac = AlgorithmSpec::of::<Awac>(
            "awac",
            "Advantage-weighted actor-critic from recorded data, which goes on where it acts.",
            Default::default,
        );
        let td3_bc = AlgorithmSpec::of::<Td3>(
            "td3-bc",
            "TD3 from recorded data, kept near what they did.",
            Td3Config::td3_bc,
        );
        let rebrac = AlgorithmSpec::of::<Td3>(
            "rebrac",
            "TD3 from recorded data, policy and critics kept near what they did.",
            Td3Config::rebrac,
        );
        let gail = AlgorithmSpec::of::<Ppo>(
            "gail",
            "PPO that is paid for what a discriminator takes for an expert's doing.",
            PpoConfig::gail,
        );
        let airl = AlgorithmSpec::of::<Ppo>(
            "airl",
            "As GAIL, with the logit as the reward, which can be negative.",
            PpoConfig::airl,
        );
        for spec in [gail, airl] {
            algorithms.register(spec.with_demonstrations()).expect("built-in names are distinct");
        }
        let dagger = AlgorithmSpec::of::<Dagger>(
            "dagger",
            "A policy that does what a trained one would do where it comes to itself.",
            Default::default,
        );
        algorithms.register(dagger).expect("built-in names are distinct");
        // Networks that follow others or are several.
        let (iql, td3_bc, rebrac) = (iql.with_networks(6), td3_bc.with_networks(6), rebrac.with_networks(6));
        let rebrac = rebrac.with_network(critics::normed_network());
        let (awac, cal_ql, cql_sac) =
            (awac.with_networks(5), cal_ql.with_networks(5), cql_sac.with_networks(5));
        for spec in [awac, bc, cal_ql, cql, cql_sac, dt, iql, rebrac, td3_bc] {
            algorithms.register(spec.with_num_envs(1)).expect("built-in names are distinct");
        }
        // Those that learn after a few steps of one environment, as in their papers.
        let (sac, td3) = (sac.with_networks(5), td3.with_networks(6));
        for spec in [bootstrapped_dqn, c51, dqn, iqn, qr_dqn, rainbow, sac, td3] {
            algorithms.register(spec.with_num_envs(1)).expect("built-in names are distinct");
        }
        algorithms
    }
}
