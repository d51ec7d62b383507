use crate::activation::Activation;
use crate::operation::{
    Attention, AttentionBlock, AttentionPosition, Gate, Operation, OperationBranch, RecurrentKind,
};
use crate::program::{
    ActionSpace, Decision, InputKind, InputPart, Padding, Parameter, Parameters, PolicyProgram, Preparation,
};
use crate::{Origin, PolicyError, PortablePolicy};

/// Numbers that look random, between −1 and 1.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A policy under construction.
struct Built {
    parameters: Parameters,
    operations: Vec<Operation>,
}

impl Built {
    fn new() -> Self {
        Self { parameters: Parameters::new(), operations: Vec::new() }
    }

    fn parameter(&mut self, shape: &[usize]) -> String {
        let name = format!("p{}", self.parameters.len());
        let values = numbers(shape.iter().product(), self.parameters.len() as u32 + 1);
        self.parameters.insert(name.clone(), Parameter { shape: shape.to_vec(), values });
        name
    }

    fn linear(&mut self, inputs: usize, outputs: usize) -> Operation {
        let (weight, bias) = (self.parameter(&[outputs, inputs]), self.parameter(&[outputs]));
        Operation::Linear { weight, bias, inputs, outputs }
    }

    fn policy(self, inputs: usize, decision: Decision, preparation: Vec<Preparation>) -> PortablePolicy {
        let n = match &decision {
            Decision::Categorical { nvec } => nvec.iter().sum(),
            Decision::Values { actions }
            | Decision::Categories { actions, .. }
            | Decision::Quantiles { actions, .. } => *actions,
            _ => 0,
        };
        let part = InputPart {
            name: "obs".to_owned(),
            shape: vec![inputs],
            kind: InputKind::Float,
            low: Vec::new(),
            high: Vec::new(),
        };
        let program = PolicyProgram {
            inputs: vec![part],
            preparation,
            operations: self.operations,
            decision,
            adjustments: Vec::new(),
            action: ActionSpace::Discrete { n, start: 0 },
            mask_len: 0,
        };
        PortablePolicy::new(program, &self.parameters).unwrap()
    }
}

/// Compares gradients with differences of a weighted sum of logits, in an episode of some steps.
fn check(policy: &PortablePolicy, inputs: usize, steps: usize) {
    let mut episode = policy.begin();
    for step in 0..steps {
        let seen = numbers(inputs, 100 + step as u32);
        policy.act(&mut episode, &seen[..], &[]).unwrap();
    }
    let x = numbers(inputs, 7);
    let trace = policy.trace(&episode, &x).unwrap();
    let logits = policy.logits(&mut episode.clone(), &x[..], &[]).unwrap().to_vec();
    assert_eq!(trace.logits, logits, "a trace computes what acting does");
    let weights = numbers(logits.len(), 9);
    let gradient = policy.gradient(&trace, &weights).unwrap();
    let layers = policy.layers_of(&trace);
    assert_eq!(layers.len(), gradient.layers.len());
    for (layer, grad) in layers.iter().zip(&gradient.layers) {
        assert_eq!(layer.values.len(), grad.len(), "{}", layer.name);
    }
    let sum = |x: &[f32]| -> f64 {
        let logits = policy.trace(&episode, x).unwrap().logits;
        logits.iter().zip(&weights).map(|(logit, weight)| f64::from(*logit) * f64::from(*weight)).sum()
    };
    let h = 2e-3_f32;
    for (i, &found) in gradient.observation.iter().enumerate() {
        let moved = |by: f32| {
            let mut x = x.clone();
            x[i] += by;
            sum(&x)
        };
        let expected = (moved(h) - moved(-h)) / (2.0 * f64::from(h));
        let error = (expected - f64::from(found)).abs();
        assert!(error < 4e-3 * expected.abs().max(1.0), "value {i}: expected {expected}, found {found}");
    }
}

fn values(actions: usize) -> Decision {
    Decision::Values { actions }
}

