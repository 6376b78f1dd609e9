"""The manifests, the chart and the Compose file: see `run`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import kubernetes_validate
import yaml

from cases import PASSWORD, REFUSED, RENDERED
from musts import MUSTS, name_of, of_kind, pods, poolers, variables

TOP = Path(__file__).resolve().parents[2]
CHART = TOP / "deploy" / "helm" / "pgweave"
HELM, PGWEAVE = os.environ["HELM"], os.environ["PGWEAVE_BIN"]

# The oldest with sidecars, and the newest that there is a schema for.
VERSIONS = ("1.29", "1.37")

# Kinds of the Prometheus operator: no schema of them is to be had, so what we use of them is listed.
OPERATOR = {"ServiceMonitor": {"selector", "endpoints"}, "PrometheusRule": {"groups"}}


class Wrong(Exception):
    """What is wrong, a line each."""


def hold(objects: list) -> None:
    """Against the schemas, and against what must be so."""
    wrong = [f"{must.__name__}: {what}" for must in MUSTS for what in must(objects)]
    if not objects:
        wrong.append("nothing is there")
    names = [name_of(found) for found in objects]
    wrong += [f"twice: {name}" for name in set(names) if names.count(name) > 1]
    for found in objects:
        wrong += against_schema(found)
    if wrong:
        raise Wrong("\n".join(wrong))


def against_schema(found: dict):
    if found["kind"] in OPERATOR:
        if found["apiVersion"] != "monitoring.coreos.com/v1" or set(found["spec"]) != OPERATOR[found["kind"]]:
            yield f"{name_of(found)}: {sorted(found['spec'])}"
        return
    for version in VERSIONS:
        if version == VERSIONS[0] and "trafficDistribution" in found["spec" if "spec" in found else "metadata"]:
            continue
        try:
            kubernetes_validate.validate(found, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{name_of(found)}: Kubernetes {version}: {error.message}"


def load(text: str) -> list:
    return [found for found in yaml.safe_load_all(text) if found]


def helm(command: list, values: dict) -> subprocess.CompletedProcess:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        return subprocess.run([HELM, *command, "-f", file.name], capture_output=True, text=True, timeout=60)


def render(values: dict) -> list:
    done = helm(["template", "r", str(CHART)], values)
    if done.returncode:
        raise Wrong(done.stderr.strip())
    return load(done.stdout)


def rendered(values: dict) -> None:
    done = helm(["lint", "--strict", str(CHART)], values)
    if done.returncode:
        raise Wrong(done.stdout + done.stderr)
    objects = render(values)
    hold(objects)
    for found in objects:
        if PASSWORD in yaml.safe_dump(found) and found["kind"] != "Secret":
            raise Wrong(f"{name_of(found)}: holds the password")
    files_are_right(objects)


def files_are_right(objects: list) -> None:
    """What a ConfigMap of ours holds is a configuration, with any value for each variable."""
    for config in of_kind(objects, "ConfigMap"):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(config["data"]["pgweave.toml"])
            file.flush()
            names = ("PGHOST", "PGUSER", "PGPASSWORD", "APP_PASSWORD")
            done = subprocess.run([PGWEAVE, "check", file.name], capture_output=True, text=True, timeout=10,
                                  env={name: "x" for name in names})
        if done.returncode:
            raise Wrong(f"{name_of(config)}: {done.stderr}")


def refused(values: dict, word: str) -> None:
    done = helm(["template", "r", str(CHART)], values)
    if done.returncode == 0 or word not in done.stderr:
        raise Wrong(f"status {done.returncode}: {done.stderr.strip() or 'it was taken'}")


def values_are_what_they_say() -> None:
    """What a value changes, where that is easily got wrong."""
    def spec(values: dict) -> dict:
        return of_kind(render(values), "Deployment")[0]["spec"]["template"]
    before, after = (spec({"config": text})["metadata"]["annotations"] for text in ("[users.a]", "[users.b]"))
    if before == after:
        raise Wrong("a changed file replaces no pods")
    again = [spec({"config": text, "reloadOnChange": True}) for text in ("[users.a]", "[users.b]")]
    if again[0] != again[1]:
        raise Wrong("with reloadOnChange a changed file replaces pods")
    big = render({"database": {"existingSecret": "a"}, "settings": {"max_client_conn": 1000000}})
    written = variables(poolers(big)[0][2])["PGWEAVE_MAX_CLIENT_CONN"]
    if written != "1000000":
        raise Wrong(f"a large number becomes {written}")
    if len(pods(render({"database": {"existingSecret": "a"}, "tests": {"enabled": False}}))) != 1:
        raise Wrong("tests.enabled is not looked at")


def the_alerts_are_the_same() -> None:
    if (CHART / "files" / "alerts.yml").read_text() != (TOP / "deploy" / "prometheus" / "alerts.yml").read_text():
        raise Wrong("files/alerts.yml of the chart is not deploy/prometheus/alerts.yml: copy it")
    rule = of_kind(render(RENDERED["everything"]), "PrometheusRule")[0]
    if rule["spec"] != yaml.safe_load((TOP / "deploy" / "prometheus" / "alerts.yml").read_text()):
        raise Wrong("PrometheusRule: other alerts")


def the_versions_are_the_same() -> None:
    version = next(line.split('"')[1] for line in (TOP / "Cargo.toml").read_text().splitlines()
                   if line.startswith("version"))
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    if not version == chart["version"] == chart["appVersion"]:
        raise Wrong(f"{version}, and in the chart {chart['version']} and {chart['appVersion']}")
    for path in (TOP / "deploy" / "kubernetes").glob("*.yaml"):
        for name, _, container, _ in poolers(load(path.read_text())):
            if container["image"] != f"pgweave:{version}":
                raise Wrong(f"{path.name}: {name} runs {container['image']}")


def the_schema_knows_every_value() -> None:
    """Defaults are held against it by each case; here nothing is in it that has no default."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    schema["properties"].pop("global")  # Helm's own.
    wrong = sorted(unlike(schema, values, ""))
    if wrong:
        raise Wrong(f"values.yaml and values.schema.json differ: {wrong}")


