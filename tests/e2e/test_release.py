"""A good release, one that errs once it serves, and one that never does, under load."""

from typing import Any

import pytest
from conftest import Stack, drill


@pytest.fixture(scope="module")
def figures(stack: Stack) -> dict[str, dict[str, Any]]:
    assert stack
    faults = [f"--fault={fault}" for fault in ("good", "errors", "not-ready")]
    return {figure["name"]: figure for figure in drill("release", *faults)["figures"]}


@pytest.mark.parametrize("release", ["good", "errors", "not-ready"])
def test_no_request_fails_that_the_release_was_not_made_to_fail(
    figures: dict[str, dict[str, Any]], release: str
) -> None:
    """S-13, RB-4, DE-2: writes all the time, pages until the bad release serves them and after."""
    assert figures[f"{release}: requests"]["max"] > 200
    assert figures[f"{release}: failed that it was not made to fail"]["max"] == 0


def test_a_release_that_errs_is_found_and_taken_back(figures: dict[str, dict[str, Any]]) -> None:
    """RB-1, RB-9, RO-1; that it took the good one back, and ran no migration, the drill checks."""
    assert figures["errors: failed as it was made to"]["max"] > 0
    assert figures["errors: recovered after the alarm"]["max"] < 300
    assert figures["errors: whole rollback"]["max"] < 300
    found, back = (figures[f"errors: {n}"]["max"] for n in ("found after", "whole rollback"))
    print(f"\nbad release: found after {found} s, rolled back and tested in {back} s")
