//! Blackjack: come closer to 21 than the dealer, without going over.
//!
//! # Description
//! The player is dealt two cards from an endless deck and asks for more until they stick or go over 21; the dealer, one of
//! whose cards is seen, then draws to 17. An ace counts 11 where that does not go over (it is *usable*), else 1.
//!
//! # Action space
//! `Discrete(2)`: 0 stick, 1 hit.
//!
//! # Observation space
//! `Tuple(Discrete(32), Discrete(11), Discrete(2))`: the player's sum, the dealer's card (1 is an ace), whether the player
//! has a usable ace.
//!
//! # Rewards
//! 1 for a win, 0 for a draw, −1 for a loss; 1.5 for a win with a natural (an ace and a ten) if `natural`.
//!
//! # Starting state
//! Two cards for the dealer, two for the player.
//!
//! # Episode end
//! Terminated when the player sticks or goes over 21. There is no time limit.
//!
//! # Arguments
//! | argument | default | meaning |
//! |---|---|---|
//! | `sab` | true | the rules of Sutton and Barto: a natural wins unless the dealer has one too |
//! | `natural` | false | pay 1.5 for a natural; without `sab` only, which would overrule it (Gymnasium says nothing of it) |
//!
//! # Version history
//! v1: as in Gymnasium.
//!
//! # Source
//! Sutton and Barto, "Reinforcement Learning: An Introduction", example 5.1; Gymnasium 1.3
//! `gymnasium/envs/toy_text/blackjack.py`, whose trajectories it repeats, the draws for its picture of the dealer's card
//! included.
//!
//! # Deviations
//! None.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use crate::simulator::{
    Actions, EcsEnv, EnvRng, IN_TABLES, Observations, Outcomes, Row, Scope, SimulatorBuilder,
};
use crate::{Canvas, EnvError, Frame, Pcg64, Space};

const TEN: u8 = 10;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Copy, Debug, Resource, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blackjack {
    /// The rules of Sutton and Barto.
    pub sab: bool,
    /// Pay 1.5 for a natural.
    pub natural: bool,
}

impl Blackjack {
    /// Refuses what would have no effect.
    pub(super) fn validated(self) -> Result<Self, EnvError> {
        if self.sab && self.natural {
            let expected = "false while sab is true, whose rules overrule it";
            return Err(EnvError::Setting { field: "natural", expected, found: "true".to_owned() });
        }
        Ok(self)
    }
}

impl Default for Blackjack {
    fn default() -> Self {
        Self { sab: true, natural: false }
    }
}

/// A hand, as far as the rules need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Hand {
    /// Sum with every ace as 1.
    sum: u8,
    cards: u8,
    ace: bool,
}

impl Hand {
    fn with(self, card: u8) -> Self {
        Self { sum: self.sum + card, cards: self.cards + 1, ace: self.ace | (card == 1) }
    }

    fn usable_ace(self) -> bool {
        self.ace & (self.sum <= 11)
    }

    /// The sum with a usable ace as 11.
    fn value(self) -> u8 {
        self.sum + TEN * u8::from(self.usable_ace())
    }

    /// The value, zero over 21.
    fn score(self) -> u8 {
        if self.value() > 21 { 0 } else { self.value() }
    }

    fn is_natural(self) -> bool {
        self.cards == 2 && self.ace && self.sum == 11
    }
}

/// Both hands and the dealer's card that is seen.
#[derive(Component, Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Cards {
    player: Hand,
    dealer: Hand,
    shown: u8,
    /// The suit of the shown card, for the picture.
    suit: u8,
}

impl Cards {
    fn observation(self) -> [f32; 3] {
        [f32::from(self.player.value()), f32::from(self.shown), f32::from(u8::from(self.player.usable_ace()))]
    }
}

/// A card: 1 to 10, pictures count 10.
#[inline]
fn draw_card(rng: &mut Pcg64) -> u8 {
    (rng.integers(0, 13) as u8 + 1).min(TEN)
}

fn draw_hand(rng: &mut Pcg64) -> (Hand, u8) {
    let (first, second) = (draw_card(rng), draw_card(rng));
    (Hand::default().with(first).with(second), first)
}

impl EcsEnv for Blackjack {
    #[expect(clippy::expect_used, reason = "constants")]
    fn observation_space(&self) -> Space {
        let parts = [32, 11, 2].map(|n| Space::discrete(n).expect("not zero"));
        Space::tuple(parts).expect("three parts")
    }

