//! Returns and advantages as pure functions.
//!
//! All inputs are `[T, N]`, row-major. `rewards[t]` follows the action taken at `t`; `values[t]` is the value of the
//! observation acted in at `t`, and `next_values[t]` the value of the observation that truly followed: the final
//! observation where an episode ended at `t`. Termination means nothing follows, so its `next_values` is never read;
//! truncation bootstraps from it. Either cuts the recursion.

/// What return estimators read; see the [module](self) for shapes.
#[derive(Clone, Copy, Debug)]
pub struct Trajectory<'a> {
    /// Rows of a tick, `N`.
    pub num_rows: usize,
    /// `[T, N]`.
    pub rewards: &'a [f32],
    /// `[T, N]`.
    pub values: &'a [f32],
    /// `[T, N]`.
    pub next_values: &'a [f32],
    /// `[T, N]`.
    pub terminated: &'a [bool],
    /// `[T, N]`.
    pub truncated: &'a [bool],
}

impl Trajectory<'_> {
    fn check(&self, out: &[f32]) -> usize {
        let rows = self.rewards.len();
        let lengths = [
            self.values.len(),
            self.next_values.len(),
            self.terminated.len(),
            self.truncated.len(),
            out.len(),
        ];
        assert!(lengths.iter().all(|&len| len == rows), "expected {rows} rows everywhere, got {lengths:?}");
        assert!(
            self.num_rows > 0 && rows.is_multiple_of(self.num_rows),
            "{rows} steps of {} rows",
            self.num_rows
        );
        rows
    }
}

/// Generalised advantage estimation: `A_t = δ_t + γ λ c_t A_{t+1}` with `δ_t = r_t + γ (1 − terminated_t) V(s'_t) − V(s_t)`
/// and `c_t = 0` where the episode ended at `t`, else 1.
///
/// # Shapes
/// `advantages`: `[T, N]`. The λ-return is `advantages + values`.
///
/// # Panics
/// If lengths disagree.
///
/// # Source
/// Schulman et al. (2016), equation 16.
pub fn gae(trajectory: &Trajectory<'_>, gamma: f32, gae_lambda: f32, advantages: &mut [f32]) {
    let rows = trajectory.check(advantages);
    let n = trajectory.num_rows;
    for row in (0..rows).rev() {
        let ended = trajectory.terminated[row] | trajectory.truncated[row];
        let next_value = if trajectory.terminated[row] { 0.0 } else { trajectory.next_values[row] };
        let delta = trajectory.rewards[row] + gamma * next_value - trajectory.values[row];
        let following = if ended || row + n >= rows { 0.0 } else { advantages[row + n] };
        advantages[row] = delta + gamma * gae_lambda * following;
    }
}

/// n-step returns: up to `n` rewards, then the value of what followed, unless the episode terminated.
///
/// `G_t = Σ_{k<m} γ^k r_{t+k} + γ^m (1 − terminated) V(s')` with `m ≤ n` cut at the end of the episode or of the data.
///
/// # Shapes
/// `returns`: `[T, N]`.
///
/// # Panics
/// If lengths disagree or `n` is zero.
///
/// # Source
/// Sutton and Barto (2018), equation 7.1.
pub fn n_step(trajectory: &Trajectory<'_>, gamma: f32, n: usize, returns: &mut [f32]) {
    assert!(n > 0, "n must be at least 1");
    let rows = trajectory.check(returns);
    for (start, out) in returns.iter_mut().enumerate() {
        let (mut sum, mut discount, mut row) = (0.0, 1.0, start);
        for taken in 1..=n {
            sum += discount * trajectory.rewards[row];
            discount *= gamma;
            if trajectory.terminated[row] {
                break;
            }
            let last = taken == n || row + trajectory.num_rows >= rows;
            if trajectory.truncated[row] || last {
                sum += discount * trajectory.next_values[row];
                break;
            }
            row += trajectory.num_rows;
        }
        *out = sum;
    }
}

