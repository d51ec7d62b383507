//! Groups of symmetries of an image: what each of their elements does to pixels and to the options of an action.

use agon_envs::spaces::ImageLayout;

use super::transformation::{Moves, Symmetries};

/// One symmetry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Element {
    /// The pixel that each pixel is read from, `[H · W]`.
    pub(super) sources: Vec<usize>,
    /// The option that each option becomes, `[A]`; empty if actions stay as they are.
    pub(super) options: Vec<usize>,
}

/// The options that the generators of groups make of each; empty where it follows from the pixels.
pub(super) struct Given<'a> {
    pub(super) mirrored: &'a [usize],
    pub(super) flipped: &'a [usize],
    pub(super) turned: &'a [usize],
}

impl Element {
    fn identity(pixels: usize, options: usize) -> Self {
        Self { sources: (0..pixels).collect(), options: (0..options).collect() }
    }

    /// This one, and then another one.
    fn then(&self, next: &Self) -> Self {
        Self {
            sources: next.sources.iter().map(|&source| self.sources[source]).collect(),
            options: self.options.iter().map(|&option| next.options[option]).collect(),
        }
    }
}

/// Makes the generators of groups.
struct Generators<'a> {
    layout: &'a ImageLayout,
    moves: Moves,
    options: usize,
}

impl Generators<'_> {
    /// The one whose pixel at `(y, x)` is read from `source(y, x)`.
    fn element(&self, source: impl Fn(usize, usize) -> (usize, usize), given: &[usize]) -> Element {
        let ImageLayout { height, width, .. } = *self.layout;
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
        let sources: Vec<usize> = places.map(|(y, x)| source(y, x)).map(|(y, x)| y * width + x).collect();
        let mut options: Vec<usize> = (0..self.options).collect();
        if given.is_empty() {
            match self.moves {
                Moves::Same => {}
                Moves::Cells => sources.iter().enumerate().for_each(|(to, &from)| options[from] = to),
                // The first line says where columns come from.
                Moves::Columns => {
                    sources[..width].iter().enumerate().for_each(|(to, &from)| options[from % width] = to);
                }
            }
        } else {
            options.copy_from_slice(given);
        }
        Element { sources, options }
    }
}

/// All elements of a group, the identity first.
pub(super) fn elements(
    group: Symmetries,
    layout: &ImageLayout,
    moves: Moves,
    options: usize,
    given: &Given<'_>,
) -> Vec<Element> {
    let ImageLayout { height, width, .. } = *layout;
    let generators = Generators { layout, moves, options };
    let identity = Element::identity(height * width, options);
    let mirror = || generators.element(|y, x| (y, width - 1 - x), given.mirrored);
    let flip = || generators.element(|y, x| (height - 1 - y, x), given.flipped);
    let turns = || {
        let turn = generators.element(|y, x| (x, width - 1 - y), given.turned);
        std::iter::successors(Some(identity.clone()), move |element| Some(element.then(&turn))).take(4)
    };
    match group {
        Symmetries::Mirror => vec![identity, mirror()],
        Symmetries::Flip => vec![identity, flip()],
        Symmetries::Rectangle => {
            let (mirror, flip) = (mirror(), flip());
            vec![identity, mirror.clone(), flip.clone(), mirror.then(&flip)]
        }
        Symmetries::Turns => turns().collect(),
        Symmetries::Square => {
            let mirror = mirror();
            turns().flat_map(|turned| [turned.clone(), mirror.then(&turned)]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Given<'_> = Given { mirrored: &[], flipped: &[], turned: &[] };

    fn layout(height: usize, width: usize) -> ImageLayout {
        ImageLayout { height, width, channels: 1, channels_last: true }
    }

    #[test]
    fn a_turn_is_against_the_clock_and_cells_move_with_their_pixels() {
        let turns = elements(Symmetries::Turns, &layout(3, 3), Moves::Cells, 10, &NONE);
        // 0 1 2    2 5 8
        // 3 4 5 -> 1 4 7
        // 6 7 8    0 3 6
        assert_eq!(turns[1].sources, [2, 5, 8, 1, 4, 7, 0, 3, 6]);
        // The pixel 2 comes to place 0, 0 to place 6; what comes after the cells stays.
        assert_eq!(turns[1].options, [6, 3, 0, 7, 4, 1, 8, 5, 2, 9]);
        assert_eq!(turns[3].then(&turns[1]), turns[0]);
    }

    #[test]
    fn groups_are_closed_and_their_elements_differ() {
        for (group, height, width, size) in [
            (Symmetries::Mirror, 2, 3, 2),
            (Symmetries::Flip, 2, 3, 2),
            (Symmetries::Rectangle, 2, 3, 4),
            (Symmetries::Turns, 3, 3, 4),
            (Symmetries::Square, 3, 3, 8),
        ] {
            let elements = elements(group, &layout(height, width), Moves::Cells, height * width, &NONE);
            assert_eq!(elements.len(), size);
            for (index, first) in elements.iter().enumerate() {
                assert!(elements[..index].iter().all(|other| other.sources != first.sources), "{group:?}");
                for second in &elements {
                    assert!(elements.contains(&first.then(second)), "{group:?}");
                }
                // What is at a pixel's place came from it.
                let moved = first.sources.iter().enumerate().all(|(to, &from)| first.options[from] == to);
                assert!(moved, "{group:?}");
            }
        }
    }

    #[test]
    fn columns_are_mirrored_and_given_options_are_taken() {
        let columns = elements(Symmetries::Mirror, &layout(2, 3), Moves::Columns, 3, &NONE);
        assert_eq!(columns[1].options, [2, 1, 0]);
        assert_eq!(columns[1].sources, [2, 1, 0, 5, 4, 3]);
        let given = Given { mirrored: &[0, 3, 2, 1], ..NONE };
        let given = elements(Symmetries::Mirror, &layout(2, 3), Moves::Same, 4, &given);
        assert_eq!(given[1].options, [0, 3, 2, 1]);
    }
}
