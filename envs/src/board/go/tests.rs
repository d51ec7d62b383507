use super::super::game::tests::{moves, perft};
use super::*;
use crate::board::{BoardGame, square_symmetries};
use crate::registry::NoArguments;
use crate::{EnvSpec, MakeOptions, Pcg64, Registry, check_env};

/// Longer than any game of the tests.
const LONG: u32 = 10_000;

fn go(size: usize, komi: f64) -> Go {
    Go::new(size, komi, LONG).unwrap()
}

/// Makes moves by name, none of which ends the game.
fn make(rules: &Go, position: &mut GoPosition, names: &str) {
    for name in names.split_whitespace() {
        let action = rules.action_of(name).unwrap();
        assert!(moves(rules, position).contains(&action), "{name} is not legal");
        assert_eq!(rules.play(position, action), None, "{name}");
    }
}

fn after(rules: &Go, names: &str) -> GoPosition {
    let mut position = rules.start();
    make(rules, &mut position, names);
    position
}

fn is_legal(rules: &Go, position: &GoPosition, name: &str) -> bool {
    moves(rules, position).contains(&rules.action_of(name).unwrap())
}

/// A position without a past from its rows, the first side to move.
fn board(rows: &[&str]) -> GoPosition {
    let mut stones = Stones::default();
    for (row, letters) in rows.iter().enumerate() {
        for (column, letter) in letters.chars().enumerate() {
            if let Some(side) = "XO".find(letter) {
                stones.held[side] |= 1 << (row * STRIDE + column);
            }
        }
    }
    let hash =
        [0, 1].map(|side| bits(stones.held[side]).fold(0, |hash, bit| hash ^ KEYS[side][bit as usize]));
    GoPosition { stones, hash: hash[0] ^ hash[1], ..GoPosition::default() }
}

/// The same rules in the plainest way: an array of points, and every earlier board in full.
#[derive(Clone)]
struct Plain {
    size: usize,
    komi: f64,
    max_moves: u32,
    points: Vec<Option<Side>>,
    earlier: Vec<Vec<Option<Side>>>,
    to_move: Side,
    passes: u32,
    moves: u32,
}

impl Plain {
    fn new(rules: &Go) -> Self {
        let Go { size, komi, max_moves, .. } = *rules;
        let points = vec![None; size * size];
        Self {
            size,
            komi,
            max_moves,
            earlier: vec![points.clone()],
            points,
            to_move: Side::First,
            passes: 0,
            moves: 0,
        }
    }

    fn neighbours(&self, point: usize) -> Vec<usize> {
        let (row, column) = (point / self.size, point % self.size);
        let mut neighbours = Vec::new();
        if row > 0 {
            neighbours.push(point - self.size);
        }
        if row + 1 < self.size {
            neighbours.push(point + self.size);
        }
        if column > 0 {
            neighbours.push(point - 1);
        }
        if column + 1 < self.size {
            neighbours.push(point + 1);
        }
        neighbours
    }

    /// The points joined to one by others that hold the same, and what else is next to them.
    fn region(&self, points: &[Option<Side>], from: usize) -> (Vec<usize>, Vec<Option<Side>>) {
        let (mut region, mut border, mut at) = (vec![from], Vec::new(), 0);
        while at < region.len() {
            for next in self.neighbours(region[at]) {
                if points[next] != points[from] {
                    border.push(points[next]);
                } else if !region.contains(&next) {
                    region.push(next);
                }
            }
            at += 1;
        }
        (region, border)
    }

    /// The board after a stone is placed, unless that is forbidden; whether it would be without superko.
    fn placed(&self, point: usize) -> (Option<Vec<Option<Side>>>, bool) {
        let mut points = self.points.clone();
        if points[point].is_some() {
            return (None, true);
        }
        points[point] = Some(self.to_move);
        for next in self.neighbours(point) {
            if points[next] == Some(self.to_move.other()) {
                let (group, border) = self.region(&points, next);
                if !border.contains(&None) {
                    group.into_iter().for_each(|stone| points[stone] = None);
                }
            }
        }
        if !self.region(&points, point).1.contains(&None) {
            return (None, true);
        }
        let repeats = self.earlier.contains(&points);
        ((!repeats).then_some(points), false)
    }

