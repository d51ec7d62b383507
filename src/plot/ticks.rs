//! Positions and texts of axis ticks.

/// Decimals of a number with a unit.
const MAX_DECIMALS: usize = 2;

/// Ticks of one axis: round numbers in a range.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ticks {
    /// Where they stand, increasing.
    pub(super) values: Vec<f64>,
    step: f64,
    /// Whether values are logarithms to the base of ten.
    logarithmic: bool,
}

impl Ticks {
    /// About `count` ticks in `low..=high`, at multiples of 1, 2, 2.5 or 5 times a power of ten.
    pub(super) fn new(low: f64, high: f64, count: usize) -> Self {
        let rough = (high - low) / count.max(1) as f64;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|factor| factor * power);
        let step = step.clone().find(|&step| step >= rough * (1.0 - 1e-9)).unwrap_or(10.0 * power);
        // Multiples are counted, not added up, so that zero is zero.
        let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
        let count = (last - first).max(0.0) as usize;
        Self { values: (0..=count).map(|i| (first + i as f64) * step).collect(), step, logarithmic: false }
    }

    /// About `count` ticks in `low..=high`, which are logarithms to the base of ten: at powers of ten, and at 2 and 5 times
    /// them where there are few.
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
        Self { values, step: 1.0, logarithmic: true }
    }

    /// The text at a tick, such as `0`, `20k`, `0.5M` or `-0.25`: one unit and one number of decimals for all of the axis.
    pub(super) fn label(&self, value: f64) -> String {
        if self.logarithmic {
            let number = 10_f64.powf(value);
            let digits = format!("{number:.0e}");
            return if (1e-3..1e4).contains(&number) {
                digits.parse().map_or(digits, |rounded: f64| rounded.to_string())
            } else {
                digits
            };
        }
        let largest = self.values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        if value.abs() < self.step * 1e-6 {
            return "0".to_owned();
        }
        if !(1e-4..1e13).contains(&largest) {
            return format!("{value:.1e}");
        }
        // The largest unit in which the numbers stay short, for example 1000.2k rather than 1.0002M.
        let units = [(1e9, "B", 1e9), (1e6, "M", 1e6), (1e3, "k", 1e4)];
        let fits = |&(unit, _, smallest): &(f64, &str, f64)| {
            largest >= smallest && self.decimals(unit) <= MAX_DECIMALS
        };
        let (unit, suffix, _) = units.into_iter().find(fits).unwrap_or((1.0, "", 0.0));
        let decimals = self.decimals(unit);
        format!("{:.decimals$}{suffix}", value / unit)
    }

    /// Decimals that tell one tick from the next.
    fn decimals(&self, unit: f64) -> usize {
        let is_whole = |x: f64| x > 0.5 && (x - x.round()).abs() < 1e-6 * x;
        (0..15).find(|&decimals| is_whole(self.step / unit * 10_f64.powi(decimals))).unwrap_or(15) as usize
    }

    /// All texts in order.
    pub(super) fn labels(&self) -> impl Iterator<Item = String> {
        self.values.iter().map(|&value| self.label(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, count: usize) -> Vec<String> {
        Ticks::new(low, high, count).labels().collect()
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
            Ticks::logarithmic(low.log10(), high.log10(), count).labels().collect()
        };
        assert_eq!(labels(1e-5, 1e-2, 5), ["1e-5", "1e-4", "0.001", "0.01"]);
        assert_eq!(labels(1e-4, 1e-3, 5), ["1e-4", "2e-4", "5e-4", "0.001"]);
        assert_eq!(labels(2.0, 40.0, 9), ["2", "5", "10", "20"]);
        assert_eq!(labels(1.0, 1e9, 5), ["1", "100", "1e4", "1e6", "1e8"]);
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
}
