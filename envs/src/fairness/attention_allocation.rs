//! AttentionAllocation: inspectors who find only what happens where they look.
//!
//! # Description
//! Incidents happen at several sites, at each with its own rate that nobody knows. Every step a few inspectors are sent to
//! sites, and each finds at most one incident there. A policy that goes where incidents were found finds more there, and
//! learns nothing of the others. Rates may fall where somebody looks and rise where nobody does.
//!
//! # Action space
//! `MultiDiscrete([sites; inspectors])`: the site of each inspector.
//!
//! # Observation space
//! Of the last step, for each site in turn; zeros at first.
//!
//! | index | meaning | min | max |
//! |---|---|---|---|
//! | 0 … | incidents that were found, over the number of inspectors | 0 | ∞ |
//! | `sites` … | inspectors who were there, over their number | 0 | 1 |
//! | 2 `sites` … | incidents that were reported without looking | 0 | ∞ |
//!
//! # Rewards
//! The number of incidents that were found.
//!
//! # Starting state
//! Rates are `rates`.
//!
//! # Episode end
//! Truncated after 200 steps.
//!
//! # Groups
//! Sites, `site 1` and so on. Each incident is a decision: found is in its favour, and all true ones are qualified; what is
//! found although nothing happened (`false_alarm`) is not. So the rate at which the qualified are favoured is the share of a
//! site's incidents that is found.
//!
//! # Metrics
//! `found` and `missed`: incidents of the episode; `discovery_gap`: the largest difference between two sites' shares of
//! incidents that were found.
//!
//! # Arguments
//! | argument | meaning | default |
//! |---|---|---|
//! | `rates` | incidents a step at each site, 2 to 50 of them | 8, 6, 4, 3, 1.5 |
//! | `inspectors` | how many there are, 1 to 100 | 6 |
//! | `miss` | chance that an inspector overlooks an incident | 0 |
//! | `false_alarm` | chance that an inspector who is free finds what is none, after each incident | 0 |
//! | `reported` | incidents that are reported, as a multiple of the rate | 0 |
//! | `dynamic_rate` | how much a rate rises in a step without, and falls for each inspector | 0 |
//! | `several` | whether an inspector can find more than one incident | false |
//!
//! # Version history
//! v0: the first.
//!
//! # Source
//! Ensign et al. 2018, "Runaway Feedback Loops in Predictive Policing"; Elzayn et al. 2019, "Fair Algorithms for Learning in
//! Allocation Problems"; D'Amour et al. 2020, "Fairness is not static", section 5; `environments/attention_allocation.py` of
//! ml-fairness-gym, with the rates and inspectors of that paper's experiment.
//!
//! # Deviations
//! 1. Sites have no features beside what is found, and no counts from before the start.
//! 2. Found incidents are shown as multiples of the number of inspectors.
//! 3. Random draws are of another generator, of the same distribution.

use serde::{Deserialize, Serialize};

use super::{draws, out_of_range, share, within};
use crate::{Action, Canvas, Decision, Env, EnvError, Frame, Pcg64, Space, Step};

/// The highest rate: a count takes about as many draws.
const MOST_RATE: f64 = 200.0;

/// Arguments of the environment; see the [module's page](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttentionAllocationArgs {
    /// Incidents a step at each site.
    pub rates: Vec<f64>,
    /// How many inspectors there are.
    pub inspectors: u32,
    /// Chance that an inspector overlooks an incident.
    pub miss: f64,
    /// Chance that an inspector who is free finds what is none, after each incident.
    pub false_alarm: f64,
    /// Incidents that are reported, as a multiple of the rate.
    pub reported: f64,
    /// How much a rate rises in a step without an inspector, and falls for each.
    pub dynamic_rate: f64,
    /// Whether an inspector can find more than one incident.
    pub several: bool,
}

impl Default for AttentionAllocationArgs {
    fn default() -> Self {
        Self {
            rates: vec![8.0, 6.0, 4.0, 3.0, 1.5],
            inspectors: 6,
            miss: 0.0,
            false_alarm: 0.0,
            reported: 0.0,
            dynamic_rate: 0.0,
            several: false,
        }
    }
}

/// The environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttentionAllocation {
    args: AttentionAllocationArgs,
    sites: Vec<Site>,
}

/// A site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Site {
    rate: f64,
    /// Of the last step.
    inspectors: u32,
    occurred: u32,
    found: u32,
    false_alarms: u32,
    reported: u32,
    /// Of the episode.
    all_occurred: u64,
    all_found: u64,
}

