//! The legend: what each curve is called, in rows above the plot if they are few, else in columns below it.

use std::collections::BTreeSet;

use super::PlotOptions;
use super::font::Typeface;
use super::series::Series;
use super::style;
use super::svg::Color;

/// Room that a text is given, as a share of its width.
const TEXT_ROOM: f64 = 1.06;
/// Size of the text of a legend in rows, and in columns.
const SIZE: f64 = 18.0;
const SMALL_SIZE: f64 = 14.5;
/// More rows than this become columns below the plot.
const MOST_ROWS: usize = 3;
const MOST_COLUMNS: usize = 4;
/// More entries than this have two columns at least.
const MOST_IN_A_COLUMN: usize = 8;
/// The narrowest column with a text that can be read.
const NARROWEST: f64 = 300.0;
pub(super) const SWATCH_WIDTH: f64 = 40.0;
const GAP: f64 = 8.0;

/// One sign and text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) color: Color,
    /// As in [`super::svg::Stroke`].
    pub(super) dashes: Vec<f64>,
    /// A dot instead of a line, filled or not.
    pub(super) dot: Option<bool>,
    pub(super) has_band: bool,
}

/// An entry and where it stands: from the legend's left edge to the sign, and the middle of its row from the upper edge.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub(super) entry: Entry,
    pub(super) left: f64,
    pub(super) middle: f64,
}

/// A legend that has been laid out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Legend {
    pub(super) entries: Vec<Placed>,
    pub(super) height: f64,
    pub(super) text_size: f64,
    /// Whether it stands below the plot.
    pub(super) is_below: bool,
}

impl Legend {
    /// Lays out the legend of some series within a width.
    pub(super) fn new(series: &[Series], options: &PlotOptions, typeface: &Typeface, width: f64) -> Self {
        let mut names: Vec<String> = series.iter().map(|series| series.label.clone()).collect();
        make_unique(&mut names);
        let counts_runs = series.iter().any(|series| series.count.runs > 1);
        let counts: Vec<String> = series
            .iter()
            .map(|series| if counts_runs { count_text(series) } else { String::new() })
            .collect();
        let measure = |text: &str, size: f64| TEXT_ROOM * size * typeface.width(text);
        let whole: Vec<String> =
            names.iter().zip(&counts).map(|(name, count)| format!("{name}{count}")).collect();
        let in_full = entries(series, &whole, options);
        if let Some(rows) = rows(&in_full, &|text| measure(text, SIZE), width) {
            return Self::in_rows(&in_full, &rows, &|text| measure(text, SIZE), width);
        }
        let sign = SWATCH_WIDTH + GAP;
        let widest = in_full.iter().map(|entry| measure(&entry.text, SMALL_SIZE)).fold(0.0, f64::max);
        let fits = |columns: &usize| widest + sign + 2.0 * GAP <= width / *columns as f64;
        // A long list in one column would make the picture a tower: then names are cut.
        let readable = ((width / NARROWEST) as usize).clamp(1, 2);
        let fewest = if in_full.len() > MOST_IN_A_COLUMN { readable } else { 1 };
        let columns = (fewest..=MOST_COLUMNS).rev().find(fits).unwrap_or(readable);
        let column_width = width / columns as f64;
        let room = column_width - sign - 2.0 * GAP;
        let shown = fitted(&names, &counts, &|text| measure(text, SMALL_SIZE) <= room);
        let entries = entries(series, &shown, options);
        let row_height = SMALL_SIZE * 1.45;
        let count = entries.len().div_ceil(columns);
        let placed = entries.into_iter().enumerate().map(|(i, entry)| Placed {
            entry,
            left: (i % columns) as f64 * column_width,
            middle: ((i / columns) as f64 + 0.5) * row_height,
        });
        Self {
            entries: placed.collect(),
            height: count as f64 * row_height,
            text_size: SMALL_SIZE,
            is_below: true,
        }
    }

