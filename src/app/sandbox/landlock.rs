//! Landlock: what this process may still open, connect to and bind once it knows its configuration.
//!
//! The kernel binds the calling thread and the threads it starts from then on. So this is called on the main thread
//! before any other thread exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus,
    Scope, make_bitflags,
};

/// The version whose restrictions are asked for. Newer ones are left to a release that was tested with them.
const TESTED: ABI = ABI::V6;

/// How long a thread that is ending may take.
const THREAD_END: Duration = Duration::from_secs(5);

/// What stays allowed; everything else that Landlock knows is refused.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct SandboxPolicy {
    /// Files and trees that may be read.
    pub(super) read: BTreeSet<PathBuf>,
    /// Trees in which files and directories may also be made, written and removed. Never devices and sockets.
    pub(super) write: BTreeSet<PathBuf>,
    /// Trees in which symlinks may be made and renamed as well.
    pub(super) links: BTreeSet<PathBuf>,
    /// TCP ports that may be connected to; empty: any.
    pub(super) connect: BTreeSet<u16>,
    /// TCP ports that may be bound; 0 is a port of the system's choice.
    pub(super) bind: BTreeSet<u16>,
}

/// What the kernel enforces now.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Holds {
    /// The kernel's version of Landlock; 0 is none.
    pub(super) abi: u8,
    /// Paths are restricted.
    pub(super) file_system: bool,
    /// TCP ports are restricted.
    pub(super) network: bool,
    /// Signals and abstract unix sockets end at this process.
    pub(super) scope: bool,
}

/// Why nothing is enforced.
#[derive(Debug, thiserror::Error)]
pub(super) enum SandboxError {
    /// Linux before 5.13, or built without; a container engine's filter that does not know the calls looks the same.
    #[error("this kernel has no Landlock, or a filter before it refuses the call")]
    NotImplemented,
    /// There, but not among the active security modules.
    #[error("Landlock is not switched on in this kernel")]
    NotEnabled,
    /// A rule that allows writing there would allow everything.
    #[error("{} lies in the root directory", .0.display())]
    InRoot(PathBuf),
    /// A rule is for what is there.
    #[error("{} is missing, and no rule could allow it once it is there", .0.display())]
    Missing(PathBuf),
    /// They would never be restricted.
    #[error("{0} threads run already")]
    Threads(usize),
    /// A thread waits for a file system, and would never be restricted.
    #[error("{0}")]
    Hangs(String),
    /// The kernel, or a filter before it, refused.
    #[error("the kernel refused the rules: {0}")]
    Refused(String),
}

impl SandboxError {
    /// What to do about it where the process runs on.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::NotImplemented | Self::NotEnabled | Self::Refused(_) => {
                "use Linux 5.13 or newer with Landlock"
            }
            Self::InRoot(_) => "give these files a directory of their own",
            Self::Missing(_) => "make it before the start",
            Self::Hangs(_) => "look for a file system that hangs, such as a network mount",
            Self::Threads(_) => "this is a defect of secrets-sync: please report it",
        }
    }
}

impl Holds {
    /// In the words of the status.
    pub(super) fn as_str(self) -> &'static str {
        match (self.file_system, self.network) {
            (false, _) => "off",
            (true, false) => "file system",
            (true, true) => "file system and network",
        }
    }
}

/// Rules that are complete and do not hold yet.
#[derive(Debug)]
pub(super) struct Rules(RulesetCreated);

impl Rules {
    /// Opens everything `policy` names; that may take for as long as a file system hangs.
    ///
    /// # Errors
    /// The kernel refuses a rule.
    pub(super) fn prepare(policy: &SandboxPolicy) -> Result<Self, SandboxError> {
        ruleset(policy).and_then(|rules| filled(rules, policy)).map(Self).map_err(|error| refused(&error))
    }

    /// Restricts this thread and all that it starts to what the kernel knows of the rules. New privileges are refused in any case.
    ///
    /// # Errors
    /// The kernel cannot restrict paths; then nothing is restricted.
    pub(super) fn enter(self) -> Result<Holds, SandboxError> {
        let RestrictionStatus { ruleset, landlock, .. } =
            self.0.restrict_self().map_err(|error| refused(&error))?;
        holds(&ruleset, landlock)
    }
}

/// Waits until this thread is the only one of the process. A thread that has been joined may need a moment to go.
///
/// # Errors
/// Others still run.
pub(super) fn wait_for_single_thread() -> Result<(), SandboxError> {
    single_thread_within(THREAD_END)
}

