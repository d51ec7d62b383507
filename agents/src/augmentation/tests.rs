use agon_envs::ActionSpec;
use agon_envs::spaces::{BoxSpace, Dtype};

use super::*;

fn spaces(shape: &[usize], dtype: Dtype, action: ActionSpec) -> Spaces {
    let bounds = BoxSpace::uniform(0.0, 255.0, shape, dtype).unwrap();
    Spaces { observation: Space::Box(bounds), frames: None, action, mask_len: 0, tasks: Vec::new() }
}

fn choice(options: u32) -> ActionSpec {
    ActionSpec::Discrete { nvec: vec![options] }
}

fn augmenter(text: &str, spaces: &Spaces) -> Result<Augmenter, AgentError> {
    let settings: ReplayAugmentation = toml::from_str(&format!("transformations = [{text}]")).unwrap();
    Augmenter::new(&settings.transformations, spaces)
}

/// The same row many times, seen differently.
fn views(text: &str, row: &[f32], spaces: &Spaces, rows: usize) -> (Vec<Vec<f32>>, ActionMaps) {
    let x = Input::Floats(Matrix::from_slice(rows, row.len(), &row.repeat(rows)).unwrap());
    let view = augmenter(text, spaces).unwrap().view(&x, 7, |row| row as u64).unwrap();
    let mut values = vec![0.0; rows * row.len()];
    Rows::from(&view.input).copy_to(&mut values);
    (values.chunks_exact(row.len()).map(<[f32]>::to_vec).collect(), view.actions)
}

#[test]
fn a_row_is_seen_the_same_wherever_it_stands() {
    let spaces = spaces(&[4, 4, 1], Dtype::U8, choice(4));
    let augmenter = augmenter("{ kind = 'shift', pad = 2 }, { kind = 'noise', std = 0.1 }", &spaces).unwrap();
    let bytes: Vec<u8> = (0..6 * 16).map(|at| (at * 5 % 256) as u8).collect();
    let all = network::bytes(6, 16, bytes.clone()).unwrap();
    let last = network::bytes(2, 16, bytes[4 * 16..].to_vec()).unwrap();
    let values = |view: View| {
        let mut values = vec![0.0; view.input.rows() * 16];
        Rows::from(&view.input).copy_to(&mut values);
        values
    };
    let all = values(augmenter.view(&all, 3, |row| row as u64).unwrap());
    let of_slice = values(augmenter.view(&last, 3, |row| 4 + row as u64).unwrap());
    assert_eq!(of_slice, all[4 * 16..]);
    let other_seed = values(augmenter.view(&last, 4, |row| 4 + row as u64).unwrap());
    assert_ne!(of_slice, other_seed);
}

#[test]
fn a_shift_moves_all_channels_and_fills_the_edge() {
    let spaces = spaces(&[3, 3, 2], Dtype::F32, choice(2));
    let row: Vec<f32> = (1..19).map(|at| at as f32).collect();
    let at = |row: &[f32], y: usize, x: usize, channel: usize| row[(y * 3 + x) * 2 + channel];
    for (edge, zero) in [("repeat", false), ("zero", true)] {
        let text = format!("{{ kind = 'shift', pad = 1, edge = '{edge}' }}");
        let (views, actions) = views(&text, &row, &spaces, 200);
        assert!(actions.is_empty());
        let mut seen = std::collections::BTreeSet::new();
        for view in views {
            let shifts = [-1_i64, 0, 1].iter().flat_map(|&top| [-1_i64, 0, 1].map(|left| (top, left)));
            let expected = |(top, left): (i64, i64), (y, x): (usize, usize), channel: usize| {
                let (y, x) = (y as i64 + top, x as i64 + left);
                let inside = (0..3).contains(&y) && (0..3).contains(&x);
                if zero && !inside {
                    return 0.0;
                }
                at(&row, y.clamp(0, 2) as usize, x.clamp(0, 2) as usize, channel)
            };
            let places = || (0..3).flat_map(|y| (0..3).flat_map(move |x| [(y, x, 0), (y, x, 1)]));
            let found = shifts.into_iter().find(|&shift| {
                places().all(|(y, x, channel)| at(&view, y, x, channel) == expected(shift, (y, x), channel))
            });
            seen.insert(found.expect("a shift by at most a pixel"));
        }
        assert_eq!(seen.len(), 9, "all shifts occur");
    }
}

