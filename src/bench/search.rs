//! Speed of searches on one core.

use std::time::Instant;

use agon_agents::policy::ActMode;
use agon_agents::search::{GumbelConfig, Lookahead, PuctConfig, Search, SearchConfig, SearchKind, Uniform};
use agon_envs::{ActionBatch, MakeOptions, Pcg64};
use serde::Serialize;

use crate::RunError;
use crate::runtime::Setup;
use crate::stats::median;

/// Searches of a measurement at least.
const LEAST: usize = 5;

/// Speed of a kind of search in one game, with a network that costs nothing and says nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchRow {
    /// The game.
    pub env: String,
    /// `gumbel` or `puct`.
    pub kind: String,
    /// Games searched in together.
    pub num_envs: usize,
    /// Simulations of a move.
    pub simulations: usize,
    /// Nodes a second, the median over moves.
    pub nodes_per_second: f64,
    /// Nodes a second at best.
    pub best: f64,
}

/// Measures both kinds of search in board games.
///
/// # Errors
/// If a game is unknown or cannot be searched in, or numbers are out of range.
pub fn searches(
    setup: &Setup,
    ids: &[String],
    num_envs: usize,
    simulations: usize,
    seconds: f64,
) -> Result<Vec<SearchRow>, RunError> {
    super::check_seconds(seconds)?;
    let builtin = ["TicTacToe-v0", "ConnectFour-v0", "Othello-v0", "Go-v0", "Hex-v0"].map(str::to_owned);
    let ids = if ids.is_empty() { &builtin[..] } else { ids };
    let mut rows = Vec::new();
    for id in ids {
        for (name, kind) in [
            ("gumbel", SearchKind::Gumbel(GumbelConfig::default())),
            ("puct", SearchKind::Puct(PuctConfig { reuse: false, ..PuctConfig::default() })),
        ] {
            let settings = SearchConfig { simulations, outcomes: 0, kind, ..SearchConfig::default() };
            rows.push(search(setup, id, name, num_envs, &settings, seconds)?);
        }
    }
    Ok(rows)
}

fn search(
    setup: &Setup,
    id: &str,
    name: &str,
    num_envs: usize,
    settings: &SearchConfig,
    seconds: f64,
) -> Result<SearchRow, RunError> {
    let mut options = MakeOptions { num_envs, ..MakeOptions::default() };
    options.args.insert("opponent".to_owned(), "self".into());
    let mut simulator = setup.registry.make(id, &options)?;
    let mut now = simulator.new_batch();
    simulator.reset(0, &mut now)?;
    let mut search = Search::new(&simulator, settings)?;
    let lookahead = Lookahead { settings, discount: 1.0, evaluator: &Uniform };
    let mut rng = Pcg64::seed_from(0);
    let nodes = (num_envs * settings.simulations) as f64;
    let (mut speeds, begin) = (Vec::new(), Instant::now());
    while speeds.len() < LEAST || begin.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        let found = search.search(&mut simulator, &now, &lookahead, &mut rng, ActMode::Explore)?;
        speeds.push(nodes / start.elapsed().as_secs_f64());
        let mut actions = vec![0; simulator.num_rows()];
        for (env, found) in found.iter().enumerate() {
            actions[2 * env + simulator.turn(env)] = found.action as u32;
        }
        simulator.step(&ActionBatch::Discrete(actions), &mut now)?;
        search.forget();
    }
    // The first search makes room.
    let speeds = &speeds[1..];
    let simulations = settings.simulations;
    let best = speeds.iter().copied().fold(0.0, f64::max);
    let (env, kind) = (id.to_owned(), name.to_owned());
    Ok(SearchRow { env, kind, num_envs, simulations, nodes_per_second: median(speeds), best })
}
