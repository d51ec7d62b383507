//! What a search found, and how that is recorded with a step.

/// What a search found in one environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// What to do.
    pub action: usize,
    /// Probabilities that are better than the network's, `[A]`.
    pub policy: Vec<f32>,
    /// The value for whoever is to move.
    pub value: f32,
    /// How it came to it.
    pub depth: Depth,
    /// Whether the value is proven: that of perfect play.
    pub proven: bool,
}

/// Numbers that are recorded of what a search found: how far it went, the value, whether that is proven, and probabilities.
pub(crate) fn data_width(actions: usize) -> usize {
    3 + actions
}

/// How far the search of a step went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// There was none: it was not the row's turn, or nobody searched.
    #[default]
    None,
    /// A cheap one, whose probabilities are not worth learning.
    Cheap,
    /// A full one.
    Full,
    /// There was none: the move is a random one of an opening, and says nothing about what came before it.
    Random,
    /// Hardly any: a side has given the game up, which is played on.
    Resigned,
}

impl Depth {
    const ALL: [Self; 5] = [Self::None, Self::Cheap, Self::Full, Self::Random, Self::Resigned];
}

impl Found {
    /// Records it with a step.
    pub(crate) fn write(&self, data: &mut [f32]) {
        data[0] = self.depth as u8 as f32;
        data[1] = self.value;
        data[2] = f32::from(u8::from(self.proven));
        data[3..].copy_from_slice(&self.policy);
    }
}

/// What was recorded with a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded<'a> {
    pub(crate) depth: Depth,
    pub(crate) value: f32,
    pub(crate) proven: bool,
    /// `[A]`.
    pub(crate) policy: &'a [f32],
}

impl<'a> Recorded<'a> {
    pub(crate) fn read(data: &'a [f32]) -> Self {
        let known = Depth::ALL.into_iter().find(|&depth| data[0] == f32::from(depth as u8));
        Self { depth: known.unwrap_or_default(), value: data[1], proven: data[2] > 0.0, policy: &data[3..] }
    }
}
