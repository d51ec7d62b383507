//! What stands before and after a network: from an observation to the numbers it reads, and from its outputs to an action.

use agon_policy::{
    ActionSpace, Adjustment, Decision, InputKind, InputPart, Padding, PolicyProgram, Preparation,
};

use super::Answer;
use super::graph::{Element, Graph, int};
use super::network::one_hot;
use super::states::{States, element};
use crate::RunError;

/// The parts of an observation as rows of what the network reads.
pub(super) fn prepare(
    graph: &mut Graph,
    program: &PolicyProgram,
    parts: &[String],
    states: &mut States,
) -> Result<String, RunError> {
    let mut bytes = program.takes_bytes();
    let mut rows = Vec::new();
    for (part, name) in program.inputs.iter().zip(parts) {
        let value = if part.kind == InputKind::Float || bytes {
            name.clone()
        } else {
            graph.cast(name, Element::Float)
        };
        rows.push(match part.shape.as_slice() {
            [] => graph.unsqueeze(&value, &[1]),
            [_] => value,
            _ => graph.reshape(&value, &[part.len()]),
        });
    }
    let mut x = graph.concat(&rows, 1);
    for step in &program.preparation {
        if bytes && !step.keeps_bytes() {
            x = graph.cast(&x, Element::Float);
            bytes = false;
        }
        x = apply(graph, step, &x, bytes, states)?;
    }
    Ok(if bytes { graph.cast(&x, Element::Float) } else { x })
}

fn apply(
    graph: &mut Graph,
    step: &Preparation,
    x: &str,
    bytes: bool,
    states: &mut States,
) -> Result<String, RunError> {
    Ok(match step {
        Preparation::Stack { frames, groups, group_len, padding } => {
            let name = states.next("frames");
            let frame = graph.reshape(x, &[*groups, 1, *group_len]);
            let older = match padding {
                Padding::Reset => {
                    let first = graph.concat(&vec![frame.clone(); frames - 1], 2);
                    states.take_or(graph, &name, &first)?
                }
                Padding::Zero => states.take(graph, &name)?,
            };
            let stack = graph.concat(&[older, frame], 2);
            let newer = graph.slice(&stack, 2, 1, *frames);
            states.give(&name, newer);
            graph.reshape(&stack, &[groups * frames * group_len])
        }
        Preparation::Normalize { mean, scale, clip } => {
            let row = [1, mean.len()];
            // A mean in two parts: one alone has no digits left where a deviation is small beside it.
            let upper: Vec<f32> = mean.iter().map(|&mean| mean as f32).collect();
            let lower: Vec<f32> =
                mean.iter().zip(&upper).map(|(mean, &upper)| (mean - f64::from(upper)) as f32).collect();
            let scale: Vec<f32> = scale.iter().map(|&scale| scale as f32).collect();
            let [upper, lower, scale] = [upper, lower, scale].map(|values| graph.floats(&row, &values));
            let centred = graph.op("Sub", &[x, &upper]);
            let centred = graph.op("Sub", &[&centred, &lower]);
            let scaled = graph.op("Mul", &[&centred, &scale]);
            let (low, high) = (graph.number(-clip), graph.number(*clip));
            graph.op("Clip", &[&scaled, &low, &high])
        }
        Preparation::OneHot { categories, first } => {
            let columns = categories.iter().zip(first).enumerate();
            let columns: Vec<(usize, Option<i64>)> = columns
                .flat_map(|(index, (&n, &first))| {
                    let numbers = (n == 0).then_some((index, None));
                    numbers
                        .into_iter()
                        .chain((0..n as i64).map(move |category| (index, Some(first + category))))
                })
                .collect();
            one_hot(graph, x, &columns)
        }
        Preparation::Select { indices } => {
            let indices: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
            let indices = graph.integers(&indices);
            graph.op_with("Gather", &[x, &indices], vec![int("axis", 1)])
        }
        Preparation::Hide { shown } => {
            let flags = shown.iter().map(|&shown| u8::from(shown)).collect();
            let flags = graph.bytes(Element::Bool, &[1, shown.len()], flags);
            let zero = if bytes { graph.bytes(Element::Byte, &[], vec![0]) } else { graph.number(0.0) };
            graph.op("Where", &[&flags, x, &zero])
        }
        Preparation::Scale { by } => {
            let by = graph.number(*by);
            graph.op("Mul", &[x, &by])
        }
    })
}

