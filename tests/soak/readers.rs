//! Readers: what an application sees that opens its files whenever it likes.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::SECRETS;
use crate::leases::SOURCES;
use crate::world::{self, World};

/// What the readers saw.
#[derive(Default)]
pub(crate) struct Looks {
    pub(crate) reads: u64,
    /// Not a whole version.
    pub(crate) torn: u64,
    /// A version that never was, or one older than an earlier look.
    pub(crate) wrong: u64,
    /// No file where there was one.
    pub(crate) gone: u64,
    pub(crate) examples: Vec<String>,
}

impl Looks {
    pub(crate) fn is_clean(&self) -> bool {
        self.torn + self.wrong + self.gone == 0 && self.reads > 0
    }

    fn bad(&mut self, count: impl FnOnce(&mut Self) -> &mut u64, what: impl FnOnce() -> String) {
        *count(self) += 1;
        if self.examples.len() < 10 {
            self.examples.push(what());
        }
    }
}

/// One thread that goes round all files.
pub(crate) struct Readers {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Looks>,
}

impl Readers {
    pub(crate) fn start(out: &Path, world: Arc<World>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (out, is_over) = (out.to_path_buf(), Arc::clone(&over));
        let thread = thread::spawn(move || {
            let mut round = Round { out, world, newest: [[0; 2]; SECRETS], looks: Looks::default() };
            while !is_over.load(Ordering::SeqCst) {
                round.go();
                // Most of a machine of two cores is for the daemon.
                thread::sleep(Duration::from_millis(20));
            }
            round.looks
        });
        Self { over, thread }
    }

    pub(crate) fn stop(self) -> Looks {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

struct Round {
    out: PathBuf,
    world: Arc<World>,
    newest: [[u64; 2]; SECRETS],
    looks: Looks,
}

impl Round {
    fn go(&mut self) {
        for source in 0..SOURCES {
            self.look_at_issued(source, &self.out.join(format!("issued-{source}")));
        }
        for secret in 0..SECRETS {
            for (half, name) in ["a", "b"].iter().enumerate() {
                self.look(secret, half, &self.out.join(format!("{secret:03}/{name}")));
            }
        }
    }

    /// What was issued is in its file whole, once there is one.
    fn look_at_issued(&mut self, source: usize, path: &Path) {
        let text = fs::read_to_string(path);
        self.looks.reads += 1;
        let shown = path.display();
        match text {
            Ok(text) if self.world.leases.knows(source, &text) => {}
            Ok(text) => self.looks.bad(|looks| &mut looks.torn, || format!("{shown}: {text:?}")),
            Err(error) => self.looks.bad(|looks| &mut looks.gone, || format!("{shown}: {error}")),
        }
    }

    fn look(&mut self, secret: usize, half: usize, path: &Path) {
        let text = fs::read_to_string(path);
        // Asked after the read: what the harness spoils, it announces before.
        if self.world.is_dirty(secret) {
            return;
        }
        self.looks.reads += 1;
        let shown = path.display();
        let text = match text {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return self.looks.bad(|looks| &mut looks.gone, || format!("{shown} is gone"));
            }
            Err(error) => return self.looks.bad(|looks| &mut looks.wrong, || format!("{shown}: {error}")),
        };
        let Some(version) = world::parse(&text, secret) else {
            let length = text.len();
            return self
                .looks
                .bad(|looks| &mut looks.torn, || format!("{shown}: {length} bytes of no version"));
        };
        let newest = self.newest[secret][half];
        if version < newest || version > self.world.version(secret) {
            return self.looks.bad(|looks| &mut looks.wrong, || format!("{shown}: {version} after {newest}"));
        }
        self.newest[secret][half] = version;
    }
}
