//! The files of the journal: what a start finds there after whatever happened to them.
#![expect(clippy::disallowed_methods, reason = "tests write their input")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use tempfile::TempDir;

use super::*;

/// An open journal and the task that writes it.
struct Open {
    journal: Journal,
    ended: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Open {
    async fn close(self) {
        self.ended.cancel();
        self.task.await.unwrap();
    }
}

fn open(home: &TempDir) -> Open {
    let journal = Journal::open(home.path(), Clock::system()).unwrap();
    let ended = CancellationToken::new();
    Open { task: tokio::spawn(journal.clone().run(ended.clone())), journal, ended }
}

fn refusal(home: &TempDir) -> String {
    Journal::open(home.path(), Clock::system()).unwrap_err().message
}

fn path(home: &TempDir, name: &str) -> PathBuf {
    home.path().join(name)
}

fn text(home: &TempDir) -> Vec<u8> {
    fs::read(path(home, "journal.jsonl")).unwrap()
}

fn events(text: &[u8]) -> Vec<String> {
    let word = |line: ReadLine<'_>| {
        let object: serde_json::Value = serde_json::from_slice(line.bytes).unwrap_or_default();
        object["event"].as_str().unwrap_or("damaged").to_owned()
    };
    lines(text).map(word).collect()
}

fn verified(home: &TempDir) -> Result<u64, (usize, &'static str)> {
    let texts = texts(home.path()).unwrap();
    let broken = verify(texts.iter().map(|(name, text)| (*name, text.as_slice())));
    broken.map_err(|broken| (broken.line, broken.cause))
}

/// A closed journal of `count` published changes.
async fn written(home: &TempDir, count: u64) -> JournalState {
    let opened = open(home);
    for change in 1..=count {
        opened.journal.append_durably([JournalEntry::Published(record(change, 1))]).await;
    }
    let state = opened.journal.look(Clone::clone);
    opened.close().await;
    state
}

