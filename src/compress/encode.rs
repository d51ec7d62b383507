//! Programs with other weights: integers, only what is not zero, fewer units.

use agon_agents::pruning::row_scale;
use agon_nn::{ToldNetwork, ToldScratch};
use agon_policy::{Activation, Operation, Parameter, Parameters, Quantization, StoredMap};

use super::calibrate::{Calibration, quantization};
use crate::RunError;

/// From this share of zeros on a weight is stored without them.
const SPARSE: f64 = 0.5;
/// From this share of zeros on, inputs stay numbers: products with them are passed over.
const IDLE: f64 = 0.75;

/// The operations with weights of which only what is not zero is stored, where that is little.
pub(super) fn sparse(
    operations: &[Operation],
    parameters: &mut Parameters,
) -> Result<Vec<Operation>, RunError> {
    let mut made = Vec::new();
    for operation in operations {
        made.push(match operation {
            Operation::Linear { weight, .. } => {
                let Some(parameter) = parameters.get_mut(weight) else { return Err(missing(weight)) };
                let values = &parameter.values;
                let zeros = values.iter().filter(|value| **value == 0.0).count();
                if (zeros as f64) < SPARSE * values.len() as f64 {
                    operation.clone()
                } else {
                    let mut bits = vec![0_u8; values.len().div_ceil(8)];
                    let there = values.iter().enumerate().filter(|(_, value)| **value != 0.0);
                    there.for_each(|(at, _)| bits[at / 8] |= 1 << (at % 8));
                    let kept: Vec<f32> = values.iter().copied().filter(|value| *value != 0.0).collect();
                    let places = format!("{weight}_places");
                    *parameter = Parameter { shape: vec![kept.len()], values: kept };
                    let bits: Vec<f32> = bits.into_iter().map(f32::from).collect();
                    parameters.insert(places.clone(), Parameter { shape: vec![bits.len()], values: bits });
                    Operation::Sparse { map: Box::new(operation.clone()), places }
                }
            }
            other => other.clone(),
        });
    }
    Ok(made)
}

/// The operations with weights of integers; inputs of linear maps after the first become bytes, by the values that they have on
/// some states, but where most of them are zero.
///
/// # Shapes
/// `states`: `[rows, inputs]`.
pub(super) fn integers(
    operations: &[Operation],
    parameters: &mut Parameters,
    (states, width): (&[f32], usize),
    calibration: Calibration,
) -> Result<Vec<Operation>, RunError> {
    let numbers = parameters.clone();
    let (mut made, mut scratch, mut x) = (Vec::new(), ToldScratch::default(), states.to_vec());
    for (index, operation) in operations.iter().enumerate() {
        made.push(match operation {
            Operation::Linear { .. } => {
                if index > 0 {
                    let before = ToldNetwork::new(&operations[..index], &numbers, width)?;
                    before.run(states, &mut scratch, &mut x)?;
                }
                // An observation's values have units of their own: one scale for all would drop the small ones.
                let zeros = x.iter().filter(|value| **value == 0.0).count();
                let stays = index == 0 || zeros as f64 >= IDLE * x.len() as f64;
                let input = (!stays).then(|| quantization(&x, calibration));
                rounded(operation, input, parameters)?
            }
            Operation::Conv2d { .. } | Operation::Sparse { .. } => rounded(operation, None, parameters)?,
            Operation::Parallel { branches } => {
                let mut branches = branches.clone();
                for branch in &mut branches {
                    for inner in &mut branch.operations {
                        if StoredMap::of(inner)?.is_some() {
                            *inner = rounded(inner, None, parameters)?;
                        }
                    }
                }
                Operation::Parallel { branches }
            }
            other => other.clone(),
        });
        if let Operation::Linear { bias, outputs, .. } = operation {
            let (mut exact, mut found) = (Vec::new(), Vec::new());
            ToldNetwork::new(&operations[..=index], &numbers, width)?.run(
                states,
                &mut scratch,
                &mut exact,
            )?;
            ToldNetwork::new(&made, parameters, width)?.run(states, &mut scratch, &mut found)?;
            let Some(bias) = parameters.get_mut(bias) else { return Err(missing(bias)) };
            correct(&exact, &found, *outputs, &mut bias.values);
        }
    }
    Ok(made)
}

/// Adds to biases what outputs are too small on the mean of some rows, so that rounding shifts none of them.
///
/// # Source
/// Nagel et al. 2019, arXiv:1906.04721, section 4.2, with the means of recorded states.
fn correct(exact: &[f32], found: &[f32], outputs: usize, bias: &mut [f32]) {
    let rows = (exact.len() / outputs).max(1) as f64;
    for (output, bias) in bias.iter_mut().enumerate() {
        let pairs = exact.iter().zip(found).skip(output).step_by(outputs);
        let missing: f64 = pairs.map(|(exact, found)| f64::from(exact - found)).sum();
        *bias += (missing / rows) as f32;
    }
}

