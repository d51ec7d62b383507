//! The weights of all networks of a learner, by name: what weight files hold, and what acting and warm starts need.
//!
//! The acting network's tensors have their own names (`q.0.weight`); those of the others begin with what their network is
//! called (`target.q.0.weight`). Optimizers, replay and generators are no weights: see
//! [`Learner::save`](crate::Learner::save).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use agon_nn::{Layout, LayoutBuilder, NnError, Params};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::AgentError;

/// One named tensor.
#[derive(Clone, Debug, PartialEq)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// Named tensors, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    tensors: Vec<Tensor>,
}

impl Weights {
    /// Without tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of names, shapes and values, row-major.
    ///
    /// # Errors
    /// [`AgentError::Weights`] with the names that occur twice, and those whose number of values is not their shape's.
    pub fn from_tensors(
        tensors: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>,
    ) -> Result<Self, AgentError> {
        let tensors = tensors.into_iter().map(|(name, shape, values)| Tensor { name, shape, values });
        let tensors: Vec<Tensor> = tensors.collect();
        let (mut misfits, mut names) = (Misfits::default(), BTreeSet::new());
        for Tensor { name, shape, values } in &tensors {
            if !names.insert(name) {
                misfits.unexpected.push((name.clone(), shape.clone()));
            }
            if values.len() != shape.iter().product::<usize>() {
                misfits.shapes.push((name.clone(), shape.clone(), vec![values.len()]));
            }
        }
        misfits.none_or_error()?;
        Ok(Self { tensors })
    }

    /// Appends all parameters of a network, their names after a prefix: empty, or what the network is called and a dot.
    pub fn add(&mut self, prefix: &str, params: &Params) {
        self.tensors.extend(params.layout().specs().iter().map(|spec| Tensor {
            name: format!("{prefix}{}", spec.name),
            shape: spec.range.shape().to_vec(),
            values: spec.range.read(params.as_slice()),
        }));
    }

    /// Name, shape and values of every tensor, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        self.tensors.iter().map(|tensor| (&*tensor.name, &*tensor.shape, &*tensor.values))
    }

    /// As the bytes of a safetensors file, dtype F32.
    ///
    /// # Errors
    /// If the library refuses them.
    pub fn to_safetensors(&self, metadata: &BTreeMap<String, String>) -> Result<Vec<u8>, AgentError> {
        let bytes = |tensor: &Tensor| tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let data: Vec<Vec<u8>> = self.tensors.iter().map(bytes).collect();
        let mut views = Vec::with_capacity(data.len());
        for (tensor, data) in self.tensors.iter().zip(&data) {
            let view = TensorView::new(Dtype::F32, tensor.shape.clone(), data).map_err(NnError::from)?;
            views.push((tensor.name.as_str(), view));
        }
        let metadata: HashMap<String, String> = metadata.clone().into_iter().collect();
        let metadata = (!metadata.is_empty()).then_some(metadata);
        Ok(safetensors::serialize(views, metadata).map_err(NnError::from)?)
    }

    /// The metadata of the bytes of a safetensors file.
    ///
    /// # Errors
    /// If they are no such file.
    pub fn metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>, AgentError> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(NnError::from)?;
        Ok(header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// From the bytes of a safetensors file, in the order of names.
    ///
    /// # Errors
    /// If they are no such file, or a tensor is not of dtype F32.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, AgentError> {
        let file = SafeTensors::deserialize(bytes).map_err(NnError::from)?;
        let mut tensors = Vec::new();
        for (name, view) in file.iter() {
            if view.dtype() != Dtype::F32 {
                let (name, got) = (name.to_owned(), format!("{:?}", view.dtype()));
                return Err(NnError::TensorDtype { name, got }.into());
            }
            let values = view.data().as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value));
            tensors.push((name.to_owned(), view.shape().to_vec(), values.collect()));
        }
        tensors.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Self::from_tensors(tensors)
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The parameters of one network without a prefix, which takes no more memory than the tensors: they are compared with
    /// its layout first. Tensors whose names begin with one of `others` are passed over.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub fn params(&self, builder: LayoutBuilder, others: &[&str]) -> Result<Params, AgentError> {
        self.params_of([("", builder)], others).map(|[params]| params)
    }

    /// As [`Self::params`], of several networks, named by their prefixes.
    ///
    /// # Errors
    /// As [`Self::fill`], for all networks together.
    pub fn params_of<const N: usize>(
        &self,
        networks: [(&str, LayoutBuilder); N],
        others: &[&str],
    ) -> Result<[Params; N], AgentError> {
        let passed_over = |name: &str| others.iter().any(|other| name.starts_with(other));
        let own: Vec<&Tensor> = self.tensors.iter().filter(|tensor| !passed_over(&tensor.name)).collect();
        let layouts: Vec<_> = networks.iter().map(|(prefix, builder)| (*prefix, builder.layout())).collect();
        check(&own, &layouts)?;
        let prefixes = networks.each_ref().map(|(prefix, _)| *prefix);
        let mut params = networks.map(|(_, builder)| builder.zeros());
        let mut named: Vec<_> = prefixes.into_iter().zip(&mut params).collect();
        fill(&own, &mut named)?;
        Ok(params)
    }

    /// Fills one network with the tensors whose names begin with a prefix, which must be exactly its own.
    ///
    /// # Errors
    /// [`AgentError::Weights`] with every name that is missing, unexpected or of another shape; nothing changes then.
    pub fn fill(&self, prefix: &str, params: &mut Params) -> Result<(), AgentError> {
        let own = self.tensors.iter().filter(|tensor| tensor.name.starts_with(prefix));
        fill(&own.collect::<Vec<_>>(), &mut [(prefix, params)])
    }

    /// Fills several networks, named by their prefixes. Tensors whose names begin with one of `others` are passed over;
    /// all others must belong to the networks.
    ///
    /// # Errors
    /// As [`Self::fill`], for all networks together.
    pub fn fill_all(&self, networks: &mut [(&str, &mut Params)], others: &[&str]) -> Result<(), AgentError> {
        let passed_over = |name: &str| others.iter().any(|other| name.starts_with(other));
        let own = self.tensors.iter().filter(|tensor| !passed_over(&tensor.name));
        fill(&own.collect::<Vec<_>>(), networks)
    }
}