    #[expect(clippy::expect_used, reason = "a constant")]
    fn action_space(&self) -> Space {
        Space::discrete(2).expect("two is not zero")
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        simulator
            .constant(*self)
            .arena_component(Cards::default())
            .outcome(play)
            .observe(observe)
            .reset(deal)
            .draw(|world, arena| Some(draw(*world.get::<Cards>(arena)?)))
            .write(|world, arena| Some(write(*world.get::<Cards>(arena)?)));
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn play(
    rules: Res<Blackjack>,
    actions: Res<Actions>,
    mut outcomes: ResMut<Outcomes>,
    mut arenas: Query<(&Row, &mut Cards, &mut EnvRng)>,
) {
    let outcomes = &mut *outcomes;
    for (rows, mut cards, mut rngs) in arenas.contiguous_iter_mut().expect(IN_TABLES) {
        let range = rows[0].index()..rows[0].index() + rows.len();
        let columns = cards.bypass_change_detection().iter_mut().zip(rngs.bypass_change_detection());
        let outs = outcomes.rewards[range.clone()].iter_mut().zip(&mut outcomes.terminated[range.clone()]);
        for (((cards, rng), (reward, terminated)), &action) in
            columns.zip(outs).zip(&actions.indices()[range])
        {
            if action == 1 {
                // A held arena's hand may be over already: it never draws past what a byte holds.
                cards.player = if cards.player.sum > 21 {
                    cards.player
                } else {
                    cards.player.with(draw_card(&mut rng.0))
                };
                let bust = cards.player.sum > 21;
                (*reward, *terminated) = (-f64::from(u8::from(bust)), bust);
            } else {
                while cards.dealer.value() < 17 {
                    cards.dealer = cards.dealer.with(draw_card(&mut rng.0));
                }
                (*reward, *terminated) = (rules.pay(*cards), true);
            }
        }
    }
}

impl Blackjack {
    /// The reward of sticking.
    fn pay(self, cards: Cards) -> f64 {
        let (player, dealer) = (cards.player.score(), cards.dealer.score());
        let reward = f64::from(u8::from(player > dealer)) - f64::from(u8::from(player < dealer));
        if self.sab && cards.player.is_natural() && !cards.dealer.is_natural() {
            1.0
        } else if !self.sab && self.natural && cards.player.is_natural() && reward == 1.0 {
            1.5
        } else {
            reward
        }
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn observe(scope: Res<Scope>, mut observations: ResMut<Observations>, arenas: Query<(&Row, &Cards)>) {
    let (out, _) = observations.rows_mut::<f32>().as_chunks_mut::<3>();
    for (rows, cards) in arenas.contiguous_iter().expect(IN_TABLES) {
        let first = rows[0].index();
        if scope.is_all() {
            for (out, cards) in out[first..].iter_mut().zip(cards) {
                *out = cards.observation();
            }
        } else {
            for env in scope.iter() {
                out[env] = cards[env - first].observation();
            }
        }
    }
}

#[expect(clippy::expect_used, reason = "these components are never sparse")]
fn deal(scope: Res<Scope>, mut arenas: Query<(&Row, &mut Cards, &mut EnvRng)>) {
    for (rows, mut cards, mut rngs) in arenas.contiguous_iter_mut().expect(IN_TABLES) {
        let first = rows[0].index();
        let (cards, rngs) = (cards.bypass_change_detection(), rngs.bypass_change_detection());
        for env in scope.iter() {
            let rng = &mut rngs[env - first].0;
            let (dealer, shown) = draw_hand(rng);
            let (player, _) = draw_hand(rng);
            let suit = rng.integers(0, 4) as u8;
            if shown == TEN {
                // The reference draws which picture to show.
                rng.integers(0, 3);
            }
            cards[env - first] = Cards { player, dealer, shown, suit };
        }
    }
}

fn draw(cards: Cards) -> Frame {
    let mut canvas = Canvas::new(600, 500, [7, 99, 36]);
    let white = [255, 255, 255];
    let name = |card: u8| if card == 1 { "A".to_owned() } else { card.to_string() };
    canvas.text(25.0, 20.0, &format!("Dealer: {}", name(cards.shown)), 30.0, white);
    canvas.rect(200.0, 70.0, 95.0, 140.0, [250, 250, 245]);
    let red = cards.suit == 1 || cards.suit == 2;
    let ink = if red { [200, 30, 40] } else { [20, 20, 20] };
    canvas.text_centered((247.0, 140.0), &name(cards.shown), 60.0, ink);
    canvas.text(
        208.0,
        75.0,
        ["\u{2663}", "\u{2666}", "\u{2665}", "\u{2660}"][usize::from(cards.suit) % 4],
        26.0,
        ink,
    );
    canvas.rect(315.0, 70.0, 95.0, 140.0, [150, 40, 50]);
    canvas.rect_outline(323.0, 78.0, 79.0, 124.0, 3.0, [230, 200, 150]);
    canvas.text(25.0, 250.0, "Player", 30.0, white);
    canvas.text_centered((300.0, 350.0), &cards.player.value().to_string(), 110.0, white);
    if cards.player.usable_ace() {
        canvas.text_centered((300.0, 450.0), "usable ace", 30.0, white);
    }
    canvas.into_frame()
}

fn write(cards: Cards) -> String {
    let ace = if cards.player.usable_ace() { " with a usable ace" } else { "" };
    format!("dealer shows {}\nplayer has {}{ace}", cards.shown, cards.player.value())
}
