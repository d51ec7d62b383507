//! Encoders: from observations to features.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::conv::{Conv2d, ConvConfig};
use crate::custom::{CustomParts, PartArguments, PartName};
use crate::embedding::{Embedding, OneHot};
use crate::error::NnError;
use crate::image::{ChannelsFirst, ImageShape};
use crate::init::Init;
use crate::layer::Layer;
use crate::linear::Activation;
use crate::mlp::hidden_layers as mlp;
use crate::norm::Norm;
use crate::parallel::Parallel;
use crate::params::LayoutBuilder;
use crate::pool::{Pool2d, PoolConfig};
use crate::residual::{Activate, Residual};

/// What a row of observations is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// Numbers without order.
    Vector(usize),
    /// An image.
    Image {
        /// Its shape.
        shape: ImageShape,
        /// Whether the channels of a pixel follow each other, `[H, W, C]`, instead of its planes, `[C, H, W]`.
        channels_last: bool,
    },
    /// Categories, as whole numbers: value `i` is one of `nvec[i]`.
    Discrete(Vec<usize>),
    /// Named parts, one after the other.
    Dict(Vec<(String, Observation)>),
}

impl Observation {
    /// The number of values in a row.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Vector(len) => *len,
            Self::Image { shape, .. } => shape.len(),
            Self::Discrete(nvec) => nvec.len(),
            Self::Dict(parts) => parts.iter().map(|(_, part)| part.len()).sum(),
        }
    }

    /// Whether a row has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn describe(&self) -> String {
        match self {
            Self::Vector(len) => format!("a vector of {len}"),
            Self::Image { shape, .. } => format!("an image {shape}"),
            Self::Discrete(nvec) => format!("categories {nvec:?}"),
            Self::Dict(parts) => format!("a dict of {} parts", parts.len()),
        }
    }
}

/// How features are made of an observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EncoderConfig {
    /// The observation itself.
    Identity,
    /// Linear layers on the flat observation.
    Mlp {
        /// Width of each layer.
        #[serde(default = "mlp_hidden")]
        hidden: Vec<usize>,
        /// What follows each layer.
        #[serde(default)]
        activation: Activation,
        /// Whether a LayerNorm comes between each linear map and its activation, as in PQN.
        #[serde(default)]
        layer_norm: bool,
    },
    /// Convolutions and linear layers.
    Cnn {
        /// The convolutions; none for Nature's from 36 pixels each way on, else `MinAtar`'s.
        #[serde(default)]
        convs: Vec<ConvConfig>,
        /// Width of each linear layer after them; none for 512 or 128, as the two papers have.
        #[serde(default)]
        hidden: Vec<usize>,
        /// What follows each layer.
        #[serde(default = "relu")]
        activation: Activation,
        /// Whether a LayerNorm, over all channels and pixels of an image, comes between each linear map and its
        /// activation, as in PQN.
        #[serde(default)]
        layer_norm: bool,
    },
    /// 32 8×8 stride 4, 64 4×4 stride 2, 64 3×3, one linear layer, all with ReLU (Mnih et al. 2015).
    NatureCnn {
        /// Width of the linear layer.
        #[serde(default = "nature_hidden")]
        hidden: usize,
    },
    /// 16 3×3 and one linear layer with ReLU (Young and Tian 2019, arXiv:1903.03176).
    MinatarCnn {
        /// Number of channels.
        #[serde(default = "minatar_channels")]
        channels: usize,
        /// Width of the linear layer.
        #[serde(default = "minatar_hidden")]
        hidden: usize,
    },
    /// Three stages of a convolution, max-pooling and two residual blocks, then ReLU and one linear layer (Espeholt et
    /// al. 2018, arXiv:1802.01561).
    Impala {
        /// Channels of each stage.
        #[serde(default = "impala_channels")]
        channels: Vec<usize>,
        /// Width of the linear layer.
        #[serde(default = "impala_hidden")]
        hidden: usize,
    },
    /// A tower of residual blocks on images of small boards, whose size it keeps: a 3×3 convolution, `blocks` times two of
    /// them beside the identity, ReLU, a 1×1 convolution to a few planes, ReLU, and linear layers (Silver et al. 2017, without
    /// batch normalisation, which mixes rows).
    Residual {
        /// Channels of the tower.
        #[serde(default = "residual_channels")]
        channels: usize,
        /// Residual blocks.
        #[serde(default = "residual_blocks")]
        blocks: usize,
        /// Planes that the heads read.
        #[serde(default = "residual_planes")]
        planes: usize,
        /// Width of each linear layer after them.
        #[serde(default)]
        hidden: Vec<usize>,
    },
    /// A learned vector for each category, then linear layers.
    Embedding {
        /// Width of a vector.
        #[serde(default = "embedding_width")]
        width: usize,
        /// Width of each linear layer after it.
        #[serde(default)]
        hidden: Vec<usize>,
        /// What follows each linear layer.
        #[serde(default)]
        activation: Activation,
    },
    /// An encoder for each part of a dict, joined, then linear layers.
    Dict {
        /// Encoders by the parts' names, which follow each other in alphabetical order; a part without one gets `auto`, and
        /// categories become unit vectors.
        #[serde(default)]
        parts: BTreeMap<String, EncoderConfig>,
        /// Width of each linear layer after them.
        #[serde(default)]
        hidden: Vec<usize>,
        /// What follows each linear layer.
        #[serde(default)]
        activation: Activation,
    },
    /// A part of the program's own, written in dfdx ([`crate::custom`]), then linear layers.
    Custom {
        /// The name that it is registered under.
        part: PartName,
        /// Its settings.
        #[serde(default)]
        arguments: PartArguments,
        /// Width of each linear layer after it.
        #[serde(default)]
        hidden: Vec<usize>,
        /// What follows each linear layer.
        #[serde(default)]
        activation: Activation,
    },
    /// By the observation: `cnn` for images, `dict` for dicts, else `mlp`, which reads categories as unit vectors.
    Auto,
}

