//! What the layers of a network give at some states of episodes.

use agon_policy::{Observation, PortablePolicy};

use crate::RunError;
use crate::explain::play::Step;

/// Values of a layer that are kept, at most.
const MOST_VALUES: usize = 4096;

/// A layer at `S` states.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its place and its kind.
    pub name: String,
    /// `[C, H, W]` of an image.
    pub image: Option<[usize; 3]>,
    /// Values of a state.
    pub width: usize,
    /// `[S, width]`.
    pub values: Vec<f32>,
}

/// What a unit's function has at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Zero, below which nothing goes through.
    Zero,
    /// −1 and 1, or 0 and 1.
    Both([i8; 2]),
    /// None.
    Open,
}

impl Site {
    /// Of states, what they are.
    pub fn states(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// A state's values.
    pub fn row(&self, state: usize) -> &[f32] {
        &self.values[state * self.width..(state + 1) * self.width]
    }

    /// What its units' function has at its end.
    pub fn ends(&self) -> Ends {
        match self.name.rsplit(' ').next() {
            Some("relu") => Ends::Zero,
            Some("tanh" | "rnn" | "gru" | "lstm") => Ends::Both([-1, 1]),
            Some("sigmoid") => Ends::Both([0, 1]),
            _ => Ends::Open,
        }
    }

    /// Units: channels of an image, else values.
    pub fn units(&self) -> usize {
        self.image.map_or(self.width, |[channels, ..]| channels)
    }

    /// A unit's values at a state: all pixels of a channel, or one value.
    pub fn unit(&self, state: usize, unit: usize) -> &[f32] {
        let of_unit = self.width / self.units();
        &self.row(state)[unit * of_unit..(unit + 1) * of_unit]
    }
}

/// What the layers with units give at the states of these indices; first of all what the network reads, at last what the policy
/// chooses by.
///
/// Episodes are followed from their beginnings, so that the policy remembers what it would.
///
/// # Errors
/// If a step is none of the policy's.
pub(in crate::explain) fn sites(
    policy: &PortablePolicy,
    steps: &[Step],
    indices: &[usize],
) -> Result<Vec<Site>, RunError> {
    let mut episode = policy.begin();
    let mut sites: Vec<Site> = Vec::new();
    let (mut rest, remembers) = (indices, policy.memory_len() > 0);
    for (at, step) in steps.iter().enumerate() {
        let Some(&next) = rest.first() else { break };
        if step.step == 0 {
            episode.begin_again();
        }
        if at == next {
            rest = &rest[1..];
            add(policy, &episode, step, &mut sites)?;
        }
        if remembers {
            prepare_or_act(policy, &mut episode, step)?;
        }
    }
    Ok(sites)
}

/// Moves an episode on.
fn prepare_or_act(
    policy: &PortablePolicy,
    episode: &mut agon_policy::Episode,
    step: &Step,
) -> Result<(), RunError> {
    let bytes: Vec<u8> = step.observation.iter().map(|&value| value.round() as u8).collect();
    let observation = match policy.program().takes_bytes() {
        true => Observation::Bytes(&bytes),
        false => Observation::Floats(&step.observation),
    };
    policy.logits(episode, observation, &[])?;
    Ok(())
}

fn add(
    policy: &PortablePolicy,
    episode: &agon_policy::Episode,
    step: &Step,
    sites: &mut Vec<Site>,
) -> Result<(), RunError> {
    let trace = policy.trace(episode, &step.observation)?;
    let layers = policy.layers_of(&trace);
    let last = layers.len().saturating_sub(1);
    let has_units = |name: &str, is_activation: bool, index: usize| {
        let kind = name.rsplit(' ').next().unwrap_or_default();
        let remembers = matches!(kind, "rnn" | "gru" | "lstm" | "attention");
        index != last && ((is_activation && kind != "identity") || remembers)
    };
    let mut found = vec![("what it reads".to_owned(), None, trace.network_inputs())];
    for (index, layer) in layers.iter().enumerate() {
        if has_units(&layer.name, layer.is_activation, index) {
            // A function of each value keeps the form of what it was given.
            let before = index.checked_sub(1).and_then(|before| layers[before].image);
            let image = layer.image.or(before.filter(|_| layer.is_activation));
            let fits = |image: &[usize; 3]| image.iter().product::<usize>() == layer.values.len();
            found.push((layer.name.clone(), image.filter(fits), layer.values));
        }
    }
    found.push(("what it chooses by".to_owned(), None, &trace.logits));
    if sites.is_empty() {
        let site = |(name, image, values): &(String, Option<[usize; 3]>, &[f32])| Site {
            name: name.clone(),
            image: *image,
            width: values.len().min(MOST_VALUES),
            values: Vec::new(),
        };
        sites.extend(found.iter().map(site));
    }
    for (site, (_, _, values)) in sites.iter_mut().zip(found) {
        // Of very wide layers every so many values stand for all of them.
        let every = values.len().div_ceil(site.width.max(1));
        if every > 1 {
            site.image = None;
            site.width = values.len().div_ceil(every);
        }
        site.values.extend(values.iter().step_by(every));
    }
    Ok(())
}
