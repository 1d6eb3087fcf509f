"""What is left when the stack has gone: nothing."""

import pytest
from conftest import Machine, Stack, nextstack

from local.paths import state_folder


def test_down_leaves_nothing_behind(stack: Stack) -> None:
    """PL-8: no process, mount, network namespace, interface or route, and no data of the node."""
    if stack.before is None:
        pytest.skip("the stack was up before the tests, and stays up")
    nextstack("down")
    after = Machine.now()
    assert after.mounts - stack.before.mounts == set()
    assert after.namespaces - stack.before.namespaces == set()
    assert after.links - stack.before.links == set()
    assert after.routes - stack.before.routes == set()
    assert after.processes - stack.before.processes == set()
    assert not (state_folder() / "cluster").exists()
