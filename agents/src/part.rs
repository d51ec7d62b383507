//! One of a learner's networks: its parameters, what they are called among the weights, and what trains them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use agon_nn::{Optimizer, OptimizerConfig, OptimizerState, Params};
use serde::{Deserialize, Serialize};

use crate::pruning::Mask;
use crate::slices::{self, Slice};
use crate::{AgentError, Norms, Weights, settings};

/// What a target network's tensors are called, before their own names.
pub(crate) const TARGET: &str = "target.";

/// Parameters that are saved and have a name.
#[derive(Debug)]
pub struct Part {
    /// What the tensors are called, before their own names: empty for the acting network.
    prefix: &'static str,
    pub(crate) params: Params,
    /// None for a network that does not learn by gradients.
    optimizer: Option<Optimizer>,
    /// Parameters whose steps are multiplied by another factor than one; zero for those that stay as they are.
    rates: Vec<(Range<usize>, f32)>,
    /// Which weights are pruned, if any can be.
    mask: Option<Mask>,
    /// Norms of gradients since they were last asked for, and how many.
    gradients: (f64, u32),
}

/// What is saved of one.
#[derive(Serialize, Deserialize)]
pub(crate) struct SavedPart {
    params: Vec<f32>,
    pub(crate) optimizer: Option<OptimizerState>,
    /// Of each parameter whether it stays, if some can be pruned.
    kept: Option<Vec<bool>>,
}

impl Part {
    /// A network that gradients train.
    pub(crate) fn trained(
        prefix: &'static str,
        params: Params,
        optimizer: OptimizerConfig,
    ) -> Result<Self, AgentError> {
        let optimizer = Some(Optimizer::new(optimizer, params.len())?);
        Ok(Self { prefix, params, optimizer, rates: Vec::new(), mask: None, gradients: (0.0, 0) })
    }

    /// A network that follows another one, or never changes.
    pub(crate) fn fixed(prefix: &'static str, params: Params) -> Self {
        Self { prefix, params, optimizer: None, rates: Vec::new(), mask: None, gradients: (0.0, 0) }
    }

    /// Takes a step against the gradient that is summed over slices; a network without an optimizer takes none.
    ///
    /// # Errors
    /// If the gradient is not finite, naming the parameter.
    pub(crate) fn descend<W, S>(
        &mut self,
        slices: &mut [Slice<W, S>],
        max_grad_norm: f64,
        learning_rate: f64,
    ) -> Result<(), AgentError> {
        let Some(optimizer) = &mut self.optimizer else { return Ok(()) };
        // What stays as it is has no say in how large the gradient is.
        let frozen = self.rates.iter().filter(|(_, rate)| *rate == 0.0);
        slices::forget(slices, frozen.map(|(range, _)| range.clone()));
        if let Some(mask) = &self.mask {
            slices::each_gradient(slices, |gradient| mask.apply(gradient));
        }
        let before = Before::of(&self.params, &self.rates);
        let norm = slices::descend(&mut self.params, optimizer, slices, max_grad_norm, learning_rate)?;
        before.scale_steps(&mut self.params, &self.rates);
        self.cut();
        self.gradients.0 += f64::from(norm);
        self.gradients.1 += 1;
        Ok(())
    }

    /// The norms of its parameters, and of their gradients since the last call.
    fn take_norms(&mut self) -> Norms {
        let (sum, count) = std::mem::take(&mut self.gradients);
        let squares: f64 = self.params.as_slice().iter().map(|&value| f64::from(value).powi(2)).sum();
        Norms { gradient: sum / f64::from(count), weights: squares.sqrt() }
    }

    /// Takes a step against a gradient.
    ///
    /// # Errors
    /// If the gradient is of another length.
    pub(crate) fn step(&mut self, gradient: &[f32], learning_rate: f64) -> Result<(), AgentError> {
        let Some(optimizer) = &mut self.optimizer else { return Ok(()) };
        let before = Before::of(&self.params, &self.rates);
        optimizer.step(&mut self.params, gradient, learning_rate as f32)?;
        before.scale_steps(&mut self.params, &self.rates);
        self.cut();
        Ok(())
    }

