//! Losses of policy gradients: of a batch of transitions, column by column, value and gradient together.

use agon_nn::kernels::exp;

use crate::slices::Sums;

/// What a loss reads of a batch of transitions: a number each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transitions<'a> {
    /// Log-probabilities of the actions under the current policy.
    pub(crate) log_probs: &'a [f32],
    /// Under the policy that acted.
    pub(crate) old_log_probs: &'a [f32],
    /// Advantages of the actions.
    pub(crate) advantages: &'a [f32],
    /// The current value estimates.
    pub(crate) values: &'a [f32],
    /// The estimates before the update.
    pub(crate) old_values: &'a [f32],
    /// What values are regressed on.
    pub(crate) targets: &'a [f32],
}

impl Transitions<'_> {
    /// Some of them.
    fn part(&self, from: usize, to: usize) -> Self {
        Self {
            log_probs: &self.log_probs[from..to],
            old_log_probs: &self.old_log_probs[from..to],
            advantages: &self.advantages[from..to],
            values: &self.values[from..to],
            old_values: &self.old_values[from..to],
            targets: &self.targets[from..to],
        }
    }
}

/// The derivatives of the transitions' losses.
#[derive(Debug)]
pub(crate) struct TransitionGradients<'a> {
    /// With respect to the log-probabilities of the actions.
    pub(crate) log_probs: &'a mut [f32],
    /// With respect to the values.
    pub(crate) values: &'a mut [f32],
}

/// Sums over transitions; divided by their number they are CleanRL's metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LossSums {
    /// Loss of the policy.
    pub(crate) policy_loss: f64,
    /// Half the squared error of the values.
    pub(crate) value_loss: f64,
    /// Entropy of the policy.
    pub(crate) entropy: f64,
    /// `−log ratio`.
    pub(crate) old_approx_kl: f64,
    /// `ratio − 1 − log ratio`: Schulman's estimator k3.
    pub(crate) approx_kl: f64,
    /// Transitions whose ratio was clipped.
    pub(crate) clipfrac: f64,
    /// What a view of an observation is seen differently by.
    pub(crate) view_loss: f64,
    /// How far the policy is from its teacher.
    pub(crate) teacher_loss: f64,
    /// Trajectories whose gradient was clipped.
    pub(crate) clipped: f64,
}

impl Sums for LossSums {
    fn add(&mut self, other: &Self) {
        self.policy_loss += other.policy_loss;
        self.value_loss += other.value_loss;
        self.entropy += other.entropy;
        self.old_approx_kl += other.old_approx_kl;
        self.approx_kl += other.approx_kl;
        self.clipfrac += other.clipfrac;
        self.view_loss += other.view_loss;
        self.teacher_loss += other.teacher_loss;
        self.clipped += other.clipped;
    }
}

/// Transitions whose numbers are in the cache together.
pub(crate) const BLOCK: usize = 128;

/// A number for each transition of a block.
pub(crate) type Column = [f32; BLOCK];

/// The loss of transitions, without its entropy bonus.
pub(crate) trait PolicyLoss: Sync {
    /// Overwrites the gradients of at most [`BLOCK`] transitions, and adds these to the sums.
    ///
    /// `ratios` are those of the probabilities of each action under the current policy and the one that acted.
    fn block(
        &self,
        transitions: &Transitions<'_>,
        ratios: &[f32],
        gradients: TransitionGradients<'_>,
        sums: &mut LossSums,
    );

    /// Weight of the entropy bonus.
    fn ent_coef(&self) -> f32;

    /// Weight of the value loss.
    fn vf_coef(&self) -> f32;

    /// Overwrites the gradients of the transitions' losses, and gives their sums.
    fn gradients(&self, transitions: &Transitions<'_>, gradients: TransitionGradients<'_>) -> LossSums {
        let mut sums = LossSums::default();
        for from in (0..transitions.log_probs.len()).step_by(BLOCK) {
            let to = (from + BLOCK).min(transitions.log_probs.len());
            let block = transitions.part(from, to);
            let (mut log_ratios, mut ratios, mut rests) = ([0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
            let (log_ratios, ratios) = (&mut log_ratios[..to - from], &mut ratios[..to - from]);
            let rests = &mut rests[..to - from];
            for ((log_ratio, now), then) in
                log_ratios.iter_mut().zip(block.log_probs).zip(block.old_log_probs)
            {
                *log_ratio = now - then;
            }
            ratios.copy_from_slice(log_ratios);
            exp(ratios);
            for ((rest, ratio), log_ratio) in rests.iter_mut().zip(&*ratios).zip(&*log_ratios) {
                *rest = ratio - 1.0 - log_ratio;
            }
            sums.old_approx_kl -= sum(log_ratios);
            sums.approx_kl += sum(rests);
            let of_block = TransitionGradients {
                log_probs: &mut gradients.log_probs[from..to],
                values: &mut gradients.values[from..to],
            };
            self.block(&block, ratios, of_block, &mut sums);
        }
        sums
    }
}

/// The sum of a column: of eight partial sums, so that several can be added at once.
pub(crate) fn sum(column: &[f32]) -> f64 {
    let (eights, rest) = column.as_chunks::<8>();
    let mut sums = [0.0_f64; 8];
    for eight in eights {
        for (sum, value) in sums.iter_mut().zip(eight) {
            *sum += f64::from(*value);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&value| f64::from(value)).sum::<f64>()
}

/// `−A ln π + vf_coef · ½ (V − G)² − ent_coef · H` of a transition.
///
/// # Source
/// Mnih et al. (2016), arXiv:1602.01783, section 4.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ActorCriticLoss {
    /// Weight of the entropy bonus.
    pub(crate) ent_coef: f32,
    /// Weight of the value loss.
    pub(crate) vf_coef: f32,
}

impl PolicyLoss for ActorCriticLoss {
    fn block(
        &self,
        transitions: &Transitions<'_>,
        _ratios: &[f32],
        gradients: TransitionGradients<'_>,
        sums: &mut LossSums,
    ) {
        let mut losses: Column = [0.0; BLOCK];
        let losses = &mut losses[..transitions.log_probs.len()];
        let policy = transitions.log_probs.iter().zip(transitions.advantages);
        for ((loss, gradient), (log_prob, advantage)) in
            losses.iter_mut().zip(gradients.log_probs).zip(policy)
        {
            (*loss, *gradient) = (-advantage * log_prob, -advantage);
        }
        sums.policy_loss += sum(losses);
        let errors = transitions.values.iter().zip(transitions.targets);
        for ((loss, gradient), (value, target)) in losses.iter_mut().zip(gradients.values).zip(errors) {
            let error = value - target;
            (*loss, *gradient) = (0.5 * error * error, self.vf_coef * error);
        }
        sums.value_loss += sum(losses);
    }

    fn ent_coef(&self) -> f32 {
        self.ent_coef
    }

    fn vf_coef(&self) -> f32 {
        self.vf_coef
    }
}
