"""What the programs of the local node are told: their certificates, configuration files and flags.

Leaves out starting them (node.py). Configuration files are named by their content, so a changed
setting changes the command line, and a daemon with an outdated command line is replaced.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local import network, pki
from local.binaries import Binaries
from local.cgroups import NAME
from local.daemons import Daemon, File, write
from local.paths import RUN_FOLDER

NODE_NAME = "nextstack"
DOMAIN = "cluster.local"
SERVER = f"https://{network.NODE_ADDRESS}:6443"
PAUSE_IMAGE = "localhost/nextstack/pause:1"

# nginx's NodePort, where the development site is served on the node.
SITE_NODE_PORT = 30080

# Percent by which a Go program's memory may grow between two collections; Go's default is 100.
# 50 saves 65 MiB of the idle node's 720 for a little time of the processor.
GOGC = "50"

# Where CoreDNS says that it knows the cluster's names.
DNS_READY_PORT = 8181

CONTAINERD_SOCKET = RUN_FOLDER / "containerd.sock"

IDENTITIES = {
    "apiserver": pki.Identity(
        user="kube-apiserver",
        hosts=(
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            f"kubernetes.default.svc.{DOMAIN}",
            network.API_SERVICE_ADDRESS,
            network.NODE_ADDRESS,
            "127.0.0.1",
        ),
    ),
    "kubelet-server": pki.Identity(user=NODE_NAME, hosts=(NODE_NAME, network.NODE_ADDRESS)),
    "apiserver-to-kubelet": pki.Identity(user="apiserver-to-kubelet", group="system:masters"),
    "admin": pki.Identity(user="admin", group="system:masters"),
    "kubelet": pki.Identity(user=f"system:node:{NODE_NAME}", group="system:nodes"),
    "controller-manager": pki.Identity(user="system:kube-controller-manager"),
    "scheduler": pki.Identity(user="system:kube-scheduler"),
    "proxy": pki.Identity(user="system:kube-proxy"),
    "dns": pki.Identity(user="nextstack:dns"),
    "volumes": pki.Identity(user="nextstack:volumes"),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One node: where its programs are and where it keeps what."""

    binaries: Binaries
    state: Path
    """Folder of objects, volumes, certificates, logs."""
    images: Path
    """Folder of containerd's images."""
    site_port: int
    """Port of the host on which the site is served."""

    @property
    def kubeconfig(self) -> Path:
        """For people and programs, with every right."""
        return self.state / "kubeconfig"

    @property
    def keys(self) -> Path:
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    def write_identities(self) -> None:
        """Makes the folders, certificates and kubeconfigs."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.logs, self.state / "volumes", self.state / "config", RUN_FOLDER):
            folder.mkdir(exist_ok=True)
        pki.ensure(self.keys, IDENTITIES)
        for identity, details in IDENTITIES.items():
            if not details.hosts:
                text = pki.kubeconfig(self.keys, identity, SERVER)
                write(self._kubeconfig(identity), text)

    def daemons(self) -> list[Daemon]:
        """Everything that runs on the node, in the order in which it is started."""
        return [
            self._etcd(),
            self._apiserver(),
            self._containerd(),
            self._controller_manager(),
            self._scheduler(),
            self._kubelet(),
            self._proxy(),
            self._dns(),
            self._volumes(),
            self.site(),
        ]

    def site(self) -> Daemon:
        """Serves the site's NodePort on the host, where a browser looks for it."""
        target = f"TCP:{network.NODE_ADDRESS}:{SITE_NODE_PORT},nodelay"
        # socat's own backlog of 5 costs a second per connection that comes in a burst.
        options = "bind=127.0.0.1,reuseaddr,fork,backlog=1024,nodelay"
        listen = f"TCP-LISTEN:{self.site_port},{options}"
        return Daemon(name="site", command=("socat", listen, target))

    def _daemon(self, program: str, *flags: str, files: Sequence[File] = ()) -> Daemon:
        folder = self.binaries.debian / "usr/bin" if program == "containerd" else self.binaries.go
        return Daemon(
            name=program,
            command=(str(folder / program), *flags),
            network=network.NAMESPACE,
            environment={"PATH": self.binaries.search_path, "GOGC": GOGC},
            files=files,
        )

    def _kubeconfig(self, identity: str) -> Path:
        is_admin = identity == "admin"
        return self.kubeconfig if is_admin else self.state / "config" / f"{identity}.kubeconfig"

    def _file(self, name: str, text: str) -> File:
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return File(path=self.state / "config" / digest / name, text=text)

    def _json(self, name: str, value: Mapping[str, object]) -> File:
        return self._file(name, json.dumps(value, indent=2))

    def _etcd(self) -> Daemon:
        return self._daemon(
            "etcd",
            f"--data-dir={self.state / 'etcd'}",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            # A crash of the machine may cost this cluster, which can be made again.
            "--unsafe-no-fsync",
            "--log-level=warn",
        )

    def _apiserver(self) -> Daemon:
        keys = self.keys
        return self._daemon(
            "kube-apiserver",
            f"--advertise-address={network.NODE_ADDRESS}",
            "--etcd-servers=http://127.0.0.1:2379",
            f"--service-cluster-ip-range={network.SERVICE_RANGE}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--anonymous-auth=false",
            "--allow-privileged=true",
            f"--client-ca-file={keys / 'ca.crt'}",
            f"--tls-cert-file={keys / 'apiserver.crt'}",
            f"--tls-private-key-file={keys / 'apiserver.key'}",
            f"--kubelet-certificate-authority={keys / 'ca.crt'}",
            f"--kubelet-client-certificate={keys / 'apiserver-to-kubelet.crt'}",
            f"--kubelet-client-key={keys / 'apiserver-to-kubelet.key'}",
            # The node's name is in nobody's DNS: without this, logs and exec fail after a time-out.
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
            f"--service-account-key-file={keys / 'service-accounts.pub'}",
            f"--service-account-signing-key-file={keys / 'service-accounts.key'}",
        )

    def _controller_manager(self) -> Daemon:
        return self._daemon(
            "kube-controller-manager",
            f"--kubeconfig={self._kubeconfig('controller-manager')}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--use-service-account-credentials=true",
            f"--root-ca-file={self.keys / 'ca.crt'}",
            f"--service-account-private-key-file={self.keys / 'service-accounts.key'}",
            f"--flex-volume-plugin-dir={self._plugins}",
        )

    def _scheduler(self) -> Daemon:
        return self._daemon(
            "kube-scheduler",
            f"--kubeconfig={self._kubeconfig('scheduler')}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        )

    @property
    def _plugins(self) -> Path:
        """Holds nothing; the default is a folder of the host that would be made."""
        return self.state / "kubelet" / "volume-plugins"

    def _kubelet(self) -> Daemon:
        # Pods that ask for the node's DNS get the cluster's too: the node has no other.
        resolver = self._file("resolv.conf", f"nameserver {network.NODE_ADDRESS}\n")
        config = self._json("kubelet.json", self._kubelet_config(resolver.path))
        return self._daemon(
            "kubelet",
            f"--config={config.path}",
            f"--kubeconfig={self._kubeconfig('kubelet')}",
            f"--root-dir={self.state / 'kubelet'}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={network.NODE_ADDRESS}",
            files=[resolver, config],
        )

    def _kubelet_config(self, resolver: Path) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "x509": {"clientCAFile": str(self.keys / "ca.crt")},
            },
            "tlsCertFile": str(self.keys / "kubelet-server.crt"),
            "tlsPrivateKeyFile": str(self.keys / "kubelet-server.key"),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{NAME}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "clusterDomain": DOMAIN,
            "clusterDNS": [network.DNS_ADDRESS],
            "resolvConf": str(resolver),
            "podLogsDir": str(self.logs / "pods"),
            "volumePluginDir": str(self._plugins),
            # 100 % = never: images that no pod uses at the moment can't be pulled again.
            "imageGCHighThresholdPercent": 100,
            # The disk is shared with everything else of this machine.
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "nodefs.inodesFree": "1%",
                "imagefs.available": "1%",
                "imagefs.inodesFree": "1%",
            },
        }

    def _proxy(self) -> Daemon:
        config = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self._kubeconfig("proxy"))},
            "hostnameOverride": NODE_NAME,
            "mode": "iptables",
            "clusterCIDR": network.POD_RANGE,
            # The table's size is the whole machine's, so it is left as it is.
            "conntrack": {"maxPerCore": 0, "min": 0},
            "iptables": {"localhostNodePorts": False, "minSyncPeriod": "100ms"},
        }
        file = self._json("kube-proxy.json", config)
        return self._daemon("kube-proxy", f"--config={file.path}", files=[file])

    def _dns(self) -> Daemon:
        # Two blocks: in one, template would answer before kubernetes, whatever their order here.
        # Names outside the cluster don't exist, at once: the node has no way out to ask for them.
        zones = f"{DOMAIN} in-addr.arpa ip6.arpa"
        file = self._file(
            "Corefile",
            f"""{zones} {{
    errors
    bind {network.NODE_ADDRESS}
    ready {network.NODE_ADDRESS}:{DNS_READY_PORT}
    kubernetes {zones} {{
        kubeconfig {self._kubeconfig("dns")}
    }}
}}
. {{
    bind {network.NODE_ADDRESS}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
""",
        )
        return self._daemon("coredns", f"-conf={file.path}", files=[file])

    def _volumes(self) -> Daemon:
        return self._daemon(
            "volumes",
            f"-kubeconfig={self._kubeconfig('volumes')}",
            f"-root={self.state / 'volumes'}",
        )

    def _containerd(self) -> Daemon:
        network_list = self._json("10-nextstack.conflist", _pod_network())
        config = self._file("containerd.toml", self._containerd_config(network_list.path.parent))
        return self._daemon("containerd", f"--config={config.path}", files=[network_list, config])

    def _containerd_config(self, networks: Path) -> str:
        return f"""version = 2
root = "{self.images}"
state = "{RUN_FOLDER / "containerd"}"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[debug]
level = "warn"
[grpc]
address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
netns_mounts_under_state_dir = true
tolerate_missing_hugetlb_controller = true
# Without CAP_SYS_RESOURCE runc may not lower the score: "can't get final child's PID from pipe".
restrict_oom_score_adj = {str(not _may_lower_oom_score()).lower()}
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{self.binaries.debian / "usr/lib/cni"}"
conf_dir = "{networks}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{self.binaries.debian / "usr/sbin/runc"}"
SystemdCgroup = false
"""


def _pod_network() -> dict[str, object]:
    # A routed cable per pod and no bridge: traffic between pods then passes kube-proxy's rules on
    # its way back too, without the kernel module br_netfilter.
    cable = {
        "type": "ptp",
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": network.POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(RUN_FOLDER / "addresses"),
        },
    }
    return {"cniVersion": "0.4.0", "name": NAME, "plugins": [cable]}


def _may_lower_oom_score() -> bool:
    found = re.search(r"^CapEff:\s*(\w+)", Path("/proc/self/status").read_text(), re.M)
    cap_sys_resource = 24
    return found is not None and bool(int(found[1], 16) >> cap_sys_resource & 1)
