//! InfectiousDisease: whom to vaccinate while a disease spreads over a network of contacts.
//!
//! # Description
//! People are susceptible, infected or immune. In every step one dose can be given; it makes a susceptible person immune and
//! does nothing for others. Then each infected person infects each susceptible one they meet with a chance, and recovers with
//! another. Doses for those who meet many protect the most people, and leave the rest of the network for last.
//!
//! # Action space
//! `Discrete(people + 1)`: who is vaccinated, or the last for nobody; `MultiDiscrete` with several `treatments`.
//!
//! # Observation space
//! | index | meaning | min | max |
//! |---|---|---|---|
//! | 3 i | whether person i is susceptible | 0 | 1 |
//! | 3 i + 1 | whether person i is infected | 0 | 1 |
//! | 3 i + 2 | whether person i is immune | 0 | 1 |
//!
//! # Rewards
//! Minus the share of people who fall ill in the step.
//!
//! # Starting state
//! One person, drawn at random, is infected and all others are susceptible; then the disease has spread for `burn_in` steps.
//!
//! # Episode end
//! Terminated when nobody is infected; truncated after 100 steps.
//!
//! # Groups
//! `community 1` and so on: of the karate club, who later joined the instructor and who the officers. A decision in favour is a
//! dose; qualified is who is susceptible when doses are given.
//!
//! # Metrics
//! `ill`: the share of people who have ever been infected; `ill_gap`: the largest difference of that share between two
//! communities.
//!
//! # Arguments
//! | argument | meaning | default |
//! |---|---|---|
//! | `infection` | chance that an infected person infects a susceptible one in a step | 0.25 |
//! | `recovery` | chance that an infected person becomes immune in a step | 0.01 |
//! | `treatments` | doses a step, 1 to 10 | 1 |
//! | `burn_in` | steps without doses before the start, at most 100 | 3 |
//! | `communities` | the community of each person, 2 to 1000 of them; empty for the karate club | empty |
//! | `edges` | pairs of people who meet | empty |
//!
//! # Version history
//! v0: the first.
//!
//! # Source
//! Atwood et al. 2019, "Fair treatment allocations in social networks"; `environments/infectious_disease.py` and
//! `experiments/infectious_disease.py` of ml-fairness-gym (SIR model, vaccination, its probabilities); the network is Zachary's
//! karate club (1977).
//!
//! # Deviations
//! 1. The network itself is not part of what is observed: it is the same in every episode.
//! 2. The reward is about new infections alone.
//! 3. Random draws are of another generator.

use serde::{Deserialize, Serialize};

use super::{karate, out_of_range, share};
use crate::{Action, Canvas, Decision, Env, EnvError, Frame, Pcg64, Space, Step};

const MOST_PEOPLE: usize = 1000;
const MOST_EDGES: usize = 100_000;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InfectiousDiseaseArgs {
    /// Chance that an infected person infects a susceptible one in a step.
    pub infection: f64,
    /// Chance that an infected person becomes immune in a step.
    pub recovery: f64,
    /// Doses a step.
    pub treatments: usize,
    /// Steps without doses before the start.
    pub burn_in: u32,
    /// The community of each person; empty for the karate club.
    pub communities: Vec<u32>,
    /// Pairs of people who meet.
    pub edges: Vec<[u32; 2]>,
}

impl Default for InfectiousDiseaseArgs {
    fn default() -> Self {
        Self {
            infection: 0.25,
            recovery: 0.01,
            treatments: 1,
            burn_in: 3,
            communities: Vec::new(),
            edges: Vec::new(),
        }
    }
}

/// How somebody is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Health {
    #[default]
    Susceptible,
    Infected,
    Immune,
}

/// Of one community in the last step, and in the episode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    /// `[treated][susceptible]`.
    counts: [[u32; 2]; 2],
    infected: u32,
    people: u32,
    ever_ill: u32,
}