#[test]
fn linear_layers_and_every_activation_have_the_slope_of_differences() {
    for function in [
        Activation::Identity,
        Activation::Relu,
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Silu,
        Activation::Gelu,
        Activation::Elu,
        Activation::LeakyRelu,
    ] {
        let mut built = Built::new();
        let first = built.linear(4, 9);
        let second = built.linear(9, 3);
        built.operations = vec![first, Operation::Activation { function }, second];
        check(&built.policy(4, values(3), vec![]), 4, 0);
    }
}

#[test]
fn norms_residuals_branches_and_parameters_too() {
    let mut built = Built::new();
    let (first, inner) = (built.linear(5, 6), built.linear(6, 6));
    let (weight, bias) = (built.parameter(&[6]), built.parameter(&[6]));
    let norm = Operation::LayerNorm { weight, bias, width: 6, eps: 1e-5 };
    let rms = Operation::RmsNorm { weight: built.parameter(&[6]), width: 6, eps: 1e-5 };
    let residual = Operation::Residual { operations: vec![inner, rms] };
    let (left, last) = (built.linear(3, 2), built.linear(8, 2));
    let branches = Operation::Parallel {
        branches: vec![
            OperationBranch { columns: [0, 3], operations: vec![left] },
            // Overlaps with the first one, and gives its columns as they are.
            OperationBranch { columns: [2, 6], operations: vec![] },
        ],
    };
    let append = Operation::Append { parameter: built.parameter(&[1, 2]), width: 2 };
    built.operations = vec![first, norm, residual, branches, append, last];
    check(&built.policy(5, values(2), vec![]), 5, 0);
}

#[test]
fn images_too() {
    for average in [true, false] {
        let mut built = Built::new();
        let weight = built.parameter(&[4, 1, 3, 2]);
        let bias = built.parameter(&[4]);
        let convolution = Operation::Conv2d {
            weight,
            bias,
            input: [2, 6, 5],
            output: [4, 4, 3],
            kernel: [3, 2],
            stride: [1, 2],
            padding: [1, 1],
            dilation: [2, 1],
            groups: 2,
        };
        let pool = Operation::Pool2d {
            average,
            input: [4, 4, 3],
            output: [4, 2, 2],
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0, 1],
        };
        let last = built.linear(16, 3);
        built.operations = vec![Operation::ChannelsFirst { output: [2, 6, 5] }, convolution, pool, last];
        let policy = built.policy(60, values(3), vec![]);
        check(&policy, 60, 0);
        let trace = policy.trace(&policy.begin(), &numbers(60, 3)).unwrap();
        let layers = policy.layers_of(&trace);
        assert_eq!(layers[1].name, "1 conv2d");
        assert_eq!(layers[1].image, Some([4, 4, 3]));
    }
}

#[test]
fn heads_over_returns_too() {
    for (decision, atoms) in [
        (Decision::Categories { actions: 3, support: vec![-2.0, 0.0, 1.0, 5.0] }, 4),
        (Decision::Quantiles { actions: 3, quantiles: 4 }, 4),
    ] {
        let mut built = Built::new();
        let first = built.linear(4, 4 * atoms);
        built.operations = vec![first, Operation::Dueling { actions: 3, atoms }];
        check(&built.policy(4, decision, vec![]), 4, 0);
    }
    let mut built = Built::new();
    let embedding = vec![built.linear(2, 4), Operation::Activation { function: Activation::Relu }];
    let head = vec![built.linear(4, 3)];
    let cosines = vec![vec![0.3, -0.2], vec![1.0, 0.5], vec![-0.4, 0.9]];
    built.operations = vec![Operation::ImplicitQuantiles { cosines, embedding, head }];
    check(&built.policy(4, values(3), vec![]), 4, 0);
}