/// Makes sure that tensors are exactly those of networks.
fn check(tensors: &[&Tensor], networks: &[(&str, &Layout)]) -> Result<(), AgentError> {
    let (mut misfits, mut known) = (Misfits::default(), BTreeSet::new());
    let find = |name: &str| tensors.iter().find(|tensor| tensor.name == name);
    for (prefix, layout) in networks {
        for spec in layout.specs() {
            let (name, shape) = (format!("{prefix}{}", spec.name), spec.range.shape());
            match find(&name) {
                None => misfits.missing.push((name.clone(), shape.to_vec())),
                Some(tensor) if tensor.shape != shape => {
                    misfits.shapes.push((name.clone(), shape.to_vec(), tensor.shape.clone()));
                }
                Some(_) => {}
            }
            known.insert(name);
        }
    }
    let unexpected = tensors.iter().filter(|tensor| !known.contains(&tensor.name));
    misfits.unexpected.extend(unexpected.map(|tensor| (tensor.name.clone(), tensor.shape.clone())));
    misfits.none_or_error()
}

/// Fills networks with tensors that must be exactly theirs, or changes nothing.
fn fill(tensors: &[&Tensor], networks: &mut [(&str, &mut Params)]) -> Result<(), AgentError> {
    let layouts: Vec<_> = networks.iter().map(|(prefix, params)| (*prefix, &**params.layout())).collect();
    check(tensors, &layouts)?;
    let find = |name: &str| tensors.iter().find(|tensor| tensor.name == name);
    for (prefix, params) in networks {
        let layout = params.layout().clone();
        for spec in layout.specs() {
            if let Some(tensor) = find(&format!("{prefix}{}", spec.name)) {
                spec.range.write(&tensor.values, params.as_mut_slice());
            }
        }
    }
    Ok(())
}

/// All that is wrong with weights: names, and shapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfits {
    /// What the networks have and the weights lack, with the networks' shapes.
    pub missing: Vec<(String, Vec<usize>)>,
    /// What the weights have and the networks lack, with the weights' shapes.
    pub unexpected: Vec<(String, Vec<usize>)>,
    /// What has another shape in the weights: the networks' shape and the weights'.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Misfits {
    fn none_or_error(self) -> Result<(), AgentError> {
        let none = self.missing.is_empty() && self.unexpected.is_empty() && self.shapes.is_empty();
        if none { Ok(()) } else { Err(AgentError::Weights(self)) }
    }
}

