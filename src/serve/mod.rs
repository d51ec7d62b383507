//! A live page of runs: what lies in directories, as it grows, and what its policies do.
//!
//! The server reads the files that runs write and nothing else: it looks at a run like a sink and changes no bit of it, whether
//! in the same process or long after. Its page is part of the program, and asks nothing of any other machine.
//!
//! ```no_run
//! use agon::serve::{Options, Server};
//!
//! # fn main() -> Result<(), agon::RunError> {
//! let server = Server::bind(&agon::runtime::Setup::default(), &Options::default())?;
//! println!("{}", server.url());
//! server.run()
//! # }
//! ```

mod assets;
mod curves;
mod detail;
mod guard;
mod http;
mod library;
mod load;
mod look;
mod places;
mod replay;
mod series;
mod sweeps;
mod table;
mod types;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::RunError;
use crate::setup::Setup;
use guard::Guard;
use http::Site;
use library::Library;

/// The port that is tried first.
pub const PORT: u16 = 6070;
/// Ports behind it that are tried where it is taken.
const MORE_PORTS: u16 = 32;
/// Threads for what takes longer than a moment: reading files, playing episodes.
const THREADS: usize = 4;
/// Fewest characters of a token.
const SHORTEST_TOKEN: usize = 16;

/// What is served, and to whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directories that runs are looked for in.
    pub directories: Vec<PathBuf>,
    /// The address to listen at: this machine's own unless a token is given.
    pub host: String,
    /// The port; 0 for any. If none is given, the first free one from [`PORT`] on.
    pub port: Option<u16>,
    /// What whoever asks must have, at least 16 letters, digits, `-` and `_`.
    pub token: Option<String>,
    /// Names that the server goes by beside `localhost` and the address that it listens at.
    pub allowed_hosts: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            directories: vec!["results".into()],
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: None,
            token: None,
            allowed_hosts: Vec::new(),
        }
    }
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    site: Arc<Site>,
    guard: Guard,
}

impl Server {
    /// Looks at the directories, and begins to listen.
    ///
    /// # Errors
    /// If a directory cannot be read, the address cannot be listened at, or it can be reached from elsewhere and there is no
    /// token.
    pub fn bind(setup: &Setup, options: &Options) -> Result<Self, RunError> {
        let places = places::named(&options.directories)?;
        check_token(options.token.as_deref())?;
        let listener = listen(&options.host, options.port)?;
        let address = listener.local_addr().map_err(|error| cannot_listen(&options.host, &error))?;
        let is_open = !address.ip().is_loopback();
        if is_open && options.token.is_none() {
            return Err(RunError::Config(format!(
                "others can reach {}: give a token that they must have (--token), or listen at this machine's own address",
                options.host
            )));
        }
        let hosts = options.allowed_hosts.iter().chain([&options.host]).cloned().collect();
        let guard = Guard { hosts, is_open, token: options.token.clone() };
        Ok(Self { listener, address, site: Arc::new(Site::new(setup.clone(), Library::new(places))), guard })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The page's address, with the token if there is one.
    pub fn url(&self) -> String {
        let ip = match self.address.ip() {
            ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip,
        };
        let token = self.guard.token.as_ref().map_or(String::new(), |token| format!("?token={token}"));
        format!("http://{}/{token}", SocketAddr::new(ip, self.address.port()))
    }

    /// Answers until the process ends.
    ///
    /// # Errors
    /// If it cannot go on.
    pub fn run(self) -> Result<(), RunError> {
        let runtime = runtime()?;
        runtime.block_on(self.answer())
    }

    /// Answers on a thread of its own, as long as what is given lives.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn in_background(self) -> Result<Background, RunError> {
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = runtime()?;
        let work = move || {
            runtime.block_on(async move {
                tokio::spawn(self.answer());
                let _ = stopped.await;
            });
            // Streams have no end of their own.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("serve".to_owned()).spawn(work);
        let thread = thread.map_err(|error| RunError::Threads(error.to_string()))?;
        Ok(Background { stop: Some(stop), thread: Some(thread) })
    }

    async fn answer(self) -> Result<(), RunError> {
        let failed = |error: std::io::Error| cannot_listen(&self.address.to_string(), &error);
        self.listener.set_nonblocking(true).map_err(failed)?;
        let listener = tokio::net::TcpListener::from_std(self.listener).map_err(failed)?;
        tokio::spawn(http::beat(Arc::clone(&self.site)));
        axum::serve(listener, http::router(self.site, self.guard)).await.map_err(failed)
    }
}

/// A server on a thread of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn runtime() -> Result<Runtime, RunError> {
    let built = Builder::new_current_thread().enable_io().enable_time().max_blocking_threads(THREADS).build();
    built.map_err(|error| RunError::Threads(error.to_string()))
}

fn cannot_listen(host: &str, error: &std::io::Error) -> RunError {
    RunError::Config(format!("cannot listen at {host}: {error}"))
}

/// Listens at a port, or at the first free one of some.
fn listen(host: &str, port: Option<u16>) -> Result<TcpListener, RunError> {
    let ports = port.map_or(PORT..=PORT + MORE_PORTS, |port| port..=port);
    let mut last = None;
    for port in ports {
        let addresses = (host, port).to_socket_addrs().map_err(|error| cannot_listen(host, &error))?;
        match TcpListener::bind(&addresses.collect::<Vec<_>>()[..]) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(cannot_listen(&format!("{host}, port {port}"), &error)),
        }
    }
    Err(last.unwrap_or_else(|| RunError::Config(format!("cannot listen at {host}"))))
}

fn check_token(token: Option<&str>) -> Result<(), RunError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match token {
        Some(token) if token.len() < SHORTEST_TOKEN || !token.chars().all(is_plain) => {
            Err(RunError::Config(format!(
                "a token must be at least {SHORTEST_TOKEN} letters, digits, `-` and `_`, got {} characters",
                token.chars().count()
            )))
        }
        _ => Ok(()),
    }
}
