use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use agon_envs::Pcg64;

use super::gtp::{Engine, ServerOptions, serve};
use super::matches::{MatchOptions, tournament};
use super::players::{Player, PlayerOptions, Reply, ensure_one_searches, player, random_move};
use super::solved::{SolvedOptions, judge, read};
use super::*;
use crate::config::{self, EnvConfig, RunConfig};
use crate::explain::SearchOptions;
use crate::explain::search::consider;
use crate::policy::Which;
use crate::run::RunDirectory;
use crate::runtime;
use crate::setup::Setup;

fn env(id: &str) -> EnvConfig {
    EnvConfig { id: id.to_owned(), ..EnvConfig::default() }
}

fn games(id: &str, count: usize) -> Games {
    Games::new(&Setup::default(), &env(id), count).unwrap()
}

/// Trains on tic-tac-toe for a few moments.
fn trained(directory: &Path) {
    trained_with(directory, &[]);
}

/// The same with other settings besides.
fn trained_with(directory: &Path, settings: &[&str]) {
    let setup = Setup::default();
    let mut table = toml::Table::new();
    let usual = [
        "algorithm=alphazero",
        "env.id=TicTacToe-v0",
        "env.args.opponent=self",
        "num_envs=32",
        "total_timesteps=12000",
        "agent.num_steps=8",
        "agent.learning_starts=500",
        "agent.batch_size=128",
        "agent.buffer_size=20000",
        "agent.search={simulations=12, outcomes=0, openings={moves=4, share=1.0}}",
        "agent.symmetries=[{kind='symmetry', group='square', actions='cells'}]",
        "network.encoder={kind='mlp', hidden=[64]}",
        "runtime.num_shards=2",
        "runtime.checkpoint_every=6000",
        "runtime.keep_models=true",
    ];
    for setting in usual.iter().chain(settings) {
        config::set(&mut table, setting).unwrap();
    }
    let config = RunConfig::from_table(&setup.algorithms, table).unwrap();
    runtime::train(&setup, config, directory, &mut |_| true).unwrap();
}

fn players(typed: &[&str], id: &str) -> Vec<Box<dyn Player>> {
    let options = PlayerOptions { thinking: Thinking::default(), timeout: Duration::from_secs(20), seed: 3 };
    typed.iter().map(|typed| player(&Setup::default(), typed, &env(id), &options).unwrap()).collect()
}

#[test]
fn a_way_to_search_is_refused_where_nobody_searches() {
    let both = players(&["random", "solver"], "TicTacToe-v0");
    ensure_one_searches(&both, &Thinking::default()).unwrap();
    ensure_one_searches(&both, &Thinking { simulations: Some(0), ..Thinking::default() }).unwrap();
    for thinking in [
        Thinking { simulations: Some(64), ..Thinking::default() },
        Thinking { changes: vec!["looks=8".to_owned()], ..Thinking::default() },
    ] {
        let error = ensure_one_searches(&both, &thinking).unwrap_err().to_string();
        assert!(error.contains("which is none of random, solver"), "{error}");
    }
}

#[test]
fn games_keep_what_is_over_and_go_nowhere_without_a_move() {
    let mut games = games("TicTacToe-v0", 3);
    for moves in [[0, 0, 4], [3, 3, 0], [1, 1, 8], [4, 4, 1]] {
        games.play(&moves.map(Some)).unwrap();
    }
    // The first game is won, the second waits.
    games.play(&[Some(2), None, Some(2)]).unwrap();
    assert_eq!(games.verdict(0), Some(Verdict::First));
    assert_eq!((games.moves(1), games.turn(1)), (&[0, 3, 1, 4][..], 0));
    assert_eq!(games.running().collect::<Vec<_>>(), [1, 2]);
    games.play(&[None, Some(8), Some(6)]).unwrap();
    games.play(&[None, Some(5), None]).unwrap();
    assert_eq!((games.verdict(1), games.verdict(2)), (Some(Verdict::Second), None));
    assert_eq!(games.turn(2), 0);
    let error = games.play(&[None, None, Some(6)]).unwrap_err().to_string();
    assert!(error.contains("a1 is not legal"), "{error}");
    assert!(games.play(&[Some(7), None, None]).is_err());
}

#[test]
fn what_is_no_game_is_refused() {
    for id in ["CartPole-v1", "Foraging-8x8-2p-2f-v3"] {
        let error = Games::new(&Setup::default(), &env(id), 1).err().unwrap().to_string();
        assert!(error.contains("no game of two sides"), "{id}: {error}");
    }
}

