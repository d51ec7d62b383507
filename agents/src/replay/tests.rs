//! The buffer against a history that forgets nothing.

use agon_envs::wrappers::{Frames, Padding};
use agon_envs::{ActionBatch, ActionSpec, ObsBuffer, Space};
use proptest::prelude::*;

use super::*;
use crate::FragmentShape;
use crate::chunks::MemoryStore;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Runs,
    Terminates,
    IsCut,
    /// The row takes no part.
    Waits,
}

/// One step as it was.
#[derive(Clone, Debug)]
struct Step {
    observation: Vec<f32>,
    next: Vec<f32>,
    reward: f32,
    action: u32,
    end: End,
    next_mask: Option<Vec<bool>>,
}

/// Sizes of a case.
#[derive(Clone, Copy, Debug)]
struct Case {
    streams: usize,
    rows: usize,
    num_steps: usize,
    capacity: usize,
    /// Frames of a stack; one is none.
    stack: usize,
    padding: Padding,
    bytes: bool,
    /// Whether most bytes are 0 or 255.
    two_valued: bool,
}

const FRAME: usize = 2;
const ACTIONS: usize = 3;

impl Case {
    fn shape(&self) -> ReplayShape {
        let space = Space::box_uniform(0.0, 255.0, &[FRAME]).unwrap();
        let frames = Frames::new(self.stack, self.padding, &space).unwrap();
        ReplayShape {
            num_streams: self.streams,
            num_rows: self.rows,
            observation_len: FRAME * self.stack,
            dtype: if self.bytes { Dtype::U8 } else { Dtype::F32 },
            frames: (self.stack > 1).then_some(frames),
            action_spec: ActionSpec::Discrete { nvec: vec![ACTIONS as u32] },
            mask_len: ACTIONS,
            state_len: 1,
            state_period: self.num_steps,
        }
    }

    fn fragment_shape(&self) -> FragmentShape {
        let shape = self.shape();
        FragmentShape {
            num_steps: self.num_steps,
            num_envs: self.rows,
            num_agents: 1,
            observation_len: shape.observation_len,
            dtype: shape.dtype,
            action_spec: shape.action_spec,
            policy_data_width: 0,
            policy_state_len: 1,
            mask_len: ACTIONS,
            num_metrics: 0,
            num_tasks: 0,
            privileged: None,
        }
    }
}

/// A row of a stream as it lives on: its episode's frames so far.
struct Row {
    frames: Vec<[f32; FRAME]>,
    steps: Vec<Step>,
    begins: bool,
    counter: usize,
    two_valued: bool,
}

impl Row {
    fn new(case: &Case, key: usize) -> Self {
        let two_valued = case.two_valued;
        let mut row = Self { frames: vec![], steps: vec![], begins: true, counter: key * 37, two_valued };
        row.begin(case);
        row
    }

    /// A frame that no other one is like (among bytes, one that few are like).
    fn frame(&mut self) -> [f32; FRAME] {
        self.counter += 1;
        if self.two_valued && !self.counter.is_multiple_of(53) {
            return [1, 2].map(|share| (self.counter / share % 2 * 255) as f32);
        }
        [(self.counter % 251) as f32, (self.counter / 7 % 256) as f32]
    }

    fn begin(&mut self, _case: &Case) {
        self.begins = true;
        self.frames = vec![self.frame()];
    }

    fn stack(&self, case: &Case) -> Vec<f32> {
        let frame = |age: usize| match (self.frames.len().checked_sub(age + 1), case.padding) {
            (Some(index), _) => self.frames[index],
            (None, Padding::Reset) => self.frames[0],
            (None, Padding::Zero) => [0.0; FRAME],
        };
        (0..case.stack).rev().flat_map(frame).collect()
    }

    fn mask(&self) -> Vec<bool> {
        (0..ACTIONS).map(|action| !(self.counter + action).is_multiple_of(3)).collect()
    }
}

fn write(buffer: &mut ObsBuffer, row: usize, values: &[f32]) {
    let range = row * values.len()..(row + 1) * values.len();
    match buffer {
        ObsBuffer::F32(to) => to[range].copy_from_slice(values),
        ObsBuffer::U8(to) => to[range].iter_mut().zip(values).for_each(|(to, &from)| *to = from as u8),
    }
}

