//! A surrogate as source code that needs nothing else.

use std::fmt::Write as _;

use agon_envs::ActionSpec;

use super::cart::Tree;
use super::words::{leaf_words, question};
use super::{Linear, Surrogate};
use crate::explain::features::FeatureKind;
use crate::explain::subject::{Subject, best};

/// A language that surrogates are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A function without dependencies.
    Rust,
    /// A function without dependencies, of anything that can be indexed.
    Python,
}

/// A surrogate as the text of a source file with one function, `act`.
///
/// It takes one observation as the environment gives it, flattened; an image's rows, columns and channels in this order. Of
/// choices it gives the index of each one's best option, from zero. Where the environment has action masks it takes them too:
/// a flag for each option.
pub fn source(subject: &Subject, surrogate: &Surrogate, language: Language) -> String {
    let writer = Writer { subject, language, masks: subject.program().mask_len > 0 };
    let mut text = writer.head(surrogate);
    text += &writer.helpers(surrogate);
    text += &writer.signature();
    match surrogate {
        Surrogate::Tree(tree) => writer.node(tree, 0, 1, &mut text),
        Surrogate::Linear(linear) => writer.linear(linear, &mut text),
    }
    if language == Language::Rust {
        text += "}\n";
    }
    text
}

struct Writer<'a> {
    subject: &'a Subject,
    language: Language,
    masks: bool,
}

