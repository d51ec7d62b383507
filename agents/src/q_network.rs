//! The Q network: action values, probabilities of returns or quantiles, whatever is learned.

use agon_envs::Pcg64;
use agon_nn::losses::categorical::softmax_rows;
use agon_nn::losses::distributional::Support;
use agon_nn::model::{ImplicitConfig, ImplicitQuantiles, PackedImplicit};
use agon_nn::{
    Head, HeadSpec, Init, Input, LayoutBuilder, Matrix, Model, ModelConfig, Observation, Packed, Params,
    Rows, Scratch, Sequential, Summary, Tape,
};

use crate::learner::{Spaces, single_discrete};
use crate::program::{Decision, Program};
use crate::value_distribution::{Distribution, IqnConfig};
use crate::{AgentError, network};

/// What the numbers that a network puts out for an action are.
#[derive(Clone, Debug)]
pub(crate) enum Returns {
    /// The mean of its return: one number.
    Mean,
    /// Logits over the returns of a support.
    Categories(Support),
    /// Quantiles at the middles of as many equal shares.
    Quantiles(usize),
    /// Quantiles at the places that are asked for.
    Implicit(IqnConfig),
}

/// What a network is built from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QShape<'a> {
    pub(crate) distribution: Distribution,
    pub(crate) dueling: bool,
    pub(crate) network: &'a ModelConfig,
    /// Of all layers.
    pub(crate) init: Init,
}

/// A network and how its numbers are read.
#[derive(Debug)]
pub(crate) struct QNetwork {
    body: Body,
    pub(crate) returns: Returns,
    pub(crate) actions: usize,
    noisy: bool,
}

#[derive(Debug)]
enum Body {
    Chain { model: Model, chain: Sequential },
    Implicit(ImplicitQuantiles),
}

/// Weights in the order in which a network without a tape reads them.
#[derive(Debug)]
pub(crate) enum PackedQ {
    Chain(Packed),
    Implicit(PackedImplicit),
}

impl QNetwork {
    /// The network of an algorithm in an environment with one `Discrete` of actions, and its parameters to be.
    ///
    /// # Errors
    /// If the network's settings or the spaces do not suit the algorithm.
    pub(crate) fn of(
        algorithm: &'static str,
        shape: QShape<'_>,
        spaces: &Spaces,
    ) -> Result<(Self, LayoutBuilder), AgentError> {
        network::check_no_memory(algorithm, shape.network)?;
        let actions = single_discrete(algorithm, &spaces.action)?;
        let observation = network::observation(algorithm, &spaces.observation)?;
        let mut builder = LayoutBuilder::new();
        let network = Self::new(&mut builder, shape, &observation, actions)?;
        Ok((network, builder))
    }

    /// Adds the network's parameters to a layout.
    pub(crate) fn new(
        builder: &mut LayoutBuilder,
        shape: QShape<'_>,
        observation: &Observation,
        actions: usize,
    ) -> Result<Self, AgentError> {
        let QShape { distribution, dueling, network, init } = shape;
        let (returns, atoms) = match distribution {
            Distribution::None => (Returns::Mean, 1),
            Distribution::C51(c51) => (Returns::Categories(c51.support()?), c51.atoms),
            Distribution::Qr(qr) => (Returns::Quantiles(qr.quantiles), qr.quantiles),
            Distribution::Iqn(iqn) => (Returns::Implicit(iqn), iqn.samples),
        };
        let head = match returns {
            Returns::Implicit(iqn) => {
                let implicit = ImplicitConfig {
                    encoder: &network.encoder,
                    head: &network.head,
                    actions,
                    dueling,
                    cosines: iqn.cosines,
                };
                let body = ImplicitQuantiles::new(builder, "q", observation, &implicit, init)?;
                let noisy = network.head.noisy;
                return Ok(Self { body: Body::Implicit(body), returns, actions, noisy });
            }
            Returns::Mean if dueling => Head::Dueling { actions },
            Returns::Mean => Head::Q { actions },
            Returns::Categories(_) | Returns::Quantiles(_) => {
                Head::Distributional { actions, atoms, dueling }
            }
        };
        let head = HeadSpec { name: "q".to_owned(), head, init };
        let model = Model::new(builder, "", observation, network, &[head], init)?;
        let (chain, noisy) = (model.chain(0)?, model.is_noisy());
        Ok(Self { body: Body::Chain { model, chain }, returns, actions, noisy })
    }

    pub(crate) fn summary(&self) -> &Summary {
        match &self.body {
            Body::Chain { model, .. } => model.summary(),
            Body::Implicit(network) => network.summary(),
        }
    }

    /// Whether layers carry noise.
    pub(crate) fn is_noisy(&self) -> bool {
        self.noisy
    }

    /// Draws the noise of noisy layers anew.
    pub(crate) fn resample_noise(&self, params: &mut Params, rng: &mut Pcg64) {
        match &self.body {
            Body::Chain { model, .. } => model.resample_noise(params, rng),
            Body::Implicit(network) => network.resample_noise(params, rng),
        }
    }

    /// What it computes without noise.
    pub(crate) fn program(&self, params: &Params) -> Program {
        let actions = self.actions;
        let decision = match &self.returns {
            Returns::Mean | Returns::Implicit(_) => Decision::Values { actions },
            Returns::Categories(support) => Decision::Categories {
                actions,
                support: (0..support.atoms()).map(|z| support.value(z)).collect(),
            },
            Returns::Quantiles(quantiles) => Decision::Quantiles { actions, quantiles: *quantiles },
        };
        let operations = match &self.body {
            Body::Chain { chain, .. } => chain.operations(params.layout()),
            Body::Implicit(network) => {
                let taus: Vec<f32> =
                    (0..self.acting_atoms()).map(|i| midpoint(i, self.acting_atoms())).collect();
                network.operations(&taus, params.layout())
            }
        };
        Program::of(operations, params, decision)
    }