impl fmt::Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |tensors: &[(String, Vec<usize>)]| {
            let tensors = tensors.iter().map(|(name, shape)| format!("{name} {shape:?}"));
            tensors.collect::<Vec<_>>().join(", ")
        };
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            parts.push(format!("missing {}", names(&self.missing)));
        }
        if !self.unexpected.is_empty() {
            parts.push(format!("unexpected {}", names(&self.unexpected)));
        }
        parts.extend(
            self.shapes
                .iter()
                .map(|(name, expected, found)| format!("{name} must have shape {expected:?}, got {found:?}")),
        );
        f.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use agon_nn::{Init, LayoutBuilder};

    use super::*;

    fn params(specs: &[(&str, &[usize])], seed: u64) -> Params {
        let mut builder = LayoutBuilder::new();
        specs.iter().for_each(|(name, shape)| drop(builder.add(name, shape, Init::Normal { std: 1.0 })));
        builder.build(seed)
    }

    const SPECS: [(&str, &[usize]); 2] = [("q.0.weight", &[3, 2]), ("q.0.bias", &[3])];

    fn weights() -> Weights {
        let mut weights = Weights::new();
        weights.add("", &params(&SPECS, 1));
        weights.add("target.", &params(&SPECS, 2));
        weights
    }

    #[test]
    fn networks_are_filled_by_name() {
        let weights = weights();
        let names: Vec<&str> = weights.iter().map(|(name, _, _)| name).collect();
        assert_eq!(names, ["q.0.weight", "q.0.bias", "target.q.0.weight", "target.q.0.bias"]);
        let (mut online, mut target) = (params(&SPECS, 3), params(&SPECS, 3));
        weights.fill("target.", &mut target).unwrap();
        assert_eq!(target.as_slice(), params(&SPECS, 2).as_slice());
        weights.fill_all(&mut [("", &mut online)], &["target."]).unwrap();
        assert_eq!(online.as_slice(), params(&SPECS, 1).as_slice());
        weights.fill_all(&mut [("target.", &mut online), ("", &mut target)], &[]).unwrap();
        assert_eq!(online.as_slice(), params(&SPECS, 2).as_slice());
        let tensors =
            weights.iter().map(|(name, shape, values)| (name.to_owned(), shape.to_vec(), values.to_vec()));
        assert_eq!(Weights::from_tensors(tensors).unwrap(), weights);
    }

    #[test]
    fn a_file_gives_back_the_same_bits() {
        let weights = weights();
        let bytes =
            weights.to_safetensors(&BTreeMap::from([("agon".to_owned(), "a test".to_owned())])).unwrap();
        let read = Weights::from_safetensors(&bytes).unwrap();
        let mut expected: Vec<_> = weights.iter().collect();
        expected.sort_by_key(|(name, _, _)| *name);
        assert_eq!(read.iter().collect::<Vec<_>>(), expected);
        assert!(Weights::from_safetensors(b"rubbish").is_err());
    }

    #[test]
    fn every_tensor_that_does_not_fit_is_named_and_nothing_changes() {
        let weights = weights();
        let mut other = params(&[("q.0.weight", &[3, 4]), ("q.2.weight", &[1]), ("q.2.bias", &[2])], 3);
        let before = other.as_slice().to_vec();
        let error = weights.fill_all(&mut [("", &mut other)], &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "weights do not fit the networks: missing q.2.weight [1], q.2.bias [2]; \
             unexpected q.0.bias [3], target.q.0.weight [3, 2], target.q.0.bias [3]; \
             q.0.weight must have shape [3, 4], got [3, 2]"
        );
        assert_eq!(other.as_slice(), before);
        let one = ("a".to_owned(), vec![2], vec![0.0]);
        let error = Weights::from_tensors([one.clone(), one]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "weights do not fit the networks: unexpected a [2]; a must have shape [2], got [1]; \
             a must have shape [2], got [1]"
        );
    }
}