impl AttentionAllocation {
    /// With the given arguments.
    ///
    /// # Errors
    /// If a number is out of range.
    pub fn new(args: AttentionAllocationArgs) -> Result<Self, EnvError> {
        if !(2..=50).contains(&args.rates.len()) {
            return Err(out_of_range("rates", "of 2 to 50 sites", args.rates.len()));
        }
        let rate = |value: f64| within("rates", "between 0 and 200", MOST_RATE, value);
        args.rates.iter().try_for_each(|&value| rate(value))?;
        if !(1..=100).contains(&args.inspectors) {
            return Err(out_of_range("inspectors", "between 1 and 100", args.inspectors));
        }
        share("miss", args.miss)?;
        share("false_alarm", args.false_alarm)?;
        share("reported", args.reported)?;
        within("dynamic_rate", "between 0 and 1", 1.0, args.dynamic_rate)?;
        let sites = vec![Site::default(); args.rates.len()];
        Ok(Self { args, sites })
    }

    fn observe(&self, obs: &mut [f32]) {
        let (sites, inspectors) = (self.sites.len(), self.args.inspectors as f32);
        for (i, site) in self.sites.iter().enumerate() {
            obs[i] = (site.found + site.false_alarms) as f32 / inspectors;
            obs[sites + i] = site.inspectors as f32 / inspectors;
            obs[2 * sites + i] = site.reported as f32;
        }
    }

    /// What the inspectors of a site find of what happens there.
    fn inspect(site: &mut Site, args: &AttentionAllocationArgs, rng: &mut Pcg64) {
        (site.found, site.false_alarms) = (0, 0);
        let chance = |inspectors: u32| 1.0 - args.miss.powi(inspectors as i32);
        if site.inspectors == 0 {
            return;
        }
        if args.several {
            site.found = draws::binomial(rng, site.occurred, chance(site.inspectors));
            return;
        }
        let mut free = site.inspectors;
        for _ in 0..site.occurred {
            let found = u32::from(rng.random() < chance(free));
            site.found += found;
            free -= found;
            if free == 0 {
                break;
            }
            site.false_alarms += draws::binomial(rng, free, args.false_alarm);
        }
    }

    /// The rate after a step.
    fn moved(&self, site: &Site) -> f64 {
        let change = match site.inspectors {
            0 => self.args.dynamic_rate,
            inspectors => -self.args.dynamic_rate * f64::from(inspectors),
        };
        (site.rate + change).clamp(0.0, MOST_RATE)
    }
}

impl Env for AttentionAllocation {
    type Obs = f32;

    #[expect(clippy::expect_used, reason = "bounds that are in order")]
    fn observation_space(&self) -> Space {
        let sites = self.sites.len();
        let open = vec![f32::INFINITY; sites];
        let high = [open.clone(), vec![1.0; sites], open].concat();
        Space::box_f32(&vec![0.0; high.len()], &high).expect("bounds are in order")
    }

    fn action_space(&self) -> Space {
        Space::MultiDiscrete { nvec: vec![self.sites.len(); self.args.inspectors as usize] }
    }

    fn reset(&mut self, _rng: &mut Pcg64, obs: &mut [f32]) {
        for (site, &rate) in self.sites.iter_mut().zip(&self.args.rates) {
            *site = Site { rate, ..Site::default() };
        }
        self.observe(obs);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Pcg64, obs: &mut [f32]) -> Step {
        self.sites.iter_mut().for_each(|site| site.inspectors = 0);
        action.indices().iter().for_each(|&site| self.sites[site as usize].inspectors += 1);
        for i in 0..self.sites.len() {
            let mut site = self.sites[i];
            site.occurred = draws::poisson(rng, site.rate);
            site.reported = draws::poisson(rng, site.rate * self.args.reported);
            Self::inspect(&mut site, &self.args, rng);
            site.all_occurred += u64::from(site.occurred);
            site.all_found += u64::from(site.found);
            site.rate = self.moved(&site);
            self.sites[i] = site;
        }
        self.observe(obs);
        Step::running(self.sites.iter().map(|site| f64::from(site.found)).sum())
    }

