//! What the programs that are not here would refuse: keys that Quadlet does not know, and pods that the restricted
//! policy of Kubernetes does not admit. `tests/e2e/deploy.rs` runs what can be run.

use std::fs;

use serde_json::{Value, json};

use crate::pages::{files, root};

/// Keys of `[Container]` in Podman 4.4, the first version with Quadlet. It refuses a file with any other one.
const CONTAINER: [&str; 29] = [
    "AddCapability",
    "AddDevice",
    "Annotation",
    "ContainerName",
    "DropCapability",
    "Environment",
    "EnvironmentFile",
    "EnvironmentHost",
    "Exec",
    "ExposeHostPort",
    "Group",
    "Image",
    "Label",
    "Network",
    "NoNewPrivileges",
    "Notify",
    "PodmanArgs",
    "PublishPort",
    "ReadOnly",
    "RemapGid",
    "RemapUid",
    "RemapUidSize",
    "RemapUsers",
    "RunInit",
    "SeccompProfile",
    "Timezone",
    "User",
    "VolatileTmp",
    "Volume",
];

/// What systemd itself reads of the keys that the files use.
const SYSTEMD: [(&str, &[&str]); 3] = [
    ("Unit", &["After", "Description", "Wants"]),
    ("Service", &["ExecReload", "Restart", "TimeoutStartSec"]),
    ("Install", &["WantedBy"]),
];

/// Volumes that the restricted policy admits, without those that need a plugin.
const VOLUMES: [&str; 6] =
    ["configMap", "downwardAPI", "emptyDir", "persistentVolumeClaim", "projected", "secret"];

/// What Podman 4.4 or systemd would refuse in a file.
fn refused(quadlet: &str) -> Vec<String> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in quadlet.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut section);
            continue;
        }
        let key = line.split_once('=').map_or(line, |(key, _)| key);
        let is_known = match SYSTEMD.iter().find(|(name, _)| *name == section) {
            Some((_, keys)) => keys.contains(&key),
            None => section == "Container" && CONTAINER.contains(&key),
        };
        if !is_known {
            found.push(format!("[{section}] {key}"));
        }
    }
    found
}

/// Where a pod breaks the restricted policy.
fn violations(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut expect = |pointer: &str, value: &Value, expected: Value| {
        if value.pointer(pointer) != Some(&expected) {
            found.push(format!("{pointer} is not {expected}"));
        }
    };
    expect("/securityContext/runAsNonRoot", pod, json!(true));
    expect("/securityContext/seccompProfile/type", pod, json!("RuntimeDefault"));
    let all = |key: &str| pod.get(key).and_then(Value::as_array).unwrap().clone();
    for container in [all("initContainers"), all("containers")].concat() {
        expect("/securityContext/allowPrivilegeEscalation", &container, json!(false));
        expect("/securityContext/capabilities/drop", &container, json!(["ALL"]));
    }
    for volume in all("volumes") {
        let mut kinds = volume.as_object().unwrap().keys().filter(|key| *key != "name");
        if !kinds.all(|kind| VOLUMES.contains(&kind.as_str())) {
            found.push(format!("a volume that is not admitted: {volume}"));
        }
    }
    found
}

fn pod() -> Value {
    let text = fs::read_to_string(root().join("examples/kubernetes/secrets-sync.yaml")).unwrap();
    let documents = text.split("\n---\n").map(|text| serde_yaml::from_str::<Value>(text).unwrap());
    let mut deployments = documents.filter(|value| value.get("kind").unwrap() == "Deployment");
    deployments.next().unwrap().pointer("/spec/template/spec").unwrap().clone()
}

#[test]
fn podman_4_4_knows_every_key_of_the_quadlets() {
    let quadlets = files(&root().join("examples/podman"), "container");
    assert_eq!(quadlets.len(), 2);
    for quadlet in quadlets {
        let text = fs::read_to_string(&quadlet).unwrap();
        assert!(text.contains("\n[Container]\nImage="), "{quadlet:?}");
        assert_eq!(refused(&text), Vec::<String>::new(), "{quadlet:?}");
    }
    assert_eq!(
        refused("[Container]\nTmpfs=/run\n[Service]\nRestart=no\n[Unti]\nAfter=a"),
        ["[Container] Tmpfs", "[Unti] After"]
    );
}

#[test]
fn the_pod_is_within_the_restricted_policy() {
    let pod = pod();
    assert_eq!(violations(&pod), Vec::<String>::new());
    for pointer in ["/securityContext/runAsNonRoot", "/containers/0/securityContext/allowPrivilegeEscalation"]
    {
        let mut loose = pod.clone();
        loose.pointer_mut(pointer).unwrap().take();
        assert_eq!(violations(&loose).len(), 1, "{pointer}");
    }
    let mut loose = pod;
    *loose.pointer_mut("/volumes/0").unwrap() = json!({ "name": "host", "hostPath": { "path": "/" } });
    assert_eq!(violations(&loose).len(), 1);
}

#[test]
fn the_sidecar_of_the_pod_holds_the_application_back_until_the_files_are_there() {
    let pod = pod();
    let sidecar = pod.pointer("/initContainers/0").unwrap();
    assert_eq!(sidecar.get("restartPolicy"), Some(&json!("Always")));
    let probe = sidecar.pointer("/startupProbe/exec/command");
    assert_eq!(probe, Some(&json!(["/usr/bin/secrets-sync", "isready"])));
}
