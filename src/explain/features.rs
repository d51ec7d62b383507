//! What the numbers of an observation and the actions are called: words of the environment's page.

use agon_envs::{EnvSpec, Space};
use agon_policy::{InputKind, InputPart};

/// A number that is looked at: one of the observation, or one that is computed of an image's channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Such as `pole angle`.
    pub name: String,
    /// Such as `rad`; empty if it has none.
    pub unit: String,
    /// How it is computed.
    pub kind: FeatureKind,
}

/// How a feature is computed of an observation's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureKind {
    /// The value of this index.
    Value(usize),
    /// A cell of an image, which holds something or nothing.
    Cell(usize),
    /// How many cells of a channel hold something.
    Count(usize),
    /// The mean row of a channel's cells that hold something; −1 if none does.
    Row(usize),
    /// The mean column, likewise.
    Column(usize),
    /// How many rows the second channel's mean lies below the first one's; 0 if either has none.
    RowsApart(usize, usize),
    /// How many columns it lies to the right, likewise.
    ColumnsApart(usize, usize),
}

/// All features of an environment's observations.
#[derive(Clone, Debug)]
pub struct Features {
    /// The observation's own values come first, in their order.
    pub all: Vec<Feature>,
    /// `[H, W, C]` if the observation is one image of few channels.
    pub image: Option<[usize; 3]>,
    /// What an image's channels are called, or the observation's values: what is permuted and hidden as one.
    pub groups: Vec<Group>,
}

/// Values of an observation that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Such as `pole angle`, or `ball` for a channel of an image.
    pub name: String,
    /// Their indices.
    pub values: Vec<usize>,
}

/// Most channels of an image whose cells are things.
const MOST_CHANNELS: usize = 16;

impl Features {
    /// Those of an environment whose observation has these parts.
    pub fn of(spec: &EnvSpec, inputs: &[InputPart]) -> Self {
        let rows = spec.page_section("Observation space").map(|page| table(&page)).unwrap_or_default();
        if let [InputPart { kind: InputKind::Byte, shape, .. }] = inputs
            && let &[height, width, channels] = shape.as_slice()
            && channels <= MOST_CHANNELS
        {
            return Self::of_image([height, width, channels], &rows);
        }
        let mut all = Vec::new();
        for part in inputs {
            for i in 0..part.len() {
                let index = all.len();
                let told = rows.iter().find(|row| inputs.len() == 1 && row.index == index);
                let name = match (told, part.len()) {
                    (Some(row), _) => row.meaning.clone(),
                    (None, 1) => part.name.clone(),
                    (None, _) => format!("{}[{i}]", part.name),
                };
                let unit = told.map(|row| row.unit.clone()).unwrap_or_default();
                all.push(Feature { name, unit, kind: FeatureKind::Value(index) });
            }
        }
        let group = |(i, feature): (usize, &Feature)| Group { name: feature.name.clone(), values: vec![i] };
        let groups = all.iter().enumerate().map(group).collect();
        Self { all, image: None, groups }
    }

    fn of_image(image: [usize; 3], rows: &[Told]) -> Self {
        let [height, width, channels] = image;
        let names: Vec<String> = (0..channels)
            .map(|channel| {
                let told = rows.iter().find(|row| row.index == channel);
                told.map_or_else(|| format!("channel {channel}"), |row| row.meaning.clone())
            })
            .collect();
        let mut all = Vec::new();
        for cell in 0..height * width {
            for (channel, name) in names.iter().enumerate() {
                let name = format!("{name} in row {}, column {}", cell / width, cell % width);
                let kind = FeatureKind::Cell(cell * channels + channel);
                all.push(Feature { name, unit: String::new(), kind });
            }
        }
        let mut add = |name: String, unit: &str, kind| {
            all.push(Feature { name, unit: unit.to_owned(), kind });
        };
        for (channel, name) in names.iter().enumerate() {
            add(format!("number of {name}"), "cells", FeatureKind::Count(channel));
            add(format!("row of {name}"), "", FeatureKind::Row(channel));
            add(format!("column of {name}"), "", FeatureKind::Column(channel));
        }
        for (a, first) in names.iter().enumerate() {
            for (b, second) in names.iter().enumerate().skip(a + 1) {
                add(format!("{second} below {first}"), "rows", FeatureKind::RowsApart(a, b));
                add(format!("{second} to the right of {first}"), "columns", FeatureKind::ColumnsApart(a, b));
            }
        }
        let cells = |channel| (0..height * width).map(|cell| cell * channels + channel).collect();
        let groups = names.into_iter().enumerate().map(|(i, name)| Group { name, values: cells(i) });
        Self { groups: groups.collect(), all, image: Some(image) }
    }

    /// Values of an observation.
    pub fn observation_len(&self) -> usize {
        self.groups.iter().map(|group| group.values.len()).sum()
    }

    /// All features of an observation, in their order.
    pub fn extract(&self, observation: &[f32]) -> Vec<f32> {
        let Some([height, width, channels]) = self.image else { return observation.to_vec() };
        // Of each channel: cells that hold something, sums of their rows and columns.
        let mut sums = vec![[0.0_f32; 3]; channels];
        for (i, _) in observation.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            let cell = i / channels % (height * width);
            let add = [1.0, (cell / width) as f32, (cell % width) as f32];
            sums[i % channels].iter_mut().zip(add).for_each(|(sum, value)| *sum += value);
        }
        let mean = |channel: usize, axis: usize| {
            let [count, ..] = sums[channel];
            if count > 0.0 { sums[channel][axis] / count } else { -1.0 }
        };
        let apart = |a: usize, b: usize, axis| match sums[a][0] > 0.0 && sums[b][0] > 0.0 {
            true => mean(b, axis) - mean(a, axis),
            false => 0.0,
        };
        let value = |feature: &Feature| match feature.kind {
            FeatureKind::Value(i) | FeatureKind::Cell(i) => observation[i],
            FeatureKind::Count(channel) => sums[channel][0],
            FeatureKind::Row(channel) => mean(channel, 1),
            FeatureKind::Column(channel) => mean(channel, 2),
            FeatureKind::RowsApart(a, b) => apart(a, b, 1),
            FeatureKind::ColumnsApart(a, b) => apart(a, b, 2),
        };
        self.all.iter().map(value).collect()
    }
}