#[test]
fn chance_against_chance_is_even_and_games_are_paired() {
    let mut both = players(&["random", "random"], "TicTacToe-v0");
    let options = MatchOptions { games: 601, opening: 2, even: None, seed: 5, together: 32 };
    let result = tournament(&Setup::default(), &env("TicTacToe-v0"), &mut both, &options, &mut |_| {});
    let tournament = result.unwrap();
    let result = &tournament.matches[0];
    assert_eq!((result.points.len(), result.void), (602, 0));
    assert!((result.score() - 0.5).abs() < 0.08, "{}", result.score());
    assert!(result.distinct > 400 && result.mean_moves > 6.0, "{result:?}");
    let [a, b] = [tournament.ratings[0], tournament.ratings[1]];
    assert!((a.elo - b.elo).abs() < 60.0 && a.low < a.elo, "{a:?} {b:?}");
}

#[test]
fn an_agent_beats_chance_answers_by_the_protocol_and_is_judged_in_solved_positions() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    trained(&run);
    let typed = run.display().to_string();
    let shallow = format!("{typed}#0");
    let mut all = players(&[&typed, &shallow, "random"], "TicTacToe-v0");
    let options = MatchOptions { games: 60, opening: 1, even: None, seed: 1, together: 32 };
    let setup = Setup::default();
    let tournament = tournament(&setup, &env("TicTacToe-v0"), &mut all, &options, &mut |_| {}).unwrap();
    assert_eq!(tournament.players, [typed.as_str(), shallow.as_str(), "random"]);
    let against_chance = &tournament.matches[1];
    assert_eq!(against_chance.players, [0, 2]);
    assert!(against_chance.score() > 0.85, "{against_chance:?}");
    assert!(tournament.ratings[0].elo > tournament.ratings[2].elo + 150.0, "{:?}", tournament.ratings);

    // As an engine.
    let commands = "1 name\nboardsize 3\nclear_board\nplay b a3\ngenmove w\nshowboard\nundo\ngenmove b\nfrob\n\
                    play w z9\nplay w a3\nknown_command genmove\ntime_settings 0 1 1\ngenmove w\nagon-search\nquit\nname\n";
    let mut output = Vec::new();
    let server = ServerOptions {
        source: run.clone(),
        which: Which::Newest,
        thinking: Thinking { simulations: Some(50), ..Thinking::default() },
    };
    serve(&setup, &server, &mut Cursor::new(commands), &mut output).unwrap();
    let text = String::from_utf8(output).unwrap();
    let answers: Vec<&str> = text.trim_end().split("\n\n").collect();
    assert_eq!(answers[..4], ["=1 Agon", "=", "=", "="]);
    assert!(answers[4].starts_with("= ") && answers[4] != "= a3", "{}", answers[4]);
    assert!(answers[5].contains("X to move"), "{}", answers[5]);
    assert_eq!(answers[6], "=");
    assert_eq!(answers[7], "? it is the other side's turn");
    assert_eq!(answers[8], "? unknown command");
    assert_eq!(answers[9..13], ["? invalid move", "? illegal move", "= true", "="]);
    assert!(answers[13].starts_with("= ") && answers[14].contains('%'), "{text}");
    // Nothing is answered after the end.
    assert_eq!(answers.len(), 16);

    // As told beside each move.
    let trained = crate::policy::load_which(&setup, &run, Which::Newest).unwrap();
    let explained = |changes: &[&str]| {
        let changes = changes.iter().map(|&change| change.to_owned()).collect();
        let thinking = Thinking { simulations: Some(50), changes };
        consider(&setup, &trained, &SearchOptions { thinking, ..SearchOptions::default() })
    };
    let moves = explained(&[]).unwrap();
    assert!((5..=9).contains(&moves.len()), "{}", moves.len());
    for (considered, _) in &moves {
        let visits: u32 = considered.candidates.iter().map(|candidate| candidate.visits).sum();
        // Less where the end was proven before.
        assert!((1..=50).contains(&visits) && (considered.number > 1 || visits == 50), "{considered:?}");
        assert_eq!(considered.agent, (considered.number + 1) % 2);
        assert!(considered.candidates.iter().any(|candidate| candidate.action == considered.action));
    }
    assert!(explained(&["looks=8"]).unwrap()[0].0.values != moves[0].0.values);
    let error = explained(&["views=8"]).unwrap_err().chain();
    assert!(error.contains("views"), "{error}");

    // In positions with known outcomes: X wins below, O must stop a line.
    let file = directory.path().join("positions.txt");
    let lines = "# a remark\nwin a3,c3,a2,b3 x,x,x,x,0,0,1,0,0\nstop a3,b2,b3 x,x,0,-1,x,-1,-1,-1,-1\n";
    std::fs::write(&file, lines).unwrap();
    let options = SolvedOptions {
        source: run,
        positions: file.clone(),
        which: Which::Newest,
        thinking: Thinking { simulations: Some(100), ..Thinking::default() },
    };
    let rows = judge(&setup, &options).unwrap();
    assert_eq!(rows.iter().map(|row| row.set.as_str()).collect::<Vec<_>>(), ["win", "stop"]);
    assert!(rows.iter().all(|row| row.outcome_errors == 0 && row.perfect == 1), "{rows:?}");
    let changed = |changes: &[&str]| {
        let changes = changes.iter().map(|&change| change.to_owned()).collect();
        let thinking = Thinking { simulations: Some(2), changes };
        judge(&setup, &SolvedOptions { thinking, ..options.clone() })
    };
    let without = Thinking { simulations: Some(0), changes: vec!["looks=8".to_owned()] };
    let error = judge(&setup, &SolvedOptions { thinking: without, ..options.clone() }).unwrap_err();
    assert!(error.chain().contains("0 simulations are no search"), "{}", error.chain());
    // All looks are asked about: two simulations do not find the same values as with one.
    let [one, all_looks] = [changed(&[]), changed(&["looks=8"])].map(Result::unwrap);
    assert!(all_looks[1].value_error != one[1].value_error, "{all_looks:?}");
    for (change, message) in
        [("views=8", "views"), ("looks=0", "search.looks must be at least 1, got 0"), ("looks", "--search")]
    {
        let error = changed(&[change]).unwrap_err().chain();
        assert!(error.contains(message), "{error}");
    }
    for (lines, message) in [
        ("win a3 x,0", "expected 9 scores, got 2"),
        ("win zz x,x,x,x,0,0,1,0,0", "expected the name of a move, got zz"),
        ("win a3,c3,a2,b3,a1 x,x,x,x,0,0,x,0,0", "the game a3,c3,a2,b3,a1 is over"),
        ("win a3 0,x,x,x,x,x,x,x,x", "is not allowed where the game allows it"),
        ("", "has no positions"),
    ] {
        std::fs::write(&file, lines).unwrap();
        let error = judge(&setup, &options).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    assert!(read(Path::new("nowhere"), &[]).is_err());

    // All of its checkpoints.
    std::fs::write(&file, solved_lines(3, 40)).unwrap();
    let mut told = Vec::new();
    let rungs = ladder::climb(&setup, &options, &mut |rung| {
        told.push(rung.env_steps);
        Ok(())
    });
    let rungs = rungs.unwrap();
    assert_eq!(told, RunDirectory::at(&options.source).kept_models().unwrap());
    assert!(told.len() == 2 && told[1] >= 12_000, "{told:?}");
    assert!(rungs.iter().all(|rung| rung.rows[0].count == 40 && rung.hours.is_some()), "{rungs:?}");
    assert!(ladder::errors_picture(&rungs).unwrap().svg.contains("</svg>"));
    let typed = players::expanded(&[format!("{typed}#8@all"), "random".to_owned()]).unwrap();
    assert_eq!(typed.len(), 3);
    let mut all = players(&typed.iter().map(String::as_str).collect::<Vec<_>>(), "TicTacToe-v0");
    let options = MatchOptions { games: 4, opening: 1, even: None, seed: 1, together: 1 };
    let played = matches::tournament(&setup, &env("TicTacToe-v0"), &mut all, &options, &mut |_| {}).unwrap();
    let picture = ladder::elo_picture(&played.players, &played.ratings).unwrap();
    assert!(picture.notes.iter().any(|note| note.contains("bootstrapped over games")), "{:?}", picture.notes);
    assert!(played.matches[0].seconds_per_move.iter().all(|&seconds| seconds > 0.0));
    let none = players::expanded(&[format!("{}@all", directory.path().display())]).unwrap_err().to_string();
    assert!(none.contains("runtime.keep_models=true"), "{none}");
}

