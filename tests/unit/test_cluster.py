"""The local cluster as far as it can be checked without starting it."""

import datetime
import ipaddress
import json
import os
import re
import shutil
import socket
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from local import binaries, cgroups, machine, network, node, pki
from local.binaries import Binaries
from local.cluster import ADDONS, ClusterLike, LocalCluster
from local.daemons import Daemon
from local.kind import KindCluster
from local.progress import step
from local.settings import IDENTITIES, Settings
from offline.recorder import stack_settings


def daemon(name: str, *, state: str = "/state", site_port: int = 3000) -> Daemon:
    programs = Binaries(go=Path("/programs"), debian=Path("/debian"))
    settings = Settings(
        binaries=programs, state=Path(state), images=Path("/images"), site_port=site_port
    )
    return next(found for found in settings.daemons() if found.name == name)


def config(name: str, suffix: str) -> str:
    return next(file.text for file in daemon(name).files if file.path.name.endswith(suffix))


def addons() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(ADDONS.read_text()))


def addon(kind: str) -> dict[str, Any]:
    return next(found for found in addons() if found["kind"] == kind)


# Settings


def test_images_that_no_pod_uses_are_kept() -> None:
    kubelet = json.loads(config("kubelet", "kubelet.json"))
    assert kubelet["imageGCHighThresholdPercent"] == 100


def test_pods_and_daemons_share_one_cgroup_root() -> None:
    kubelet = json.loads(config("kubelet", "kubelet.json"))
    assert kubelet["cgroupRoot"] == "/nextstack"
    assert kubelet["cgroupDriver"] == "cgroupfs"


def test_logs_and_exec_reach_the_kubelet_by_address() -> None:
    assert "--kubelet-preferred-address-types=InternalIP" in daemon("kube-apiserver").command


def test_containerd_keeps_away_from_another_containerd() -> None:
    containerd = tomllib.loads(config("containerd", ".toml"))
    folders = (containerd["root"], containerd["state"], containerd["grpc"]["address"])
    assert folders == ("/images", "/run/nextstack/containerd", "/run/nextstack/containerd.sock")


def test_capability_decides_about_the_oom_score(monkeypatch: pytest.MonkeyPatch) -> None:
    def limited(capabilities: str) -> bool:
        def status(_: Path) -> str:
            return f"CapEff:\t{capabilities}\n"

        monkeypatch.setattr(Path, "read_text", status)
        plugins = tomllib.loads(config("containerd", ".toml"))["plugins"]
        return plugins["io.containerd.grpc.v1.cri"]["restrict_oom_score_adj"]

    assert limited("000001fffeffffff")
    assert not limited("000001ffffffffff")


def test_dns_serves_the_cluster_apart_from_everything_else() -> None:
    corefile = config("coredns", "Corefile")
    cluster, _, rest = corefile.partition("\n. {")
    assert "kubernetes cluster.local" in cluster
    assert "template" not in cluster
    assert "rcode NXDOMAIN" in rest


def test_a_changed_setting_changes_the_command_line() -> None:
    assert daemon("kubelet").command != daemon("kubelet", state="/elsewhere").command
    assert daemon("site").command != daemon("site", site_port=3001).command
    assert daemon("kubelet").command == daemon("kubelet").command


def test_every_configuration_file_is_in_the_command_line_or_in_another_file() -> None:
    for name in ("containerd", "coredns", "kube-proxy", "kubelet"):
        found = daemon(name)
        told = " ".join([*found.command, *(file.text for file in found.files)])
        assert found.files
        for file in found.files:
            assert str(file.path) in told or str(file.path.parent) in told


def test_only_the_site_runs_in_the_network_of_the_host() -> None:
    settings = Settings(
        binaries=Binaries(go=Path("/g"), debian=Path("/d")),
        state=Path("/state"),
        images=Path("/images"),
        site_port=3000,
    )
    outside = [found.name for found in settings.daemons() if found.network is None]
    assert outside == ["site"]


