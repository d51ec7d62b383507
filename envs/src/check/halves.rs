//! A step in two halves.

use super::{Check, random_actions};
use crate::simulator::Autoreset;
use crate::{ActionBatch, EnvError, Pcg64};

impl Check<'_> {
    /// Send and receive give bit for bit what a step gives.
    pub(super) fn halves_are_a_step(&self) -> Result<(), EnvError> {
        for autoreset in [Autoreset::SameStep, Autoreset::NextStep] {
            let (mut whole, mut halves) = (self.make(3, autoreset)?, self.make(3, autoreset)?);
            let (mut whole_out, mut halves_out) = (whole.new_batch(), halves.new_batch());
            whole.reset(31, &mut whole_out)?;
            halves.reset(31, &mut halves_out)?;
            let mut rng = Pcg64::seed_from(32);
            let mut actions = ActionBatch::zeros(whole.action_spec(), whole.num_rows());
            for tick in 0..300 {
                random_actions(&whole, &whole_out, &mut rng, &mut actions)?;
                whole.step(&actions, &mut whole_out)?;
                halves.send(&actions, &halves_out)?;
                halves.receive(&mut halves_out)?;
                self.ensure(whole_out == halves_out, || {
                    format!("tick {tick}: send and receive differ from a step ({autoreset:?})")
                })?;
            }
        }
        Ok(())
    }

    /// What is asked for out of turn is refused, and the step that is in flight goes on.
    pub(super) fn halves_come_in_turn(&self) -> Result<(), EnvError> {
        let mut simulator = self.make(2, Autoreset::SameStep)?;
        let mut out = simulator.new_batch();
        simulator.reset(33, &mut out)?;
        let unsent = matches!(simulator.receive(&mut out), Err(EnvError::NothingSent));
        self.ensure(unsent, || "a step that was not sent was not refused".to_owned())?;
        let mut actions = ActionBatch::zeros(simulator.action_spec(), simulator.num_rows());
        random_actions(&simulator, &out, &mut Pcg64::seed_from(34), &mut actions)?;
        simulator.send(&actions, &out)?;
        let refused = [
            simulator.send(&actions, &out),
            simulator.step(&actions, &mut out.clone()),
            simulator.reset(35, &mut out.clone()),
            simulator.reset_envs(&[0], &mut out.clone()),
        ];
        for (call, result) in ["send", "step", "reset", "reset_envs"].into_iter().zip(refused) {
            let in_flight = matches!(result, Err(EnvError::StepInFlight { .. }));
            self.ensure(in_flight, || format!("{call} between send and receive was not refused"))?;
        }
        simulator.receive(&mut out)
    }
}
