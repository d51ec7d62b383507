//! Parameters as safetensors files, under PyTorch's names: `load_file` and `load_state_dict` read them as they are.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::NnError;
use crate::params::{ParamRange, Params};

/// All parameters as the bytes of a safetensors file, dtype F32.
///
/// # Errors
/// [`NnError::Safetensors`] if the library refuses them.
pub fn to_safetensors(params: &Params, metadata: &BTreeMap<String, String>) -> Result<Vec<u8>, NnError> {
    let bytes = |range: &ParamRange| -> Vec<u8> {
        range.read(params.as_slice()).iter().flat_map(|value| value.to_le_bytes()).collect()
    };
    let specs = params.layout().specs();
    let data: Vec<Vec<u8>> = specs.iter().map(|spec| bytes(&spec.range)).collect();
    let mut views = Vec::with_capacity(specs.len());
    for (spec, data) in specs.iter().zip(&data) {
        views.push((spec.name.as_str(), TensorView::new(Dtype::F32, spec.range.shape().to_vec(), data)?));
    }
    let metadata: HashMap<String, String> = metadata.clone().into_iter().collect();
    Ok(safetensors::serialize(views, (!metadata.is_empty()).then_some(metadata))?)
}

/// Reads all parameters from the bytes of a safetensors file.
///
/// The file must hold exactly the parameters of `params`, in any order.
///
/// # Errors
/// [`NnError::MissingTensor`], [`NnError::UnexpectedTensor`], [`NnError::TensorShape`] or [`NnError::TensorDtype`]
/// for the first tensor that does not fit, [`NnError::Safetensors`] for a broken file; nothing changes then.
pub fn load_safetensors(params: &mut Params, bytes: &[u8]) -> Result<(), NnError> {
    let file = SafeTensors::deserialize(bytes)?;
    let layout = params.layout().clone();
    let mut unexpected: Vec<_> = file.iter().filter(|(name, _)| layout.find(name).is_none()).collect();
    unexpected.sort_unstable_by_key(|(name, _)| *name);
    let mut values = vec![0.0; params.len()];
    for spec in layout.specs() {
        let (name, expected) = (spec.name.clone(), spec.range.shape().to_vec());
        // A renamed parameter is missing under one name and unexpected under another; the first is said.
        let Ok(tensor) = file.tensor(&name) else {
            return Err(NnError::MissingTensor { name, expected });
        };
        if tensor.shape() != expected {
            return Err(NnError::TensorShape { name, expected, got: tensor.shape().to_vec() });
        }
        if tensor.dtype() != Dtype::F32 {
            return Err(NnError::TensorDtype { name, got: format!("{:?}", tensor.dtype()) });
        }
        let (chunks, _) = tensor.data().as_chunks::<4>();
        let read: Vec<f32> = chunks.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
        spec.range.write(&read, &mut values);
    }
    if let Some((name, tensor)) = unexpected.first() {
        return Err(NnError::UnexpectedTensor { name: (*name).to_owned(), got: tensor.shape().to_vec() });
    }
    params.as_mut_slice().copy_from_slice(&values);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::Init;
    use crate::params::LayoutBuilder;

    fn params(specs: &[(&str, &[usize])], seed: u64) -> Params {
        let mut builder = LayoutBuilder::new();
        for (name, shape) in specs {
            builder.add(name, shape, Init::Normal { std: 1.0 });
        }
        builder.build(seed)
    }

    const SPECS: [(&str, &[usize]); 3] = [("q.0.weight", &[3, 2]), ("q.0.bias", &[3]), ("log_std", &[1, 2])];

    #[test]
    fn a_file_gives_back_the_same_bits() {
        let saved = params(&SPECS, 1);
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = to_safetensors(&saved, &metadata).unwrap();
        let mut loaded = params(&SPECS, 2);
        load_safetensors(&mut loaded, &bytes).unwrap();
        assert_eq!(loaded.as_slice(), saved.as_slice());
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
        assert_eq!(header.info("q.0.weight").unwrap().shape, [3, 2]);
    }

    #[test]
    fn files_that_do_not_fit_are_named_and_change_nothing() {
        let mut target = params(&SPECS, 2);
        let before = target.as_slice().to_vec();
        let mut message = |specs: &[(&str, &[usize])]| {
            let bytes = to_safetensors(&params(specs, 1), &BTreeMap::new()).unwrap();
            load_safetensors(&mut target, &bytes).unwrap_err().to_string()
        };
        assert_eq!(message(&SPECS[..2]), "weight file lacks tensor log_std of shape [1, 2]");
        assert_eq!(
            message(&[SPECS[0], SPECS[1], SPECS[2], ("extra", &[4])]),
            "weight file holds tensor extra of shape [4], which the network does not have"
        );
        assert_eq!(
            message(&[("q.0.weight", &[2, 3]), SPECS[1], SPECS[2]]),
            "tensor q.0.weight must have shape [3, 2], got [2, 3]"
        );
        assert!(matches!(load_safetensors(&mut target, b"rubbish"), Err(NnError::Safetensors(_))));
        assert_eq!(target.as_slice(), before);
    }
}
