"""Finishes and checks a bill of materials: `cargo tree` | .ci/sbom.py BILL CARGO_LOCK SOURCES [BINARY].

Replaces the directory of the sources, which the generator writes into references, takes out the crates that are not
built (the generator asks `cargo metadata`, which lists optional ones that no feature turns on), and names the binary's
hash. Fails when a field that a scanner needs is missing, when a crate differs from Cargo.lock, or when the binary's own
list of crates, which cargo-auditable puts inside, lacks one.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib
import zlib


def finish(text, sources, built, binary):
    bill = json.loads(text.replace(f"file://{sources}", "file:///source"))
    root = bill["metadata"]["component"]
    root["purl"] = f"pkg:cargo/{root['name']}@{root['version']}"
    bill["components"] = [one for one in bill["components"] if (one["name"], one["version"]) in built]
    known = {one["bom-ref"] for one in [root, *bill["components"]]}
    bill["dependencies"] = [edge for edge in bill["dependencies"] if edge["ref"] in known]
    for edge in bill["dependencies"]:
        edge["dependsOn"] = [reference for reference in edge.get("dependsOn", []) if reference in known]
    if binary:
        digest = hashlib.sha256(pathlib.Path(binary).read_bytes()).hexdigest()
        root["hashes"] = [{"alg": "SHA-256", "content": digest}]
    return bill


def locked(path):
    """Checksum by name and version, of every crate that comes from the registry."""
    packages = tomllib.loads(path.read_text())["package"]
    return {(p["name"], p["version"]): p["checksum"] for p in packages if "checksum" in p}


def crate_findings(component, lock):
    name, version = component.get("name"), component.get("version")
    if (name, version) not in lock:
        yield "is not in Cargo.lock"
        return
    if not component.get("purl", "").startswith(f"pkg:cargo/{name}@{version}"):
        yield "has no purl, or that of another crate"
    if not all("license" in one or "expression" in one for one in component.get("licenses") or [{}]):
        yield "has no licence"
    if {"alg": "SHA-256", "content": lock[name, version]} not in component.get("hashes", []):
        yield "has not the checksum of Cargo.lock"


def findings(bill, lock, built):
    if bill.get("bomFormat") != "CycloneDX" or bill.get("specVersion") != "1.5":
        yield "the bill is not CycloneDX 1.5"
    root = bill.get("metadata", {}).get("component", {})
    if root.get("name") != "secrets-sync" or "purl" not in root or "licenses" not in root:
        yield "metadata.component does not describe secrets-sync"
    components = bill.get("components", [])
    if len(built) < 100:
        yield f"{len(built)} crates are too few"
    for name, version in built - {(one["name"], one["version"]) for one in [root, *components]}:
        yield f"{name} {version} is built and not described"
    for component in components:
        for finding in crate_findings(component, lock):
            yield f"{component.get('name')} {component.get('version')} {finding}"
    known = [one["bom-ref"] for one in [root, *components]]
    if len(known) != len(set(known)):
        yield "a bom-ref stands twice"
    if root.get("bom-ref") not in [edge["ref"] for edge in bill.get("dependencies", [])]:
        yield "the dependencies of secrets-sync itself are missing"


def listed(binary):
    """Name and version of the crates that the binary itself names."""
    with tempfile.NamedTemporaryFile() as section:
        command = [os.environ.get("OBJCOPY", "objcopy"), "--dump-section", f".dep-v0={section.name}", binary, "/dev/null"]
        subprocess.run(command, check=True)
        packages = json.loads(zlib.decompress(section.read()))["packages"]
    return {(one["name"], one["version"]) for one in packages}


def main(path, lock, sources, binary=None):
    path = pathlib.Path(path)
    # Lines of "name vVERSION", with a remark behind some.
    built = {(line.split()[0], line.split()[1].removeprefix("v")) for line in sys.stdin if line.strip()}
    bill = finish(path.read_text(), sources, built, binary)
    found = list(findings(bill, locked(pathlib.Path(lock)), built))
    own = listed(binary) if binary else built
    found += [f"{name} {version} is not in the list inside the binary" for name, version in built - own]
    for finding in found:
        print(f"sbom: {finding}", file=sys.stderr)
    if found:
        path.unlink()
        return 1
    path.write_text(json.dumps(bill, indent=2) + "\n")
    print(f"sbom: {path}: {len(bill['components'])} crates with purl, licence and checksum")
    if own != built:
        surplus = ", ".join(" ".join(one) for one in sorted(own - built))
        print(f"sbom: the list inside the binary also names what no feature turns on: {surplus}")
    return 0


sys.exit(main(*sys.argv[1:]))