    /// Begins anew with other parameters and an optimizer that has taken no step; what is kept as it is stays, and what is pruned
    /// stays zero.
    ///
    /// # Errors
    /// If the optimizer cannot be made.
    pub(crate) fn reset(&mut self, fresh: &Params) -> Result<(), AgentError> {
        let kept = Before::of(&self.params, &self.rates);
        self.params.as_mut_slice().copy_from_slice(fresh.as_slice());
        kept.keep_frozen(&mut self.params, &self.rates);
        if let Some(optimizer) = &mut self.optimizer {
            *optimizer = Optimizer::new(optimizer.config(), self.params.len())?;
        }
        self.cut();
        Ok(())
    }

    /// Keeps what is pruned at zero, wherever momentum would take it.
    fn cut(&mut self) {
        if let Some(mask) = &self.mask {
            mask.apply(self.params.as_mut_slice());
        }
    }

    /// Moves a part of the way to another network: 1 is a copy.
    pub(crate) fn follow(&mut self, other: &Self, tau: f64) -> Result<(), AgentError> {
        Ok(self.params.lerp_from(&other.params, tau as f32)?)
    }
}

/// Parameters before a step, of those whose steps are scaled.
struct Before(Vec<Vec<f32>>);

impl Before {
    fn of(params: &Params, rates: &[(Range<usize>, f32)]) -> Self {
        Self(rates.iter().map(|(range, _)| params.as_slice()[range.clone()].to_vec()).collect())
    }

    /// Puts back what is not to change at all.
    fn keep_frozen(self, params: &mut Params, rates: &[(Range<usize>, f32)]) {
        let values = params.as_mut_slice();
        for (before, (range, _)) in self.0.iter().zip(rates).filter(|(_, (_, rate))| *rate == 0.0) {
            values[range.clone()].copy_from_slice(before);
        }
    }

    fn scale_steps(self, params: &mut Params, rates: &[(Range<usize>, f32)]) {
        if rates.is_empty() {
            return;
        }
        let values = params.as_mut_slice();
        for (before, (range, rate)) in self.0.iter().zip(rates) {
            let pairs = values[range.clone()].iter_mut().zip(before);
            pairs.for_each(|(now, &before)| {
                *now = if *rate == 0.0 { before } else { before + rate * (*now - before) };
            });
        }
    }
}

/// Sets factors of the step sizes of all parameters whose names begin with a prefix; the longest prefix of a name counts.
///
/// # Errors
/// [`AgentError::Setting`] if no parameter's name begins so, or a factor is below zero or no number.
pub(crate) fn set_rates(parts: &mut [&mut Part], rates: &BTreeMap<String, f64>) -> Result<(), AgentError> {
    settings::at_least_zero(&rates.values().map(|&rate| ("learning_rates", rate)).collect::<Vec<_>>())?;
    let mut used = BTreeSet::new();
    for part in parts.iter_mut() {
        part.rates.clear();
        for spec in part.params.layout().specs() {
            let name = format!("{}{}", part.prefix, spec.name);
            let found = rates.iter().filter(|(prefix, _)| name.starts_with(&***prefix));
            if let Some((prefix, &rate)) = found.max_by_key(|(prefix, _)| prefix.len()) {
                used.insert(prefix);
                if rate != 1.0 {
                    part.rates.push((spec.range.range(), rate as f32));
                }
            }
        }
    }
    let unused = rates.keys().find(|prefix| !used.contains(prefix));
    unused.map_or(Ok(()), |prefix| Err(AgentError::setting("learning_rates", prefix_of(parts), prefix)))
}

/// Says which weights are pruned when [`prune`] is called: those whose names begin with one of some prefixes, or all of the
/// acting network.
///
/// # Errors
/// [`AgentError::Setting`] if no weight's name begins with a prefix, and if a layer cannot be pruned.
pub(crate) fn set_pruned(parts: &mut [&mut Part], prefixes: &[String]) -> Result<(), AgentError> {
    let mut used = BTreeSet::new();
    for part in parts.iter_mut().filter(|part| part.optimizer.is_some()) {
        let name = |own: &str| format!("{}{own}", part.prefix);
        let mask = Mask::of_weights(&part.params, |own| match prefixes {
            [] => part.prefix.is_empty(),
            prefixes => prefixes.iter().any(|prefix| name(own).starts_with(prefix)),
        })?;
        let weights = part.params.layout().specs().iter().filter(|spec| spec.range.shape().len() > 1);
        let names: Vec<String> = weights.map(|spec| name(&spec.name)).collect();
        used.extend(prefixes.iter().filter(|prefix| names.iter().any(|name| name.starts_with(*prefix))));
        part.mask = mask.has_weights().then_some(mask);
    }
    let unused = prefixes.iter().find(|prefix| !used.contains(prefix));
    unused.map_or(Ok(()), |prefix| Err(AgentError::setting("weights", prefix_of(parts), prefix)))
}

