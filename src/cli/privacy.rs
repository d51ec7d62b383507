//! `privacy`: what students of a policy give away, as a page; and what steps with noise do, as numbers.

use agon_agents::private::PrivateConfig;

use super::args::{AccountArgs, PrivacyArgs, PrivacyCommand};
use super::{Ending, say, say_json, say_sentence};
use crate::RunError;
use crate::policy::Which;
use crate::privacy::accountant::{Mechanism, Spent, noise_for};
use crate::privacy::{self, PrivacyOptions};
use crate::runtime::Setup;

pub(super) fn privacy(setup: &Setup, args: &PrivacyArgs) -> Result<Ending, RunError> {
    if let Some(PrivacyCommand::Account(args)) = &args.account {
        return account(args);
    }
    let (Some(source), Some(out)) = (&args.source, &args.out) else {
        return Err(RunError::Config("expected a run or a weight file, and --out".to_owned()));
    };
    let mut options = PrivacyOptions {
        trajectories: args.trajectories,
        steps: args.steps,
        random: args.random,
        learning: PrivateConfig {
            updates: args.updates,
            sample_rate: args.sample_rate,
            clip_norm: args.clip_norm,
            noise_multiplier: args.noise_multiplier,
            learning_rate: args.learning_rate,
        },
        delta: args.delta,
        episodes: args.episodes as usize,
        seed: args.seed,
        ..PrivacyOptions::new(out.clone())?
    };
    if let Some(epsilon) = args.epsilon {
        options.learning.noise_multiplier =
            noise_for(args.sample_rate, args.updates, epsilon, options.delta())?;
    }
    for finding in privacy::privacy(setup, source, Which::chosen(None, args.best), &options)? {
        say_sentence(&finding)?;
    }
    say(format_args!("wrote {}", out.join("privacy.md").display()))
}

/// Prints what steps give away.
fn account(args: &AccountArgs) -> Result<Ending, RunError> {
    let noise_multiplier = match (args.noise_multiplier, args.epsilon) {
        (Some(noise), _) => noise,
        (None, Some(epsilon)) => noise_for(args.sample_rate, args.steps, epsilon, args.delta)?,
        (None, None) => return Err(RunError::Config("expected --noise-multiplier or --epsilon".to_owned())),
    };
    let mechanism = Mechanism { sample_rate: args.sample_rate, noise_multiplier, steps: args.steps };
    let spent = Spent::of(mechanism, args.delta)?;
    if args.json {
        return say_json(&spent);
    }
    if args.epsilon.is_some() {
        say(format_args!("noise multiplier {noise_multiplier:.4}"))?;
    }
    say(format_args!("RDP: ε ≤ {:.3} at order {}", spent.rdp.epsilon, spent.rdp.order))?;
    match spent.prv {
        Some(prv) => {
            let (lower, estimate, upper) = (prv.lower, prv.estimate, prv.upper);
            say(format_args!("PRV: ε ≤ {upper:.3}, estimate {estimate:.3}, at least {lower:.3}"))
        }
        None => say("PRV: its grid would be too large for these numbers"),
    }
}