fn single_thread_within(limit: Duration) -> Result<(), SandboxError> {
    let deadline = Instant::now() + limit;
    loop {
        // Where /proc cannot be read, this is unknown.
        let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
        if threads <= 1 {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(SandboxError::Threads(threads));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn refused(error: &RulesetError) -> SandboxError {
    SandboxError::Refused(cause(error))
}

fn ruleset(policy: &SandboxPolicy) -> Result<RulesetCreated, RulesetError> {
    let connect = if policy.connect.is_empty() { BitFlags::EMPTY } else { AccessNet::ConnectTcp.into() };
    Ruleset::default()
        .handle_access(AccessFs::from_all(TESTED))?
        .handle_access(BitFlags::from(AccessNet::BindTcp) | connect)?
        .scope(Scope::from_all(TESTED))?
        .create()
}

fn filled(rules: RulesetCreated, policy: &SandboxPolicy) -> Result<RulesetCreated, RulesetError> {
    let mut rules = rules;
    let grants = [(&policy.read, readable()), (&policy.write, writable()), (&policy.links, linkable())];
    for (paths, tree) in grants {
        // What is not there any more needs no rule.
        for (path, file) in paths.iter().filter_map(|path| Some((path, PathFd::new(path).ok()?))) {
            let access = if path.is_dir() { tree } else { tree & AccessFs::from_file(TESTED) };
            rules = rules.add_rule(PathBeneath::new(file, access))?;
        }
    }
    for port in &policy.connect {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    for port in &policy.bind {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    Ok(rules)
}

fn readable() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{ReadFile | ReadDir})
}

fn writable() -> BitFlags<AccessFs> {
    let write = make_bitflags!(AccessFs::{WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir});
    readable() | write
}

fn linkable() -> BitFlags<AccessFs> {
    writable() | AccessFs::MakeSym
}

fn holds(ruleset: &RulesetStatus, kernel: LandlockStatus) -> Result<Holds, SandboxError> {
    let abi = match kernel {
        LandlockStatus::NotImplemented => return Err(SandboxError::NotImplemented),
        LandlockStatus::NotEnabled => return Err(SandboxError::NotEnabled),
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
    };
    if *ruleset == RulesetStatus::NotEnforced {
        return Err(SandboxError::Refused("nothing is enforced".to_owned()));
    }
    Ok(Holds { abi: abi as u8, file_system: true, network: abi >= ABI::V4, scope: abi >= ABI::V6 })
}

/// The system's own words, which are at the end of the chain.
fn cause(error: &RulesetError) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use fs::File;
    use std::net::TcpListener;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;

    fn of(abi: ABI) -> Holds {
        let kernel = LandlockStatus::Available { effective_abi: abi, kernel_abi: None };
        holds(&RulesetStatus::PartiallyEnforced, kernel).unwrap()
    }

    #[test]
    fn each_kernel_says_what_it_restricts() {
        let words = [ABI::V1, ABI::V3, ABI::V4, ABI::V6].map(|abi| of(abi).as_str());
        assert_eq!(
            words,
            ["file system", "file system", "file system and network", "file system and network"]
        );
        assert!(!of(ABI::V5).scope && of(ABI::V6).scope);
        assert_eq!(Holds::default().as_str(), "off");
    }

    #[test]
    fn a_thread_that_runs_already_is_an_error() {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let other = thread::spawn(move || wait.recv().is_err());
        assert!(matches!(single_thread_within(Duration::from_millis(50)), Err(SandboxError::Threads(2..))));
        drop(go);
        other.join().unwrap();
    }

    #[test]
    fn a_kernel_without_it_is_an_error_and_not_a_sandbox() {
        let outcome = |kernel| holds(&RulesetStatus::NotEnforced, kernel);
        assert!(matches!(outcome(LandlockStatus::NotImplemented), Err(SandboxError::NotImplemented)));
        assert!(matches!(outcome(LandlockStatus::NotEnabled), Err(SandboxError::NotEnabled)));
        let available = LandlockStatus::Available { effective_abi: ABI::V6, kernel_abi: None };
        assert!(matches!(outcome(available), Err(SandboxError::Refused(_))));
    }

    #[test]
    fn what_is_allowed_works_and_everything_else_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let [read, write, links] = ["read", "write", "links"].map(|name| home.path().join(name));
        for directory in [&read, &write, &links] {
            fs::create_dir(directory).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let name = format!("secrets-sync-test-{}", std::process::id());
        let manager_address = SocketAddr::from_abstract_name(name).unwrap();
        let _manager = UnixDatagram::bind_addr(&manager_address).unwrap();
        let early = UnixDatagram::unbound().unwrap();
        early.connect_addr(&manager_address).unwrap();
        let policy = SandboxPolicy {
            read: [read.clone(), PathBuf::from("/no/such/path")].into(),
            write: [write.clone()].into(),
            links: [links.clone()].into(),
            connect: [address.port()].into(),
            bind: BTreeSet::new(),
        };
        // The thread's own end: the kernel binds threads, and this test's process goes on.
        let restricted = move || {
            let holds = Rules::prepare(&policy).unwrap().enter().unwrap();
            assert!(holds.file_system && holds.abi >= 1);
            assert!(fs::read_dir(&read).is_ok() && fs::create_dir(read.join("new")).is_err());
            fs::create_dir(write.join("new")).unwrap();
            fs::remove_dir(write.join("new")).unwrap();
            assert!(symlink("anywhere", write.join("link")).is_err());
            symlink("anywhere", links.join("link")).unwrap();
            fs::rename(links.join("link"), links.join("renamed")).unwrap();
            assert!(fs::rename(links.join("renamed"), write.join("moved")).is_err());
            assert!(fs::read_dir("/").is_err() && File::open("/etc/passwd").is_err());
            if holds.network {
                assert!(std::net::TcpStream::connect(address).is_ok());
                assert!(TcpListener::bind("127.0.0.1:0").is_err());
            }
            if holds.scope {
                assert!(early.send(b"connected before").is_ok());
                assert!(UnixDatagram::unbound().unwrap().connect_addr(&manager_address).is_err());
            }
            thread::spawn(|| assert!(fs::read_dir("/").is_err())).join().unwrap();
        };
        thread::spawn(restricted).join().unwrap();
        assert!(fs::read_dir("/").is_ok());
    }
}