/// What the numbers of an observation of one box are called on the environment's page; empty where it does not say.
pub(super) fn observation_names(spec: &EnvSpec, space: &Space) -> Vec<String> {
    let rows = spec.page_section("Observation space").map(|page| table(&page)).unwrap_or_default();
    let name = |index: usize| {
        let told = rows.iter().find(|row| row.index == index)?;
        Some(if told.unit.is_empty() {
            told.meaning.clone()
        } else {
            format!("{}, {}", told.meaning, told.unit)
        })
    };
    (0..space.packed_len()).map_while(name).collect()
}

/// A row of a page's table.
struct Told {
    index: usize,
    meaning: String,
    unit: String,
}

/// The rows of a table whose columns are called index or channel, meaning, and perhaps unit.
fn table(page: &str) -> Vec<Told> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = page.lines().filter(|line| line.starts_with('|'));
    let header = lines.next().map(cells).unwrap_or_default();
    let column = |name: &str| header.iter().position(|cell| cell == name);
    let Some(meaning) = column("meaning") else { return Vec::new() };
    let unit = column("unit");
    let rows = lines.map(cells).filter_map(|row| {
        let index = row.first()?.parse().ok()?;
        let meaning = row.get(meaning)?;
        // What follows the name is for the page.
        let meaning = meaning.split([',', ':', ';', '(']).next().unwrap_or(meaning).trim().to_owned();
        let unit = unit.and_then(|unit| row.get(unit)).cloned().unwrap_or_default();
        Some(Told { index, meaning, unit })
    });
    rows.collect()
}

/// What actions are called: the page's words where it lists them as `0 nothing, 1 left`, else numbers.
pub fn action_names(spec: &EnvSpec, options: usize) -> Vec<String> {
    let page = spec.page_section("Action space").unwrap_or_default();
    // A page of several versions has a line for each.
    let version = spec.id().rsplit_once('-').map(|(_, version)| format!("`-{version}`")).unwrap_or_default();
    let own = page.lines().find(|line| line.starts_with(&version)).unwrap_or(&page);
    let own = own.replace('\n', " ");
    let mut names = Vec::new();
    let mut rest = own.as_str();
    for index in 0..options {
        let sign = format!("{index} ");
        let found = rest.match_indices(&sign).find(|(at, _)| {
            let before = rest[..*at].chars().next_back();
            before.is_none_or(char::is_whitespace)
        });
        let Some((at, _)) = found else { break };
        rest = &rest[at + sign.len()..];
        let end = rest.find([',', ';', '.', '\n', '|']).unwrap_or(rest.len());
        names.push(rest[..end].trim().to_owned());
    }
    if names.len() == options && names.iter().all(|name| !name.is_empty() && name.len() < 60) {
        return names;
    }
    (0..options).map(|index| format!("action {index}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::Setup;

    fn features(id: &str) -> Features {
        let registry = Setup::default().registry;
        let spec = registry.get(id).unwrap();
        let simulator = registry.make(id, &agon_envs::MakeOptions::default()).unwrap();
        let inputs = crate::policy::parts_of(simulator.observation_space());
        Features::of(spec.as_ref(), &inputs)
    }

    #[test]
    fn numbers_have_the_names_and_units_of_the_page() {
        let features = features("CartPole-v1");
        let told = |i: usize| (features.all[i].name.as_str(), features.all[i].unit.as_str());
        assert_eq!(told(0), ("cart position", "m"));
        assert_eq!(told(3), ("pole angular velocity", "rad/s"));
        assert_eq!(features.extract(&[1.0, 2.0, 3.0, 4.0]), [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn channels_of_an_image_are_counted_and_located() {
        let features = features("MinAtar/Breakout-v0");
        let mut observation = vec![0.0; 400];
        // A ball in row 3, column 5, and the paddle in the last row, column 2.
        observation[(3 * 10 + 5) * 4 + 1] = 255.0;
        observation[(9 * 10 + 2) * 4] = 255.0;
        let values = features.extract(&observation);
        let of = |name: &str| values[features.all.iter().position(|f| f.name == name).unwrap()];
        assert_eq!([of("number of ball"), of("row of ball"), of("column of ball")], [1.0, 3.0, 5.0]);
        assert_eq!(of("ball to the right of paddle"), 3.0);
        assert_eq!(of("row of brick"), -1.0);
        assert_eq!(of("brick below ball"), 0.0);
        assert_eq!(of("ball in row 3, column 5"), 255.0);
        assert_eq!(features.groups[1].name, "ball");
        assert_eq!(features.groups[1].values.len(), 100);
    }

    #[test]
    fn actions_have_the_words_of_the_page() {
        let registry = Setup::default().registry;
        let names = |id: &str, n| action_names(registry.get(id).unwrap().as_ref(), n);
        assert_eq!(names("MountainCar-v0", 3)[0], "accelerates to the left");
        assert_eq!(names("MinAtar/SpaceInvaders-v1", 4), ["nothing", "left", "right", "fire"]);
        assert_eq!(names("Acrobot-v1", 3)[2], "action 2");
    }
}
