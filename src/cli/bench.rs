//! The `bench` commands.

use std::process::Command;

use super::args::BenchCommand;
use super::{Ending, say, say_json, table};
use crate::RunError;
use crate::bench;
use crate::runtime::Setup;
use crate::text::human;

pub(super) fn bench(setup: &Setup, command: &BenchCommand) -> Result<Ending, RunError> {
    match command {
        BenchCommand::Env { ids, num_envs, threads, seconds, json } => {
            let rows = bench::env::simulation(setup, ids, num_envs, threads, *seconds)?;
            if *json {
                return say_json(&rows);
            }
            let cells: Vec<Vec<String>> = rows
                .iter()
                .map(|row| {
                    vec![
                        row.env.clone(),
                        row.num_envs.to_string(),
                        row.threads.to_string(),
                        human(row.steps_per_second),
                        human(row.best),
                    ]
                })
                .collect();
            say(bench::machine())?;
            say(table(&["environment", "batch", "threads", "steps/s (median)", "steps/s (best)"], &cells))
        }
        BenchCommand::Wrappers { num_envs, seconds, json } => {
            let rows = bench::env::wrappers(setup, *num_envs, *seconds)?;
            if *json {
                return say_json(&rows);
            }
            let cells: Vec<Vec<String>> = rows
                .iter()
                .map(|row| {
                    let times = [row.bare_ns, row.wrapped_ns, row.wrapped_ns - row.bare_ns];
                    let mut cells = vec![row.env.clone(), row.wrapper.clone()];
                    cells.extend(times.map(|time| format!("{time:.1}")));
                    cells
                })
                .collect();
            say(bench::machine())?;
            say(table(&["environment", "wrapper", "bare, ns", "wrapped, ns", "cost, ns"], &cells))
        }
        BenchCommand::Search { ids, num_envs, simulations, seconds, json } => {
            let (envs, simulations) = (*num_envs as usize, *simulations as usize);
            let rows = bench::search::searches(setup, ids, envs, simulations, *seconds)?;
            if *json {
                return say_json(&rows);
            }
            let cells: Vec<Vec<String>> = rows
                .iter()
                .map(|row| {
                    let sizes = [row.num_envs, row.simulations].map(|size| size.to_string());
                    let speeds = [row.nodes_per_second, row.best].map(human);
                    [vec![row.env.clone(), row.kind.clone()], sizes.to_vec(), speeds.to_vec()].concat()
                })
                .collect();
            say(bench::machine())?;
            let head = ["game", "search", "games", "simulations", "nodes/s (median)", "nodes/s (best)"];
            say(table(&head, &cells))
        }
        BenchCommand::Build { ids, num_envs, json } => build(setup, ids, *num_envs, *json),
        BenchCommand::Policy { path, json } => {
            let row = bench::policy::policy(setup, path)?;
            if *json {
                return say_json(&row);
            }
            say(bench::machine())?;
            say(format_args!("loaded in {:.2} ms", row.load_ms))?;
            let cells: Vec<Vec<String>> = row
                .decision_us
                .iter()
                .map(|(batch, time)| vec![batch.to_string(), format!("{time:.2}")])
                .collect();
            say(table(&["environments", "a decision, µs"], &cells))
        }
        BenchCommand::Nn { networks, seconds, json } => {
            let (peak, rows) = bench::nn::networks(networks, *seconds)?;
            if *json {
                return say_json(&serde_json::json!({ "peak_gflops": peak, "rows": rows }));
            }
            let cells: Vec<Vec<String>> = rows
                .iter()
                .map(|row| {
                    vec![
                        row.network.clone(),
                        row.work.clone(),
                        row.batch.to_string(),
                        format!("{:.2}", row.microseconds),
                        format!("{:.2}", row.best),
                        format!("{:.1}", row.gflops),
                        format!("{:.0} %", 100.0 * row.share_of_peak),
                        row.stock.map_or("–".to_owned(), |time| format!("{time:.2}")),
                    ]
                })
                .collect();
            say(format!("{}, matrix products at most {peak:.0} GFLOP/s a core", bench::machine()))?;
            let head = [
                "network",
                "work",
                "batch",
                "µs (median)",
                "µs (best)",
                "GFLOP/s",
                "of the peak",
                "stock dfdx, µs",
            ];
            say(table(&head, &cells))
        }
        BenchCommand::Train { presets, seeds, threads, json } => {
            let rows = bench::training(setup, presets, *seeds, *threads)?;
            if *json {
                return say_json(&rows);
            }
            let or_dash = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
            let cells: Vec<Vec<String>> = rows
                .iter()
                .map(|row| {
                    vec![
                        row.preset.clone(),
                        row.seeds.to_string(),
                        row.total_timesteps.to_string(),
                        human(row.steps_per_second),
                        format!("{}/{}", row.solved, row.seeds),
                        or_dash(row.seconds_to_solve),
                        format!("{:.1}", row.final_return),
                        format!("{:.1}", row.evaluation),
                        format!("{}/{}", row.evaluation_perfect, row.seeds),
                    ]
                })
                .collect();
            say(bench::machine())?;
            say(table(
                &[
                    "preset",
                    "seeds",
                    "steps",
                    "steps/s (median)",
                    "solved",
                    "seconds to solve (median)",
                    "final return (median)",
                    "greedy evaluation (median)",
                    "greedy evaluation at the highest return",
                ],
                &cells,
            ))
        }
    }
}

/// Builds each environment in a process of its own, so that memory is what it alone took.
fn build(setup: &Setup, ids: &[String], num_envs: usize, json: bool) -> Result<Ending, RunError> {
    if let ([id], true) = (ids, json) {
        return say_json(&[bench::env::build(setup, id, num_envs)?]);
    }
    let all: Vec<String> = setup.registry.iter().map(|spec| spec.id().to_owned()).collect();
    let failed =
        |message: String| RunError::Config(format!("cannot measure in a process of its own: {message}"));
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut rows: Vec<bench::env::BuildRow> = Vec::new();
    for id in if ids.is_empty() { &all } else { ids } {
        let output = Command::new(&program)
            .args(["bench", "build", id, "--json", "--num-envs", &num_envs.to_string()])
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()));
        }
        let measured: Vec<bench::env::BuildRow> =
            serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))?;
        rows.extend(measured);
    }
    if json {
        return say_json(&rows);
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.env.clone(),
                row.num_envs.to_string(),
                format!("{:.1}", 1e3 * row.seconds),
                format!("{:.0}", row.bytes_per_env),
            ]
        })
        .collect();
    say(bench::machine())?;
    say(table(&["environment", "environments", "ms to build", "bytes each"], &cells))
}