    fn in_rows(
        entries: &[Entry],
        rows: &[Vec<(usize, f64)>],
        measure: &dyn Fn(&str) -> f64,
        width: f64,
    ) -> Self {
        let row_height = SIZE * 1.5;
        let mut placed = Vec::new();
        for (row, places) in rows.iter().enumerate() {
            // Rows are centred over the picture.
            let end =
                places.last().map_or(0.0, |&(i, left)| left + SWATCH_WIDTH + GAP + measure(&entries[i].text));
            let begin = ((width - end) / 2.0).max(0.0);
            placed.extend(places.iter().map(|&(i, left)| Placed {
                entry: entries[i].clone(),
                left: begin + left,
                middle: (row as f64 + 0.5) * row_height,
            }));
        }
        Self { entries: placed, height: rows.len() as f64 * row_height, text_size: SIZE, is_below: false }
    }
}

/// Number of runs behind a curve, as its name goes on.
fn count_text(series: &Series) -> String {
    let count = &series.count;
    if count.fewer.is_empty() {
        format!(" (n = {})", count.runs)
    } else {
        format!(" (n = {}, {})", count.runs, count.fewer)
    }
}

fn entries(series: &[Series], texts: &[String], options: &PlotOptions) -> Vec<Entry> {
    let of_series = series.iter().zip(texts).enumerate().filter(|(_, (series, _))| !series.label.is_empty());
    let entry = |(i, (series, text)): (usize, (&Series, &String))| Entry {
        text: text.clone(),
        color: style::color(i),
        dashes: style::dashes(i),
        dot: (!series.joined).then_some(style::is_filled(i)),
        has_band: series.stretches.iter().any(|stretch| !stretch.band.is_empty()),
    };
    let threshold = options.threshold.iter().map(|(_, text)| Entry {
        text: text.clone(),
        color: super::draw::THRESHOLD_COLOR,
        dashes: super::draw::THRESHOLD_DASHES.to_vec(),
        dot: None,
        has_band: false,
    });
    of_series.map(entry).chain(threshold).collect()
}

/// The entries in rows, each with its distance from the left; none if they do not fit into few rows.
fn rows(entries: &[Entry], measure: &dyn Fn(&str) -> f64, width: f64) -> Option<Vec<Vec<(usize, f64)>>> {
    let mut rows: Vec<Vec<(usize, f64)>> = Vec::new();
    let mut end = f64::INFINITY;
    for (i, entry) in entries.iter().enumerate() {
        let entry_width = SWATCH_WIDTH + GAP + measure(&entry.text);
        if entry_width > width {
            return None;
        }
        if end + entry_width > width {
            rows.push(Vec::new());
            end = 0.0;
        }
        if let Some(row) = rows.last_mut() {
            row.push((i, end));
        }
        end += entry_width + 3.0 * GAP;
    }
    (rows.len() <= MOST_ROWS).then_some(rows)
}

/// Numbers names that occur again.
fn make_unique(names: &mut [String]) {
    let mut taken = BTreeSet::new();
    for name in names.iter_mut().filter(|name| !name.is_empty()) {
        let first = name.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            *name = format!("{first} [{number}]");
            number += 1;
        }
    }
}

/// The names, each with its count, cut where they do not fit; no two become the same.
fn fitted(names: &[String], counts: &[String], fits: &dyn Fn(&str) -> bool) -> Vec<String> {
    let cut_all = |names: &[String], share: f64| -> Vec<String> {
        names.iter().zip(counts).map(|(name, count)| cut(name, count, share, fits)).collect()
    };
    let different = |texts: &Vec<String>| texts.iter().collect::<BTreeSet<_>>().len() == texts.len();
    let too_long =
        |names: &[String]| names.iter().zip(counts).any(|(name, count)| !fits(&format!("{name}{count}")));
    // What all of them begin or end with tells none from another.
    let begin = common_prefix(names);
    let rest: Vec<String> = names.iter().map(|name| format!("…{}", &name[begin..])).collect();
    let reversed: Vec<String> =
        names.iter().map(|name| name[begin..].chars().rev().collect::<String>()).collect();
    let end = common_prefix(&reversed);
    let middle: Vec<String> =
        names.iter().map(|name| format!("…{}…", &name[begin..name.len() - end])).collect();
    let bare = if end > 0 { vec![&rest, &middle] } else { vec![&rest] };
    if too_long(names)
        && let Some(short) = bare.iter().find(|names| !too_long(names))
    {
        return cut_all(short, 0.5);
    }
    // Where to cut: names often differ at their end, else at their beginning, else in between.
    let shares = [0.5, 0.3, 0.7, 0.1, 0.9];
    let cuts = shares.into_iter().flat_map(|share| [cut_all(names, share), cut_all(&rest, share)]);
    if let Some(texts) = cuts.into_iter().find(different) {
        return texts;
    }
    let numbered = names.iter().zip(counts).enumerate();
    numbered.map(|(i, (name, count))| cut(name, &format!(" [{}]{count}", i + 1), 0.5, fits)).collect()
}

