//! Jobs that an engine has done elsewhere, seen from here through the files that their runs write.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use agon_agents::codec::{decode, encode};
use serde::{Deserialize, Serialize};

use super::{Ended, Job};
use crate::RunError;
use crate::config::{self, RunConfig};
use crate::engine::{Engine, News, Order};
use crate::error::AtPath;
use crate::run::RunDirectory;
use crate::run::directory::RunLock;
use crate::run::written;
use crate::setup::Setup;
use crate::sinks::{Beginning, Progress, Signal, Sink};

/// How long a job waits for a process that has its run: one whose machine was lost may live a little longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A job as it is sent.
#[derive(Serialize, Deserialize)]
struct Sent {
    /// Of this crate: others may give other bits.
    version: String,
    name: String,
    /// TOML, which can say what every setting may be.
    config: String,
    path: String,
    until: u64,
}

impl Job {
    /// The job as bytes for [`fulfil`]: complete, and with paths that mean the same everywhere. Its directory exists then.
    ///
    /// # Errors
    /// If its settings are broken, or its path has no form as text.
    pub(super) fn order(&self, setup: &Setup) -> Result<Order, RunError> {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|source| RunError::Io {
                action: "cannot find",
                path: path.to_owned(),
                source,
            })
        };
        let mut config = self.config.clone();
        config.resolve(&setup.registry, &setup.algorithms)?;
        // Bits are promised for an instruction set, and machines differ.
        config.runtime.instruction_set = config.instruction_set()?.to_string();
        config.init_from = config.init_from.as_deref().map(absolute).transpose()?;
        config.teacher.policy = config.teacher.policy.as_deref().map(absolute).transpose()?;
        let path = absolute(&self.path)?;
        // A machine that does not find it shares no files with this one.
        fs::create_dir_all(&path).at("cannot create", &path)?;
        let Some(text) = path.to_str() else {
            let message = "expected a path that is text, which can be sent to other machines".to_owned();
            return Err(RunError::Directory { path, message });
        };
        let sent = Sent {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.name.clone(),
            config: config.to_toml()?,
            path: text.to_owned(),
            until: self.until,
        };
        Ok(Order { name: self.name.clone(), job: encode(&sent)? })
    }
}

/// Does a job that an engine has brought here, in the directory that it names. Gives how it ended, for those who sent it.
///
/// # Errors
/// As [`Job::work`]; or if the bytes are no job, or one of another version.
pub fn fulfil(setup: &Setup, job: &[u8], sink: Box<dyn Sink + '_>) -> Result<Vec<u8>, RunError> {
    let Sent { version, name, config, path, until } = decode(job)?;
    if version != env!("CARGO_PKG_VERSION") {
        let own = env!("CARGO_PKG_VERSION");
        return Err(RunError::Engine(format!(
            "a job of Agon {version} came to Agon {own}: install the same version on all machines"
        )));
    }
    let table = config.parse().map_err(|error: toml::de::Error| RunError::Config(error.to_string()))?;
    let job = Job { name, config: config::from_table::<RunConfig>(table)?, path: path.into(), until };
    if !job.path.is_dir() {
        let message = "expected a directory that all machines share, found none on this one".to_owned();
        return Err(RunError::Directory { path: job.path, message });
    }
    RunLock::wait_until_free(&job.path, PATIENCE)?;
    Ok(encode(&job.work(setup, sink)?)?)
}

