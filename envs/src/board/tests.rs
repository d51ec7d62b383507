use super::*;
use crate::{ActionBatch, Env, MakeOptions, Pcg64, Simulator, StepBatch, check_env};

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
fn games_against_a_random_player_keep_the_contract() {
    for (id, spec) in [
        ("TicTacToe-v0", EnvSpec::single("A-v0", |_: BoardArguments| Ok(random::<TicTacToe>()))),
        ("ConnectFour-v0", EnvSpec::single("A-v0", |_: BoardArguments| Ok(random::<ConnectFour>()))),
        ("Othello-v0", EnvSpec::single("A-v0", |_: BoardArguments| Ok(random::<Othello>()))),
    ] {
        assert!(check_env(&spec).unwrap().seeds_differ, "{id}");
    }
}

fn random<R: Rules>() -> BoardGame<R> {
    BoardGame::new(BoardArguments { opponent: Opponent::Random })
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

fn step(simulator: &mut Simulator, out: &mut StepBatch, action: u32) {
    simulator.step(&ActionBatch::Discrete(vec![action]), out).unwrap();
}

#[test]
fn in_self_play_the_row_acts_for_both_sides_and_the_winning_move_is_rewarded() {
    let mut simulator = make("ConnectFour-v0", "self", 1).unwrap();
    let mut out = simulator.new_batch();
    simulator.reset(0, &mut out).unwrap();
    for action in [3, 2, 3, 2, 3, 2] {
        step(&mut simulator, &mut out, action);
        assert_eq!((out.rewards[0], out.terminated[0]), (0.0, false));
    }
    // The first side is to move: the disc at the bottom of column 3 is its own, that of column 2 is not.
    let bottom = |column: usize| {
        let mut row = [0.0; 84];
        out.observations.view(0, 84).write_f32(&mut row);
        [row[(5 * 7 + column) * 2], row[(5 * 7 + column) * 2 + 1]]
    };
    assert_eq!((bottom(3), bottom(2)), ([255.0, 0.0], [0.0, 255.0]));
    step(&mut simulator, &mut out, 3);
    assert_eq!((out.rewards[0], out.terminated[0], out.episodes[0].episode_length), (1.0, true, 7));
}

#[test]
fn an_occupied_square_is_refused() {
    let mut simulator = make("TicTacToe-v0", "self", 1).unwrap();
    let mut out = simulator.new_batch();
    simulator.reset(0, &mut out).unwrap();
    step(&mut simulator, &mut out, 4);
    assert_eq!(out.action_masks, [true, true, true, true, false, true, true, true, true]);
    let refused = simulator.step(&ActionBatch::Discrete(vec![4]), &mut out);
    assert!(matches!(refused, Err(EnvError::MaskedAction { action: 4, .. })));
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
    let mut env = random::<ConnectFour>();
    let mut rng = Pcg64::seed_from(3);
    let mut obs = [0_u8; 84];
    let mut second = 0;
    for _ in 0..200 {
        env.reset(&mut rng, &mut obs);
        assert!(obs.iter().step_by(2).all(|&value| value == 0));
        second += usize::from(obs.contains(&255));
        env.step(crate::Action::Discrete(&[0]), &mut rng, &mut obs);
        let own = obs.iter().step_by(2).filter(|&&value| value == 255).count();
        assert_eq!(own, 1);
    }
    assert!((70..130).contains(&second), "{second}");
}

#[test]
fn pictures_and_texts_show_the_board() {
    for id in IDS {
        let mut simulator = make(id, "self", 1).unwrap();
        let mut out = simulator.new_batch();
        simulator.reset(0, &mut out).unwrap();
        let before = simulator.render(0).unwrap();
        let first = out.action_masks.iter().position(|&allowed| allowed).unwrap();
        step(&mut simulator, &mut out, first as u32);
        assert_ne!(before, simulator.render(0).unwrap(), "{id}");
        assert!(simulator.render_text(0).unwrap().contains("to move"), "{id}");
    }
}
