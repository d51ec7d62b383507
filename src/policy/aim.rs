//! Another return to aim at, for policies that act by one.

use super::TrainedPolicy;
use crate::RunError;
use crate::acting::Acting;

impl TrainedPolicy {
    /// The same policy, aiming at another return of an episode than the one that its training settled: undiscounted, in the
    /// environment's own rewards. It remembers no episodes.
    ///
    /// # Errors
    /// [`RunError::Policy`] if it acts by no return, or the return is not finite.
    pub fn aiming_at(&self, target_return: f64) -> Result<Self, RunError> {
        if !(target_return as f32).is_finite() {
            return Err(RunError::Policy(format!("a return to aim at must be finite, got {target_return}")));
        }
        let algorithm = &self.card.algorithm;
        let Some(policy) = self.acting.policy.aiming_at(target_return) else {
            let message = format!(
                "only a policy that acts by a return, as dt's, takes one to aim at: expected none, got {target_return} for {algorithm}"
            );
            return Err(RunError::Policy(message));
        };
        let own = self.anew();
        Ok(Self { acting: Acting { policy, ..own.acting }, ..own })
    }
}