/// A file of positions of tic-tac-toe.
fn solved_lines(moves: usize, count: usize) -> String {
    let options = SolvingOptions {
        env: env("TicTacToe-v0"),
        moves,
        count,
        most: 1_000_000,
        seed: 1,
        set: "solved".to_owned(),
    };
    let mut lines = String::new();
    let told = &mut |line: String| {
        lines += &(line + "\n");
        Ok(())
    };
    assert_eq!(solve(&Setup::default(), &options, told).unwrap(), 0);
    lines
}

#[test]
fn perfect_play_is_drawn_by_perfect_play_and_beats_chance() {
    let mut all = players(&["solver", "solver#1000000", "random"], "TicTacToe-v0");
    let options = MatchOptions { games: 40, opening: 0, even: None, seed: 2, together: 32 };
    let setup = Setup::default();
    let played = tournament(&setup, &env("TicTacToe-v0"), &mut all, &options, &mut |_| {}).unwrap();
    assert_eq!(played.matches[0].draws, [20, 20]);
    assert_eq!(played.matches[1].losses, [0, 0]);
    assert!(played.matches[1].score() > 0.8, "{:?}", played.matches[1]);
    let options = PlayerOptions { thinking: Thinking::default(), timeout: Duration::from_secs(1), seed: 0 };
    let error = player(&setup, "solver", &env("Go-v0"), &options).err().unwrap().to_string();
    assert!(error.contains("Go-v0 has no solver"), "{error}");
}

