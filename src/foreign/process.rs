//! A worker process, and the requests that it answers.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use agon_envs::{EnvError, WorkerOptions};
use serde::Deserialize;

/// The modules of the package that the process runs. They are sent through the socket, so that lists of processes stay readable.
const MODULES: [(&str, &str); 6] = [
    ("agon_worker", include_str!("agon_worker/__init__.py")),
    ("agon_worker.main", include_str!("agon_worker/main.py")),
    ("agon_worker.environments", include_str!("agon_worker/environments.py")),
    ("agon_worker.making", include_str!("agon_worker/making.py")),
    ("agon_worker.spaces", include_str!("agon_worker/spaces.py")),
    ("agon_worker.actions", include_str!("agon_worker/actions.py")),
];
/// Receives the modules, has Python find them, and runs the main one.
const STARTER: &str = "import importlib.abc, importlib.util, json, socket, sys\n\
     s = socket.socket(fileno=0)\n\
     n, sent = int.from_bytes(s.recv(4, socket.MSG_WAITALL), 'little'), b''\n\
     while len(sent) < n: sent += s.recv(n - len(sent)) or exit()\n\
     s.detach()\n\
     modules = dict(json.loads(sent))\n\
     class Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):\n\
     \x20   def find_spec(self, name, path, target=None):\n\
     \x20       return importlib.util.spec_from_loader(name, self) if name in modules else None\n\
     \x20   def is_package(self, name): return name == 'agon_worker'\n\
     \x20   def get_source(self, name): return modules[name]\n\
     \x20   def get_code(self, name): return compile(modules[name], f'<{name}>', 'exec')\n\
     sys.meta_path.insert(0, Finder())\n\
     from agon_worker.main import main\n\
     main()";

/// The environment variable that names the interpreter where `env.python` does not.
const VARIABLE: &str = "AGON_PYTHON";
/// The interpreter where neither does.
const PYTHON: &str = "python3";
/// Seconds that a request may take where nothing is said.
const TIMEOUT_S: u32 = 300;
/// The longest reply that is believed: a large picture.
const LONGEST_REPLY: usize = 1 << 28;
/// How long a process may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// What is asked of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Request {
    /// Make the environments.
    Make = b'm',
    /// Open the shared file.
    Map = b'a',
    /// Take a step with the actions in the shared file.
    Step = b's',
    /// Seed all and begin an episode in each.
    Reset = b'r',
    /// Begin an episode in those that the shared file says.
    ResetSome = b't',
    /// Draw one.
    Render = b'p',
}

/// The kind of a reply that is an answer; any other is a [`Failure`].
const ANSWER: u8 = b'k';

/// What failed in the process.
#[derive(Deserialize)]
struct Failure {
    row: Option<usize>,
    message: String,
    traceback: String,
}

/// A process that environments live in.
pub(super) struct Process {
    child: Child,
    stream: UnixStream,
    /// The environments' id, for errors.
    id: String,
    rows: Range<usize>,
    timeout_s: u32,
    /// What became of the process, once it is no more.
    gone: Option<String>,
}

