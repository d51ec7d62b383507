//! The symmetries of a square board, as permutations of a game's actions.

/// What becomes of every action under each of the eight symmetries of a square board whose actions are its points, row by
/// row from the top left, and then `extra_actions` that have no place, such as a pass, and stay what they are.
///
/// Symmetry `4 * m + q` mirrors left and right if `m` is 1, and then makes `q` quarter turns clockwise; number 0 changes
/// nothing. Where `permutation` is one of them, the action `a` becomes `permutation[a]`: a vector `new` of values of
/// actions on the board so turned has `new[permutation[a]] == old[a]`.
///
/// # Shapes
/// Each permutation: `[A]`, `A = size * size + extra_actions`.
pub fn square_symmetries(size: usize, extra_actions: usize) -> [Vec<usize>; 8] {
    let points = size * size;
    std::array::from_fn(|symmetry| {
        let image = |action: usize| {
            let (mut row, mut column) = (action / size, action % size);
            if symmetry >= 4 {
                column = size - 1 - column;
            }
            for _ in 0..symmetry % 4 {
                (row, column) = (column, size - 1 - row);
            }
            row * size + column
        };
        (0..points).map(image).chain(points..points + extra_actions).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_symmetries_of_a_small_board_are_the_drawn_ones() {
        // 0 1
        // 2 3
        let expected = [
            [0, 1, 2, 3, 4],
            [1, 3, 0, 2, 4],
            [3, 2, 1, 0, 4],
            [2, 0, 3, 1, 4],
            [1, 0, 3, 2, 4],
            [3, 1, 2, 0, 4],
            [2, 3, 0, 1, 4],
            [0, 2, 1, 3, 4],
        ];
        assert_eq!(square_symmetries(2, 1), expected.map(Vec::from));
    }

    #[test]
    fn the_symmetries_are_a_group_of_eight() {
        for size in 2..=5 {
            let all = square_symmetries(size, 2);
            for (i, first) in all.iter().enumerate() {
                assert!(all[..i].iter().all(|other| other != first), "size {size}");
                assert_eq!(first[size * size..], [size * size, size * size + 1]);
                for second in &all {
                    let both: Vec<usize> = first.iter().map(|&action| second[action]).collect();
                    assert!(all.contains(&both), "size {size}");
                }
            }
        }
    }
}
