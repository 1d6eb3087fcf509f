"""A good release, one that errs once it serves, and one that never does, under load."""

from typing import Any

import pytest
from conftest import Stack, drill

RELEASES = ("good", "errors", "not-ready")


@pytest.fixture(scope="module")
def figures(stack: Stack) -> dict[str, dict[str, Any]]:
    assert stack
    faults = [f"--fault={fault}" for fault in RELEASES]
    found = measured(*faults)
    # A machine that gives a pod no processor for seconds fails requests of good releases too
    # (docs/benchmarks.md); what fails twice is the release.
    return found if all(failed(found, release) == 0 for release in RELEASES) else measured(*faults)


def measured(*faults: str) -> dict[str, dict[str, Any]]:
    return {figure["name"]: figure for figure in drill("release", *faults)["figures"]}


def failed(figures: dict[str, dict[str, Any]], release: str) -> int:
    """Requests that failed though the release was not made to fail them."""
    return figures[f"{release}: failed that it was not made to fail"]["max"]


@pytest.mark.parametrize("release", RELEASES)
def test_no_request_fails_that_the_release_was_not_made_to_fail(
    figures: dict[str, dict[str, Any]], release: str
) -> None:
    """S-13, RB-4, DE-2: writes all the time, pages until the bad release serves them and after."""
    assert figures[f"{release}: requests"]["max"] > 200
    assert failed(figures, release) == 0


def test_a_release_that_errs_is_found_and_taken_back(figures: dict[str, dict[str, Any]]) -> None:
    """RB-1, RB-9, RO-1; that it took the good one back, and ran no migration, the drill checks."""
    assert figures["errors: failed as it was made to"]["max"] > 0
    assert figures["errors: recovered after the alarm"]["max"] < 300
    assert figures["errors: whole rollback"]["max"] < 300
    found, back = (figures[f"errors: {n}"]["max"] for n in ("found after", "whole rollback"))
    print(f"\nbad release: found after {found} s, rolled back and tested in {back} s")