/// Sets weights to zero, from now on, until so many of those that can be pruned are.
pub(crate) fn prune(parts: &mut [&mut Part], sparsity: f64) {
    for part in parts {
        if let Some(mask) = &mut part.mask {
            mask.prune(&mut part.params, sparsity);
        }
    }
}

/// What a prefix of names must be.
fn prefix_of(parts: &[&mut Part]) -> String {
    let names = parts.iter().flat_map(|part| {
        part.params.layout().specs().iter().map(|spec| format!("{}{}", part.prefix, spec.name))
    });
    let names: Vec<String> = names.take(12).collect();
    format!("a prefix of names such as {}", names.join(", "))
}

/// A network that follows another one, and its form for computing without a tape.
#[derive(Debug)]
pub(crate) struct Target<P> {
    pub(crate) part: Part,
    pub(crate) packed: P,
}

impl<P> Target<P> {
    /// Moves a part of the way to another network: 1 is a copy.
    pub(crate) fn follow(
        &mut self,
        online: &Part,
        tau: f64,
        pack: impl FnOnce(&Params) -> Result<P, AgentError>,
    ) -> Result<(), AgentError> {
        if tau < 1.0 {
            self.part.follow(online, tau)?;
        } else {
            self.part.params = online.params.clone();
        }
        self.packed = pack(&self.part.params)?;
        Ok(())
    }
}

/// Whether a multiple of `every` steps was passed or reached on the way from `before` to `now`.
pub(crate) fn is_due(every: u64, before: u64, now: u64) -> bool {
    now / every > before / every
}

/// Norms of the acting network among some parts; none if there is none.
pub(crate) fn take_norms(parts: &mut [&mut Part]) -> Option<Norms> {
    parts.iter_mut().find(|part| part.prefix.is_empty()).map(|part| part.take_norms())
}

/// The weights of all parts, in their order.
pub(crate) fn weights(parts: &[&Part]) -> Weights {
    let mut weights = Weights::new();
    parts.iter().for_each(|part| weights.add(part.prefix, &part.params));
    weights
}

/// Takes on the weights of all parts, or changes nothing.
///
/// # Errors
/// [`AgentError::Weights`] with every name and shape that does not fit.
pub(crate) fn load_weights(parts: &mut [&mut Part], weights: &Weights) -> Result<(), AgentError> {
    let mut networks: Vec<_> = parts.iter_mut().map(|part| (part.prefix, &mut part.params)).collect();
    weights.fill_all(&mut networks, &[])
}

/// What is saved of all parts, in their order.
pub(crate) fn save(parts: &[&Part]) -> Vec<SavedPart> {
    let saved = parts.iter().map(|part| SavedPart {
        params: part.params.as_slice().to_vec(),
        optimizer: part.optimizer.as_ref().map(Optimizer::state),
        kept: part.mask.as_ref().map(Mask::flags),
    });
    saved.collect()
}

/// Parts with a saved state, to be taken on when everything else has been checked too.
pub(crate) struct Restored(Vec<(Params, Option<Optimizer>, Option<Mask>)>);

