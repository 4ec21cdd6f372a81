//! Hooks with a `unit` under a real systemd with a real polkit: the rule of docs/hooks.md, and the guide of a service.

use std::fmt::Write;

use crate::containers::{AFTER, BEFORE};
use crate::engines::until;
use crate::guides::block;
use crate::systemd::{CONFIGURE, Machine};

const HOOKS: &str = include_str!("../../docs/hooks.md");
const GUIDE: &str = include_str!("../../docs/guides/systemd-service.md");

/// A service that can be reloaded unless `/run/broken` is there; it counts its starts and reloads.
const NGINX: &str = "[Service]
Type=exec
ExecStart=/bin/sh -c 'echo start >> /run/nginx-log; exec sleep infinity'
ExecReload=/bin/sh -c 'test ! -e /run/broken && echo reload >> /run/nginx-log'
";

/// A service that shows which password it was started with.
const SHOP: &str = "[Service]
Type=exec
ExecStart=/bin/sh -c 'cp \"$CREDENTIALS_DIRECTORY/password\" /run/shop-password; exec sleep infinity'
";

const TRY_OFTEN: &str = "INITIAL_BACKOFF=200ms\nMAX_BACKOFF=400ms\n";

/// The machine with the daemon and both services, and with no rule of polkit.
fn machine() -> Machine {
    let machine = Machine::with_the_unit();
    machine.guide.write("nginx.service", NGINX);
    machine.guide.write("shop.service", SHOP);
    machine.guide.write("shop.conf", block(GUIDE, "ini"));
    machine.guide.write("50-secrets-sync.rules", block(HOOKS, "js"));
    machine.guide.write("50-secrets-sync-shop.rules", block(GUIDE, "js"));
    machine.guide.write("settings", TRY_OFTEN);
    // The store of the example, and the hook and the secret of the guide.
    let (hooks, secrets) = block(GUIDE, "yaml").split_once("secrets:\n").unwrap_or_default();
    let mut config = format!("{hooks}  nginx: {{ unit: nginx.service }}\n");
    write!(config, "secrets:\n{}", secrets.replace("[shop]", "[shop, nginx]")).unwrap_or_default();
    machine.guide.write("hooks.yaml", &config);
    machine.run(
        "cd /guide
         sed --in-place '/^secrets:/,$d' /etc/secrets-sync/config.yaml
         cat hooks.yaml >> /etc/secrets-sync/config.yaml
         cp settings /etc/default/secrets-sync
         install -m 644 -t /etc/systemd/system nginx.service shop.service
         install -D -m 644 -t /etc/systemd/system/shop.service.d shop.conf
         systemctl daemon-reload; systemctl start nginx",
    );
    machine.run(CONFIGURE);
    machine
}

/// Gives the secret another password, and has it read.
fn change(machine: &Machine, password: &str) {
    machine.guide.engines().secret(password);
    machine.run("systemctl kill --signal USR1 secrets-sync");
    until("the file does not change", || machine.run("cat /run/secrets-sync/shop-password") == password);
}

/// Lines of the journal that have each of `parts`.
fn count(machine: &Machine, parts: &[&str]) -> usize {
    machine.journal().lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
}

fn log(machine: &Machine) -> String {
    machine.run("cat /run/nginx-log")
}

#[test]
fn units_are_reloaded_or_restarted_where_polkit_allows_it_and_never_started() {
    let machine = machine();
    // Without a rule both services stay as they are. The one that does not run needs no rule.
    until("the denial has no remedy", || {
        count(&machine, &["hook failed", "allow the verb \\\"reload-or-try-restart\\\" of nginx.service"]) > 0
    });
    assert_eq!(log(&machine), "start\n");
    assert_eq!(count(&machine, &["nothing to do for the hook", "shop.service is inactive"]), 1);

    // It is owed until the rule is there.
    machine.run("install -m 644 -t /etc/polkit-1/rules.d /guide/*.rules");
    until("nginx is not reloaded", || log(&machine) == "start\nreload\n");

    // The guide's service: a reload would leave its credential as it was.
    machine.run("systemctl start shop");
    let read = || machine.run("cat /run/shop-password");
    until("the service does not read its password", || read() == BEFORE);
    change(&machine, AFTER);
    until("the service is not restarted", || read() == AFTER);
    until("nginx is not reloaded again", || log(&machine) == "start\nreload\nreload\n");
    machine.run("secrets-sync hook shop");
    // That one verb, and no other one.
    machine.run("! runuser -u secrets-sync -- systemctl --no-ask-password stop shop nginx");

    // A reload that fails is a failed hook with what systemd says, and is tried until it succeeds.
    machine.run("touch /run/broken");
    change(&machine, "Zq7marker-third");
    until("a failed reload is not reported", || {
        count(&machine, &["hook failed", "Job for nginx.service"]) > 0
    });
    machine.run("rm /run/broken");
    until("it is not tried again", || log(&machine).lines().count() == 4);

    machine.run("systemctl stop nginx shop");
    change(&machine, "Zq7marker-fourth");
    for unit in ["nginx", "shop"] {
        let reason = format!("{unit}.service is inactive");
        until("it is not skipped", || count(&machine, &["nothing to do for the hook", &reason]) > 0);
        machine.run(&format!("! systemctl --quiet is-active {unit}"));
    }
    assert_eq!(log(&machine).lines().count(), 4);
}