/// The environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InfectiousDisease {
    args: InfectiousDiseaseArgs,
    /// For each person, whom they meet.
    meets: Vec<Vec<u32>>,
    communities: Vec<u32>,
    health: Vec<Health>,
    tallies: Vec<Tally>,
}

impl InfectiousDisease {
    /// With the given arguments.
    ///
    /// # Errors
    /// If a number is out of range, or somebody meets people who are not there.
    pub fn new(args: InfectiousDiseaseArgs) -> Result<Self, EnvError> {
        share("infection", args.infection)?;
        share("recovery", args.recovery)?;
        if !(1..=10).contains(&args.treatments) {
            return Err(out_of_range("treatments", "between 1 and 10", args.treatments));
        }
        if args.burn_in > 100 {
            return Err(out_of_range("burn_in", "at most 100", args.burn_in));
        }
        let is_club = args.communities.is_empty();
        let communities = if is_club { karate::COMMUNITIES.to_vec() } else { args.communities.clone() };
        let edges: &[[u32; 2]] = if is_club { &karate::EDGES } else { &args.edges };
        let people = communities.len();
        if is_club && !args.edges.is_empty() {
            return Err(out_of_range("edges", "empty without communities", args.edges.len()));
        }
        if !(2..=MOST_PEOPLE).contains(&people) {
            return Err(out_of_range("communities", "of 2 to 1000 people", people));
        }
        if edges.len() > MOST_EDGES {
            return Err(out_of_range("edges", "at most 100000", edges.len()));
        }
        let most = communities.iter().copied().max().unwrap_or(0) as usize;
        let is_gap = |community: usize| !communities.contains(&(community as u32));
        if most >= people || (0..=most).any(is_gap) {
            let expected = "numbers from 0 on without a gap";
            return Err(out_of_range("communities", expected, format!("{communities:?}")));
        }
        let mut meets = vec![Vec::new(); people];
        for &[a, b] in edges {
            if a == b || (a.max(b) as usize) >= people {
                let expected = "pairs of two different people, counted from 0";
                return Err(out_of_range("edges", expected, format!("[{a}, {b}]")));
            }
            meets[a as usize].push(b);
            meets[b as usize].push(a);
        }
        let mut tallies = vec![Tally::default(); most + 1];
        communities.iter().for_each(|&community| tallies[community as usize].people += 1);
        Ok(Self { args, meets, health: vec![Health::Susceptible; people], communities, tallies })
    }

    fn tally(&mut self, person: usize) -> &mut Tally {
        &mut self.tallies[self.communities[person] as usize]
    }

    /// One step of the disease; gives how many fell ill. Who is infected now infects, those who become so do not yet.
    fn spread(&mut self, rng: &mut Pcg64) -> u32 {
        let before = self.health.clone();
        let mut infected = 0;
        for (person, health) in before.iter().enumerate() {
            match health {
                Health::Susceptible => {
                    let meets = &self.meets[person];
                    let ill =
                        meets.iter().filter(|&&other| before[other as usize] == Health::Infected).count();
                    let stays_well = (1.0 - self.args.infection).powi(ill as i32);
                    if rng.random() >= stays_well {
                        self.health[person] = Health::Infected;
                        let tally = self.tally(person);
                        tally.infected += 1;
                        tally.ever_ill += 1;
                        infected += 1;
                    }
                }
                Health::Infected if rng.random() < self.args.recovery => {
                    self.health[person] = Health::Immune;
                }
                Health::Infected | Health::Immune => {}
            }
        }
        infected
    }

    /// Gives doses, and counts who got one by whether it helps. A dose more for the same person is wasted.
    fn treat(&mut self, doses: &[u32]) {
        for tally in &mut self.tallies {
            (tally.counts, tally.infected) = ([[0; 2]; 2], 0);
        }
        for person in 0..self.health.len() {
            let treated = doses.contains(&(person as u32));
            let susceptible = self.health[person] == Health::Susceptible;
            self.tally(person).counts[usize::from(treated)][usize::from(susceptible)] += 1;
            if treated && susceptible {
                self.health[person] = Health::Immune;
            }
        }
    }