    /// The legal actions, and how many superko alone forbids.
    fn legal(&self) -> (Vec<usize>, usize) {
        let placed: Vec<_> = (0..self.points.len()).map(|point| self.placed(point)).collect();
        let superko = placed.iter().filter(|(points, otherwise)| points.is_none() && !otherwise).count();
        let legal = (0..placed.len()).filter(|&point| placed[point].0.is_some());
        (legal.chain([self.points.len()]).collect(), superko)
    }

    /// Makes a legal move; whether the game is over.
    fn play(&mut self, action: usize) -> bool {
        self.moves += 1;
        if action == self.points.len() {
            self.passes += 1;
        } else {
            self.passes = 0;
            self.points = self.placed(action).0.unwrap();
            self.earlier.push(self.points.clone());
        }
        self.to_move = self.to_move.other();
        self.passes == 2 || self.moves == self.max_moves
    }

    fn score(&self) -> f64 {
        let mut score = -self.komi;
        for point in 0..self.points.len() {
            let owner = self.points[point].or_else(|| {
                let (_, border) = self.region(&self.points, point);
                let first = border.first().copied().flatten();
                first.filter(|_| border.iter().all(|&other| other == first))
            });
            score += owner.map_or(0.0, |side| if side == Side::First { 1.0 } else { -1.0 });
        }
        score
    }

    fn perft(&self, depth: u32) -> u64 {
        let (legal, _) = self.legal();
        if depth == 1 {
            return legal.len() as u64;
        }
        let after = |action| {
            let mut next = self.clone();
            if next.play(action) { 0 } else { next.perft(depth - 1) }
        };
        legal.into_iter().map(after).sum()
    }
}

/// Boards on which every group has a liberty.
fn legal_boards(size: usize) -> u64 {
    let rules = go(size, 0.5);
    let points: Vec<u128> = (0..size * size).map(|action| 1 << rules.bit(action)).collect();
    fn count(rules: &Go, points: &[u128], held: [u128; 2]) -> u64 {
        let Some((point, rest)) = points.split_first() else {
            let empty = rules.points & !(held[0] | held[1]);
            return u64::from(held.iter().all(|&stones| alive(stones, empty) == stones));
        };
        let [first, second] = held;
        let boards = [held, [first | point, second], [first, second | point]];
        boards.into_iter().map(|held| count(rules, rest, held)).sum()
    }
    count(&rules, &points, [0; 2])
}

#[test]
fn the_numbers_of_legal_boards_are_the_known_ones() {
    assert_eq!([2, 3].map(legal_boards), [57, 12_675]);
}

#[test]
#[ignore = "slow: 43 million boards"]
fn the_number_of_legal_boards_of_sixteen_points_is_the_known_one() {
    assert_eq!(legal_boards(4), 24_318_165);
}

#[test]
fn move_counts_from_an_empty_board_are_those_of_the_formula() {
    for size in [3, 5, 9] {
        let (rules, points) = (go(size, 7.5), (size * size) as u64);
        let start = rules.start();
        assert_eq!(perft(&rules, &start, 1), points + 1);
        // After a pass there is again every point and a pass; after a stone, one point less.
        assert_eq!(perft(&rules, &start, 2), points * points + points + 1);
    }
}

#[test]
fn move_counts_are_those_of_the_plain_rules() {
    for (size, depth) in [(2, 9), (3, 5), (4, 4)] {
        let rules = go(size, 7.5);
        for depth in 1..=depth {
            let counts = [perft(&rules, &rules.start(), depth), Plain::new(&rules).perft(depth)];
            assert_eq!(counts[0], counts[1], "size {size}, depth {depth}");
        }
    }
}

