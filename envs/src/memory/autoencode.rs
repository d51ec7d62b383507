//! Autoencode: watch a deck of cards, then name all suits in reverse order.
//!
//! # Description
//! First all cards are shown, one a step (watching); then the agent names their suits, the last one first (playing).
//!
//! # Action space
//! `Discrete(4)`: a suit: 0 spades, 1 diamonds, 2 clubs, 3 hearts; ignored while watching.
//!
//! # Observation space
//! `Tuple(Discrete(2), Discrete(4))`: 1 while watching and 0 while playing; the suit shown, 0 while playing.
//!
//! # Rewards
//! ±1/cards for each suit named while playing: a perfect episode gives 1.
//!
//! # Starting state
//! A shuffled deck, one card shown.
//!
//! # Episode end
//! Terminated when all cards were named.
//!
//! # Arguments
//! `AutoencodeEasy-v0` has one deck, `AutoencodeMedium-v0` two, `AutoencodeHard-v0` three.
//!
//! # Version history
//! v0: as in POPGym.
//!
//! # Source
//! Morad et al. (2023), "POPGym: Benchmarking Partially Observable Reinforcement Learning"; POPGym
//! `popgym/envs/autoencode.py`.
//!
//! # Deviations
//! None known. Agreement with recorded trajectories of POPGym was not tested.

use serde::{Deserialize, Serialize};

use super::cards::{Cards, LETTERS, SUITS};
use crate::{Action, Env, Pcg64, Space, Step};

/// The environment; see the [module's page](self).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Autoencode {
    cards: Cards,
    /// Cards named so far, while playing.
    named: usize,
    watching: bool,
}

impl Autoencode {
    /// With the given number of decks.
    pub(super) fn new(decks: usize) -> Self {
        Self { cards: Cards::new(decks), named: 0, watching: true }
    }
}

impl Env for Autoencode {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "constants")]
    fn observation_space(&self) -> Space {
        let parts = [2, SUITS].map(|n| Space::discrete(n).expect("not zero"));
        Space::tuple(parts).expect("two parts")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(SUITS).expect("four is not zero")
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.cards.shuffle(rng);
        (self.named, self.watching) = (0, true);
        obs.copy_from_slice(&[1.0, f32::from(self.cards.deal())]);
    }

    fn step(&mut self, action: Action<'_>, _rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        if self.watching {
            let suit = self.cards.deal();
            self.watching = self.cards.left() > 0;
            obs.copy_from_slice(&[f32::from(u8::from(self.watching)), f32::from(suit)]);
            return Step::running(0.0);
        }
        let scale = 1.0 / self.cards.len() as f64;
        let right = self.cards.dealt(self.named).is_some_and(|suit| usize::from(suit) == action.index());
        let reward = if right { scale } else { -scale };
        self.named += 1;
        obs.fill(0.0);
        if self.named == self.cards.len() { Step::terminated(reward) } else { Step::running(reward) }
    }

    fn render(&self) -> Option<crate::Frame> {
        let (shown, caption) =
            if self.watching { (self.cards.dealt(0), "watch") } else { (None, "name them in reverse") };
        Some(super::draw_suit(shown, caption))
    }

    fn render_text(&self) -> Option<String> {
        if !self.watching {
            return Some(format!("playing: {} of {} named", self.named, self.cards.len()));
        }
        let shown = self.cards.dealt(0).map_or('?', |suit| LETTERS[usize::from(suit)]);
        Some(format!("watching: {shown}, {} cards left", self.cards.left()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    #[test]
    fn naming_what_was_shown_in_reverse_earns_one() {
        let (mut env, mut rng, mut obs) = (Autoencode::new(1), Pcg64::seed_from(5), [0.0; 2]);
        env.reset(&mut rng, &mut obs);
        let (mut seen, mut total, mut steps) = (vec![obs[1] as u32], 0.0, 0);
        loop {
            let playing = seen.len() == 52 && obs[0] == 0.0;
            let action = if playing { seen[51 - (steps - 51)] } else { 0 };
            let step = env.step(Action::Discrete(&[action]), &mut rng, &mut obs);
            if seen.len() < 52 {
                seen.push(obs[1] as u32);
            }
            steps += 1;
            total += step.reward;
            if step.outcome == Outcome::Terminated {
                break;
            }
        }
        assert!((total - 1.0).abs() < 1e-12, "{total}");
        assert_eq!(steps, 103, "51 more cards to watch and 52 to name");
    }
}
