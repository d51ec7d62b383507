//! How a number changes over a run.

/// A line from `start` to `end` over the first `duration` environment steps, constant after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearSchedule {
    /// Value at step zero.
    pub start: f64,
    /// Value from `duration` on.
    pub end: f64,
    /// Environment steps.
    pub duration: f64,
}

impl LinearSchedule {
    /// From `start` to zero over the run if annealed, else constant.
    pub fn annealed(start: f64, anneal: bool, total_timesteps: u64) -> Self {
        Self { start, end: if anneal { 0.0 } else { start }, duration: total_timesteps as f64 }
    }

    /// The value at a number of environment steps.
    pub fn at(&self, env_steps: u64) -> f64 {
        if self.duration <= 0.0 {
            return self.end;
        }
        let progress = (env_steps as f64 / self.duration).min(1.0);
        self.start + progress * (self.end - self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_linear_then_constant() {
        let schedule = LinearSchedule { start: 1.0, end: 0.0, duration: 10.0 };
        assert_eq!([0, 5, 10, 20].map(|step| schedule.at(step)), [1.0, 0.5, 0.0, 0.0]);
        assert_eq!(LinearSchedule { start: 1.0, end: 0.1, duration: 0.0 }.at(0), 0.1);
    }
}
