//! Explanations: why a trained policy does what it does, as a page with pictures and numbers.
//!
//! Everything is asked of the policy as a program of its own ([`agon_policy`]) and of its environment without the wrappers that
//! are part of the policy, so that words, pictures and surrogates are about what the environment shows, in its units. A weight
//! file is enough. One seed decides everything that is drawn.
//!
//! Of policies that remember, only the present step is explained: what they remember of earlier ones is taken as it is.

mod dreams;
mod features;
pub mod internals;
pub mod output;
pub mod pictures;
pub(crate) mod play;
pub mod search;
mod subject;
pub mod surrogate;

use std::path::{Path, PathBuf};

pub use dreams::DreamOptions;
pub use features::{Feature, FeatureKind, Features, Group, action_names};
pub use internals::InternalsOptions;
pub use output::ImportanceOptions;
pub use pictures::{Baseline, PictureOptions};
pub use search::SearchOptions;
pub use subject::Subject;
pub use surrogate::{SurrogateKind, SurrogateOptions};

use crate::RunError;
use crate::page::Page;
use crate::policy::{self, Which};
use crate::setup::Setup;

/// A way to explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By what it gives out: along an episode, by what it depends on, by what would have changed it, by where it matters.
    Output,
    /// By what happens inside of its network.
    Internals,
    /// By how much each part of what it saw speaks for what it did, as pictures.
    Pictures,
    /// By what its search found beside each move of an episode.
    Search,
    /// By what its world model imagines, beside what happened.
    Dreams,
    /// By a policy that can be read: a decision tree, or weighted sums.
    Surrogate,
}

/// What is explained, how, and where the page goes.
#[derive(Clone, Debug)]
pub struct ExplainOptions {
    /// The ways, in this order.
    pub by: Vec<By>,
    /// The folder of the page, which is created.
    pub out: PathBuf,
    /// Seed of environments and of everything that is drawn.
    pub seed: u64,
    /// How importance is measured; the seed is the one above.
    pub importance: ImportanceOptions,
    /// How a network is looked into; the seed is the one above.
    pub internals: InternalsOptions,
    /// How pictures are made; the seed is the one above.
    pub pictures: PictureOptions,
    /// How a search is looked into; the seed is the one above.
    pub search: SearchOptions,
    /// How dreams are looked at; the seed is the one above.
    pub dreams: DreamOptions,
    /// How surrogates are made; the seed is the one above.
    pub surrogate: SurrogateOptions,
}

/// Explains the policy of a run or of a weight file, and gives what was found, a sentence each.
///
/// # Errors
/// If the policy cannot be loaded or told as one network, the environment fails, or a file cannot be written.
pub fn explain(
    setup: &Setup,
    path: &Path,
    which: Which,
    options: &ExplainOptions,
) -> Result<Vec<String>, RunError> {
    let trained = policy::load_which(setup, path, which)?;
    let mut page = Page::new(&options.out, "explain", "why it acts", trained.card())?;
    // A search and a world model are the policy's own; all other ways ask it as a program.
    let asks_itself = |by: &By| matches!(by, By::Search | By::Dreams);
    let mut others = options.by.iter().filter(|by| !asks_itself(by));
    let subject = others.next().map(|_| Subject::of(setup, trained)).transpose()?;
    for by in &options.by {
        match (by, &subject) {
            (By::Search, _) => {
                let own = SearchOptions { seed: options.seed, ..options.search.clone() };
                search::explain(setup, path, which, &own, &mut page)?;
            }
            (By::Dreams, _) => {
                let own = DreamOptions { seed: options.seed, ..options.dreams };
                dreams::explain(setup, path, which, &own, &mut page)?;
            }
            (By::Output, Some(subject)) => {
                let own = ImportanceOptions { seed: options.seed, ..options.importance };
                output::explain(setup, subject, &own, &mut page)?;
            }
            (By::Internals, Some(subject)) => {
                let own = InternalsOptions { seed: options.seed, ..options.internals.clone() };
                internals::explain(setup, path, subject, &own, &mut page)?;
            }
            (By::Pictures, Some(subject)) => {
                let own = PictureOptions { seed: options.seed, ..options.pictures };
                pictures::explain(setup, subject, &own, &mut page)?;
            }
            (By::Surrogate, Some(subject)) => {
                let own = SurrogateOptions { seed: options.seed, ..options.surrogate.clone() };
                surrogate::explain(setup, subject, &own, &mut page)?;
            }
            // There is a subject where one of these is asked for.
            (By::Output | By::Internals | By::Pictures | By::Surrogate, None) => {}
        }
    }
    page.finish()
}

#[cfg(test)]
mod tests;