/// A map with its weight as integers.
fn rounded(
    operation: &Operation,
    input: Option<Quantization>,
    parameters: &mut Parameters,
) -> Result<Operation, RunError> {
    let Some(stored) = StoredMap::of(operation)? else { return Ok(operation.clone()) };
    let (weight, is_there) = (stored.stored(parameters)?, places_of(&stored, parameters));
    let (mut kept, mut scales) = (Vec::new(), Vec::new());
    for (row, is_there) in weight.chunks_exact(stored.columns).zip(is_there.chunks(stored.columns)) {
        let scale = row_scale(row);
        // A value that is rounded to zero keeps its place.
        let values = row.iter().zip(is_there).filter(|(_, is_there)| **is_there);
        kept.extend(values.map(|(value, _)| (value / scale).round()));
        scales.push(scale);
    }
    let name = stored.weight;
    let Some(parameter) = parameters.get_mut(name) else { return Err(missing(name)) };
    parameter.values = kept;
    let scale = format!("{name}_scale");
    parameters.insert(scale.clone(), Parameter { shape: vec![scales.len()], values: scales });
    Ok(Operation::Quantized { map: Box::new(operation.clone()), scale, input })
}

/// Of each value of a weight whether it is stored.
fn places_of(stored: &StoredMap<'_>, parameters: &Parameters) -> Vec<bool> {
    let len = stored.rows * stored.columns;
    match stored.places.and_then(|places| parameters.get(places)) {
        Some(places) => (0..len).map(|at| (places.values[at / 8] as u8 >> (at % 8)) & 1 == 1).collect(),
        None => vec![true; len],
    }
}

/// The operations without units that give nothing: those whose weights on one side are all zero, and with a rectifier those that
/// are zero on all states. What a constant unit added goes into the biases after it.
///
/// # Shapes
/// `states`: `[rows, inputs]`.
pub(super) fn shrunk(
    operations: &[Operation],
    parameters: &mut Parameters,
    (states, width): (&[f32], usize),
) -> Result<Vec<Operation>, RunError> {
    let mut made = operations.to_vec();
    for index in 0..made.len() {
        let [Operation::Linear { .. }, Operation::Activation { function }, Operation::Linear { .. }] =
            &made[index..made.len().min(index + 3)]
        else {
            continue;
        };
        let function = *function;
        let network = ToldNetwork::new(&made[..index + 2], parameters, width)?;
        let mut answers = Vec::new();
        network.run(states, &mut ToldScratch::default(), &mut answers)?;
        let (Some(first), Some(next)) = (StoredMap::of(&made[index])?, StoredMap::of(&made[index + 2])?)
        else {
            continue;
        };
        let (units, columns) = (first.rows, first.columns);
        let (of_unit, of_next) = (first.weights(parameters)?, next.weights(parameters)?);
        let (biases, mut next_biases) = (first.biases(parameters)?, next.biases(parameters)?);
        let constants = constants(function, &biases)?;
        let mut kept = Vec::new();
        for unit in 0..units {
            let is_fed = of_unit[unit * columns..(unit + 1) * columns].iter().any(|value| *value != 0.0);
            let is_read = of_next.iter().skip(unit).step_by(units).any(|value| *value != 0.0);
            let is_alive = function != Activation::Relu
                || answers.iter().skip(unit).step_by(units).any(|value| *value != 0.0);
            if is_fed && is_read && is_alive {
                kept.push(unit);
            } else if !is_fed {
                for (bias, row) in next_biases.iter_mut().zip(of_next.chunks_exact(units)) {
                    *bias += row[unit] * constants[unit];
                }
            }
        }
        if kept.is_empty() || kept.len() == units {
            continue;
        }
        let rows: Vec<f32> =
            kept.iter().flat_map(|unit| &of_unit[unit * columns..(unit + 1) * columns]).copied().collect();
        let reads: Vec<f32> =
            of_next.chunks_exact(units).flat_map(|row| kept.iter().map(|&unit| row[unit])).collect();
        let put = |shape: Vec<usize>, values: Vec<f32>| Parameter { shape, values };
        let outputs = next.rows;
        for (name, parameter) in [
            (first.weight, put(vec![kept.len(), columns], rows)),
            (first.bias, put(vec![kept.len()], kept.iter().map(|&unit| biases[unit]).collect())),
            (next.weight, put(vec![outputs, kept.len()], reads)),
            (next.bias, put(vec![outputs], next_biases)),
        ] {
            parameters.insert(name.to_owned(), parameter);
        }
        if let Operation::Linear { outputs, .. } = &mut made[index] {
            *outputs = kept.len();
        }
        if let Operation::Linear { inputs, .. } = &mut made[index + 2] {
            *inputs = kept.len();
        }
    }
    Ok(made)
}