#[test]
fn a_cutout_blanks_one_rectangle_and_a_crop_invents_nothing() {
    let spaces = spaces(&[1, 8, 8], Dtype::F32, choice(2));
    let row: Vec<f32> = (1..65).map(|at| at as f32).collect();
    for view in views("{ kind = 'cutout', least = 0.25, most = 0.5 }", &row, &spaces, 50).0 {
        let blank: Vec<usize> = (0..64).filter(|&at| view[at] == 0.0).collect();
        let (ys, xs) = (blank.iter().map(|at| at / 8), blank.iter().map(|at| at % 8));
        let (top, bottom) = (ys.clone().min().unwrap(), ys.max().unwrap());
        let (left, right) = (xs.clone().min().unwrap(), xs.max().unwrap());
        let (height, width) = (bottom - top + 1, right - left + 1);
        assert_eq!(blank.len(), height * width);
        assert!((2..=4).contains(&height) && (2..=4).contains(&width));
        assert!((0..64).all(|at| view[at] == 0.0 || view[at] == row[at]));
    }
    let crops = views("{ kind = 'crop', scale = 0.5 }", &row, &spaces, 50).0;
    assert!(crops.iter().any(|view| *view != row));
    for view in crops {
        // Lines and columns stay in order, and none is left out by more than a step.
        for line in view.chunks_exact(8) {
            assert!(line.windows(2).all(|pair| pair[1] == pair[0] || pair[1] == pair[0] + 1.0));
        }
    }
}

#[test]
fn noise_and_scale_change_the_numbers_that_are_named() {
    let spaces = spaces(&[3], Dtype::F32, choice(2));
    let row = [1.0, 2.0, 4.0];
    let (noisy, _) = views("{ kind = 'noise', std = 0.5, indices = [2] }", &row, &spaces, 4000);
    assert!(noisy.iter().all(|view| view[..2] == row[..2]));
    let errors: Vec<f64> = noisy.iter().map(|view| f64::from(view[2] - 4.0)).collect();
    let variance = errors.iter().map(|error| error * error).sum::<f64>() / 4000.0;
    assert!((variance.sqrt() - 0.5).abs() < 0.03, "{variance}");
    for view in views("{ kind = 'scale', low = 0.5, high = 1.5, indices = [0, 2] }", &row, &spaces, 50).0 {
        assert!(view[1] == 2.0 && (view[2] / view[0] - 4.0).abs() < 1e-5 && (0.5..=1.5).contains(&view[0]));
    }
}

#[test]
fn parts_change_places_with_their_actions() {
    let spaces = spaces(&[4], Dtype::F32, choice(3));
    let (views, actions) = views(
        "{ kind = 'parts', parts = [[0, 1], [2, 3]], actions = [[0], [2]] }",
        &[1.0, 2.0, 3.0, 4.0],
        &spaces,
        20,
    );
    let mut changed = 0;
    for (row, view) in views.iter().enumerate() {
        let swapped = *view == [3.0, 4.0, 1.0, 2.0];
        assert!(swapped || *view == [1.0, 2.0, 3.0, 4.0]);
        let expected = if swapped { [2, 1, 0] } else { [0, 1, 2] };
        assert_eq!([0, 1, 2].map(|action| actions.choice(row, action)), expected);
        let options = actions.options(row, &["first", "noop", "second"]);
        assert_eq!(options[0], if swapped { "second" } else { "first" });
        changed += usize::from(swapped);
    }
    assert!((1..20).contains(&changed));
}

#[test]
fn a_state_is_negated_with_its_action() {
    let discrete = spaces(&[2], Dtype::F32, choice(2));
    let (seen, actions) = views("{ kind = 'negate', actions = [1, 0] }", &[1.0, -2.0], &discrete, 20);
    for (row, view) in seen.iter().enumerate() {
        let negated = *view == [-1.0, 2.0];
        assert!(negated || *view == [1.0, -2.0]);
        assert_eq!(actions.choice(row, 0), usize::from(negated));
    }
    let continuous =
        spaces(&[2], Dtype::F32, ActionSpec::Continuous { low: vec![-1.0, 0.0], high: vec![1.0, 1.0] });
    let (seen, actions) = views("{ kind = 'negate', actions = [0] }", &[1.0, -2.0], &continuous, 20);
    for (row, view) in seen.iter().enumerate() {
        let mut action = [0.25, 0.5];
        actions.values(row, &mut action);
        assert_eq!(action, if view[0] < 0.0 { [-0.25, 0.5] } else { [0.25, 0.5] });
    }
    let message = augmenter("{ kind = 'negate' }", &continuous).unwrap_err().to_string();
    assert!(message.contains("evenly around zero"), "{message}");
}

#[test]
fn cells_of_a_board_move_with_its_stones() {
    let spaces = spaces(&[3, 3, 1], Dtype::U8, choice(10));
    let mut row = [0.0; 9];
    row[5] = 1.0;
    let text = "{ kind = 'symmetry', group = 'square', actions = 'cells' }";
    let (views, actions) = views(text, &row, &spaces, 100);
    let mut places = std::collections::BTreeSet::new();
    for (row, view) in views.iter().enumerate() {
        let place = view.iter().position(|&value| value == 1.0).unwrap();
        assert_eq!(actions.choice(row, 5), place, "a move to the stone's place is one to where it is seen");
        assert_eq!((actions.choice(row, 4), actions.choice(row, 9)), (4, 9));
        places.insert(place);
    }
    assert_eq!(places.into_iter().collect::<Vec<_>>(), [1, 3, 5, 7]);
}