impl Writer<'_> {
    fn comment(&self) -> &'static str {
        match self.language {
            Language::Rust => "//",
            Language::Python => "#",
        }
    }

    fn head(&self, surrogate: &Surrogate) -> String {
        let card = self.subject.trained.card();
        let what = match surrogate {
            Surrogate::Tree(tree) => format!("A decision tree of {} leaves", tree.leaves()),
            Surrogate::Linear(_) => "Weighted sums".to_owned(),
        };
        let text = format!(
            "{what} in place of a policy of {} in {}, trained for {} steps with seed {}.",
            card.algorithm, card.env.id, card.env_steps, card.seed
        );
        format!("{} {text}\n\n", self.comment())
    }

    /// Functions that the features of an image's channels need.
    fn helpers(&self, surrogate: &Surrogate) -> String {
        let (Some([height, width, channels]), Surrogate::Tree(tree)) =
            (self.subject.features.image, surrogate)
        else {
            return String::new();
        };
        let kinds = tree
            .nodes
            .iter()
            .filter_map(|node| node.split)
            .map(|split| self.subject.features.all[split.feature].kind);
        if kinds.clone().all(|kind| matches!(kind, FeatureKind::Cell(_) | FeatureKind::Value(_))) {
            return String::new();
        }
        match self.language {
            Language::Rust => format!(
                "/// Of a channel: how many cells hold something, their mean row and their mean column, or -1.\n\
                 fn channel(obs: &[f32], channel: usize) -> [f32; 3] {{\n    \
                     let held = (0..{cells}).filter(|cell| obs[cell * {channels} + channel] != 0.0);\n    \
                     let (mut count, mut row, mut column) = (0.0, 0.0, 0.0);\n    \
                     held.for_each(|cell| {{\n        \
                         count += 1.0;\n        \
                         row += (cell / {width}) as f32;\n        \
                         column += (cell % {width}) as f32;\n    \
                     }});\n    \
                     if count > 0.0 {{ [count, row / count, column / count] }} else {{ [0.0, -1.0, -1.0] }}\n\
                 }}\n\n\
                 /// How far the second channel lies from the first one along an axis; 0 if either is empty.\n\
                 fn apart(obs: &[f32], first: usize, second: usize, axis: usize) -> f32 {{\n    \
                     let (a, b) = (channel(obs, first), channel(obs, second));\n    \
                     if a[0] > 0.0 && b[0] > 0.0 {{ b[axis] - a[axis] }} else {{ 0.0 }}\n\
                 }}\n\n",
                cells = height * width
            ),
            Language::Python => format!(
                "def channel(obs, channel):\n    \
                     \"\"\"Of a channel: how many cells hold something, their mean row and their mean column, or -1.\"\"\"\n    \
                     held = [cell for cell in range({cells}) if obs[cell * {channels} + channel] != 0]\n    \
                     count = len(held)\n    \
                     if not count:\n        \
                         return [0, -1, -1]\n    \
                     return [count, sum(c // {width} for c in held) / count, sum(c % {width} for c in held) / count]\n\n\n\
                 def apart(obs, first, second, axis):\n    \
                     \"\"\"How far the second channel lies from the first one along an axis; 0 if either is empty.\"\"\"\n    \
                     a, b = channel(obs, first), channel(obs, second)\n    \
                     return b[axis] - a[axis] if a[0] and b[0] else 0\n\n\n",
                cells = height * width
            ),
        }
    }

    fn signature(&self) -> String {
        let (width, continuous) = (self.subject.action_spec.width(), self.subject.is_continuous());
        match self.language {
            Language::Rust => {
                let kind = match (continuous, width) {
                    (false, 1) => "usize".to_owned(),
                    (false, _) => format!("[usize; {width}]"),
                    (true, _) => format!("[f32; {width}]"),
                };
                let masks = if self.masks { ", legal: &[bool]" } else { "" };
                format!(
                    "/// The action for an observation of {} values.\npub fn act(obs: &[f32]{masks}) -> {kind} {{\n",
                    self.subject.features.observation_len()
                )
            }
            Language::Python => {
                let masks = if self.masks { ", legal" } else { "" };
                format!(
                    "def act(obs{masks}):\n    \"\"\"The action for an observation of {} values.\"\"\"\n",
                    self.subject.features.observation_len()
                )
            }
        }
    }

    fn feature(&self, index: usize) -> String {
        match self.subject.features.all[index].kind {
            FeatureKind::Value(i) | FeatureKind::Cell(i) => format!("obs[{i}]"),
            FeatureKind::Count(channel) => format!("channel(obs, {channel})[0]"),
            FeatureKind::Row(channel) => format!("channel(obs, {channel})[1]"),
            FeatureKind::Column(channel) => format!("channel(obs, {channel})[2]"),
            FeatureKind::RowsApart(a, b) => format!("apart(obs, {a}, {b}, 1)"),
            FeatureKind::ColumnsApart(a, b) => format!("apart(obs, {a}, {b}, 2)"),
        }
    }

    fn node(&self, tree: &Tree, node: usize, depth: usize, text: &mut String) {
        let (own, indent) = (&tree.nodes[node], "    ".repeat(depth));
        let Some(split) = own.split else {
            let words = leaf_words(self.subject, &own.value);
            let action = self.leaf(&own.value);
            let _ = match self.language {
                Language::Rust => writeln!(text, "{indent}{action} // {words}"),
                Language::Python => writeln!(text, "{indent}return {action}  # {words}"),
            };
            return;
        };
        let feature = self.feature(split.feature);
        let asked = question(&self.subject.features.all[split.feature], split.threshold);
        let [begin, middle, end] = match self.language {
            Language::Rust => {
                let threshold = split.threshold;
                [
                    format!("if {feature} <= {threshold:?} {{ // {asked}"),
                    "} else {".to_owned(),
                    "}".to_owned(),
                ]
            }
            Language::Python => {
                // Python's numbers are wider: the threshold is written so that it is the same one there.
                let threshold = f64::from(split.threshold);
                [format!("if {feature} <= {threshold:?}:  # {asked}"), "else:".to_owned(), String::new()]
            }
        };
        let _ = writeln!(text, "{indent}{begin}");
        self.node(tree, split.left, depth + 1, text);
        let _ = writeln!(text, "{indent}{middle}");
        self.node(tree, split.right, depth + 1, text);
        if !end.is_empty() {
            let _ = writeln!(text, "{indent}{end}");
        }
    }

    /// What a leaf gives.
    fn leaf(&self, value: &[f32]) -> String {
        let choices = self.subject.choices();
        let list = |items: Vec<String>, single: bool| match items.as_slice() {
            [item] if single => item.clone(),
            items => format!("[{}]", items.join(", ")),
        };
        if choices.is_empty() {
            return list(value.iter().map(|value| format!("{value:?}")).collect(), false);
        }
        if !self.masks {
            let indices = best(&choices, value, &[]);
            return list(indices.iter().map(usize::to_string).collect(), true);
        }
        let mut first = 0;
        let items = choices.iter().map(|&options| {
            let range = first..first + options;
            let shares: Vec<String> = value[range.clone()].iter().map(|share| format!("{share:?}")).collect();
            first += options;
            let shares = shares.join(", ");
            let (start, end) = (range.start, range.end);
            match self.language {
                Language::Rust => format!(
                    "(0..{options}).filter(|i| legal[{start} + i]).fold(None, |best: Option<usize>, i| {{ let shares = [{shares}]; \
                     match best {{ Some(best) if shares[best] >= shares[i] => Some(best), _ => Some(i) }} }}).unwrap_or(0)"
                ),
                Language::Python => format!(
                    "max((i for i in range({options}) if legal[{start}:{end}][i]), key=[{shares}].__getitem__, default=0)"
                ),
            }
        });
        list(items.collect(), true)
    }

    fn linear(&self, linear: &Linear, text: &mut String) {
        let ActionSpec::Continuous { low, high } = &self.subject.action_spec else { return };
        let sums: Vec<String> = (0..low.len())
            .map(|i| {
                let mut sum = format!("{:?}", linear.offsets[i]);
                for (j, weight) in linear.weights[i].iter().enumerate() {
                    let _ = write!(sum, " + {weight:?} * obs[{j}]");
                }
                // Numbers without bounds stay as they are.
                let (low, high) = (low[i], high[i]);
                match self.language {
                    Language::Rust => format!("({sum}).clamp({}, {})", rust(low), rust(high)),
                    Language::Python => format!("min(max({sum}, {}), {})", python(low), python(high)),
                }
            })
            .collect();
        let list = sums.join(",\n        ");
        let _ = match self.language {
            Language::Rust => writeln!(text, "    [\n        {list},\n    ]"),
            Language::Python => writeln!(text, "    return [\n        {list},\n    ]"),
        };
    }
}

fn rust(bound: f32) -> String {
    match bound {
        f32::INFINITY => "f32::INFINITY".to_owned(),
        f32::NEG_INFINITY => "f32::NEG_INFINITY".to_owned(),
        bound => format!("{bound:?}"),
    }
}

fn python(bound: f32) -> String {
    if bound.is_finite() { format!("{bound:?}") } else { format!("float(\"{bound}\")") }
}
