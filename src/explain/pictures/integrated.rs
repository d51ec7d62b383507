//! Integrated gradients, with as many places along the path as the sum needs.

use super::point::Point;
use crate::RunError;

/// How far attributions may miss the output's difference.
pub const TOLERANCE: f64 = 0.01;
/// Pieces of the path at the beginning.
const PIECES: usize = 8;
/// Gradients of a path, at most, and values of all of them that are kept.
const MOST_GRADIENTS: usize = 4096;
const MOST_VALUES: usize = 1 << 24;
/// Differences below this share of the output's size are lost in rounding.
const ROUNDING: f64 = 1e-6;

/// Attributions, and whether they are complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Integrated {
    /// Of each input of the network.
    pub of_inputs: Vec<f64>,
    /// The output less that of the baseline.
    pub difference: f64,
    /// How far the sum misses it, as a share of it.
    pub error: f64,
    /// Gradients that were computed.
    pub gradients: usize,
}

impl Integrated {
    /// Whether attributions sum to the output's difference within [`TOLERANCE`].
    pub fn is_complete(&self) -> bool {
        self.error <= TOLERANCE
    }
}

/// A part of the path, with the gradient in its middle.
struct Piece {
    ends: [f64; 2],
    /// The output at both ends, and in the middle.
    scores: [f64; 2],
    middle: f64,
    gradient: Vec<f32>,
    /// What the gradient makes of the difference of the scores, less that.
    error: f64,
}

/// `a_i = (x_i − x⁰_i) ∫₀¹ ∂F/∂x_i (x⁰ + t (x − x⁰)) dt`.
///
/// The path is cut where the gradient in the middle of a piece tells the piece's difference of outputs worst, until what is
/// missing over all pieces is below [`TOLERANCE`] of the whole difference: kinks of rectifiers get narrow pieces, straight
/// parts wide ones.
///
/// # Errors
/// If a layer has no gradient, or the baseline has another size.
///
/// # Source
/// Sundararajan, Taly and Yan 2017, *Axiomatic attribution for deep networks*.
pub fn integrated(point: &Point<'_>, baseline: &[f32]) -> Result<Integrated, RunError> {
    let direction: Vec<f64> =
        point.inputs.iter().zip(baseline).map(|(x, start)| f64::from(x - start)).collect();
    let path = Path { point, baseline, direction };
    let (start, end) = (point.score(baseline)?, point.score(&point.inputs)?);
    let difference = end - start;
    let scale = difference.abs().max(ROUNDING / TOLERANCE * start.abs().max(end.abs()));
    let most = (MOST_VALUES / path.direction.len().max(1)).clamp(PIECES, MOST_GRADIENTS);
    let mut pieces = Vec::new();
    let mut before = start;
    for i in 0..PIECES {
        let to = (i + 1) as f64 / PIECES as f64;
        let after = if i + 1 == PIECES { end } else { point.score(&path.at(to))? };
        pieces.push(path.piece([i as f64 / PIECES as f64, to], [before, after])?);
        before = after;
    }
    let mut gradients = PIECES;
    while gradients + 2 <= most && missing(&pieces) > TOLERANCE * scale {
        let worst = (0..pieces.len())
            .fold(0, |worst, i| if pieces[i].error.abs() > pieces[worst].error.abs() { i } else { worst });
        let Piece { ends: [from, to], scores: [low, high], middle, .. } = pieces.swap_remove(worst);
        let center = f64::midpoint(from, to);
        if center <= from || center >= to {
            break;
        }
        pieces.push(path.piece([from, center], [low, middle])?);
        pieces.push(path.piece([center, to], [middle, high])?);
        gradients += 2;
    }
    let mut of_inputs = vec![0.0; path.direction.len()];
    for Piece { ends: [from, to], gradient, .. } in &pieces {
        let slopes = gradient.iter().zip(&path.direction);
        of_inputs
            .iter_mut()
            .zip(slopes)
            .for_each(|(sum, (slope, along))| *sum += (to - from) * f64::from(*slope) * along);
    }
    let missed = (of_inputs.iter().sum::<f64>() - difference).abs();
    // Without any difference nothing is missed but rounding.
    let error = if missed == 0.0 { 0.0 } else { missed / scale };
    Ok(Integrated { of_inputs, difference, error, gradients })
}

/// What pieces miss, over all of them: errors that cancel count.
fn missing(pieces: &[Piece]) -> f64 {
    pieces.iter().map(|piece| piece.error.abs()).sum()
}

/// From the baseline to what was seen.
struct Path<'a> {
    point: &'a Point<'a>,
    baseline: &'a [f32],
    direction: Vec<f64>,
}

impl Path<'_> {
    fn at(&self, share: f64) -> Vec<f32> {
        let values = self.baseline.iter().zip(&self.direction);
        values.map(|(start, along)| (f64::from(*start) + share * along) as f32).collect()
    }

    fn piece(&self, ends: [f64; 2], scores: [f64; 2]) -> Result<Piece, RunError> {
        let (middle, _, gradient) = self.point.slopes(&self.at(f64::midpoint(ends[0], ends[1])))?;
        let gradient = gradient.observation;
        let along: f64 =
            gradient.iter().zip(&self.direction).map(|(slope, along)| f64::from(*slope) * along).sum();
        let error = (ends[1] - ends[0]) * along - (scores[1] - scores[0]);
        Ok(Piece { ends, scores, middle, gradient, error })
    }
}
