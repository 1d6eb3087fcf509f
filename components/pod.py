"""What every pod of the platform has in common: unprivileged, read-only, without a token.

Leaves out what differs: images, commands, volumes and resources are each component's own.
"""

import pulumi
import pulumi_kubernetes as k8s

CONTAINER_SECURITY: k8s.core.v1.SecurityContextArgsDict = {
    "allow_privilege_escalation": False,
    "capabilities": {"drop": ["ALL"]},
    "read_only_root_filesystem": True,
}
"""Each container's `security_context`; the pod's part is in `unprivileged`."""


def labels(component: str, instance: str) -> dict[str, str]:
    """The labels that select one component's pods; part of immutable selectors."""
    return {"app.kubernetes.io/name": component, "app.kubernetes.io/instance": instance}


def unprivileged(
    uid: int, gid: int, spec: k8s.core.v1.PodSpecArgsDict
) -> k8s.core.v1.PodSpecArgsDict:
    """`spec` with all that Pod Security "restricted" asks of a pod, and no way to the API.

    Volumes are owned by `gid`. Only their top folder is checked, because a recursive chmod would
    add group-write to PostgreSQL's data, which it then refuses to open.
    """
    return {
        **spec,
        "automount_service_account_token": False,
        "enable_service_links": False,
        "security_context": {
            "run_as_non_root": True,
            "run_as_user": uid,
            "run_as_group": gid,
            "fs_group": gid,
            "fs_group_change_policy": "OnRootMismatch",
            "seccomp_profile": {"type": "RuntimeDefault"},
        },
    }


def spread(selector: dict[str, str]) -> list[k8s.core.v1.TopologySpreadConstraintArgsDict]:
    """Over nodes and zones, each build on its own, so that a roll-out does not end lopsided."""
    return [
        {
            "topology_key": key,
            "max_skew": 1,
            # A single node, as in development, is no reason not to run.
            "when_unsatisfiable": "ScheduleAnyway",
            "label_selector": {"match_labels": selector},
            "match_label_keys": ["pod-template-hash"],
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]


def private_volume(name: str, secret: pulumi.Input[str]) -> k8s.core.v1.VolumeArgsDict:
    """A Secret's files, readable by the pod's user and group only."""
    return {"name": name, "secret": {"secret_name": secret, "default_mode": 0o440}}