# Addresses and addons


def test_ranges_are_apart_and_inside_the_routed_block() -> None:
    link = ipaddress.ip_network(f"{network.NODE_ADDRESS}/{network.LINK_BITS}", strict=False)
    ranges = [link, *map(ipaddress.ip_network, (network.POD_RANGE, network.SERVICE_RANGE))]
    for index, one in enumerate(ranges):
        assert ipaddress.IPv4Network(str(one)).subnet_of(network.BLOCK)
        assert not any(one.overlaps(other) for other in ranges[index + 1 :])
    assert ipaddress.ip_address(network.HOST_ADDRESS) in link


def test_dns_service_leads_to_the_node() -> None:
    assert addon("Service")["spec"]["clusterIP"] == network.DNS_ADDRESS
    assert addon("EndpointSlice")["endpoints"][0]["addresses"] == [network.NODE_ADDRESS]


def test_default_storage_class_is_provided_by_the_program() -> None:
    source = (binaries.MODULE / "volumes/main.go").read_text()
    found = re.search(r'provisionerName = "(.+)"', source)
    assert found is not None
    storage = addon("StorageClass")
    assert storage["provisioner"] == found[1]
    assert storage["volumeBindingMode"] == "WaitForFirstConsumer"
    assert storage["reclaimPolicy"] == "Delete"


def test_addons_give_rights_to_users_that_have_certificates() -> None:
    bindings = [found for found in addons() if found["kind"] == "ClusterRoleBinding"]
    users = {subject["name"] for binding in bindings for subject in binding["subjects"]}
    assert users <= {identity.user for identity in IDENTITIES.values()}
    assert len(users) == 2


# Certificates


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state") / "pki"
    pki.ensure(folder, IDENTITIES)
    return folder


def load(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_servers_are_trusted_under_the_names_they_are_called(keys: Path) -> None:
    policy = PolicyBuilder().store(Store([load(keys / "ca.crt")]))
    for host in ("10.213.0.2", "10.213.128.1"):
        verifier = policy.build_server_verifier(x509.IPAddress(ipaddress.ip_address(host)))
        assert verifier.verify(load(keys / "apiserver.crt"), [])


def test_clients_are_signed_and_carry_user_and_group(keys: Path) -> None:
    load(keys / "kubelet.crt").verify_directly_issued_by(load(keys / "ca.crt"))
    subject = load(keys / "kubelet.crt").subject.rfc4514_string()
    assert subject == "CN=system:node:nextstack,O=system:nodes"


def test_certificates_outlive_the_cluster(keys: Path) -> None:
    years = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=9 * 365)
    assert all(load(file).not_valid_after_utc > years for file in keys.glob("*.crt"))


def test_keys_are_for_their_owner_only(keys: Path) -> None:
    modes = {stat.S_IMODE(file.stat().st_mode) for file in keys.glob("*.key")}
    assert modes == {0o600}


def test_certificates_are_made_once(tmp_path: Path) -> None:
    pki.ensure(tmp_path / "pki", IDENTITIES)
    first = (tmp_path / "pki/ca.crt").read_bytes()
    pki.ensure(tmp_path / "pki", IDENTITIES)
    assert (tmp_path / "pki/ca.crt").read_bytes() == first


def test_certificates_cut_off_in_the_middle_are_made_again(tmp_path: Path) -> None:
    (tmp_path / "pki.partial").mkdir()
    (tmp_path / "pki.partial/ca.crt").write_text("half")
    pki.ensure(tmp_path / "pki", IDENTITIES)
    assert load(tmp_path / "pki/ca.crt")
    assert not (tmp_path / "pki.partial").exists()


