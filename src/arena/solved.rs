//! Positions whose outcome somebody has proved: how often an agent takes a move that gives it away.
//!
//! A file has a line for each position: the set that it is of, the moves that lead to it (names of actions with commas
//! between, `-` for none), and what a solver says of each action for the side to move, a number each, above zero for a win,
//! `x` where it is not allowed. Lines that begin with `#` are remarks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agon_agents::policy::{ActInput, ActMode, ActOutput, Actor};
use agon_agents::search::{Lookahead, Search, SearchConfig};
use agon_agents::{AgentError, Policy};
use agon_envs::{ActionBatch, Pcg64, Seed, Simulator, StepBatch};

use crate::RunError;
use crate::config::EnvConfig;
use crate::error::AtPath;
use crate::policy::{self, Which};
use crate::setup::Setup;

/// Positions that are looked at together.
const TOGETHER: usize = 128;
/// Bytes of a file at most.
const MOST_BYTES: u64 = 64 << 20;

/// How to look at positions.
#[derive(Clone, Debug, PartialEq)]
pub struct SolvedOptions {
    /// A run or a weight file.
    pub source: PathBuf,
    /// The file of positions.
    pub positions: PathBuf,
    /// Which of a run's weights.
    pub which: Which,
    /// Simulations of a search before each move; none for as many as in training, 0 for the network alone.
    pub simulations: Option<usize>,
}

/// What came of the positions of one set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SolvedRow {
    /// The set.
    pub set: String,
    /// Positions.
    pub count: usize,
    /// Moves that give away a win or a draw.
    pub outcome_errors: usize,
    /// Moves as good as any.
    pub perfect: usize,
    /// Mean squared error of values against outcomes, −1 to 1.
    pub value_error: f64,
}

/// A position, and what a solver says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Solved {
    /// The set that it is of.
    pub set: String,
    /// The actions that lead to it.
    pub actions: Vec<u32>,
    /// The score of each action; none where it is not allowed.
    pub scores: Vec<Option<i32>>,
}

/// Reads a file of positions of a game whose actions have names.
///
/// # Errors
/// If it cannot be read, or a line is no position; the line is named.
pub fn read(path: &Path, names: &[String]) -> Result<Vec<Solved>, RunError> {
    let size = std::fs::metadata(path).at("cannot read", path)?.len();
    if size > MOST_BYTES {
        let message =
            format!("{} has {size} bytes, a file of positions has at most {MOST_BYTES}", path.display());
        return Err(RunError::Config(message));
    }
    let text = std::fs::read_to_string(path).at("cannot read", path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let parsed = lines.map(|(number, line)| {
        parse(line, names).map_err(|message| {
            RunError::Config(format!("{}, line {}: {message}", path.display(), number + 1))
        })
    });
    let positions: Vec<Solved> = parsed.collect::<Result<_, _>>()?;
    if positions.is_empty() {
        return Err(RunError::Config(format!("{} has no positions", path.display())));
    }
    Ok(positions)
}

fn parse(line: &str, names: &[String]) -> Result<Solved, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [set, moves, scores] = words[..] else {
        return Err(format!("expected a set, moves and scores, got {} words", words.len()));
    };
    let action = |name: &str| {
        let found = names.iter().position(|known| known == name);
        found.map(|action| action as u32).ok_or_else(|| format!("expected the name of a move, got {name}"))
    };
    let moves = if moves == "-" { "" } else { moves };
    let actions = moves.split(',').filter(|name| !name.is_empty()).map(action).collect::<Result<_, _>>()?;
    let score = |text: &str| match text {
        "x" => Ok(None),
        number => number.parse().map(Some).map_err(|_| format!("expected a score or x, got {number}")),
    };
    let scores: Vec<Option<i32>> = scores.split(',').map(score).collect::<Result<_, _>>()?;
    if scores.len() != names.len() {
        return Err(format!("expected {} scores, got {}", names.len(), scores.len()));
    }
    if scores.iter().all(Option::is_none) {
        return Err("expected a position with a legal move".to_owned());
    }
    Ok(Solved { set: set.to_owned(), actions, scores })
}

/// Has an agent move in all positions of a file; a row for each set, in the order in which the file begins them.
///
/// # Errors
/// If policy or file cannot be read, do not fit each other, or a game fails.
pub fn judge(setup: &Setup, options: &SolvedOptions) -> Result<Vec<SolvedRow>, RunError> {
    let trained = policy::load_which(setup, &options.source, options.which)?;
    let mut env = trained.card().env.clone();
    env.args.insert("opponent".to_owned(), "self".into());
    let acting = trained.acting();
    let mut agent = Agent::new(setup, &env, &acting.policy, options.simulations)?;
    let positions = read(&options.positions, &agent.names)?;
    let mut rows: Vec<SolvedRow> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for some in positions.chunks(TOGETHER) {
        for (position, (action, value)) in some.iter().zip(agent.answer(some)?) {
            let place = *places.entry(position.set.clone()).or_insert_with(|| {
                rows.push(SolvedRow { set: position.set.clone(), ..SolvedRow::default() });
                rows.len() - 1
            });
            let row = &mut rows[place];
            let best = position.scores.iter().flatten().max().copied().unwrap_or(0);
            let got = position.scores.get(action).copied().flatten();
            let Some(got) = got else {
                return Err(RunError::Config(format!(
                    "{}: the file says that action {action} is not allowed where the game allows it",
                    options.positions.display()
                )));
            };
            row.count += 1;
            row.outcome_errors += usize::from(got.signum() < best.signum());
            row.perfect += usize::from(got == best);
            row.value_error += (value - f64::from(best.signum())).powi(2);
        }
    }
    rows.iter_mut().for_each(|row| row.value_error /= row.count as f64);
    Ok(rows)
}

