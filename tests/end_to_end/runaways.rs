//! Templates that run away: they fail within their limit, and neither the other secrets nor a stop wait for them.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::daemon::{Process, Sandbox, wait_until};

/// Ten components, each of which uses the next one 32 times: 2^50 uses that write nothing.
fn endless() -> String {
    let component = |level: usize| {
        let uses = format!("{{% <c{0}> %}}{{% </c{0}> %}}", level + 1).repeat(32);
        format!("{{% component c{level}() %}}{uses}{{% endcomponent c{level} %}}")
    };
    let components: String = (0..10).map(component).collect();
    components + "{% component c10() %}{% endcomponent c10 %}{% <c0> %}{% </c0> %}"
}

/// Eight secrets whose templates never end, and a good one.
fn sandbox() -> Sandbox {
    let mut config = "secretStore: { provider: file, path: store.yaml }
limits: { minRefreshInterval: 100ms }
secrets:
  - { name: good, key: app, refreshInterval: 200ms, files: [{ path: out/good, field: value }] }
"
    .to_owned();
    for number in 0..8 {
        let file = format!("{{ path: out/bad{number}, template: \"{}\" }}", endless());
        writeln!(config, "  - {{ name: bad{number}, key: app, refreshInterval: 200ms, files: [{file}] }}")
            .unwrap();
    }
    let sandbox = Sandbox::new(&config);
    sandbox.write("store.yaml", "app: { value: '1' }");
    sandbox
}

fn is_rendering(daemon: &Process) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    // Its own thread and eight that render.
    tasks.count() > 8
}

#[test]
fn eight_runaway_templates_delay_neither_a_good_secret_nor_the_stop() {
    let sandbox = sandbox();
    let daemon = Process::start(sandbox.command(&["run"]));
    wait_until("the good secret is there", || sandbox.read("out/good") == "1");
    wait_until("all eight render", || is_rendering(&daemon));
    for value in 2..6 {
        sandbox.write("store.yaml", format!("app: {{ value: '{value}' }}"));
        let begun = Instant::now();
        wait_until("the good secret has the change", || sandbox.read("out/good") == value.to_string());
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
    wait_until("a runaway is refused", || daemon.stderr().contains("did not finish within 5 s"));
    wait_until("all eight render", || is_rendering(&daemon));
    let (finished, time) = daemon.stop();
    assert_eq!(finished.code, 0);
    assert!(time < Duration::from_secs(3), "{time:?}: {}", finished.stderr);
    assert!(!finished.stderr.contains("\"kind\":\"write\""), "{}", finished.stderr);
    assert_eq!(sandbox.list("out"), ["good"]);
}

#[test]
fn run_once_ends_at_its_timeout_although_a_template_runs_away() {
    let sandbox = sandbox();
    let begun = Instant::now();
    let finished = sandbox.run(&["run", "--once", "--timeout", "1s"]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(finished.stderr.contains("bad0 was not done in time"), "{}", finished.stderr);
    assert_eq!(sandbox.read("out/good"), "1");
}
