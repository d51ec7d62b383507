//! Fragments and policies as bytes.
//!
//! Layout of both: a magic of 8 bytes, the content's length as 8 bytes little-endian, the CRC-32 of length and content as 4, the
//! content. That of a fragment is its own length, 8 bytes little-endian, and the fragment compressed (LZ4); that of a policy is
//! not compressed: trained weights have nothing that repeats.

use std::path::Path;

use agon_agents::codec::{decode, encode};
use agon_agents::{Fragment, FragmentShape, Weights};
use agon_envs::spaces::Dtype;
use agon_envs::wrappers::Moments;
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::run::framed;

const FRAGMENT: &[u8; 8] = b"AGONFRG1";
const POLICY: &[u8; 8] = b"AGONPOL1";
/// A byte of a compressed block stands for so many bytes at most.
const MOST_EXPANDED: u64 = 255;

/// A fragment as bytes.
///
/// # Errors
/// If it cannot be serialised.
pub(super) fn pack_fragment(fragment: &Fragment) -> Result<Vec<u8>, RunError> {
    let content = encode(fragment)?;
    let mut packed = (content.len() as u64).to_le_bytes().to_vec();
    packed.extend_from_slice(&lz4_flex::block::compress(&content));
    Ok(framed::framed(FRAGMENT, &packed).0)
}

/// A fragment from bytes that may be anything. It takes no more memory than one of `most` bytes does; what it holds is still to
/// be validated.
///
/// # Errors
/// [`RunError::Source`] with what was expected and found.
pub(super) fn unpack_fragment(bytes: &[u8], most: u64) -> Result<Fragment, RunError> {
    let packed = content("a fragment", FRAGMENT, bytes)?;
    let Some((length, compressed)) = packed.split_first_chunk() else {
        return Err(wrong("a fragment", &format!("expected a length of 8 bytes, found {}", packed.len())));
    };
    let length = u64::from_le_bytes(*length);
    let most = most.min(MOST_EXPANDED.saturating_mul(compressed.len() as u64));
    let content = match usize::try_from(length) {
        Ok(length) if length as u64 <= most => lz4_flex::block::decompress(compressed, length)
            .map_err(|error| wrong("a fragment", &error.to_string()))?,
        _ => return Err(wrong("a fragment", &format!("expected at most {most} bytes, found {length}"))),
    };
    decode(&content).map_err(|error| wrong("a fragment", &error.to_string()))
}

/// Bytes that a fragment of some sizes has at most, before it is compressed: every step ends an episode, and every number that is
/// written in as many bytes as it needs is the largest one.
pub(super) fn most_bytes(shape: &FragmentShape, statistics: &[Moments]) -> u64 {
    const WHOLE: u64 = 10;
    // Row, tick, return and length of an episode, and the row of its end.
    const EPISODE: u64 = 4 * 5 + 8;
    // Rewards and four flags.
    const OUTCOME: u64 = 4 + 4;
    let element = |dtype| match dtype {
        Dtype::F32 => 4,
        Dtype::U8 => 1,
    };
    let of = |count: usize, bytes: u64| (count as u64).saturating_mul(bytes);
    let rows = of(shape.num_envs, shape.num_agents as u64);
    let steps = rows.saturating_mul(shape.num_steps as u64);
    let observation = of(shape.observation_len, element(shape.dtype)).saturating_add(shape.mask_len as u64);
    let step = of(shape.observation_len, 2 * element(shape.dtype))
        .saturating_add(shape.privileged.map_or(0, |(dtype, len)| of(len, element(dtype))))
        .saturating_add(of(shape.action_spec.width(), 5))
        .saturating_add(of(shape.policy_data_width, 4))
        .saturating_add(of(shape.num_metrics, 8))
        .saturating_add(if shape.num_tasks > 0 { 5 } else { 0 })
        .saturating_add(shape.mask_len as u64 + EPISODE + OUTCOME);
    let news = statistics.iter().map(|moments| of(moments.mean.len(), 16).saturating_add(8 + 2 * WHOLE));
    // The sizes themselves, and a length for each of the lists.
    let fixed = 64 * WHOLE + encode(shape).map_or(0, |sizes| sizes.len() as u64);
    steps
        .saturating_mul(step)
        .saturating_add(rows.saturating_mul(observation.saturating_add(of(shape.policy_state_len, 4))))
        .saturating_add(news.fold(0, u64::saturating_add))
        .saturating_add(fixed)
}

/// What acts elsewhere, as it is sent.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SentPolicy {
    pub(super) version: u64,
    pub(super) env_steps: u64,
    pub(super) statistics: Vec<Moments>,
    /// Names, shapes and values.
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl SentPolicy {
    pub(super) fn new(version: u64, env_steps: u64, statistics: &[Moments], weights: &Weights) -> Self {
        let tensors =
            weights.iter().map(|(name, shape, values)| (name.to_owned(), shape.to_vec(), values.to_vec()));
        Self { version, env_steps, statistics: statistics.to_vec(), tensors: tensors.collect() }
    }

    /// As bytes.
    ///
    /// # Errors
    /// If it cannot be serialised.
    pub(super) fn pack(&self) -> Result<Vec<u8>, RunError> {
        Ok(framed::framed(POLICY, &encode(self)?).0)
    }

    /// From bytes that may be anything.
    ///
    /// # Errors
    /// [`RunError::Source`] with what was expected and found.
    pub(super) fn unpack(bytes: &[u8]) -> Result<Self, RunError> {
        let sent: Self = decode(content("a policy", POLICY, bytes)?)
            .map_err(|error| wrong("a policy", &error.to_string()))?;
        let finite = |(_, _, values): &(_, _, Vec<f32>)| values.iter().all(|value| value.is_finite());
        if !sent.tensors.iter().all(finite) {
            return Err(wrong("a policy", "expected finite weights, found others"));
        }
        if !sent.statistics.iter().all(Moments::is_whole) {
            return Err(wrong("a policy", "expected statistics of counts, means and squares, found others"));
        }
        Ok(sent)
    }

    /// The weights.
    ///
    /// # Errors
    /// If names occur twice, or shapes are not those of their values.
    pub(super) fn weights(self) -> Result<Weights, RunError> {
        Ok(Weights::from_tensors(self.tensors)?)
    }
}

/// The content of a frame.
fn content<'a>(what: &str, magic: &[u8; 8], bytes: &'a [u8]) -> Result<&'a [u8], RunError> {
    match framed::content(Path::new(what), magic, bytes) {
        Ok((content, _)) => Ok(content),
        Err(RunError::Checkpoint { message, .. }) => Err(wrong(what, &message)),
        Err(error) => Err(error),
    }
}

fn wrong(what: &str, message: &str) -> RunError {
    RunError::Source(format!("{what} that was sent: {message}"))
}

#[cfg(test)]
mod tests;
