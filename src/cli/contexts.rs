//! `contexts`: what policies return where physics differ, as a page.

use super::args::ContextsArgs;
use super::{Ending, say, say_sentence};
use crate::RunError;
use crate::contexts::{self, ContextOptions};
use crate::runtime::Setup;

pub(super) fn contexts(setup: &Setup, args: &ContextsArgs) -> Result<Ending, RunError> {
    let options = ContextOptions {
        out: args.out.clone(),
        axes: args.grid.clone(),
        episodes: args.episodes as usize,
        seed: args.seed,
        beside: args.beside.clone(),
    };
    for finding in contexts::contexts(setup, &args.source, &options)? {
        say_sentence(&finding)?;
    }
    say(format_args!("wrote {}", args.out.join("contexts.md").display()))
}
