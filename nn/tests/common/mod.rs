//! Reads the recorded numbers (`/tests/golden/nn`; `AGON_GOLDEN_NN` names another folder), and computes others naively.
#![allow(dead_code, unreachable_pub, reason = "every test crate uses a part of this module")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

pub mod naive;

use std::path::PathBuf;

use agon_nn::Activation;
use safetensors::SafeTensors;

pub const ACTIVATIONS: [Activation; 8] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Silu,
    Activation::Gelu,
    Activation::Elu,
    Activation::LeakyRelu,
];

/// One recorded case.
pub struct Golden {
    name: String,
    bytes: Vec<u8>,
}

impl Golden {
    /// Reads the case of that name.
    pub fn read(name: &str) -> Self {
        let folder = std::env::var_os("AGON_GOLDEN_NN").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/nn")),
            PathBuf::from,
        );
        let path = folder.join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name: name.to_owned(), bytes }
    }

    /// The shape of one of its tensors.
    pub fn shape(&self, tensor: &str) -> Vec<usize> {
        SafeTensors::deserialize(&self.bytes).unwrap().tensor(tensor).unwrap().shape().to_vec()
    }

    /// The raw bytes of one of its tensors.
    pub fn bytes(&self, tensor: &str) -> Vec<u8> {
        SafeTensors::deserialize(&self.bytes).unwrap().tensor(tensor).unwrap().data().to_vec()
    }

    /// The values of a float32 tensor.
    pub fn floats(&self, tensor: &str) -> Vec<f32> {
        self.bytes(tensor).as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect()
    }

    /// The values of an int64 tensor.
    pub fn indices(&self, tensor: &str) -> Vec<usize> {
        let values = self.bytes(tensor);
        values
            .as_chunks()
            .0
            .iter()
            .map(|&chunk| usize::try_from(i64::from_le_bytes(chunk)).unwrap())
            .collect()
    }

    /// The values of a boolean tensor.
    pub fn flags(&self, tensor: &str) -> Vec<bool> {
        self.bytes(tensor).iter().map(|&byte| byte != 0).collect()
    }

    /// Within 1e-4 relative or 1e-5 absolute.
    pub fn check(&self, tensor: &str, got: &[f32]) {
        let expected = self.floats(tensor);
        assert_eq!(got.len(), expected.len(), "{} {tensor}", self.name);
        for (index, (&got, &expected)) in got.iter().zip(&expected).enumerate() {
            let difference = (got - expected).abs();
            assert!(
                difference <= 1e-5 || difference <= 1e-4 * expected.abs(),
                "{} {tensor}[{index}]: expected {expected}, got {got}",
                self.name
            );
        }
    }
}