/// Plays a fragment and remembers every step.
fn play(case: &Case, shard: usize, rows: &mut [Row], ends: &mut impl Iterator<Item = End>) -> Fragment {
    let mut fragment = Fragment::new(&case.fragment_shape());
    fragment.shard = shard;
    let (n, width) = (case.rows, FRAME * case.stack);
    for t in 0..case.num_steps {
        for (i, row) in rows.iter_mut().enumerate() {
            let at = t * n + i;
            if t == 0 {
                fragment.policy_state[i] = row.steps.len() as f32 + 0.25 * i as f32;
            }
            let (observation, end) = (row.stack(case), ends.next().unwrap());
            write(&mut fragment.observations, at, &observation);
            fragment.action_masks[at * ACTIONS..(at + 1) * ACTIONS].copy_from_slice(&row.mask());
            let (reward, action) = (row.counter as f32 * 0.5, (row.counter % ACTIONS) as u32);
            fragment.rewards[at] = reward;
            let ActionBatch::Discrete(actions) = &mut fragment.actions else { panic!("discrete") };
            actions[at] = action;
            fragment.resets[at] = row.begins;
            fragment.active[at] = end != End::Waits;
            fragment.terminated[at] = end == End::Terminates;
            fragment.truncated[at] = end == End::IsCut;
            row.begins = false;
            let frame = row.frame();
            row.frames.push(frame);
            let next = row.stack(case);
            let ended = matches!(end, End::Terminates | End::IsCut);
            if ended {
                let index = fragment.final_rows.len();
                fragment.final_rows.push(at as u32);
                fragment.final_observations.resize((index + 1) * width);
                write(&mut fragment.final_observations, index, &next);
            }
            if end != End::Runs {
                row.begin(case);
            }
            let next_mask = (!ended).then(|| row.mask());
            row.steps.push(Step { observation, next, reward, action, end, next_mask });
        }
    }
    for (i, row) in rows.iter().enumerate() {
        let at = case.num_steps * n + i;
        write(&mut fragment.observations, at, &row.stack(case));
        fragment.action_masks[at * ACTIONS..(at + 1) * ACTIONS].copy_from_slice(&row.mask());
    }
    fragment
}

fn numbers(input: Input, case: &Case) -> Vec<f32> {
    match input {
        Input::Floats(matrix) => matrix.as_slice().to_vec(),
        Input::Bytes(_) | Input::Bits(_) => panic!("{case:?}: compared through `bytes_of`"),
    }
}

fn observation(buffer: &ReplayBuffer, case: &Case, slot: u32, next: bool) -> Vec<f32> {
    if !case.bytes {
        let input = if next { buffer.next_observations(&[slot]) } else { buffer.observations(&[slot]) };
        return numbers(input.unwrap(), case);
    }
    let mut out = vec![0_u8; FRAME * case.stack];
    let moment = if next { Moment::After(slot) } else { Moment::Before(slot) };
    buffer.write([moment].into_iter(), &mut out).unwrap();
    out.into_iter().map(f32::from).collect()
}

/// The n-step return from step `at` on, of a history whose last step is the last that is known.
fn n_step(steps: &[Step], at: usize, n: usize, gamma: f32) -> (f32, f32, usize) {
    let (mut reward, mut discount) = (0.0, 1.0);
    for (taken, step) in steps[at..].iter().enumerate() {
        reward += discount * step.reward;
        discount *= gamma;
        let last = at + taken;
        match step.end {
            End::Terminates => return (reward, 0.0, last),
            End::IsCut => return (reward, discount, last),
            _ if taken + 1 == n || last + 1 == steps.len() => return (reward, discount, last),
            _ => {}
        }
    }
    panic!("there is a step at {at}")
}

fn assert_like(buffer: &ReplayBuffer, case: &Case, rows: &[Vec<Row>]) {
    let ticks = case.capacity / (case.streams * case.rows);
    let mut held = 0;
    for (s, stream) in rows.iter().enumerate() {
        let end = stream[0].steps.len();
        for tick in end.saturating_sub(ticks)..end {
            for (r, row) in stream.iter().enumerate() {
                let (slot, step) = (buffer.slot(s, tick as u64, r), &row.steps[tick]);
                assert!((slot as usize) < buffer.slots());
                assert_eq!(buffer.flags(slot).active(), step.end != End::Waits);
                held += usize::from(step.end != End::Waits);
                assert_eq!(observation(buffer, case, slot, false), step.observation, "{case:?} {tick}");
                if step.end != End::Waits {
                    assert_eq!(observation(buffer, case, slot, true), step.next, "{case:?} {tick}");
                    assert_eq!(buffer.next_mask(slot), step.next_mask.as_deref());
                }
                assert_eq!(
                    (buffer.reward(slot), buffer.action(slot).index()),
                    (step.reward, step.action as usize)
                );
                assert_eq!(buffer.terminated(slot), step.end == End::Terminates);
                if tick % case.num_steps == 0 {
                    assert_eq!(buffer.state(slot), [tick as f32 + 0.25 * r as f32]);
                }
                for n in 1..5 {
                    let (reward, discount, last) = n_step(&row.steps, tick, n, 0.5);
                    let got = buffer.n_step(slot, 0.5, n);
                    let (steps, last) = (last - tick + 1, buffer.slot(s, last as u64, r));
                    assert_eq!(got, NStep { reward, steps, discount, last });
                }
            }
        }
    }
    assert_eq!(buffer.len(), held);
}