#[test]
fn recurrent_layers_too_within_a_step() {
    for (cell, gates) in [(RecurrentKind::Rnn, 1), (RecurrentKind::Gru, 3), (RecurrentKind::Lstm, 4)] {
        for steps in [0, 3] {
            let mut built = Built::new();
            let recurrent = Operation::Recurrent {
                cell,
                weight_ih: built.parameter(&[gates * 5, 4]),
                weight_hh: built.parameter(&[gates * 5, 5]),
                bias_ih: built.parameter(&[gates * 5]),
                bias_hh: built.parameter(&[gates * 5]),
                inputs: 4,
                hidden: 5,
            };
            let last = built.linear(5, 2);
            built.operations = vec![recurrent, last];
            check(&built.policy(4, values(2), vec![]), 4, steps);
        }
    }
}

/// Two blocks of two heads over the last four steps, between linear layers.
fn attention(position: AttentionPosition, gated: bool) -> Built {
    const WIDTH: usize = 4;
    let mut built = Built::new();
    if let AttentionPosition::Learned { table, positions } = &position {
        let values = numbers(positions * WIDTH, 77);
        built.parameters.insert(table.clone(), Parameter { shape: vec![*positions, WIDTH], values });
    }
    let input = vec![built.linear(3, WIDTH)];
    let mut blocks = Vec::new();
    for _ in 0..2 {
        let (weight, bias) = (built.parameter(&[WIDTH]), built.parameter(&[WIDTH]));
        let norm = Operation::LayerNorm { weight, bias, width: WIDTH, eps: 1e-5 };
        let project = vec![norm, built.linear(WIDTH, 3 * WIDTH)];
        let attended = vec![built.linear(WIDTH, WIDTH)];
        let (wide, narrow) = (built.linear(WIDTH, 6), built.linear(6, WIDTH));
        let feed_forward = vec![wide, Operation::Activation { function: Activation::Gelu }, narrow];
        let mut gate = || Gate {
            weight_y: built.parameter(&[3 * WIDTH, WIDTH]),
            weight_x: built.parameter(&[3 * WIDTH, WIDTH]),
            bias: built.parameter(&[WIDTH]),
            width: WIDTH,
        };
        let gates = gated.then(|| [gate(), gate()]);
        blocks.push(AttentionBlock { project, attended, feed_forward, gates });
    }
    let output = vec![Operation::Activation { function: Activation::Tanh }];
    let layer = Attention { input, position, width: WIDTH, heads: 2, window: 4, blocks, output };
    built.operations = vec![Operation::Attention(Box::new(layer)), built.linear(WIDTH, 2)];
    built
}

#[test]
fn attention_too_within_a_step() {
    let learned = || AttentionPosition::Learned { table: "places".to_owned(), positions: 5 };
    for gated in [false, true] {
        for steps in [0, 2, 7] {
            for position in
                [AttentionPosition::None, learned(), AttentionPosition::Sinusoidal, AttentionPosition::Rotary]
            {
                check(&attention(position, gated).policy(3, values(2), vec![]), 3, steps);
            }
        }
    }
}

#[test]
fn operations_name_every_parameter_once() {
    let built = attention(AttentionPosition::Learned { table: "places".to_owned(), positions: 5 }, true);
    let operations = built.operations.iter().flat_map(Operation::flat);
    let mut named: Vec<&str> = operations.flat_map(Operation::parameters).collect();
    named.sort_unstable();
    let all: Vec<&str> = built.parameters.keys().map(String::as_str).collect();
    assert_eq!(named, all);
}

