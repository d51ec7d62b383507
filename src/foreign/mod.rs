//! Environments of Python's Gymnasium: those whose id begins with [`PREFIX`], and those that a callable makes.
//!
//! The main decision: Python runs in processes of its own, one for each vector environment (each shard of a run), so that the
//! lock of one interpreter is not another's, a crash is a message, and this program needs no Python to be built. The process
//! runs a package that is part of this program and needs nothing but Gymnasium. It makes the environments with
//! `gymnasium.make`, or with the class or callable that it is told, and steps them one after the other; time limits of an id are Gymnasium's own, and autoreset is the
//! simulator's, so that every truncated step has its true final observation.
//!
//! Requests and replies go through a socket, which is the process's standard input; actions and outcomes of a step lie in a
//! file in memory ([`shared`]) that both sides know. A process ends when its socket does, whatever ended this one.

mod process;
mod shared;
mod vector;

use agon_envs::EnvSpec;

use crate::config::CALLABLE;
use vector::{GymnasiumEnv, Maker};

/// What ids of these environments begin with; the rest is Gymnasium's id.
pub(crate) const PREFIX: &str = "gymnasium:";

/// The environment of an id that begins with the prefix.
pub(crate) fn spec(id: &str) -> EnvSpec {
    EnvSpec::foreign(id, |id, options| {
        let maker = Maker::Gymnasium { id: id.strip_prefix(PREFIX).unwrap_or(id) };
        GymnasiumEnv::new(id, &maker, options)
    })
    .summary("An environment of Python's Gymnasium, in a process of its own.")
}

/// The environment of an id that begins with [`CALLABLE`]; the rest is `module:Class`, or the name of a pickled callable.
pub(crate) fn callable_spec(id: &str) -> EnvSpec {
    EnvSpec::foreign(id, |id, options| {
        let name = id.strip_prefix(CALLABLE).unwrap_or(id);
        let pickle = options.worker.pickle.as_deref();
        GymnasiumEnv::new(id, &Maker::Callable { name, pickle }, options)
    })
    .summary("An environment that a class or another callable of Python makes, in a process of its own.")
}