/// Checks what was saved of parts.
///
/// # Errors
/// [`AgentError::Restore`] if it belongs to other networks or other optimizers.
pub(crate) fn restored(parts: &[&Part], saved: Vec<SavedPart>) -> Result<Restored, AgentError> {
    expect_len("networks", parts.len(), saved.len())?;
    let restored = parts.iter().zip(saved).map(|(part, saved)| {
        expect_len("weights", part.params.len(), saved.params.len())?;
        let mut params = part.params.clone();
        params.as_mut_slice().copy_from_slice(&saved.params);
        let optimizer = match (&part.optimizer, saved.optimizer) {
            (Some(optimizer), Some(saved)) => {
                let damaged = |error: agon_nn::NnError| AgentError::Restore(error.to_string());
                let restored = Optimizer::from_state(optimizer.config(), saved).map_err(damaged)?;
                expect_len("values of the optimizer", params.len(), restored.len())?;
                Some(restored)
            }
            (None, None) => None,
            (expected, _) => {
                let expected = if expected.is_some() { "an optimizer" } else { "no optimizer" };
                return Err(AgentError::Restore(format!("expected a network with {expected}")));
            }
        };
        let mask = match (&part.mask, saved.kept) {
            (Some(mask), Some(kept)) => Some(mask.with_flags(&kept)?),
            (None, None) => None,
            _ => return Err(AgentError::Restore("expected other weights that are pruned".to_owned())),
        };
        Ok((params, optimizer, mask))
    });
    Ok(Restored(restored.collect::<Result<_, _>>()?))
}

impl Restored {
    /// Takes the state on.
    pub(crate) fn put(self, parts: &mut [&mut Part]) {
        for (part, (params, optimizer, mask)) in parts.iter_mut().zip(self.0) {
            (part.params, part.optimizer, part.mask) = (params, optimizer, mask);
        }
    }
}

fn expect_len(what: &str, expected: usize, found: usize) -> Result<(), AgentError> {
    if expected == found {
        Ok(())
    } else {
        Err(AgentError::Restore(format!("expected {expected} {what}, got {found}")))
    }
}

#[cfg(test)]
mod tests {
    use agon_nn::{AdamConfig, Init, LayoutBuilder};

    use super::*;

    fn part() -> Part {
        let mut builder = LayoutBuilder::new();
        for name in ["encoder.weight", "encoder.bias", "head.weight"] {
            builder.add(name, &[2], Init::Constant(1.0));
        }
        let optimizer = OptimizerConfig::Adam(AdamConfig { weight_decay: 0.5, ..AdamConfig::default() });
        Part::trained("net.", builder.build(0), optimizer).unwrap()
    }

    fn rates(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        pairs.iter().map(|(prefix, rate)| ((*prefix).to_owned(), *rate)).collect()
    }

    /// The part after a step against a gradient for each of its three tensors.
    fn stepped(rates_of: &[(&str, f64)], gradients: [f32; 3]) -> Part {
        let mut part = part();
        set_rates(&mut [&mut part], &rates(rates_of)).unwrap();
        let mut slices = slices::slices::<(), f32>(1);
        let layout = part.params.layout().clone();
        slices::for_each_slice(&mut slices, 1, part.params.len(), |_, (), grads| {
            for (spec, gradient) in layout.specs().iter().zip(gradients) {
                grads[spec.range.range()].fill(gradient);
            }
            Ok::<_, AgentError>(0.0)
        })
        .unwrap();
        part.descend(&mut slices, 1.0, 0.1).unwrap();
        part
    }

    /// The first value of each tensor.
    fn values(part: &Part) -> Vec<f32> {
        part.params.layout().specs().iter().map(|spec| spec.range.read(part.params.as_slice())[0]).collect()
    }

    #[test]
    fn frozen_parameters_stay_and_scaled_ones_take_shorter_steps() {
        let all = values(&stepped(&[], [0.1; 3]));
        assert!(all.iter().all(|&value| value < 1.0));
        let some = values(&stepped(&[("net.encoder.", 0.0), ("net.encoder.bias", 0.25)], [0.1; 3]));
        assert_eq!(some[0], 1.0, "neither gradient nor weight decay moves it");
        assert!((some[1] - (1.0 + 0.25 * (all[1] - 1.0))).abs() < 1e-6, "the longer prefix counts");
        assert_eq!(some[2], all[2]);
    }

    #[test]
    fn a_reset_leaves_what_is_frozen_and_forgets_the_optimizers_steps() {
        let mut part = stepped(&[("net.encoder.weight", 0.0)], [0.1; 3]);
        let mut builder = LayoutBuilder::new();
        for name in ["encoder.weight", "encoder.bias", "head.weight"] {
            builder.add(name, &[2], Init::Constant(3.0));
        }
        part.reset(&builder.build(0)).unwrap();
        assert_eq!(values(&part), [1.0, 3.0, 3.0]);
        let steps = |part: &Part| part.optimizer.as_ref().map(Optimizer::state);
        assert_eq!(format!("{:?}", steps(&part)), format!("{:?}", steps(&self::part())));
    }

