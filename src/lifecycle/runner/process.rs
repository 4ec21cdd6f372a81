//! The runner's own process: reads requests until the daemon is gone.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::{getpid, set_child_subreaper};

use super::channel::{own_channel, receive, send};
use super::command;
use super::guard::GuardJob;
use super::guards::{GuardedRun, Guards};
use super::message::{HookCall, Numbered, RunnerAnswer, RunnerOutcome, RunnerRequest};
use super::pid_file;
use super::table::{RunnerAction, RunnerHook, RunnerSource, RunnerTable, digest};
use super::unit;
use crate::lifecycle::allow_usual_files;

/// Most requests under way. The daemon asks for far fewer.
const MOST_REQUESTS: usize = 64;

/// A request's thread needs little.
const STACK: usize = 256 << 10;

/// Most bytes of `SECRETS_SYNC_SECRETS`: the kernel takes 128 KiB for one variable.
const MOST_NAMES: usize = 64 << 10;

/// How many tables serve: a hook may have been chosen just before a reload.
const TABLES: usize = 2;

/// What the runner has of the outside world, and gives to commands.
const ENVIRONMENT: [(&str, &str); 2] = [("PATH", DEFAULT_PATH), ("LANG", "C.UTF-8")];

/// Where programs are that a hook calls by name.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The compiled part of the program that the runner borrows.
type Compile = dyn Fn(&RunnerSource) -> Result<Vec<RunnerHook>, String> + Send + Sync;

/// What all requests share.
struct RunnerState {
    channel: Mutex<UnixStream>,
    /// The newest first.
    tables: Mutex<VecDeque<Arc<RunnerTable>>>,
    source: Option<RunnerSource>,
    compile: Box<Compile>,
    guards: Arc<Guards>,
    /// Requests under way.
    runs: Mutex<BTreeMap<u64, Arc<GuardedRun>>>,
}

/// The whole life of the process.
pub(super) fn serve(
    compile: impl Fn(&RunnerSource) -> Result<Vec<RunnerHook>, String> + Send + Sync + 'static,
) {
    // The daemon sees the end of the channel, and says what that means.
    let Ok((channel, state)) = start(Box::new(compile)) else { return };
    while let Ok(Some(Numbered { number, content })) = receive(&channel) {
        match content {
            RunnerRequest::GiveUp { request } => state.give_up(request),
            content => state.begin(number, content),
        }
    }
}

fn start(compile: Box<Compile>) -> io::Result<(UnixStream, Arc<RunnerState>)> {
    let channel = own_channel()?;
    // What a guard leaves that was killed becomes a child of this process.
    set_child_subreaper(Some(getpid()))?;
    allow_usual_files()?;
    let first: Option<Numbered<RunnerRequest>> = receive(&channel)?;
    let Some(Numbered { number, content: RunnerRequest::Start { table, source } }) = first else {
        return Err(ErrorKind::InvalidData.into());
    };
    let state = Arc::new(RunnerState {
        channel: Mutex::new(channel.try_clone()?),
        tables: Mutex::new(VecDeque::from([Arc::new(table)])),
        source,
        compile,
        guards: Arc::default(),
        runs: Mutex::default(),
    });
    state.answer(number, &RunnerAnswer::Started);
    Ok((channel, state))
}

impl RunnerState {
    /// Obeys a request on a thread of its own.
    fn begin(self: &Arc<Self>, number: u64, request: RunnerRequest) {
        let run = Arc::new(GuardedRun::new(Arc::clone(&self.guards)));
        let is_full = {
            let mut runs = self.runs();
            let is_full = runs.len() >= MOST_REQUESTS;
            if !is_full {
                runs.insert(number, Arc::clone(&run));
            }
            is_full
        };
        if is_full {
            self.answer(number, &RunnerAnswer::Ran(RunnerOutcome::failed("too many hooks run already")));
            return;
        }
        let own = Arc::clone(self);
        let work = move || {
            let answer = own.obey(request, &run);
            own.runs().remove(&number);
            // Whoever has the answer finds nothing open of it.
            drop(run);
            own.answer(number, &answer);
        };
        if thread::Builder::new().stack_size(STACK).spawn(work).is_err() {
            self.runs().remove(&number);
            self.answer(number, &RunnerAnswer::Ran(RunnerOutcome::failed("the system has no thread for it")));
        }
    }

    /// Ends what runs for a request. One that has its answer by now is not known.
    fn give_up(&self, request: u64) {
        let run = self.runs().get(&request).cloned();
        if let Some(run) = run {
            run.give_up();
        }
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<GuardedRun>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, number: u64, answer: &RunnerAnswer) {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        // The daemon may be gone; then this process is about to end.
        drop(send(&*channel, &Numbered { number, content: answer }));
    }

