//! The watch on the configuration's file (`WATCH_CONFIG`): it tells when the content is another one.
//!
//! Directories are watched, never the file: a watch on a file is deaf after the first rename. Where the way to the file
//! leads through symbolic links, the directory of each link is watched too; so the swap of `..data`, by which
//! Kubernetes changes all files of a volume at once, is seen. An event is only a reason to look: what counts is
//! whether the content has another hash. Where the file system has no events, it is looked at every 2 s.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::hash::RandomState;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::blocking::Worker;
use crate::config::source::{FileState, look};
use crate::telemetry::event;

/// Events that come closer together are one change.
const DEBOUNCE: Duration = Duration::from_millis(250);

/// So long at most are events waited for that come one after the other for ever.
const LONGEST_DEBOUNCE: Duration = Duration::from_secs(2);

/// Between two looks where there are no events.
const POLL: Duration = Duration::from_secs(2);

/// Between two looks where there are events: they can be lost.
const SAFETY_NET: Duration = Duration::from_secs(30);

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// File systems whose changes from elsewhere make no events here: NFS, SMB (three numbers), 9p, FUSE, Ceph, AFS, Coda.
const WITHOUT_EVENTS: [u32; 9] = [
    0x6969,
    0x517B,
    0xFF53_4D42,
    0xFE53_4D42,
    0x0102_1997,
    0x6573_5546,
    0x00C3_6400,
    0x5346_414F,
    0x7375_7245,
];

/// Most symbolic links on the way to a file, as the kernel has it.
const MOST_LINKS: usize = 40;

/// The changes of a file that is watched for as long as this lives.
pub(super) struct Changes {
    changed: Arc<Notify>,
    _watch: AbortOnDropHandle<()>,
}

impl Changes {
    /// Returns after the next change.
    ///
    /// # Cancel safety
    /// No change is lost when the future is dropped.
    pub(super) async fn next(&mut self) {
        self.changed.notified().await;
    }
}

/// A watch that has not begun.
pub(super) struct Watch {
    eye: Eye,
    seen: FileState,
    woken: Arc<Notify>,
}

impl Watch {
    /// Notes what the file at `path`, which is absolute, is now: what changes later counts. Blocks.
    pub(super) fn new(path: Arc<Path>) -> Self {
        let hasher = RandomState::new();
        let seen = look(&path, &hasher);
        let woken = Arc::new(Notify::new());
        let wake = Arc::clone(&woken);
        Self { eye: Eye { path, hasher, wake, places: BTreeMap::new(), watcher: None }, seen, woken }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.eye.path
    }

    /// Begins.
    pub(super) fn start(self) -> Changes {
        let changed = Arc::new(Notify::new());
        let task = tokio::spawn(self.run(Arc::clone(&changed)));
        Changes { changed, _watch: AbortOnDropHandle::new(task) }
    }

    async fn run(self, changed: Arc<Notify>) {
        let Self { eye, mut seen, woken } = self;
        let path = Arc::clone(&eye.path);
        let (eye, worker) = (Arc::new(Mutex::new(eye)), Worker::default());
        loop {
            // Watched first and looked at then: nothing is missed in between.
            let shared = Arc::clone(&eye);
            let step = format!("looking at {}", path.display());
            let looked = worker.run(step, PATIENCE, move |_| {
                let mut eye = shared.lock().unwrap_or_else(PoisonError::into_inner);
                eye.follow();
                (look(&eye.path, &eye.hasher), eye.watcher.is_some())
            });
            // A mount that hangs is looked at again when it has come back.
            let Ok((now, has_events)) = looked.await else {
                sleep(POLL).await;
                continue;
            };
            if now != FileState::Absent && now != seen {
                seen = now;
                changed.notify_one();
            }
            let pause = if has_events { SAFETY_NET } else { POLL };
            if timeout(pause, woken.notified()).await.is_ok() {
                quiet(&woken).await;
            }
        }
    }
}

/// Returns when no event has come for a moment.
async fn quiet(woken: &Notify) {
    let end = Instant::now() + LONGEST_DEBOUNCE;
    let calm = async {
        while timeout(DEBOUNCE, woken.notified()).await.is_ok() {
            // The next event is awaited after a breath: a file that is written for long is no reason to spin.
            sleep(DEBOUNCE / 10).await;
        }
    };
    drop(timeout_at(end, calm).await);
}