    /// The parameters with the noise of noisy layers set to zero.
    pub(crate) fn silent(&self, params: &Params) -> Params {
        let mut silent = params.clone();
        match &self.body {
            Body::Chain { model, .. } => model.silence_noise(&mut silent),
            Body::Implicit(network) => network.silence_noise(&mut silent),
        }
        silent
    }

    pub(crate) fn pack(&self, params: &Params) -> Result<PackedQ, AgentError> {
        Ok(match &self.body {
            Body::Chain { chain, .. } => PackedQ::Chain(Packed::new(chain, params)?),
            Body::Implicit(network) => PackedQ::Implicit(PackedImplicit::new(network, params)?),
        })
    }

    /// Numbers that an action's return is learned by, `Z`.
    pub(crate) fn atoms(&self) -> usize {
        match &self.returns {
            Returns::Mean => 1,
            Returns::Categories(support) => support.atoms(),
            Returns::Quantiles(quantiles) => *quantiles,
            Returns::Implicit(iqn) => iqn.samples,
        }
    }

    /// Numbers whose mean an action is chosen by.
    fn acting_atoms(&self) -> usize {
        if let Returns::Implicit(iqn) = &self.returns { iqn.acting_samples } else { self.atoms() }
    }

    /// Numbers that its target consists of, `M`.
    pub(crate) fn target_atoms(&self) -> usize {
        if let Returns::Implicit(iqn) = &self.returns { iqn.target_samples } else { self.atoms() }
    }

    /// Where the numbers of an action lie in a batch's output with `atoms` of each: the first, and how far they are apart.
    pub(crate) fn place(&self, row: usize, action: usize, atoms: usize) -> (usize, usize) {
        match &self.body {
            Body::Chain { .. } => ((row * self.actions + action) * atoms, 1),
            Body::Implicit(_) => (row * atoms * self.actions + action, self.actions),
        }
    }

    /// The network's numbers with a tape. `taus`, `[B, Z]`, are read by implicit quantiles only.
    pub(crate) fn forward(
        &self,
        params: &Params,
        x: &Input,
        taus: &[f32],
        tape: &mut Tape,
    ) -> Result<Matrix, AgentError> {
        Ok(match &self.body {
            Body::Chain { chain, .. } => chain.forward_input(params, x, tape)?,
            Body::Implicit(network) => network.forward(params, x, taus, tape)?,
        })
    }

    /// The network's numbers without a tape. `taus`, `[B, M]`, are read by implicit quantiles only.
    pub(crate) fn infer<'a>(
        &self,
        packed: &PackedQ,
        x: impl Into<Rows<'a>>,
        rows: usize,
        taus: &[f32],
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), AgentError> {
        match (&self.body, packed) {
            (Body::Chain { chain, .. }, PackedQ::Chain(packed)) => {
                chain.infer(packed, x, rows, scratch, out)?;
            }
            (Body::Implicit(network), PackedQ::Implicit(packed)) => {
                network.infer(packed, x, rows, taus, scratch, out)?;
            }
            _ => unreachable!("weights are packed by the network that reads them"),
        }
        Ok(())
    }

    /// The mean return of every action, `[rows, A]`, by which actions are chosen.
    pub(crate) fn values<'a>(
        &self,
        packed: &PackedQ,
        x: impl Into<Rows<'a>>,
        rows: usize,
        scratch: &mut Scratch,
        buffer: &mut Vec<f32>,
        out: &mut [f32],
    ) -> Result<(), AgentError> {
        let atoms = self.acting_atoms();
        let taus = match &self.returns {
            Returns::Mean => return self.infer(packed, x, rows, &[], scratch, out),
            Returns::Implicit(_) => rows * atoms,
            Returns::Categories(_) | Returns::Quantiles(_) => 0,
        };
        buffer.resize(taus + rows * self.actions * atoms, 0.0);
        let (taus, numbers) = buffer.split_at_mut(taus);
        taus.iter_mut().enumerate().for_each(|(i, tau)| *tau = midpoint(i % atoms, atoms));
        self.infer(packed, x, rows, taus, scratch, numbers)?;
        self.means(numbers, rows, atoms, out)
    }

    /// The mean return of every action, `[rows, A]`, from `atoms` numbers of each, which may be used up.
    pub(crate) fn means(
        &self,
        numbers: &mut [f32],
        rows: usize,
        atoms: usize,
        out: &mut [f32],
    ) -> Result<(), AgentError> {
        if let Returns::Categories(support) = &self.returns {
            let logits = numbers.to_vec();
            softmax_rows(&logits, atoms, numbers)?;
            return Ok(support.expected_values(numbers, out)?);
        }
        for row in 0..rows {
            for action in 0..self.actions {
                let (first, step) = self.place(row, action, atoms);
                let sum: f32 = numbers[first..].iter().step_by(step).take(atoms).sum();
                out[row * self.actions + action] = sum / atoms as f32;
            }
        }
        Ok(())
    }
}

/// The middle of the `index`th of `count` equal shares.
pub(crate) fn midpoint(index: usize, count: usize) -> f32 {
    (index as f32 + 0.5) / count as f32
}
