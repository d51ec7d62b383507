//! Beginning with what other networks have learned: which tensors are taken over, and which learn how fast.

use std::collections::BTreeMap;

use crate::{AgentError, Weights};

/// What a target network's tensors are called before their own names, and those of the network that it follows.
const FOLLOWERS: [(&str, &str); 2] = [("target.", ""), ("target_critics.", "critics.")];

/// How the tensors of a file come to the networks of a learner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransferRules {
    /// Prefixes of names that begin anew.
    pub reset: Vec<String>,
    /// What prefixes of names in the file are called in the learner.
    pub rename: BTreeMap<String, String>,
}

/// What became of a tensor of the learner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has the values of the file's tensor of this name.
    Taken(String),
    /// It begins anew, because the rules say so.
    Reset,
    /// It begins anew, because the file has no such tensor.
    Missing,
    /// It begins anew, because the file's tensor has another shape.
    OtherShape(Vec<usize>),
}

/// A tensor of the learner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Where its values come from.
    pub fate: Fate,
}

/// All tensors of a learner, some of them with values from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// What the learner begins with.
    pub weights: Weights,
    /// What became of each.
    pub tensors: Vec<Transferred>,
    /// The file's tensors that nobody took.
    pub unused: Vec<String>,
}

impl Transfer {
    /// Takes over the tensors that fit by name and shape; a target network takes what the network that it follows does, if the
    /// file has none.
    ///
    /// # Errors
    /// [`AgentError::Setting`] if a rule names what is not there, and [`AgentError::Weights`] if two names of the file become one.
    pub fn new(own: &Weights, given: &Weights, rules: &TransferRules) -> Result<Self, AgentError> {
        for prefix in &rules.reset {
            if !own.iter().any(|(name, ..)| name.starts_with(prefix)) {
                return Err(AgentError::setting("reset", known(own), prefix));
            }
        }
        for prefix in rules.rename.keys() {
            if !given.iter().any(|(name, ..)| name.starts_with(prefix)) {
                return Err(AgentError::setting("rename", known(given), prefix));
            }
        }
        let renamed =
            given.iter().map(|(name, shape, values)| (rules.renamed(name), shape.to_vec(), values.to_vec()));
        // Names that became the same are refused here.
        let renamed = Weights::from_tensors(renamed)?;
        let by_name: BTreeMap<&str, (&[usize], &[f32])> =
            renamed.iter().map(|(name, shape, values)| (name, (shape, values))).collect();
        let in_file: BTreeMap<String, &str> =
            given.iter().map(|(name, ..)| (rules.renamed(name), name)).collect();
        let (mut tensors, mut weights, mut used) = (Vec::new(), Vec::new(), Vec::new());
        for (name, shape, fresh) in own.iter() {
            let followed = FOLLOWERS
                .iter()
                .find_map(|(follower, followed)| Some(format!("{followed}{}", name.strip_prefix(follower)?)));
            let found = by_name.get_key_value(name).or_else(|| by_name.get_key_value(followed.as_deref()?));
            let is_reset = |name: &str| rules.reset.iter().any(|prefix| name.starts_with(prefix));
            let (fate, values) = match found {
                _ if is_reset(name) || followed.as_deref().is_some_and(is_reset) => (Fate::Reset, fresh),
                None => (Fate::Missing, fresh),
                Some((_, (other, _))) if *other != shape => (Fate::OtherShape(other.to_vec()), fresh),
                Some((found, (_, values))) => {
                    used.push(*found);
                    (Fate::Taken(in_file[*found].to_owned()), *values)
                }
            };
            weights.push((name.to_owned(), shape.to_vec(), values.to_vec()));
            tensors.push(Transferred { name: name.to_owned(), shape: shape.to_vec(), fate });
        }
        let unused = renamed.iter().map(|(name, ..)| name).filter(|name| !used.contains(name));
        let unused = unused.map(|name| in_file[name].to_owned()).collect();
        Ok(Self { weights: Weights::from_tensors(weights)?, tensors, unused })
    }

    /// Numbers that were taken over, and all of the learner's.
    pub fn taken(&self) -> (usize, usize) {
        let size = |tensor: &Transferred| tensor.shape.iter().product::<usize>();
        let taken = self.tensors.iter().filter(|tensor| matches!(tensor.fate, Fate::Taken(_)));
        (taken.map(size).sum(), self.tensors.iter().map(size).sum())
    }
}

