//! Data sets that Minari 0.5.4 wrote, against what its generator says is in them.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use agon_data::{Column, DataSet, Dtype, Episode, Format, Value};

use common::{expected, golden, matches};

const KINDS: [&str; 7] = ["box32", "box64", "discrete", "multi", "multi2d", "nested", "text"];

fn open(name: &str) -> DataSet {
    DataSet::open(&golden().join("sets"), &format!("golden/{name}-v0").parse().expect("an id")).expect(name)
}

fn episodes(name: &str) -> Vec<Episode> {
    open(name).episodes().collect::<Result<_, _>>().expect(name)
}

#[test]
fn every_format_gives_what_was_put_in() {
    let expected = expected();
    for kind in KINDS {
        let wanted = expected.get(kind).and_then(Value::as_list).expect(kind);
        for format in Format::ALL {
            let name = format!("{kind}-{format}");
            let found = episodes(&name);
            assert_eq!(found.len(), wanted.len(), "{name}");
            for (index, (episode, wanted)) in found.iter().zip(wanted).enumerate() {
                let place = format!("{name}[{index}]");
                let part = |name: &str| wanted.get(name).expect(name);
                matches(&episode.observations, part("observations"), &place);
                matches(&episode.actions, part("actions"), &place);
                let rewards: Vec<_> =
                    part("rewards").as_list().expect("a list").iter().filter_map(Value::as_f64).collect();
                assert_eq!(episode.rewards, rewards, "{place}");
                let flags = |flags: &[bool]| Value::List(flags.iter().copied().map(Value::Boolean).collect());
                assert_eq!(&flags(&episode.terminations), part("terminations"), "{place}");
                assert_eq!(&flags(&episode.truncations), part("truncations"), "{place}");
                assert_eq!(episode.seed, part("seed").as_i64(), "{place}");
                match (&episode.options, part("options")) {
                    (None, Value::Null) => {}
                    (Some(options), wanted) => {
                        assert_eq!(&common::sorted(options), &common::sorted(wanted), "{place}");
                    }
                    (None, _) => panic!("{place} has no options"),
                }
                match (&episode.infos, part("infos")) {
                    (None, Value::Null) => {}
                    (Some(infos), wanted) => matches(infos, wanted, &place),
                    (None, _) => panic!("{place} has no infos"),
                }
                episode.validate(&open(&name).metadata().spaces).expect(&place);
            }
        }
    }
}

#[test]
fn an_episode_in_several_batches_is_read_whole() {
    for format in [Format::Arrow, Format::Parquet] {
        assert_eq!(episodes(&format!("batches-{format}")), episodes(&format!("box32-{format}")));
    }
}

#[test]
fn all_formats_agree_on_spaces_and_counts() {
    for kind in KINDS {
        let [hdf5, arrow, parquet] = Format::ALL.map(|format| open(&format!("{kind}-{format}")));
        for other in [&arrow, &parquet] {
            assert_eq!(hdf5.metadata().spaces, other.metadata().spaces);
            assert_eq!(hdf5.metadata().total_steps, other.metadata().total_steps);
        }
        assert_eq!(hdf5.metadata().author, ["A. Author"]);
        assert_eq!(hdf5.metadata().requirements, ["gymnasium>=1.0"]);
    }
}

#[test]
fn frames_are_pixels_or_jpeg_files_as_the_metadata_say() {
    let expected = expected();
    for kind in ["pixels", "jpeg", "even"] {
        let wanted = expected.get(kind).and_then(Value::as_list).expect(kind);
        for format in Format::ALL {
            let name = format!("{kind}-{format}");
            let space = open(&name).metadata().spaces.observation.clone();
            assert!(space.is_image());
            for (episode, wanted) in episodes(&name).into_iter().zip(wanted) {
                assert_eq!(matches!(episode.observations, Column::Jpeg(_)), kind != "pixels", "{name}");
                let Column::Array(frames) = episode.observations.decode(&space).expect(&name) else {
                    panic!("{name} has no pixels");
                };
                assert_eq!((frames.dtype(), frames.rows()), (Dtype::U8, 3));
                let sums = wanted.get("frames").and_then(Value::as_list).expect("sums");
                let corners = wanted.get("corners").and_then(Value::as_list).expect("corners");
                for (frame, corners) in frames.bytes().chunks(frames.row_size()).zip(corners) {
                    let position = (12 * 32 + 12) * 3;
                    let found = frame[..3].iter().chain(&frame[position..position + 3]);
                    for (found, wanted) in found.zip(corners.as_list().expect("numbers")) {
                        let difference = i64::from(*found).abs_diff(wanted.as_i64().expect("a number"));
                        assert!(difference <= if kind == "pixels" { 0 } else { 4 }, "{name}: {difference}");
                    }
                }
                for (frame, sum) in frames.bytes().chunks(frames.row_size()).zip(sums) {
                    let found: i64 = frame.iter().map(|byte| i64::from(*byte)).sum();
                    let difference = (found - sum.as_i64().expect("a sum")).abs();
                    // Decoders round differently: less than one unit a number.
                    let tolerance = if kind == "pixels" { 0 } else { frame.len() as i64 };
                    assert!(difference <= tolerance, "{name}: {found} for {sum:?}");
                }
            }
        }
    }
}

#[test]
fn what_the_collector_notes_of_an_episode_is_kept() {
    let data_set = open("cartpole-hdf5");
    assert!(data_set.metadata().env_spec.as_ref().is_some_and(|text| text.contains("CartPole-v1")));
    for episode in data_set.episodes() {
        let episode = episode.expect("an episode");
        assert_eq!(episode.attributes.get("rewards_mean"), Some(&Value::Number(1.0)));
        assert!(episode.seed.is_some());
    }
}
