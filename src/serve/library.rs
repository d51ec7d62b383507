//! All that was found, as a list that knows what has changed since it was last asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::look::Looked;
use super::places::{self, Found, Place};
use super::types::{Item, Kind, List, State};
use crate::stats;
use crate::suite::SeedScore;

/// Between looks at the files, and between searches for directories.
const LOOK_EVERY: Duration = Duration::from_millis(900);
const SEARCH_EVERY: Duration = Duration::from_secs(3);

/// Settings that are not told as differences: they never make a result.
const UNTOLD: [&str; 5] = ["seed", "algorithm", "env.id", "runtime.threads", "env.python"];

/// What is known of the named directories.
#[derive(Debug)]
pub(super) struct Library {
    /// What tells this one from that of another server.
    name: String,
    places: Vec<Place>,
    found: Vec<Found>,
    /// By path: what has been given a key keeps it.
    keys: HashMap<PathBuf, u32>,
    looked: HashMap<PathBuf, Looked>,
    records: HashMap<PathBuf, Vec<SeedScore>>,
    /// Settings of runs that others have otherwise, and whether that is still so.
    differs: HashMap<PathBuf, BTreeMap<String, String>>,
    is_told: bool,
    items: BTreeMap<u32, (Item, u64)>,
    removed: BTreeMap<u32, u64>,
    order: Vec<u32>,
    metrics: BTreeSet<String>,
    revision: u64,
    last_look: Option<Instant>,
    last_search: Option<Instant>,
}

/// Something of the list, as other modules read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
    pub(super) name: String,
    /// The directories of its runs: its own, or those within.
    pub(super) runs: Vec<PathBuf>,
}