    #[test]
    fn pruned_weights_stay_zero_through_steps_and_are_saved() {
        let part = |prefixes: &[&str]| {
            let mut builder = LayoutBuilder::new();
            builder.add("encoder.weight", &[2, 2], Init::Constant(1.0));
            builder.add("encoder.bias", &[2], Init::Constant(1.0));
            builder.add("head.weight", &[2, 2], Init::Constant(1.0));
            let mut part = Part::trained("", builder.build(0), OptimizerConfig::default()).unwrap();
            let prefixes: Vec<String> = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
            set_pruned(&mut [&mut part], &prefixes).map(|()| part)
        };
        let weights = |part: &Part, name: &str| part.params.get(name).unwrap();
        let mut pruned = part(&["head."]).unwrap();
        prune(&mut [&mut pruned], 0.5);
        let gradient = vec![1.0; pruned.params.len()];
        pruned.step(&gradient, 0.1).unwrap();
        assert_eq!(weights(&pruned, "head.weight").iter().filter(|value| **value == 0.0).count(), 2);
        assert!(weights(&pruned, "encoder.weight").iter().all(|&value| value > 0.0 && value < 1.0));

        // One that is zero by chance is not pruned for it when the same share is asked for again.
        let flags = pruned.mask.as_ref().unwrap().flags();
        let first_kept = pruned.params.layout().find("head.weight").unwrap().range.range();
        let first_kept = first_kept.into_iter().find(|&place| flags[place]).unwrap();
        pruned.params.as_mut_slice()[first_kept] = 0.0;
        prune(&mut [&mut pruned], 0.5);
        assert_eq!(pruned.mask.as_ref().unwrap().flags(), flags);

        let saved = || save(&[&pruned]);
        let mut again = part(&["head."]).unwrap();
        restored(&[&again], saved()).unwrap().put(&mut [&mut again]);
        assert_eq!(again.mask.as_ref().unwrap().flags(), flags);
        for other in [part(&["encoder."]).unwrap(), self::part()] {
            assert!(restored(&[&other], saved()).is_err(), "other weights are pruned");
        }
        for nothing in ["haed.", "encoder.bias"] {
            let error = part(&[nothing]).unwrap_err().to_string();
            assert!(error.contains("encoder.weight") && error.contains(nothing), "{error}");
        }
    }

    #[test]
    fn norms_are_those_of_steps_since_they_were_asked_for() {
        let mut part = stepped(&[], [0.5, 0.0, 1.0]);
        // Two values of each tensor; clipping to a norm of one has no say.
        assert!((part.take_norms().gradient - 2.5_f64.sqrt()).abs() < 1e-6);
        let expected = values(&part).iter().map(|&value| 2.0 * f64::from(value).powi(2)).sum::<f64>();
        let Norms { gradient, weights } = part.take_norms();
        assert!(gradient.is_nan(), "there was no step since: {gradient}");
        assert!((weights - expected.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn the_gradient_of_what_is_frozen_clips_nothing() {
        // Adam's first step hides the size of a gradient; its moments do not.
        let moment = |of_frozen: f32| {
            let part = stepped(&[("net.encoder.", 0.0)], [of_frozen, 0.0, 0.1]);
            let head = part.params.layout().specs()[2].range.range().start;
            match part.optimizer.map(|optimizer| optimizer.state()) {
                Some(OptimizerState::Adam(adam)) => adam.exp_avg[head],
                other => panic!("it is Adam, got {other:?}"),
            }
        };
        assert_eq!(moment(1000.0), moment(0.0));
        assert!(moment(0.0) > 0.0);
    }

    #[test]
    fn prefixes_of_nothing_and_factors_below_zero_are_refused() {
        let mut part = part();
        let message = set_rates(&mut [&mut part], &rates(&[("heads.", 0.0)])).unwrap_err().to_string();
        assert!(message.contains("net.encoder.weight") && message.contains("heads."), "{message}");
        let message = set_rates(&mut [&mut part], &rates(&[("net.", -1.0)])).unwrap_err().to_string();
        assert!(message.contains("at least 0, got -1"), "{message}");
    }
}