    fn obey(&self, request: RunnerRequest, run: &GuardedRun) -> RunnerAnswer {
        match request {
            RunnerRequest::Run(call) => {
                RunnerAnswer::Ran(self.run(&call, run).unwrap_or_else(RunnerOutcome::failed))
            }
            RunnerRequest::Reload { digest, outputs } => {
                RunnerAnswer::Reloaded(self.reload(&digest, &outputs))
            }
            RunnerRequest::Start { .. } | RunnerRequest::GiveUp { .. } => {
                RunnerAnswer::Reloaded(Err("the runner has been started already".to_owned()))
            }
        }
    }

    /// Takes over the hooks of the configuration file, if the daemon has read the same there.
    fn reload(&self, expected: &str, outputs: &[PathBuf]) -> Result<(), String> {
        let source = self.source.as_ref().ok_or("the runner was started without a configuration file")?;
        let hooks = (self.compile)(source)?;
        if digest(&hooks) != expected {
            return Err("the runner reads other hooks in the configuration file than the daemon did: the file is being \
                        changed, or a hook uses a variable that no hook used at the start"
                .to_owned());
        }
        let mut tables = self.tables();
        let trees = tables.front().map(|table| table.trees.clone()).unwrap_or_default();
        let table = RunnerTable { hooks, trees };
        if let Some(outside) = outputs.iter().find(|output| !table.covers(output)) {
            return Err(format!("{} is in no tree that was configured at the start", outside.display()));
        }
        tables.push_front(Arc::new(table));
        tables.truncate(TABLES);
        Ok(())
    }

    /// Runs a hook of the table, and nothing else.
    fn run(&self, call: &HookCall, run: &GuardedRun) -> Result<RunnerOutcome, String> {
        let table = self.tables().iter().find(|table| table.digest() == call.digest).cloned();
        let table = table.ok_or("the runner has other hooks than the daemon: reload the configuration")?;
        let hook = table.hooks.iter().find(|hook| hook.name == call.hook);
        let hook = hook.ok_or_else(|| format!("the runner has no hook {:?}", call.hook))?;
        let staging = match (&call.staging, hook.is_gate) {
            (Some(staging), true) if table.is_staging(staging) => Some(staging.as_path()),
            (None, _) => None,
            (Some(staging), _) => return Err(format!("{} is not for this hook", staging.display())),
        };
        let mut job = GuardJob {
            argv: Vec::new(),
            environment: environment(call, staging),
            input: call.event.clone(),
            timeout: hook.timeout,
        };
        let outcome = match &hook.action {
            RunnerAction::Command { argv } => {
                job.argv = argv.iter().map(|word| filled(word, staging)).collect();
                command::run(&job, run)
            }
            RunnerAction::PidFile { path, signal } => pid_file::send_signal(path, *signal),
            RunnerAction::Unit { unit, restart } => unit::run(unit, *restart, job, run),
        };
        Ok(if hook.keeps_output { outcome } else { outcome.without_output() })
    }

    fn tables(&self) -> MutexGuard<'_, VecDeque<Arc<RunnerTable>>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The whole environment of a command.
fn environment(call: &HookCall, staging: Option<&Path>) -> Vec<(String, String)> {
    let mut secrets = String::new();
    for name in &call.secrets {
        // All names are in the event.
        if secrets.len() + name.len() >= MOST_NAMES {
            break;
        }
        if !secrets.is_empty() {
            secrets.push(',');
        }
        secrets.push_str(name);
    }
    let mut environment: Vec<(String, String)> =
        ENVIRONMENT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    environment.push(("SECRETS_SYNC_EVENT".to_owned(), call.kind.as_str().to_owned()));
    environment.push(("SECRETS_SYNC_HOOK".to_owned(), call.hook.clone()));
    environment.push(("SECRETS_SYNC_SECRETS".to_owned(), secrets));
    environment
        .extend(staging.map(|staging| ("SECRETS_SYNC_STAGING".to_owned(), staging.display().to_string())));
    environment
}

/// A word of a gate's command; in other hooks nothing is replaced.
fn filled(word: &str, staging: Option<&Path>) -> String {
    let Some(staging) = staging else { return word.to_owned() };
    let generation = staging.file_name().unwrap_or_default().to_string_lossy();
    // The path first would be looked into for the second.
    word.replace("{generation}", &generation).replace("{staging}", &staging.display().to_string())
}
