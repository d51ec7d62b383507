//! `plot`.

use super::args::{BandArg, PlotArgs, XAxisArg};
use super::{Ending, say, say_sentence};
use crate::RunError;
use crate::compare::Contestant;
use crate::curves::{self, Drawn};
use crate::plot::{Band, PlotOptions, XAxis};

pub(super) fn plot(args: &PlotArgs) -> Result<Ending, RunError> {
    let x = match args.x {
        XAxisArg::Steps => XAxis::Steps,
        XAxisArg::Seconds => XAxis::Seconds,
        XAxisArg::Updates => XAxis::Updates,
    };
    let options = PlotOptions {
        title: args.title.clone(),
        smooth: args.smooth,
        band: match args.band {
            BandArg::Ci => Band::Interval,
            BandArg::Se => Band::StandardError,
            BandArg::Std => Band::StandardDeviation,
            BandArg::Minmax => Band::Range,
            BandArg::Seeds => Band::Seeds,
            BandArg::None => Band::None,
        },
        log_x: args.log_x,
        log_y: args.log_y,
        ..Default::default()
    };
    let contestants: Vec<Contestant> = args.runs.iter().map(|text| Contestant::parse(text)).collect();
    let Drawn { picture, left_out } = curves::draw(&contestants, x, &args.y, options)?;
    picture.save(&args.out)?;
    left_out.iter().chain(&picture.notes).try_for_each(|line| say_sentence(line).map(|_| ()))?;
    say(format_args!("plot: {}", args.out.display()))
}
