"""What must be so of a set of Kubernetes objects, whatever values they were made with.

Each function takes the objects and yields what is wrong.
"""

from __future__ import annotations

import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SETTINGS = set(re.findall(r"^#? ?(\w+) =", (TOP / "config" / "full.toml").read_text(), re.M))


def of_kind(objects: list, *kinds: str) -> list:
    return [found for found in objects if found["kind"] in kinds]


def name_of(found: dict) -> str:
    return f"{found['kind']}/{found['metadata']['name']}"


def pods(objects: list) -> list:
    """The name, labels and spec of every pod that would be."""
    found = [(name_of(pod), pod["metadata"]["labels"], pod["spec"]) for pod in of_kind(objects, "Pod")]
    for deployment in of_kind(objects, "Deployment"):
        template = deployment["spec"]["template"]
        found.append((name_of(deployment), template["metadata"]["labels"], template["spec"]))
    return found


def poolers(objects: list) -> list:
    """The name of the object, the pod's spec, the container, and whether it is a sidecar."""
    found = []
    for name, _, spec in pods(objects):
        for place in ("containers", "initContainers"):
            found += [(name, spec, container, place == "initContainers") for container in spec.get(place, [])
                      if container["name"] == "pgweave"]
    return found


def variables(container: dict) -> dict:
    return {entry["name"]: entry.get("value") for entry in container.get("env", [])}


def drains_in_order(objects: list):
    """The time that Kubernetes gives is longer than what pgweave may take."""
    for name, spec, container, is_sidecar in poolers(objects):
        env = variables(container)
        delay = int(env.get("PGWEAVE_SHUTDOWN_DELAY") or 0)
        timeout = int(env.get("PGWEAVE_SHUTDOWN_TIMEOUT") or 30)
        if spec["terminationGracePeriodSeconds"] <= delay + timeout:
            yield f"{name}: it would be killed after {spec['terminationGracePeriodSeconds']} s"
        if not is_sidecar and delay < 5:
            yield f"{name}: clients still come when it has gone: shutdown_delay is {delay} s"
        if "lifecycle" in container:
            yield f"{name}: there is no shell for a hook"


def is_asked_how_it_is(objects: list):
    for name, _, container, is_sidecar in poolers(objects):
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        wanted = {"startupProbe": ("/livez", "/readyz"), "livenessProbe": ("/livez",)}
        if not is_sidecar:
            wanted["readinessProbe"] = ("/readyz",)
        for probe, paths in wanted.items():
            asked = container.get(probe, {}).get("httpGet", {})
            if asked.get("path") not in paths or asked.get("port") not in ports:
                yield f"{name}: {probe} asks {asked}"
        listens = variables(container).get("PGWEAVE_HTTP_LISTEN", "0.0.0.0:9127")
        if ports.get("http", ports.get("pgweave-http")) != int(listens.rsplit(":", 1)[1]):
            yield f"{name}: the probes go to another port than {listens}"


def has_no_rights(objects: list):
    for name, _, spec in pods(objects):
        if spec.get("automountServiceAccountToken") is not False or spec.get("enableServiceLinks") is not False:
            yield f"{name}: a token, or variables of services"
    for name, spec, container, _ in poolers(objects) + [
            (name, spec, spec["containers"][0], False) for name, _, spec in pods(of_kind(objects, "Pod"))]:
        own = container.get("securityContext", {})
        both = {**spec.get("securityContext", {}), **own}
        if not (both.get("runAsNonRoot") and both.get("runAsUser", 0) > 0
                and both.get("seccompProfile", {}).get("type") == "RuntimeDefault"
                and own.get("readOnlyRootFilesystem") is True and own.get("allowPrivilegeEscalation") is False
                and own.get("capabilities", {}).get("drop") == ["ALL"]):
            yield f"{name}: it has rights that it does not need: {both}"
        if not container.get("resources", {}).get("limits", {}).get("memory"):
            yield f"{name}: its memory has no limit"


def replaces_without_a_gap(objects: list):
    for deployment in of_kind(objects, "Deployment"):
        if not any(name == name_of(deployment) and not sidecar for name, _, _, sidecar in poolers(objects)):
            continue
        spec = deployment["spec"]
        if spec["strategy"]["rollingUpdate"]["maxUnavailable"] != 0:
            yield f"{name_of(deployment)}: fewer pods while they are replaced"
        keys = [wish["topologyKey"] for wish in spec["template"]["spec"].get("topologySpreadConstraints", [])]
        if keys != ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]:
            yield f"{name_of(deployment)}: it is not spread: {keys}"
        has_budget = bool(of_kind(objects, "PodDisruptionBudget"))
        if has_budget != (spec.get("replicas", 2) > 1):
            yield f"{name_of(deployment)}: {spec.get('replicas')} replicas, and a budget: {has_budget}"