fn mlp_hidden() -> Vec<usize> {
    vec![64, 64]
}

fn relu() -> Activation {
    Activation::Relu
}

fn nature_hidden() -> usize {
    512
}

fn minatar_channels() -> usize {
    16
}

fn minatar_hidden() -> usize {
    128
}

fn impala_channels() -> Vec<usize> {
    vec![16, 32, 32]
}

fn impala_hidden() -> usize {
    256
}

fn residual_channels() -> usize {
    32
}

fn residual_blocks() -> usize {
    4
}

fn residual_planes() -> usize {
    8
}

fn embedding_width() -> usize {
    64
}

impl Default for EncoderConfig {
    /// Two hidden layers of 64 with tanh, as CleanRL's PPO.
    fn default() -> Self {
        Self::mlp(&[64, 64], Activation::Tanh)
    }
}

impl EncoderConfig {
    /// Linear layers.
    #[must_use]
    pub fn mlp(hidden: &[usize], activation: Activation) -> Self {
        Self::Mlp { hidden: hidden.to_vec(), activation, layer_norm: false }
    }

    /// The layers, whose parameters are added to a layout; none for the identity.
    ///
    /// Parameters are named as those of the `torch.nn.Sequential` that PyTorch's users would write, activations and
    /// flattening counted.
    ///
    /// # Errors
    /// [`NnError::Config`] if a size is out of its bounds, or the encoder does not suit the observation.
    pub fn build(
        &self,
        builder: &mut LayoutBuilder,
        prefix: &str,
        observation: &Observation,
        init: Init,
    ) -> Result<Vec<Arc<dyn Layer>>, NnError> {
        let inputs = observation.len();
        if observation.is_empty() {
            let got = observation.describe();
            return Err(NnError::Config { field: "observation", expected: "at least one value", got });
        }
        let unsuitable =
            |expected| Err(NnError::Config { field: "kind", expected, got: observation.describe() });
        match (self, observation) {
            (Self::Identity, _) => Ok(Vec::new()),
            (Self::Mlp { hidden, activation, layer_norm }, Observation::Discrete(nvec)) => {
                let unit_vectors = OneHot::new(nvec);
                let width = unit_vectors.outputs();
                let layers = mlp(builder, prefix, 0, width, (hidden, *activation, *layer_norm), init)?;
                Ok(std::iter::once(unit_vectors.into()).chain(layers).collect())
            }
            (Self::Mlp { hidden, activation, layer_norm }, _) => {
                mlp(builder, prefix, 0, inputs, (hidden, *activation, *layer_norm), init)
            }
            (
                Self::Cnn { .. }
                | Self::NatureCnn { .. }
                | Self::MinatarCnn { .. }
                | Self::Impala { .. }
                | Self::Residual { .. },
                &Observation::Image { shape, channels_last: true },
            ) => {
                let planes = Observation::Image { shape, channels_last: false };
                let layers = self.build(builder, prefix, &planes, init)?;
                Ok(std::iter::once(ChannelsFirst::new(shape).into()).chain(layers).collect())
            }
            (
                Self::Cnn { convs, hidden, activation, layer_norm },
                Observation::Image { shape: image, .. },
            ) => {
                let large = image.height.min(image.width) >= 36;
                let convs = match (convs.is_empty(), large) {
                    (false, _) => convs.clone(),
                    (true, true) => nature_convs(),
                    (true, false) => vec![ConvConfig::new(minatar_channels(), 3)],
                };
                let default = [if large { nature_hidden() } else { minatar_hidden() }];
                let hidden = if hidden.is_empty() { &default[..] } else { hidden };
                cnn(builder, prefix, *image, &convs, (hidden, *activation, *layer_norm), init)
            }
            (Self::NatureCnn { hidden }, Observation::Image { shape: image, .. }) => {
                cnn(builder, prefix, *image, &nature_convs(), (&[*hidden], Activation::Relu, false), init)
            }
            (Self::MinatarCnn { channels, hidden }, Observation::Image { shape: image, .. }) => {
                let convs = [ConvConfig::new(*channels, 3)];
                cnn(builder, prefix, *image, &convs, (&[*hidden], Activation::Relu, false), init)
            }
            (Self::Impala { channels, hidden }, Observation::Image { shape: image, .. }) => {
                impala(builder, prefix, *image, channels, *hidden, init)
            }
            (Self::Residual { channels, blocks, planes, hidden }, Observation::Image { shape, .. }) => {
                let tower = Tower { channels: *channels, blocks: *blocks, planes: *planes, hidden };
                tower.build(builder, prefix, *shape, init)
            }
            (Self::Embedding { width, hidden, activation }, Observation::Discrete(nvec)) => {
                if *width == 0 || nvec.contains(&0) {
                    let got = format!("{width} and {nvec:?}");
                    let expected = "at least 1";
                    return Err(NnError::Config { field: "width and categories", expected, got });
                }
                let (name, table) = (format!("{prefix}.0"), Init::Normal { std: 1.0 });
                let embedding = Embedding::of_each(builder, &name, nvec, *width, table);
                let count = nvec.len();
                // PyTorch flattens the vectors before the first linear layer.
                let layers = mlp(builder, prefix, 2, count * width, (hidden, *activation, false), init)?;
                Ok(std::iter::once(embedding.into()).chain(layers).collect())
            }
            (Self::Dict { parts, hidden, activation }, Observation::Dict(observations)) => {
                let joined = dict(builder, prefix, parts, observations, init)?;
                let width = joined.outputs();
                let layers =
                    mlp(builder, &format!("{prefix}.joined"), 0, width, (hidden, *activation, false), init)?;
                Ok(std::iter::once(joined.into()).chain(layers).collect())
            }
            (Self::Custom { part, hidden, activation, .. }, _) => {
                let layer = part.build(builder, &format!("{prefix}.0"), inputs)?;
                let width = layer.outputs();
                let layers = mlp(builder, prefix, 1, width, (hidden, *activation, false), init)?;
                Ok(std::iter::once(layer).chain(layers).collect())
            }
            (Self::Auto, _) => Self::default().fitting(observation).build(builder, prefix, observation, init),
            (
                Self::Cnn { .. }
                | Self::NatureCnn { .. }
                | Self::MinatarCnn { .. }
                | Self::Impala { .. }
                | Self::Residual { .. },
                _,
            ) => unsuitable("an encoder for this observation (convolutions need an image [C, H, W])"),
            (Self::Embedding { .. }, _) => {
                unsuitable("an encoder for this observation (embedding needs categories)")
            }
            (Self::Dict { .. }, _) => unsuitable("an encoder for this observation (dict needs a dict)"),
        }
    }

