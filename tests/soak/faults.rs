//! What goes wrong, one fault at a time: answers of the server, and what others do to the files and to the process.

use std::fs;

use nix::sys::signal::Signal;
use rand::Rng;

use crate::daemon::{Process, Sandbox};
use crate::fake::{Reply, Seen};
use crate::leases::LeaseFault;
use crate::world::{PKI, ROLE_ID, SECRET_ID, World};

/// How a request is answered while a fault lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Right,
    Closed,
    HalfHead,
    Silence,
    Status(u16),
    BadGateway,
    Sealed,
    SlowDown,
    HalfBody,
    SlowBody,
    BrokenJson,
    NoSecret,
    Endless,
    Announced,
    Redirect,
    /// What a standby node says that was asked to write, with the status of a wrong request.
    Standby,
    /// A page of a gateway, which is no verdict of the store.
    Page(u16),
    /// The right answer twice, as a broken proxy sends it: the second one answers the next request.
    Twice,
}

impl Answer {
    /// Whether a hook that is answered so has failed, whatever else is read of the answer.
    pub(crate) fn is_failure(self) -> bool {
        match self {
            Self::Closed
            | Self::HalfHead
            | Self::Silence
            | Self::BadGateway
            | Self::Sealed
            | Self::SlowDown => true,
            Self::Status(status) => status >= 300,
            _ => false,
        }
    }

