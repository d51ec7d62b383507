//! Files of policies: what is written is read, and what is no policy is refused, without a panic and in little memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use agon_policy::{
    Action, ActionSpace, Activation, Attention, AttentionBlock, AttentionPosition, Decision, InputKind,
    InputPart, Operation, OperationBranch, Padding, Parameter, Parameters, PolicyError, PolicyProgram,
    PortablePolicy, Preparation, Quantization, RecurrentKind, from_safetensors, to_safetensors,
};
use serde_json::{Value, json};

/// A stack of two frames of two numbers, one hidden layer of three, and an LSTM of two before two actions.
fn small() -> (PolicyProgram, Parameters) {
    let name = |name: &str| name.to_owned();
    let linear = |layer: &str, inputs, outputs| Operation::Linear {
        weight: format!("{layer}.weight"),
        bias: format!("{layer}.bias"),
        inputs,
        outputs,
    };
    let program = PolicyProgram {
        inputs: vec![InputPart {
            name: name("obs"),
            shape: vec![2],
            kind: InputKind::Float,
            low: vec![],
            high: vec![],
        }],
        preparation: vec![
            Preparation::Normalize { mean: vec![0.5, 0.0], scale: vec![2.0, 1.0], clip: 10.0 },
            Preparation::Stack { frames: 2, groups: 1, group_len: 2, padding: Padding::Reset },
        ],
        operations: vec![
            linear("a", 4, 3),
            Operation::Activation { function: Activation::Tanh },
            Operation::Recurrent {
                cell: RecurrentKind::Lstm,
                weight_ih: name("m.weight_ih"),
                weight_hh: name("m.weight_hh"),
                bias_ih: name("m.bias_ih"),
                bias_hh: name("m.bias_hh"),
                inputs: 3,
                hidden: 2,
            },
            linear("q", 2, 2),
        ],
        decision: Decision::Values { actions: 2 },
        adjustments: vec![],
        action: ActionSpace::Discrete { n: 2, start: 5 },
        mask_len: 2,
    };
    let mut parameters = Parameters::new();
    let shapes: [(&str, &[usize]); 8] = [
        ("a.weight", &[3, 4]),
        ("a.bias", &[3]),
        ("m.weight_ih", &[8, 3]),
        ("m.weight_hh", &[8, 2]),
        ("m.bias_ih", &[8]),
        ("m.bias_hh", &[8]),
        ("q.weight", &[2, 2]),
        ("q.bias", &[2]),
    ];
    for (name, shape) in shapes {
        let values = (0..shape.iter().product()).map(|i: usize| (i as f32 * 1.7).sin()).collect();
        parameters.insert(name.to_owned(), Parameter { shape: shape.to_vec(), values });
    }
    (program, parameters)
}

fn wrong(program: PolicyProgram, parameters: &Parameters) -> String {
    PortablePolicy::new(program, parameters).unwrap_err().to_string()
}

#[test]
fn a_file_acts_as_what_it_was_made_of() {
    let (program, parameters) = small();
    let about = BTreeMap::from([("license".to_owned(), "MIT".to_owned())]);
    let bytes = to_safetensors(&program, &parameters, &about).unwrap();
    assert_eq!(bytes, to_safetensors(&program, &parameters, &about).unwrap());
    let (made, read) = (
        PortablePolicy::new(program, &parameters).unwrap(),
        PortablePolicy::from_safetensors(&bytes).unwrap(),
    );
    assert_eq!(made.program(), read.program());
    let (mut a, mut b) = (made.begin(), read.begin());
    for step in 0..5 {
        let observation = [step as f32, 1.0 - step as f32];
        let action = made.act(&mut a, &observation[..], &[]).unwrap();
        assert_eq!(action, read.act(&mut b, &observation[..], &[]).unwrap());
        let Action::Discrete([index]) = action else { panic!("{action:?}") };
        assert!([5, 6].contains(index));
    }
    assert_eq!(made.memory(&a), read.memory(&b));
}

