//! Positions and texts of axis ticks.

/// Decimals of a number with a unit.
const MAX_DECIMALS: usize = 2;

/// Ticks of one axis: round numbers in a range.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ticks {
    /// Where they stand, increasing.
    pub(super) values: Vec<f64>,
    /// What is written there.
    pub(super) labels: Vec<String>,
}

impl Ticks {
    /// About `count` ticks in `low..=high`, at multiples of 1, 2, 2.5 or 5 times a power of ten.
    pub(super) fn new(low: f64, high: f64, count: usize) -> Self {
        Self::at_steps(low, high, count, |_| true)
    }

    /// The same of what is counted, such as steps: between two whole numbers there is nothing.
    pub(super) fn whole(low: f64, high: f64, count: usize) -> Self {
        Self::at_steps(low, high, count, |step| step > 0.5 && (step - step.round()).abs() < 1e-6 * step)
    }

    fn at_steps(low: f64, high: f64, count: usize, suits: impl Fn(f64) -> bool) -> Self {
        let rough = (high - low) / count.max(1) as f64;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|factor| factor * power);
        let step = step.clone().find(|&step| step >= rough * (1.0 - 1e-9) && suits(step));
        // None suits where the range is short: then what is whole stands at every number.
        let step = step.unwrap_or_else(|| if suits(10.0 * power) { 10.0 * power } else { 1.0 });
        // Multiples are counted, not added up, so that zero is zero.
        let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
        let count = (last - first).max(0.0) as usize;
        let values: Vec<f64> = (0..=count).map(|i| (first + i as f64) * step).collect();
        let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let labels = values.iter().map(|&value| linear_label(value, step, largest)).collect();
        Self { values, labels }
    }

    /// About `count` ticks in `low..=high`, which are logarithms to the base of ten: at powers of ten, and at 2 and 5 times
    /// them where there are few. Within less than a power of ten they are round numbers as on any other axis.
    pub(super) fn logarithmic(low: f64, high: f64, count: usize) -> Self {
        let decades = |every: usize, factors: &[f64]| -> Vec<f64> {
            let powers = (low.floor() as i32..=high.ceil() as i32).step_by(every);
            let values = powers.flat_map(|power| factors.iter().map(move |f| f64::from(power) + f.log10()));
            values.filter(|value| (low - 1e-9..=high + 1e-9).contains(value)).collect()
        };
        let fine = [[1.0, 2.0, 5.0].as_slice(), &[1.0, 3.0], &[1.0]];
        let choices =
            fine.map(|factors| decades(1, factors)).into_iter().chain((2..20).map(|n| decades(n, &[1.0])));
        let values = choices.into_iter().find(|values| values.len() <= count.max(2)).unwrap_or_default();
        if values.len() < 2 {
            let Self { values, labels } = Self::new(10_f64.powf(low), 10_f64.powf(high), count);
            let positive = values.into_iter().zip(labels).filter(|(value, _)| *value > 0.0);
            let (values, labels) = positive.map(|(value, label)| (value.log10(), label)).unzip();
            return Self { values, labels };
        }
        let labels = values.iter().map(|value| short(10_f64.powf(*value))).collect();
        Self { values, labels }
    }
}

/// A number in three digits, or four if it is a whole one: `200`, `40k`, `1.25M`, `3e-5`.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    // Rounded through its digits: 0.3 and not 0.30000000000000004.
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    match size {
        0.0 => "0".to_owned(),
        1.0..1e4 if value.fract() == 0.0 => value.to_string(),
        1e-3..1e4 => rounded.to_string(),
        1e4..1e6 => format!("{}k", (rounded / 10.0).round() / 100.0),
        1e6..1e9 => format!("{}M", (rounded / 1e4).round() / 100.0),
        1e9..1e12 => format!("{}B", (rounded / 1e7).round() / 100.0),
        _ => format!("{rounded:e}"),
    }
}

