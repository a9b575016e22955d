#!/usr/bin/env python3
"""The chart's guarantees: one rule a test, over each file of values in values/ and over all pairs of settings.

    make charts                 UPDATE=1 make charts: keep the rendering of this version, for the next to be compared with

Helm renders, kubernetes-validate and KEDA's models check, promtool checks rules. No cluster is needed.
"""
import copy
import functools
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CHART = ROOT / "charts" / "nightshift"
HELM = ROOT / ".cache" / "charts" / "helm"
RELEASE, NAMESPACE = "night", "vision"
# What kubernetes-validate has no schema for.
OTHERS = {"ScaledObject", "ServiceMonitor", "PodMonitor", "PrometheusRule"}
# The newest whose schemas kubernetes-validate has.
NEWEST = "1.37"
WORKLOADS = {"Deployment", "StatefulSet", "CronJob"}
FILES = sorted(path.stem for path in (HERE / "values").glob("*.yaml"))
# What may be chosen apart from each other: of any two of these every combination is rendered.
CHOICES = {
    "tls": [{}, {"tls": {"existingSecret": "", "insecure": True}}, {"tls": {"caConfigMap": "authority"}}],
    "broker": [{}, {"broker": {"url": "amqps://a@rabbit.example/v", "existingSecret": "rabbit"}}, {"broker": {"cluster": {"name": "rabbit"}, "caConfigMap": "authority"}}],
    "store": [{}, {"stores": {"line3": {"url": "s3://line3/x", "existingSecret": "keys", "secretKeys": {"access_key": "a", "secret_key": "s"}}}}],
    "scaling": [{}, {"poolDefaults": {"scaling": {"kind": "keda"}}, "keda": {"prometheus": "http://prometheus:9090", "selector": 'job="nightshift"'}},
                {"poolDefaults": {"scaling": {"kind": "hpa", "min": 1}}}],
    "gpus": [{}, {"poolDefaults": {"gpus": 2}}, {"poolDefaults": {"slots": 3}}],
    "spot": [{}, {"poolDefaults": {"spot": True}}],
    "deletion": [{}, {"poolDefaults": {"deletionCost": True}}],
    "spread": [{}, {"poolDefaults": {"spread": "node"}}, {"poolDefaults": {"spread": "none"}}],
    "network": [{}, {"networkPolicy": {"enabled": False}}, {"networkPolicy": {"egress": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}], "monitoringFrom": [{"podSelector": {}}]}}],
    "monitoring": [{}, {"monitoring": {"serviceMonitor": True, "prometheusRule": True, "dashboard": True}}],
    "webhook": [{}, {"coordinator": {"webhook": {"url": "https://factory.example/n", "existingSecret": "webhook", "caConfigMap": "authority"}}}],
    "nightly": [{}, {"nightly": {"tokenSecret": "user"}, "nightlyJobs": {"a": {"schedule": "@daily", "key": "a-{today}", "job": "kind: predict\n"}}}],
    "holds": [{}, {"coordinator": {"holdsNode": True, "priorityClassName": "first"}, "priorityClasses": {"first": {"value": 5}}}],
}


def all_pairs(choices):
    """Few rows, in which of every two choices each pair of options occurs."""
    names = list(choices)
    open_pairs = {(a, i, b, j) for a, b in itertools.combinations(names, 2) for i in range(len(choices[a])) for j in range(len(choices[b]))}
    rows = []
    while open_pairs:
        row = {}
        a, i, b, j = min(open_pairs)
        row.update({a: i, b: j})
        for name_ in names:
            if name_ not in row:
                def closes(option):
                    return sum(((x, row[x], name_, option) in open_pairs) or ((name_, option, x, row[x]) in open_pairs) for x in row)
                row[name_] = max(range(len(choices[name_])), key=closes)
        open_pairs -= {(a, row[a], b, row[b]) for a, b in itertools.combinations(names, 2)}
        rows.append(row)
    return rows


def merged(one, other):
    both = dict(one)
    for key, value in other.items():
        both[key] = merged(one[key], value) if isinstance(value, dict) and isinstance(one.get(key), dict) else value
    return both


def chosen():
    """Each row's values by a name that says what differs from what one cannot leave out."""
    smallest = yaml.safe_load((HERE / "values" / "smallest.yaml").read_text())
    found = {}
    for row in all_pairs(CHOICES):
        values = smallest
        for choice, option in row.items():
            values = merged(values, CHOICES[choice][option])
        found[" ".join(f"{choice}{option}" for choice, option in row.items() if option)] = values
    return found


CHOSEN = chosen()
MATRIX = FILES + sorted(CHOSEN)
SCRATCH = tempfile.TemporaryDirectory()


@functools.cache
def values_file(values):
    if values in FILES:
        return HERE / "values" / f"{values}.yaml"
    path = Path(SCRATCH.name) / f"{values.replace(' ', '-')}.yaml"
    path.write_text(yaml.safe_dump(CHOSEN[values]))
    return path


def run(*command, **more):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)


def helm(*arguments):
    return run(HELM, *arguments)


def template(values, *more):
    return helm("template", RELEASE, CHART, "--namespace", NAMESPACE, "--values", values_file(values), *more)


@functools.cache
def text(values):
    rendered = template(values)
    if rendered.returncode:
        sys.exit(f"{values}: {rendered.stderr}")
    return rendered.stdout