/// A policy with a board to think at.
struct Agent {
    policy: Arc<dyn Policy>,
    settings: Option<SearchConfig>,
    simulator: Simulator,
    now: StepBatch,
    search: Option<Search>,
    /// Where positions are set up.
    board: Simulator,
    names: Vec<String>,
}

impl Agent {
    fn new(
        setup: &Setup,
        env: &EnvConfig,
        policy: &Arc<dyn Policy>,
        simulations: Option<usize>,
    ) -> Result<Self, RunError> {
        let simulator = setup.registry.make(&env.id, &env.options(TOGETHER))?;
        let board = setup.registry.make(&env.id, &env.options(1))?;
        let names = simulator.info().action_names.clone();
        if names.is_empty() || !simulator.info().turns {
            return Err(RunError::Config(format!(
                "{} is no game of two sides whose moves have names",
                env.id
            )));
        }
        let settings = match (policy.lookahead(), simulations) {
            (_, Some(0)) | (None, None) => None,
            (Some(lookahead), simulations) => {
                let own = lookahead.settings.clone();
                Some(SearchConfig { simulations: simulations.unwrap_or(own.simulations), ..own })
            }
            (None, Some(_)) => {
                return Err(RunError::Config("only a policy that searches takes simulations".to_owned()));
            }
        };
        let search = settings.as_ref().map(|settings| Search::new(&simulator, settings)).transpose()?;
        let mut agent = Self {
            policy: Arc::clone(policy),
            now: simulator.new_batch(),
            simulator,
            settings,
            search,
            board,
            names,
        };
        agent.simulator.reset_with(&vec![Seed::Integer(0); TOGETHER], &mut agent.now)?;
        Ok(agent)
    }

    /// Its move in each position, and what it expects.
    fn answer(&mut self, positions: &[Solved]) -> Result<Vec<(usize, f64)>, RunError> {
        let agents = self.simulator.num_agents();
        for (env, position) in positions.iter().enumerate() {
            let mut out = self.board.new_batch();
            self.board.reset(0, &mut out)?;
            for &action in &position.actions {
                let mut actions = vec![0; agents];
                actions[self.board.turn(0)] = action;
                self.board.step(&ActionBatch::Discrete(actions), &mut out)?;
                if out.terminated.contains(&true) {
                    return Err(RunError::Config("a game was over before its last move".to_owned()));
                }
            }
            let state = self.board.save_env(0)?;
            self.simulator.load_env(env, &state)?;
            self.now.copy_env_from(&out, 0, env, self.simulator.info());
        }
        let turns: Vec<usize> =
            (0..positions.len()).map(|env| env * agents + self.simulator.turn(env)).collect();
        let mut rng = Pcg64::seed_from(0);
        if let (Some(search), Some(settings)) = (&mut self.search, &self.settings) {
            let own = self.policy.lookahead().ok_or_else(no_search)?;
            let lookahead = Lookahead { settings, ..own };
            let envs: Vec<usize> = (0..positions.len()).collect();
            let (simulator, now) = (&mut self.simulator, &self.now);
            let found =
                search.search_in(&envs, simulator, now, &lookahead, &mut rng, ActMode::Deterministic)?;
            return Ok(envs.iter().map(|&env| (found[env].action, f64::from(found[env].value))).collect());
        }
        let rows = self.simulator.num_rows();
        let mut actions = ActionBatch::zeros(self.simulator.action_spec(), rows);
        let input = ActInput {
            observations: &self.now.observations,
            num_rows: rows,
            action_masks: &self.now.action_masks,
            resets: &vec![true; rows],
            tasks: &[],
            env_steps: 0,
            mode: ActMode::Deterministic,
        };
        let mut data = vec![0.0; rows * self.policy.data_width()];
        let mut actor = Actor::new(rng);
        actor.state.resize(rows * self.policy.state_len(), 0.0);
        let values = self.policy.values(&input, &actor.state)?.unwrap_or_else(|| vec![0.0; rows]);
        let output = ActOutput { actions: &mut actions, policy_data: &mut data };
        self.policy.act(&input, &mut actor, output)?;
        let chosen = actions.indices();
        Ok(turns.iter().map(|&row| (chosen[row] as usize, f64::from(values[row]))).collect())
    }
}

fn no_search() -> AgentError {
    AgentError::Restore("a policy that searched does so no more, which is a bug".to_owned())
}
