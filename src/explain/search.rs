//! By what a search found: an episode, and beside each of its moves what was tried, how often, and what it was worth.

use std::path::Path;

use agon_agents::policy::ActMode;
use agon_agents::search::{Lookahead, Search, Tree};
use agon_envs::render::{Canvas, Color, contact_sheet};
use agon_envs::{ActionBatch, Frame, Pcg64, Seed};
use serde::Serialize;

use super::features::action_names;
use crate::RunError;
use crate::acting::fit;
use crate::arena::Thinking;
use crate::page::Page;
use crate::policy::{self, Which};
use crate::setup::Setup;
use crate::text::table;

/// Moves of the episode that are shown.
const SHEET: usize = 42;
/// Moves whose tables are written out.
const TABLES: usize = 6;
/// Actions of a move that are listed.
const LISTED: usize = 5;
/// Moves of a principal variation.
const VARIATION: usize = 8;
/// Pixels of a board's longer side, and width of the panel beside it.
const BOARD: u32 = 150;
const PANEL: u32 = 128;

/// How a search is looked into.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOptions {
    /// How it searches before each move.
    pub thinking: Thinking,
    /// Moves of the episode at most.
    pub moves: usize,
    /// Seed of the environment.
    pub seed: u64,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self { thinking: Thinking::default(), moves: 400, seed: 0 }
    }
}

/// What a search says of an action.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Its name.
    pub action: String,
    /// The network's probability.
    pub prior: f32,
    /// Simulations that took it.
    pub visits: u32,
    /// What it is worth to whoever moves; none if it was not tried.
    pub value: Option<f32>,
    /// The moves that were followed most, from it on.
    pub variation: Vec<String>,
}

/// A move of the episode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Considered {
    /// Its number, from 1.
    pub number: usize,
    /// Whose move it was, of the agents.
    pub agent: usize,
    /// What was done.
    pub action: String,
    /// What the network alone would have done.
    pub network: String,
    /// The network's value, and the search's.
    pub values: [f32; 2],
    /// The actions, the most visited first.
    pub candidates: Vec<Candidate>,
}

/// Plays an episode with a search before each move, and gives what it found and pictures of where.
///
/// # Errors
/// If the policy does not search, or an environment fails.
pub fn consider(
    setup: &Setup,
    trained: &policy::TrainedPolicy,
    options: &SearchOptions,
) -> Result<Vec<(Considered, Option<Frame>)>, RunError> {
    let card = trained.card();
    let policy = &trained.acting().policy;
    let own = policy.lookahead().ok_or_else(|| {
        RunError::Policy(format!("the policy is of {}, which does not search", card.algorithm))
    })?;
    let settings = options.thinking.settings(&own)?;
    let lookahead = Lookahead { settings: &settings, ..own };
    let mut simulator = setup.registry.make(&card.env.id, &card.env.options(1))?;
    fit(&mut simulator, &card.spaces, &card.statistics)?;
    let mut now = simulator.new_batch();
    simulator.reset_with(&[Seed::Integer(options.seed)], &mut now)?;
    let mut search = Search::new(&simulator, &settings)?;
    let mut rng = Pcg64::seed_from(options.seed);
    let names = if simulator.info().action_names.is_empty() {
        action_names(setup.registry.get(&card.env.id)?.as_ref(), search.trees()[0].actions())
    } else {
        simulator.info().action_names.clone()
    };
    let mut moves = Vec::new();
    for number in 1..=options.moves {
        let frame = simulator.render(0).map(|frame| frame.shrunk(BOARD));
        let agent = simulator.turn(0);
        let mode = ActMode::Deterministic;
        let found = search.search(&mut simulator, &now, &lookahead, &mut rng, mode)?[0].clone();
        let tree = &search.trees()[0];
        let candidates = candidates(tree, &names, lookahead.discount);
        let best = candidates.iter().max_by(|a, b| a.prior.total_cmp(&b.prior));
        moves.push((
            Considered {
                number,
                agent,
                action: names[found.action].clone(),
                network: best.map_or(String::new(), |best| best.action.clone()),
                values: [tree.node(tree.root()).value, found.value],
                candidates,
            },
            frame,
        ));
        let mut actions = vec![0; simulator.num_rows()];
        actions[agent] = found.action as u32;
        simulator.step(&ActionBatch::Discrete(actions), &mut now)?;
        if now.terminated[0] || now.truncated[0] {
            break;
        }
    }
    Ok(moves)
}

/// The actions of a root, the most visited first.
fn candidates(tree: &Tree, names: &[String], discount: f32) -> Vec<Candidate> {
    let root = tree.root();
    let logits = tree.logits(root);
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
    let allowed = (0..names.len()).filter(|&action| logits[action].is_finite());
    let mut candidates: Vec<Candidate> = allowed
        .map(|action| {
            let tried = tree.action_value(root, action, discount);
            Candidate {
                action: names[action].clone(),
                prior: (logits[action] - most).exp() / sum,
                visits: tried.map_or(0, |(visits, _)| visits),
                value: tried.map(|(_, value)| value),
                variation: variation(tree, names, action),
            }
        })
        .collect();
    candidates.sort_by(|a, b| b.visits.cmp(&a.visits).then(b.prior.total_cmp(&a.prior)));
    candidates
}