impl Process {
    /// Starts a process for `num_envs` environments.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start(id: &str, num_envs: usize, options: &WorkerOptions) -> Result<Self, EnvError> {
        let timeout_s = options.timeout_s.unwrap_or(TIMEOUT_S);
        if timeout_s == 0 {
            let (field, expected) = ("env.timeout_s", "at least 1");
            return Err(EnvError::Setting { field, expected, found: "0".to_owned() });
        }
        let python = options.python.clone().or_else(|| std::env::var(VARIABLE).ok());
        let python = python.as_deref().unwrap_or(PYTHON);
        let failed = |message: String| EnvError::Raised {
            env: id.to_owned(),
            row: None,
            message,
            traceback: String::new(),
        };
        let cannot =
            |error: io::Error| failed(format!("cannot start {python} (env.python, {VARIABLE}): {error}"));
        let (mut stream, theirs) = UnixStream::pair().map_err(cannot)?;
        stream.set_read_timeout(Some(Duration::from_secs(timeout_s.into()))).map_err(cannot)?;
        let mut command = Command::new(python);
        command.args(["-c", STARTER, id]).stdin(OwnedFd::from(theirs)).stdout(io::stderr());
        // Environments run beside each other already; and sums must not depend on how many threads there are.
        for variable in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
            if std::env::var_os(variable).is_none() {
                command.env(variable, "1");
            }
        }
        // Orders of sets of texts must be the same in every process.
        command.env("PYTHONHASHSEED", "0").stderr(Stdio::inherit());
        let child = command.spawn().map_err(cannot)?;
        drop(command); // and with it this process's copy of the other end
        let package = serde_json::to_vec(&MODULES).map_err(|error| failed(error.to_string()))?;
        let length = (package.len() as u32).to_le_bytes();
        let sent = stream.write_all(&length).and_then(|()| stream.write_all(&package));
        let mut process =
            Self { child, stream, id: id.to_owned(), rows: 0..num_envs.max(1), timeout_s, gone: None };
        sent.map_err(|error| process.lost(&error))?;
        Ok(process)
    }

    /// Asks for something and waits for the answer.
    ///
    /// # Errors
    /// As [`Process::send`] and [`Process::receive`].
    pub(super) fn ask(&mut self, request: Request, payload: &[u8]) -> Result<Vec<u8>, EnvError> {
        self.send(request, payload)?;
        self.receive()
    }

    /// Asks for something.
    ///
    /// # Errors
    /// If the process is gone.
    pub(super) fn send(&mut self, request: Request, payload: &[u8]) -> Result<(), EnvError> {
        self.is_there()?;
        let mut message = Vec::with_capacity(5 + payload.len());
        message.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        message.push(request as u8);
        message.extend_from_slice(payload);
        self.stream.write_all(&message).map_err(|error| self.lost(&error))
    }

    /// Waits for the answer to the last request.
    ///
    /// # Errors
    /// [`EnvError::Raised`] if an environment failed: others may be asked, and all after a reset. [`EnvError::Worker`] if
    /// the process is gone or did not answer in time, and was ended therefore.
    pub(super) fn receive(&mut self) -> Result<Vec<u8>, EnvError> {
        self.is_there()?;
        let mut header = [0; 5];
        self.stream.read_exact(&mut header).map_err(|error| self.lost(&error))?;
        let [a, b, c, d, kind] = header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > LONGEST_REPLY {
            return Err(self.end(format!("sent a reply of {length} bytes, more than {LONGEST_REPLY}")));
        }
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).map_err(|error| self.lost(&error))?;
        if kind == ANSWER {
            return Ok(payload);
        }
        match serde_json::from_slice(&payload) {
            Ok(Failure { row, message, traceback }) => {
                Err(EnvError::Raised { env: self.id.clone(), row, message, traceback })
            }
            Err(error) => Err(self.end(format!("sent a reply that cannot be read: {error}"))),
        }
    }

    fn is_there(&self) -> Result<(), EnvError> {
        self.gone.as_ref().map_or(Ok(()), |message| Err(self.error(message.clone())))
    }

    /// What a failure of the socket means.
    fn lost(&mut self, error: &io::Error) -> EnvError {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                let _ = self.child.kill();
                let seconds = self.timeout_s;
                self.end(format!("did not answer within {seconds} seconds (env.timeout_s) and was ended"))
            }
            _ => {
                let message = match self.wait() {
                    Ok(Some(status)) => said(status),
                    Ok(None) => "closed its socket".to_owned(),
                    Err(error) => format!("is lost: {error}"),
                };
                self.end(message)
            }
        }
    }

    /// Ends the process for good, and says so.
    fn end(&mut self, message: String) -> EnvError {
        self.close();
        self.gone = Some(message.clone());
        self.error(message)
    }

    fn error(&self, message: String) -> EnvError {
        EnvError::Worker { env: self.id.clone(), rows: self.rows.clone(), message }
    }

    /// Waits until the process has ended, for a while.
    fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let began = Instant::now();
        loop {
            match self.child.try_wait()? {
                None if began.elapsed() < GRACE => thread::sleep(Duration::from_millis(2)),
                status => return Ok(status),
            }
        }
    }

    /// Closes the socket, which is the process's sign to end, and sees to it.
    fn close(&mut self) {
        // A socket that is closed already, and a process that has ended, are what is wanted.
        let _ = self.stream.shutdown(Shutdown::Both);
        if !matches!(self.wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.close();
    }
}

/// How a process ended, in words.
fn said(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}