#[test]
fn random_games_go_as_by_the_plain_rules() {
    let mut rng = Pcg64::seed_from(19);
    let mut repeats = [0; LARGEST + 1];
    for (size, games, max_moves) in [(2, 300, 60), (3, 300, 150), (4, 100, 200), (5, 60, 200), (9, 10, 500)] {
        for game in 0..games {
            let rules = Go::new(size, [0.5, 7.0][game % 2], max_moves).unwrap();
            let (mut position, mut plain) = (rules.start(), Plain::new(&rules));
            loop {
                let (legal, superko) = plain.legal();
                assert_eq!(moves(&rules, &position), legal, "size {size}, game {game}\n{position:?}");
                assert_eq!(rules.score(&position), plain.score(), "size {size}, game {game}\n{position:?}");
                repeats[size] += superko;
                // Passes are rare, so that games are long and full of captures.
                let points = (legal.len() - 1) as i64;
                let action = if points == 0 || rng.integers(0, 50) == 0 {
                    rules.pass()
                } else {
                    legal[rng.integers(0, points) as usize]
                };
                let mover = position.stones.to_move;
                let verdict = rules.play(&mut position, action);
                assert_eq!(verdict.is_some(), plain.play(action));
                for (point, &held) in plain.points.iter().enumerate() {
                    assert_eq!(rules.piece(&position, point / size, point % size), held);
                }
                if let Some(verdict) = verdict {
                    let for_mover = if mover == Side::First { plain.score() } else { -plain.score() };
                    let expected = match for_mover {
                        score if score > 0.0 => Verdict::Win,
                        score if score < 0.0 => Verdict::Loss,
                        _ => Verdict::Draw,
                    };
                    assert_eq!(verdict, expected);
                    break;
                }
            }
        }
    }
    assert!([2, 3, 4, 5, 9].iter().all(|&size| repeats[size] > 10), "moves against superko: {repeats:?}");
}

#[test]
fn a_stone_is_taken_when_its_last_liberty_is() {
    let rules = go(5, 0.5);
    let position = after(&rules, "B3 C3 C4 pass D3 pass C2");
    assert_eq!(rules.piece(&position, 2, 2), None);
    assert_eq!(position.stones.held[1], 0);
}

#[test]
fn a_ko_may_not_be_retaken_before_another_move_is_made() {
    let rules = go(5, 0.5);
    //   A B C D E
    // 5 . X O . .
    // 4 X O . O .   black takes at C4
    // 3 . X O . .
    let mut position = after(&rules, "B5 C5 A4 D4 B3 C3 E1 B4 C4");
    assert_eq!(rules.piece(&position, 1, 1), None);
    assert!(!is_legal(&rules, &position, "B4"));
    // A pass is answered by a move that makes the board another one.
    let mut passed = position.clone();
    make(&rules, &mut passed, "pass E2");
    assert!(is_legal(&rules, &passed, "B4"));
    make(&rules, &mut position, "A1 A2 B4");
    assert_eq!(rules.piece(&position, 1, 2), None);
    assert!(!is_legal(&rules, &position, "C4"), "now black has to wait");
}

#[test]
fn a_board_may_not_come_back_even_with_the_other_side_to_move() {
    let rules = go(5, 0.5);
    //   A B C D E
    // 5 . O . O .   white sends two stones, black takes them at C5,
    // 4 X X O . .   and white would take one back at B5
    let mut position = after(&rules, "A4 B5 B4 D5 A1 C4 pass");
    let before = position.stones.held;
    make(&rules, &mut position, "A5 C5");
    assert_eq!([position.stones.holder(0), position.stones.holder(1)], [None, None], "two are taken");
    assert!(!is_legal(&rules, &position, "B5"));
    // After another exchange the board would be a new one.
    make(&rules, &mut position, "E1 E3 B5");
    assert_ne!(position.stones.held, before);
    assert_eq!(rules.piece(&position, 0, 2), None);
}

#[test]
fn suicide_is_forbidden_to_one_stone_and_to_many() {
    let rules = go(5, 0.5);
    //   A B C D E
    // 5 . O . . .
    // 4 O . . . .
    assert!(!is_legal(&rules, &after(&rules, "E1 B5 E2 A4"), "A5"), "a single stone");
    // A second black stone in the corner would leave both without a liberty.
    let mut position = board(&["X.O..", "OO...", ".....", ".....", "....."]);
    assert!(!is_legal(&rules, &position, "B5"), "two stones");
    // White takes the black stone there.
    position.stones.to_move = Side::Second;
    assert!(is_legal(&rules, &position, "B5"));
}

#[test]
fn a_stone_without_liberties_that_takes_others_is_legal() {
    let rules = go(5, 0.5);
    let mut position = board(&[".OX..", "OX...", "X....", ".....", "....."]);
    assert!(is_legal(&rules, &position, "A5"));
    make(&rules, &mut position, "A5");
    assert_eq!(rules.text(&position)[..2], ["X.X..", ".X..."]);
}

