//! ModuRL on the workloads of `workloads.json`: `peers-modurl ppo|dqn|sac [--check]` prints a line of JSON.
//!
//! Adapted from ModuRL's own benchmark; see `NOTICE.md`. Candle's generator for the processor cannot be seeded, so no
//! two runs are the same.

use std::{cell::RefCell, error::Error, fmt::Debug, rc::Rc, time::Instant};

use candle_core::{DType, Device, Module, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarBuilder, VarMap};
use modurl::prelude::*;
use modurl_gym::classic_control::{cartpole::CartPoleV1, pendulum::PendulumV1};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error>>;

const WORKLOADS: &str = include_str!("../../workloads.json");

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let algorithm = arguments.first().ok_or("expected ppo, dqn or sac")?.clone();
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let workloads: Value = serde_json::from_str(WORKLOADS)?;
    let check = arguments.iter().any(|argument| argument == "--check");
    let run = Run { workload: workloads[algorithm.as_str()].clone(), algorithm, check };
    let found = match run.algorithm.as_str() {
        "ppo" => ppo(&run)?,
        "dqn" => dqn(&run)?,
        "sac" => sac(&run)?,
        other => return Err(format!("expected ppo, dqn or sac, got {other}").into()),
    };
    println!("{found}");
    Ok(())
}

struct Run {
    algorithm: String,
    workload: Value,
    check: bool,
}

impl Run {
    fn float(&self, key: &str) -> Outcome<f64> {
        self.workload[key].as_f64().ok_or_else(|| format!("expected a number at {key}").into())
    }

    fn count(&self, key: &str) -> Outcome<usize> {
        Ok(self.float(key)? as usize)
    }

    fn adam(&self) -> Outcome<ParamsAdamW> {
        let (lr, eps) = (self.float("learning_rate")?, self.float("adam_eps")?);
        Ok(ParamsAdamW { lr, beta1: 0.9, beta2: 0.999, eps, weight_decay: 0.0 })
    }

    fn note(&self) -> &'static str {
        if self.algorithm == "sac" { "actions doubled to Pendulum's range" } else { "" }
    }

    fn timed_steps(&self) -> Outcome<usize> {
        let check = &self.workload["check"]["steps"];
        if self.check {
            check.as_u64().map(|n| n as usize).ok_or_else(|| "expected check.steps".into())
        } else {
            self.count("steps")
        }
    }

    /// All transitions of the run.
    fn horizon(&self) -> Outcome<usize> {
        Ok(self.count("warmup")? + self.timed_steps()?)
    }

    /// Warms up, then times `learn`, which goes on where it stopped.
    fn time(
        &self,
        parameters: usize,
        returns: &Returns,
        mut learn: impl FnMut(usize) -> Outcome<()>,
    ) -> Outcome<Value> {
        let expected = self.count("parameters")?;
        if parameters != expected {
            return Err(format!("expected {expected} parameters, got {parameters}").into());
        }
        learn(self.count("warmup")?)?;
        let steps = self.timed_steps()?;
        let start = Instant::now();
        learn(steps)?;
        let seconds = start.elapsed().as_secs_f64();
        let mut found = json!({
            "peer": "modurl", "algorithm": self.algorithm, "parameters": parameters, "note": self.note(),
            "versions": {"modurl": "0.1.0", "modurl_gym": "0.1.0", "candle-core": "0.11.0"},
            "steps": steps, "seconds": seconds,
        });
        if self.check {
            let returns = returns.borrow();
            let episodes =
                self.workload["check"]["episodes"].as_u64().ok_or("expected check.episodes")? as usize;
            let last = &returns[returns.len().saturating_sub(episodes)..];
            found["mean_return"] = json!(last.iter().sum::<f64>() / last.len() as f64);
        }
        Ok(found)
    }
}

type Returns = Rc<RefCell<Vec<f64>>>;

/// Notes the returns of episodes.
struct Recorder<G> {
    gym: G,
    /// What actions between -1 and 1 are multiplied with, as other libraries do it.
    action_scale: Option<f64>,
    total: f64,
    returns: Returns,
}

impl<G> Recorder<G> {
    fn new(gym: G, action_scale: Option<f64>, returns: &Returns) -> Self {
        Self { gym, action_scale, total: 0.0, returns: Rc::clone(returns) }
    }
}

