//! `plot`.

use super::args::{PlotArgs, XAxisArg};
use super::{Ending, say};
use crate::RunError;
use crate::plot::{self, PlotOptions, XAxis};

pub(super) fn plot(args: &PlotArgs) -> Result<Ending, RunError> {
    let x = match args.x {
        XAxisArg::Steps => XAxis::Steps,
        XAxisArg::Seconds => XAxis::Seconds,
        XAxisArg::Updates => XAxis::Updates,
    };
    let curves: Vec<plot::Curve> =
        args.runs.iter().map(|run| plot::load_curve(run, x, &args.y, None)).collect::<Result<_, _>>()?;
    let y_label = match args.y.as_str() {
        crate::experiment::RETURN_METRIC => "mean return of the last 100 episodes".to_owned(),
        "eval/mean_return" => "mean return of the evaluation's episodes".to_owned(),
        metric => metric.rsplit('/').next().unwrap_or(metric).replace('_', " "),
    };
    let options = PlotOptions {
        title: args.title.clone(),
        x_label: x.label().to_owned(),
        y_label,
        smooth: args.smooth,
        ..Default::default()
    };
    plot::save(&curves, &options, &args.out)?;
    say(format_args!("plot: {}", args.out.display()))
}
