//! `plot`.

use super::args::{PlotArgs, XAxisArg};
use super::{Ending, say};
use crate::RunError;
use crate::plot::{self, PlotOptions, XAxis};
use crate::score::Measure;

pub(super) fn plot(args: &PlotArgs) -> Result<Ending, RunError> {
    let x = match args.x {
        XAxisArg::Steps => XAxis::Steps,
        XAxisArg::Seconds => XAxis::Seconds,
        XAxisArg::Updates => XAxis::Updates,
    };
    let curves: Vec<plot::Curve> =
        args.runs.iter().map(|run| plot::load_curve(run, x, &args.y, None)).collect::<Result<_, _>>()?;
    let known = [Measure::Last100, Measure::FinalEvaluation];
    let y_label = match known.into_iter().find(|measure| measure.metric() == args.y) {
        Some(measure) => measure.axis().to_owned(),
        None => args.y.rsplit('/').next().unwrap_or(&args.y).replace('_', " "),
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
