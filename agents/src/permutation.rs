//! Random orders of many rows, made by all threads of a team.

use agon_envs::Pcg64;
use agon_nn::team;

use crate::learner::stream;
use crate::slices::slice_range;

/// Buckets that the numbers are thrown into, and parts that are thrown from.
const BUCKETS: usize = 16;
/// Numbers below which one thread shuffles them as they are.
const FEW: usize = 4096;

/// The numbers below `count` in a random order for each seed, all of them equally likely.
///
/// Many numbers are thrown into buckets, each number for itself, and the buckets shuffled: a random order of all when they are
/// put one after the other.
///
/// # Source
/// Rao (1961), Sankhyā A 23; Sandelius (1962), J. R. Statist. Soc. B 24.
pub(crate) fn orders(seeds: &[u64], count: usize) -> Vec<Vec<u32>> {
    let mut orders: Vec<Vec<u32>> = seeds.iter().map(|_| Vec::new()).collect();
    if count < FEW {
        team::for_each(&mut orders, |index, order| {
            order.extend(0..count as u32);
            shuffle(&mut Pcg64::seed_from(seeds[index]), order);
        });
        return orders;
    }
    let mut parts: Vec<Part> = (0..seeds.len() * BUCKETS).map(|_| Part::default()).collect();
    team::for_each(&mut parts, |index, part| {
        let (seed, place) = (seeds[index / BUCKETS], index % BUCKETS);
        part.throw(stream(seed, place as u32), slice_range(count, BUCKETS, place));
    });
    let mut buckets = Vec::with_capacity(parts.len());
    for (order, (seed, parts)) in orders.iter_mut().zip(seeds.iter().zip(parts.chunks(BUCKETS))) {
        order.resize(count, 0);
        let mut rest = order.as_mut_slice();
        for place in 0..BUCKETS {
            let len = parts.iter().map(|part| part.buckets[place].len()).sum();
            let (bucket, after) = rest.split_at_mut(len);
            rest = after;
            buckets.push((stream(*seed, (BUCKETS + place) as u32), place, parts, bucket));
        }
    }
    team::for_each(&mut buckets, |_, (seed, place, parts, bucket)| {
        let thrown = parts.iter().flat_map(|part| &part.buckets[*place]);
        bucket.iter_mut().zip(thrown).for_each(|(to, from)| *to = *from);
        shuffle(&mut Pcg64::seed_from(*seed), bucket);
    });
    orders
}

/// What was thrown from one part of the numbers.
#[derive(Default)]
struct Part {
    buckets: [Vec<u32>; BUCKETS],
}

impl Part {
    fn throw(&mut self, seed: u64, numbers: std::ops::Range<usize>) {
        /// Of a random word: four bits say which bucket.
        const THROWS: usize = 16;
        let mut rng = Pcg64::seed_from(seed);
        let expected = numbers.len() / BUCKETS;
        self.buckets.iter_mut().for_each(|bucket| bucket.reserve(expected + expected / 4));
        for first in numbers.clone().step_by(THROWS) {
            let mut word = rng.next_u64();
            for number in first..numbers.end.min(first + THROWS) {
                self.buckets[word as usize % BUCKETS].push(number as u32);
                word >>= 4;
            }
        }
    }
}

/// Fisher and Yates's shuffle.
fn shuffle(rng: &mut Pcg64, items: &mut [u32]) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.bounded(i as u64) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once_and_threads_do_not_matter() {
        for count in [0, 1, 5, FEW - 1, FEW, 3 * FEW + 7] {
            let expected = orders(&[3, 4], count);
            for order in &expected {
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..count as u32), "{count} numbers");
            }
            assert!(count < 5 || expected[0] != expected[1], "{count} numbers: each seed has its order");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            assert!(pool.install(|| team::gather(2, || orders(&[3, 4], count))) == expected);
        }
    }

    #[test]
    fn a_number_is_as_likely_in_each_place() {
        // Where one number of each quarter lands, by quarters: 1000 orders, so 250 times in each.
        let seeds: Vec<u64> = (0..1000).collect();
        for count in [40, FEW] {
            let mut landed = [[0_i32; 4]; 4];
            for order in orders(&seeds, count) {
                for (quarter, landed) in landed.iter_mut().enumerate() {
                    let number = (quarter * count / 4 + 7) as u32;
                    let place = order.iter().position(|&found| found == number).unwrap();
                    landed[place * 4 / count] += 1;
                }
            }
            // A deviation of 5 standard ones of a binomial distribution.
            assert!(landed.as_flattened().iter().all(|n| (n - 250).abs() < 70), "{count}: {landed:?}");
        }
    }
}