    /// Finds the program's own parts that settings name.
    ///
    /// # Errors
    /// [`NnError::Config`] if there is no such part, or it does not take its settings.
    pub fn bind(&mut self, parts: &CustomParts) -> Result<(), NnError> {
        match self {
            Self::Custom { part, arguments, .. } => part.bind(parts, arguments),
            Self::Dict { parts: inside, .. } => inside.values_mut().try_for_each(|part| part.bind(parts)),
            _ => Ok(()),
        }
    }

    /// What suits an observation in the place of linear layers; other encoders stay as they are, but for a tower where there is
    /// no image: that becomes linear layers.
    ///
    /// Vectors and categories keep the linear layers, which read categories as unit vectors. An image gets convolutions,
    /// unless it is too small for any. Of a dict images get convolutions, other parts are read as they are, categories as
    /// unit vectors, and the linear layers follow all of them.
    ///
    /// # Source
    /// Stable-Baselines3's `CombinedExtractor`, with `MinatarCnn`'s convolutions for small images.
    #[must_use]
    pub fn fitting(&self, observation: &Observation) -> Self {
        if matches!(self, Self::Residual { .. }) && !matches!(observation, Observation::Image { .. }) {
            return Self::default().fitting(observation);
        }
        let Self::Mlp { hidden, activation, .. } = self else { return self.clone() };
        match observation {
            Observation::Dict(parts) => {
                let part =
                    |(name, observation): &(String, Observation)| (name.clone(), Self::of_part(observation));
                let parts = parts.iter().map(part).collect();
                Self::Dict { parts, hidden: hidden.clone(), activation: *activation }
            }
            Observation::Image { .. } if is_convolved(observation) => Self::of_part(observation),
            _ => self.clone(),
        }
    }

