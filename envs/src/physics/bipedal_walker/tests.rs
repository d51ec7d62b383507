use super::*;
use crate::{Registry, check_env};

fn play(env: &mut BipedalWalker, seed: u64, limit: u32) -> (f64, u32) {
    let mut rng = Pcg64::seed_from(seed);
    let mut act = Pcg64::seed_from(seed ^ 0x5eed);
    let mut obs = [0.0; 24];
    env.reset(&mut rng, &mut obs);
    let (mut total, mut len) = (0.0, 0);
    while len < limit {
        let a = [(); 4].map(|()| act.uniform(-1.0, 1.0) as f32);
        let step = env.step(Action::Continuous(&a), &mut rng, &mut obs);
        total += step.reward;
        len += 1;
        if step.terminated {
            break;
        }
    }
    (total, len)
}

#[test]
#[ignore = "measure"]
fn measure() {
    for (hardcore, limit) in [(false, 1600), (true, 2000)] {
        let mut env = BipedalWalker::new(BipedalWalkerArgs { hardcore });
        let t = std::time::Instant::now();
        let r: Vec<_> = (0..200).map(|s| play(&mut env, s, limit)).collect();
        let total: u32 = r.iter().map(|x| x.1).sum();
        println!("{} steps/s", f64::from(total) / t.elapsed().as_secs_f64());
        let q = |mut v: Vec<f64>| { let n = v.len() as f64; let m = v.iter().sum::<f64>() / n; let sd = (v.iter().map(|x| (x - m).powi(2)).sum::<f64>() / n).sqrt(); v.sort_by(f64::total_cmp); (m, sd, [0.05, 0.25, 0.5, 0.75, 0.95].map(|p| v[((v.len() - 1) as f64 * p) as usize].round())) };
        println!("hardcore {hardcore} return {:?} len {:?}", q(r.iter().map(|x| x.0).collect()), q(r.iter().map(|x| f64::from(x.1)).collect()));
    }
    let mut env = BipedalWalker::new(BipedalWalkerArgs::default());
    let mut obs = [0.0; 24];
    env.reset(&mut Pcg64::seed_from(0), &mut obs);
    for t in 0..12 {
        let p = env.walker.position();
        println!("{t} {:.3} {:.3} {:.3?}", p.x - 10.0 * TERRAIN_STEP as f32, p.y - TERRAIN_HEIGHT as f32, obs);
        env.advance(&[0.0; 4], &mut obs);
    }
}

#[test]
fn contract_is_kept() {
    for id in ["BipedalWalker-v3", "BipedalWalkerHardcore-v3"] {
        check_env(Registry::builtin().get(id).unwrap()).unwrap();
    }
}
