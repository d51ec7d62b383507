//! Gymnasium's controller that lands by hand-made rules; a reference for tests and demonstrations.

/// What the lander should turn and climb by.
struct ToDo {
    angle: f64,
    hover: f64,
}

fn to_do(obs: &[f32]) -> ToDo {
    let s = |i: usize| f64::from(obs[i]);
    if s(6) > 0.0 || s(7) > 0.0 {
        return ToDo { angle: 0.0, hover: -s(3) * 0.5 };
    }
    // The lander leans towards the pad, and hovers the higher the further away it is.
    let angle_target = (s(0) * 0.5 + s(2)).clamp(-0.4, 0.4);
    let hover_target = 0.55 * s(0).abs();
    ToDo { angle: (angle_target - s(4)) * 0.5 - s(5), hover: (hover_target - s(1)) * 0.5 - s(3) * 0.5 }
}

/// The action of Gymnasium's heuristic controller: an index of the discrete actions.
///
/// # Source
/// `heuristic` in Gymnasium 1.3 `gymnasium/envs/box2d/lunar_lander.py`.
pub fn heuristic(obs: &[f32]) -> u32 {
    let ToDo { angle, hover } = to_do(obs);
    if hover > angle.abs() && hover > 0.05 {
        2
    } else if angle < -0.05 {
        3
    } else if angle > 0.05 {
        1
    } else {
        0
    }
}

/// The action of Gymnasium's heuristic controller: throttles of the main and the side engines.
///
/// # Source
/// As [`heuristic`].
pub fn heuristic_continuous(obs: &[f32]) -> [f32; 2] {
    let ToDo { angle, hover } = to_do(obs);
    [hover * 20.0 - 1.0, -angle * 20.0].map(|value| value.clamp(-1.0, 1.0) as f32)
}