fn case() -> impl Strategy<Value = Case> {
    let sizes = (1..3_usize, 1..4_usize, 1..5_usize, 1..40_usize);
    (sizes, 1..4_usize, any::<bool>(), any::<[bool; 2]>()).prop_map(
        |((streams, rows, num_steps, ticks), stack, zero, [bytes, two_valued])| {
            let capacity = ticks * streams * rows;
            let padding = if zero { Padding::Zero } else { Padding::Reset };
            Case { streams, rows, num_steps, capacity, stack, padding, bytes, two_valued }
        },
    )
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![6 => Just(End::Runs), 1 => Just(End::Terminates), 1 => Just(End::IsCut), 1 => Just(End::Waits)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_held_is_what_happened(
        case in case(),
        order in proptest::collection::vec(0..2_usize, 1..30),
        ends in proptest::collection::vec(end(), 50..150),
    ) {
        let row = |key| Row::new(&case, key);
        let mut rows: Vec<Vec<Row>> =
            (0..case.streams).map(|s| (0..case.rows).map(|r| row(s * 10 + r)).collect()).collect();
        let mut ends = ends.iter().copied().cycle();
        let mut buffer = ReplayBuffer::new(case.capacity, case.shape());
        let mut learnable = vec![false; buffer.slots()];
        // Streams advance each for itself, as they do in asynchronous mode.
        for shard in order.into_iter().map(|shard| shard % case.streams) {
            let fragment = play(&case, shard, &mut rows[shard], &mut ends);
            buffer.extend(&fragment, |slot, holds| learnable[slot as usize] = holds);
        }
        assert_like(&buffer, &case, &rows);
        prop_assert_eq!(learnable.iter().filter(|&&holds| holds).count(), buffer.len());

        let mut store = MemoryStore::default();
        let bytes = crate::codec::encode(&buffer.save(&mut store).unwrap()).unwrap();
        let saved = crate::codec::decode(&bytes).unwrap();
        let restored = ReplayBuffer::new(case.capacity, case.shape()).restored(saved, &store).unwrap();
        prop_assert!(restored == buffer);
    }
}

fn plain(capacity: usize) -> Case {
    let (padding, bytes) = (Padding::Zero, false);
    Case { streams: 1, rows: 2, num_steps: 2, capacity, stack: 1, padding, bytes, two_valued: false }
}

fn filled(case: &Case, fragments: usize, ends: &[End]) -> ReplayBuffer {
    let mut rows: Vec<Row> = (0..case.rows).map(|r| Row::new(case, r)).collect();
    let mut ends = ends.iter().copied().cycle();
    let mut buffer = ReplayBuffer::new(case.capacity, case.shape());
    for _ in 0..fragments {
        buffer.extend(&play(case, 0, &mut rows, &mut ends), |_, _| {});
    }
    buffer
}

#[test]
fn sampling_reaches_every_step_in_which_a_row_took_part() {
    let buffer = filled(&plain(8), 1, &[End::Runs, End::Waits, End::IsCut]);
    let mut slots = Vec::new();
    buffer.sample(200, &mut Pcg64::seed_from(0), &mut slots);
    assert_eq!(slots.len(), 200);
    for slot in 0..4 {
        assert_eq!(slots.contains(&slot), slot != 1);
    }
    assert!(slots.iter().all(|&slot| slot < 4));
}

#[test]
fn a_step_is_kept_once_and_a_stack_as_its_newest_frame() {
    let case = Case { stack: 4, bytes: true, ..plain(1 << 12) };
    let buffer = filled(&case, 1 << 11, &[End::Runs]);
    let bytes = crate::codec::encode(&buffer.save(&mut MemoryStore::default()).unwrap()).unwrap().len();
    assert!(buffer.memory_bytes() < 20 << 12, "{}", buffer.memory_bytes());
    assert!(bytes < 20_000, "full chunks are left out: {bytes}");
    let mut store = MemoryStore::default();
    let before = buffer.save(&mut store).unwrap();
    let whole = crate::codec::encode(&(before, &store)).unwrap().len();
    // A frame of 2 bytes, an action, a reward of 4, a flag, 3 masks, and half a state of 4: 13, and not 4 frames twice.
    assert!(whole < 15 << 12, "{whole}");
}

#[test]
fn a_saved_buffer_of_another_shape_is_refused() {
    let (small, large) = (plain(40), plain(80));
    let buffer = filled(&small, 30, &[End::Runs, End::IsCut, End::Terminates]);
    let save = |buffer: &ReplayBuffer, store: &mut MemoryStore| buffer.save(store).unwrap();
    let other = [
        ReplayBuffer::new(large.capacity, large.shape()),
        ReplayBuffer::new(40, Case { stack: 2, ..small }.shape()),
        ReplayBuffer::new(40, Case { bytes: true, ..small }.shape()),
        ReplayBuffer::new(40, Case { streams: 2, rows: 1, ..small }.shape()),
    ];
    for other in other {
        let mut store = MemoryStore::default();
        let saved = save(&buffer, &mut store);
        let error = other.restored(saved, &store).unwrap_err();
        assert!(matches!(error, AgentError::Restore(_) | AgentError::Chunk { .. }), "{error}");
    }
    let saved = save(&buffer, &mut MemoryStore::default());
    let error = buffer.restored(saved, &MemoryStore::default()).unwrap_err();
    assert!(matches!(error, AgentError::Chunk { .. }), "{error}");
}
