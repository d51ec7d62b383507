//! Small figures of single games, read off their observations.

use super::*;

const NOOP: usize = 0;
const LEFT: usize = 1;
const UP: usize = 2;
const RIGHT: usize = 3;
const FIRE: usize = 5;

fn is_set<const C: usize>(image: &Image<C>, x: usize, y: usize, channel: usize) -> bool {
    image[y * SIDE + x][channel] != 0
}

/// Plays actions in turn until the game ends; gives the steps of rewards and of the end.
fn play<G: Game<C>, const C: usize>(seed: u32, actions: &[usize]) -> (Vec<usize>, usize) {
    let mut played = Played::<G, C>::new(seed, 0.0);
    let mut rewarded = Vec::new();
    for step in 1.. {
        let outcome = played.act(actions[(step - 1) % actions.len()]);
        rewarded.extend((0..outcome.reward).map(|_| step));
        if outcome.terminated {
            return (rewarded, step);
        }
    }
    unreachable!("every game ends")
}

/// Plays without acting and checks the places, `(step, x, y, channel)`, at which somebody appears.
fn appears<G: Game<C>, const C: usize>(seed: u32, expected: &[(usize, usize, usize, usize)]) {
    let mut played = Played::<G, C>::new(seed, 0.1);
    let last = expected.iter().map(|place| place.0).max().unwrap();
    let mut before = played.image();
    for step in 1..=last {
        played.act(NOOP);
        let image = played.image();
        for &(_, x, y, channel) in expected.iter().filter(|place| place.0 == step) {
            assert!(is_set(&image, x, y, channel) && !is_set(&before, x, y, channel), "seed {seed}, {step}");
        }
        before = image;
    }
}

#[test]
fn breakout_starts_on_the_side_of_the_reference() {
    let starts = [0, 9, 0, 0, 0, 9, 0, 9, 9, 0, 9, 9, 9, 0, 9, 0];
    for (seed, x) in (0..).zip(starts) {
        assert!(is_set(&Played::<Breakout, 4>::new(seed, 0.1).image(), x, 3, 1), "seed {seed}");
    }
    assert_eq!(play::<Breakout, 4>(0, &[NOOP]), (vec![], 6));
    assert_eq!(play::<Breakout, 4>(1, &[NOOP]), (vec![11], 16));
}

#[test]
fn freeway_draws_the_speeds_of_the_reference() {
    let cases = [
        (0, [-5, 1, 4, -4, 4, 2, 4, 3], 0.07103605819788694),
        (1, [-4, -5, -1, 2, -4, 1, -1, 2], 0.027387593197926163),
        (42, [-4, -5, -3, 5, -5, 2, 3, -3], 0.9922115592912175),
    ];
    for (seed, velocities, next) in cases {
        let mut played = Played::<Freeway, 7>::new(seed, 0.1);
        let image = played.image();
        for (row, velocity) in (1..).zip(velocities) {
            let behind: usize = if velocity > 0 { 9 } else { 1 };
            assert!(is_set(&image, behind, row, 1 + i32::abs(velocity) as usize), "seed {seed}, row {row}");
        }
        assert_eq!(played.rng.random_sample(), next);
    }
}

#[test]
fn freeway_is_crossed_when_the_reference_is() {
    let cases = [
        (0, 39, [49, 100, 145, 229, 256]),
        (1, 37, [58, 187, 226, 409, 481]),
        (42, 5, [64, 190, 256, 448, 475]),
    ];
    for (seed, crossings, first) in cases {
        let (steps, end) = play::<Freeway, 7>(seed, &[UP]);
        assert_eq!((steps.len(), &steps[..5], end), (crossings, &first[..], 2501), "seed {seed}");
    }
}

#[test]
fn asterix_spawns_what_the_reference_does() {
    let (left, right, enemy, gold) = (8, 1, 1, 3);
    appears::<Asterix, 4>(
        0,
        &[(11, left, 6, enemy), (21, left, 2, enemy), (31, left, 7, enemy), (41, right, 8, enemy)],
    );
    appears::<Asterix, 4>(
        1,
        &[(11, left, 3, gold), (21, left, 2, enemy), (31, left, 8, enemy), (41, right, 4, enemy)],
    );
    appears::<Asterix, 4>(
        42,
        &[(11, left, 6, enemy), (21, right, 7, gold), (31, right, 4, gold), (41, left, 2, gold)],
    );
    for (seed, end) in [(0, 151), (1, 91), (42, 161)] {
        assert_eq!(play::<Asterix, 4>(seed, &[NOOP]).1, end);
    }
}

#[test]
fn seaquest_spawns_what_the_reference_does() {
    let (left, right, fish, sub, diver) = (9, 0, 5, 6, 9);
    appears::<Seaquest, 10>(
        0,
        &[
            (21, left, 4, fish),
            (31, right, 5, diver),
            (41, left, 4, sub),
            (61, left, 1, fish),
            (61, left, 3, diver),
            (81, left, 7, fish),
            (91, right, 4, diver),
        ],
    );
    appears::<Seaquest, 10>(
        1,
        &[
            (21, left, 7, sub),
            (31, right, 1, diver),
            // The submarine's first shot, a cell ahead of it.
            (31, 7, 7, 4),
            (41, right, 8, fish),
            (61, left, 4, sub),
            (61, left, 1, diver),
            (81, right, 2, fish),
            (91, left, 5, diver),
        ],
    );
    appears::<Seaquest, 10>(
        42,
        &[
            (21, right, 8, sub),
            (31, left, 6, diver),
            (41, left, 6, sub),
            (61, right, 1, sub),
            (61, left, 4, diver),
            (81, left, 7, fish),
            (91, left, 7, diver),
        ],
    );
}

#[test]
fn space_invaders_ends_when_the_reference_does() {
    for (action, end) in [(NOOP, 17), (LEFT, 37), (RIGHT, 96)] {
        assert_eq!(play::<SpaceInvaders, 6>(0, &[action]).1, end);
    }
    assert_eq!(play::<SpaceInvaders, 6>(0, &[FIRE]), (vec![6, 12, 16], 18));
    let total = |actions| {
        let (rewarded, end) = play::<SpaceInvaders, 6>(0, actions);
        (rewarded.len(), end)
    };
    assert_eq!((total(&[LEFT, FIRE]), total(&[RIGHT, FIRE])), ((5, 39), (4, 98)));
}