#[tokio::test]
async fn what_was_written_is_there_again_after_a_restart() {
    let home = TempDir::new().unwrap();
    let before = written(&home, 3).await;
    let mode = |name| fs::metadata(path(&home, name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(["journal.jsonl", "key", "lock"].map(mode), [0o600; 3]);
    let opened = open(&home);
    assert_eq!(opened.journal.look(Clone::clone), before);
    opened.journal.append_durably([JournalEntry::Published(record(4, 1))]).await;
    let position = opened.journal.position().unwrap();
    let last = lines(&text(&home)).last().map(|line| LineHash::of(line.bytes));
    assert_eq!((position.seq, Some(position.head)), (4, last));
    opened.close().await;
    assert_eq!(events(&text(&home)), ["published"; 4]);
    assert_eq!(verified(&home), Ok(4));
}

#[tokio::test]
async fn what_is_appended_together_is_one_write() {
    let home = TempDir::new().unwrap();
    let opened = open(&home);
    let appended =
        (1..=50).map(|change| opened.journal.append_durably([JournalEntry::Published(record(change, 1))]));
    futures_util::future::join_all(appended).await;
    let state = opened.journal.look(Clone::clone);
    opened.close().await;
    assert_eq!(open(&home).journal.look(Clone::clone), state);
    assert_eq!(verified(&home), Ok(50));
}

#[tokio::test]
async fn a_line_that_is_torn_at_any_byte_is_cut_off() {
    let home = TempDir::new().unwrap();
    written(&home, 2).await;
    let whole = text(&home);
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for end in first + 1..whole.len() {
        fs::write(path(&home, "journal.jsonl"), &whole[..end]).unwrap();
        let opened = open(&home);
        let owed = opened.journal.look(owed);
        opened.close().await;
        assert_eq!((owed, events(&text(&home))), (vec![1], vec!["published".to_owned(), "gap".to_owned()]));
        assert_eq!(verified(&home), Ok(2), "cut at {end}");
    }
}

#[tokio::test]
async fn a_damaged_line_is_a_gap_once_and_the_lines_after_it_count() {
    let home = TempDir::new().unwrap();
    written(&home, 3).await;
    let damaged = String::from_utf8(text(&home)).unwrap().replacen("\"seq\":2", "\"seq\";2", 1);
    fs::write(path(&home, "journal.jsonl"), damaged).unwrap();
    for _ in 0..2 {
        let opened = open(&home);
        assert_eq!(opened.journal.look(owed), [3]);
        opened.close().await;
        assert_eq!(events(&text(&home)), ["published", "damaged", "published", "gap"]);
    }
    assert_eq!(verified(&home), Err((2, "cannot be read")));
}

#[tokio::test]
async fn a_changed_byte_and_a_removed_line_break_the_chain() {
    let home = TempDir::new().unwrap();
    written(&home, 4).await;
    let whole = String::from_utf8(text(&home)).unwrap();
    let with = |text: &str| {
        fs::write(path(&home, "journal.jsonl"), text).unwrap();
        verified(&home)
    };
    let follows = "does not follow from the line before it";
    assert_eq!(with(&whole.replacen("\"version\":2", "\"version\":7", 1)), Err((3, follows)));
    let mut lines: Vec<_> = whole.split_inclusive('\n').collect();
    lines.remove(1);
    assert_eq!(with(&lines.concat()), Err((2, follows)));
    assert_eq!(with(&whole), Ok(4));
}

#[tokio::test]
async fn a_full_file_is_followed_by_one_that_begins_with_all_there_is() {
    let home = TempDir::new().unwrap();
    let opened = open(&home);
    let long = ChangeRecord { files: vec!["x".repeat(8 << 10)], ..record(1, 1) };
    for change in 1..=60 {
        let record = ChangeRecord { change: ChangeNumber::new(change), ..long.clone() };
        opened.journal.append_durably([JournalEntry::Published(record)]).await;
    }
    let state = opened.journal.look(Clone::clone);
    opened.close().await;
    let mut names: Vec<_> = fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let files = ["journal.jsonl", "journal.jsonl.1", "journal.jsonl.2", "journal.jsonl.3", "key", "lock"];
    assert_eq!(names, files);
    assert_eq!(events(&text(&home)).first().map(String::as_str), Some("snapshot"));
    assert!(text(&home).len() < 80 << 10);
    let texts = texts(home.path()).unwrap();
    let (count, newest) = (verified(&home).unwrap(), events(&text(&home)).len());
    assert_eq!(
        texts.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["journal.jsonl.3", "journal.jsonl.2", "journal.jsonl.1", "journal.jsonl"]
    );
    assert!(count > newest as u64, "the chain goes over all files");
    let opened = open(&home);
    assert_eq!(opened.journal.look(Clone::clone), state);
    opened.close().await;
    // A process that was killed while it began a new file.
    fs::rename(path(&home, "journal.jsonl"), path(&home, "journal.jsonl.new")).unwrap();
    let opened = open(&home);
    assert_eq!(opened.journal.look(Clone::clone), state);
    opened.close().await;
}

#[tokio::test]
async fn a_damaged_snapshot_is_made_up_for_by_the_file_before_it() {
    let home = TempDir::new().unwrap();
    written(&home, 3).await;
    fs::rename(path(&home, "journal.jsonl"), path(&home, "journal.jsonl.1")).unwrap();
    fs::write(path(&home, "journal.jsonl"), "{\"seq\":4,\"event\":\"snapsho\n").unwrap();
    let opened = open(&home);
    assert_eq!(opened.journal.look(owed), [3]);
    opened.close().await;
}

#[tokio::test]
async fn a_second_daemon_cannot_have_the_same_directory() {
    let home = TempDir::new().unwrap();
    let opened = open(&home);
    assert!(refusal(&home).ends_with("is in use by another daemon"), "{}", refusal(&home));
    opened.close().await;
    open(&home).close().await;
}

#[tokio::test]
async fn a_lost_or_damaged_key_is_a_new_one_and_a_gap() {
    let home = TempDir::new().unwrap();
    for content in [None, Some("short")] {
        written(&home, 1).await;
        match content {
            None => fs::remove_file(path(&home, "key")).unwrap(),
            Some(content) => fs::write(path(&home, "key"), content).unwrap(),
        }
        let opened = open(&home);
        let site = opened.journal.look(site);
        assert_eq!((site.published.unwrap().fingerprint, opened.journal.look(owed)), (None, vec![1]));
        opened.close().await;
        assert_eq!(events(&text(&home)).last().map(String::as_str), Some("gap"));
        assert_eq!(fs::read(path(&home, "key")).unwrap().len(), 32);
    }
}

#[test]
fn what_others_put_there_is_refused_and_named() {
    let plant = |name: &str, plant: &dyn Fn(&Path)| {
        let home = TempDir::new().unwrap();
        plant(&path(&home, name));
        refusal(&home)
    };
    let mode = |mode| fs::Permissions::from_mode(mode);
    for name in ["journal.jsonl", "key", "lock"] {
        let link = plant(name, &|path| symlink("/etc/passwd", path).unwrap());
        assert!(link.ends_with(&format!("{name} is a symlink")), "{link}");
        let pipe = plant(name, &|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap());
        assert!(
            pipe.contains(name)
                && (pipe.ends_with("is no regular file") || pipe.ends_with("is a pipe or a socket")),
            "{pipe}"
        );
        let writable = plant(name, &|path| {
            fs::write(path, "").unwrap();
            fs::set_permissions(path, mode(0o666)).unwrap();
        });
        assert!(writable.ends_with("others may write to it"), "{writable}");
    }
    let home = TempDir::new().unwrap();
    fs::set_permissions(home.path(), mode(0o777)).unwrap();
    assert!(refusal(&home).ends_with("or other users may write in it"));
    fs::set_permissions(home.path(), mode(0o700)).unwrap();
    fs::write(path(&home, "key"), [7; 32]).unwrap();
    fs::set_permissions(path(&home, "key"), mode(0o644)).unwrap();
    Journal::open(home.path(), Clock::system()).unwrap();
    assert_eq!(fs::metadata(path(&home, "key")).unwrap().permissions().mode() & 0o777, 0o600, "narrowed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_in_the_file_a_start_reads_it(content in prop::collection::vec(any::<u8>(), 0..400)) {
        let home = TempDir::new().unwrap();
        fs::write(path(&home, "journal.jsonl"), content).unwrap();
        fs::set_permissions(path(&home, "journal.jsonl"), fs::Permissions::from_mode(0o600)).unwrap();
        Journal::open(home.path(), Clock::system()).unwrap();
    }
}

/// What becomes of one line of a journal.
#[derive(Clone, Copy, Debug)]
enum LineEdit {
    Lost,
    Repeated,
    Moved,
    Cut,
}

fn edited(mut lines: Vec<Vec<u8>>, edits: &[(LineEdit, usize, usize)]) -> Vec<u8> {
    for (edit, which, to) in edits {
        let (which, count) = (which % lines.len().max(1), lines.len());
        let Some(line) = lines.get(which).cloned() else { continue };
        match edit {
            LineEdit::Lost => drop(lines.remove(which)),
            LineEdit::Repeated => lines.insert(to % (count + 1), line),
            LineEdit::Moved => lines.swap(which, to % count),
            LineEdit::Cut => lines[which].truncate(to % line.len().max(1)),
        }
    }
    lines.into_iter().flat_map(|line| [line, b"\n".to_vec()].concat()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_lines_are_lost_repeated_moved_or_cut_the_journal_goes_on_after_them(
        edits in prop::collection::vec((
            prop::sample::select(vec![LineEdit::Lost, LineEdit::Repeated, LineEdit::Moved, LineEdit::Cut]),
            any::<usize>(),
            any::<usize>(),
        ), 1..6),
    ) {
        let home = TempDir::new().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            written(&home, 5).await;
            let before = text(&home);
            let lines = before.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let left = edited(lines.map(<[u8]>::to_vec).collect(), &edits);
            fs::write(path(&home, "journal.jsonl"), &left).unwrap();
            let opened = open(&home);
            opened.journal.append_durably([JournalEntry::Published(record(9, 1))]).await;
            opened.close().await;
            let text = text(&home);
            assert!(text.starts_with(&left) || left.is_empty(), "what is there is not changed");
            // What was written after it follows from it.
            let new = text.get(left.len()..).unwrap();
            let chain = verify([("new", new)]);
            assert!(chain.is_ok_and(|lines| lines >= 1), "{:?}", String::from_utf8_lossy(&text));
            let opened = open(&home);
            let history = opened.journal.look(site);
            assert_eq!(history.published.unwrap().change.get(), 9);
            assert!(opened.journal.look(owed).contains(&9));
            opened.close().await;
        });
    }
}

#[tokio::test]
async fn a_new_file_that_cannot_begin_loses_no_line() {
    let home = TempDir::new().unwrap();
    // The next file cannot be made, as on a full disk.
    fs::create_dir(path(&home, "journal.jsonl.new.new")).unwrap();
    let opened = open(&home);
    let mut change = 0;
    while text(&home).len() < 80 << 10 {
        change += 1;
        let files = vec!["/secrets/tls.crt".to_owned(); 100];
        let record = ChangeRecord { files, ..record(change, 1) };
        // There is room for a line, and nothing is lost.
        assert!(opened.journal.append_durably([JournalEntry::Published(record)]).await, "{change}");
    }
    assert!(!path(&home, "journal.jsonl.1").exists());
    fs::remove_dir(path(&home, "journal.jsonl.new.new")).unwrap();
    opened.journal.append([JournalEntry::Published(record(change + 1, 1))]);
    opened.close().await;
    assert!(path(&home, "journal.jsonl.1").exists());
    assert!(verified(&home).is_ok_and(|lines| lines > change), "{:?}", verified(&home));
    let opened = open(&home);
    assert_eq!(opened.journal.look(site).published.unwrap().change.get(), change + 1);
    opened.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_state_directory_that_hangs_keeps_no_file_from_being_published() {
    let home = TempDir::new().unwrap();
    let opened = open(&home);
    let change = |change| [JournalEntry::Published(record(change, 1))];
    assert!(opened.journal.append_durably(change(1)).await);
    let writer = opened.journal.0.writer.as_ref().unwrap();
    // The thread that writes waits for this one, as it would for a file system that hangs.
    let (file, (hangs, end), (ready, begun)) = (writer.file(), mpsc::channel::<()>(), mpsc::channel());
    let holder = thread::spawn(move || {
        let _held = file.lock().unwrap();
        ready.send(()).unwrap();
        let _ended = end.recv();
    });
    begun.recv().unwrap();
    let mut first = Box::pin(opened.journal.append_durably(change(2)));
    for _ in 0..3 {
        assert!(futures_util::poll!(&mut first).is_pending());
        tokio::task::yield_now().await;
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(!first.await, "it is not on disk");
    while !writer.is_failing() {
        tokio::task::yield_now().await;
    }
    let before = tokio::time::Instant::now();
    assert!(!opened.journal.append_durably(change(3)).await);
    assert_eq!(before.elapsed(), Duration::ZERO, "nobody waits for it a second time");
    drop(hangs);
    holder.join().unwrap();
    opened.close().await;
    let opened = open(&home);
    assert_eq!(opened.journal.look(|state| site(state).published.unwrap().change.get()), 3);
    assert_eq!(verified(&home), Ok(3));
    opened.close().await;
}