impl TransferRules {
    /// What a name of the file is called in the learner: by the longest prefix that has another name.
    fn renamed(&self, name: &str) -> String {
        let rules = self.rename.iter().filter_map(|(from, to)| Some((from, to, name.strip_prefix(&**from)?)));
        match rules.max_by_key(|(from, ..)| from.len()) {
            Some((_, to, rest)) => format!("{to}{rest}"),
            None => name.to_owned(),
        }
    }
}

/// What prefixes may begin with, as a message says it.
fn known(weights: &Weights) -> String {
    let mut names: Vec<&str> = weights.iter().map(|(name, ..)| name).collect();
    names.sort_unstable();
    names.truncate(12);
    format!("a prefix of names such as {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(tensors: &[(&str, &[usize], f32)]) -> Weights {
        let tensor = |(name, shape, value): &(&str, &[usize], f32)| {
            ((*name).to_owned(), shape.to_vec(), vec![*value; shape.iter().product()])
        };
        Weights::from_tensors(tensors.iter().map(tensor)).unwrap()
    }

    fn own() -> Weights {
        weights(&[
            ("encoder.0.weight", &[4, 3], 0.0),
            ("encoder.2.weight", &[4, 4], 0.0),
            ("q.0.weight", &[2, 4], 0.0),
            ("target.encoder.2.weight", &[4, 4], 0.0),
            ("target.q.0.weight", &[2, 4], 0.0),
        ])
    }

    fn values(transfer: &Transfer) -> Vec<f32> {
        transfer.weights.iter().map(|(_, _, values)| values[0]).collect()
    }

    #[test]
    fn what_fits_is_taken_and_targets_follow() {
        let given = weights(&[
            ("encoder.0.weight", &[4, 5], 1.0),
            ("encoder.2.weight", &[4, 4], 2.0),
            ("q.0.weight", &[2, 4], 3.0),
            ("v.0.weight", &[1, 4], 4.0),
        ]);
        let transfer = Transfer::new(&own(), &given, &TransferRules::default()).unwrap();
        assert_eq!(values(&transfer), [0.0, 2.0, 3.0, 2.0, 3.0]);
        assert_eq!(transfer.tensors[0].fate, Fate::OtherShape(vec![4, 5]));
        assert_eq!(transfer.tensors[3].fate, Fate::Taken("encoder.2.weight".to_owned()));
        assert_eq!(transfer.unused, ["encoder.0.weight", "v.0.weight"]);
        assert_eq!(transfer.taken(), (16 + 8 + 16 + 8, 12 + 16 + 8 + 16 + 8));
        let rules = TransferRules { reset: vec!["q.".to_owned()], ..TransferRules::default() };
        let transfer = Transfer::new(&own(), &given, &rules).unwrap();
        assert_eq!(values(&transfer), [0.0, 2.0, 0.0, 2.0, 0.0]);
        assert_eq!(transfer.tensors[4].fate, Fate::Reset);
    }

    #[test]
    fn networks_of_other_names_are_renamed() {
        let given = weights(&[("actor.encoder.2.weight", &[4, 4], 2.0), ("critic.q.0.weight", &[2, 4], 3.0)]);
        let rename = BTreeMap::from([("actor.".to_owned(), String::new())]);
        let rules = TransferRules { rename, ..TransferRules::default() };
        let transfer = Transfer::new(&own(), &given, &rules).unwrap();
        assert_eq!(values(&transfer), [0.0, 2.0, 0.0, 2.0, 0.0]);
        assert_eq!(transfer.tensors[1].fate, Fate::Taken("actor.encoder.2.weight".to_owned()));
        assert_eq!(transfer.tensors[2].fate, Fate::Missing);
        assert_eq!(transfer.unused, ["critic.q.0.weight"]);
    }

    #[test]
    fn rules_that_concern_nothing_are_refused() {
        let given = weights(&[("a.x", &[1], 0.0), ("b.x", &[1], 0.0)]);
        let rules = TransferRules { reset: vec!["heads.".to_owned()], ..TransferRules::default() };
        let message = Transfer::new(&own(), &given, &rules).unwrap_err().to_string();
        assert!(message.contains("encoder.0.weight") && message.contains("heads."), "{message}");
        let rename = BTreeMap::from([("c.".to_owned(), String::new())]);
        let rules = TransferRules { rename, ..TransferRules::default() };
        assert!(Transfer::new(&own(), &given, &rules).is_err());
        let rename = BTreeMap::from([("a.".to_owned(), String::new()), ("b.".to_owned(), String::new())]);
        let rules = TransferRules { rename, ..TransferRules::default() };
        assert!(matches!(Transfer::new(&own(), &given, &rules), Err(AgentError::Weights(_))));
    }
}