impl<G, I> Gym<I> for Recorder<G>
where
    G: Gym<I>,
    G::Error: From<candle_core::Error>,
{
    type Error = G::Error;
    type SpaceError = G::SpaceError;

    fn step(&mut self, action: Tensor) -> Result<StepInfo<I>, Self::Error> {
        let action = match self.action_scale {
            Some(scale) => (action * scale)?,
            None => action,
        };
        let step = self.gym.step(action)?;
        self.total += f64::from(step.reward);
        if step.done || step.truncated {
            self.returns.borrow_mut().push(self.total);
        }
        Ok(step)
    }

    fn reset(&mut self) -> Result<ResetInfo<I>, Self::Error> {
        self.total = 0.0;
        self.gym.reset()
    }

    fn observation_space(&self) -> Box<dyn Space<Error = Self::SpaceError>> {
        self.gym.observation_space()
    }

    fn action_space(&self) -> Box<dyn Space<Error = Self::SpaceError>> {
        self.gym.action_space()
    }
}

fn said<T, E: Debug>(result: Result<T, E>) -> Outcome<T> {
    result.map_err(|error| format!("{error:?}").into())
}

fn parameters<'a>(maps: impl IntoIterator<Item = &'a VarMap>) -> usize {
    maps.into_iter().flat_map(VarMap::all_vars).map(|variable| variable.elem_count()).sum()
}

/// Two hidden layers of 64 with `tanh`, and Candle's own first weights or, with a gain of the last, orthogonal ones.
fn mlp(name: &str, inputs: usize, outputs: usize, vars: &VarMap, gain: Option<f64>) -> Outcome<MLP> {
    let builder = MLP::builder()
        .input_size(inputs)
        .output_size(outputs)
        .vb(VarBuilder::from_varmap(vars, DType::F32, &Device::Cpu))
        .activation(Tensor::tanh)
        .hidden_layer_sizes(vec![64, 64])
        .name(name.to_owned());
    Ok(match gain {
        Some(output_gain) => builder
            .initializer(OrthogonalMLPInitializer { hidden_gain: 2.0_f64.sqrt(), output_gain })
            .build()?,
        None => builder.build()?,
    })
}

fn storage() -> ReplayStorageConfig {
    ReplayStorageConfig::new(ReplayDeviceStrategy::OneDevice(Device::Cpu))
}

fn ppo(run: &Run) -> Outcome<Value> {
    let returns = Returns::default();
    let (num_envs, num_steps) = (run.count("num_envs")?, run.count("num_steps")?);
    let envs = said((0..num_envs).map(|_| CartPoleV1::builder().build()).collect::<Result<Vec<_>, _>>())?;
    let envs: Vec<_> = envs.into_iter().map(|env| Recorder::new(env, None, &returns)).collect();
    let mut env: VectorizedGymWrapper<Recorder<CartPoleV1>> = envs.into();
    let (actor_vars, critic_vars) = (VarMap::new(), VarMap::new());
    let actor = mlp("actor", 4, 2, &actor_vars, Some(0.01))?;
    let critic = mlp("critic", 4, 1, &critic_vars, Some(1.0))?;
    let networks = PPONetworkInfo::Separate(
        SeparatePPONetwork::builder()
            .actor_network(ProbabilisticPolicyModel::<CategoricalDistribution>::new(actor))
            .critic_network(critic)
            .actor_optimizer(AdamW::new(actor_vars.all_vars(), run.adam()?)?)
            .critic_optimizer(AdamW::new(critic_vars.all_vars(), run.adam()?)?)
            .combined_loss(true)
            .build(),
    );
    let mut agent = said(
        PPOAgent::builder()
            .dtype(DType::F32)
            .action_space(env.action_space())
            .network_info(networks)
            .batch_size(num_envs * num_steps)
            .mini_batch_size(run.count("minibatch_size")?)
            .num_epochs(run.count("update_epochs")?)
            .normalize_advantage(true)
            .ent_coef(run.float("ent_coef")? as f32)
            .gamma(run.float("gamma")? as f32)
            .gae_lambda(run.float("gae_lambda")? as f32)
            .vf_coef(run.float("vf_coef")? as f32)
            .gradient_clip(run.float("max_grad_norm")? as f32)
            .clip_range(ConstantSchedule::new(run.float("clip_coef")?))
            .clip_value_loss(false)
            .training_horizon(run.horizon()?)
            .device(Device::Cpu)
            .build(),
    )?;
    run.time(parameters([&actor_vars, &critic_vars]), &returns, |steps| said(agent.learn(&mut env, steps)))
}

