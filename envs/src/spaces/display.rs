//! Spaces in words, as Gymnasium prints them.

use std::fmt;

use super::{BoxSpace, Dtype, Space};

/// Bounds are shortened in the middle when there are more than this many.
const MAX_BOUNDS: usize = 12;
const EDGE_BOUNDS: usize = 3;

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discrete { n, start: 0 } => write!(f, "Discrete({n})"),
            Self::Discrete { n, start } => write!(f, "Discrete({n}, start={start})"),
            Self::Box(space) => space.fmt(f),
            Self::MultiDiscrete { nvec } => {
                f.write_str("MultiDiscrete([")?;
                separated(f, " ", nvec, |f, n| write!(f, "{n}"))?;
                f.write_str("])")
            }
            Self::MultiBinary { n } => write!(f, "MultiBinary({n})"),
            Self::Dict(spaces) => {
                f.write_str("Dict(")?;
                separated(f, ", ", spaces, |f, (name, space)| write!(f, "'{name}': {space}"))?;
                f.write_str(")")
            }
            Self::Tuple(spaces) => {
                f.write_str("Tuple(")?;
                separated(f, ", ", spaces, |f, space| space.fmt(f))?;
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for BoxSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Box(")?;
        write_bounds(f, self.low(), self.dtype())?;
        f.write_str(", ")?;
        write_bounds(f, self.high(), self.dtype())?;
        f.write_str(", (")?;
        separated(f, ", ", self.shape(), |f, dim| write!(f, "{dim}"))?;
        // A Python tuple of one element ends in a comma.
        f.write_str(if self.shape().len() == 1 { ",), " } else { "), " })?;
        f.write_str(match self.dtype() {
            Dtype::F32 => "float32)",
            Dtype::U8 => "uint8)",
        })
    }
}

/// One number if all are the same, else all of them in brackets.
fn write_bounds(f: &mut fmt::Formatter<'_>, bounds: &[f32], dtype: Dtype) -> fmt::Result {
    let number = |f: &mut fmt::Formatter<'_>, bound: &f32, always_point: bool| match dtype {
        Dtype::F32 if always_point => write!(f, "{bound:?}"),
        _ => write!(f, "{bound}"),
    };
    if bounds.iter().all(|bound| *bound == bounds[0]) {
        return number(f, &bounds[0], true);
    }
    f.write_str("[")?;
    if bounds.len() > MAX_BOUNDS {
        separated(f, " ", &bounds[..EDGE_BOUNDS], |f, bound| number(f, bound, false))?;
        f.write_str(" ... ")?;
        separated(f, " ", &bounds[bounds.len() - EDGE_BOUNDS..], |f, bound| number(f, bound, false))?;
    } else {
        separated(f, " ", bounds, |f, bound| number(f, bound, false))?;
    }
    f.write_str("]")
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    separator: &str,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        write(f, item)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_read_as_in_gymnasium() {
        let inf = f32::INFINITY;
        let spaces = [
            (Space::discrete(2), "Discrete(2)"),
            (Space::discrete_from(1, 3), "Discrete(3, start=1)"),
            (
                Space::box_f32(&[-4.8, -inf, -0.41887903, -inf], &[4.8, inf, 0.41887903, inf]),
                "Box([-4.8 -inf -0.41887903 -inf], [4.8 inf 0.41887903 inf], (4,), float32)",
            ),
            (Space::box_uniform(-1.0, 1.0, &[4]), "Box(-1.0, 1.0, (4,), float32)"),
            (Space::box_uniform(0.0, inf, &[]), "Box(0.0, inf, (), float32)"),
            (Space::image_u8(&[84, 84, 3]), "Box(0, 255, (84, 84, 3), uint8)"),
            (Space::multi_discrete(&[3, 2]), "MultiDiscrete([3 2])"),
            (Space::multi_binary(4), "MultiBinary(4)"),
            (
                Space::dict([("b", Space::discrete(2).unwrap()), ("a", Space::multi_binary(1).unwrap())]),
                "Dict('a': MultiBinary(1), 'b': Discrete(2))",
            ),
            (
                Space::tuple([Space::discrete(2).unwrap(), Space::discrete(3).unwrap()]),
                "Tuple(Discrete(2), Discrete(3))",
            ),
        ];
        for (space, text) in spaces {
            assert_eq!(space.unwrap().to_string(), text);
        }
    }

    #[test]
    fn long_bounds_are_shortened() {
        let high: Vec<f32> = (1..=20).map(|i| i as f32).collect();
        let space = Space::box_f32(&[0.0; 20], &high).unwrap();
        assert_eq!(space.to_string(), "Box(0.0, [1 2 3 ... 18 19 20], (20,), float32)");
    }
}