#[test]
fn openings_that_are_to_be_even_are_and_somebody_must_judge_them() {
    let setup = Setup::default();
    let play = |typed: &[&str], opening, even| {
        let mut both = players(typed, "TicTacToe-v0");
        let options = MatchOptions { games: 60, opening, even, seed: 2, together: 32 };
        tournament(&setup, &env("TicTacToe-v0"), &mut both, &options, &mut |_| {})
    };
    // Three random moves decide many games; perfect play draws the others.
    let all = play(&["solver", "solver"], 3, None).unwrap().matches.remove(0);
    assert_eq!(all.pairs.iter().sum::<usize>(), 30);
    assert_eq!((all.pairs[2], all.score()), (30, 0.5), "a won opening is won by both: {all:?}");
    assert!(all.draws.iter().sum::<usize>() < 50, "{all:?}");
    let even = play(&["random", "solver"], 3, Some(0.0)).unwrap().matches.remove(0);
    assert_eq!(even.wins, [0, 0], "nobody beats perfect play from an even opening: {even:?}");
    assert_eq!(play(&["solver", "solver"], 3, Some(0.0)).unwrap().matches[0].draws, [30, 30]);
    let nobody = play(&["random", "random"], 3, Some(0.5)).unwrap_err().chain();
    assert!(nobody.contains("a run with a value function"), "{nobody}");
}

#[test]
fn solved_positions_differ_and_those_that_are_too_far_or_too_few_are_said() {
    let text = solved_lines(3, 60);
    let mut positions: Vec<&str> = text.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(positions.len(), 60);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("solved.txt");
    std::fs::write(&file, &text).unwrap();
    let games = games("TicTacToe-v0", 1);
    let solved = read(&file, games.names()).unwrap();
    assert!(solved.iter().all(|position| position.scores.iter().flatten().count() == 6));
    let options = |id: &str, moves, count, most| SolvingOptions {
        env: env(id),
        moves,
        count,
        most,
        seed: 1,
        set: "solved".to_owned(),
    };
    let fails = |options: &SolvingOptions| {
        solve(&Setup::default(), options, &mut |_| Ok(())).unwrap_err().to_string()
    };
    let few = fails(&options("TicTacToe-v0", 1, 10, 1_000_000));
    assert!(few.contains("too few positions after 1 moves") && few.contains("found 9 of 10"), "{few}");
    let far = fails(&options("ConnectFour-v0", 2, 1, 100));
    assert!(far.contains("found 0 of 1"), "{far}");
    assert!(fails(&options("Hex-v0", 2, 1, 100)).contains("has no solver"));
}

/// A program that answers as the protocol says and always moves `c3`, or ends after so many commands, or is slow.
fn engine(script: &str) -> String {
    let lines = "while read -r c rest; do case \"$c\" in \
                 genmove) GENMOVE;; *) printf '= ok\\n\\n';; esac; done";
    format!("sh -c \"{}\"", lines.replace("GENMOVE", script).replace('"', "\\\"").replace("\\\"$c\\\"", "$c"))
}