/// As [`super::work_all_then`], elsewhere.
pub(super) fn work_all<'a>(
    setup: &Setup,
    engine: &dyn Engine,
    jobs: &[Job],
    observe: &(dyn Fn(&Job) -> Box<dyn Sink + 'a> + Sync),
    done: &(dyn Fn(usize) -> Result<(), RunError> + Sync),
) -> Result<Vec<Ended>, RunError> {
    let mut ended: Vec<Ended> = jobs.iter().map(|_| Ended::Waiting).collect();
    let (mut orders, mut sent) = (Vec::new(), Vec::new());
    for (index, job) in jobs.iter().enumerate() {
        let mut job = job.clone();
        job.config.runtime.threads = engine.threads();
        if let Some(made_by) = &mut job.config.made_by {
            made_by.side_by_side = Some(engine.places().clamp(1, jobs.len()));
        }
        let order = job.order(setup)?;
        let standing = if RunDirectory::exists(&job.path) {
            job.check_settings(setup)?;
            job.ended()?
        } else {
            None
        };
        match standing {
            Some(found) => {
                // What shows it counts it.
                drop(observe(&job));
                if matches!(found, Ended::Reached(_)) {
                    done(index)?;
                }
                ended[index] = found;
            }
            None => {
                orders.push(order);
                sent.push((index, Watched { job, sink: None, begun: None, seen: 0 }));
            }
        }
    }
    if orders.is_empty() {
        return Ok(ended);
    }
    let mut failed = None;
    let mut hear = |news: News| {
        let heard = match news {
            News::None => look(&mut sent, &ended, observe),
            News::Fulfilled(order, bytes) => match sent.get_mut(order) {
                Some(sent) => settle(sent, &bytes, &mut ended, done),
                None => Err(RunError::Engine(format!("expected one of {} orders, got {order}", sent.len()))),
            },
        };
        heard.unwrap_or_else(|error: RunError| {
            failed.get_or_insert(error);
            Signal::Stop
        })
    };
    let worked = engine.work(&orders, &mut hear);
    match failed {
        Some(error) => Err(error),
        None => worked.map(|()| ended),
    }
}

