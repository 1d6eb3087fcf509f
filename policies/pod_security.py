"""Kubernetes' Pod Security Standard "restricted": one rule for each of its controls.

Leaves out what the standard does not ask for (workloads.py).
"""

from collections.abc import Iterator

from policies.pods import PODS, containers, pod, security_contexts, template
from policies.rule import Context, Resource, Severity, rule

SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
VOLUME_TYPES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SELINUX_TYPES = {
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
}
SECCOMP_TYPES = {"RuntimeDefault", "Localhost"}
APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


@rule(
    Severity.CRITICAL,
    "Pod Security restricted: HostProcess",
    "CIS Kubernetes 5.2.11",
    types=PODS,
    fix="remove windowsOptions.hostProcess",
)
def host_process(resource: Resource, context: Context) -> Iterator[str]:
    for path, security in security_contexts(resource):
        if security.get("windowsOptions", {}).get("hostProcess", False) is not False:
            yield f"{path}.windowsOptions.hostProcess gives a container the whole node"


@rule(
    Severity.CRITICAL,
    "Pod Security restricted: Host Namespaces",
    "CIS Kubernetes 5.2.3",
    "CIS Kubernetes 5.2.4",
    "CIS Kubernetes 5.2.5",
    types=PODS,
    fix="remove hostNetwork, hostPID and hostIPC",
)
def host_namespaces(resource: Resource, context: Context) -> Iterator[str]:
    path, spec = pod(resource)
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key, False) is not False:
            yield f"{path}.{key} shares a namespace of the node"


@rule(
    Severity.CRITICAL,
    "Pod Security restricted: Privileged Containers",
    "CIS Kubernetes 5.2.2",
    types=PODS,
    fix="remove privileged",
)
def privileged(resource: Resource, context: Context) -> Iterator[str]:
    for path, container in containers(resource):
        if container.get("securityContext", {}).get("privileged", False) is not False:
            yield f"{path}.securityContext.privileged is as good as root on the node"


@rule(
    Severity.HIGH,
    "Pod Security restricted: Capabilities (dropped)",
    "CIS Kubernetes 5.2.8",
    "CIS Kubernetes 5.2.10",
    types=PODS,
    fix='set securityContext.capabilities.drop to ["ALL"], as components/pod.py does',
)
def capabilities_dropped(resource: Resource, context: Context) -> Iterator[str]:
    for path, container in containers(resource):
        capabilities = container.get("securityContext", {}).get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []):
            yield f"{path} keeps capabilities"


@rule(
    Severity.HIGH,
    "Pod Security restricted: Capabilities (added)",
    "CIS Kubernetes 5.2.9",
    types=PODS,
    fix="add no capability but NET_BIND_SERVICE; listen above port 1024 instead",
)
def capabilities_added(resource: Resource, context: Context) -> Iterator[str]:
    for path, container in containers(resource):
        capabilities = container.get("securityContext", {}).get("capabilities", {})
        for name in sorted({*capabilities.get("add", [])} - {"NET_BIND_SERVICE"}):
            yield f"{path} adds the capability {name}"


@rule(
    Severity.CRITICAL,
    "Pod Security restricted: HostPath Volumes",
    "CIS Kubernetes 5.2.12",
    types=PODS,
    fix="use an emptyDir or a PersistentVolumeClaim",
)
def host_path_volumes(resource: Resource, context: Context) -> Iterator[str]:
    path, spec = pod(resource)
    for index, volume in enumerate(spec.get("volumes", [])):
        if "hostPath" in volume:
            yield f"{path}.volumes[{index}] mounts a folder of the node"


@rule(
    Severity.HIGH,
    "Pod Security restricted: Host Ports",
    "CIS Kubernetes 5.2.13",
    types=PODS,
    fix="remove hostPort and reach the pod through a Service",
)
def host_ports(resource: Resource, context: Context) -> Iterator[str]:
    for path, container in containers(resource):
        for index, port in enumerate(container.get("ports", [])):
            if port.get("hostPort", 0) != 0:
                yield f"{path}.ports[{index}] opens port {port['hostPort']} of the node"


@rule(
    Severity.MEDIUM,
    "Pod Security restricted: Host Probes and Lifecycle Hooks",
    types=PODS,
    fix="remove host: a probe asks its own pod",
)
def probe_hosts(resource: Resource, context: Context) -> Iterator[str]:
    for path, container in containers(resource):
        hooks = {
            **{key: container.get(key, {}) for key in ("livenessProbe", "readinessProbe")},
            "startupProbe": container.get("startupProbe", {}),
            **{f"lifecycle.{k}": v for k, v in container.get("lifecycle", {}).items()},
        }
        for name, hook in hooks.items():
            for action in ("httpGet", "tcpSocket"):
                if hook.get(action, {}).get("host", ""):
                    yield f"{path}.{name}.{action}.host lets the node connect elsewhere"


