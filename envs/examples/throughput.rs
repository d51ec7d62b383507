//! scratch
use agon_envs::*;
use std::time::Instant;
fn main() {
    for n in [1usize, 8, 64, 1024, 4096] {
        let mut sim = Registry::builtin()
            .make("CartPole-v1", &MakeOptions { num_envs: n, ..Default::default() })
            .unwrap();
        let mut out = sim.new_batch();
        sim.reset(0, &mut out).unwrap();
        let mut s = 0x9e3779b97f4a7c15u64;
        let mut actions = ActionBatch::Discrete(vec![0; n]);
        let mut best = 0f64;
        for _ in 0..10 {
            let ticks = (4_000_000 / n).min(200_000);
            let t = Instant::now();
            for _ in 0..ticks {
                if let ActionBatch::Discrete(v) = &mut actions {
                    for c in v.chunks_mut(64) {
                        s ^= s << 13;
                        s ^= s >> 7;
                        s ^= s << 17;
                        let mut b = s;
                        for a in c {
                            *a = (b & 1) as u32;
                            b >>= 1;
                        }
                    }
                }
                sim.step(&actions, &mut out).unwrap();
            }
            best = best.max((ticks * n) as f64 / t.elapsed().as_secs_f64());
        }
        println!("{n}: {:.1} M steps/s", best / 1e6);
    }
    let r = verify::verify_recording(
        &Registry::builtin(),
        std::path::Path::new("../tests/golden/env/CartPole-v1.csv.gz"),
        None,
    )
    .unwrap();
    println!("{r:?}");
}
