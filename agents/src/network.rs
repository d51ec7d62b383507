//! What networks read: observations of any space, as a network's input.

use agon_envs::spaces::Dtype;
use agon_envs::{ObsBuffer, Space};
use agon_nn::{
    Activation, ByteMatrix, EncoderConfig, Head, HeadSpec, ImageShape, Init, Input, LayoutBuilder,
    MemoryConfig, Model, ModelConfig, Observation, Rows,
};

use crate::AgentError;

/// What a byte of an image stands for: 0 to 255 become 0 to 1.
pub(crate) const BYTE_SCALE: f32 = 1.0 / 255.0;

/// What a network sees of a space's packed rows.
///
/// A box of three dimensions is an image: channels first if the first dimension is less than both others, else channels
/// last (Stable-Baselines3's rule).
///
/// # Errors
/// [`AgentError::Unsupported`] if categories do not begin with zero.
pub(crate) fn observation(algorithm: &'static str, space: &Space) -> Result<Observation, AgentError> {
    match space {
        Space::Box(bounds) => match *bounds.shape() {
            [a, b, c] if a < b && a < c => {
                Ok(Observation::Image { shape: ImageShape::new(a, b, c), channels_last: false })
            }
            [height, width, channels] => {
                let shape = ImageShape::new(channels, height, width);
                Ok(Observation::Image { shape, channels_last: true })
            }
            _ => Ok(Observation::Vector(bounds.len())),
        },
        Space::MultiBinary { n } => Ok(Observation::Vector(*n)),
        Space::Discrete { n, start: 0 } => Ok(Observation::Discrete(vec![*n])),
        Space::Discrete { .. } => {
            let expected = "categories that begin with zero";
            Err(AgentError::Unsupported { algorithm, expected, found: space.to_string() })
        }
        Space::MultiDiscrete { nvec } => Ok(Observation::Discrete(nvec.clone())),
        Space::Dict(entries) => {
            let parts =
                entries.iter().map(|(name, space)| Ok((name.clone(), observation(algorithm, space)?)));
            Ok(Observation::Dict(parts.collect::<Result<_, AgentError>>()?))
        }
        Space::Tuple(spaces) => {
            let parts = spaces
                .iter()
                .enumerate()
                .map(|(index, space)| Ok((index.to_string(), observation(algorithm, space)?)));
            Ok(Observation::Dict(parts.collect::<Result<_, AgentError>>()?))
        }
    }
}

/// The element type of a space's packed rows.
pub(crate) fn dtype(space: &Space) -> Dtype {
    match space {
        Space::Box(bounds) => bounds.dtype(),
        _ => Dtype::F32,
    }
}

/// Rows of observations as a network reads them when it acts.
pub(crate) fn rows(observations: &ObsBuffer) -> Rows<'_> {
    match observations {
        ObsBuffer::F32(values) => Rows::F32(values),
        ObsBuffer::U8(values) => Rows::U8 { values, scale: BYTE_SCALE },
    }
}

/// One of the rows, as a network reads it when it acts.
pub(crate) fn row(observations: &ObsBuffer, row: usize, width: usize) -> Rows<'_> {
    let range = row * width..(row + 1) * width;
    match observations {
        ObsBuffer::F32(values) => Rows::F32(&values[range]),
        ObsBuffer::U8(values) => Rows::U8 { values: &values[range], scale: BYTE_SCALE },
    }
}

/// As [`rows`], the first `count` rows of `width` values.
pub(crate) fn first_rows(observations: &ObsBuffer, count: usize, width: usize) -> Rows<'_> {
    match observations {
        ObsBuffer::F32(values) => Rows::F32(&values[..count * width]),
        ObsBuffer::U8(values) => Rows::U8 { values: &values[..count * width], scale: BYTE_SCALE },
    }
}

/// Rows of bytes as a network reads them when it learns.
pub(crate) fn bytes(rows: usize, width: usize, values: Vec<u8>) -> Result<Input, AgentError> {
    Ok(ByteMatrix::new(rows, width, values, BYTE_SCALE)?.into())
}

/// Layers of one width with a LayerNorm each, and a linear output of so many values.
pub(crate) fn perceptron(
    builder: &mut LayoutBuilder,
    name: &str,
    inputs: usize,
    (hidden, layers): (usize, usize),
    (head, init): (Head, Init),
) -> Result<Model, AgentError> {
    let (hidden, activation, layer_norm) = (vec![hidden; layers], Activation::Silu, true);
    let encoder = EncoderConfig::Mlp { hidden, activation, layer_norm };
    let network = ModelConfig { encoder, ..ModelConfig::default() };
    let head = HeadSpec { name: format!("{name}.head"), head, init };
    let (prefix, inputs) = (format!("{name}."), Observation::Vector(inputs));
    Ok(Model::new(builder, &prefix, &inputs, &network, &[head], Init::PYTORCH_LINEAR)?)
}

/// Refuses memories, for what learns from single transitions.
pub(crate) fn check_no_memory(algorithm: &'static str, config: &ModelConfig) -> Result<(), AgentError> {
    if config.memory != MemoryConfig::None {
        let (expected, found) = ("network.memory.kind = \"none\"", format!("{:?}", config.memory));
        return Err(AgentError::Unsupported { algorithm, expected, found });
    }
    Ok(())
}

/// Refuses noisy heads, which explore where a policy is no distribution.
pub(crate) fn check_not_noisy(algorithm: &'static str, config: &ModelConfig) -> Result<(), AgentError> {
    if config.head.noisy {
        let (expected, found) = ("network.head.noisy = false", "true".to_owned());
        return Err(AgentError::Unsupported { algorithm, expected, found });
    }
    Ok(())
}