@rule(
    Severity.HIGH,
    "Pod Security restricted: AppArmor",
    types=PODS,
    fix="remove the profile or set its type to RuntimeDefault or Localhost",
)
def apparmor(resource: Resource, context: Context) -> Iterator[str]:
    for path, security in security_contexts(resource):
        kind = security.get("appArmorProfile", {}).get("type", "RuntimeDefault")
        if kind not in ("RuntimeDefault", "Localhost"):
            yield f"{path}.appArmorProfile.type is {kind}"
    path, found = template(resource)
    for key, value in found.get("metadata", {}).get("annotations", {}).items():
        allowed = value in ("", "runtime/default") or value.startswith("localhost/")
        if key.startswith(APPARMOR_ANNOTATION) and not allowed:
            yield f"{path}metadata.annotations[{key}] is {value}"


@rule(
    Severity.HIGH,
    "Pod Security restricted: SELinux",
    types=PODS,
    fix="remove seLinuxOptions, or set only a container type",
)
def selinux(resource: Resource, context: Context) -> Iterator[str]:
    for path, security in security_contexts(resource):
        options = security.get("seLinuxOptions", {})
        if options.get("type", "") not in SELINUX_TYPES:
            yield f"{path}.seLinuxOptions.type is {options['type']}"
        for key in ("user", "role"):
            if options.get(key, ""):
                yield f"{path}.seLinuxOptions.{key} is {options[key]}"


@rule(
    Severity.HIGH,
    "Pod Security restricted: /proc Mount Type",
    types=PODS,
    fix="remove procMount",
)
def proc_mount(resource: Resource, context: Context) -> Iterator[str]:
    for path, container in containers(resource):
        if container.get("securityContext", {}).get("procMount", "Default") != "Default":
            yield f"{path}.securityContext.procMount unmasks /proc"


@rule(
    Severity.HIGH,
    "Pod Security restricted: Seccomp",
    "CIS Kubernetes 5.7.2",
    types=PODS,
    fix="set securityContext.seccompProfile.type to RuntimeDefault, as components/pod.py does",
)
def seccomp(resource: Resource, context: Context) -> Iterator[str]:
    (path, whole), *parts = security_contexts(resource)
    default = whole.get("seccompProfile", {}).get("type")
    if default is not None and default not in SECCOMP_TYPES:
        yield f"{path}.seccompProfile.type is {default}"
    for path, security in parts:
        kind = security.get("seccompProfile", {}).get("type", default)
        if kind not in SECCOMP_TYPES and (kind is None or kind != default):
            yield f"{path}.seccompProfile.type is {kind or 'not set'}"


@rule(
    Severity.HIGH,
    "Pod Security restricted: Sysctls",
    types=PODS,
    fix="remove the sysctl, or use one that the standard calls safe",
)
def sysctls(resource: Resource, context: Context) -> Iterator[str]:
    path, spec = pod(resource)
    for sysctl in spec.get("securityContext", {}).get("sysctls", []):
        if sysctl.get("name") not in SAFE_SYSCTLS:
            yield f"{path}.securityContext.sysctls sets {sysctl.get('name')}"


@rule(
    Severity.HIGH,
    "Pod Security restricted: Volume Types",
    types=PODS,
    fix=f"use one of {', '.join(sorted(VOLUME_TYPES))}",
)
def volume_types(resource: Resource, context: Context) -> Iterator[str]:
    path, spec = pod(resource)
    for index, volume in enumerate(spec.get("volumes", [])):
        for kind in sorted(volume.keys() - VOLUME_TYPES - {"name"}):
            yield f"{path}.volumes[{index}] is of type {kind}"


@rule(
    Severity.HIGH,
    "Pod Security restricted: Privilege Escalation",
    "CIS Kubernetes 5.2.6",
    types=PODS,
    fix="set securityContext.allowPrivilegeEscalation to false, as components/pod.py does",
)
def privilege_escalation(resource: Resource, context: Context) -> Iterator[str]:
    for path, container in containers(resource):
        security = container.get("securityContext", {})
        if security.get("allowPrivilegeEscalation") is not False:
            yield f"{path} may gain more rights than it starts with"


@rule(
    Severity.HIGH,
    "Pod Security restricted: Running as Non-root",
    "CIS Kubernetes 5.2.7",
    types=PODS,
    fix="set securityContext.runAsNonRoot to true, as components/pod.py does",
)
def non_root(resource: Resource, context: Context) -> Iterator[str]:
    (_, whole), *parts = security_contexts(resource)
    for path, security in parts:
        if security.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True:
            yield f"{path}.runAsNonRoot: root is not refused"


@rule(
    Severity.HIGH,
    "Pod Security restricted: Running as Non-root user",
    "CIS Kubernetes 5.2.7",
    types=PODS,
    fix="set securityContext.runAsUser to a number above 0, or leave it out",
)
def non_root_user(resource: Resource, context: Context) -> Iterator[str]:
    for path, security in security_contexts(resource):
        if security.get("runAsUser") == 0:
            yield f"{path}.runAsUser is root"