impl Library {
    pub(super) fn new(places: Vec<Place>) -> Self {
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            name: format!("{}-{}", std::process::id(), begun.as_nanos()),
            places,
            found: Vec::new(),
            keys: HashMap::new(),
            looked: HashMap::new(),
            records: HashMap::new(),
            differs: HashMap::new(),
            is_told: false,
            items: BTreeMap::new(),
            removed: BTreeMap::new(),
            order: Vec::new(),
            metrics: BTreeSet::new(),
            revision: 0,
            last_look: None,
            last_search: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Looks at everything, unless that was done a moment ago; gives the revision.
    pub(super) fn refresh(&mut self) -> u64 {
        let is_due = |last: Option<Instant>, every| last.is_none_or(|at| at.elapsed() >= every);
        if !is_due(self.last_look, LOOK_EVERY) {
            return self.revision;
        }
        if is_due(self.last_search, SEARCH_EVERY) {
            let found = places::look(&self.places);
            self.is_told &= found == self.found;
            self.found = found;
            self.last_search = Some(Instant::now());
        }
        self.update();
        self.last_look = Some(Instant::now());
        self.revision
    }

    fn update(&mut self) {
        for one in &self.found {
            let next = self.keys.len() as u32 + 1;
            self.keys.entry(one.path.clone()).or_insert(next);
            match one.kind {
                Kind::Run => {
                    let looked = self.looked.entry(one.path.clone()).or_default();
                    self.is_told &= !looked.look(&one.path);
                }
                Kind::Record => {
                    let looked = self.looked.entry(one.path.clone()).or_default();
                    self.is_told &= !looked.look(&one.path);
                    self.records.entry(one.path.clone()).or_insert_with(|| scores(&one.path));
                }
                _ => {}
            }
        }
        if !self.is_told {
            self.differs = self.differences();
            self.is_told = true;
        }
        let items = self.assemble();
        let revision = self.revision + 1;
        let before: Vec<u32> = self.items.keys().copied().collect();
        let mut has_changed = false;
        for item in &items {
            self.removed.remove(&item.key);
            if self.items.get(&item.key).is_none_or(|(old, _)| old != item) {
                self.items.insert(item.key, (item.clone(), revision));
                has_changed = true;
            }
        }
        let now: BTreeSet<u32> = items.iter().map(|item| item.key).collect();
        for key in before.into_iter().filter(|key| !now.contains(key)) {
            self.items.remove(&key);
            self.removed.insert(key, revision);
            has_changed = true;
        }
        self.order = items.iter().map(|item| item.key).collect();
        let metrics = self.looked.values().flat_map(|looked| looked.metrics.iter().cloned()).collect();
        has_changed |= self.metrics != metrics;
        self.metrics = metrics;
        if has_changed || self.revision == 0 {
            self.revision = revision;
        }
    }

    fn assemble(&self) -> Vec<Item> {
        let mut items: Vec<Item> = self.found.iter().map(|one| self.item(one)).collect();
        // Groups come before what is in them: from the back, what is in a group is whole before the group is.
        for index in (0..items.len()).rev() {
            if !matches!(self.found[index].kind, Kind::Run | Kind::Record) {
                let inner: Vec<&Item> = items
                    .iter()
                    .zip(&self.found)
                    .filter(|(_, one)| one.parent == Some(index))
                    .map(|(i, _)| i)
                    .collect();
                let whole = group(&items[index], &inner);
                items[index] = whole;
            }
        }
        items
    }

    fn item(&self, one: &Found) -> Item {
        let unknown = Looked::default();
        let looked = self.looked.get(&one.path).unwrap_or(&unknown);
        let name = one.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let reason = looked.failure.as_ref().map(|failure| failure.reason.clone());
        let mut item = Item {
            key: self.keys[&one.path],
            id: one.id.clone(),
            name,
            kind: one.kind,
            parent: one.parent.map(|parent| self.keys[&self.found[parent].path]),
            state: looked.state.unwrap_or(State::Waiting),
            reason: looked.unreadable.clone().or(reason),
            algorithm: looked.text("algorithm"),
            env: looked.text("env.id"),
            seed: looked.integer("seed"),
            env_steps: looked.env_steps,
            total_timesteps: looked.integer("total_timesteps").unwrap_or(0),
            score: looked.score,
            evaluation: looked.evaluation,
            steps_per_second: looked.speed(),
            seconds: looked.seconds,
            changed: looked.changed(),
            runs: 1,
            finished: usize::from(looked.state == Some(State::Finished)),
            has_policy: looked.has_policy,
            differs: self.differs.get(&one.path).cloned().unwrap_or_default(),
        };
        if let Some(scores) = self.records.get(&one.path) {
            let all = |number: fn(&SeedScore) -> f64| -> Vec<f64> { scores.iter().map(number).collect() };
            let mean = |number| Some(stats::mean(&all(number))).filter(|mean| mean.is_finite());
            item.state = State::Finished;
            (item.seed, item.runs, item.finished) = (None, scores.len(), scores.len());
            (item.score, item.steps_per_second) = (mean(|row| row.score), mean(|row| row.steps_per_second));
            item.seconds = Some(all(|row| row.wall_s).iter().sum());
            item.env_steps = scores.iter().map(|row| row.env_steps).sum();
            item.total_timesteps = item.env_steps;
        }
        item
    }

    /// Of each run the settings that others of the same algorithm and environment have otherwise.
    fn differences(&self) -> HashMap<PathBuf, BTreeMap<String, String>> {
        let mut groups: BTreeMap<(String, String), Vec<(&PathBuf, &Looked)>> = BTreeMap::new();
        for one in self.found.iter().filter(|one| matches!(one.kind, Kind::Run | Kind::Record)) {
            if let Some(looked) = self.looked.get(&one.path) {
                let subject = (looked.text("algorithm"), looked.text("env.id"));
                groups.entry(subject).or_default().push((&one.path, looked));
            }
        }
        let mut told = HashMap::new();
        for runs in groups.values() {
            let settings = |looked: &'_ Looked| -> Vec<(String, String)> {
                let all = looked.settings.iter().filter(|(key, _)| !UNTOLD.contains(&key.as_str()));
                all.map(|(key, value)| (key.clone(), shortened(value))).collect()
            };
            let mut values: BTreeMap<String, (BTreeSet<String>, usize)> = BTreeMap::new();
            for (key, value) in runs.iter().flat_map(|(_, looked)| settings(looked)) {
                let (found, count) = values.entry(key).or_default();
                found.insert(value);
                *count += 1;
            }
            // A setting that some do not have differs too.
            values.retain(|_, (found, count)| found.len() > 1 || *count < runs.len());
            for (path, looked) in runs {
                let own = settings(looked).into_iter().filter(|(key, _)| values.contains_key(key));
                told.insert((*path).clone(), own.collect());
            }
        }
        told
    }

    /// The list, or what of it has changed since a revision.
    pub(super) fn list(&self, since: u64) -> List {
        let changed = self.order.iter().filter_map(|key| self.items.get(key)).filter(|(_, at)| *at > since);
        List {
            server: self.name.clone(),
            revision: self.revision,
            directories: self.places.iter().map(|place| place.name().to_owned()).collect(),
            metrics: self.metrics.iter().cloned().collect(),
            items: changed.map(|(item, _)| item.clone()).collect(),
            removed: self
                .removed
                .iter()
                .filter(|(_, at)| since > 0 && **at > since)
                .map(|(key, _)| *key)
                .collect(),
        }
    }

