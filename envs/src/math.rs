//! Scalar functions that the compiler can turn into vector instructions, with the same bits on every platform.

/// Sine and cosine for |x| ≤ π/4, within one unit in the last place: fdlibm's `__kernel_sin` and `__kernel_cos` without
/// their tails.
#[expect(clippy::excessive_precision, reason = "fdlibm's coefficients as published")]
#[inline(always)]
pub(crate) fn sin_cos_small(x: f64) -> (f64, f64) {
    let z = x * x;
    let s = 8.333_333_333_322_489e-3
        + z * (-1.984_126_982_985_795e-4
            + z * (2.755_731_370_707_006_8e-6
                + z * (-2.505_076_025_340_686_3e-8 + z * 1.589_690_995_211_55e-10)));
    let sin = x + z * x * (-1.666_666_666_666_663_2e-1 + z * s);
    let c = 4.166_666_666_666_66e-2
        + z * (-1.388_888_888_887_411e-3
            + z * (2.480_158_728_947_673e-5
                + z * (-2.755_731_435_139_066_3e-7
                    + z * (2.087_572_321_298_175e-9 + z * -1.135_964_755_778_819_5e-11))));
    let cos = 1.0 - (0.5 * z - z * z * c);
    (sin, cos)
}

/// Sine and cosine for |x| up to 10⁵, without a branch.
///
/// The angle is brought to |x| ≤ π/4 by subtracting a multiple of π/2 that is held in three parts (Cody and Waite).
#[expect(clippy::excessive_precision, reason = "fdlibm's constants as published")]
#[inline(always)]
pub(crate) fn sin_cos(x: f64) -> (f64, f64) {
    const TO_QUADRANTS: f64 = std::f64::consts::FRAC_2_PI;
    /// Adding 1.5 · 2⁵² leaves the nearest integer in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const PI_2_1: f64 = 1.570_796_326_734_125_614_17;
    const PI_2_2: f64 = 6.077_100_506_303_965_976_60e-11;
    const PI_2_3: f64 = 2.022_266_248_795_950_631_54e-21;
    let rounded = x * TO_QUADRANTS + ROUND;
    let quadrant = rounded.to_bits();
    let turns = rounded - ROUND;
    let rest = ((x - turns * PI_2_1) - turns * PI_2_2) - turns * PI_2_3;
    let (sin, cos) = sin_cos_small(rest);
    let swapped = quadrant & 1 != 0;
    let (sin, cos) = if swapped { (cos, sin) } else { (sin, cos) };
    let flip = |value: f64, negative: u64| f64::from_bits(value.to_bits() ^ (negative & 2) << 62);
    (flip(sin, quadrant), flip(cos, quadrant.wrapping_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_angles_agree_with_the_library_within_two_units_in_the_last_place() {
        for i in -1000..=1000 {
            let x = f64::from(i) / 1000.0 * std::f64::consts::FRAC_PI_4;
            let (sin, cos) = sin_cos_small(x);
            assert!((sin - x.sin()).abs() <= 2.0 * f64::EPSILON * x.sin().abs(), "sin {x}");
            assert!((cos - x.cos()).abs() <= 2.0 * f64::EPSILON, "cos {x}");
        }
    }

    #[test]
    fn any_angle_agrees_with_the_library() {
        for i in -200_000..=200_000 {
            let x = f64::from(i) * 0.001_37 + f64::from(i % 7) * 40.0;
            let (sin, cos) = sin_cos(x);
            assert!((sin - x.sin()).abs() <= 2.0 * f64::EPSILON, "sin {x}: {sin} and {}", x.sin());
            assert!((cos - x.cos()).abs() <= 2.0 * f64::EPSILON, "cos {x}: {cos} and {}", x.cos());
        }
    }
}