/// V-trace: values and advantages of a policy from what another one did, with truncated importance weights.
///
/// ```text
/// δ_t  = min(ρ̄, ρ_t) (r_t + γ (1 − terminated_t) V(s'_t) − V(s_t))
/// vs_t = V(s_t) + δ_t + γ c_t min(c̄, ρ_t) (vs_{t+1} − V(s_{t+1}))
/// A_t  = min(ρ̄, ρ_t) (r_t + γ (1 − terminated_t) v'_t − V(s_t))
/// ```
///
/// with `c_t = 0` where the episode ended at `t`, else 1, and `v'_t = vs_{t+1}` inside an episode, `V(s'_t)` where it
/// was truncated or the data end. `ρ_t` is the probability of the action under the learning policy over that under
/// the acting one. With `ρ` = 1 and bounds of at least 1 the values are those of [`gae`] with λ = 1, plus `values`.
///
/// # Shapes
/// `ratios` (`ρ`), `vs`, `pg_advantages`: `[T, N]`.
///
/// # Panics
/// If lengths disagree.
///
/// # Source
/// Espeholt et al. (2018), arXiv:1802.01561, equation 1 and section 4.2.
pub fn vtrace(
    trajectory: &Trajectory<'_>,
    ratios: &[f32],
    gamma: f32,
    rho_bar: f32,
    c_bar: f32,
    vs: &mut [f32],
    pg_advantages: &mut [f32],
) {
    let rows = trajectory.check(vs);
    assert!(ratios.len() == rows && pg_advantages.len() == rows, "expected {rows} ratios and advantages");
    let n = trajectory.num_rows;
    for row in (0..rows).rev() {
        let terminated = trajectory.terminated[row];
        let continues = !(terminated | trajectory.truncated[row]) && row + n < rows;
        let (reward, value) = (trajectory.rewards[row], trajectory.values[row]);
        let next_value = if terminated { 0.0 } else { trajectory.next_values[row] };
        let (next_vs, following) = if continues {
            (vs[row + n], vs[row + n] - trajectory.values[row + n])
        } else {
            (next_value, 0.0)
        };
        // Not `f32::min`, which would hide a ratio that is NaN.
        let at_most = |bound: f32| if ratios[row] > bound { bound } else { ratios[row] };
        let rho = at_most(rho_bar);
        let delta = rho * (reward + gamma * next_value - value);
        vs[row] = value + delta + gamma * at_most(c_bar) * following;
        pg_advantages[row] = rho * (reward + gamma * next_vs - value);
    }
}

/// One-step advantages over given value targets: `A_t = r_t + γ (1 − terminated_t) v'_t − V(s_t)` with `v'_t = vs_{t+1}`
/// inside an episode, `V(s'_t)` where it was truncated or the data end: V-trace's before their importance weights.
///
/// # Shapes
/// `vs`, `advantages`: `[T, N]`.
///
/// # Panics
/// If lengths disagree.
pub fn one_step_advantages(trajectory: &Trajectory<'_>, vs: &[f32], gamma: f32, advantages: &mut [f32]) {
    let rows = trajectory.check(advantages);
    assert!(vs.len() == rows, "expected {rows} targets, got {}", vs.len());
    let n = trajectory.num_rows;
    for (row, advantage) in advantages.iter_mut().enumerate() {
        let terminated = trajectory.terminated[row];
        let next = match vs.get(row + n) {
            _ if terminated => 0.0,
            Some(&next) if !trajectory.truncated[row] => next,
            _ => trajectory.next_values[row],
        };
        *advantage = trajectory.rewards[row] + gamma * next - trajectory.values[row];
    }
}

/// `1 − Var(returns − values) / Var(returns)`: one if the values predict perfectly, NaN if returns do not vary.
///
/// # Source
/// CleanRL 1.0 `ppo.py`.
pub fn explained_variance(values: &[f32], returns: &[f32]) -> f64 {
    let total = variance(returns.iter().map(|&target| f64::from(target)));
    let pairs = returns.iter().zip(values);
    let residual = variance(pairs.map(|(&target, &value)| f64::from(target) - f64::from(value)));
    if total == 0.0 { f64::NAN } else { 1.0 - residual / total }
}

/// The variance of some numbers, not of what they are drawn from.
fn variance(numbers: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
    let n = numbers.len() as f64;
    let mean = sum(numbers.clone()) / n;
    sum(numbers.map(|number| (number - mean) * (number - mean))) / n
}

/// The sum of some numbers: of eight partial sums, so that several can be added at once.
pub(crate) fn sum(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut sums = [0.0; 8];
    let mut place = 0;
    numbers.for_each(|number| {
        sums[place] += number;
        place = (place + 1) % 8;
    });
    sums.iter().sum()
}

#[cfg(test)]
mod tests;