/// Reads an answer from the outputs of the network, and adds it to the outputs of the graph.
pub(super) fn answer(
    graph: &mut Graph,
    program: &PolicyProgram,
    outputs: &str,
    mask: Option<&str>,
    answer: Answer,
) {
    match &program.decision {
        Decision::Gaussian { low, high } | Decision::Squashed { low, high } => {
            if answer == Answer::Logits {
                let doc =
                    "means, and logarithms of standard deviations after them where the policy has these";
                graph.output_of_any_width(outputs, answer.name(&program.decision), doc);
                return;
            }
            let mut actions = graph.slice(outputs, 1, 0, low.len());
            if matches!(program.decision, Decision::Squashed { .. }) {
                let center: Vec<f32> =
                    low.iter().zip(high).map(|(low, high)| 0.5 * low + 0.5 * high).collect();
                let half: Vec<f32> = low.iter().zip(high).map(|(low, high)| 0.5 * high - 0.5 * low).collect();
                let [center, half] = [center, half].map(|values| graph.floats(&[1, low.len()], &values));
                let squashed = graph.op("Tanh", &[&actions]);
                let scaled = graph.op("Mul", &[&half, &squashed]);
                actions = graph.op("Add", &[&center, &scaled]);
            }
            actions = clip(graph, &actions, low, high);
            for adjustment in &program.adjustments {
                actions = adjust(graph, &actions, adjustment);
            }
            give_actions(graph, &program.action, &actions);
        }
        Decision::Categorical { nvec } => {
            let logits = legal(graph, outputs, mask);
            if answer == Answer::Logits {
                let doc = "logits of the options of each choice; the least number of the type where one is not legal";
                graph.output(
                    &logits,
                    answer.name(&program.decision),
                    Element::Float,
                    &[nvec.iter().sum()],
                    doc.to_owned(),
                );
                return;
            }
            let best: Vec<String> =
                graph.split(&logits, 1, nvec).iter().map(|part| arg_max(graph, part)).collect();
            let best = graph.concat(&best, 1);
            give_actions(graph, &program.action, &best);
        }
        Decision::Values { actions }
        | Decision::Categories { actions, .. }
        | Decision::Quantiles { actions, .. } => {
            let values = values(graph, &program.decision, *actions, outputs);
            let values = legal(graph, &values, mask);
            if answer == Answer::Logits {
                let doc = "the value of each action; the least number of the type where one is not legal";
                graph.output(
                    &values,
                    answer.name(&program.decision),
                    Element::Float,
                    &[*actions],
                    doc.to_owned(),
                );
                return;
            }
            let best = arg_max(graph, &values);
            give_actions(graph, &program.action, &best);
        }
    }
}

/// The values of actions, `[batch, A]`.
fn values(graph: &mut Graph, decision: &Decision, actions: usize, outputs: &str) -> String {
    match decision {
        Decision::Categories { support, .. } => {
            let logits = graph.reshape(outputs, &[actions, support.len()]);
            let shares = graph.op_with("Softmax", &[&logits], vec![int("axis", -1)]);
            let support = graph.floats(&[support.len(), 1], support);
            let values = graph.op("MatMul", &[&shares, &support]);
            graph.reshape(&values, &[actions])
        }
        Decision::Quantiles { quantiles, .. } => {
            let quantiles = graph.reshape(outputs, &[actions, *quantiles]);
            let axis = graph.integers(&[2]);
            let mean = graph.op("ReduceMean", &[&quantiles, &axis]);
            graph.reshape(&mean, &[actions])
        }
        _ => outputs.to_owned(),
    }
}