#[test]
fn attention_tells_what_it_attends_to() {
    let policy = attention(AttentionPosition::Rotary, false).policy(3, values(2), vec![]);
    let mut episode = policy.begin();
    for step in 0..6 {
        let seen = numbers(3, 40 + step);
        let trace = policy.trace(&episode, &seen).unwrap();
        let attended = policy.attention_of(&trace);
        assert_eq!(attended.len(), 2);
        assert_eq!(attended[1].name, "0 attention, block 1");
        let count = 4.min(step as usize + 1);
        for own in &attended {
            assert_eq!((own.heads, own.weights.len()), (2, 2 * count), "step {step}");
            for head in own.weights.chunks(count) {
                assert!((head.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            }
        }
        policy.act(&mut episode, &seen[..], &[]).unwrap();
    }
    // An only step is all that there is to attend to.
    let trace = policy.trace(&policy.begin(), &[0.1, 0.2, 0.3]).unwrap();
    assert_eq!(policy.attention_of(&trace)[0].weights, [1.0, 1.0]);
}

#[test]
fn a_network_alone_is_traced_from_what_it_reads_and_knows_where_that_comes_from() {
    let preparation = vec![
        Preparation::Hide { shown: vec![true, false, true] },
        Preparation::OneHot { categories: vec![0, 0, 2], first: vec![0, 0, 0] },
        Preparation::Stack { frames: 2, groups: 1, group_len: 4, padding: Padding::Zero },
    ];
    let mut built = Built::new();
    built.operations = vec![built.linear(8, 2)];
    let policy = built.policy(3, values(2), preparation);
    let origin = |value, age| Some(Origin { value, age });
    let frame = |age| [origin(0, age), None, origin(2, age), origin(2, age)];
    assert_eq!(policy.origins(), [frame(1), frame(0)].concat());
    let mut episode = policy.begin();
    policy.act(&mut episode, &[0.5, 0.0, 1.0][..], &[]).unwrap();
    let whole = policy.trace(&episode, &[0.25, 0.0, 0.0]).unwrap();
    let mut row = Vec::new();
    policy.prepare(&mut episode, &[0.25, 0.0, 0.0][..], &mut row).unwrap();
    assert_eq!(row, [0.5, 0.0, 0.0, 1.0, 0.25, 0.0, 1.0, 0.0]);
    let trace = policy.trace_network(&episode, &row).unwrap();
    assert_eq!(trace.logits, whole.logits);
    // A linear policy's slopes are its weights, of categories too.
    let gradient = policy.gradient(&trace, &[0.0, 1.0]).unwrap();
    assert_eq!(gradient.observation, numbers(16, 1)[8..]);
    assert!(matches!(policy.trace_network(&episode, &[0.0]), Err(PolicyError::Length { .. })));
}

#[test]
fn categories_have_slopes_as_vectors() {
    // A number beside a category of three, with unit vectors, and one of two with a table.
    let mut built = Built::new();
    let table = built.parameter(&[2, 2]);
    let one_hot = vec![Operation::OneHot { categories: vec![3] }, built.linear(3, 2)];
    let embedding = vec![Operation::Embedding { weight: table, width: 2, first: vec![0] }];
    let branch = |columns, operations| OperationBranch { columns, operations };
    let branches = vec![branch([0, 1], vec![]), branch([1, 2], one_hot), branch([2, 3], embedding)];
    built.operations = vec![
        Operation::Parallel { branches },
        Operation::Activation { function: Activation::Tanh },
        built.linear(5, 2),
    ];
    let policy = built.policy(3, values(2), vec![]);
    let row = policy.smooth_inputs(&[0.25, 2.0, 1.0]).unwrap();
    assert_eq!(row[..4], [0.25, 0.0, 0.0, 1.0]);
    let values: Vec<usize> = policy.origins().iter().map(|origin| origin.unwrap().value).collect();
    assert_eq!(values, [0, 1, 1, 1, 2, 2]);
    let mut episode = policy.begin();
    policy.prepare(&mut episode, &[0.25, 2.0, 1.0][..], &mut Vec::new()).unwrap();
    let trace = policy.trace_network(&episode, &row).unwrap();
    assert_eq!(trace.logits, policy.trace(&policy.begin(), &[0.25, 2.0, 1.0]).unwrap().logits);
    let gradient = policy.gradient(&trace, &[1.0, -0.5]).unwrap();
    assert_eq!(policy.layers_of(&trace).len(), gradient.layers.len());
    for i in 0..row.len() {
        let moved = |by: f32| {
            let mut row = row.clone();
            row[i] += by;
            let logits = policy.trace_network(&episode, &row).unwrap().logits;
            logits[0] - 0.5 * logits[1]
        };
        let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        let found = gradient.observation[i];
        assert!((slope - found).abs() < 4e-3 * slope.abs().max(1.0), "{i}: {slope} and {found}");
    }
}

#[test]
fn what_stands_before_the_network_too() {
    let preparation = vec![
        Preparation::Normalize { mean: vec![0.1; 6], scale: vec![2.0, 0.5, 3.0, 1.0, 1.0, 1.0], clip: 1.5 },
        Preparation::Hide { shown: vec![true, true, true, false, true, true] },
        Preparation::Select { indices: vec![5, 0, 1, 3] },
        Preparation::Stack { frames: 3, groups: 2, group_len: 2, padding: Padding::Reset },
        Preparation::Scale { by: 0.5 },
    ];
    for steps in [0, 2] {
        let mut built = Built::new();
        let (first, last) = (built.linear(12, 8), built.linear(8, 2));
        built.operations = vec![first, Operation::Activation { function: Activation::Tanh }, last];
        check(&built.policy(6, values(2), preparation.clone()), 6, steps);
    }
}

#[test]
fn categories_have_no_slope() {
    let preparation = vec![Preparation::OneHot { categories: vec![3, 0], first: vec![0, 0] }];
    let mut built = Built::new();
    built.operations = vec![built.linear(4, 2)];
    let policy = built.policy(2, values(2), preparation);
    let trace = policy.trace(&policy.begin(), &[1.0, 0.5]).unwrap();
    let gradient = policy.gradient(&trace, &[1.0, 0.0]).unwrap();
    assert_eq!(gradient.observation[0], 0.0);
    assert!(gradient.observation[1] != 0.0);
}

#[test]
fn maps_of_what_is_not_zero_have_the_slope_of_differences() {
    let mut built = Built::new();
    // Five of twelve values: bits 0, 4, 5 and 7, and bit 1 of the second byte.
    let (weight, bias) = (built.parameter(&[5]), built.parameter(&[3]));
    built.parameters.insert("places".to_owned(), Parameter { shape: vec![2], values: vec![177.0, 2.0] });
    let map = Box::new(Operation::Linear { weight, bias, inputs: 4, outputs: 3 });
    built.operations = vec![Operation::Sparse { map, places: "places".to_owned() }, built.linear(3, 2)];
    check(&built.policy(4, values(2), vec![]), 4, 0);
}

#[test]
fn maps_of_integers_have_no_slope_and_say_so() {
    let mut built = Built::new();
    let (weight, bias, scale) = ("whole".to_owned(), built.parameter(&[2]), built.parameter(&[2]));
    built.parameters.insert(
        weight.clone(),
        Parameter { shape: vec![2, 3], values: vec![1.0, -2.0, 3.0, 0.0, 5.0, -6.0] },
    );
    built.parameters.insert(scale.clone(), Parameter { shape: vec![2], values: vec![0.1, 0.2] });
    let map = Box::new(Operation::Linear { weight, bias, inputs: 3, outputs: 2 });
    let input = Some(crate::Quantization { scale: 0.01, zero_point: 128 });
    built.operations = vec![Operation::Quantized { map, scale, input }];
    let policy = built.policy(3, values(2), vec![]);
    let trace = policy.trace(&policy.begin(), &[0.5; 3]).unwrap();
    let error = policy.gradient(&trace, &[1.0, 0.0]).unwrap_err();
    assert!(matches!(error, PolicyError::NoGradient("integer")), "{error}");
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let mut built = Built::new();
    built.operations = vec![built.linear(2, 2)];
    let policy = built.policy(2, values(2), vec![]);
    assert!(matches!(policy.trace(&policy.begin(), &[0.0]), Err(PolicyError::Length { .. })));
    assert!(matches!(policy.trace(&policy.begin(), &[0.0, f32::NAN]), Err(PolicyError::NotFinite { .. })));
    let trace = policy.trace(&policy.begin(), &[0.0; 2]).unwrap();
    assert!(matches!(policy.gradient(&trace, &[1.0]), Err(PolicyError::Length { .. })));
}
