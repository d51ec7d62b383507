//! The page.

use super::{Measured, PrivacyOptions};
use crate::RunError;
use crate::page::Page;
use crate::plot::{Bar, bars};
use crate::stats::Estimate;
use crate::text::table;

/// Writes what was measured.
pub(super) fn write(page: &mut Page, all: &[Measured], options: &PrivacyOptions) -> Result<(), RunError> {
    let PrivacyOptions { trajectories, steps, random, learning, .. } = options;
    page.paragraph(&format!(
        "Students have learned the actions of {trajectories} trajectories of at most {steps} steps, {:.0} % of whose actions are \
         drawn at random, in {} steps with a sample rate of {}. An attacker says of these and of {trajectories} others which they \
         have learned from; 0.5 is guessing. Intervals are of 95 %, over trajectories and over episodes.",
        100.0 * random, learning.updates, learning.sample_rate,
    ));
    for measured in all {
        page.finding(sentence(measured));
    }
    page.heading(2, "Students");
    page.paragraph(&table(
        &[
            "",
            "return",
            "loss, learned from",
            "loss, others",
            "attack",
            "attack, calibrated",
            "ε, upper bound",
        ],
        &all.iter().map(row).collect::<Vec<_>>(),
    ));
    for spent in all.iter().filter_map(|measured| measured.spent.as_ref()) {
        let prv = spent.prv.map_or("–".to_owned(), |prv| format!("{:.3} to {:.3}", prv.lower, prv.upper));
        page.paragraph(&format!(
            "With noise of {} times the clipping norm of {} and δ = {}: ε is at most {:.3} by moments (RDP) and {prv} by the privacy \
             loss (PRV). One trajectory more or less changes no probability by more than that.",
            spent.mechanism.noise_multiplier, learning.clip_norm, crate::text::significant(spent.delta, 3), spent.rdp.epsilon,
        ));
    }
    let bar = |measured: &Measured, what: &str, value: &Estimate| Bar {
        label: format!("{}: {what}", measured.name),
        value: value.value,
        half_width: (value.high - value.low) / 2.0,
    };
    let of_attacks = all.iter().flat_map(|measured| {
        [bar(measured, "loss", &measured.attack), bar(measured, "calibrated", &measured.calibrated_attack)]
    });
    let picture = bars(
        "Membership inference",
        "area under the curve; 0.5 is guessing",
        &of_attacks.collect::<Vec<_>>(),
    )?;
    page.picture("attacks", "areas under the curves of attacks", &picture)?;
    page.numbers("students", &all)
}

fn sentence(measured: &Measured) -> String {
    let Measured { name, episode_return, attack, calibrated_attack, spent, .. } = measured;
    let bound = spent.as_ref().map_or(String::new(), |spent| {
        format!(
            ", at an ε of at most {:.2} (δ = {})",
            spent.epsilon(),
            crate::text::significant(spent.delta, 2)
        )
    });
    format!(
        "A student {name} returns {}; the attack's area is {}, calibrated {}{bound}.",
        told(episode_return, 1),
        told(attack, 3),
        told(calibrated_attack, 3)
    )
}

fn row(measured: &Measured) -> Vec<String> {
    let Measured { name, episode_return, losses, attack, calibrated_attack, spent, .. } = measured;
    vec![
        name.clone(),
        told(episode_return, 1),
        format!("{:.4}", losses[0]),
        format!("{:.4}", losses[1]),
        told(attack, 3),
        told(calibrated_attack, 3),
        spent.as_ref().map_or("none".to_owned(), |spent| format!("{:.3}", spent.epsilon())),
    ]
}

fn told(estimate: &Estimate, digits: usize) -> String {
    let Estimate { value, low, high } = estimate;
    format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]")
}