/// What looks at the file, and has itself woken.
struct Eye {
    path: Arc<Path>,
    hasher: RandomState,
    wake: Arc<Notify>,
    places: Places,
    /// None where there are no events.
    watcher: Option<RecommendedWatcher>,
}

/// Directories with the names in them that matter.
type Places = BTreeMap<PathBuf, WatchedPlace>;

#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct WatchedPlace {
    names: BTreeSet<OsString>,
    /// A directory that was replaced is not the one that is watched.
    identity: Option<Identity>,
}

/// Device, inode, and birth where the file system knows it: the number of a directory that was removed is often that of
/// the next one.
type Identity = (u64, u64, Option<SystemTime>);

impl Eye {
    /// Watches the directories that the way to the file leads through now.
    fn follow(&mut self) {
        let places = places(&self.path);
        if self.watcher.is_some() && places == self.places {
            return;
        }
        let had_events = self.watcher.is_some();
        let first = self.places.is_empty();
        self.watcher = self.watch(&places);
        self.places = places;
        if first || had_events != self.watcher.is_some() {
            event::configuration_watched(&self.path.display().to_string(), self.watcher.is_some());
        }
    }

    /// None where one of the directories is absent or makes no events.
    fn watch(&self, places: &Places) -> Option<RecommendedWatcher> {
        if !places.iter().all(|(directory, place)| place.identity.is_some() && has_events(directory)) {
            return None;
        }
        let (wake, relevant) = (Arc::clone(&self.wake), places.clone());
        let tell = move |event: notify::Result<Event>| {
            if event.map_or(true, |event| matters(&event, &relevant)) {
                wake.notify_one();
            }
        };
        let mut watcher = notify::recommended_watcher(tell).ok()?;
        for directory in places.keys() {
            watcher.watch(directory, RecursiveMode::NonRecursive).ok()?;
        }
        Some(watcher)
    }
}

/// Whether the event may be a change of the file, or of a link on the way to it. Reading is none.
fn matters(event: &Event, places: &Places) -> bool {
    let matters = |path: &PathBuf| {
        let name = path.file_name();
        let place = path.parent().and_then(|directory| places.get(directory));
        let is_named = place.zip(name).is_some_and(|(place, name)| place.names.contains(name));
        is_named || places.contains_key(path)
    };
    !event.kind.is_access()
        && (event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(matters))
}

fn has_events(directory: &Path) -> bool {
    let magic = |kind| u32::try_from(kind & 0xFFFF_FFFF).ok();
    let kind = rustix::fs::statfs(directory).ok().and_then(|about| magic(about.f_type));
    kind.is_none_or(|kind| !WITHOUT_EVENTS.contains(&kind))
}

/// The directory of the file, and that of each symbolic link on the way to it.
fn places(path: &Path) -> Places {
    let mut places = Places::new();
    let mut here = PathBuf::from("/");
    let mut ahead: VecDeque<PathBuf> = parts(path).collect();
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        let Some(Component::Normal(name)) = part.components().next() else {
            here = if part.has_root() { part } else { here.parent().unwrap_or(&here).to_path_buf() };
            continue;
        };
        let entry = here.join(name);
        let link = fs::read_link(&entry).ok().filter(|_| links < MOST_LINKS);
        if link.is_some() || ahead.is_empty() {
            places.entry(here.clone()).or_default().names.insert(name.to_owned());
        }
        match link {
            Some(target) => {
                links += 1;
                parts(&target).rev().for_each(|part| ahead.push_front(part));
            }
            None => here = entry,
        }
    }
    for (directory, place) in &mut places {
        place.identity = identity(directory);
    }
    places
}

fn identity(directory: &Path) -> Option<Identity> {
    let found = fs::metadata(directory).ok()?;
    Some((found.dev(), found.ino(), found.created().ok()))
}