def selects(selector: dict, labels: dict) -> bool:
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def finds_what_it_selects(objects: list):
    for deployment in of_kind(objects, "Deployment"):
        if not selects(deployment["spec"]["selector"]["matchLabels"], deployment["spec"]["template"]["metadata"]["labels"]):
            yield f"{name_of(deployment)}: does not select its own pods"
    labels = [(name, labels, spec) for name, labels, spec in pods(objects)]
    for service in of_kind(objects, "Service"):
        chosen = [(name, spec) for name, labels, spec in labels if selects(service["spec"]["selector"], labels)]
        if [name.split("/")[0] for name, _ in chosen] != ["Deployment"]:
            yield f"{name_of(service)}: selects {[name for name, _ in chosen]}"
        for port in service["spec"]["ports"]:
            named = [p["name"] for _, spec in chosen for c in spec["containers"] for p in c["ports"]]
            if port["targetPort"] not in named:
                yield f"{name_of(service)}: no port {port['targetPort']}"
    for found in of_kind(objects, "PodDisruptionBudget", "NetworkPolicy"):
        selector = found["spec"].get("selector") or found["spec"].get("podSelector")
        if [selects(selector["matchLabels"], labels) for _, labels, _ in labels].count(True) != 1:
            yield f"{name_of(found)}: does not select the pods"
    for found in of_kind(objects, "HorizontalPodAutoscaler"):
        if found["spec"]["scaleTargetRef"]["name"] not in [d["metadata"]["name"] for d in of_kind(objects, "Deployment")]:
            yield f"{name_of(found)}: scales nothing"


def is_scraped_once(objects: list):
    services = of_kind(objects, "Service")
    for monitor in of_kind(objects, "ServiceMonitor"):
        chosen = [service for service in services
                  if selects(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])]
        ports = [port["name"] for service in chosen for port in service["spec"]["ports"]]
        if services and (len(chosen) != 1 or [end["port"] for end in monitor["spec"]["endpoints"]] != ports):
            yield f"{name_of(monitor)}: finds {[name_of(service) for service in chosen]} with {ports}"


def names_settings_that_there_are(objects: list):
    for name, _, container, _ in poolers(objects):
        ours = [key for key in variables(container) if key.startswith("PGWEAVE_")]
        for key in ours:
            if key[len("PGWEAVE_"):].lower() not in SETTINGS:
                yield f"{name}: there is no setting for {key}"
        if len(ours) != len(set(ours)):
            yield f"{name}: a variable twice"


def finds_its_objects(objects: list):
    """What a pod takes from objects of the same set is there; others are the user's."""
    own = {name_of(found) for found in objects}
    for name, spec, container, _ in poolers(objects):
        for volume in spec.get("volumes", []):
            wanted = volume.get("configMap", {}).get("name")
            if wanted in ("pgweave", "r-pgweave") and f"ConfigMap/{wanted}" not in own:
                yield f"{name}: ConfigMap/{wanted} is not there"
        for entry in container.get("env", []):
            wanted = entry.get("valueFrom", {}).get("secretKeyRef", {}).get("name")
            if wanted == "r-pgweave" and f"Secret/{wanted}" not in own:
                yield f"{name}: Secret/{wanted} is not there"
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
        if mounted != {volume["name"] for volume in spec.get("volumes", [])}:
            yield f"{name}: volumes and mounts differ"
        if any("subPath" in mount for mount in container.get("volumeMounts", [])):
            yield f"{name}: with a subPath changes are not seen"
        account = spec.get("serviceAccountName")
        if account and of_kind(objects, "ServiceAccount") and f"ServiceAccount/{account}" not in own:
            yield f"{name}: ServiceAccount/{account} is not there"


def sidecars_are_sidecars(objects: list):
    for name, _, container, is_sidecar in poolers(objects):
        if is_sidecar and container.get("restartPolicy") != "Always":
            yield f"{name}: the pod would wait for its end"
        if is_sidecar and variables(container).get("PGWEAVE_LISTEN_ADDR") != "127.0.0.1":
            yield f"{name}: others can connect, too"


MUSTS = [drains_in_order, is_asked_how_it_is, has_no_rights, replaces_without_a_gap, finds_what_it_selects,
         is_scraped_once, names_settings_that_there_are, finds_its_objects, sidecars_are_sidecars]
