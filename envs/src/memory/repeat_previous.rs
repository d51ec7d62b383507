//! RepeatPrevious: name the suit of the card that was shown some steps ago.
//!
//! # Description
//! Cards are shown one a step. From the time that enough were seen, the agent is to name the suit of the card shown `k − 1`
//! steps before the current one: that takes a memory of `k` cards.
//!
//! # Action space
//! `Discrete(4)`: a suit: 0 spades, 1 diamonds, 2 clubs, 3 hearts.
//!
//! # Observation space
//! `Discrete(4)`: the suit of the card shown.
//!
//! # Rewards
//! ±1/(cards − k) for each named suit, so that a perfect episode gives 1 and a wrong one −1; 0 while too few cards were seen.
//!
//! # Starting state
//! A shuffled deck, one card shown.
//!
//! # Episode end
//! Terminated when the last card was shown.
//!
//! # Arguments
//! | id | decks | `k` |
//! |---|---|---|
//! | `RepeatPreviousEasy-v0` | 1 | 4 |
//! | `RepeatPreviousMedium-v0` | 2 | 32 |
//! | `RepeatPreviousHard-v0` | 3 | 64 |
//!
//! # Version history
//! v0: as in POPGym.
//!
//! # Source
//! Morad et al. (2023), "POPGym: Benchmarking Partially Observable Reinforcement Learning"; POPGym
//! `popgym/envs/repeat_previous.py`.
//!
//! # Deviations
//! None known. Agreement with recorded trajectories of POPGym was not tested.

use serde::{Deserialize, Serialize};

use super::cards::{Cards, LETTERS, SUITS};
use crate::{Action, Env, Pcg64, Space, Step};

/// The environment; see the [module's page](self).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RepeatPrevious {
    cards: Cards,
    k: usize,
}

impl RepeatPrevious {
    /// With the given number of decks and cards to be remembered.
    pub(super) fn new(decks: usize, k: usize) -> Self {
        Self { cards: Cards::new(decks), k }
    }
}

impl Env for RepeatPrevious {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "a constant")]
    fn observation_space(&self) -> Space {
        Space::discrete(SUITS).expect("four is not zero")
    }

    fn action_space(&self) -> Space {
        self.observation_space()
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.cards.shuffle(rng);
        obs[0] = f32::from(self.cards.deal());
    }

    fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        let scale = 1.0 / (self.cards.len() - self.k) as f64;
        let reward = match self.cards.dealt(self.k - 1) {
            Some(suit) if usize::from(suit) == action.index() => scale,
            Some(_) => -scale,
            None => 0.0,
        };
        let last = self.cards.left() <= 1;
        obs[0] = f32::from(self.cards.deal());
        if last { Step::terminated(reward) } else { Step::running(reward) }
    }

    fn render(&self) -> Option<crate::Frame> {
        Some(super::draw_suit(self.cards.dealt(0), "name the card of old"))
    }

    fn render_text(&self) -> Option<String> {
        let shown = self.cards.dealt(0).map_or('?', |suit| LETTERS[usize::from(suit)]);
        Some(format!(
            "shown: {shown}\nto be named: the card {} before\ncards left: {}",
            self.k - 1,
            self.cards.left()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    /// Plays an episode, naming what `pick` says of the suits seen so far.
    fn play(k: usize, pick: impl Fn(&[f32]) -> u32) -> (f64, u32) {
        let (mut env, mut rng, mut obs) = (RepeatPrevious::new(1, k), Pcg64::seed_from(3), [0.0]);
        env.reset(&mut rng, &mut obs);
        let (mut seen, mut total, mut steps) = (vec![obs[0]], 0.0, 0);
        loop {
            let step = env.step(Action::Discrete(&[pick(&seen)]), &mut rng, &mut obs);
            seen.push(obs[0]);
            total += step.reward;
            steps += 1;
            if step.outcome == Outcome::Terminated {
                return (total, steps);
            }
        }
    }

    #[test]
    fn a_perfect_memory_earns_one_in_as_many_steps_as_cards() {
        let remembered = |seen: &[f32]| if seen.len() >= 4 { seen[seen.len() - 4] as u32 } else { 0 };
        let (total, steps) = play(4, remembered);
        assert!((total - 1.0).abs() < 1e-12, "{total}");
        assert_eq!(steps, 51);
        let wrong = |seen: &[f32]| if seen.len() >= 4 { (seen[seen.len() - 4] as u32 + 1) % 4 } else { 0 };
        assert!((play(4, wrong).0 + 1.0).abs() < 1e-12);
    }

    #[test]
    fn every_deck_holds_each_suit_as_often() {
        let mut cards = Cards::new(2);
        cards.shuffle(&mut Pcg64::seed_from(1));
        let mut counts = [0; SUITS];
        while cards.left() > 0 {
            counts[usize::from(cards.deal())] += 1;
        }
        assert_eq!(counts, [26; SUITS]);
    }
}
