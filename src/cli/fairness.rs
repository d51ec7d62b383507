//! `fairness`: how a policy treats groups, as a page.

use super::args::FairnessArgs;
use super::{Ending, say, say_sentence};
use crate::RunError;
use crate::fairness::{self, FairnessOptions};
use crate::policy::Which;
use crate::runtime::Setup;

pub(super) fn fairness(setup: &Setup, args: &FairnessArgs) -> Result<Ending, RunError> {
    let options = FairnessOptions {
        out: args.out.clone(),
        episodes: args.episodes as usize,
        seed: args.seed,
        stochastic: args.stochastic,
        baselines: !args.no_rules,
        ..FairnessOptions::default()
    };
    let which = Which::chosen(args.checkpoint, args.best);
    for finding in fairness::fairness(setup, &args.source, which, &options)? {
        say_sentence(&finding)?;
    }
    say(format_args!("wrote {}", args.out.join("fairness.md").display()))
}