fn dqn(run: &Run) -> Outcome<Value> {
    let returns = Returns::default();
    let mut env =
        VectorizedGymWrapper::from(vec![Recorder::new(said(CartPoleV1::builder().build())?, None, &returns)]);
    let (online_vars, mut target_vars) = (VarMap::new(), VarMap::new());
    let online = mlp("q", 4, 2, &online_vars, None)?;
    let target = mlp("q", 4, 2, &target_vars, None)?;
    let mut agent = said(
        DQNAgent::builder()
            .dtype(DType::F32)
            .action_space(Discrete::new(2))
            .observation_space(env.observation_space())
            .online_q_network(online)
            .target_q_network(target)
            .online_vars(&online_vars)
            .target_vars(&mut target_vars)
            .optimizer(AdamW::new(online_vars.all_vars(), run.adam()?)?)
            .replay_capacity(run.count("buffer_size")?)
            .batch_size(run.count("batch_size")?)
            .gamma(run.float("gamma")? as f32)
            .training_start(run.count("warmup")? + 1)
            .update_frequency(run.count("train_frequency")?)
            .target_update_interval(run.count("target_network_frequency")?)
            .training_horizon(run.horizon()?)
            .epsilon_schedule(ConstantSchedule::new(run.float("epsilon")?))
            .replay_storage_config(storage())
            .build(),
    )?;
    run.time(parameters([&online_vars]), &returns, |steps| said(agent.learn(&mut env, steps)))
}

/// A Gaussian with state-dependent mean and standard deviation.
struct GaussianActor {
    network: MLP,
}

impl Module for GaussianActor {
    fn forward(&self, observations: &Tensor) -> candle_core::Result<Tensor> {
        let output = self.network.forward(observations)?;
        let log_std = output.narrow(1, 1, 1)?.clamp(-20.0, 2.0)?;
        Tensor::cat(&[output.narrow(1, 0, 1)?, log_std], 1)
    }
}

fn sac_critic<'a>(
    run: &Run,
    online_vars: &'a VarMap,
    target_vars: &'a mut VarMap,
) -> Outcome<SACCritic<'a, AdamW>> {
    let online = mlp("critic", 4, 1, online_vars, None)?;
    let target = mlp("critic", 4, 1, target_vars, None)?;
    said(
        SACCritic::builder()
            .online_network(ScalarStateActionCritic::new(online))
            .target_network(ScalarStateActionCritic::new(target))
            .online_vars(online_vars)
            .target_vars(target_vars)
            .optimizer(AdamW::new(online_vars.all_vars(), run.adam()?)?)
            .build(),
    )
}

fn sac(run: &Run) -> Outcome<Value> {
    let returns = Returns::default();
    let pendulum = TimeLimitGym::new(said(PendulumV1::builder().build())?, 200);
    // ModuRL's own benchmark leaves actions between -1 and 1, half of the torque that there is, and learns nothing.
    let mut env = VectorizedGymWrapper::from(vec![Recorder::new(pendulum, Some(2.0), &returns)]);
    let (actor_vars, vars_1, vars_2) = (VarMap::new(), VarMap::new(), VarMap::new());
    let (mut target_vars_1, mut target_vars_2) = (VarMap::new(), VarMap::new());
    let network = mlp("actor", 3, 2, &actor_vars, None)?;
    let distribution = TransformedDistribution::new(said(GaussianDistribution::new(vec![1]))?, TanhTransform);
    let policy = ProbabilisticPolicyModel::with_distribution(GaussianActor { network }, distribution);
    let critics =
        vec![sac_critic(run, &vars_1, &mut target_vars_1)?, sac_critic(run, &vars_2, &mut target_vars_2)?];
    let log_alpha = Var::zeros((), DType::F32, &Device::Cpu)?;
    let entropy = SACEntropyConfiguration::automatic_with_target_schedule(
        log_alpha.clone(),
        AdamW::new(vec![log_alpha], run.adam()?)?,
        ConstantSchedule::new(run.float("target_entropy")?),
    );
    let mut agent = said(
        SACAgent::builder()
            .dtype(DType::F32)
            .policy(policy)
            .actor_optimizer(AdamW::new(actor_vars.all_vars(), run.adam()?)?)
            .critics(critics)
            .entropy_configuration(entropy)
            .action_space(env.action_space())
            .observation_space(env.observation_space())
            .aggregation_mode(SACCriticAggregationMode::Min)
            .replay_capacity(run.count("buffer_size")?)
            .batch_size(run.count("batch_size")?)
            .training_start(run.count("warmup")? + 1)
            .gamma(run.float("gamma")?)
            .tau(run.float("tau")?)
            .training_horizon(run.horizon()?)
            .replay_storage_config(storage())
            .build(),
    )?;
    run.time(parameters([&actor_vars, &vars_1, &vars_2]) + 1, &returns, |steps| {
        said(agent.learn(&mut env, steps))
    })
}