    fn metric_names(&self) -> &'static [&'static str] {
        &["found", "missed", "discovery_gap"]
    }

    fn metrics(&self, out: &mut [f64]) {
        let known = self.sites.iter().filter(|site| site.all_occurred > 0);
        let shares = known.map(|site| site.all_found as f64 / site.all_occurred as f64);
        let (low, high) =
            shares.fold((1.0_f64, 0.0_f64), |(low, high), share| (low.min(share), high.max(share)));
        let found: u64 = self.sites.iter().map(|site| site.all_found).sum();
        let occurred: u64 = self.sites.iter().map(|site| site.all_occurred).sum();
        out.copy_from_slice(&[found as f64, (occurred - found) as f64, (high - low).max(0.0)]);
    }

    fn groups(&self) -> Vec<String> {
        (1..=self.sites.len()).map(|site| format!("site {site}")).collect()
    }

    fn decisions(&self, out: &mut Vec<Decision>) {
        for (group, site) in self.sites.iter().enumerate() {
            let of = |favourable, qualified, count: u32, reward| Decision {
                group: group as u32,
                favourable,
                qualified: Some(qualified),
                count,
                reward,
            };
            let all = [
                of(true, true, site.found, f64::from(site.found)),
                of(false, true, site.occurred - site.found, 0.0),
                of(true, false, site.false_alarms, 0.0),
            ];
            out.extend(all.into_iter().filter(|decision| decision.count > 0));
        }
    }

    fn render(&self) -> Option<Frame> {
        let width = 24 + 80 * self.sites.len() as u32;
        let mut canvas = Canvas::new(width, 200, [245, 245, 240]);
        for (i, site) in self.sites.iter().enumerate() {
            let x = 16.0 + 80.0 * i as f32;
            for incident in 0..site.occurred.min(24) {
                let color = if incident < site.found { [60, 140, 80] } else { [200, 80, 60] };
                let (column, row) = ((incident % 4) as f32, (incident / 4) as f32);
                canvas.circle((x + 10.0 + 16.0 * column, 150.0 - 18.0 * row), 6.0, color);
            }
            canvas.line((x, 164.0), (x + 68.0, 164.0), 2.0, [120, 120, 120]);
            let text = format!("{} there", site.inspectors);
            canvas.text_centered((x + 34.0, 182.0), &text, 14.0, [60, 60, 60]);
        }
        Some(canvas.into_frame())
    }

    fn render_text(&self) -> Option<String> {
        let line = |(i, site): (usize, &Site)| {
            let Site { inspectors, occurred, found, .. } = site;
            format!("site {}: {inspectors} inspectors, {found} of {occurred} found", i + 1)
        };
        Some(self.sites.iter().enumerate().map(line).collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(args: &AttentionAllocationArgs, inspectors: u32, occurred: u32) -> Site {
        let mut site = Site { inspectors, occurred, ..Site::default() };
        AttentionAllocation::inspect(&mut site, args, &mut Pcg64::seed_from(1));
        site
    }

    #[test]
    fn an_inspector_who_overlooks_nothing_finds_one_incident() {
        let args = AttentionAllocationArgs::default();
        assert_eq!(inspected(&args, 0, 5).found, 0);
        assert_eq!(inspected(&args, 2, 5).found, 2);
        assert_eq!(inspected(&args, 4, 3).found, 3);
        let several = AttentionAllocationArgs { several: true, ..args.clone() };
        assert_eq!(inspected(&several, 1, 5).found, 5);
        let blind = AttentionAllocationArgs { miss: 1.0, ..args.clone() };
        assert_eq!(inspected(&blind, 3, 5).found, 0);
        // Two are free after the first incident, one after the second.
        let nervous = AttentionAllocationArgs { false_alarm: 1.0, ..args };
        assert_eq!(inspected(&nervous, 3, 2).false_alarms, 3);
    }

    #[test]
    fn rates_fall_for_each_inspector_and_rise_without() {
        let args = AttentionAllocationArgs { dynamic_rate: 0.5, ..Default::default() };
        let sites = AttentionAllocation::new(args).unwrap();
        let at = |rate, inspectors| sites.moved(&Site { rate, inspectors, ..Site::default() });
        assert_eq!([at(2.0, 0), at(2.0, 1), at(2.0, 3), at(0.2, 1)], [2.5, 1.5, 0.5, 0.0]);
    }

    #[test]
    fn incidents_are_decisions_by_site() {
        let mut env = AttentionAllocation::new(AttentionAllocationArgs::default()).unwrap();
        env.sites[1] = Site { occurred: 5, found: 2, inspectors: 2, false_alarms: 1, ..Site::default() };
        let mut told = Vec::new();
        env.decisions(&mut told);
        let told: Vec<_> =
            told.iter().map(|d| (d.group, d.favourable, d.qualified, d.count, d.reward)).collect();
        let expected =
            [(1, true, Some(true), 2, 2.0), (1, false, Some(true), 3, 0.0), (1, true, Some(false), 1, 0.0)];
        assert_eq!(told, expected);
    }
}
