use super::*;
use crate::registry::NoArguments;
use crate::{ActionBatch, MakeOptions, Pcg64, Simulator, StepBatch, check_env};

const IDS: [&str; 3] = ["TicTacToe-v0", "ConnectFour-v0", "Othello-v0"];

fn make(id: &str, opponent: &str, num_envs: usize) -> Result<Simulator, EnvError> {
    let mut options = MakeOptions { num_envs, ..Default::default() };
    options.args.insert("opponent".into(), opponent.into());
    Registry::builtin().make(id, &options)
}

#[test]
fn every_game_keeps_the_contract() {
    for id in IDS {
        let report = check_env(&Registry::builtin().get(id).unwrap()).unwrap();
        assert!(report.episodes > 50, "{id}: {report:?}");
    }
}

#[test]
fn games_against_oneself_keep_the_contract() {
    let (tic, four) = (EnvSpec::ecs("A-v0", own_tic_tac_toe), EnvSpec::ecs("A-v0", own_connect_four));
    let small =
        EnvSpec::ecs("A-v0", |_: NoArguments| Ok(BoardGame::new(Othello::new(6)?, Opponent::SelfPlay)));
    for spec in [tic, four, small] {
        let report = check_env(&spec).unwrap();
        assert!(report.episodes > 50 && report.snapshots, "{report:?}");
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what makes an environment may fail")]
fn own_tic_tac_toe(_: NoArguments) -> Result<BoardGame<TicTacToe>, EnvError> {
    Ok(BoardGame::new(TicTacToe, Opponent::SelfPlay))
}

#[expect(clippy::unnecessary_wraps, reason = "what makes an environment may fail")]
fn own_connect_four(_: NoArguments) -> Result<BoardGame<ConnectFour>, EnvError> {
    Ok(BoardGame::new(ConnectFour, Opponent::SelfPlay))
}

#[test]
fn unknown_arguments_are_refused() {
    for id in IDS {
        assert!(make(id, "perfect", 1).unwrap_err().to_string().contains("perfect"));
        let mut options = MakeOptions::default();
        options.args.insert("size".into(), 3.into());
        assert!(Registry::builtin().make(id, &options).unwrap_err().to_string().contains("size"));
    }
}

/// One move in the only arena of a game against oneself; who waits does nothing.
fn make_move(simulator: &mut Simulator, out: &mut StepBatch, action: u32) {
    let mut actions = vec![0; 2];
    actions[simulator.turn(0)] = action;
    simulator.step(&ActionBatch::Discrete(actions), out).unwrap();
}

/// The planes of a square, as each row sees them.
fn square(out: &StepBatch, index: usize, squares: usize) -> Vec<Vec<f32>> {
    let mut all = vec![0.0; out.observations.len()];
    out.observations.view(0, all.len()).write_f32(&mut all);
    all.chunks(squares * 3).map(|row| row[index * 3..(index + 1) * 3].to_vec()).collect()
}

#[test]
fn in_self_play_each_side_is_a_row_that_sees_its_own_pieces_and_whose_turn_it_is() {
    let mut simulator = make("ConnectFour-v0", "self", 1).unwrap();
    let mut out = simulator.new_batch();
    simulator.reset(0, &mut out).unwrap();
    assert!(simulator.info().turns);
    for (number, action) in [3, 2, 3, 2, 3, 2].into_iter().enumerate() {
        assert_eq!(simulator.turn(0), number % 2);
        make_move(&mut simulator, &mut out, action);
        assert_eq!((&out.rewards[..], &out.terminated[..]), (&[0.0; 2][..], &[false; 2][..]));
    }
    // The first side is to move: the disc at the bottom of column 3 is its own.
    assert_eq!(square(&out, 5 * 7 + 3, 42), [[255.0, 0.0, 255.0], [0.0, 255.0, 0.0]]);
    assert_eq!(square(&out, 5 * 7 + 2, 42), [[0.0, 255.0, 255.0], [255.0, 0.0, 0.0]]);
    // Who waits has one action, which does nothing.
    let waits = [true, false, false, false, false, false, false];
    assert_eq!((&out.action_masks[..7], &out.action_masks[7..]), (&[true; 7][..], &waits[..]));
    make_move(&mut simulator, &mut out, 3);
    assert_eq!((&out.rewards[..], &out.terminated[..]), (&[1.0, -1.0][..], &[true; 2][..]));
    assert_eq!(out.episodes.iter().map(|episode| episode.episode_length).collect::<Vec<_>>(), [7, 7]);
}

#[test]
fn forked_games_go_different_ways() {
    let mut simulator = make("TicTacToe-v0", "random", 1).unwrap();
    let mut out = simulator.new_batch();
    simulator.reset(0, &mut out).unwrap();
    let state = simulator.state_of(0).unwrap();
    let mut copies = simulator.copies(3).unwrap();
    let mut batch = copies.info().new_batch();
    copies.reset(&[0, 1, 2].map(crate::Seed::Integer), &mut batch).unwrap();
    copies.load_env(1, &state).unwrap();
    copies.fork(1, 0).unwrap();
    copies.fork(1, 2).unwrap();
    batch.copy_env_from(&out, 0, 0, simulator.info());
    batch.copy_env(0, 1, simulator.info());
    batch.copy_env(0, 2, simulator.info());
    // The same stream answers alike, another one need not.
    let answers = |copies: &mut Box<dyn crate::VectorEnv>, batch: &mut StepBatch| {
        let legal = batch.action_masks[..9].iter().position(|&legal| legal).unwrap() as u32;
        let actions = ActionBatch::Discrete(vec![legal; 3]);
        copies.step(&actions, &crate::RowSet::all(3), batch).unwrap();
        (0..3).map(|env| copies.render_text(env).unwrap()).collect::<Vec<_>>()
    };
    let mut differ = 0;
    for seed in 0..20 {
        copies.load_env(0, &state).unwrap();
        copies.fork(0, 1).unwrap();
        copies.fork(0, 2).unwrap();
        copies.reseed(2, &crate::Seed::Integer(seed)).unwrap();
        batch.copy_env_from(&out, 0, 0, simulator.info());
        let boards = answers(&mut copies, &mut batch);
        assert_eq!(boards[0], boards[1]);
        differ += usize::from(boards[0] != boards[2]);
    }
    assert!(differ > 10, "{differ}");
}

#[test]
fn an_occupied_square_is_refused() {
    let mut simulator = make("TicTacToe-v0", "self", 1).unwrap();
    let mut out = simulator.new_batch();
    simulator.reset(0, &mut out).unwrap();
    make_move(&mut simulator, &mut out, 4);
    assert_eq!(out.action_masks[9..], [true, true, true, true, false, true, true, true, true]);
    let refused = simulator.step(&ActionBatch::Discrete(vec![0, 4]), &mut out);
    assert!(matches!(refused, Err(EnvError::MaskedAction { row: 1, action: 4, .. })));
}

#[test]
fn a_random_agent_wins_as_often_as_it_loses_against_a_random_player() {
    let mut simulator = make("TicTacToe-v0", "random", 64).unwrap();
    let mut out = simulator.new_batch();
    simulator.reset(7, &mut out).unwrap();
    let mut rng = Pcg64::seed_from(1);
    let mut actions = ActionBatch::zeros(simulator.action_spec(), 64);
    let (mut games, mut wins, mut draws) = (0.0, 0.0, 0.0);
    for _ in 0..1000 {
        crate::check::random_actions(&simulator, &out, &mut rng, &mut actions).unwrap();
        simulator.step(&actions, &mut out).unwrap();
        for episode in &out.episodes {
            games += 1.0;
            wins += f64::from(u8::from(episode.episode_return == 1.0));
            draws += f64::from(u8::from(episode.episode_return == 0.0));
        }
    }
    // Half of the games begins either side: (0.585 + 0.288) / 2.
    assert!((wins / games - 0.4365_f64).abs() < 0.015, "{}", wins / games);
    assert!((draws / games - 0.127_f64).abs() < 0.015, "{}", draws / games);
}

#[test]
fn the_agents_side_is_drawn_and_its_own_pieces_are_in_plane_zero() {
    let mut simulator = make("ConnectFour-v0", "random", 200).unwrap();
    let mut out = simulator.new_batch();
    simulator.reset(3, &mut out).unwrap();
    let planes = |out: &StepBatch| {
        let mut all = vec![0.0; out.observations.len()];
        out.observations.view(0, all.len()).write_f32(&mut all);
        let count =
            |row: &[f32], plane: usize| row.iter().skip(plane).step_by(3).filter(|&&v| v > 0.0).count();
        all.chunks(126).map(|row| [0, 1, 2].map(|plane| count(row, plane))).collect::<Vec<_>>()
    };
    let first = planes(&out);
    assert!(first.iter().all(|&[own, _, turn]| own == 0 && turn == 42));
    let second = first.iter().filter(|&&[_, other, _]| other == 1).count();
    assert!((70..130).contains(&second), "{second}");
    simulator.step(&ActionBatch::Discrete(vec![0; 200]), &mut out).unwrap();
    assert!(planes(&out).iter().all(|&[own, ..]| own == 1));
}

#[test]
fn pictures_and_texts_show_the_board() {
    for id in IDS {
        let mut simulator = make(id, "self", 1).unwrap();
        let mut out = simulator.new_batch();
        simulator.reset(0, &mut out).unwrap();
        let before = simulator.render(0).unwrap();
        let first = out.action_masks.iter().position(|&allowed| allowed).unwrap();
        make_move(&mut simulator, &mut out, first as u32);
        assert_ne!(before, simulator.render(0).unwrap(), "{id}");
        assert!(simulator.render_text(0).unwrap().contains("to move"), "{id}");
    }
}
