//! Several independent categorical distributions whose logits stand next to each other in a row.
//!
//! `nvec[k]` is the number of actions of component `k`; a row has `Σ nvec` logits and a joint action one index for
//! each of the `K` components. Log-probabilities, entropies and divergences are sums over the components.
//!
//! Work goes in steps as in [`categorical`]: [`log_softmax_rows`], then [`exp`](crate::kernels::exp) of a copy for the
//! probabilities, then values, draws and gradients from these two. A mask has a flag for each logit, false where the
//! action is not allowed. Masked actions have probability exactly zero, log-probability −∞ and no gradient.

use super::categorical;
use crate::error::NnError;
use crate::matrix::check_length;

/// Length of a row of logits: `Σ nvec`.
#[must_use]
pub fn row_len(nvec: &[usize]) -> usize {
    nvec.iter().sum()
}

/// `out[b, k, a] = logits[b, k, a] − ln Σ exp(logits[b, k, ·])`: each component normalised for itself.
///
/// # Shapes
/// `logits`, `mask` if there is one, `out`: `[B, Σ nvec]`.
///
/// # Errors
/// [`NnError::Config`] if a component has no actions or there is none, [`NnError::Length`] if lengths differ or are no
/// multiple of a row, [`NnError::AllActionsMasked`] if a component of a row allows no action.
pub fn log_softmax_rows(
    logits: &[f32],
    mask: Option<&[bool]>,
    nvec: &[usize],
    out: &mut [f32],
) -> Result<(), NnError> {
    let len = check_rows("logits", logits, nvec)?;
    check_length("output", logits.len(), out.len())?;
    out.copy_from_slice(logits);
    if let Some(mask) = mask {
        check_length("mask", logits.len(), mask.len())?;
        for (row, mask) in mask.chunks_exact(len).enumerate() {
            if parts(mask, nvec).any(|part| part.iter().all(|&allowed| !allowed)) {
                return Err(NnError::AllActionsMasked { row });
            }
        }
        for (x, _) in out.iter_mut().zip(mask).filter(|(_, allowed)| !**allowed) {
            *x = f32::NEG_INFINITY;
        }
    }
    if nvec.iter().all(|&n| n == nvec[0]) {
        // Components of one size are rows of one matrix.
        categorical::normalize_rows(nvec[0], out);
        return Ok(());
    }
    for row in out.chunks_exact_mut(len) {
        parts_mut(row, nvec).for_each(|part| categorical::normalize_rows(part.len(), part));
    }
    Ok(())
}

/// `out[b] = Σ_k ln p[b, k, actions[b, k]]`.
///
/// # Shapes
/// `log_probs`: `[B, Σ nvec]`, `actions`: `[B, K]`, `out`: `[B]`.
///
/// # Errors
/// As [`log_softmax_rows`].
///
/// # Panics
/// If an action is out of range.
pub fn log_prob_rows(
    log_probs: &[f32],
    nvec: &[usize],
    actions: &[usize],
    out: &mut [f32],
) -> Result<(), NnError> {
    let len = check_rows("log_probs", log_probs, nvec)?;
    let rows = log_probs.len() / len;
    check_length("actions", rows * nvec.len(), actions.len())?;
    check_length("output", rows, out.len())?;
    let rows = log_probs.chunks_exact(len).zip(actions.chunks_exact(nvec.len()));
    for ((log_probs, actions), out) in rows.zip(out) {
        *out = parts(log_probs, nvec).zip(actions).map(|(part, &action)| part[action]).sum();
    }
    Ok(())
}

/// `out[b] = −Σ_k Σ p ln p`.
///
/// # Shapes
/// `log_probs`, `probs`: `[B, Σ nvec]`, `out`: `[B]`.
///
/// # Errors
/// As [`log_softmax_rows`].
pub fn entropy_rows(
    log_probs: &[f32],
    probs: &[f32],
    nvec: &[usize],
    out: &mut [f32],
) -> Result<(), NnError> {
    let len = check_rows("log_probs", log_probs, nvec)?;
    // A sum over the components of sums over actions is one sum over the row.
    categorical::entropy_rows(log_probs, probs, len, out)
}

/// `out[b] = Σ_k KL(p_k ‖ q_k)`; see [`categorical::kl_rows`].
///
/// # Shapes
/// `log_probs`, `probs` (of `p`), `other_log_probs` (of `q`): `[B, Σ nvec]`, `out`: `[B]`.
///
/// # Errors
/// As [`log_softmax_rows`].
pub fn kl_rows(
    log_probs: &[f32],
    probs: &[f32],
    other_log_probs: &[f32],
    nvec: &[usize],
    out: &mut [f32],
) -> Result<(), NnError> {
    let len = check_rows("log_probs", log_probs, nvec)?;
    categorical::kl_rows(log_probs, probs, other_log_probs, len, out)
}