    /// `None`: as if nothing were wrong.
    pub(crate) fn reply(self, seen: &Seen) -> Option<Reply> {
        let half = br#"{"data":{"data":{"value":"secret"#;
        let head =
            |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        Some(match self {
            Self::Right | Self::Twice => return None,
            Self::Closed => Reply::BytesThenClose(Vec::new()),
            Self::HalfHead => Reply::BytesThenClose(b"HTTP/1.1 200 O".to_vec()),
            Self::Silence => Reply::BytesThenSilence(Vec::new()),
            Self::Status(status) => Reply::json(status, r#"{"errors":["soak"]}"#),
            Self::BadGateway => Reply::with(502, &[("Content-Type", "text/html")], "<html>soak</html>"),
            Self::Sealed => Reply::json(503, r#"{"errors":["Vault is sealed"]}"#),
            Self::SlowDown => Reply::with(429, &[("Retry-After", "1")], ""),
            Self::HalfBody => Reply::BytesThenClose([head(1000), half.to_vec()].concat()),
            Self::SlowBody => Reply::BytesThenSilence([head(1000), half.to_vec()].concat()),
            Self::BrokenJson => Reply::json(200, "{\"data\":{\"data\":{\"value\":\"x\"}"),
            Self::NoSecret => Reply::json(200, r#"{"data":null,"auth":null}"#),
            Self::Endless => Reply::Endless,
            Self::Announced => Reply::BytesThenSilence(head(1 << 40)),
            Self::Standby => Reply::json(400, r#"{"errors":["cannot write to readonly storage"]}"#),
            Self::Page(status) => {
                Reply::with(status, &[("Content-Type", "text/html")], "<html>request blocked</html>")
            }
            Self::Redirect => Reply::with(307, &[("Location", &seen.target)], ""),
        })
    }
}

/// One kind of trouble.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    Server(&'static str, Answer),
    /// Of requests about leases alone.
    Lease(&'static str, LeaseFault),
    LeasesLost,
    /// Nobody reads the daemon's log, which fills its pipe.
    LogBlocked,
    /// The TLS files of a further store lie on a mount that hangs.
    TlsFileHangs,
    TokenRevoked,
    ContentChanged,
    FilesRemoved,
    DirectoryRemoved,
    TargetIsDirectory,
    Stopped,
    Refreshed,
    Reloaded,
}

impl Fault {
    pub(crate) const ALL: [Self; 40] = [
        Self::Server("connections closed", Answer::Closed),
        Self::Server("half a head", Answer::HalfHead),
        Self::Server("silence", Answer::Silence),
        Self::Server("500", Answer::Status(500)),
        Self::Server("502 HTML", Answer::BadGateway),
        Self::Server("503 sealed", Answer::Sealed),
        Self::Server("503", Answer::Status(503)),
        Self::Server("429 Retry-After", Answer::SlowDown),
        Self::Server("412", Answer::Status(412)),
        Self::Server("403 without reason", Answer::Status(403)),
        Self::Server("half bodies", Answer::HalfBody),
        Self::Server("slow bodies", Answer::SlowBody),
        Self::Server("broken JSON", Answer::BrokenJson),
        Self::Server("JSON without a secret", Answer::NoSecret),
        Self::Server("bodies without an end", Answer::Endless),
        Self::Server("gigantic length announced", Answer::Announced),
        Self::Server("redirects in a circle", Answer::Redirect),
        Self::Server("400 of a standby", Answer::Standby),
        Self::Server("page with 200", Answer::Page(200)),
        Self::Server("page with 401", Answer::Page(401)),
        Self::Server("page with 403", Answer::Page(403)),
        Self::Server("answers sent twice", Answer::Twice),
        Self::Lease("issue fails", LeaseFault::IssueFails),
        Self::Lease("issue cut off", LeaseFault::IssueIsCutOff),
        Self::Lease("renewal refused", LeaseFault::RenewalRefused),
        Self::Lease("renewal fails", LeaseFault::RenewalFails),
        Self::Lease("renewal hangs", LeaseFault::RenewalHangs),
        Self::Lease("look-up says that it is gone", LeaseFault::LookUpRefused),
        Self::Lease("revocation fails", LeaseFault::RevocationFails),
        Self::LeasesLost,
        Self::LogBlocked,
        Self::TlsFileHangs,
        Self::TokenRevoked,
        Self::ContentChanged,
        Self::FilesRemoved,
        Self::DirectoryRemoved,
        Self::TargetIsDirectory,
        Self::Stopped,
        Self::Refreshed,
        Self::Reloaded,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Server(name, _) | Self::Lease(name, _) => name,
            Self::LeasesLost => "leases lost",
            Self::LogBlocked => "log that nobody reads",
            Self::TlsFileHangs => "TLS files that hang",
            Self::TokenRevoked => "token revoked",
            Self::ContentChanged => "content changed by others",
            Self::FilesRemoved => "files removed by others",
            Self::DirectoryRemoved => "directories removed by others",
            Self::TargetIsDirectory => "target became a directory",
            Self::Stopped => "SIGSTOP, SIGCONT",
            Self::Refreshed => "SIGUSR1 in a row",
            Self::Reloaded => "SIGHUP in a row",
        }
    }

    pub(crate) fn begin(self, world: &World, sandbox: &Sandbox, daemon: &Process) {
        match self {
            Self::Server(_, answer) => world.set(answer, rand::rng().random_range(0.2..=1.0)),
            Self::Lease(_, fault) => world.leases.set(Some(fault)),
            Self::LeasesLost => world.leases.lose(),
            Self::LogBlocked => {
                daemon.block_log(true);
                world.set(Answer::Status(500), 0.5);
            }
            Self::TlsFileHangs => world.hang(&sandbox.path(PKI)),
            Self::TokenRevoked => world.revoke(),
            Self::ContentChanged => spoil(world, sandbox, |path| fs::write(path, "spoilt").unwrap()),
            Self::FilesRemoved => spoil(world, sandbox, |path| fs::remove_file(path).unwrap()),
            Self::DirectoryRemoved => spoil(world, sandbox, |path| {
                // The daemon may put the file back meanwhile; then the directory stays, which is as good.
                drop(fs::remove_dir_all(path.parent().unwrap()));
            }),
            Self::TargetIsDirectory => spoil(world, sandbox, |path| {
                fs::remove_file(path).unwrap();
                // The daemon may have been faster.
                drop(fs::create_dir(path));
            }),
            Self::Stopped => daemon.signal(Signal::SIGSTOP),
            Self::Refreshed => (0..20).for_each(|_| daemon.signal(Signal::SIGUSR1)),
            Self::Reloaded => {
                // A comment more: a file that has changed, and nothing in it that matters.
                let text = sandbox.read("config.yaml");
                sandbox.write("config.yaml", format!("{}# soak\n", text.replace("# soak\n", "")));
                (0..20).for_each(|_| daemon.signal(Signal::SIGHUP));
            }
        }
    }

    pub(crate) fn end(self, world: &World, sandbox: &Sandbox, daemon: &Process) {
        match self {
            Self::Server(..) => {
                world.set(Answer::Right, 0.0);
                // What an operator does: credentials that were refused rest until there are others, and after four refusals of
                // one role nobody logs in as that one for a quarter of an hour, lest the server lock it.
                if world.has_refused() {
                    sandbox.write(ROLE_ID, format!("soak-role-{}", world.requests()));
                    sandbox.write(SECRET_ID, format!("soak-secret-{}", world.requests()));
                }
            }
            Self::Lease(..) => world.leases.set(None),
            Self::LogBlocked => {
                daemon.block_log(false);
                world.set(Answer::Right, 0.0);
            }
            Self::TlsFileHangs => world.hang_no_more(),
            Self::TargetIsDirectory => {
                for secret in 0..crate::SECRETS {
                    // Only directories that are still in the way go.
                    drop(fs::remove_dir(sandbox.path(&format!("out/{secret:03}/a"))));
                }
            }
            Self::Stopped => daemon.signal(Signal::SIGCONT),
            _ => {}
        }
    }
}

/// Does `harm` to the first file of ten secrets.
fn spoil(world: &World, sandbox: &Sandbox, harm: impl Fn(&std::path::Path)) {
    for _ in 0..10 {
        let secret = rand::rng().random_range(0..crate::SECRETS);
        if !world.is_dirty(secret) {
            world.spoil(secret);
            harm(&sandbox.path(&format!("out/{secret:03}/a")));
        }
    }
}
