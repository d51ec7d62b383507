//! Ways to attribute a number that a policy chooses by to what it saw.

use agon_envs::Pcg64;
use agon_policy::LayerTrace;
use serde::Serialize;

use super::integrated::{Integrated, integrated};
use super::point::Point;
use super::view::{Grid, View};
use crate::RunError;

/// Noisy gradients that are averaged, and their noise in units of how far an input ranges.
const SAMPLES: usize = 25;
const NOISE: f32 = 0.15;

/// A way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// `|∂F/∂x|` times how far an input ranges.
    Gradient,
    /// See [`integrated`].
    IntegratedGradients,
    /// The mean of gradients under noise.
    SmoothGrad,
    /// What the last convolution found, weighted by what it is worth.
    GradCam,
    /// What is lost when a part is hidden.
    Occlusion,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Gradient, Self::IntegratedGradients, Self::SmoothGrad, Self::GradCam, Self::Occlusion];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gradient => "gradient",
            Self::IntegratedGradients => "integrated gradients",
            Self::SmoothGrad => "SmoothGrad",
            Self::GradCam => "Grad-CAM",
            Self::Occlusion => "occlusion",
        }
    }

    /// Whether attributions say for and against, and sum up to a difference.
    pub fn is_signed(self) -> bool {
        matches!(self, Self::IntegratedGradients | Self::Occlusion)
    }
}

/// What attributions are measured against.
#[derive(Clone, Debug)]
pub struct Reference {
    /// What stands for nothing, of each input of the network.
    pub baseline: Vec<f32>,
    /// How far each input ranges.
    pub ranges: Vec<f32>,
    /// Seed of noise.
    pub seed: u64,
}

/// Attributions of one step.
#[derive(Clone, Debug)]
pub struct Attribution {
    /// Of each value of the observation; none where a method has cells only.
    pub of_values: Option<Vec<f64>>,
    /// Of each cell of the image; none without one.
    pub of_cells: Option<Vec<f64>>,
    /// Absolute shares of stacked frames, see [`View::of_ages`].
    pub of_ages: Vec<f64>,
    /// Of integrated gradients, whether they are complete.
    pub integrated: Option<Integrated>,
}

/// Attributes a step; none if the method does not suit the network.
///
/// # Errors
/// If a layer has no gradient that the method needs.
pub fn attribute(
    method: Method,
    point: &Point<'_>,
    reference: &Reference,
    view: &View,
) -> Result<Option<Attribution>, RunError> {
    let of_inputs = match method {
        Method::Gradient => {
            let (_, _, gradient) = point.slopes(&point.inputs)?;
            ranged(gradient.observation.iter().map(|&slope| f64::from(slope)), reference)
        }
        Method::SmoothGrad => smooth(point, reference)?,
        Method::IntegratedGradients => {
            let found = integrated(point, &reference.baseline)?;
            let mut attribution = gathered(view, &found.of_inputs);
            attribution.integrated = Some(found);
            return Ok(Some(attribution));
        }
        Method::GradCam => {
            let Some(grid) = view.grid else { return Ok(None) };
            let cells = grad_cam(point, grid)?;
            return Ok(cells.map(|of_cells| Attribution {
                of_values: None,
                of_cells: Some(of_cells),
                of_ages: Vec::new(),
                integrated: None,
            }));
        }
        Method::Occlusion => return Ok(Some(occlusion(point, reference, view)?)),
    };
    Ok(Some(gathered(view, &of_inputs)))
}

fn gathered(view: &View, of_inputs: &[f64]) -> Attribution {
    let of_values = view.of_values(of_inputs);
    Attribution {
        of_cells: view.of_cells(&of_values),
        of_values: Some(of_values),
        of_ages: view.of_ages(of_inputs),
        integrated: None,
    }
}

/// Sizes of slopes for a change of each input as far as it ranges.
fn ranged(slopes: impl Iterator<Item = f64>, reference: &Reference) -> Vec<f64> {
    slopes.zip(&reference.ranges).map(|(slope, &range)| slope.abs() * f64::from(range)).collect()
}