/// The moves that were followed most from an action of the root on.
fn variation(tree: &Tree, names: &[String], action: usize) -> Vec<String> {
    let followed = |node: u32, action: usize| {
        tree.outcomes(node, action).max_by_key(|&child| (tree.node(child).visits, u32::MAX - child))
    };
    let mut line = Vec::new();
    let mut next = followed(tree.root(), action);
    while let Some(node) = next.filter(|_| line.len() < VARIATION) {
        line.push(names[tree.node(node).action as usize].clone());
        let tried = (0..tree.actions()).filter_map(|action| followed(node, action));
        next = tried.max_by_key(|&child| (tree.node(child).visits, u32::MAX - child));
    }
    line
}

/// Writes the section of a page.
///
/// # Errors
/// As [`consider`], and if a file cannot be written.
pub(super) fn explain(
    setup: &Setup,
    path: &Path,
    which: Which,
    options: &SearchOptions,
    page: &mut Page,
) -> Result<(), RunError> {
    let trained = policy::load_which(setup, path, which)?;
    let trained = if trained.acting().policy.lookahead().is_some() {
        trained
    } else {
        let settings = trained.search_settings();
        trained.looking_ahead(settings)?
    };
    let moves = consider(setup, &trained, options)?;
    page.heading(2, "What the search found");
    let simulations = moves[0].0.candidates.iter().map(|candidate| candidate.visits).sum::<u32>();
    let changed = moves.iter().filter(|(considered, _)| considered.action != considered.network).count();
    page.paragraph(&format!(
        "An episode of {} moves with {simulations} simulations before each. Beside each position: what was tried most, with its share of visits, and the value for whoever moves.",
        moves.len()
    ));
    page.finding(format!(
        "In {changed} of {} moves the search did something else than the network alone would have.",
        moves.len()
    ));
    let every = moves.len().div_ceil(SHEET);
    let shown = moves.iter().step_by(every).filter_map(|(considered, frame)| {
        let caption = format!("{}. {}", considered.number, considered.action);
        Some((caption, beside(frame.as_ref()?, considered)))
    });
    let shown: Vec<(String, Frame)> = shown.collect();
    if !shown.is_empty() {
        page.frame(
            "search",
            "positions of an episode, and what the search tried",
            &contact_sheet(&shown, 6),
        )?;
    }
    page.heading(3, "Where it changed the network's mind most");
    let gain = |considered: &Considered| (considered.values[1] - considered.values[0]).abs();
    let mut order: Vec<&Considered> = moves.iter().map(|(considered, _)| considered).collect();
    order.sort_by(|a, b| {
        let changed = |considered: &Considered| considered.action != considered.network;
        changed(b).cmp(&changed(a)).then(gain(b).total_cmp(&gain(a))).then(a.number.cmp(&b.number))
    });
    for considered in order.into_iter().take(TABLES) {
        page.paragraph(&format!(
            "Move {}: {} (the network alone: {}), value {:+.2} by the network, {:+.2} by the search.",
            considered.number,
            considered.action,
            considered.network,
            considered.values[0],
            considered.values[1]
        ));
        let rows: Vec<Vec<String>> = considered
            .candidates
            .iter()
            .take(LISTED)
            .map(|candidate| {
                vec![
                    candidate.action.clone(),
                    format!("{:.1} %", 100.0 * candidate.prior),
                    candidate.visits.to_string(),
                    candidate.value.map_or("–".to_owned(), |value| format!("{value:+.2}")),
                    candidate.variation.join(" "),
                ]
            })
            .collect();
        page.paragraph(&table(&["move", "network", "visits", "value", "principal variation"], &rows));
    }
    let all: Vec<&Considered> = moves.iter().map(|(considered, _)| considered).collect();
    page.numbers("search", &all)
}

/// A position with a panel beside it: bars of visits, and the value.
fn beside(board: &Frame, considered: &Considered) -> Frame {
    const PAPER: Color = [255, 255, 255];
    const INK: Color = [40, 40, 46];
    const TAKEN: Color = [46, 120, 190];
    const OTHER: Color = [176, 190, 206];
    let height = board.height.max(110);
    let mut canvas = Canvas::new(PANEL, height, PAPER);
    let all: u32 = considered.candidates.iter().map(|candidate| candidate.visits).sum();
    for (row, candidate) in considered.candidates.iter().take(LISTED).enumerate() {
        let y = 4.0 + 18.0 * row as f32;
        let share = candidate.visits as f32 / all.max(1) as f32;
        let color = if candidate.action == considered.action { TAKEN } else { OTHER };
        canvas.text(4.0, y, &candidate.action, 13.0, INK);
        canvas.rect(36.0, y + 2.0, 48.0 * share, 11.0, color);
        let value = candidate.value.map_or(String::new(), |value| format!("{value:+.2}"));
        canvas.text(90.0, y, &value, 12.0, INK);
    }
    let text = format!("value {:+.2}", considered.values[1]);
    canvas.text(4.0, 4.0 + 18.0 * LISTED as f32, &text, 13.0, INK);
    let mut frame = Frame::filled(board.width + PANEL, height, PAPER);
    frame.paste(board, 0, 0);
    frame.paste(&canvas.into_frame(), board.width, 0);
    frame
}