/// A name with its count, the name cut so that both fit; `share` of what is left of it is its beginning.
fn cut(name: &str, count: &str, share: f64, fits: &dyn Fn(&str) -> bool) -> String {
    let whole = format!("{name}{count}");
    if fits(&whole) {
        return whole;
    }
    let letters: Vec<char> = name.chars().collect();
    let shortened = |kept: usize| {
        let begin = (kept as f64 * share).round() as usize;
        let head: String = letters[..begin].iter().collect();
        let tail: String = letters[letters.len() - (kept - begin)..].iter().collect();
        format!("{head}…{tail}{count}")
    };
    let kept = (1..letters.len()).rev().find(|&kept| fits(&shortened(kept))).unwrap_or(0);
    shortened(kept)
}

/// Bytes of the longest beginning that all names share, up to a whole word.
fn common_prefix(names: &[String]) -> usize {
    let Some((first, others)) = names.split_first() else { return 0 };
    let shared = |name: &String| {
        first
            .char_indices()
            .zip(name.chars())
            .find(|((_, a), b)| a != b)
            .map_or(first.len().min(name.len()), |((i, _), _)| i)
    };
    let length = others.iter().map(shared).min().unwrap_or(0);
    first[..length].rfind(['_', '-', '/', ' ', ',', '=']).map_or(0, |i| i + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn names_are_cut_in_the_middle_and_stay_different() {
        let at_most = |length: usize| move |text: &str| text.chars().count() <= length;
        let names = strings(&["ppo_cartpole_with_lr_1e-3", "ppo_cartpole_with_lr_1e-4", "dqn"]);
        let none = strings(&["", "", ""]);
        assert_eq!(fitted(&names, &none, &at_most(13)), ["ppo_ca…r_1e-3", "ppo_ca…r_1e-4", "dqn"]);
        // The same ends, other beginnings; then only the middle tells them apart.
        let names = strings(&["a_with_a_long_name", "b_with_a_long_name"]);
        assert_eq!(fitted(&names, &none[..2], &at_most(5)), ["…a…", "…b…"]);
        let names = strings(&["run_of_a_1_in_the_end", "run_of_a_2_in_the_end"]);
        let shown = fitted(&names, &none[..2], &at_most(12));
        assert_ne!(shown[0], shown[1]);
        // Counts are never cut.
        let counts = strings(&[" (n = 3)", " (n = 5)"]);
        let shown = fitted(&strings(&["abcdefghijkl", "abcdefghijkm"]), &counts, &at_most(14));
        assert_eq!(shown, ["abc…kl (n = 3)", "abc…km (n = 5)"]);
        let same = strings(&[
            "aaaaaaaaaaaaaaaaaaaaabaaaaaaaaaaaaaaaaaaaaaa",
            "aaaaaaaaaaaaaaaaaaaaacaaaaaaaaaaaaaaaaaaaaaa",
        ]);
        let shown = fitted(&same, &none[..2], &at_most(10));
        assert_ne!(shown[0], shown[1]);
    }

    #[test]
    fn what_names_have_in_common_goes_first() {
        let names =
            strings(&["ppo_lr_1e-3_on_cartpole", "ppo_lr_3e-4_on_cartpole", "ppo_lr_3e-5_on_cartpole"]);
        let none = strings(&["", "", ""]);
        let shown = |length: usize| fitted(&names, &none, &|text: &str| text.chars().count() <= length);
        assert_eq!(shown(23), names);
        assert_eq!(shown(18)[0], "…1e-3_on_cartpole");
        assert_eq!(shown(10)[0], "…1e-3…");
    }

    #[test]
    fn names_that_occur_again_are_numbered() {
        let mut names = strings(&["a", "b", "a", "a [2]", "", ""]);
        make_unique(&mut names);
        assert_eq!(names, ["a", "b", "a [2]", "a [2] [2]", "", ""]);
    }
}