/// Adds the gradient of `weight · Σ_k ln p[k, actions[k]]` with respect to one row of logits.
///
/// # Panics
/// If the slices differ in length, or an action is out of range.
pub fn add_log_prob_gradient(
    probs: &[f32],
    nvec: &[usize],
    actions: &[usize],
    weight: f32,
    gradient: &mut [f32],
) {
    check_row(nvec, &[probs.len(), gradient.len()]);
    assert_eq!(actions.len(), nvec.len(), "an action for each component");
    for ((probs, &action), gradient) in parts(probs, nvec).zip(actions).zip(parts_mut(gradient, nvec)) {
        categorical::add_log_prob_gradient(probs, action, weight, gradient);
    }
}

/// Adds the gradient of `weight · entropy` with respect to one row of logits.
///
/// # Panics
/// If the slices differ in length.
pub fn add_entropy_gradient(
    log_probs: &[f32],
    probs: &[f32],
    nvec: &[usize],
    weight: f32,
    gradient: &mut [f32],
) {
    check_row(nvec, &[log_probs.len(), probs.len(), gradient.len()]);
    let rows = parts(log_probs, nvec).zip(parts(probs, nvec));
    for ((log_probs, probs), gradient) in rows.zip(parts_mut(gradient, nvec)) {
        let entropy = categorical::entropy_of(log_probs, probs);
        categorical::add_entropy_gradient(log_probs, probs, entropy, weight, gradient);
    }
}

/// Adds the gradient of `weight · Σ_k KL(p_k ‖ q_k)` with respect to one row of the logits of `p`.
///
/// # Panics
/// If the slices differ in length.
pub fn add_kl_gradient(
    log_probs: &[f32],
    probs: &[f32],
    other_log_probs: &[f32],
    nvec: &[usize],
    weight: f32,
    gradient: &mut [f32],
) {
    check_row(nvec, &[log_probs.len(), probs.len(), other_log_probs.len(), gradient.len()]);
    let rows = parts(log_probs, nvec).zip(parts(probs, nvec)).zip(parts(other_log_probs, nvec));
    for (((log_probs, probs), other), gradient) in rows.zip(parts_mut(gradient, nvec)) {
        let kl = categorical::kl_of(log_probs, probs, other);
        categorical::add_kl_gradient(log_probs, probs, other, kl, weight, gradient);
    }
}

/// Adds the gradient of `weight · Σ_k KL(p_k ‖ q_k)` with respect to one row of the logits of `q`.
///
/// # Panics
/// If the slices differ in length.
pub fn add_kl_gradient_of_other(probs: &[f32], other_probs: &[f32], weight: f32, gradient: &mut [f32]) {
    categorical::add_kl_gradient_of_other(probs, other_probs, weight, gradient);
}

/// Draws a joint action from a row of probabilities, each component at its own `u`, uniform in `0..1`; see
/// [`categorical::sample_probs`].
///
/// # Panics
/// If the slices differ in length.
pub fn sample_probs(probs: &[f32], nvec: &[usize], u: &[f32], actions: &mut [usize]) {
    check_row(nvec, &[probs.len()]);
    assert!(
        u.len() == nvec.len() && actions.len() == nvec.len(),
        "a number and an action for each component"
    );
    for ((probs, &u), action) in parts(probs, nvec).zip(u).zip(actions) {
        *action = categorical::sample_probs(probs, u);
    }
}

/// The most probable joint action of a row of log-probabilities; the first among equals.
///
/// Takes logits too, if none is masked.
///
/// # Panics
/// If the slices differ in length.
#[doc(alias = "argmax")]
pub fn mode(log_probs: &[f32], nvec: &[usize], actions: &mut [usize]) {
    check_row(nvec, &[log_probs.len()]);
    assert_eq!(actions.len(), nvec.len(), "an action for each component");
    for (part, action) in parts(log_probs, nvec).zip(actions) {
        *action = categorical::mode(part);
    }
}

/// The components of one row.
fn parts<'a, T>(row: &'a [T], nvec: &'a [usize]) -> impl Iterator<Item = &'a [T]> {
    let mut rest = row;
    nvec.iter().map(move |&n| {
        let (part, others) = rest.split_at(n);
        rest = others;
        part
    })
}

/// The components of one row, to change them.
fn parts_mut<'a, T>(row: &'a mut [T], nvec: &'a [usize]) -> impl Iterator<Item = &'a mut [T]> {
    let mut rest = row;
    nvec.iter().map(move |&n| {
        let (part, others) = std::mem::take(&mut rest).split_at_mut(n);
        rest = others;
        part
    })
}

/// Checks that values are whole rows; gives the length of a row.
fn check_rows(name: &'static str, values: &[f32], nvec: &[usize]) -> Result<usize, NnError> {
    if nvec.is_empty() || nvec.contains(&0) {
        let expected = "at least one component, each with at least one action";
        return Err(NnError::Config { field: "nvec", expected, got: format!("{nvec:?}") });
    }
    let len = row_len(nvec);
    check_length(name, values.len().next_multiple_of(len), values.len())?;
    Ok(len)
}

fn check_row(nvec: &[usize], lengths: &[usize]) {
    let len = row_len(nvec);
    assert!(lengths.iter().all(|&got| got == len), "one row of {len} values everywhere, got {lengths:?}");
}

#[cfg(test)]
mod tests;