    /// What has a key.
    pub(super) fn entry(&self, key: u32) -> Option<Entry> {
        let index = self.found.iter().position(|one| self.keys.get(&one.path) == Some(&key))?;
        let one = &self.found[index];
        let is_in = |inner: &&Found| {
            let mut up = inner.parent;
            while let Some(parent) = up.filter(|parent| *parent != index) {
                up = self.found[parent].parent;
            }
            up == Some(index) && inner.kind == Kind::Run
        };
        let runs = match one.kind {
            Kind::Run | Kind::Record => vec![one.path.clone()],
            _ => self.found.iter().filter(is_in).map(|inner| inner.path.clone()).collect(),
        };
        let name = one.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Some(Entry { kind: one.kind, path: one.path.clone(), name, runs })
    }

    /// What is directly in a group.
    pub(super) fn inside(&self, key: u32) -> impl Iterator<Item = &Item> {
        let all = self.order.iter().filter_map(|key| self.items.get(key)).map(|(item, _)| item);
        all.filter(move |item| item.parent == Some(key))
    }

    /// What is listed under a key.
    pub(super) fn item_of(&self, key: u32) -> Option<&Item> {
        self.items.get(&key).map(|(item, _)| item)
    }

    /// A setting of a run, or a table of them, as text, and as a number if it is one.
    pub(super) fn value(&self, run: &Path, key: &str) -> (String, Option<f64>) {
        let Some(looked) = self.looked.get(run) else { return (String::new(), None) };
        if let Some(value) = looked.setting(key) {
            let number = value.as_float().or_else(|| value.as_integer().map(|integer| integer as f64));
            return (shortened(value), number);
        }
        let inner = looked.settings.iter().filter_map(|(name, value)| {
            Some(format!("{}={}", name.strip_prefix(key)?.strip_prefix('.')?, shortened(value)))
        });
        (inner.collect::<Vec<_>>().join(" "), None)
    }

    /// The settings of a run, by their whole keys.
    pub(super) fn settings(&self, run: &Path) -> Vec<(String, String)> {
        let all = self.looked.get(run).into_iter().flat_map(|looked| &looked.settings);
        all.map(|(key, value)| (key.clone(), shortened(value))).collect()
    }
}

/// A value as text that fits into a line.
fn shortened(value: &toml::Value) -> String {
    const LONGEST: usize = 80;
    let text = match value {
        toml::Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// What is recorded of an entry of a suite.
fn scores(path: &Path) -> Vec<SeedScore> {
    let file = path.join("scores.csv");
    if !places::is_inside(&file) {
        return Vec::new();
    }
    let reader = csv::Reader::from_path(file).ok();
    reader.into_iter().flat_map(|reader| reader.into_deserialize().flatten()).collect()
}

/// A group with what its parts say together.
fn group(item: &Item, inner: &[&Item]) -> Item {
    let common = |text: fn(&Item) -> &str| match inner {
        [first, rest @ ..] if rest.iter().all(|other| text(other) == text(first)) => text(first).to_owned(),
        _ => String::new(),
    };
    let numbers = |number: fn(&Item) -> Option<f64>| -> Vec<f64> {
        inner.iter().filter_map(|item| number(item)).filter(|number| number.is_finite()).collect()
    };
    let mean = |number| Some(stats::mean(&numbers(number))).filter(|mean| mean.is_finite());
    let best = |number| numbers(number).into_iter().reduce(f64::max);
    let sum = |number| Some(numbers(number)).filter(|all| !all.is_empty()).map(|all| all.iter().sum());
    // What all of its runs have in common.
    let mut differs = inner.first().map(|first| first.differs.clone()).unwrap_or_default();
    inner.iter().for_each(|item| differs.retain(|key, value| item.differs.get(key) == Some(value)));
    if item.kind != Kind::Experiment {
        differs.clear();
    }
    let is_sweep = item.kind == Kind::Sweep;
    let of_group = item.kind != Kind::Suite;
    Item {
        // Of several states the most urgent one.
        state: inner.iter().map(|item| item.state).max().unwrap_or(State::Waiting),
        reason: inner.iter().find_map(|item| item.reason.clone()),
        algorithm: common(|item| &item.algorithm),
        env: common(|item| &item.env),
        env_steps: inner.iter().map(|item| item.env_steps).sum(),
        total_timesteps: inner.iter().map(|item| item.total_timesteps).sum(),
        score: if is_sweep { best(|item| item.score) } else { mean(|item| item.score).filter(|_| of_group) },
        evaluation: if is_sweep {
            best(|i| i.evaluation)
        } else {
            mean(|i| i.evaluation).filter(|_| of_group)
        },
        steps_per_second: mean(|item| item.steps_per_second).filter(|_| of_group),
        seconds: sum(|item| item.seconds),
        changed: inner.iter().map(|item| item.changed).fold(0.0, f64::max),
        runs: inner.iter().map(|item| item.runs).sum(),
        finished: inner.iter().map(|item| item.finished).sum(),
        differs,
        ..item.clone()
    }
}
