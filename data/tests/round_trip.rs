//! What is written is read back, bit for bit.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use agon_data::{
    Array, Column, DataError, DataSet, DataSetId, Dtype, Episode, Format, Metadata, Space, Spaces, Value,
    Writer, list,
};
use proptest::prelude::*;

/// A column of random bytes for a space.
fn column(space: &Space, rows: usize, random: &mut impl FnMut() -> u8) -> Column {
    match space {
        Space::Dict(parts) => Column::Dict(
            parts.iter().map(|(name, part)| (name.clone(), column(part, rows, random))).collect(),
        ),
        Space::Tuple(parts) => Column::Tuple(parts.iter().map(|part| column(part, rows, random)).collect()),
        Space::Text { charset, .. } => {
            let letters: Vec<_> = charset.chars().collect();
            let text = |random: &mut dyn FnMut() -> u8| {
                (0..random() % 9).map(|_| letters[usize::from(random()) % letters.len()]).collect()
            };
            Column::Text((0..rows).map(|_| text(random)).collect())
        }
        _ => {
            let (dtype, shape) = space.array_kind().expect("a space of arrays");
            Column::Array(array(dtype, shape, rows, random))
        }
    }
}

fn array(dtype: Dtype, shape: &[usize], rows: usize, random: &mut impl FnMut() -> u8) -> Array {
    let size = shape.iter().product::<usize>() * dtype.size() * rows;
    let bytes = (0..size).map(|_| if dtype == Dtype::Bool { random() % 2 } else { random() }).collect();
    Array::new(dtype, shape.to_vec(), bytes).expect("whole rows")
}

fn episode(spaces: &Spaces, steps: usize, mut random: impl FnMut() -> u8) -> Episode {
    let random = &mut random;
    let infos = |random: &mut _| {
        Column::Dict(vec![
            ("array".to_owned(), Column::Array(array(Dtype::F32, &[2, 3], steps + 1, random))),
            ("flag".to_owned(), Column::Array(array(Dtype::Bool, &[], steps + 1, random))),
            (
                "inner".to_owned(),
                Column::Dict(vec![
                    (
                        "pair".to_owned(),
                        Column::Tuple(vec![Column::Array(array(Dtype::U16, &[1], steps + 1, random)); 2]),
                    ),
                    ("word".to_owned(), Column::Text(vec!["é\u{1F600}".to_owned(); steps + 1])),
                ]),
            ),
        ])
    };
    Episode {
        seed: random().is_multiple_of(2).then(|| i64::from(random()) << 40),
        options: random().is_multiple_of(2).then(|| {
            let inner = Value::Object(vec![("name".to_owned(), Value::Text("é".to_owned()))]);
            Value::Object(vec![("deep".to_owned(), inner), ("level".to_owned(), Value::Integer(-3))])
        }),
        observations: column(&spaces.observation, steps + 1, random),
        actions: column(&spaces.action, steps, random),
        rewards: (0..steps).map(|_| f64::from(random()) / 7.0).collect(),
        terminations: (0..steps).map(|_| random().is_multiple_of(2)).collect(),
        truncations: (0..steps).map(|_| random().is_multiple_of(2)).collect(),
        infos: random().is_multiple_of(2).then(|| infos(random)),
        attributes: BTreeMap::from([
            ("rewards_mean".to_owned(), Value::Number(f64::NEG_INFINITY)),
            ("tags".to_owned(), Value::List(vec![Value::Text("a".to_owned()), Value::Text(String::new())])),
        ]),
    }
}

fn id() -> DataSetId {
    "ns/deep/test-v3".parse().expect("an id")
}

fn write(root: &Path, spaces: &Spaces, format: Format, episodes: &[Episode]) -> Result<Metadata, DataError> {
    let mut writer = Writer::create(root, Metadata::new(id(), spaces.clone(), format))?;
    episodes.iter().try_for_each(|episode| writer.push(episode))?;
    writer.finish()
}

/// Equal bit for bit, also where numbers are no numbers.
fn assert_same(found: &Episode, wanted: &Episode) {
    assert_eq!(format!("{:?}", found.options.as_ref().map(common::sorted)), format!("{:?}", wanted.options));
    let (mut found, mut wanted) = (found.clone(), wanted.clone());
    (found.options, wanted.options) = (None, None);
    assert_eq!(found, wanted);
}