def unlike(schema: dict, values: dict, at: str):
    known = set(schema.get("properties", {}))
    if known:
        yield from (f"{at}.{key}" for key in known ^ set(values))
        for key in known & set(values):
            yield from unlike(schema["properties"][key], values[key], f"{at}.{key}")


def manifest(path: Path) -> None:
    objects = load(path.read_text())
    hold(objects)
    files_are_right(objects)


def compose(path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", path],
                          capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Wrong(done.stdout + done.stderr)
    services = yaml.safe_load(path.read_text())["services"]
    pooler = services["pgweave"]
    if not (pooler["read_only"] and pooler["cap_drop"] == ["ALL"] and pooler["environment"]["DATABASE_URL"]):
        raise Wrong("pgweave: rights, or no DATABASE_URL")
    if not (TOP / "deploy" / "compose" / pooler["build"] / "Dockerfile").exists():
        raise Wrong("build: there is no Dockerfile")
    if int(pooler["stop_grace_period"].rstrip("s")) <= 30:
        raise Wrong("pgweave would be killed while transactions end")
    # Who is waited for says how it is: by a check of its own, or the image's.
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] != "service_healthy" or other != "pgweave" and "healthcheck" not in services[other]:
                raise Wrong(f"{name}: waits for {other} without knowing how it is")
    if services["app"]["environment"]["PGHOST"] != "pgweave" or "pgweave" not in services["app"]["depends_on"]:
        raise Wrong("app: it goes past pgweave")


def cases():
    for path in sorted((TOP / "deploy" / "kubernetes").glob("*.yaml")):
        yield f"kubernetes/{path.name}", manifest, (path,)
    for name, values in RENDERED.items():
        yield f"the chart with {name}", rendered, (values,)
    for name, (values, word) in REFUSED.items():
        yield f"the chart refuses {name}", refused, (values, word)
    for check in (values_are_what_they_say, the_alerts_are_the_same, the_versions_are_the_same,
                  the_schema_knows_every_value):
        yield check.__name__.replace("_", " "), check, ()
    yield "compose.yaml", compose, (TOP / "deploy" / "compose" / "compose.yaml",)


def main() -> int:
    passed = failed = 0
    for name, check, arguments in cases():
        try:
            check(*arguments)
            print(f"ok {name}", flush=True)
            passed += 1
        except Exception as cause:  # A case that cannot be looked at has failed.
            told = str(cause) if isinstance(cause, Wrong) else traceback.format_exc()
            print(f"FAILED {name}: {told}", flush=True)
            failed += 1
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


sys.exit(main())