#[test]
fn a_snapback_takes_more_than_was_given() {
    let rules = go(5, 0.5);
    //   A B C D E
    // 5 . . O X .   black gives a stone at B5; white takes it at A5,
    // 4 O O O X .   which leaves its group one liberty, B5
    // 3 X X X . .
    let mut position = board(&["..OX.", "OOOX.", "XXX..", ".....", "....."]);
    make(&rules, &mut position, "B5");
    assert_eq!(rules.text(&position)[0], ".XOX.");
    make(&rules, &mut position, "A5");
    assert_eq!(rules.text(&position)[..2], ["O.OX.", "OOOX."]);
    make(&rules, &mut position, "B5");
    assert_eq!(rules.text(&position)[..3], [".X.X.", "...X.", "XXX.."]);
}

#[test]
fn a_final_board_is_scored_by_area() {
    let rules = go(5, 0.5);
    // 10 points to the left of black's wall and the wall; 5 points to the right of white's and the wall.
    assert_eq!(rules.score(&board(&["..XO."; 5])), 15.0 - 10.0 - 0.5);
    // A dead stone stands as long as nobody takes it: white's point is nobody's.
    let rows = ["..XO.", "..XO.", ".OXO.", "..XO.", "..XO."];
    assert_eq!(rules.score(&board(&rows)), 5.0 - 11.0 - 0.5);
    assert_eq!(rules.score(&rules.start()), -0.5);
    assert_eq!(rules.score(&board(&[".....", "..X..", ".....", ".....", "....."])), 24.5);
}

#[test]
fn points_that_both_sides_reach_are_nobodys() {
    let rules = go(5, 0.0);
    assert_eq!(rules.score(&board(&[".X.O."; 5])), 0.0);
    // A seki: who fills one of the two points between the groups is taken at the other one.
    let mut position = board(&["XXXOO", "XX.OO", "XXXOO", "XX.OO", "XXXOO"]);
    assert_eq!(rules.score(&position), 13.0 - 10.0);
    make(&rules, &mut position, "C4 C2");
    assert_eq!(position.stones.held[0], 0);
}

#[test]
fn two_passes_in_a_row_end_the_game() {
    for (komi, verdict) in [(0.5, Verdict::Win), (0.0, Verdict::Draw), (-3.0, Verdict::Loss)] {
        let rules = go(5, komi);
        let mut position = after(&rules, "pass");
        assert_eq!(rules.play(&mut position, rules.pass()), Some(verdict), "of White, with {komi}");
    }
    let rules = go(5, 0.5);
    let mut position = after(&rules, "pass C3 pass D3 E5 pass");
    assert_eq!(rules.play(&mut position, rules.pass()), Some(Verdict::Loss));
}

#[test]
fn a_game_ends_after_its_last_move() {
    let rules = Go::new(5, 0.5, 3).unwrap();
    let mut position = after(&rules, "C3 pass");
    assert_eq!(rules.play(&mut position, 0), Some(Verdict::Win));
    assert_eq!([2, 9].map(|size| Go::new(size, 7.5, 0).unwrap().max_moves), [12, 243]);
}

#[test]
fn a_margin_pays_for_points_and_both_sides_alike() {
    // Black has the whole board, less the komi, and passes last; a stone each, white's the last of two moves.
    for (names, last, own) in [("C3 pass", "pass", 24.5 / 25.0), ("C3", "D3", -0.5 / 25.0)] {
        let rules = Go::new(5, 0.5, if last == "pass" { LONG } else { 2 }).unwrap();
        let mut position = after(&rules, names);
        let mover = if position.stones.to_move == Side::First { 1.0 } else { -1.0 };
        let verdict = rules.play(&mut position, rules.action_of(last).unwrap()).unwrap();
        let for_mover = if verdict == Verdict::Win { 1.0 } else { -1.0 };
        assert_eq!(rules.reward(&position, verdict), for_mover);
        let rules = rules.with_margin(0.25).unwrap();
        let expected = 0.75 * for_mover + 0.25 * mover * own;
        assert!((rules.reward(&position, verdict) - expected).abs() < 1e-12, "{names}");
    }
    // A komi beyond the board counts no more than the board.
    let rules = Go::new(5, 1000.0, 2).unwrap().with_margin(0.25).unwrap();
    let mut position = after(&rules, "C3");
    assert_eq!(rules.play(&mut position, 0), Some(Verdict::Win));
    assert_eq!(rules.reward(&position, Verdict::Win), 1.0);
}

