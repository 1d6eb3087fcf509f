"""Tells the team and the status page what became of a release (AL-37).

The addresses, SLACK_WEBHOOK and STATUS_PAGE_WEBHOOK, are in the environment, never in a stack's
configuration. A message that does not get through stops nothing: it is shown here too.
"""

import os
from datetime import UTC, datetime

import urllib3
from urllib3.exceptions import HTTPError

from local.progress import console

TIMEOUT_S = 5.0


def tell(stack: str, status: str, message: str) -> None:
    """`status` is one word for programs, such as rolled-back."""
    console.print(message, markup=False, soft_wrap=True)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    bodies = {
        "SLACK_WEBHOOK": {"text": f"{stack}: {message}"},
        "STATUS_PAGE_WEBHOOK": {"stack": stack, "status": status, "message": message, "at": at},
    }
    for variable, body in bodies.items():
        if url := os.environ.get(variable):
            _post(variable, url, body)


def _post(variable: str, url: str, body: dict[str, str]) -> None:
    try:
        answer = urllib3.request("POST", url, json=body, timeout=TIMEOUT_S, retries=2)
        problem = "" if answer.status < 300 else f"answered {answer.status}"
    except HTTPError as error:
        problem = type(error).__name__  # its text would hold the URL, which is a secret
    if problem:
        console.print(f"{variable} did not take the message: {problem}")