/// What units give whose sums are their biases.
fn constants(function: Activation, biases: &[f32]) -> Result<Vec<f32>, RunError> {
    let network = ToldNetwork::new(&[Operation::Activation { function }], &Parameters::new(), biases.len())?;
    let mut constants = Vec::new();
    network.run(biases, &mut ToldScratch::default(), &mut constants)?;
    Ok(constants)
}

fn missing(name: &str) -> RunError {
    RunError::Policy(format!("expected a parameter {name}, found none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> (Vec<Operation>, Parameters) {
        let linear = |layer: &str, inputs, outputs| Operation::Linear {
            weight: format!("{layer}.weight"),
            bias: format!("{layer}.bias"),
            inputs,
            outputs,
        };
        let relu = Operation::Activation { function: Activation::Relu };
        let parameter =
            |shape: &[usize], values: &[f32]| Parameter { shape: shape.to_vec(), values: values.to_vec() };
        let name = |name: &str| name.to_owned();
        // Of four units one is fed nothing, one is read by nobody, and one never answers.
        let parameters = Parameters::from([
            (name("a.weight"), parameter(&[4, 2], &[1.0, -2.0, 0.0, 0.0, 3.0, 1.0, 1.0, 1.0])),
            (name("a.bias"), parameter(&[4], &[0.5, 2.0, 0.0, -100.0])),
            (name("b.weight"), parameter(&[2, 4], &[1.0, 3.0, 0.0, 1.0, -1.0, 0.5, 0.0, 1.0])),
            (name("b.bias"), parameter(&[2], &[0.25, 0.0])),
        ]);
        (vec![linear("a", 2, 4), relu, linear("b", 4, 2)], parameters)
    }

    fn answers(operations: &[Operation], parameters: &Parameters, states: &[f32]) -> Vec<f32> {
        let network = ToldNetwork::new(operations, parameters, 2).unwrap();
        let mut out = Vec::new();
        network.run(states, &mut ToldScratch::default(), &mut out).unwrap();
        out
    }

    const STATES: [f32; 8] = [0.5, -0.5, 1.0, 1.0, -1.0, 2.0, 0.0, 0.25];

    #[test]
    fn units_that_give_nothing_go_and_constants_stay() {
        let (operations, mut parameters) = network();
        let before = answers(&operations, &parameters, &STATES);
        let made = shrunk(&operations, &mut parameters, (&STATES, 2)).unwrap();
        assert_eq!(parameters["a.weight"].values, [1.0, -2.0]);
        assert_eq!(parameters["b.bias"].values, [6.25, 1.0]);
        assert_eq!(answers(&made, &parameters, &STATES), before);
    }

    #[test]
    fn what_is_not_zero_is_the_same_network() {
        let (operations, mut parameters) = network();
        parameters.get_mut("b.weight").unwrap().values = vec![0.0, 3.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0];
        let before = answers(&operations, &parameters, &STATES);
        let made = sparse(&operations, &mut parameters).unwrap();
        assert!(matches!(made[0], Operation::Linear { .. }), "a quarter of the first weight is zero");
        assert_eq!(parameters["b.weight"].values, [3.0, 0.5]);
        assert_eq!(answers(&made, &parameters, &STATES), before);
        let calibration = Calibration::MinMax;
        let made = integers(&made, &mut parameters, (&STATES, 2), calibration).unwrap();
        assert_eq!(parameters["b.weight"].values, [127.0, 127.0]);
        for (a, b) in answers(&made, &parameters, &STATES).iter().zip(before) {
            assert!((a - b).abs() < 0.1, "{a} {b}");
        }
    }

    #[test]
    fn integers_are_close_to_the_numbers() {
        let (operations, parameters) = network();
        let before = answers(&operations, &parameters, &STATES);
        for calibration in [Calibration::MinMax, Calibration::Percentile, Calibration::Mse] {
            let mut parameters = parameters.clone();
            let made = integers(&operations, &mut parameters, (&STATES, 2), calibration).unwrap();
            assert!(matches!(made[0], Operation::Quantized { input: None, .. }), "observations stay numbers");
            assert!(matches!(made[2], Operation::Quantized { input: Some(_), .. }));
            for (a, b) in answers(&made, &parameters, &STATES).iter().zip(&before) {
                assert!((a - b).abs() < 0.1, "{calibration:?}: {a} {b}");
            }
        }
    }
}
