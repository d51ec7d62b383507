//! `bench env`, `bench nn` and `bench train`.

use super::args::BenchCommand;
use super::progress::human;
use super::{Ending, say, say_json, table};
use crate::RunError;
use crate::bench;
use crate::runtime::Setup;

pub(super) fn bench(setup: &Setup, command: &BenchCommand) -> Result<Ending, RunError> {
    match command {
        BenchCommand::Env { ids, num_envs, seconds, json } => {
            let rows = bench::simulation(setup, ids, num_envs, *seconds)?;
            if *json {
                return say_json(&rows);
            }
            let cells: Vec<Vec<String>> = rows
                .iter()
                .map(|row| {
                    vec![
                        row.env.clone(),
                        row.num_envs.to_string(),
                        human(row.steps_per_second),
                        human(row.best),
                    ]
                })
                .collect();
            say(bench::machine())?;
            say(table(&["environment", "batch", "steps/s (median)", "steps/s (best)"], &cells))
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