#[test]
fn planes_of_its_own_tell_the_colour_and_a_pass() {
    let rules = go(5, 0.5);
    let planes = |position: &GoPosition, side| [0, 1].map(|plane| rules.is_set(position, plane, side));
    for (names, pass) in [("", false), ("C3", false), ("C3 pass", true), ("C3 pass D3", false)] {
        let position = after(&rules, names);
        assert_eq!(planes(&position, Side::First), [true, pass], "{names}");
        assert_eq!(planes(&position, Side::Second), [false, pass], "{names}");
    }
}

#[test]
fn points_are_named_as_go_players_do() {
    let rules = go(9, 7.5);
    assert_eq!([0, 8, 72, 80, 81].map(|action| rules.notation(action)), ["A9", "J9", "A1", "J1", "pass"]);
    for action in 0..rules.actions() {
        assert_eq!(rules.action_of(&rules.notation(action)), Some(action));
        assert_eq!(rules.action_of(&rules.notation(action).to_lowercase()), Some(action));
    }
    for name in ["I5", "K1", "A0", "A10", "A", "", "A01", "resign"] {
        assert_eq!(rules.action_of(name), None, "{name}");
    }
}

#[test]
fn a_turned_game_goes_as_the_game_turned() {
    let rules = go(5, 0.5);
    let mut rng = Pcg64::seed_from(4);
    for permutation in square_symmetries(5, 1) {
        let (mut position, mut turned) = (rules.start(), rules.start());
        for _ in 0..150 {
            let legal = moves(&rules, &position);
            let mut images: Vec<usize> = legal.iter().map(|&action| permutation[action]).collect();
            images.sort_unstable();
            assert_eq!(images, moves(&rules, &turned));
            assert_eq!(rules.score(&position), rules.score(&turned));
            let action = legal[rng.integers(0, legal.len() as i64) as usize];
            let verdict = rules.play(&mut position, action);
            assert_eq!(verdict, rules.play(&mut turned, permutation[action]));
            if verdict.is_some() {
                break;
            }
        }
    }
}

#[test]
fn pictures_show_stones_of_both_sides() {
    let rules = go(5, 0.5);
    let frames = ["", "C3", "C3 D3"].map(|names| rules.draw(&after(&rules, names)));
    assert!(frames[0] != frames[1] && frames[1] != frames[2]);
}

#[test]
fn games_against_a_random_player_and_against_oneself_keep_the_contract() {
    let random = check_env(&Registry::builtin().get("Go-v0").unwrap()).unwrap();
    assert!(random.episodes > 20 && random.seeds_differ && random.snapshots, "{random:?}");
    let own =
        EnvSpec::ecs("A-v0", |_: NoArguments| Ok(BoardGame::new(Go::new(3, 0.5, 0)?, Opponent::SelfPlay)));
    let own = check_env(&own).unwrap();
    assert!(own.episodes > 50 && own.snapshots, "{own:?}");
}

#[test]
fn arguments_that_are_unknown_or_out_of_range_are_refused() {
    let refusal = |name: &str, value: toml::Value| {
        let mut options = MakeOptions::default();
        options.args.insert(name.into(), value);
        Registry::builtin().make("Go-v0", &options).unwrap_err().to_string()
    };
    assert!(refusal("size", 1.into()).contains("size must be 2 to 9, got 1"));
    assert!(refusal("size", 10.into()).contains("size must be 2 to 9, got 10"));
    assert!(refusal("komi", f64::NAN.into()).contains("komi must be finite, got NaN"));
    assert!(refusal("margin", 1.0.into()).contains("margin must be 0 to below 1, got 1"));
    assert!(refusal("margin", f64::NAN.into()).contains("margin"));
    assert!(refusal("max_moves", (-1).into()).contains("max_moves"));
    assert!(refusal("opponent", "perfect".into()).contains("perfect"));
    assert!(refusal("swap", true.into()).contains("swap"));
}