def parsed(text_):
    return [document for document in yaml.load_all(text_, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if document]


@functools.cache
def parsed_once(values):
    return parsed(text(values))


def documents(values):
    return list(parsed_once(values))


def name(document):
    return f"{document['kind']}/{document['metadata']['name']}"


def pod_template(document):
    spec = document["spec"]
    return (spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec)["template"]


def workloads(values):
    return [document for document in documents(values) if document["kind"] in WORKLOADS]


def containers(values):
    """Each container with its workload's name and its pod's spec."""
    for document in workloads(values):
        pod = pod_template(document)["spec"]
        for container in pod["containers"] + pod.get("initContainers", []):
            yield name(document), pod, container


def pods(values):
    """Labels of each kind of pod, with its spec."""
    return [(pod_template(document)["metadata"]["labels"], pod_template(document)["spec"]) for document in workloads(values)]


def matches(selector, labels):
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    return all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", []) if one["operator"] == "In")


def environment(container):
    return {entry["name"]: entry.get("value") for entry in container.get("env", [])}


def of_program(container):
    return Path(container["command"][0]).name


class Rendered(unittest.TestCase):
    """Rules for what is rendered, for each file of values."""

    def each(self):
        for values in MATRIX:
            with self.subTest(values=values):
                yield values

    def test_lint_has_nothing_to_say(self):
        for values in self.each():
            linted = helm("lint", "--strict", CHART, "--values", values_file(values))
            self.assertEqual(linted.returncode, 0, linted.stdout + linted.stderr)

    def test_every_object_is_what_the_oldest_and_the_newest_kubernetes_know(self):
        oldest = re.search(r">=(\d+\.\d+)\.", yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"])[1]
        # One program for all values: it reads its schemas at each start.
        everything = [document for values in MATRIX for document in documents(values)]
        known = [document for document in everything if document["kind"] not in OTHERS]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.dump_all(everything, file, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
            file.flush()
            for version in (oldest, NEWEST):
                with self.subTest(version=version):
                    checked = run(Path(sys.executable).parent / "kubernetes-validate", "--kubernetes-version", version, "--strict", file.name)
                    said = checked.stdout + checked.stderr
                    self.assertEqual(checked.returncode, 0, said[-4000:])
                    self.assertLessEqual(set(re.findall(r"Couldn't find schema for kind (\w+)", said)), OTHERS)
                    self.assertEqual(said.count(" passed for resource "), len(known), said[-4000:])

    def test_keda_knows_every_scaled_object_and_each_of_its_fields(self):
        found = 0
        for values in self.each():
            for document in documents(values):
                if document["kind"] == "ScaledObject":
                    found += 1
                    # The models drop what they do not know.
                    kept = ScaledObject.model_validate(document).model_dump(mode="json", by_alias=True, exclude_unset=True)
                    self.assertEqual(kept["spec"], document["spec"], name(document))
                    for trigger in document["spec"]["triggers"]:
                        # A map of strings to KEDA, of which its scaler for Prometheus knows these.
                        self.assertLessEqual(set(trigger["metadata"]), {"serverAddress", "query", "threshold", "activationThreshold", "ignoreNullValues"})
                        self.assertTrue(all(isinstance(value, str) for value in trigger["metadata"].values()), name(document))
        self.assertGreater(found, 0)

    def test_no_container_runs_as_root(self):
        for values in self.each():
            for of, pod, container in containers(values):
                security = pod["securityContext"]
                self.assertIs(security["runAsNonRoot"], True, of)
                self.assertGreater(security["runAsUser"], 0, of)
                self.assertGreater(security["runAsGroup"], 0, of)
                self.assertFalse({"runAsUser", "privileged", "runAsNonRoot"} & set(container["securityContext"]), of)

    def test_every_container_is_shut_in(self):
        for values in self.each():
            for of, pod, container in containers(values):
                security = container["securityContext"]
                self.assertIs(security["readOnlyRootFilesystem"], True, of)
                self.assertIs(security["allowPrivilegeEscalation"], False, of)
                self.assertEqual(security["capabilities"], {"drop": ["ALL"]}, of)
                self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"}, of)
                self.assertFalse(pod.get("hostNetwork") or pod.get("hostPID") or pod.get("hostIPC"), of)

    def test_no_pod_has_a_token_of_the_cluster_that_does_not_need_it(self):
        for values in self.each():
            accounts = {document["metadata"]["name"] for document in documents(values) if document["kind"] == "ServiceAccount"}
            bound = {document["subjects"][0]["name"] for document in documents(values) if document["kind"] == "RoleBinding"}
            for of, pod, container in containers(values):
                needs = "--deletion-cost" in container["args"]
                self.assertIs(pod["automountServiceAccountToken"], needs, of)
                self.assertIn(pod["serviceAccountName"], accounts, of)
                self.assertEqual(pod["serviceAccountName"] in bound, needs, of)
        rights = [document["rules"] for document in documents("night") if document["kind"] == "Role"]
        self.assertEqual(rights, [[{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]])

    def test_every_workload_has_requests_and_limits(self):
        for values in self.each():
            for of, _, container in containers(values):
                resources = container["resources"]
                self.assertLessEqual({"cpu", "memory"}, set(resources["requests"]), of)
                self.assertIn("memory", resources["limits"], of)
                if of_program(container) == "worker":
                    # Its executors start as many threads as they may use processors.
                    self.assertIn("cpu", resources["limits"], of)

    def test_every_folder_that_grows_has_a_limit(self):
        for values in self.each():
            for of, pod, _ in containers(values):
                for volume in pod["volumes"]:
                    if "emptyDir" in volume:
                        self.assertIn("sizeLimit", volume["emptyDir"], f"{of} {volume['name']}")

    def test_every_selector_selects(self):
        for values in self.each():
            labels = [of for of, _ in pods(values)]
            services = [one["metadata"]["labels"] for one in documents(values) if one["kind"] == "Service"]
            for document in documents(values):
                spec, kind = document.get("spec", {}), document["kind"]
                if kind in ("Deployment", "StatefulSet"):
                    own = pod_template(document)["metadata"]["labels"]
                    self.assertTrue(matches(spec["selector"], own), name(document))
                    others = [one for one in labels if one != own]
                    self.assertFalse(any(matches(spec["selector"], one) for one in others), name(document))
                    for spread in pod_template(document)["spec"].get("topologySpreadConstraints", []):
                        self.assertTrue(matches(spread["labelSelector"], own), name(document))
                elif kind == "Service":
                    self.assertEqual(sum(matches({"matchLabels": spec["selector"]}, one) for one in labels), 1, name(document))
                elif kind in ("PodDisruptionBudget", "PodMonitor"):
                    self.assertTrue(any(matches(spec["selector"], one) for one in labels), name(document))
                elif kind == "ServiceMonitor":
                    self.assertTrue(any(matches(spec["selector"], one) for one in services), name(document))
                elif kind == "NetworkPolicy" and "callers" not in name(document):
                    self.assertTrue(any(matches(spec["podSelector"], one) for one in labels), name(document))

    def test_workers_and_jobs_may_reach_the_coordinator(self):
        for values in self.each():
            policies = [one for one in documents(values) if name(one) == f"NetworkPolicy/{RELEASE}-coordinator"]
            for policy in policies:
                callers = policy["spec"]["ingress"][0]
                self.assertEqual(callers["ports"], [{"port": "grpc", "protocol": "TCP"}])
                for labels, _ in pods(values):
                    calls = labels["app.kubernetes.io/component"] != "coordinator"
                    self.assertEqual(matches(callers["from"][0]["podSelector"], labels), calls)

    def test_every_port_that_is_named_exists(self):
        for values in self.each():
            for of, _, container in containers(values):
                ports = {port["name"] for port in container.get("ports", [])}
                probes = [container[kind] for kind in ("startupProbe", "livenessProbe", "readinessProbe") if kind in container]
                self.assertEqual(bool(probes), of_program(container) != "ctl", of)
                for probe in probes:
                    self.assertIn(probe["httpGet"]["port"], ports, of)
                    self.assertIn(probe["httpGet"]["path"], ("/healthz", "/readyz"), of)
            all_ports = {labels["app.kubernetes.io/component"]: {port["name"] for port in spec["containers"][0].get("ports", [])} for labels, spec in pods(values)}
            for document in documents(values):
                if document["kind"] == "Service":
                    for port in document["spec"]["ports"]:
                        self.assertIn(port["targetPort"], all_ports["coordinator"], name(document))
                elif document["kind"] in ("ServiceMonitor", "PodMonitor"):
                    component = document["metadata"]["labels"]["app.kubernetes.io/component"]
                    for endpoint in document["spec"].get("endpoints", []) + document["spec"].get("podMetricsEndpoints", []):
                        self.assertIn(endpoint["port"], all_ports[component], name(document))

    def test_every_port_is_the_one_that_the_program_listens_on(self):
        for values in self.each():
            for of, _, container in containers(values):
                env, ports = environment(container), {port["name"]: port["containerPort"] for port in container.get("ports", [])}
                for variable, port in (("NIGHTSHIFT_LISTEN", "grpc"), ("NIGHTSHIFT_HTTP", "http"), ("NIGHTSHIFT_WORKER_HTTP", "http")):
                    if variable in env:
                        self.assertEqual(env[variable], f"0.0.0.0:{ports[port]}", of)

    def test_every_secret_and_config_map_is_named_in_the_values_or_made(self):
        for values in self.each():
            given = set(strings(yaml.safe_load(values_file(values).read_text())))
            made = {document["metadata"]["name"]: set(document["data"]) for document in documents(values) if document["kind"] == "ConfigMap"}
            operators = {"rabbit-default-user"}
            for of, pod, container in containers(values):
                for volume in pod["volumes"]:
                    if "secret" in volume:
                        self.assertIn(volume["secret"]["secretName"], given | operators, of)
                    elif "configMap" in volume:
                        source = volume["configMap"]
                        self.assertIn(source["name"], given | set(made), of)
                        for item in source.get("items", []):
                            self.assertIn(item["key"], made[source["name"]], of)
                for entry in container["env"]:
                    secret = entry.get("valueFrom", {}).get("secretKeyRef")
                    if secret:
                        self.assertIn(secret["name"], given | operators, of)

    def test_every_volume_is_mounted_and_every_mount_has_one(self):
        for values in self.each():
            for document in workloads(values):
                pod = pod_template(document)["spec"]
                claims = [claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])]
                volumes = [volume["name"] for volume in pod["volumes"]] + claims
                mounts = [mount["name"] for mount in pod["containers"][0]["volumeMounts"]]
                self.assertEqual(sorted(volumes), sorted(mounts), name(document))

    def test_every_file_that_is_named_lies_in_a_mount(self):
        for values in self.each():
            for of, _, container in containers(values):
                folders = [mount["mountPath"] for mount in container["volumeMounts"]]
                for variable, value in environment(container).items():
                    if value and value.startswith("/"):
                        self.assertTrue(any(value == folder or value.startswith(folder + "/") for folder in folders), f"{of} {variable}={value}")

    def test_the_grace_period_is_longer_than_the_drain(self):
        for values in self.each():
            for of, pod, container in containers(values):
                if of_program(container) == "worker":
                    drain = int(environment(container)["NIGHTSHIFT_DRAIN_TIMEOUT"].removesuffix("s"))
                    self.assertEqual(pod["terminationGracePeriodSeconds"], drain + 20, of)

    def test_spot_machines_are_left_in_time_and_never_held(self):
        pool = {name(one): one for one in documents("night")}[f"Deployment/{RELEASE}-worker-spot"]
        self.assertLessEqual(pod_template(pool)["spec"]["terminationGracePeriodSeconds"], 60)
        budgets = [name(one) for one in documents("night") if one["kind"] == "PodDisruptionBudget"]
        self.assertNotIn(f"PodDisruptionBudget/{RELEASE}-worker-spot", budgets)
        self.assertIn(f"PodDisruptionBudget/{RELEASE}-worker-cpu", budgets)

    def test_a_pool_may_set_back_what_its_defaults_say(self):
        still = {name(one): one for one in documents("broker")}
        pool = still[f"Deployment/{RELEASE}-worker-still"]
        self.assertEqual(pool["spec"]["replicas"], 0)
        self.assertNotIn("topologySpreadConstraints", pod_template(pool)["spec"])
        self.assertIn(f"PodDisruptionBudget/{RELEASE}-worker-still", still)
        config = still[f"ConfigMap/{RELEASE}-config"]["data"]["worker-still.yaml"]
        self.assertEqual(yaml.safe_load(config)["cache"]["limit_mib"], 0)

    def test_what_is_scaled_has_no_fixed_number(self):
        for values in self.each():
            targets = {one["spec"]["scaleTargetRef"]["name"] for one in documents(values) if "scaleTargetRef" in one.get("spec", {})}
            deployments = {one["metadata"]["name"]: one for one in documents(values) if one["kind"] == "Deployment"}
            self.assertLessEqual(targets, set(deployments))
            for deployment, document in deployments.items():
                self.assertEqual("replicas" in document["spec"], deployment not in targets, deployment)

    def test_gpus_are_asked_for_and_given_to_slots(self):
        gpu = {name(one): one for one in documents("night")}[f"Deployment/{RELEASE}-worker-gpu"]
        container = pod_template(gpu)["spec"]["containers"][0]
        self.assertEqual(container["resources"]["limits"]["nvidia.com/gpu"], 2)
        self.assertEqual(environment(container)["NIGHTSHIFT_DEVICE"], "cuda:0,cuda:1")
        self.assertIn("--slots=2", container["args"])
        self.assertTrue(pod_template(gpu)["spec"]["tolerations"])

    def test_there_is_one_coordinator_on_a_volume_of_its_own(self):
        for values in self.each():
            coordinators = [one for one in documents(values) if one["kind"] == "StatefulSet"]
            self.assertEqual([one["spec"]["replicas"] for one in coordinators], [1])
        claim = [one for one in documents("smallest") if one["kind"] == "StatefulSet"][0]["spec"]["volumeClaimTemplates"][0]
        self.assertEqual(claim["spec"]["accessModes"], ["ReadWriteOncePod"])


def bytes_of(quantity):
    """Bytes of a quantity of Kubernetes such as 4Gi."""
    number, unit = re.fullmatch(r"(\d+)(Ki|Mi|Gi|Ti)", quantity).groups()
    return int(number) * 2 ** {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}[unit]


def strings(value):
    """All strings of a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)


class Programs(unittest.TestCase):
    """What the chart says to the programs is what they take."""

    def test_every_variable_and_flag_is_documented(self):
        text_of = (ROOT / "docs" / "configuration.md").read_text()
        sections = {part.split("`", 1)[0]: part for part in text_of.split("\n## `")[1:]}
        for values in MATRIX:
            for of, _, container in containers(values):
                page = sections[of_program(container)]
                for variable in environment(container):
                    if variable.startswith("NIGHTSHIFT_") and variable != "NIGHTSHIFT_CONFIG":
                        self.assertIn(f"`{variable}`", page, of)
                for flag in container["args"] if of_program(container) != "ctl" else []:
                    self.assertRegex(page, rf"`{flag.split('=')[0]}[` ]", of)

    @classmethod
    def setUpClass(cls):
        missing = [program for program in ("coordinator", "worker", "ctl") if not (ROOT / "bin" / program).is_file()]
        if missing:
            raise FileNotFoundError(f"bin/ has no {', '.join(missing)}: `make build` makes them")

    def test_what_a_pool_leaves_out_is_enough_for_every_shipped_job(self):
        """By the figures of `ctl plan`, with the numbers of images that values.yaml names."""
        pool = yaml.safe_load((CHART / "values.yaml").read_text())["poolDefaults"]
        memory, scratch = bytes_of(pool["resources"]["requests"]["memory"]), bytes_of(pool["scratch"])
        self.assertEqual(pool["resources"]["requests"]["memory"], pool["resources"]["limits"]["memory"])
        seen = 0
        for path in sorted((ROOT / "configs").glob("*.yaml")):
            planned = run(ROOT / "bin" / "ctl", "plan", path, "--output", "json", cwd=ROOT)
            self.assertEqual(planned.returncode, 0, f"{path.name}: {planned.stderr}")
            for needs in filter(None, json.loads(planned.stdout)["fit"]):
                seen += 1
                self.assertLessEqual(needs["memory_bytes"] + 1_000 * needs["memory_bytes_per_image"] + 300 * 2**20, memory, path.name)
                self.assertLessEqual(10_000 * needs["spool_bytes_per_image"], scratch, path.name)
        self.assertGreater(seen, 20)

    def test_the_job_of_every_night_is_a_job(self):
        for values in FILES:
            jobs = yaml.safe_load(values_file(values).read_text()).get("nightlyJobs", {})
            for job in jobs.values():
                with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                    file.write(job["job"])
                    file.flush()
                    planned = run(ROOT / "bin" / "ctl", "plan", file.name)
                    self.assertEqual(planned.returncode, 0, planned.stderr)
        self.assertTrue(yaml.safe_load(values_file("night").read_text())["nightlyJobs"])

    def test_the_job_of_every_night_has_a_key_that_names_its_day(self):
        for values in MATRIX:
            for of, _, container in containers(values):
                if of_program(container) == "ctl":
                    self.assertEqual((container["args"][0], container["args"][-2]), ("submit", "--key"), of)
                    self.assertIn("{today}", container["args"][-1], of)

    def test_the_programs_accept_what_they_are_told(self):
        for values in MATRIX:
            with self.subTest(values=values), tempfile.TemporaryDirectory() as folder:
                for of, _, container in containers(values):
                    if of_program(container) != "ctl":
                        shown = self.start(values, container, Path(folder))
                        self.assertEqual(shown.returncode, 0, f"{of}: {shown.stderr}")

    def start(self, values, container, folder):
        """The program with the container's arguments and environment, its mounts below `folder`; it prints its settings."""
        configs = {key: data for one in documents(values) if name(one) == f"ConfigMap/{RELEASE}-config" for key, data in one["data"].items()}
        env = {"PATH": os.environ["PATH"], "KUBERNETES_SERVICE_HOST": "192.0.2.1", "KUBERNETES_SERVICE_PORT": "443"}
        for variable, value in environment(container).items():
            if value is None:
                value = "some-pod" if variable == "NIGHTSHIFT_WORKER" else "user"
            env[variable] = str(folder) + value if value.startswith("/") else value.replace("$(BROKER_USER)", "user")
        for variable, content in self.files(folder).items():
            if variable in env:
                path = Path(env[variable])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        pool = env.get("NIGHTSHIFT_POOL")
        config = Path(env["NIGHTSHIFT_CONFIG"])
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(configs[f"worker-{pool}.yaml" if pool else "coordinator.yaml"])
        return run(ROOT / "bin" / of_program(container), *container["args"], "--print-config", env=env)

    @functools.cache
    def files(self, folder):
        """What Secrets hold, by the variable that names the file."""
        token = run(ROOT / "bin" / "ctl", "token", "new", "box", "--role", "worker", env={"HOME": str(folder), "PATH": os.environ["PATH"]})
        self.assertEqual(token.returncode, 0, token.stderr)
        made = token.stdout + token.stderr
        certificate, key = folder / "crt.pem", folder / "key.pem"
        made_certificate = run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=nightshift", "-keyout", key, "-out", certificate)
        self.assertEqual(made_certificate.returncode, 0, made_certificate.stderr)
        return {
            "NIGHTSHIFT_TOKENS": re.search(r"- \{name: .*\}", made)[0] + "\n",
            "NIGHTSHIFT_TOKEN_FILE": re.search(r"ns_\w+", made)[0] + "\n",
            "NIGHTSHIFT_TLS_CERT": certificate.read_text(), "NIGHTSHIFT_TLS_KEY": key.read_text(),
            "NIGHTSHIFT_CA": certificate.read_text(), "NIGHTSHIFT_BROKER_CA": certificate.read_text(),
            "NIGHTSHIFT_WEBHOOK_CA": certificate.read_text(), "NIGHTSHIFT_WEBHOOK_SECRET_FILE": "0123456789abcdef\n",
            "NIGHTSHIFT_BROKER_PASSWORD_FILE": "word\n",
        }


class Refused(unittest.TestCase):
    """What is wrong with values is said, with its place and the way out."""

    def refused(self, *settings, values="night"):
        rendered = template(values, *[part for setting in settings for part in ("--set-json", setting)])
        self.assertNotEqual(rendered.returncode, 0, settings)
        return rendered.stderr

    def test_a_value_of_the_wrong_type(self):
        for setting, place, why in [
            ('pools.cpu.replicas="many"', "/pools/cpu/replicas", "want integer"),
            ('pools.cpu.spot="yes"', "/pools/cpu/spot", "want boolean"),
            ("coordinator.retention=14", "/coordinator/retention", "want string"),
            ('coordinator.retention="two weeks"', "/coordinator/retention", "pattern"),
            ('pools.cpu.engines="openvino"', "/pools/cpu/engines", "want array"),
            ('pools.cpu.engines=["tensorrt"]', "/pools/cpu/engines/0", "openvino"),
            ('pools.cpu.scaling.kind="vpa"', "/pools/cpu/scaling/kind", "keda"),
            ('pools.CPU={}', "CPU", "pattern"),
            ('coordinator.storage.size=5', "/coordinator/storage/size", "want string"),
            ('coordinator.resources.limits.memory="2GB"', "/coordinator/resources/limits/memory", "pattern"),
            ('stores.line3.url="file:///data"', "/stores/line3/url", "pattern"),
            ('stores.line3.options.secret_key="hush"', "/stores/line3/options", "not"),
            ('broker.url="amqps://user:word@host/v"', "/broker/url", "pattern"),
            ('coordinator.webhook.url="ftp://host"', "/coordinator/webhook/url", "pattern"),
            ('security.runAsUser=0', "/security/runAsUser", "minimum"),
        ]:
            with self.subTest(setting=setting):
                said = self.refused(setting)
                self.assertIn(place, said)
                self.assertIn(why, said)

    def test_a_value_that_nobody_knows(self):
        for setting, place in [("pools.cpu.replica=1", "/pools/cpu"), ("tokens.existing=1", "/tokens"), ("pool={}", "pool"), ("poolDefaults.scaling.maximum=1", "/poolDefaults/scaling")]:
            with self.subTest(setting=setting):
                said = self.refused(setting)
                self.assertIn("additional properties", said)
                self.assertIn(place, said)

    def test_a_missing_secret(self):
        for setting, words in [
            ('tokens.existingSecret=""', ["tokens.existingSecret is missing", "ctl token new"]),
            ('tls.existingSecret=""', ["tls.existingSecret is missing", "night-coordinator.vision.svc", "tls.insecure"]),
            ('workerToken.existingSecret=""', ["workerToken.existingSecret is missing", "--role worker"]),
            ('nightly.tokenSecret=""', ["nightly.tokenSecret is missing"]),
            ('stores.line3.existingSecret=""', ["stores.line3.existingSecret is missing"]),
            ('broker={"url":"amqps://a@b/c","cluster":{"name":""}}', ["broker.existingSecret is missing"]),
            ('coordinator.webhook.existingSecret=""', ["coordinator.webhook.existingSecret is missing", "openssl rand"]),
        ]:
            with self.subTest(setting=setting):
                said = self.refused(setting)
                for word in words:
                    self.assertIn(word, said)

    def test_two_coordinators(self):
        for number in (0, 2):
            self.assertIn("there is one coordinator", self.refused(f"coordinator.replicas={number}"))

    def test_values_that_do_not_go_together(self):
        for settings, word in [
            (['keda.prometheus=""'], "keda.prometheus is missing"),
            (["monitoring.serviceMonitor=false"], "keda.selector is missing"),
            (['coordinator.webhook.url=""'], "coordinator.webhook.url is missing"),
            (["pools.steady.scaling.min=0"], "an HPA keeps at least 1 pod"),
            (["pools.spot.scaling.min=300"], "min 300 is above max 200"),
            (["pools.gpu.slots=3"], "each slot has a GPU for itself"),
            (['broker.url="amqps://a@b/c"'], "name one broker"),
            (['pools.cpu.resources={"requests":{"cpu":1}}'], "pools.cpu.resources.limits.memory is missing"),
            (['coordinator.resources={"limits":null}'], "coordinator.resources.limits.memory is missing"),
            (['nightly.resources={"requests":null}'], "nightly.resources.requests.cpu is missing"),
            (['nightlyJobs.line3.key="line3"'], "nightlyJobs.line3.key has no day"),
        ]:
            with self.subTest(settings=settings):
                self.assertIn(word, self.refused(*settings))


class Values(unittest.TestCase):
    def test_every_value_is_commented(self):
        lines = (CHART / "values.yaml").read_text().splitlines()
        bare = []
        for number, line in enumerate(lines):
            key = re.match(r"( *)([A-Za-z]\w*):", line)
            if not key:
                continue
            # The comment of the first of some values that belong together is that of all.
            above = number - 1
            while above >= 0 and re.match(rf"{key[1]}[A-Za-z]\w*:.", lines[above]):
                above -= 1
            in_one_line = above >= 0 and re.match(r" *(resources):$", lines[above])
            if not in_one_line and not (above >= 0 and lines[above].lstrip().startswith("#")):
                bare.append(f"{number + 1}: {line}")
        self.assertEqual(bare, [])

    def test_every_value_that_the_schema_knows_has_a_default(self):
        schema = json.loads((CHART / "values.schema.json").read_text())
        values = yaml.safe_load((CHART / "values.yaml").read_text())

        def walk(part, found, path):
            if "$ref" in part:
                part = schema["definitions"][part["$ref"].rsplit("/", 1)[1]]
            for key, inner in part.get("properties", {}).items():
                if key == "global" or path.endswith("resources"):
                    continue
                self.assertIn(key, found, path)
                if isinstance(found[key], dict):
                    walk(inner, found[key], f"{path}.{key}")
        walk(schema, values, "values")

    def test_every_object_of_the_schema_is_closed(self):
        open_ones = []

        def walk(part, path):
            if isinstance(part, dict):
                if part.get("type") == "object" and "properties" in part and part.get("additionalProperties") is not False:
                    open_ones.append(path)
                for key, inner in part.items():
                    walk(inner, f"{path}/{key}")
        walk(json.loads((CHART / "values.schema.json").read_text()), "")
        self.assertEqual(open_ones, [])


class Upgrade(unittest.TestCase):
    """The rendering of each version is kept: an upgrade must not change what a cluster refuses to change."""

    CHANGEABLE = {
        "StatefulSet": {"replicas", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy", "minReadySeconds", "ordinals"},
        "Deployment": {"replicas", "template", "strategy", "minReadySeconds", "progressDeadlineSeconds", "revisionHistoryLimit", "paused"},
    }

    @staticmethod
    def version():
        return yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]

    @staticmethod
    def kept(version):
        return HERE / "versions" / version / "rendered.yaml"

    @staticmethod
    def rendering(values="night", *more):
        """Without rules and dashboard, which have tests of their own."""
        off = ["--set", "monitoring.prometheusRule=false", "--set", "monitoring.dashboard=false"]
        return template(values, *off, *more)

    @classmethod
    def broken(cls, old, new):
        """What a cluster with `old` refuses about `new`."""
        found = []
        new_ones = {name(one): one for one in new}
        for one in old:
            kind, other = one["kind"], new_ones.get(name(one))
            if kind in ("StatefulSet", "Service", "Deployment") and other is None:
                found.append(f"{name(one)} is gone: what it held or answered goes with it")
            elif kind in cls.CHANGEABLE:
                for field in set(one["spec"]) | set(other["spec"]):
                    if field not in cls.CHANGEABLE[kind] and one["spec"].get(field) != other["spec"].get(field):
                        found.append(f"{name(one)}: spec.{field} cannot be changed")
            elif kind == "PriorityClass" and other and (one["value"], one["preemptionPolicy"]) != (other["value"], other["preemptionPolicy"]):
                found.append(f"{name(one)} cannot be changed")
        return found

    def earlier(self):
        found = sorted(path for path in (HERE / "versions").iterdir() if path.name != self.version())
        self.assertTrue(found)
        return found

    def test_a_change_of_what_is_rendered_counts_the_version_up(self):
        kept, rendered = self.kept(self.version()), self.rendering().stdout
        if os.environ.get("UPDATE"):
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(rendered)
            (kept.parent / "values.yaml").write_text(values_file("night").read_text())
        self.assertTrue(kept.is_file(), f"versions/{self.version()} is not kept: `UPDATE=1 make charts`")
        self.assertEqual(kept.read_text(), rendered, "the rendering differs from the one kept of this version: count up `version` in Chart.yaml, then `UPDATE=1 make charts`")

    def test_no_upgrade_changes_what_cannot_be_changed(self):
        """The values of each earlier version, in the chart of that time and in this one."""
        for path in self.earlier():
            with self.subTest(version=path.name):
                rendered = self.rendering("smallest", "--values", path / "values.yaml")
                self.assertEqual(rendered.returncode, 0, f"values that version {path.name} took are refused: {rendered.stderr}")
                self.assertEqual(self.broken(parsed((path / "rendered.yaml").read_text()), parsed(rendered.stdout)), [])

    def test_an_upgrade_takes_nothing_away(self):
        for path in self.earlier():
            with self.subTest(version=path.name):
                old = parsed((path / "rendered.yaml").read_text())
                new = parsed(self.rendering("smallest", "--values", path / "values.yaml").stdout)
                self.assertLessEqual({name(one) for one in old}, {name(one) for one in new})

    def test_the_comparison_sees_what_it_is_for(self):
        old = documents("night")
        for kind, change, word in [
            ("StatefulSet", lambda one: one["spec"]["volumeClaimTemplates"][0]["metadata"]["labels"].update(version="2"), "volumeClaimTemplates"),
            ("StatefulSet", lambda one: one["metadata"].update(name="other"), "is gone"),
            ("Deployment", lambda one: one["spec"]["selector"]["matchLabels"].update(version="2"), "selector"),
            ("PriorityClass", lambda one: one.update(value=1), "PriorityClass"),
        ]:
            new = copy.deepcopy(old)
            change(next(one for one in new if one["kind"] == kind))
            self.assertTrue(any(word in said for said in self.broken(old, new)), word)

    def test_no_immutable_part_names_a_version(self):
        for document in documents("night"):
            if document["kind"] in self.CHANGEABLE:
                fixed = {field: value for field, value in document["spec"].items() if field not in self.CHANGEABLE[document["kind"]]}
                self.assertNotIn("version", json.dumps(fixed).replace("apiVersion", ""), name(document))


class Monitoring(unittest.TestCase):
    """Rules and dashboard ask for numbers that a real coordinator and worker tell (recorded/)."""

    RULES = CHART / "files" / "alerts.yaml"
    DASHBOARD = CHART / "files" / "dashboard.json"

    @staticmethod
    def recorded():
        return "".join(path.read_text() for path in sorted((HERE / "recorded").glob("*.txt")))

    def known(self):
        return set(re.findall(r"^(nightshift_\w+?)(?:\{| )", self.recorded(), re.M))

    def expressions(self):
        rules = [rule["expr"] for group in yaml.safe_load(self.RULES.read_text())["groups"] for rule in group["rules"]]
        panels = [target["expr"] for panel in json.loads(self.DASHBOARD.read_text())["panels"] for target in panel["targets"]]
        triggers = [trigger["metadata"]["query"] for one in documents("night") if one["kind"] == "ScaledObject" for trigger in one["spec"]["triggers"]]
        return rules, panels, triggers

    def test_the_recording_is_what_prometheus_reads(self):
        self.assertIn("nightshift_commit_seconds_count", self.known())
        for path in (HERE / "recorded").glob("*.txt"):
            checked = run("promtool", "check", "metrics", input=path.read_text())
            self.assertEqual((checked.returncode, checked.stderr), (0, ""))

    def test_promtool_accepts_the_rules(self):
        checked = run("promtool", "check", "rules", self.RULES)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_each_release_misses_its_own_coordinator(self):
        for values, selector in [("night", f'{{namespace="{NAMESPACE}",service="{RELEASE}-coordinator"}}'), ("smallest", "{}")]:
            more = ["--set", "monitoring.prometheusRule=true"]
            rules = [one for one in parsed(template(values, *more).stdout) if one["kind"] == "PrometheusRule"]
            self.assertIn(f"absent(nightshift_leases{selector})", [rule["expr"] for rule in rules[0]["spec"]["groups"][0]["rules"]])
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                yaml.safe_dump(rules[0]["spec"], file)
                file.flush()
                checked = run("promtool", "check", "rules", file.name)
            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_the_rules_fire_when_they_should_and_not_otherwise(self):
        checked = run("promtool", "test", "rules", HERE / "alerts_test.yaml", cwd=HERE)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_every_rule_has_a_test(self):
        tested = {one["alertname"] for test in yaml.safe_load((HERE / "alerts_test.yaml").read_text())["tests"] for one in test["alert_rule_test"] if one.get("exp_alerts")}
        rules = {rule["alert"] for group in yaml.safe_load(self.RULES.read_text())["groups"] for rule in group["rules"]}
        self.assertEqual(tested, rules)

    def test_every_number_that_is_asked_for_is_told(self):
        for expressions in self.expressions():
            self.assertTrue(expressions)
            for expression in expressions:
                self.assertLessEqual(set(re.findall(r"nightshift_\w+", expression)), self.known(), expression)

    def test_every_word_of_a_label_is_told(self):
        """A label's value that nobody tells would make a rule that never fires."""
        told = set(re.findall(r'(\w+)="([^"]*)"', self.recorded()))
        # A state of workers is told while there is one in it: these are all.
        states = re.search(r"`get workers` shows each as (.*?)\. A worker", (ROOT / "docs" / "cli.md").read_text(), re.S)[1]
        told |= {("state", word) for word in re.findall(r"`(\w+)`", states)}
        for expression in sum(self.expressions(), []):
            for label, _, words in re.findall(r'(state|outcome|to)(=~?|!=)"([^"]*)"', expression):
                for word in words.split("|"):
                    self.assertIn((label, word), told, expression)

    def test_the_dashboards_expressions_are_expressions(self):
        _, panels, triggers = self.expressions()
        rules = [{"record": f"panel:{number}", "expr": expression.replace("$namespace", ".*")} for number, expression in enumerate(panels + triggers)]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}, file)
            file.flush()
            checked = run("promtool", "check", "rules", file.name)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_keda_hears_zero_of_an_idle_pool_and_nothing_of_a_coordinator_that_is_away(self):
        """KEDA takes no number for zero, unless it is told otherwise, and would end the pods of a coordinator that is being restarted."""
        triggers = [trigger["metadata"] for one in documents("night") if one["kind"] == "ScaledObject" for trigger in one["spec"]["triggers"]]
        spot = [trigger["query"] for trigger in triggers if 'pool="spot"' in trigger["query"]]
        self.assertEqual(len(spot), 2)
        self.assertEqual({trigger["ignoreNullValues"] for trigger in triggers}, {"false"})
        of = f'{{namespace="{NAMESPACE}",service="{RELEASE}-coordinator"'
        leases = {"series": f"nightshift_leases{of}}}", "values": "3x9"}
        work = [{"series": f'nightshift_backlog_seconds{of},pool="spot"}}', "values": "900x9"},
                {"series": f'nightshift_tasks{of},pool="spot",state="running"}}', "values": "7x9"},
                {"series": f'nightshift_backlog_seconds{of},pool="cpu"}}', "values": "5x9"}]
        other = {"series": 'nightshift_leases{namespace="other",service="night-coordinator"}', "values": "3x9"}

        def expected(query, value):
            return {"expr": query, "eval_time": "5m", "exp_samples": [] if value is None else [{"labels": "{}", "value": value}]}

        cases = [([leases, *work], (900, 7)), ([leases, work[2]], (0, 0)), ([other], (None, None))]
        tests = [{"interval": "1m", "input_series": series, "promql_expr_test": [expected(query, value) for query, value in zip(spot, values)]}
                 for series, values in cases]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump({"evaluation_interval": "1m", "tests": tests}, file)
            file.flush()
            checked = run("promtool", "test", "rules", file.name)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_every_alert_is_explained(self):
        page = (ROOT / "docs" / "kubernetes.md").read_text()
        for group in yaml.safe_load(self.RULES.read_text())["groups"]:
            for rule in group["rules"]:
                self.assertIn(f"`{rule['alert']}`", page)


if __name__ == "__main__":
    unittest.main()