def test_kubeconfig_is_complete_in_itself(keys: Path) -> None:
    written = json.loads(pki.kubeconfig(keys, "admin", "https://node:6443"))
    assert written["clusters"][0]["cluster"]["server"] == "https://node:6443"
    assert set(written["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
    assert written["current-context"] == written["contexts"][0]["name"]


# Programs


def test_all_modules_of_kubernetes_are_of_one_release() -> None:
    minor_and_patch = binaries.kubernetes_version().removeprefix("v1.")
    replaced = re.findall(r"=> k8s\.io/\S+ (\S+)", (binaries.MODULE / "go.mod").read_text())
    assert set(replaced) == {f"v0.{minor_and_patch}"}


def test_programs_are_built_anew_when_their_sources_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = binaries.binaries_here()
    shutil.copytree(binaries.MODULE, tmp_path / "go")
    monkeypatch.setattr(binaries, "MODULE", tmp_path / "go")
    assert binaries.binaries_here() == before
    with (tmp_path / "go/go.sum").open("a") as sums:
        sums.write("\n")
    assert binaries.binaries_here() != before


def test_what_was_cut_off_is_thrown_away_and_what_is_complete_stays(tmp_path: Path) -> None:
    target = tmp_path / "programs"
    (tmp_path / "programs.partial").mkdir()
    (tmp_path / "programs.partial/half").touch()

    def fails(folder: Path) -> None:
        (folder / "kubelet").touch()
        raise RuntimeError("no network")

    with pytest.raises(RuntimeError, match="no network"):
        binaries.once(target, fails)
    assert not target.exists()
    binaries.once(target, lambda folder: (folder / "kubelet").touch())
    binaries.once(target, fails)
    assert [file.name for file in target.iterdir()] == ["kubelet"]


# The machine


@pytest.mark.parametrize(
    ("system", "user"), [("Darwin", 0), ("Linux", 1000)], ids=["other system", "other user"]
)
def test_an_unfit_machine_is_refused(
    monkeypatch: pytest.MonkeyPatch, system: str, user: int
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(RuntimeError, match=f"got {system} as user {user}, it needs Linux as root"):
        LocalCluster().start()


def test_a_taken_port_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RuntimeError, match=f"port is taken: got {port}"):
            machine.refuse_taken_port(port)
    machine.refuse_taken_port(port)


@pytest.mark.parametrize(
    ("mounts", "folders"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", ["/sys/fs/cgroup"]),
        (
            "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
            "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
            "cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n"
            "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
            ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified"],
        ),
    ],
    ids=["v2", "v1"],
)
def test_both_versions_of_cgroups_are_found(
    monkeypatch: pytest.MonkeyPatch, mounts: str, folders: list[str]
) -> None:
    def read_text(_: Path) -> str:
        return mounts

    monkeypatch.setattr(Path, "read_text", read_text)
    assert [str(folder) for folder in cgroups.hierarchies()] == folders
    daemons = "/sys/fs/cgroup/pids" if len(folders) > 1 else "/sys/fs/cgroup"
    assert str(cgroups.daemons_folder()) == f"{daemons}/nextstack/daemons"


def test_a_space_in_a_mount_point_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_text(_: Path) -> str:
        return "36 35 98:0 / /mnt/my\\040disk rw - ext4 /dev/vda rw\n"

    monkeypatch.setattr(Path, "read_text", read_text)
    assert machine.mounts() == [Path("/mnt/my disk")]


# The node


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        ("True", "2026-01-01T00:00:10Z", True),
        ("True", "2026-01-01T00:00:11Z", True),
        ("True", "2026-01-01T00:00:09Z", False),
        ("False", "2026-01-01T00:00:11Z", False),
    ],
)
def test_only_the_present_kubelet_is_believed(status: str, said: str, expected: bool) -> None:
    started = datetime.datetime(2026, 1, 1, 0, 0, 10, 700_000, tzinfo=datetime.UTC).timestamp()
    ready = {"type": "Ready", "status": status, "lastHeartbeatTime": said}
    answer = json.dumps({"status": {"conditions": [{"type": "PIDPressure"}, ready]}}).encode()
    assert node.says_ready(answer, started) is expected


def test_a_node_that_has_said_nothing_is_not_ready() -> None:
    assert not node.says_ready(b"{}", 0)


