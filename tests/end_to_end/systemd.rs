//! What a service manager hears, on a real datagram socket.

use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::thread;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::daemon::{Process, Sandbox, wait_until};
use crate::relay::Relay;
use crate::server::{server, store, store_at};

/// Listens where a manager would.
struct Manager {
    heard: Arc<Mutex<Vec<String>>>,
}

impl Manager {
    fn listen(sandbox: &Sandbox) -> Self {
        let socket = UnixDatagram::bind(sandbox.path("notify")).unwrap();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&heard);
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(length) = socket.recv(&mut buffer) {
                log.lock().unwrap().push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            }
        });
        Self { heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    fn count(&self, message: &str) -> usize {
        self.heard().iter().filter(|heard| *heard == message).count()
    }
}

fn config(key: &str, store: &str) -> String {
    server().put(key, &json!({ "value": "1" }));
    format!("{store}\nsecrets: [{{ name: one, key: {key}, files: [{{ path: one, field: value }}] }}]")
}

#[test]
fn the_manager_hears_ready_after_the_first_sync_signs_of_life_and_the_end() {
    let relay = Relay::closed(server().address());
    let sandbox = Sandbox::new(&config("systemd/life", &store_at(relay.address())));
    let manager = Manager::listen(&sandbox);
    let mut command = sandbox.command(&["run"]);
    command.env("NOTIFY_SOCKET", sandbox.path("notify")).env("WATCHDOG_USEC", "100000");
    let daemon = Process::start(command);
    let failing = "STATUS=0 of 1 secrets synced; 1 failing: one";
    wait_until("the failure is told", || manager.count(failing) > 0);
    wait_until("there are signs of life", || manager.count("WATCHDOG=1") >= 3);
    assert_eq!(manager.count("READY=1"), 0, "{:?}", manager.heard());

    relay.open();
    wait_until("it is ready", || manager.count("READY=1") > 0);
    assert_eq!(sandbox.read("one"), "1");
    wait_until("the line has changed", || manager.count("STATUS=1 of 1 secrets synced") > 0);
    let signs = manager.count("WATCHDOG=1");
    wait_until("signs of life go on", || manager.count("WATCHDOG=1") >= signs + 3);

    assert_eq!(manager.count("READY=1"), 1);

    daemon.signal(Signal::SIGHUP);
    wait_until("the reload has ended", || manager.count("READY=1") == 2);
    let heard = manager.heard();
    let reloading = heard.iter().position(|heard| heard.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert!(reloading < heard.iter().rposition(|heard| heard == "READY=1"), "{heard:?}");
    assert!(reloading > heard.iter().position(|heard| heard == "READY=1"), "{heard:?}");

    assert_eq!(daemon.stop().0.code, 0);
    wait_until("the end is told", || manager.count("STOPPING=1") > 0);
    assert_eq!((manager.count("READY=1"), manager.count("STOPPING=1")), (2, 1));
}

#[test]
fn a_manager_that_is_not_there_is_one_line_at_debug() {
    let sandbox = Sandbox::new(&config("systemd/nobody", &store()));
    let mut command = sandbox.command(&["run"]);
    command.env("NOTIFY_SOCKET", "/nowhere/notify");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let finished = daemon.stop().0;
    assert_eq!(finished.code, 0);
    assert_eq!(finished.stderr.matches("NOTIFY_SOCKET").count(), 1, "{}", finished.stderr);
}