/// A game of Othello up to where a side has to pass, and a move of the other side after it.
fn up_to_a_pass() -> (Games, u32) {
    let mut rng = Pcg64::seed_from(5);
    let mut games = games("Othello-v0", 1);
    let pass = games.names().iter().position(|name| name == "pass").unwrap();
    loop {
        if games.verdict(0).is_some() {
            games.restart().unwrap();
        }
        if games.legal(0)[pass] {
            let moves = games.moves(0).to_vec();
            games.play(&[Some(pass as u32)]).unwrap();
            let next = games.legal(0).iter().position(|&legal| legal).unwrap();
            games.restart().unwrap();
            moves.iter().for_each(|&action| games.play(&[Some(action)]).unwrap());
            return (games, next as u32);
        }
        let action = random_move(&games, 0, &mut rng);
        games.play(&[Some(action)]).unwrap();
    }
}

#[test]
fn programs_that_do_not_hear_of_forced_passes_play_othello() {
    let (mut games, next) = up_to_a_pass();
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("engine.sh");
    let name = &games.names()[next as usize];
    let lines = format!(
        "while read -r line; do case $line in *pass) printf '? syntax error\\n\\n';; \
         genmove*) printf '= {name}\\n\\n';; *) printf '=\\n\\n';; esac; done\n"
    );
    std::fs::write(&script, lines).unwrap();
    let command = format!("sh '{}'", script.display());
    let mut engine = Engine::start(&command, &env("Othello-v0"), Duration::from_secs(10)).unwrap();
    // Who must pass is not asked.
    let passes = engine.choose(&mut games, &[0]).unwrap();
    let pass = games.names().iter().position(|name| name == "pass").unwrap() as u32;
    assert_eq!(passes, [Reply::Move(pass)]);
    games.play(&[Some(pass)]).unwrap();
    assert_eq!(engine.choose(&mut games, &[0]).unwrap(), [Reply::Move(next)]);
}

#[test]
fn an_engine_of_here_passes_by_itself_where_it_must() {
    let directory = tempfile::tempdir().unwrap();
    trained_with(
        directory.path(),
        &["env.id=Othello-v0", "total_timesteps=512", "agent.learning_starts=600"],
    );
    let (games, _) = up_to_a_pass();
    let mut commands = String::new();
    for (number, &action) in games.moves(0).iter().enumerate() {
        let name = &games.names()[action as usize];
        if name != "pass" {
            commands += &format!("play {} {name}\n", ["b", "w"][number % 2]);
        }
    }
    let other = ["w", "b"][games.turn(0)];
    commands += &format!("genmove {other}\nquit\n");
    let options = ServerOptions {
        source: directory.path().to_owned(),
        which: Which::Newest,
        thinking: Thinking::default(),
    };
    let mut output = Vec::new();
    serve(&Setup::default(), &options, &mut Cursor::new(commands), &mut output).unwrap();
    let output = String::from_utf8(output).unwrap();
    assert!(!output.contains('?'), "{output}");
    // What it answers last before `quit` is a move, and it is the other side's own, no pass.
    let answers: Vec<&str> = output.trim_end().split("\n\n").collect();
    let moved = answers[answers.len() - 2].trim_start_matches("= ");
    assert!(moved != "pass" && games.names().iter().any(|name| name == moved), "{output}");
}

#[test]
fn a_program_that_dies_or_dawdles_or_cheats_leaves_void_games_and_resigning_loses() {
    for (script, void) in [
        ("exit 1", true),
        ("sleep 30", true),
        ("printf '= q7\\n\\n'", true),
        ("printf '= resign\\n\\n'", false),
    ] {
        let typed = format!("gtp:{}", engine(script));
        let options =
            PlayerOptions { thinking: Thinking::default(), timeout: Duration::from_millis(600), seed: 0 };
        let setup = Setup::default();
        let mut both: Vec<Box<dyn Player>> = ["random", typed.as_str()]
            .iter()
            .map(|typed| player(&setup, typed, &env("TicTacToe-v0"), &options).unwrap())
            .collect();
        let options = MatchOptions { games: 2, opening: 0, even: None, seed: 0, together: 32 };
        let played = tournament(&setup, &env("TicTacToe-v0"), &mut both, &options, &mut |_| {}).unwrap();
        let result = &played.matches[0];
        if void {
            assert_eq!((result.void, result.points.len()), (2, 0), "{script}: {result:?}");
            assert!(result.reason.is_some());
        } else {
            assert_eq!((result.void, result.wins), (0, [1, 1]), "{script}: {result:?}");
        }
    }
    let error =
        Engine::start("true", &env("TicTacToe-v0"), Duration::from_secs(1)).err().unwrap().to_string();
    assert!(error.contains("no engine that speaks the Go Text Protocol"), "{error}");
    assert!(Engine::start("no-such-program", &env("TicTacToe-v0"), Duration::from_secs(1)).is_err());
}