    /// What suits a part of a dict.
    fn of_part(observation: &Observation) -> Self {
        match observation {
            Observation::Image { .. } if is_convolved(observation) => {
                Self::Cnn { convs: Vec::new(), hidden: Vec::new(), activation: relu(), layer_norm: false }
            }
            Observation::Vector(_) | Observation::Image { .. } => Self::Identity,
            Observation::Discrete(_) => Self::mlp(&[], Activation::default()),
            Observation::Dict(_) => Self::mlp(&[], Activation::default()).fitting(observation),
        }
    }
}

/// Whether an image has room for a convolution of 3 × 3.
fn is_convolved(observation: &Observation) -> bool {
    matches!(observation, Observation::Image { shape, .. } if shape.height.min(shape.width) >= 3)
}

/// The convolutions of Mnih et al. 2015.
fn nature_convs() -> Vec<ConvConfig> {
    vec![ConvConfig::new(32, 8).stride(4), ConvConfig::new(64, 4).stride(2), ConvConfig::new(64, 3)]
}

/// Convolutions, then linear layers, with a LayerNorm before each activation or without.
fn cnn(
    builder: &mut LayoutBuilder,
    prefix: &str,
    image: ImageShape,
    convs: &[ConvConfig],
    (hidden, activation, layer_norm): (&[usize], Activation, bool),
    init: Init,
) -> Result<Vec<Arc<dyn Layer>>, NnError> {
    let (mut layers, mut shape): (Vec<Arc<dyn Layer>>, _) = (Vec::new(), image);
    let (fused, siblings) = if layer_norm { (Activation::Identity, 3) } else { (activation, 2) };
    for (index, config) in convs.iter().enumerate() {
        let index = siblings * index;
        let name = format!("{prefix}.{index}");
        let conv = Conv2d::new(builder, &name, shape, config.clone(), fused, init)?;
        shape = conv.output_shape();
        layers.push(conv.into());
        if layer_norm {
            let name = format!("{prefix}.{}", index + 1);
            layers.push(Norm::layer(builder, &name, shape.len(), Norm::LAYER_EPS).into());
            layers.push(Activate::new(activation, &<[usize; 3]>::from(shape)).into());
        }
    }
    let flattened = siblings * convs.len() + 1;
    layers.extend(mlp(builder, prefix, flattened, shape.len(), (hidden, activation, layer_norm), init)?);
    Ok(layers)
}

/// Names as in CleanRL's `ppo_procgen.py`.
fn impala(
    builder: &mut LayoutBuilder,
    prefix: &str,
    image: ImageShape,
    channels: &[usize],
    hidden: usize,
    init: Init,
) -> Result<Vec<Arc<dyn Layer>>, NnError> {
    let (mut layers, mut shape): (Vec<Arc<dyn Layer>>, _) = (Vec::new(), image);
    for (stage, &channels) in channels.iter().enumerate() {
        let prefix = format!("{prefix}.{stage}");
        let mut conv = |name: &str, shape, activation| {
            let config = ConvConfig::new(channels, 3).padding(1);
            Conv2d::new(builder, &format!("{prefix}.{name}"), shape, config, activation, init)
        };
        let first = conv("conv", shape, Activation::Identity)?;
        let pool = Pool2d::max(first.output_shape(), PoolConfig::new(3, 2, 1))?;
        shape = pool.output_shape();
        layers.extend([first.into(), pool.into()]);
        for block in ["res_block0", "res_block1"] {
            let inside: Vec<Arc<dyn Layer>> = vec![
                Activate::new(Activation::Relu, &<[usize; 3]>::from(shape)).into(),
                conv(&format!("{block}.conv0"), shape, Activation::Relu)?.into(),
                conv(&format!("{block}.conv1"), shape, Activation::Identity)?.into(),
            ];
            layers.push(Residual::new(inside)?.into());
        }
    }
    layers.push(Activate::new(Activation::Relu, &<[usize; 3]>::from(shape)).into());
    let index = channels.len() + 2;
    layers.extend(mlp(builder, prefix, index, shape.len(), (&[hidden], Activation::Relu, false), init)?);
    Ok(layers)
}