#[test]
fn a_symmetry_that_leaves_actions_alone_goes_with_parts_that_do_not() {
    let spaces = spaces(&[1, 2, 2], Dtype::F32, choice(2));
    let text = "{ kind = 'symmetry', group = 'mirror' }, { kind = 'parts', parts = [[0], [1]], actions = [[0], [1]] }";
    let (_, actions) = views(text, &[1.0, 2.0, 3.0, 4.0], &spaces, 20);
    let found: std::collections::BTreeSet<usize> = (0..20).map(|row| actions.choice(row, 0)).collect();
    assert_eq!(found.len(), 2);
}

#[test]
fn bits_stay_bits_where_they_can() {
    let spaces = spaces(&[3, 3, 1], Dtype::U8, choice(2));
    let bits = BitMatrix::new(1, 9, vec![0b1010_0001, 1], network::BYTE_SCALE * 255.0).unwrap();
    let x = Input::from(bits);
    let shifted = augmenter("{ kind = 'shift', pad = 1 }", &spaces).unwrap();
    assert!(matches!(shifted.view(&x, 1, |row| row as u64).unwrap().input, Input::Bits(_)));
    let noisy = augmenter("{ kind = 'noise', std = 0.2 }", &spaces).unwrap();
    assert!(matches!(noisy.view(&x, 1, |row| row as u64).unwrap().input, Input::Bytes(_)));
}

#[test]
fn what_does_not_suit_is_refused_with_its_place() {
    let image = spaces(&[4, 5, 1], Dtype::U8, choice(4));
    let vector = spaces(&[4], Dtype::F32, ActionSpec::Discrete { nvec: vec![2, 2] });
    for (text, spaces, part) in [
        ("{ kind = 'shift', pad = 4 }", &image, "transformations[0].pad must be between 1 and 3, got 4"),
        ("{ kind = 'noise', std = 1.0 }, { kind = 'crop', scale = 2.0 }", &image, "transformations[1].scale"),
        ("{ kind = 'cutout', least = 0.5, most = 0.2 }", &image, "least must be above 0 and at most 0.2"),
        ("{ kind = 'shift' }", &vector, "images, got 4 numbers"),
        ("{ kind = 'symmetry', group = 'turns' }", &image, "not square"),
        ("{ kind = 'symmetry', group = 'mirror', actions = 'cells' }", &image, "at least 4 x 5 options"),
        (
            "{ kind = 'symmetry', group = 'mirror', mirrored = [0, 0, 1, 2] }",
            &image,
            "each number below 4 once",
        ),
        ("{ kind = 'negate', actions = [1, 0] }", &vector, "several choices"),
        ("{ kind = 'parts', parts = [[0, 1], [1, 2]] }", &vector, "different numbers below 4"),
        ("{ kind = 'scale', low = 2.0, high = 1.0 }", &vector, "low must be at most high = 1, got 2"),
        ("", &vector, "transformations must be at least one"),
    ] {
        let message = augmenter(text, spaces).unwrap_err().to_string();
        assert!(message.contains(part), "{text}: {message}");
    }
    let text = "transformations = [{ kind = 'noise', std = 0.1 }]\nviews = 65";
    let settings: ReplayAugmentation = toml::from_str(text).unwrap();
    let message = settings.views(&vector).unwrap_err().to_string();
    assert_eq!(message, "augmentation.views must be between 1 and 64, got 65");
}

#[test]
fn looks_are_of_symmetries_and_of_nothing_random() {
    let spaces = spaces(&[2, 3, 2], Dtype::U8, choice(6));
    let looks = |text: &str| augmenter(text, &spaces).unwrap().looks();
    let mirror = "{ kind = 'symmetry', group = 'mirror', actions = 'cells' }";
    let flip = "{ kind = 'symmetry', group = 'flip', actions = 'cells' }";
    let both = looks(&format!("{mirror}, {flip}")).unwrap();
    assert_eq!(
        Some(&both),
        looks("{ kind = 'symmetry', group = 'rectangle', actions = 'cells' }").as_ref().map(sorted).as_ref()
    );
    // Mirrored: the last pixel of a line comes first, with both of its channels, and the first cell is the third.
    let mirrored = &looks(mirror).unwrap().0[1];
    assert_eq!(mirrored.sources, [4, 5, 2, 3, 0, 1, 10, 11, 8, 9, 6, 7]);
    assert_eq!(mirrored.actions, [2, 1, 0, 5, 4, 3]);
    // However often it is said, there are no more.
    assert_eq!(looks(&vec![mirror; 40].join(", ")), looks(mirror));
    assert!(looks(&format!("{mirror}, {{ kind = 'noise', std = 0.1 }}")).is_none());
}

/// The looks of a rectangle's group in the order of its mirror and flip, one after the other.
fn sorted(looks: &Looks) -> Looks {
    Looks([0, 2, 1, 3].map(|index| looks.0[index].clone()).to_vec())
}