/// Values of which those of illegal actions are the least that there are.
fn legal(graph: &mut Graph, values: &str, mask: Option<&str>) -> String {
    let Some(mask) = mask else { return values.to_owned() };
    let least = graph.number(f32::MIN);
    graph.op("Where", &[mask, values, &least])
}

/// The index of the first of the largest values, `[batch, 1]`.
fn arg_max(graph: &mut Graph, values: &str) -> String {
    graph.op_with("ArgMax", &[values], vec![int("axis", 1), int("keepdims", 1)])
}

/// Each column within its bounds.
fn clip(graph: &mut Graph, actions: &str, low: &[f32], high: &[f32]) -> String {
    let mut actions = actions.to_owned();
    for (op, bounds) in [("Max", low), ("Min", high)] {
        if bounds.iter().any(|bound| bound.is_finite()) {
            let bounds = graph.floats(&[1, bounds.len()], bounds);
            actions = graph.op(op, &[&actions, &bounds]);
        }
    }
    actions
}

fn adjust(graph: &mut Graph, actions: &str, adjustment: &Adjustment) -> String {
    match adjustment {
        Adjustment::Clip { low, high } => clip(graph, actions, low, high),
        Adjustment::Rescale { min, max, low, high } => {
            let (least, extent) = (graph.number(*min), graph.number(max - min));
            let widths: Vec<f32> = low.iter().zip(high).map(|(low, high)| high - low).collect();
            let row = [1, low.len()];
            let (lowest, widths) = (graph.floats(&row, low), graph.floats(&row, &widths));
            let share = graph.op("Sub", &[actions, &least]);
            let share = graph.op("Div", &[&share, &extent]);
            let share = graph.op("Mul", &[&widths, &share]);
            let actions = graph.op("Add", &[&lowest, &share]);
            clip(graph, &actions, low, high)
        }
    }
}

/// Adds the output `actions`, as the environment takes them.
fn give_actions(graph: &mut Graph, space: &ActionSpace, actions: &str) {
    let (row, element, doc) = match space {
        ActionSpace::Discrete { n, start } => {
            let doc = format!("an integer from {start} to {}", start + *n as i64 - 1);
            (Vec::new(), Element::Integer, doc)
        }
        ActionSpace::MultiDiscrete { nvec } => {
            (vec![nvec.len()], Element::Integer, format!("integers below {nvec:?}"))
        }
        ActionSpace::MultiBinary { n } => (vec![*n], Element::Integer, "bits".to_owned()),
        ActionSpace::Box { shape, low, high } => {
            (shape.clone(), Element::Float, format!("numbers from {low:?} to {high:?}"))
        }
    };
    let mut actions = if row.len() == 1 { actions.to_owned() } else { graph.reshape(actions, &row) };
    if let ActionSpace::Discrete { start, .. } = space
        && *start != 0
    {
        let start = graph.integers(&[*start]);
        actions = graph.op("Add", &[&actions, &start]);
    }
    graph.output(&actions, "actions", element, &row, doc);
}

/// Adds the inputs of the parts of an observation; their names.
pub(super) fn add_inputs(graph: &mut Graph, program: &PolicyProgram) -> Vec<String> {
    let inputs = program.inputs.iter();
    inputs.map(|part| graph.input(&part.name, element(part.kind), &part.shape, bounds_of(part))).collect()
}

/// The bounds of a part, as text.
fn bounds_of(part: &InputPart) -> String {
    if part.low.is_empty() {
        return "bytes".to_owned();
    }
    let text = |bounds: &[Option<f32>], open: &str| {
        let bounds = bounds.iter().take(16);
        let bounds: Vec<String> =
            bounds.map(|bound| bound.map_or_else(|| open.to_owned(), |bound| bound.to_string())).collect();
        bounds.join(" ")
    };
    format!("lower bounds {}; upper bounds {}", text(&part.low, "-inf"), text(&part.high, "inf"))
}
