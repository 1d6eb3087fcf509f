"""What a killed run of the engine leaves in a dev stack's state: a lock, and unfinished creations.

Leaves out backends that are not a folder: nobody here knows whether their lock's owner lives.
"""

import json
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from pulumi import automation

# The provider then takes over what exists under the name of what it is to create, whatever the
# killed run made of it; without these it says "already exists" at every further run.
TAKE_OVER = {
    "PULUMI_K8S_UPSERT_EXISTING_OBJECTS": "true",
    "PULUMI_K8S_ENABLE_PATCH_FORCE": "true",
}


def has_dead_lock(backend_url: str, project: str, stack_name: str) -> bool:
    """Whether the stack is locked, and only by processes of this machine that are gone."""
    url = urlparse(backend_url)
    if url.scheme != "file":
        return False
    backend = Path(unquote(url.path).replace("~", str(Path.home()), 1))
    folder = backend / ".pulumi/locks/organization" / project / stack_name
    locks = [json.loads(file.read_text()) for file in folder.glob("*.json")]
    return bool(locks) and all(_is_gone(lock) for lock in locks)


def _is_gone(lock: dict[str, Any]) -> bool:
    if lock["hostname"] != socket.gethostname():
        return False
    try:
        os.kill(lock["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def has_unfinished(stack: automation.Stack) -> bool:
    """Whether the outcome of a creation is unknown."""
    return bool(_deployment(stack).get("pending_operations"))


def forget_unfinished(stack: automation.Stack) -> None:
    """Clears what a complete run has taken over."""
    deployment = {k: v for k, v in _deployment(stack).items() if k != "pending_operations"}
    stack.import_stack(automation.Deployment(version=3, deployment=deployment))


def _deployment(stack: automation.Stack) -> dict[str, Any]:
    return dict(stack.export_stack().deployment or {})