    fn observe(&self, obs: &mut [f32]) {
        obs.fill(0.0);
        for (person, health) in self.health.iter().enumerate() {
            obs[3 * person + *health as usize] = 1.0;
        }
    }

    fn people(&self) -> usize {
        self.health.len()
    }
}

impl Env for InfectiousDisease {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "constant bounds")]
    fn observation_space(&self) -> Space {
        Space::box_uniform(0.0, 1.0, &[3 * self.people()]).expect("constant bounds are in order")
    }

    fn action_space(&self) -> Space {
        let choices = self.people() + 1;
        match self.args.treatments {
            1 => Space::Discrete { n: choices, start: 0 },
            treatments => Space::MultiDiscrete { nvec: vec![choices; treatments] },
        }
    }

    fn reset(&mut self, rng: &mut Pcg64, obs: &mut [f32]) {
        self.health.fill(Health::Susceptible);
        for tally in &mut self.tallies {
            *tally = Tally { people: tally.people, ..Tally::default() };
        }
        let first = rng.integers(0, self.people() as i64) as usize;
        self.health[first] = Health::Infected;
        self.tally(first).ever_ill += 1;
        for _ in 0..self.args.burn_in {
            self.spread(rng);
        }
        self.observe(obs);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        self.treat(action.indices());
        let infected = self.spread(rng);
        self.observe(obs);
        let reward = -f64::from(infected) / self.people() as f64;
        if self.health.contains(&Health::Infected) { Step::running(reward) } else { Step::terminated(reward) }
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &["ill", "ill_gap"]
    }

    fn metrics(&self, out: &mut [f64]) {
        let ill: u32 = self.tallies.iter().map(|tally| tally.ever_ill).sum();
        out[0] = f64::from(ill) / self.people() as f64;
        let shares = self.tallies.iter().map(|tally| f64::from(tally.ever_ill) / f64::from(tally.people));
        let (low, high) =
            shares.fold((1.0_f64, 0.0_f64), |(low, high), share| (low.min(share), high.max(share)));
        out[1] = high - low;
    }

    fn groups(&self) -> Vec<String> {
        (1..=self.tallies.len()).map(|community| format!("community {community}")).collect()
    }

    fn decisions(&self, out: &mut Vec<Decision>) {
        for (group, tally) in self.tallies.iter().enumerate() {
            for (treated, by_truth) in tally.counts.iter().enumerate() {
                for (susceptible, &count) in by_truth.iter().enumerate().filter(|(_, count)| **count > 0) {
                    // Who could fall ill is susceptible and got no dose.
                    let infected = if (treated, susceptible) == (0, 1) { tally.infected } else { 0 };
                    out.push(Decision {
                        group: group as u32,
                        favourable: treated == 1,
                        qualified: Some(susceptible == 1),
                        count,
                        reward: -f64::from(infected) / self.people() as f64,
                    });
                }
            }
        }
    }

    fn render(&self) -> Option<Frame> {
        let people = self.people();
        let mut canvas = Canvas::new(420, 420, [245, 245, 240]);
        // Around a circle, one community after the other.
        let mut order: Vec<usize> = (0..people).collect();
        order.sort_by_key(|&person| self.communities[person]);
        let mut places = vec![(0.0, 0.0); people];
        for (i, &person) in order.iter().enumerate() {
            let angle = std::f32::consts::TAU * i as f32 / people as f32;
            places[person] = (210.0 + 180.0 * angle.cos(), 210.0 + 180.0 * angle.sin());
        }
        for (person, meets) in self.meets.iter().enumerate() {
            for &other in meets.iter().filter(|&&other| other as usize > person) {
                canvas.line(places[person], places[other as usize], 1.0, [205, 205, 200]);
            }
        }
        for (person, &place) in places.iter().enumerate() {
            let color = match self.health[person] {
                Health::Susceptible => [70, 110, 170],
                Health::Infected => [200, 70, 60],
                Health::Immune => [90, 150, 90],
            };
            let border =
                if self.communities[person].is_multiple_of(2) { [30, 30, 30] } else { [160, 160, 160] };
            canvas.circle(place, 9.0, border);
            canvas.circle(place, 7.0, color);
        }
        Some(canvas.into_frame())
    }

    fn render_text(&self) -> Option<String> {
        let letter = |health: &Health| match health {
            Health::Susceptible => 'S',
            Health::Infected => 'I',
            Health::Immune => 'R',
        };
        Some(self.health.iter().map(letter).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five people in a row, the last two of another community, and the first one infected.
    fn row(infection: f64) -> InfectiousDisease {
        let args = InfectiousDiseaseArgs {
            infection,
            recovery: 0.0,
            communities: vec![0, 0, 0, 1, 1],
            edges: vec![[0, 1], [1, 2], [2, 3], [3, 4]],
            ..InfectiousDiseaseArgs::default()
        };
        let mut env = InfectiousDisease::new(args).unwrap();
        env.health[0] = Health::Infected;
        env
    }

    #[test]
    fn a_sure_infection_goes_one_person_a_step_and_stops_at_who_is_immune() {
        let mut rng = Pcg64::seed_from(1);
        let mut env = row(1.0);
        let text = |env: &InfectiousDisease| env.render_text().unwrap();
        assert_eq!(env.spread(&mut rng), 1);
        assert_eq!(text(&env), "IISSS");
        env.treat(&[3]);
        env.spread(&mut rng);
        assert_eq!(env.spread(&mut rng), 0);
        assert_eq!(text(&env), "IIIRS");
    }

    #[test]
    fn several_contacts_infect_independently_of_each_other() {
        // Two infected neighbours spare their common one with 0.75², that is 9 of 16 times.
        let mut rng = Pcg64::seed_from(2);
        let mut spared = 0;
        for _ in 0..4000 {
            let mut env = row(0.25);
            env.health =
                vec![Health::Infected, Health::Susceptible, Health::Infected, Health::Immune, Health::Immune];
            env.spread(&mut rng);
            spared += usize::from(env.health[1] == Health::Susceptible);
        }
        // Five standard errors.
        assert!((spared as f64 / 4000.0 - 0.5625).abs() < 0.04, "{spared}");
    }

    #[test]
    fn doses_and_infections_are_told_by_community() {
        let mut env = row(1.0);
        env.treat(&[0, 4]);
        env.spread(&mut Pcg64::seed_from(1));
        let mut told = Vec::new();
        env.decisions(&mut told);
        let told: Vec<_> =
            told.iter().map(|d| (d.group, d.favourable, d.qualified, d.count, d.reward)).collect();
        let expected = [
            (0, false, Some(true), 2, -0.2),
            (0, true, Some(false), 1, 0.0),
            (1, false, Some(true), 1, 0.0),
            (1, true, Some(true), 1, 0.0),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn networks_that_are_none_are_refused() {
        let refused = |communities: Vec<u32>, edges: Vec<[u32; 2]>| {
            let args = InfectiousDiseaseArgs { communities, edges, ..InfectiousDiseaseArgs::default() };
            InfectiousDisease::new(args).unwrap_err().to_string()
        };
        for (communities, edges, word) in [
            (vec![0], vec![], "2 to 1000 people"),
            (vec![0, 2], vec![], "without a gap"),
            (vec![0, 0], vec![[0, 2]], "two different people"),
            (vec![], vec![[0, 1]], "empty without communities"),
        ] {
            let message = refused(communities, edges);
            assert!(message.contains(word), "{message}");
        }
    }
}