fn discrete() -> Spaces {
    Spaces { observation: Space::Discrete { start: 0, n: 9 }, action: Space::Discrete { start: 0, n: 9 } }
}

fn leaf() -> impl Strategy<Value = Space> {
    let shape = || prop::collection::vec(1_usize..4, 0..3);
    prop_oneof![
        (prop::sample::select(&Dtype::ALL[1..]), shape()).prop_map(|(dtype, shape)| {
            let count = shape.iter().product();
            Space::Box { dtype, shape, low: vec![0.0; count], high: vec![100.0; count] }
        }),
        Just(Space::Discrete { start: -4, n: 9 }),
        prop::collection::vec(1_usize..4, 1..3).prop_map(|shape| Space::MultiBinary { shape }),
        prop::collection::vec(1_usize..4, 1..3).prop_map(|shape| {
            let count = shape.iter().product();
            Space::MultiDiscrete { dtype: Dtype::I64, shape, nvec: vec![3; count], start: vec![1; count] }
        }),
        Just(Space::Text { max_length: 9, min_length: 0, charset: "abé\u{1F600}\"\\ ".to_owned() }),
    ]
}

fn space() -> impl Strategy<Value = Space> {
    leaf().prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Space::Tuple),
            prop::collection::vec(inner, 1..4).prop_map(|parts| {
                let names = ["b", "a", "é c"].into_iter().map(str::to_owned);
                Space::Dict(names.zip(parts).collect())
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_space_in_any_format_comes_back_bit_for_bit(
        observation in space(), action in space(), steps in prop::collection::vec(1_usize..6, 1..4), seed: u64,
    ) {
        let spaces = Spaces { observation, action };
        let mut state = seed | 1;
        let random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let mut random = random;
        let episodes: Vec<_> = steps.iter().map(|steps| episode(&spaces, *steps, &mut random)).collect();
        for format in Format::ALL {
            let root = tempfile::tempdir().expect("a folder");
            let metadata = write(root.path(), &spaces, format, &episodes).expect("written");
            let data_set = DataSet::open(root.path(), &id()).expect("opened");
            prop_assert_eq!(data_set.metadata(), &metadata);
            let found: Vec<_> = data_set.episodes().collect::<Result<_, _>>().expect("read");
            prop_assert_eq!(found.len(), episodes.len());
            // Numbers that are no numbers are not equal to themselves, but their texts are.
            for (found, wanted) in found.iter().zip(&episodes) {
                assert_same(found, wanted);
            }
        }
    }
}

#[test]
fn frames_are_kept_byte_for_byte() {
    let space =
        Space::Box { dtype: Dtype::U8, shape: vec![32, 32], low: vec![0.0; 1024], high: vec![255.0; 1024] };
    let spaces = Spaces { observation: space, ..discrete() };
    let frame = |inner: &[u8]| [&[0xff, 0xd8], inner, &[0xff, 0xd9]].concat();
    let frames = vec![frame(&[1, 2, 3]), frame(&[0, 0, 4, 0, 0, 0, 0]), frame(&[])];
    let template = episode(&discrete(), 2, || 1);
    for format in Format::ALL {
        for jpeg in [true, false] {
            let pixels = Array::new(Dtype::U8, vec![32, 32], (0..3072).map(|index| index as u8).collect())
                .expect("rows");
            let observations = if jpeg { Column::Jpeg(frames.clone()) } else { Column::Array(pixels) };
            let wanted = Episode { observations, ..template.clone() };
            let root = tempfile::tempdir().expect("a folder");
            let metadata = Metadata { jpeg_encoding: jpeg, ..Metadata::new(id(), spaces.clone(), format) };
            let mut writer = Writer::create(root.path(), metadata.clone()).expect("a writer");
            writer.push(&wanted).expect("pushed");
            writer.finish().expect("finished");
            let found = DataSet::open(root.path(), &id()).expect("opened").episode(0).expect("read");
            assert_eq!(found.observations, wanted.observations);

            let root = tempfile::tempdir().expect("a folder");
            let mut writer =
                Writer::create(root.path(), Metadata { jpeg_encoding: !jpeg, ..metadata }).expect("a writer");
            writer.push(&wanted).expect_err("the other kind of frames");
        }
    }
}

#[test]
fn twelve_episodes_stay_in_their_order() {
    for format in Format::ALL {
        let root = tempfile::tempdir().expect("a folder");
        let episodes: Vec<_> = (1..13).map(|steps| episode(&discrete(), steps, || 0)).collect();
        write(root.path(), &discrete(), format, &episodes).expect("written");
        let data_set = DataSet::open(root.path(), &id()).expect("opened");
        for (index, wanted) in episodes.iter().enumerate() {
            assert_eq!(
                data_set.episode(index as u64).expect("read").total_steps(),
                wanted.total_steps(),
                "{format}"
            );
        }
        data_set.episode(12).expect_err("there are twelve");
    }
}

#[test]
fn nothing_is_left_of_a_data_set_that_was_not_finished() {
    let root = tempfile::tempdir().expect("a folder");
    for format in Format::ALL {
        let mut writer =
            Writer::create(root.path(), Metadata::new(id(), discrete(), format)).expect("a writer");
        writer.push(&episode(&discrete(), 2, || 0)).expect("pushed");
        assert!(list(root.path()).expect("a list").is_empty());
        drop(writer);
        let left: Vec<_> = std::fs::read_dir(root.path().join("ns/deep")).expect("a folder").collect();
        assert_eq!(left.len(), 1, "only the file of the namespace");
    }
}

#[test]
fn a_data_set_may_have_no_episode() {
    for format in Format::ALL {
        let root = tempfile::tempdir().expect("a folder");
        write(root.path(), &discrete(), format, &[]).expect("written");
        let data_set = DataSet::open(root.path(), &id()).expect("opened");
        assert!(data_set.is_empty() && data_set.episodes().next().is_none());
        data_set.episode(0).expect_err("there is none");
    }
}

#[test]
fn a_data_set_is_never_written_over() {
    let root = tempfile::tempdir().expect("a folder");
    write(root.path(), &discrete(), Format::Arrow, &[episode(&discrete(), 2, || 0)]).expect("written");
    let error = write(root.path(), &discrete(), Format::Hdf5, &[]).expect_err("a second");
    assert!(matches!(error, DataError::Exists { .. }), "{error}");
    assert_eq!(list(root.path()).expect("a list"), [id()]);
}

#[test]
fn episodes_too_long_for_arrow_are_referred_to_hdf5() {
    let long = episode(&discrete(), 32_768, || 0);
    for format in [Format::Arrow, Format::Parquet] {
        let root = tempfile::tempdir().expect("a folder");
        let error =
            write(root.path(), &discrete(), format, std::slice::from_ref(&long)).expect_err("too long");
        let source = std::error::Error::source(&error).expect("a reason").to_string();
        assert!(source.contains("32768 steps") && source.contains("HDF5"), "{source}");
        write(root.path(), &discrete(), format, &[episode(&discrete(), 32_767, || 0)]).expect("the longest");
        assert_eq!(
            DataSet::open(root.path(), &id()).expect("opened").episode(0).expect("read").total_steps(),
            32_767
        );
    }
    let root = tempfile::tempdir().expect("a folder");
    write(root.path(), &discrete(), Format::Hdf5, std::slice::from_ref(&long)).expect("written");
    assert_same(&DataSet::open(root.path(), &id()).expect("opened").episode(0).expect("read"), &long);
}

#[test]
fn an_episode_that_does_not_fit_leaves_the_writer_usable() {
    for format in Format::ALL {
        let root = tempfile::tempdir().expect("a folder");
        let mut writer =
            Writer::create(root.path(), Metadata::new(id(), discrete(), format)).expect("a writer");
        let right = episode(&discrete(), 2, || 0);
        writer.push(&Episode { rewards: vec![0.0], ..right.clone() }).expect_err("one reward for two steps");
        if format == Format::Hdf5 {
            let options = Some(Value::Object(vec![("nothing".to_owned(), Value::Null)]));
            writer.push(&Episode { options, ..right.clone() }).expect_err("HDF5 has no null");
        }
        writer.push(&right).expect("pushed");
        writer.finish().expect("finished");
        assert_same(&DataSet::open(root.path(), &id()).expect("opened").episode(0).expect("read"), &right);
    }
}
