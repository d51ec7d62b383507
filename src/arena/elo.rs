//! Ratings of players from the results of their games.
//!
//! ```text
//! E(score of a against b) = 1 / (1 + 10^((R_b − R_a) / 400))
//! ```
//!
//! The ratings are those under which the results were most probable, a draw being half a win and half a loss (Bradley and
//! Terry 1952; Elo 1978). Who has won or lost all games has no finite rating: each pair that has met counts as if it had
//! drawn one game more. Intervals are bootstrapped over games.

use agon_envs::Pcg64;

use crate::stats::quantile;

/// Rounds of Zermelo's iteration at most.
const MOST_ROUNDS: usize = 10_000;
/// Resamples of an interval.
const RESAMPLES: usize = 1_000;

/// The games of two players: points of the first in each, 1, 0.5 or 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairing {
    /// The numbers of both players.
    pub players: [usize; 2],
    /// What each game brought the first of them.
    pub points: Vec<f64>,
}

/// A rating and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Rating {
    /// The most probable one.
    pub elo: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Ratings of `count` players, whose mean is zero. Players of whom no game is known have the rating zero.
pub fn ratings(count: usize, pairings: &[Pairing], seed: u64) -> Vec<Rating> {
    let all = fit(count, pairings);
    let mut rng = Pcg64::seed_from(seed);
    let mut resampled: Vec<Vec<f64>> = vec![Vec::with_capacity(RESAMPLES); count];
    for _ in 0..RESAMPLES {
        let drawn: Vec<Pairing> = pairings
            .iter()
            .map(|pairing| {
                let games = pairing.points.len() as u64;
                let draw = |_| pairing.points[rng.bounded(games - 1) as usize];
                let points = if games == 0 { Vec::new() } else { (0..games).map(draw).collect() };
                Pairing { players: pairing.players, points }
            })
            .collect();
        for (player, elo) in resampled.iter_mut().zip(fit(count, &drawn)) {
            player.push(elo);
        }
    }
    let interval = |(elo, mut drawn): (f64, Vec<f64>)| {
        drawn.sort_by(f64::total_cmp);
        Rating { elo, low: quantile(&drawn, 0.025), high: quantile(&drawn, 0.975) }
    };
    all.into_iter().zip(resampled).map(interval).collect()
}

/// The most probable ratings, by Zermelo's iteration on strengths.
fn fit(count: usize, pairings: &[Pairing]) -> Vec<f64> {
    // Points of each against each, and games; one game is added that is drawn.
    let mut points = vec![0.0; count];
    let mut games = vec![vec![0.0; count]; count];
    for Pairing { players: [a, b], points: results } in pairings.iter().filter(|p| !p.points.is_empty()) {
        let own: f64 = results.iter().sum::<f64>() + 0.5;
        let all = results.len() as f64 + 1.0;
        points[*a] += own;
        points[*b] += all - own;
        games[*a][*b] += all;
        games[*b][*a] += all;
    }
    let mut strengths = vec![1.0_f64; count];
    for _ in 0..MOST_ROUNDS {
        let before = strengths.clone();
        for player in 0..count {
            let sum: f64 = (0..count)
                .filter(|&other| games[player][other] > 0.0)
                .map(|other| games[player][other] / (strengths[player] + strengths[other]))
                .sum();
            if sum > 0.0 {
                strengths[player] = points[player] / sum;
            }
        }
        let moved = strengths.iter().zip(&before).map(|(now, before)| (now / before).ln().abs());
        if moved.fold(0.0, f64::max) < 1e-9 {
            break;
        }
    }
    let elo: Vec<f64> = strengths.iter().map(|strength| 400.0 * strength.log10()).collect();
    let mean = elo.iter().sum::<f64>() / count as f64;
    elo.into_iter().map(|elo| elo - mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairing(players: [usize; 2], wins: usize, draws: usize, losses: usize) -> Pairing {
        let points = [(1.0, wins), (0.5, draws), (0.0, losses)];
        let points = points.into_iter().flat_map(|(points, count)| std::iter::repeat_n(points, count));
        Pairing { players, points: points.collect() }
    }

    #[test]
    fn three_wins_of_four_are_191_points() {
        let ratings = ratings(2, &[pairing([0, 1], 7500, 0, 2500)], 0);
        let difference = ratings[0].elo - ratings[1].elo;
        // 400 log10(3).
        assert!((difference - 190.85).abs() < 0.1, "{difference}");
        assert!(ratings[0].low < ratings[0].elo && ratings[0].elo < ratings[0].high);
        assert!(ratings[0].high - ratings[0].low < 15.0);
    }

    #[test]
    fn draws_are_half_wins_and_differences_add_up() {
        let games = [pairing([0, 1], 0, 1000, 0), pairing([1, 2], 640, 0, 360)];
        let ratings = ratings(3, &games, 0);
        assert!((ratings[0].elo - ratings[1].elo).abs() < 1e-6);
        // 400 log10(640 / 360), a drawn game added.
        assert!((ratings[1].elo - ratings[2].elo - 99.8).abs() < 0.3, "{ratings:?}");
        assert!(ratings.iter().map(|rating| rating.elo).sum::<f64>().abs() < 1e-6);
    }

    #[test]
    fn who_wins_every_game_has_a_finite_rating() {
        let ratings = ratings(2, &[pairing([0, 1], 10, 0, 0)], 0);
        let difference = ratings[0].elo - ratings[1].elo;
        // 10.5 of 11 points.
        assert!((difference - 400.0 * 21.0_f64.log10()).abs() < 1e-6, "{difference}");
        let one = super::ratings(1, &[], 0);
        assert_eq!(one[0], Rating { elo: 0.0, low: 0.0, high: 0.0 });
    }
}
