//! `explain`: why a policy acts, as a page.

use super::args::ExplainArgs;
use super::{Ending, say, say_sentence, thinking};
use crate::RunError;
use crate::explain::{
    self, DreamOptions, ExplainOptions, ImportanceOptions, InternalsOptions, PictureOptions, SearchOptions,
    SurrogateOptions,
};
use crate::policy::Which;
use crate::runtime::Setup;

pub(super) fn explain(setup: &Setup, args: &ExplainArgs) -> Result<Ending, RunError> {
    let options = ExplainOptions {
        by: args.by.iter().map(|&by| by.into()).collect(),
        out: args.out.clone(),
        seed: args.seed,
        importance: ImportanceOptions::default(),
        internals: InternalsOptions {
            states: args.states as usize,
            probes: args.probe.clone(),
            ..InternalsOptions::default()
        },
        pictures: PictureOptions {
            baseline: args.baseline.into(),
            film: args.film as usize,
            ..PictureOptions::default()
        },
        search: SearchOptions {
            thinking: thinking(args.simulations, &args.search),
            ..SearchOptions::default()
        },
        dreams: DreamOptions {
            context: args.context as usize,
            steps: args.steps as usize,
            ..DreamOptions::default()
        },
        surrogate: SurrogateOptions {
            kind: args.surrogate.map(Into::into),
            leaves: args.leaves as usize,
            rounds: args.rounds as usize,
            samples: args.samples as usize,
            episodes: args.episodes as usize,
            ..SurrogateOptions::default()
        },
    };
    let which = Which::chosen(args.checkpoint, args.best);
    for finding in explain::explain(setup, &args.source, which, &options)? {
        say_sentence(&finding)?;
    }
    say(format_args!("wrote {}", args.out.join("explain.md").display()))
}