def test_a_process_that_ends_while_it_is_measured_takes_no_memory() -> None:
    assert node.resident_mib(os.getpid()) > 0
    assert node.resident_mib(2**22 + 1) == 0  # above the highest possible id


def test_a_daemon_that_keeps_ending_is_named_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ensure(_: Daemon, logs: Path) -> bool:
        with (logs / "etcd.log").open("a") as log:
            log.write("address in use\n")
        return True

    monkeypatch.setattr(Daemon, "ensure", ensure)
    (tmp_path / "logs").mkdir()
    settings = Settings(
        binaries=binaries.binaries_here(), state=tmp_path, images=tmp_path, site_port=3000
    )
    etcd = Daemon(name="etcd", command=("etcd",))
    with pytest.raises(RuntimeError, match=r"etcd keeps ending while .*:\naddress in use"):
        node.wait(settings, [etcd], "the API server", lambda: False)


# kind


@pytest.fixture
def kind_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for kind that notes how it is called; $FOUND is the cluster it lists."""
    calls = tmp_path / "calls"
    program = tmp_path / "kind"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n[ "$1" != get ] || echo "$FOUND"\n[ "$1" != load ]\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return calls


@pytest.mark.parametrize(
    ("found", "call"),
    [
        ("", "create cluster --name nextstack --kubeconfig {0} --config {0}.kind --wait 120s"),
        ("nextstack", "export kubeconfig --name nextstack --kubeconfig {0}"),
        (
            "nextstack2",
            "create cluster --name nextstack --kubeconfig {0} --config {0}.kind --wait 120s",
        ),
    ],
)
def test_kind_cluster_is_created_once(
    kind_calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str, call: str
) -> None:
    monkeypatch.setenv("FOUND", found)
    kubeconfig = tmp_path / "state/kubeconfig"
    assert KindCluster(kubeconfig=kubeconfig).start() == kubeconfig
    assert kind_calls.read_text().splitlines() == ["get clusters", call.format(kubeconfig)]


def test_the_site_in_kind_is_served_where_a_browser_looks_for_it(
    kind_calls: Path, tmp_path: Path
) -> None:
    KindCluster(kubeconfig=tmp_path / "kubeconfig").start()
    [node] = json.loads((tmp_path / "kubeconfig.kind").read_text())["nodes"]
    [site] = node["extraPortMappings"]
    assert (site["listenAddress"], site["hostPort"]) == ("127.0.0.1", 3000)
    dev = stack_settings("dev")
    assert site["containerPort"] == int(dev["nextstack:nginxNodePort"])
    assert dev["nextstack:domain"] == f"localhost:{site['hostPort']}"
    assert kind_calls.exists()


def test_kind_cluster_is_deleted(kind_calls: Path) -> None:
    KindCluster(kubeconfig=Path("/k")).stop()
    assert kind_calls.read_text() == "delete cluster --name nextstack --kubeconfig /k\n"


def test_a_failure_of_kind_names_the_command(kind_calls: Path) -> None:
    with pytest.raises(RuntimeError, match="kind load image-archive /archive --name nextstack"):
        KindCluster(kubeconfig=Path("/k")).load_image(Path("/archive"))
    assert kind_calls.exists()


def test_both_clusters_take_images() -> None:
    clusters: list[ClusterLike] = [LocalCluster(), KindCluster(kubeconfig=Path("/k"))]
    assert [cluster.kubeconfig.name for cluster in clusters] == ["kubeconfig", "k"]


# Progress


def test_a_step_leaves_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with step("copy [a]", total=2) as progress:
        progress.advance()
        progress.update(completed=2, detail="b")
    assert re.fullmatch(r"copy \[a\] \.\.\. \d\.\d s\n", capsys.readouterr().err)


def test_a_failed_step_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="cause"), step("copy"):
        raise ValueError("cause")
    assert capsys.readouterr().err.startswith("copy ... failed after ")
