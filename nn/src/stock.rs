//! dfdx's own layers, to compare with: what a user of plain dfdx would write.

use std::fmt;

use dfdx::nn::builders::{Linear, Tanh};
use dfdx::nn::{DeviceBuildExt as _, Module as _, ModuleMut as _, ZeroGrads as _};
use dfdx::optim::{Adam, AdamConfig, Optimizer as _};
use dfdx::shapes::Const;
use dfdx::tensor::{Cpu, Gradients, Tensor, TensorFromVec as _, Trace as _};
use dfdx::tensor_ops::Backward as _;

type Network = ((Linear<4, 64>, Tanh), (Linear<64, 64>, Tanh), Linear<64, 2>);
type Built = <Network as dfdx::nn::BuildOnDevice<Cpu, f32>>::Built;

/// dfdx's multi-layer perceptron 4-64-64-2 with tanh, on a batch of fixed size.
pub struct StockMlp {
    network: Built,
    x: Tensor<(usize, Const<4>), f32, Cpu>,
    gradients: Option<Gradients<f32, Cpu>>,
    adam: Adam<Built, f32, Cpu>,
}

impl fmt::Debug for StockMlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StockMlp").field("x", &self.x).finish()
    }
}

impl StockMlp {
    /// With weights from a fixed seed.
    #[must_use]
    pub fn new(batch: usize) -> Self {
        let device = Cpu::seed_from_u64(0);
        let network = device.build_module::<Network, f32>();
        let values = (0..4 * batch).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
        let x = device.tensor_from_vec(values, (batch, Const::<4>));
        let gradients = Some(network.alloc_grads());
        let adam = Adam::new(&network, AdamConfig::default());
        Self { network, x, gradients, adam }
    }

    /// The output's first value, after a forward pass without a tape.
    pub fn forward(&mut self) -> f32 {
        self.network.forward(self.x.clone())[[0, 0]]
    }

    /// A forward pass, the gradient of the outputs' squares, and a step of Adam.
    pub fn step(&mut self) {
        let gradients = self.gradients.take().unwrap_or_else(|| self.network.alloc_grads());
        let y = self.network.forward_mut(self.x.clone().traced(gradients));
        let mut gradients = dfdx::tensor_ops::MeanTo::mean(y.square()).backward();
        // It fails only if a parameter is not used, and all are.
        let _ = self.adam.update(&mut self.network, &gradients);
        self.network.zero_grads(&mut gradients);
        self.gradients = Some(gradients);
    }
}
