//! Train three seeds and draw their learning curve with a confidence band.
//!
//! `cargo run --release --example 05_plot_runs`
#![allow(clippy::print_stdout)]

use agon::config::RunConfig;
use agon::experiment;
use agon::plot::{self, PlotOptions, XAxis};
use agon::presets;
use agon::runtime::Setup;
use agon::sinks::{RETURN_METRIC, watch};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let setup = Setup::default();
    let mut config = RunConfig::from_table(&setup.algorithms, presets::get("ppo-cartpole")?.config)?;
    config.total_timesteps = 50_000;
    let path = std::env::temp_dir().join(format!("agon-plot-{}", std::process::id()));
    let runs = experiment::seed_runs(&path, 1, 3);
    experiment::train(&setup, &config, &path, &runs, &|_| Box::new(watch(|_| true)))?;

    let curve = plot::load_curve(&path, XAxis::Seconds, RETURN_METRIC, Some("PPO".to_owned()))?;
    let options = PlotOptions {
        title: "CartPole-v1".to_owned(),
        x_label: XAxis::Seconds.label().to_owned(),
        y_label: "mean return of the last 100 episodes".to_owned(),
        ..Default::default()
    };
    let picture = path.join("seconds.svg");
    plot::save(&[curve], &options, &picture)?;
    println!("learning curve: {}", picture.display());
    Ok(())
}
