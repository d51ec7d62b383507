//! `robustness`: what a policy withstands, as a page.

use super::args::RobustnessArgs;
use super::{Ending, say, say_sentence};
use crate::RunError;
use crate::policy::Which;
use crate::robustness::{self, RobustnessOptions};
use crate::runtime::Setup;

pub(super) fn robustness(setup: &Setup, args: &RobustnessArgs) -> Result<Ending, RunError> {
    let options = RobustnessOptions {
        out: args.out.clone(),
        episodes: args.episodes as usize,
        seed: args.seed,
        noise: args.noise.clone(),
        radii: args.radius.clone(),
        pgd_steps: args.pgd_steps,
        delays: args.delay.clone(),
        shifts: args.shift.clone(),
    };
    let which = Which::chosen(args.checkpoint, args.best);
    for finding in robustness::robustness(setup, &args.source, which, &options)? {
        say_sentence(&finding)?;
    }
    say(format_args!("wrote {}", args.out.join("robustness.md").display()))
}