#[test]
fn masks_leave_what_is_legal_and_wrong_input_changes_nothing() {
    let (program, parameters) = small();
    let policy = PortablePolicy::new(program, &parameters).unwrap();
    let mut episode = policy.begin();
    for (mask, expected) in [([true, false], 5), ([false, true], 6)] {
        assert_eq!(policy.act(&mut episode, &[0.1, 0.2][..], &mask).unwrap(), Action::Discrete(&[expected]));
    }
    let before: Vec<Vec<f32>> = policy.memory(&episode).into_iter().map(<[f32]>::to_vec).collect();
    let mut refused =
        |observation: &[f32], mask: &[bool]| policy.act(&mut episode, observation, mask).unwrap_err();
    assert!(matches!(refused(&[0.1], &[]), PolicyError::Length { expected: 2, found: 1, .. }));
    assert!(matches!(refused(&[0.1, f32::NAN], &[]), PolicyError::NotFinite { index: 1, .. }));
    assert!(matches!(refused(&[0.1, 0.2], &[true]), PolicyError::Length { expected: 2, found: 1, .. }));
    assert!(matches!(refused(&[0.1, 0.2], &[false, false]), PolicyError::NothingLegal(0)));
    assert!(matches!(policy.act(&mut episode, &[1_u8, 2][..], &[]).unwrap_err(), PolicyError::Kind { .. }));
    assert_eq!(policy.memory(&episode), before.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

#[test]
fn an_episode_that_begins_again_remembers_nothing() {
    let (program, parameters) = small();
    let policy = PortablePolicy::new(program, &parameters).unwrap();
    let (mut fresh, mut used) = (policy.begin(), policy.begin());
    policy.act(&mut used, &[3.0, -2.0][..], &[]).unwrap();
    used.begin_again();
    let expected = policy.logits(&mut fresh, &[0.1, 0.2][..], &[]).unwrap().to_vec();
    assert_eq!(policy.logits(&mut used, &[0.1, 0.2][..], &[]).unwrap(), expected);
}

#[test]
fn sizes_that_do_not_fit_are_named() {
    let (program, mut parameters) = small();
    let bias = parameters.remove("q.bias").unwrap();
    assert_eq!(wrong(program.clone(), &parameters), "expected a parameter q.bias, found none");
    parameters.insert("q.bias".to_owned(), Parameter { shape: vec![3], values: vec![0.0; 3] });
    assert_eq!(wrong(program.clone(), &parameters), "expected q.bias of [2], found [3]");
    parameters.insert("q.bias".to_owned(), Parameter { values: vec![0.0, f32::NAN], ..bias });
    assert!(wrong(program, &parameters).contains("found NaN"));
    let changed = |change: &dyn Fn(&mut PolicyProgram)| {
        let (mut program, parameters) = small();
        change(&mut program);
        wrong(program, &parameters)
    };
    let stack = |frames, groups| Preparation::Stack { frames, groups, group_len: 2, padding: Padding::Zero };
    assert!(changed(&|program| program.preparation[1] = stack(0, 1)).contains("a stack of frames"));
    assert!(changed(&|program| program.preparation[1] = stack(usize::MAX, 1)).contains("a stack of frames"));
    assert!(changed(&|program| program.preparation[1] = stack(2, usize::MAX)).contains("a frame"));
    assert!(changed(&|program| program.inputs[0].shape = vec![usize::MAX, 2]).contains("obs"));
    assert!(changed(&|program| program.decision = Decision::Values { actions: 3 }).contains("outputs"));
    assert!(changed(&|program| program.mask_len = 3).contains("an action mask"));
    let clip = Preparation::Normalize { mean: vec![0.0; 2], scale: vec![1.0; 2], clip: -1.0 };
    assert!(changed(&|program| program.preparation[0] = clip.clone()).contains("an upper bound"));
}

#[test]
fn what_is_remembered_where_it_has_no_place_is_refused() {
    let (program, parameters) = small();
    let memory = program.operations[2].clone();
    let within = |operation: Operation| {
        let mut program = program.clone();
        program.operations[2] = operation;
        wrong(program, &parameters)
    };
    let branch = OperationBranch { columns: [0, 3], operations: vec![memory.clone()] };
    assert!(within(Operation::Parallel { branches: vec![branch] }).contains("outside of branches"));
    let (cosines, head) = (vec![vec![1.0; 3]], vec![]);
    let embedding = vec![memory];
    let places = Operation::ImplicitQuantiles { cosines, embedding, head };
    assert!(!within(places).is_empty());
    let block = || AttentionBlock { project: vec![], attended: vec![], feed_forward: vec![], gates: None };
    let (input, output, position) = (vec![], vec![], AttentionPosition::Rotary);
    for (heads, window, blocks) in [(0, 1, 1), (1, usize::MAX, 1), (1, 1, 0)] {
        let blocks = (0..blocks).map(|_| block()).collect();
        let (input, output, position) = (input.clone(), output.clone(), position.clone());
        let attention = Attention { input, position, width: 3, heads, window, blocks, output };
        assert!(!within(Operation::Attention(Box::new(attention))).is_empty());
    }
}

/// Calls `visit` with a document in which one number, list or text is another one.
fn changed(document: &Value, visit: &mut dyn FnMut(&Value)) {
    fn places(value: &Value, at: String, found: &mut Vec<String>) {
        match value {
            Value::Array(values) => {
                values.iter().enumerate().for_each(|(i, value)| places(value, format!("{at}/{i}"), found));
            }
            Value::Object(values) => {
                values.iter().for_each(|(key, value)| places(value, format!("{at}/{key}"), found));
            }
            _ => {}
        }
        found.push(at);
    }
    let mut found = Vec::new();
    places(document, String::new(), &mut found);
    let odd = [
        json!(0),
        json!(1),
        json!(7),
        json!(u64::MAX),
        json!(1_u64 << 40),
        json!(-1),
        json!(1e30),
        json!(null),
    ];
    let odd = odd.into_iter().chain([json!([]), json!([0]), json!("x"), json!([1_u64 << 63, 3])]);
    for (place, odd) in found.iter().flat_map(|place| odd.clone().map(move |odd| (place, odd))) {
        let mut other = document.clone();
        *other.pointer_mut(place).unwrap() = odd;
        visit(&other);
    }
}

#[test]
fn programs_with_any_number_are_run_or_refused() {
    let (program, parameters) = small();
    let (mut run, mut refused) = (0, 0);
    changed(&serde_json::to_value(&program).unwrap(), &mut |document| {
        let made =
            serde_json::from_value(document.clone()).map(|program| PortablePolicy::new(program, &parameters));
        match made {
            Ok(Ok(policy)) => {
                let _ = policy.act(&mut policy.begin(), &[0.5, 0.25][..], &[]);
                run += 1;
            }
            _ => refused += 1,
        }
    });
    assert!(run > 0 && refused > run, "{run} were run, {refused} refused");
}

#[test]
fn damaged_files_are_run_or_refused() {
    let (program, parameters) = small();
    let bytes = to_safetensors(&program, &parameters, &BTreeMap::new()).unwrap();
    assert!(PortablePolicy::from_safetensors(&[]).is_err());
    for len in 0..bytes.len() {
        assert!(PortablePolicy::from_safetensors(&bytes[..len]).is_err(), "{len} bytes");
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(policy) = PortablePolicy::from_safetensors(&damaged) {
            let _ = policy.act(&mut policy.begin(), &[0.5, 0.25][..], &[]);
        }
    }
}

/// A map of three inputs and two outputs in each form that its weight can have.
fn compressed(form: &str) -> (PolicyProgram, Parameters) {
    let (mut program, mut parameters) = small();
    let name = |name: &str| name.to_owned();
    let linear = Operation::Linear { weight: name("q.weight"), bias: name("q.bias"), inputs: 3, outputs: 2 };
    let input = Some(Quantization { scale: 0.01, zero_point: 100 });
    let integers = |map, input| Operation::Quantized { map: Box::new(map), scale: name("q.scale"), input };
    let sparse = Operation::Sparse { map: Box::new(linear.clone()), places: name("q.places") };
    let shape = if matches!(form, "sparse" | "sparse integers") { vec![2] } else { vec![2, 3] };
    let values = if shape.len() == 1 { vec![3.0, -127.0] } else { vec![3.0, 0.0, -7.0, 0.0, -127.0, 1.0] };
    parameters.insert(name("q.weight"), Parameter { shape, values });
    parameters.insert(name("q.scale"), Parameter { shape: vec![2], values: vec![0.5, 0.25] });
    parameters.insert(name("q.places"), Parameter { shape: vec![1], values: vec![f32::from(0b010_001_u8)] });
    program.operations.truncate(2);
    program.operations.push(match form {
        "numbers" => linear,
        "sparse" => sparse,
        "sparse integers" => integers(sparse, None),
        "integers of the weight" => integers(linear, None),
        _ => integers(linear, input),
    });
    (program, parameters)
}

const FORMS: [&str; 5] = ["numbers", "sparse", "sparse integers", "integers of the weight", "integers"];

#[test]
fn compressed_maps_come_back_from_files_as_they_were() {
    for form in FORMS {
        let (program, parameters) = compressed(form);
        let bytes = to_safetensors(&program, &parameters, &BTreeMap::new()).unwrap();
        let (read, values, _) = from_safetensors(&bytes).unwrap().unwrap();
        assert_eq!((read, values), (program, parameters), "{form}");
    }
}

#[test]
fn sums_of_integers_are_those_of_the_bytes_of_the_input() {
    let (program, parameters) = compressed("integers");
    let (mut of_numbers, _) = compressed("numbers");
    of_numbers.operations.truncate(2);
    of_numbers.decision = Decision::Values { actions: 3 };
    of_numbers.action = ActionSpace::Discrete { n: 3, start: 0 };
    of_numbers.mask_len = 0;
    let hidden = PortablePolicy::new(of_numbers, &parameters).unwrap();
    let hidden = hidden.logits(&mut hidden.begin(), &[0.3, -0.8][..], &[]).unwrap().to_vec();
    let quantization = Quantization { scale: 0.01, zero_point: 100 };
    let bytes: Vec<i32> = hidden.iter().map(|&x| i32::from(quantization.byte(x)) - 100).collect();
    let policy = PortablePolicy::new(program, &parameters).unwrap();
    let mut episode = policy.begin();
    let found = policy.logits(&mut episode, &[0.3, -0.8][..], &[]).unwrap();
    let (sums, bias) =
        ([3 * bytes[0] - 7 * bytes[2], bytes[2] - 127 * bytes[1]], &parameters["q.bias"].values);
    let expected = [sums[0] as f32 * (0.01 * 0.5) + bias[0], sums[1] as f32 * (0.01 * 0.25) + bias[1]];
    assert_eq!(found, expected);
}

#[test]
fn compressed_programs_with_any_number_are_run_or_refused() {
    for form in FORMS {
        let (program, parameters) = compressed(form);
        changed(&serde_json::to_value(&program).unwrap(), &mut |document| {
            let made = serde_json::from_value(document.clone())
                .map(|program| PortablePolicy::new(program, &parameters));
            if let Ok(Ok(policy)) = made {
                let _ = policy.act(&mut policy.begin(), &[0.5, 0.25][..], &[]);
            }
        });
    }
}

#[test]
fn what_stands_around_the_network_can_be_run_without_it() {
    let (program, parameters) = small();
    let policy = PortablePolicy::new(program, &parameters).unwrap();
    let (mut whole, mut parts, mut rows) = (policy.begin(), policy.begin(), Vec::new());
    for observation in [[0.5, 0.1], [1.0, 0.2]] {
        policy.act(&mut whole, &observation[..], &[]).unwrap();
        policy.prepare(&mut parts, &observation[..], &mut rows).unwrap();
    }
    assert_eq!(rows, [0.0, 0.1, 0.0, 0.1, 0.0, 0.1, 1.0, 0.2]);
    assert_eq!((policy.network_inputs(), policy.network_outputs()), (4, 2));
    assert_eq!(policy.decide(&mut parts, &[0.0, 1.0], &[]).unwrap(), Action::Discrete(&[6]));
    assert_eq!(policy.decide(&mut parts, &[0.0, 1.0], &[true, false]).unwrap(), Action::Discrete(&[5]));
    assert!(policy.decide(&mut parts, &[0.0], &[]).is_err());
    let remembered = whole.remembered().to_vec();
    let mut other = policy.begin();
    other.go_on_with(&remembered).unwrap();
    let expected = policy.logits(&mut whole, &[0.3, 0.3][..], &[]).unwrap().to_vec();
    assert_eq!(policy.logits(&mut other, &[0.3, 0.3][..], &[]).unwrap(), expected);
    assert!(other.go_on_with(&[]).is_err());
}

#[test]
fn sums_of_many_integers_are_exact_too() {
    for inputs in [518, 519, 2000] {
        let (mut program, mut parameters) = small();
        program.preparation.clear();
        program.inputs[0].shape = vec![inputs];
        let map = Operation::Linear { weight: "w".to_owned(), bias: "b".to_owned(), inputs, outputs: 2 };
        let input = Some(Quantization { scale: 1.0, zero_point: 0 });
        program.operations = vec![Operation::Quantized { map: Box::new(map), scale: "s".to_owned(), input }];
        let weight = (0..2 * inputs).map(|at| if at % 2 == 0 { 127.0 } else { 126.0 }).collect();
        for (name, shape, values) in
            [("w", vec![2, inputs], weight), ("b", vec![2], vec![0.0; 2]), ("s", vec![2], vec![1.0; 2])]
        {
            parameters.insert(name.to_owned(), Parameter { shape, values });
        }
        let policy = PortablePolicy::new(program, &parameters).unwrap();
        let found = policy.logits(&mut policy.begin(), &vec![255.0; inputs][..], &[]).unwrap().to_vec();
        let sum = |row: usize| {
            (0..inputs).map(move |at| 255 * if (row * inputs + at).is_multiple_of(2) { 127 } else { 126 })
        };
        assert_eq!(found, [0, 1].map(|row| sum(row).sum::<i32>() as f32), "{inputs}");
    }
}