/// # Source
/// Smilkov et al. 2017, *SmoothGrad: removing noise by adding noise*.
fn smooth(point: &Point<'_>, reference: &Reference) -> Result<Vec<f64>, RunError> {
    let mut rng = Pcg64::seed_from(reference.seed);
    let mut sums = vec![0.0; point.inputs.len()];
    for _ in 0..SAMPLES {
        let noisy: Vec<f32> = point
            .inputs
            .iter()
            .zip(&reference.ranges)
            .map(|(&value, &range)| value + NOISE * range * normal(&mut rng) as f32)
            .collect();
        let (_, _, gradient) = point.slopes(&noisy)?;
        sums.iter_mut().zip(&gradient.observation).for_each(|(sum, &slope)| *sum += f64::from(slope));
    }
    Ok(ranged(sums.into_iter().map(|sum| sum / SAMPLES as f64), reference))
}

/// A number of the normal distribution, by Box and Muller.
pub(super) fn normal(rng: &mut Pcg64) -> f64 {
    let (u, v) = (1.0 - rng.random(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// `max(0, Σ_k α_k A^k)` with `α_k` the mean derivative over the feature map `A^k` of the last convolution that tells places apart,
/// after its activation function, brought to the image's size; none without one.
///
/// # Source
/// Selvaraju et al. 2017, *Grad-CAM: visual explanations from deep networks via gradient-based localization*.
fn grad_cam(point: &Point<'_>, grid: Grid) -> Result<Option<Vec<f64>>, RunError> {
    let (_, trace, gradient) = point.slopes(&point.inputs)?;
    let layers = point.policy().layers_of(&trace);
    let has_places =
        |layer: &LayerTrace<'_>| layer.image.is_some_and(|[_, height, width]| height * width > 1);
    let is_map = |layer: &LayerTrace<'_>| layer.name.ends_with(" conv2d") && has_places(layer);
    let Some(last) = layers.iter().rposition(is_map) else {
        return Ok(None);
    };
    let Some([channels, height, width]) = layers[last].image else { return Ok(None) };
    let activates =
        |next: &LayerTrace<'_>| next.is_activation && next.values.len() == layers[last].values.len();
    let follows = layers.get(last + 1).is_some_and(activates);
    let own = if follows { last + 1 } else { last };
    let pixels = height * width;
    let mut map = vec![0.0; pixels];
    let maps = layers[own].values.chunks_exact(pixels).zip(gradient.layers[own].chunks_exact(pixels));
    for (values, slopes) in maps.take(channels) {
        let weight = slopes.iter().map(|&slope| f64::from(slope)).sum::<f64>() / pixels as f64;
        map.iter_mut().zip(values).for_each(|(sum, &value)| *sum += weight * f64::from(value));
    }
    map.iter_mut().for_each(|value| *value = value.max(0.0));
    Ok(Some(resized(&map, [height, width], [grid.height, grid.width])))
}

/// A map of another size: each cell what lies at its center, between the four centers around it.
pub(in crate::explain) fn resized(
    map: &[f64],
    [height, width]: [usize; 2],
    [rows, columns]: [usize; 2],
) -> Vec<f64> {
    let place = |at: usize, from: usize, to: usize| {
        let center = (at as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let center = center.clamp(0.0, (from - 1) as f64);
        let below = center.floor() as usize;
        (below, (below + 1).min(from - 1), center - below as f64)
    };
    let mut out = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        let (top, bottom, down) = place(row, height, rows);
        for column in 0..columns {
            let (left, right, across) = place(column, width, columns);
            let along = |y: usize| map[y * width + left] * (1.0 - across) + map[y * width + right] * across;
            out.push(along(top) * (1.0 - down) + along(bottom) * down);
        }
    }
    out
}

/// What the number loses when a patch of an image, or a value, is as in the baseline. A patch's loss is shared by its values.
///
/// # Source
/// Zeiler and Fergus 2014, *Visualizing and understanding convolutional networks*.
fn occlusion(point: &Point<'_>, reference: &Reference, view: &View) -> Result<Attribution, RunError> {
    let whole = point.score(&point.inputs)?;
    let mut of_values = vec![0.0; view.regions.iter().map(|region| region.values.len()).sum()];
    for region in &view.regions {
        let mut hidden = point.inputs.clone();
        region.inputs.iter().for_each(|&input| hidden[input] = reference.baseline[input]);
        // What is as in the baseline already loses nothing.
        if hidden == point.inputs {
            continue;
        }
        let lost = whole - point.score(&hidden)?;
        let share = lost / region.values.len() as f64;
        region.values.iter().for_each(|&value| of_values[value] = share);
    }
    Ok(Attribution {
        of_cells: view.of_cells(&of_values),
        of_values: Some(of_values),
        of_ages: Vec::new(),
        integrated: None,
    })
}