/// The parts of a path that lead somewhere.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = PathBuf> {
    let leads = |part: &Component<'_>| !matches!(part, Component::CurDir);
    path.components().filter(leads).map(|part| PathBuf::from(part.as_os_str()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use notify::EventKind;
    use notify::event::{AccessKind, CreateKind};
    use tempfile::TempDir;

    use super::*;

    /// A directory without symbolic links on the way to it.
    fn home() -> (TempDir, PathBuf) {
        let home = TempDir::new().unwrap();
        let path = home.path().canonicalize().unwrap();
        (home, path)
    }

    fn names(places: &Places) -> Vec<(PathBuf, Vec<String>)> {
        let text = |name: &OsString| name.to_str().unwrap().to_owned();
        places.iter().map(|(path, place)| (path.clone(), place.names.iter().map(text).collect())).collect()
    }

    fn expected(places: &[(&Path, &[&str])]) -> Vec<(PathBuf, Vec<String>)> {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        places.iter().map(|(path, names)| (path.to_path_buf(), texts(names))).collect()
    }

    #[test]
    fn every_link_on_the_way_is_watched_where_it_is() {
        let (_home, home) = home();
        let volume = home.join("volume");
        fs::create_dir_all(volume.join("..1")).unwrap();
        fs::File::create_new(volume.join("..1/config.yaml")).unwrap();
        symlink("..1", volume.join("..data")).unwrap();
        symlink("..data/config.yaml", volume.join("config.yaml")).unwrap();
        symlink("./volume/../volume", home.join("etc")).unwrap();
        let places = places(&home.join("etc/config.yaml"));
        let (links, newest) = (&["..data", "config.yaml"], volume.join("..1"));
        let wanted: [(&Path, &[&str]); 3] =
            [(&home, &["etc"]), (&volume, links), (&newest, &["config.yaml"])];
        assert_eq!(names(&places), expected(&wanted));
        assert!(places.values().all(|place| place.identity.is_some()));
    }

    #[test]
    fn a_circle_of_links_ends_and_an_absent_file_is_waited_for() {
        let (_home, home) = home();
        symlink("b", home.join("a")).unwrap();
        symlink("a", home.join("b")).unwrap();
        assert!(places(&home.join("a")).contains_key(&home));
        let absent = places(&home.join("none/config.yaml"));
        assert_eq!(names(&absent), expected(&[(&home.join("none"), &["config.yaml"])]));
        assert_eq!(absent[&home.join("none")].identity, None);
    }

    #[test]
    fn reading_and_neighbours_do_not_matter() {
        let (_home, home) = home();
        let places = places(&home.join("config.yaml"));
        let event = |kind: EventKind, name: &str| Event::new(kind).add_path(home.join(name));
        let create = EventKind::Create(CreateKind::File);
        assert!(matters(&event(create, "config.yaml"), &places));
        assert!(matters(&Event::new(create).add_path(home.clone()), &places), "the directory itself");
        assert!(!matters(&event(create, "daemon.log"), &places));
        assert!(!matters(&event(EventKind::Access(AccessKind::Any), "config.yaml"), &places));
    }

    #[expect(clippy::disallowed_methods, reason = "tests write their input")]
    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
    }

    #[tokio::test]
    async fn a_file_in_a_directory_that_comes_later_is_noticed_by_looking() {
        let (_home, home) = home();
        let path = home.join("later/config.yaml");
        let mut changes = Watch::new(Arc::from(path.as_path())).start();
        fs::create_dir(home.join("later")).unwrap();
        write(&path, "a: 1");
        timeout(Duration::from_secs(20), changes.next()).await.unwrap();
    }

    #[tokio::test]
    async fn what_changed_before_the_watch_began_counts_and_a_touch_does_not() {
        let (_home, home) = home();
        let path = home.join("config.yaml");
        write(&path, "a: 1");
        let watch = Watch::new(Arc::from(path.as_path()));
        write(&path, "a: 2");
        let mut changes = watch.start();
        timeout(Duration::from_secs(20), changes.next()).await.unwrap();
        write(&path, "a: 2");
        assert!(timeout(DEBOUNCE * 4, changes.next()).await.is_err());
        write(&path, "a: 3");
        timeout(Duration::from_secs(20), changes.next()).await.unwrap();
    }

    #[test]
    fn a_directory_that_is_removed_and_made_again_is_another_one() {
        let (_home, home) = home();
        let file = home.join("etc/config.yaml");
        fs::create_dir(home.join("etc")).unwrap();
        let before = places(&file);
        assert_eq!(places(&file), before);
        // ext4 gives the new one the number of the old one.
        fs::remove_dir(home.join("etc")).unwrap();
        fs::create_dir(home.join("etc")).unwrap();
        assert_ne!(places(&file), before);
    }
}
