"""The node's network namespace and the cable to it, which leave the host's firewall untouched.

Leaves out pods: the CNI plugin connects those inside the namespace.
"""

import ipaddress
import json
import subprocess

from local.machine import mounts
from local.paths import RUN_FOLDER

# One block for everything, so that one route on the host is enough.
BLOCK = ipaddress.IPv4Network("10.213.0.0/16")
HOST_ADDRESS = "10.213.0.1"
NODE_ADDRESS = "10.213.0.2"
LINK_BITS = 30
POD_RANGE = "10.213.64.0/18"
SERVICE_RANGE = "10.213.128.0/18"
API_SERVICE_ADDRESS = "10.213.128.1"
DNS_ADDRESS = "10.213.128.10"

HOST_LINK = "nextstack0"
NODE_LINK = "eth0"
NAMESPACE = RUN_FOLDER / "net"


def ensure() -> bool:
    """Makes what is missing, and tells whether the namespace is a new one.

    Running it again repairs half of a network.
    """
    _refuse_taken_block()
    is_new = NAMESPACE not in mounts()
    if is_new:
        # The other end of an old cable is in a namespace that nobody can enter any more.
        remove()
        NAMESPACE.touch()
        _run("unshare", f"--net={NAMESPACE}", "true")
    if not _link_exists():
        _ip(f"link add {HOST_LINK} type veth peer name {NODE_LINK} netns {NAMESPACE}")
    _ip(
        f"address replace {HOST_ADDRESS}/{LINK_BITS} dev {HOST_LINK}",
        f"link set {HOST_LINK} up",
    )
    _ip(
        "link set lo up",
        f"address replace {NODE_ADDRESS}/{LINK_BITS} dev {NODE_LINK}",
        f"link set {NODE_LINK} up",
        f"route replace default via {HOST_ADDRESS}",
        inside=True,
    )
    _ip(f"route replace {BLOCK} via {NODE_ADDRESS}")
    # /proc/sys/net shows the settings of the namespace of the process that opens it.
    _run("nsenter", f"--net={NAMESPACE}", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    return is_new


def remove() -> None:
    """Removes cable, routes and namespace."""
    if _link_exists():
        _ip(f"link delete {HOST_LINK}")
    if NAMESPACE in mounts():
        _run("umount", str(NAMESPACE))
    NAMESPACE.unlink(missing_ok=True)


def _refuse_taken_block() -> None:
    for route in json.loads(_run("ip", "-json", "-4", "route", "show")):
        if route["dst"] == "default" or route.get("dev") == HOST_LINK:
            continue
        if ipaddress.IPv4Network(route["dst"]).subnet_of(BLOCK):
            raise RuntimeError(
                f"the local cluster's addresses are taken: got a route to {route['dst']} through "
                f"{route.get('dev')}, {BLOCK} must be free; remove it or use another cluster"
            )


def _link_exists() -> bool:
    links = json.loads(_run("ip", "-json", "link", "show"))
    return any(link["ifname"] == HOST_LINK for link in links)


def _ip(*lines: str, inside: bool = False) -> None:
    enter = ["nsenter", f"--net={NAMESPACE}"] if inside else []
    _run(*enter, "ip", "-batch", "-", text="\n".join(lines))


def _run(*command: str, text: str = "") -> str:
    finished = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {finished.stderr.strip() or text}")
    return finished.stdout
