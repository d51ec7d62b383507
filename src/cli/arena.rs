//! `arena` and `gtp`: games between agents and other programs.

use std::io;
use std::time::Duration;

use super::args::{ArenaArgs, GtpArgs};
use super::{Ending, say, say_json, table, thinking};
use crate::RunError;
use crate::arena::gtp::{self, ServerOptions};
use crate::arena::ladder;
use crate::arena::matches::{self, MatchOptions, MatchResult, Tournament};
use crate::arena::players::{self, PlayerOptions};
use crate::config::{self, EnvConfig};
use crate::policy::Which;
use crate::runtime::Setup;

pub(super) fn arena(setup: &Setup, args: &ArenaArgs) -> Result<Ending, RunError> {
    let typed = players::expanded(&args.players)?;
    if typed.len() < 2 {
        let message = format!("expected two players or more, got {}", typed.join(" "));
        return Err(RunError::Config(message));
    }
    let env = game(setup, args, &typed)?;
    let options = PlayerOptions {
        thinking: thinking(args.simulations, &args.search),
        timeout: Duration::from_secs(args.timeout),
        seed: args.seed,
    };
    let players = typed.iter().map(|typed| players::player(setup, typed, &env, &options));
    let mut players = players.collect::<Result<Vec<_>, _>>()?;
    players::ensure_one_searches(&players, &options.thinking)?;
    let matches = MatchOptions {
        games: args.games as usize,
        opening: args.opening as usize,
        even: args.even,
        seed: args.seed,
        together: args.together as usize,
    };
    let names = typed.clone();
    let mut failed = None;
    let tournament = matches::tournament(setup, &env, &mut players, &matches, &mut |result| {
        if !args.json && failed.is_none() {
            failed = say(describe(result, &names)).err();
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some(out) = &args.out {
        ladder::elo_picture(&tournament.players, &tournament.ratings)?.save(out)?;
    }
    if args.json { say_json(&tournament) } else { say(ratings(&tournament)) }
}

/// The game that is played.
fn game(setup: &Setup, args: &ArenaArgs, players: &[String]) -> Result<EnvConfig, RunError> {
    let mut env = match &args.env {
        Some(id) => EnvConfig { id: id.clone(), ..EnvConfig::default() },
        None => {
            let told = players.iter().map(|player| players::game_of(setup, player));
            let told = told.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().next();
            told.ok_or_else(|| {
                RunError::Config(
                    "none of the players says which game is played: name it with --env".to_owned(),
                )
            })?
        }
    };
    for argument in &args.args {
        config::set_by("--arg", &mut env.args, argument)?;
    }
    Ok(env)
}

/// A match in words.
fn describe(result: &MatchResult, names: &[String]) -> String {
    let [first, second] = result.players.map(|player| &names[player]);
    let sum = |counts: [usize; 2]| counts[0] + counts[1];
    let [low, high] = result.interval();
    let mut text = format!(
        "{first} – {second}: {} won, {} drawn, {} lost ({} to {} with the first move, {} to {} with the second), score {:.3} [{:.3}, {:.3}], of pairs {} both, {} shared, {} none, {} distinct games of {}, {:.1} moves, {:.1} and {:.1} ms a move",
        sum(result.wins),
        sum(result.draws),
        sum(result.losses),
        result.wins[0],
        result.losses[0],
        result.wins[1],
        result.losses[1],
        result.score(),
        low,
        high,
        result.pairs[3] + result.pairs[4],
        result.pairs[2],
        result.pairs[0] + result.pairs[1],
        result.distinct,
        result.points.len(),
        result.mean_moves,
        1e3 * result.seconds_per_move[0],
        1e3 * result.seconds_per_move[1],
    );
    if result.void > 0 {
        text += &format!(", {} void ({})", result.void, result.reason.as_deref().unwrap_or("no reason"));
    }
    text
}

fn ratings(tournament: &Tournament) -> String {
    let mut order: Vec<usize> = (0..tournament.players.len()).collect();
    order.sort_by(|&a, &b| tournament.ratings[b].elo.total_cmp(&tournament.ratings[a].elo));
    let rows: Vec<Vec<String>> = order
        .into_iter()
        .map(|player| {
            let rating = tournament.ratings[player];
            let interval = format!("[{:+.0}, {:+.0}]", rating.low, rating.high);
            vec![tournament.players[player].clone(), format!("{:+.0}", rating.elo), interval]
        })
        .collect();
    table(&["player", "Elo", "95 %"], &rows)
}

pub(super) fn gtp(setup: &Setup, args: &GtpArgs) -> Result<Ending, RunError> {
    let options = ServerOptions {
        source: args.source.clone(),
        which: Which::chosen(args.step, args.best),
        thinking: thinking(args.simulations, &args.search),
    };
    gtp::serve(setup, &options, &mut io::stdin().lock(), &mut io::stdout().lock())?;
    Ok(Ending::Success)
}