/// The text at a tick, such as `0`, `20k`, `0.5M` or `-0.25`: one unit and one number of decimals for all of the axis.
fn linear_label(value: f64, step: f64, largest: f64) -> String {
    if value.abs() < step * 1e-6 {
        return "0".to_owned();
    }
    if !(1e-4..1e13).contains(&largest) {
        return format!("{value:.1e}");
    }
    // The largest unit in which the numbers stay short, for example 1000.2k rather than 1.0002M.
    let units = [(1e9, "B", 1e9), (1e6, "M", 1e6), (1e3, "k", 1e4)];
    let fits =
        |&(unit, _, smallest): &(f64, &str, f64)| largest >= smallest && decimals(step, unit) <= MAX_DECIMALS;
    let (unit, suffix, _) = units.into_iter().find(fits).unwrap_or((1.0, "", 0.0));
    let decimals = decimals(step, unit);
    format!("{:.decimals$}{suffix}", value / unit)
}

/// Decimals that tell one tick from the next.
fn decimals(step: f64, unit: f64) -> usize {
    let is_whole = |x: f64| x > 0.5 && (x - x.round()).abs() < 1e-6 * x;
    (0..15).find(|&decimals| is_whole(step / unit * 10_f64.powi(decimals))).unwrap_or(15) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, count: usize) -> Vec<String> {
        Ticks::new(low, high, count).labels
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(0.0, 100_000.0, 5), ["0", "20k", "40k", "60k", "80k", "100k"]);
        assert_eq!(labels(0.0, 2e6, 4), ["0", "0.5M", "1.0M", "1.5M", "2.0M"]);
        assert_eq!(labels(-210.0, 30.0, 5), ["-200", "-150", "-100", "-50", "0"]);
        assert_eq!(labels(0.1, 0.93, 4), ["0.25", "0.50", "0.75"]);
        assert_eq!(labels(0.0, 3e9, 3), ["0", "1B", "2B", "3B"]);
        assert_eq!(labels(0.0, 8000.0, 4), ["0", "2000", "4000", "6000", "8000"]);
    }

    #[test]
    fn logarithmic_ticks_are_powers_of_ten_and_what_fits_between() {
        let labels = |low: f64, high: f64, count| -> Vec<String> {
            Ticks::logarithmic(low.log10(), high.log10(), count).labels
        };
        assert_eq!(labels(1e-5, 1e-2, 5), ["1e-5", "1e-4", "0.001", "0.01"]);
        assert_eq!(labels(1e-4, 1e-3, 5), ["1e-4", "2e-4", "5e-4", "0.001"]);
        assert_eq!(labels(2.0, 40.0, 9), ["2", "5", "10", "20"]);
        assert_eq!(labels(210.0, 480.0, 5), ["300", "400"]);
        assert_eq!(labels(1.0, 1e9, 5), ["1", "100", "10k", "1M", "100M"]);
    }

    #[test]
    fn what_is_counted_has_whole_ticks() {
        let labels = |low: f64, high: f64, count| Ticks::whole(low, high, count).labels;
        assert_eq!(labels(0.0, 4.0, 9), ["0", "1", "2", "3", "4"]);
        assert_eq!(labels(0.0, 10.0, 4), ["0", "5", "10"]);
        assert_eq!(labels(-0.04, 1.04, 9), ["0", "1"]);
        assert_eq!(labels(0.0, 0.1, 9), ["0"]);
        assert_eq!(labels(0.0, 100_000.0, 4), Ticks::new(0.0, 100_000.0, 4).labels);
    }

    #[test]
    fn tiny_ranges_use_exponents() {
        assert_eq!(labels(0.0, 4e-5, 2), ["0", "2.0e-5", "4.0e-5"]);
    }

    #[test]
    fn far_ranges_keep_their_differences() {
        assert_eq!(labels(1_000_000.0, 1_000_400.0, 2), ["1000.0k", "1000.2k", "1000.4k"]);
        assert_eq!(labels(2_500_000.0, 2_500_001.0, 2), ["2500000.0", "2500000.5", "2500001.0"]);
        assert_eq!(labels(0.0, 1e6, 4), ["0", "0.25M", "0.50M", "0.75M", "1.00M"]);
    }

    #[test]
    fn short_numbers_are_short() {
        let numbers = [0.0, 0.3, 512.0, 2048.0, 40_000.0, 101_376.0, 1.25e6, 3e-5, 2e9, -12.345];
        let texts = ["0", "0.3", "512", "2048", "40k", "101k", "1.25M", "3e-5", "2B", "-12.3"];
        assert_eq!(numbers.map(short), texts);
    }
}
