//! Engines: where runs are trained if not on this machine's cores, as on a cluster.
//!
//! The main decision: an engine knows nothing of runs. It is given orders and brings them, as bytes, to processes of its own,
//! where [`jobs::fulfil`](crate::jobs::fulfil) does what this process would have done: whatever is made of jobs (experiments,
//! sweeps, the suite) decides the same from the same files. So the directories of runs must be the same ones everywhere.

use std::fmt;

use crate::RunError;
use crate::sinks::Signal;

/// A job for a process elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What it is called on the way.
    pub name: String,
    /// The job, for [`jobs::fulfil`](crate::jobs::fulfil).
    pub job: Vec<u8>,
}

/// What an engine says while it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing: it only asks whether to go on.
    None,
    /// An order has been fulfilled: its index, and what [`jobs::fulfil`](crate::jobs::fulfil) gave.
    Fulfilled(usize, Vec<u8>),
}

/// Has runs trained elsewhere.
pub trait Engine: Send + Sync {
    /// What it is, for those who read of the speed of its runs.
    fn describe(&self) -> String;

    /// Threads of each run.
    fn threads(&self) -> usize;

    /// Runs that it has room for at once.
    fn places(&self) -> usize;

    /// Has orders fulfilled, as many at once as it has room for, each again where a machine is lost, and tells of each when it is.
    /// `hear` is called at least every few seconds. Once it says [`Signal::Stop`], no order is begun, those under way are told to
    /// stop at their next checkpoint, and the work ends when they have.
    ///
    /// # Errors
    /// What an order failed with, which is no failure of a run by itself; others have been stopped then.
    fn work(&self, orders: &[Order], hear: &mut dyn FnMut(News) -> Signal) -> Result<(), RunError>;
}

impl fmt::Debug for dyn Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}
