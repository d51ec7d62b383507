use proptest::prelude::*;

use super::*;
use crate::random::Pcg64;

/// Any space, nested up to three levels.
fn any_space() -> impl Strategy<Value = Space> {
    let bound = prop_oneof![3 => -100.0..100.0_f32, 1 => Just(f32::INFINITY)];
    let boxes = proptest::collection::vec((bound.clone(), bound), 1..6).prop_map(|bounds| {
        let low: Vec<f32> =
            bounds.iter().map(|&(low, high)| if low.is_infinite() { -low } else { low.min(high) }).collect();
        let high: Vec<f32> =
            bounds.iter().map(|&(low, high)| if low.is_infinite() { high } else { low.max(high) }).collect();
        Space::box_f32(&low, &high).unwrap()
    });
    let leaf = prop_oneof![
        (1..20_usize, -30..30_i64).prop_map(|(n, start)| Space::discrete_from(start, n).unwrap()),
        boxes,
        (1..4_usize, 1..4_usize).prop_map(|(rows, columns)| Space::image_u8(&[rows, columns]).unwrap()),
        proptest::collection::vec(1..6_usize, 1..5).prop_map(|nvec| Space::multi_discrete(&nvec).unwrap()),
        (1..6_usize).prop_map(|n| Space::multi_binary(n).unwrap()),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|spaces| Space::tuple(spaces).unwrap()),
            proptest::collection::btree_map("[a-z]{1,3}", inner, 1..4)
                .prop_map(|spaces| Space::dict(spaces).unwrap()),
        ]
    })
}

proptest! {
    #[test]
    fn samples_are_contained(space in any_space(), seed: u64) {
        let mut rng = Pcg64::seed_from(seed);
        let value = space.sample(&mut rng);
        prop_assert_eq!(space.contains(&value), Ok(()));
    }

    #[test]
    fn packed_and_flat_rows_hold_every_value(space in any_space(), seed: u64) {
        let mut rng = Pcg64::seed_from(seed);
        let value = space.sample(&mut rng);

        let mut row = vec![f32::NAN; space.packed_len()];
        prop_assert_eq!(space.pack(&value, &mut row), Ok(()));
        prop_assert_eq!(space.contains_packed(&row), Ok(()));
        prop_assert_eq!(space.unpack(&row), Ok(value.clone()));

        let flat = space.flatten(&value).unwrap();
        prop_assert_eq!(flat.len(), space.flat_len());
        prop_assert_eq!(space.unflatten(&flat), Ok(value));
    }

    #[test]
    fn rows_are_unpacked_only_if_contained(space in any_space(), fill in -2.0..2.0_f32) {
        let row = vec![fill.round(); space.packed_len()];
        match space.unpack(&row) {
            Ok(value) => prop_assert_eq!(space.contains(&value), Ok(())),
            Err(error) => prop_assert_eq!(space.contains_packed(&row), Err(error)),
        }
    }

    #[test]
    fn masked_samples_are_contained_and_allowed(n in 1..30_usize, allowed: u32, seed: u64) {
        let space = Space::discrete(n).unwrap();
        let mask: Vec<bool> = (0..n).map(|i| allowed >> i & 1 == 1).collect();
        let value = space.sample_masked(&mask, &mut Pcg64::seed_from(seed)).unwrap();
        let Value::Discrete(index) = value else { panic!("a discrete space samples an integer") };
        prop_assert!(mask[index as usize] || (index == 0 && !mask.contains(&true)));
    }

    #[test]
    fn spaces_survive_saving(space in any_space()) {
        let saved = postcard::to_allocvec(&space).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Space>(&saved).unwrap(), space);
    }
}

#[test]
fn spaces_that_hold_nothing_are_refused() {
    let message = |space: Result<Space, SpaceError>| space.unwrap_err().to_string();
    assert_eq!(message(Space::discrete(0)), "invalid Discrete space: n must be at least 1, got 0");
    assert_eq!(message(Space::multi_binary(0)), "invalid MultiBinary space: n must be at least 1, got 0");
    assert_eq!(message(Space::multi_discrete(&[])), "invalid MultiDiscrete space: nvec must not be empty");
    assert_eq!(
        message(Space::multi_discrete(&[2, 0])),
        "invalid MultiDiscrete space: nvec must lie between 1 and 16777216, got 0 at index 1"
    );
    assert_eq!(message(Space::tuple([])), "invalid Tuple space: at least one space is needed, got none");
    assert_eq!(
        message(Space::dict::<&str>([])),
        "invalid Dict space: at least one entry is needed, got none"
    );
    assert_eq!(
        message(Space::dict([("a", Space::discrete(1).unwrap()), ("a", Space::discrete(2).unwrap())])),
        "invalid Dict space: names must differ, got `a` twice"
    );
}

#[test]
fn integers_that_f32_cannot_hold_are_refused() {
    assert!(Space::discrete(1 << 24).is_ok());
    assert!(Space::discrete_from(1 << 24, 1).is_ok());
    assert_eq!(
        Space::discrete_from(1 << 24, 2).unwrap_err().to_string(),
        "invalid Discrete space: values must lie within ±16777216, got start = 16777216 and n = 2"
    );
    assert!(Space::discrete_from(i64::MIN, 1).is_err());
    assert!(Space::discrete(usize::MAX).is_err());
}

#[test]
fn shapes_are_those_of_gymnasium() {
    assert_eq!(Space::discrete(3).unwrap().shape(), Some(vec![]));
    assert_eq!(Space::image_u8(&[84, 84, 3]).unwrap().shape(), Some(vec![84, 84, 3]));
    assert_eq!(Space::multi_discrete(&[3, 2]).unwrap().shape(), Some(vec![2]));
    assert_eq!(Space::multi_binary(4).unwrap().shape(), Some(vec![4]));
    assert_eq!(Space::tuple([Space::discrete(3).unwrap()]).unwrap().shape(), None);
}