/// Takes in how an order ended.
fn settle(
    (index, watched): &mut (usize, Watched<'_>),
    bytes: &[u8],
    ended: &mut [Ended],
    done: &(dyn Fn(usize) -> Result<(), RunError> + Sync),
) -> Result<Signal, RunError> {
    let found: Ended = decode(bytes)?;
    if let Some(sink) = &mut watched.sink
        && let Some(outcome) = found.outcome()
    {
        sink.end(outcome)?;
    }
    watched.sink = None;
    if matches!(found, Ended::Reached(_)) {
        done(*index)?;
    }
    let signal = if found.is_settled() { Signal::Continue } else { Signal::Stop };
    ended[*index] = found;
    Ok(signal)
}

/// Tells sinks how far the runs that have not ended are. Gives their strongest wish.
fn look<'a>(
    sent: &mut [(usize, Watched<'a>)],
    ended: &[Ended],
    observe: &(dyn Fn(&Job) -> Box<dyn Sink + 'a> + Sync),
) -> Result<Signal, RunError> {
    let waiting = sent.iter_mut().filter(|(index, _)| ended[*index] == Ended::Waiting);
    let (mut strongest, mut is_first) = (Signal::Continue, true);
    for (_, watched) in waiting {
        // Somebody must say when to stop, though no run has begun.
        strongest = strongest.max(watched.look(observe, is_first)?);
        is_first = false;
    }
    Ok(strongest)
}

/// A job under way elsewhere, and what shows it here.
struct Watched<'a> {
    job: Job,
    /// None before the run has written anything.
    sink: Option<Box<dyn Sink + 'a>>,
    /// When the run was first seen, and its environment steps then.
    begun: Option<(Instant, u64)>,
    /// Environment steps that the sink was told: a run whose machine was lost is behind them for a while.
    seen: u64,
}

impl<'a> Watched<'a> {
    /// Tells the sink how far the run is, by what it has written. Gives what the sink wishes, if there is one: there is at the
    /// latest when the run has begun, or if there `must_be`.
    fn look(
        &mut self,
        observe: &(dyn Fn(&Job) -> Box<dyn Sink + 'a> + Sync),
        must_be: bool,
    ) -> Result<Signal, RunError> {
        let Self { job, sink, begun, seen } = self;
        let row = written::last_row(&job.path)?;
        if sink.is_none() && row.is_none() && !must_be {
            return Ok(Signal::Continue);
        }
        let sink = sink.get_or_insert_with(|| observe(job));
        let wish = sink.poll();
        let Some(row) = row else { return Ok(wish) };
        let Some((since, before)) = *begun else {
            *begun = Some((Instant::now(), row.env_steps));
            sink.begin(&Beginning {
                path: &job.path,
                config: &job.config,
                metric_names: &[],
                env_metrics: &[],
                num_agents: 1,
                notes: &[],
                saved: None,
            })?;
            return Ok(wish);
        };
        if row.env_steps <= *seen {
            return Ok(wish);
        }
        *seen = row.env_steps;
        let seconds = since.elapsed().as_secs_f64();
        let told = sink.iteration(&Progress {
            env_steps: row.env_steps,
            total_timesteps: job.config.total_timesteps,
            updates: row.updates,
            mean_return: row.mean_return,
            seconds,
            steps_per_second: row.env_steps.saturating_sub(before) as f64 / seconds,
            metrics: &[],
        })?;
        Ok(wish.max(told))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use agon_agents::Algorithms;

    use super::*;
    use crate::jobs;
    use crate::sinks::watch;

    /// Fulfils orders in this process, the last one first, each after a machine was lost in the middle of it.
    struct Upside {
        heard: Mutex<Vec<Signal>>,
    }

    impl Engine for Upside {
        fn describe(&self) -> String {
            "upside down".to_owned()
        }

        fn threads(&self) -> usize {
            1
        }

        fn places(&self) -> usize {
            2
        }

        fn work(&self, orders: &[Order], hear: &mut dyn FnMut(News) -> Signal) -> Result<(), RunError> {
            for (index, order) in orders.iter().enumerate().rev() {
                let lost = watch(|progress| progress.env_steps < 300);
                fulfil(&Setup::default(), &order.job, Box::new(lost))?;
                let mut signal = hear(News::None).max(hear(News::None));
                if signal < Signal::Stop {
                    let fulfilled = fulfil(&Setup::default(), &order.job, Box::new(watch(|_| true)))?;
                    signal = hear(News::Fulfilled(index, fulfilled));
                }
                jobs::lock(&self.heard).push(signal);
                if signal == Signal::Stop {
                    break;
                }
            }
            Ok(())
        }
    }

    fn jobs_in(directory: &Path, learning_rates: &[f64]) -> Vec<Job> {
        let job = |(index, rate): (usize, &f64)| {
            let mut table: toml::Table = "total_timesteps = 1024\nnum_envs = 4\nagent.num_steps = 32\n\
                                          network.encoder.hidden = [8]\nruntime.checkpoint_every = 256"
                .parse()
                .unwrap();
            config::set_subject(&mut table, "ppo", "CartPole-v1").unwrap();
            config::set(&mut table, &format!("agent.learning_rate={rate:e}")).unwrap();
            let config = RunConfig::from_table(&Algorithms::builtin(), table).unwrap();
            let path = directory.join(format!("run_{index}"));
            Job { name: format!("run {index}"), config, path, until: if index == 0 { 512 } else { u64::MAX } }
        };
        learning_rates.iter().enumerate().map(job).collect()
    }

    fn work(setup: &Setup, jobs: &[Job], goes_on: bool) -> Result<(Vec<Ended>, Vec<usize>), RunError> {
        let done = Mutex::new(Vec::new());
        let observe = |_: &Job| -> Box<dyn Sink> { Box::new(watch(move |_| goes_on)) };
        let note = |index| {
            jobs::lock(&done).push(index);
            Ok(())
        };
        let ended = jobs::work_all_then(setup, jobs, 1, 1, &observe, &note)?;
        Ok((ended, done.into_inner().unwrap()))
    }

    fn upside_down() -> Setup {
        let engine = Upside { heard: Mutex::default() };
        Setup { engine: Some(Arc::new(engine)), ..Setup::default() }
    }

    #[test]
    fn jobs_done_elsewhere_end_as_they_do_here_to_the_bit() {
        let (here, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let rates = [1e-3, 1e-3, 1e30, 3e-3];
        let (expected, _) = work(&Setup::default(), &jobs_in(here.path(), &rates), true).unwrap();
        let jobs = jobs_in(elsewhere.path(), &rates);
        let (found, done) = work(&upside_down(), &jobs, true).unwrap();
        assert_eq!(done, [3, 1, 0], "a run that failed has not reached its goal");
        let settled = |ended: &[Ended]| -> Vec<(bool, Option<u64>)> {
            ended.iter().map(|ended| (ended.is_settled(), ended.outcome().map(|o| o.env_steps))).collect()
        };
        assert_eq!(settled(&found), settled(&expected));
        assert_eq!(found[2].failure(), expected[2].failure());
        for file in ["metrics.csv", "episodes.csv", "model.safetensors"] {
            for run in ["run_0", "run_1", "run_3"] {
                let read = |directory: &tempfile::TempDir| fs::read(directory.path().join(run).join(file));
                assert!(read(&here).unwrap() == read(&elsewhere).unwrap(), "{run}/{file}");
            }
        }
        // Asked for again, nothing is left to be sent.
        let (again, done) = work(&upside_down(), &jobs, true).unwrap();
        assert_eq!((settled(&again), done), (settled(&expected), vec![0, 1, 3]));
    }

    #[test]
    fn a_wish_to_stop_reaches_the_engine() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Arc::new(Upside { heard: Mutex::default() });
        let setup = Setup { engine: Some(Arc::clone(&engine) as Arc<dyn Engine>), ..Setup::default() };
        let jobs = jobs_in(directory.path(), &[1e-3, 1e-3]);
        let (ended, done) = work(&setup, &jobs, false).unwrap();
        assert_eq!((ended, done), (vec![Ended::Waiting, Ended::Waiting], vec![]));
        assert_eq!(*jobs::lock(&engine.heard), [Signal::Stop]);
    }

    #[test]
    fn what_is_no_job_of_this_machine_and_version_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let setup = Setup::default();
        let job = jobs_in(directory.path(), &[1e-3]).remove(0);
        let order = job.order(&setup).unwrap();
        let refused =
            |bytes: &[u8]| fulfil(&setup, bytes, Box::new(watch(|_| true))).unwrap_err().to_string();
        fs::remove_dir(&job.path).unwrap();
        let message = refused(&order.job);
        assert!(message.contains("a directory that all machines share, found none"), "{message}");
        let mut sent: Sent = decode(&order.job).unwrap();
        sent.version = "0.0.1".to_owned();
        let message = refused(&encode(&sent).unwrap());
        assert!(message.contains("a job of Agon 0.0.1 came to Agon"), "{message}");
        for length in 0..order.job.len() {
            assert!(fulfil(&setup, &order.job[..length], Box::new(watch(|_| true))).is_err(), "{length}");
        }
    }

    #[test]
    fn an_order_that_there_is_not_is_refused() {
        struct Confused;
        impl Engine for Confused {
            fn describe(&self) -> String {
                String::new()
            }
            fn threads(&self) -> usize {
                1
            }
            fn places(&self) -> usize {
                1
            }
            fn work(&self, _: &[Order], hear: &mut dyn FnMut(News) -> Signal) -> Result<(), RunError> {
                assert_eq!(hear(News::Fulfilled(7, Vec::new())), Signal::Stop);
                Ok(())
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let setup = Setup { engine: Some(Arc::new(Confused)), ..Setup::default() };
        let message = work(&setup, &jobs_in(directory.path(), &[1e-3]), true).unwrap_err().to_string();
        assert_eq!(message, "expected one of 1 orders, got 7");
    }
}