/// The sizes of a residual tower.
struct Tower<'a> {
    channels: usize,
    blocks: usize,
    planes: usize,
    hidden: &'a [usize],
}

impl Tower<'_> {
    /// Named `<prefix>.stem`, `<prefix>.<block>.conv0` and `.conv1`, `<prefix>.planes`, and numbers from `blocks + 1` on.
    fn build(
        &self,
        builder: &mut LayoutBuilder,
        prefix: &str,
        image: ImageShape,
        init: Init,
    ) -> Result<Vec<Arc<dyn Layer>>, NnError> {
        for (field, size) in [("channels", self.channels), ("planes", self.planes)] {
            if size == 0 {
                return Err(NnError::Config { field, expected: "at least 1", got: "0".to_owned() });
            }
        }
        let mut conv = |name: &str, shape, config: ConvConfig, activation, init| {
            Conv2d::new(builder, &format!("{prefix}.{name}"), shape, config, activation, init)
        };
        let wide = || ConvConfig::new(self.channels, 3).padding(1);
        let stem = conv("stem", image, wide(), Activation::Identity, init)?;
        let shape = stem.output_shape();
        let mut layers: Vec<Arc<dyn Layer>> = vec![stem.into()];
        for block in 0..self.blocks {
            let inside: Vec<Arc<dyn Layer>> = vec![
                Activate::new(Activation::Relu, &<[usize; 3]>::from(shape)).into(),
                conv(&format!("{block}.conv0"), shape, wide(), Activation::Relu, init)?.dense().into(),
                // A block begins as the identity, so that deep towers learn without normalisation (Zhang, Dauphin and Ma
                // 2019, arXiv:1901.09321).
                conv(&format!("{block}.conv1"), shape, wide(), Activation::Identity, Init::Zeros)?
                    .dense()
                    .into(),
            ];
            layers.push(Residual::new(inside)?.into());
        }
        layers.push(Activate::new(Activation::Relu, &<[usize; 3]>::from(shape)).into());
        let planes = conv("planes", shape, ConvConfig::new(self.planes, 1), Activation::Relu, init)?;
        let len = planes.output_shape().len();
        layers.push(planes.dense().into());
        layers.extend(mlp(
            builder,
            prefix,
            self.blocks + 1,
            len,
            (self.hidden, Activation::Relu, false),
            init,
        )?);
        Ok(layers)
    }
}

/// The parts' encoders beside each other, named `<prefix>.<part>`.
fn dict(
    builder: &mut LayoutBuilder,
    prefix: &str,
    parts: &BTreeMap<String, EncoderConfig>,
    observations: &[(String, Observation)],
    init: Init,
) -> Result<Parallel, NnError> {
    if let Some(unknown) = parts.keys().find(|name| observations.iter().all(|(known, _)| known != *name)) {
        let expected = "names of the observation's parts";
        return Err(NnError::Config { field: "parts", expected, got: unknown.clone() });
    }
    let (mut branches, mut start) = (Vec::new(), 0);
    for (name, observation) in observations {
        let by_default = match observation {
            Observation::Discrete(_) => EncoderConfig::of_part(observation),
            _ => EncoderConfig::Auto,
        };
        let config = parts.get(name).unwrap_or(&by_default);
        let mut layers = config
            .build(builder, &format!("{prefix}.{name}"), observation, init)
            .map_err(|error| error.within("parts"))?;
        if layers.is_empty() {
            layers.push(Activate::new(Activation::Identity, &[observation.len()]).into());
        }
        branches.push((name.clone(), start..start + observation.len(), layers));
        start += observation.len();
    }
    Parallel::new(start, branches)
}
