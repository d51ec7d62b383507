//! What a policy remembers between two steps, as tensors.

use crate::operation::{Attention, Operation, RecurrentKind};
use crate::program::{InputKind, PolicyProgram, Preparation};

/// A tensor that a policy takes at a step and gives for the next one.
///
/// Where an episode begins, what it held is not looked at: frames begin as their padding says, everything else with zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateTensor {
    /// What it is called, before `_in` and `_out`.
    pub name: String,
    /// Of one row.
    pub shape: Vec<usize>,
    /// What its values are.
    pub kind: InputKind,
}

impl StateTensor {
    /// Values of a row.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PolicyProgram {
    /// Everything that the policy remembers, in the order of its steps.
    ///
    /// | name | shape of a row | |
    /// |---|---|---|
    /// | `frames` | `[groups, frames − 1, group_len]` | the older frames of a stack, the newest last |
    /// | `h`, `c` | `[1, hidden]` | a recurrent layer's hidden values, and an LSTM's cells |
    /// | `steps` | `[]` | steps of the episode so far |
    /// | `keys`, `values` | `[blocks, window, width]` | what attention reads, the newest last |
    ///
    /// The second tensor of a name is called `frames_2` and so on.
    #[must_use]
    pub fn states(&self) -> Vec<StateTensor> {
        let mut states: Vec<StateTensor> = Vec::new();
        let mut bytes = self.takes_bytes();
        for step in &self.preparation {
            if let Preparation::Stack { frames, groups, group_len, .. } = step {
                let kind = if bytes { InputKind::Byte } else { InputKind::Float };
                add(&mut states, "frames", vec![*groups, frames - 1, *group_len], kind);
            }
            bytes &= step.keeps_bytes();
        }
        self.operations.iter().for_each(|operation| add_states(operation, &mut states));
        states
    }

    /// Whether an observation is one array of bytes.
    #[must_use]
    pub fn takes_bytes(&self) -> bool {
        matches!(self.inputs.as_slice(), [input] if input.kind == InputKind::Byte)
    }
}

impl Preparation {
    /// Whether bytes come out as bytes.
    #[must_use]
    pub fn keeps_bytes(&self) -> bool {
        match self {
            Self::Stack { .. } | Self::Select { .. } | Self::Hide { .. } => true,
            Self::Normalize { .. } | Self::OneHot { .. } | Self::Scale { .. } => false,
        }
    }
}

fn add_states(operation: &Operation, states: &mut Vec<StateTensor>) {
    match operation {
        Operation::Recurrent { cell, hidden, .. } => {
            add(states, "h", vec![1, *hidden], InputKind::Float);
            if *cell == RecurrentKind::Lstm {
                add(states, "c", vec![1, *hidden], InputKind::Float);
            }
        }
        Operation::Attention(attention) => {
            let Attention { width, window, blocks, .. } = &**attention;
            add(states, "steps", Vec::new(), InputKind::Integer);
            for name in ["keys", "values"] {
                add(states, name, vec![blocks.len(), *window, *width], InputKind::Float);
            }
        }
        _ => {}
    }
}

/// Adds a tensor under a name that is free.
fn add(states: &mut Vec<StateTensor>, name: &str, shape: Vec<usize>, kind: InputKind) {
    let is_taken = |name: &str| states.iter().any(|state| state.name == name);
    let mut free = name.to_owned();
    for number in 2.. {
        if !is_taken(&free) {
            break;
        }
        free = format!("{name}_{number}");
    }
    states.push(StateTensor { name: free, shape, kind });
}
