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

#[test]
#[ignore = "measure"]
fn crash_stats() {
    let mut env = LunarLander::new(LunarLanderArgs::default()).unwrap();
    let mut gaps = [0; 15];
    let mut sums = [[0.0f64; 6]; 3];
    let mut n = 0.0;
    for seed in 0..500 {
        let mut rng = Pcg64::seed_from(seed);
        let mut act = Pcg64::seed_from(seed ^ 0x5eed);
        let mut obs = [0.0f32; 8];
        env.reset(&mut rng, &mut obs);
        let (mut first, mut before, mut t) = (None, obs, 0usize);
        loop {
            let prev = obs;
            let step = env.step(Action::Discrete(&[act.integers(0, 4) as u32]), &mut rng, &mut obs);
            t += 1;
            if first.is_none() && (obs[6] > 0.0 || obs[7] > 0.0) { first = Some(t); before = prev; }
            if step.terminated {
                if obs[0].abs() < 1.0 {
                    n += 1.0;
                    gaps[first.map_or(0, |f| t - f).min(14)] += 1;
                    if first.is_none() { before = prev; }
                    for (s, o) in sums.iter_mut().zip([before, prev, obs]) { for i in 0..6 { s[i] += f64::from(o[i + 2].abs()); } }
                }
                break;
            }
        }
    }
    println!("{n} gaps {gaps:?} {:.2?}", sums.map(|s| s.map(|v| v / n)));
}

#[test]
#[ignore = "measure"]
fn trace() {
    let mut env = LunarLander::new(LunarLanderArgs::default()).unwrap();
    let (mut rng, mut act, mut obs) = (Pcg64::seed_from(3), Pcg64::seed_from(5), [0.0f32; 8]);
    env.reset(&mut rng, &mut obs);
    for t in 0..200 {
        let step = env.step(Action::Discrete(&[act.integers(0, 4) as u32]), &mut rng, &mut obs);
        println!("{t} {} {:.3?} {:.2}", matches!(env.motion, Motion::Landing(_)), obs, step.reward);
        if step.terminated { break; }
    }
}

#[test]
#[ignore = "measure"]
fn pictures() {
    let save = |frame: Frame, name: &str| {
        let mut bytes = format!("P6 {} {} 255\n", frame.width, frame.height).into_bytes();
        bytes.extend(frame.rgb);
        std::fs::write(format!("/tmp/{name}.ppm"), bytes).unwrap();
    };
    let mut env = LunarLander::new(LunarLanderArgs::default()).unwrap();
    let (mut rng, mut obs) = (Pcg64::seed_from(3), [0.0f32; 8]);
    env.reset(&mut rng, &mut obs);
    let mut seen = [0; 4];
    for t in 0..1000 {
        let action = heuristic(&obs);
        let step = env.step(Action::Discrete(&[action]), &mut rng, &mut obs);
        seen[action as usize] += 1;
        if t % 60 == 30 || (seen[action as usize] == 3) { save(env.render().unwrap(), &format!("lander{t}a{action}")); }
        if step.terminated { save(env.render().unwrap(), "lander_end"); break; }
    }
    let mut walker = crate::physics::BipedalWalker::new(crate::physics::bipedal_walker::BipedalWalkerArgs { hardcore: true });
    let mut obs = [0.0f32; 24];
    walker.reset(&mut Pcg64::seed_from(1), &mut obs);
    for t in 0..30 {
        walker.step(Action::Continuous(&[0.3, 0.1, -0.3, 0.2]), &mut rng, &mut obs);
        if t % 10 == 0 { save(walker.render().unwrap(), &format!("walker{t}")); }
    }
}
