use super::*;
use crate::{ActionBatch, MakeOptions, Registry, check_env};

fn play(env: &mut LunarLander, seed: u64, mut policy: impl FnMut(&[f32], &mut Pcg64) -> Vec<f32>) -> (f64, u32) {
    let mut rng = Pcg64::seed_from(seed);
    let mut act = Pcg64::seed_from(seed ^ 0x5eed);
    let mut obs = [0.0; 8];
    env.reset(&mut rng, &mut obs);
    let (mut total, mut len) = (0.0, 0);
    for _ in 0..1000 {
        let a = policy(&obs, &mut act);
        let step = if env.args.continuous {
            env.step(Action::Continuous(&a), &mut rng, &mut obs)
        } else {
            env.step(Action::Discrete(&[a[0] as u32]), &mut rng, &mut obs)
        };
        total += step.reward;
        len += 1;
        if step.terminated {
            break;
        }
    }
    (total, len)
}

fn stats(name: &str, r: &mut [(f64, u32)]) {
    let n = r.len() as f64;
    let q = |v: &mut Vec<f64>| { v.sort_by(f64::total_cmp); [0.05, 0.25, 0.5, 0.75, 0.95].map(|p| v[((v.len() - 1) as f64 * p) as usize].round()) };
    let m = |v: &[f64]| { let m = v.iter().sum::<f64>() / n; (m, (v.iter().map(|x| (x - m).powi(2)).sum::<f64>() / n).sqrt()) };
    let mut a: Vec<f64> = r.iter().map(|x| x.0).collect();
    let mut b: Vec<f64> = r.iter().map(|x| f64::from(x.1)).collect();
    println!("{name} return {:?} {:?} len {:?} {:?}", m(&a), q(&mut a), m(&b), q(&mut b));
}

#[test]
#[ignore = "measure"]
fn measure() {
    let mut env = LunarLander::new(LunarLanderArgs::default()).unwrap();
    let mut cont = LunarLander::new(LunarLanderArgs { continuous: true, ..Default::default() }).unwrap();
    let mut wind = LunarLander::new(LunarLanderArgs { enable_wind: true, ..Default::default() }).unwrap();
    let mut r: Vec<_> = (0..1000).map(|s| play(&mut env, s, |_, r| vec![r.integers(0, 4) as f32])).collect();
    stats("random", &mut r);
    let mut r: Vec<_> = (0..1000).map(|s| play(&mut cont, s, |_, r| vec![r.uniform(-1., 1.) as f32, r.uniform(-1., 1.) as f32])).collect();
    stats("random continuous", &mut r);
    let mut r: Vec<_> = (0..1000).map(|s| play(&mut wind, s, |_, r| vec![r.integers(0, 4) as f32])).collect();
    stats("random wind", &mut r);
    let mut r: Vec<_> = (0..100).map(|s| play(&mut env, s, |o, _| vec![heuristic(o) as f32])).collect();
    println!("below 100: {:?}", r.iter().enumerate().filter(|x| x.1.0 < 100.0).collect::<Vec<_>>());
    stats("heuristic", &mut r);
    let mut r: Vec<_> = (0..100).map(|s| play(&mut cont, s, |o, _| heuristic_continuous(o).to_vec())).collect();
    stats("heuristic continuous", &mut r);
}

#[test]
#[ignore = "measure"]
fn speed() {
    let n: usize = std::env::var("N").map_or(1024, |v| v.parse().unwrap());
    let mut sim = Registry::builtin().make("LunarLander-v3", &MakeOptions { num_envs: n, ..Default::default() }).unwrap();
    let mut out = sim.new_batch();
    sim.reset(0, &mut out).unwrap();
    let mut rng = Pcg64::seed_from(1);
    let mut actions = ActionBatch::zeros(sim.action_spec(), n);
    let mut t = std::time::Instant::now();
    for i in 0..400*1024/n {
        if i == 100*1024/n { t = std::time::Instant::now(); }
        if let ActionBatch::Discrete(v) = &mut actions { for a in v { *a = rng.integers(0, 4) as u32; } }
        sim.step(&actions, &mut out).unwrap();
    }
    println!("{} steps/s", 300.0*1024.0 / t.elapsed().as_secs_f64());
}

#[test]
fn contract_is_kept() {
    for id in ["LunarLander-v3", "LunarLanderContinuous-v3"] {
        check_env(Registry::builtin().get(id).unwrap()).unwrap();
    }
}
