"""The way to deploy with the Pulumi CLI, through its Automation API.

Leaves the committed stack file as it is: a dev stack's copy with the overrides of the last run lies
in the state folder. Protected stacks take no overrides here; their file is all there is.
"""

import json
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pulumi import automation
from pulumi.automation import EngineEvent, OpType

from commands import pulumi_repair
from local.paths import state_folder
from local.progress import Step, console, step
from offline.direct.apply import Change
from offline.direct.stack import Result
from offline.recorder import PROJECT, ROOT, stack_settings

PREFIX = f"{PROJECT['name']}:"
COLOUR = re.compile(r"<\{%.*?%\}>")
CHANGES = {
    OpType.CREATE: Change.CREATED,
    OpType.UPDATE: Change.CHANGED,
    OpType.REPLACE: Change.REPLACED,
    OpType.DELETE: Change.DELETED,
    OpType.SAME: Change.UNCHANGED,
}


def find_pulumi() -> Path | None:
    """The CLI on PATH, or where the official installer puts it."""
    installed = Path.home() / ".pulumi/bin/pulumi"
    found = shutil.which("pulumi") or (installed if installed.is_file() else None)
    return Path(found) if found else None


@dataclass(frozen=True, kw_only=True)
class PulumiEngine:
    stack_name: str
    program: Path
    """The CLI."""
    kubeconfig: Path | None
    """What the Kubernetes provider uses; by default its own choice."""

    @property
    def title(self) -> str:
        return f"Pulumi ({self.program})"

    def up(self, overrides: Mapping[str, str]) -> Result:
        file = self.config_file(overrides)
        with _plain_errors(), step(f"pulumi up {self.stack_name}") as shown:
            stack = self._unlocked()
            killed = self._is_own and pulumi_repair.has_unfinished(stack)
            if killed:
                console.print("the last run was killed; what it was creating is taken over")
                workspace = stack.workspace
                workspace.env_vars = {**workspace.env_vars, **pulumi_repair.TAKE_OVER}
            # Asking for the history's secrets would write a salt into the committed stack file.
            done = stack.up(config_file=file, on_event=_Progress(shown), show_secrets=False)
            if killed:
                pulumi_repair.forget_unfinished(stack)
        changes = done.summary.resource_changes or {}
        counts = Counter({CHANGES[op]: n for op, n in changes.items() if op in CHANGES})
        return self._result(counts, done.outputs)

    def write(self, values: Mapping[str, str]) -> None:
        """Sets keys in the committed file of a protected stack, which is all it runs by.

        The CLI can't set an empty list; the key's default is one.
        """
        workspace = self._workspace()
        with _plain_errors():
            for key, value in values.items():
                if value == "[]":
                    workspace.remove_config(self.stack_name, f"{PREFIX}{key}")
                else:
                    wanted = automation.ConfigValue(value)
                    workspace.set_config(self.stack_name, f"{PREFIX}{key}", wanted)

    def down(self) -> int:
        with _plain_errors(), step(f"pulumi destroy {self.stack_name}") as shown:
            stack = self._unlocked()
            done = stack.destroy(
                config_file=self.config_file({}), on_event=_Progress(shown), show_secrets=False
            )
            stack.workspace.remove_stack(self.stack_name, preserve_config=True)
        self._copy.unlink(missing_ok=True)
        return (done.summary.resource_changes or {}).get(OpType.DELETE, 0)

    def forget(self) -> None:
        """Drops the state of a stack whose cluster goes as a whole."""
        workspace = self._workspace()
        with _plain_errors():
            if self._exists(workspace):
                workspace.remove_stack(self.stack_name, force=True, preserve_config=True)
        self._copy.unlink(missing_ok=True)

    def last(self) -> Result | None:
        """What the last complete run left."""
        workspace = self._workspace()
        with _plain_errors():
            if not self._exists(workspace):
                return None
            outputs = workspace.stack_outputs(self.stack_name)
        return self._result(Counter(), outputs) if outputs else None

    def _result(
        self, changes: Counter[Change], outputs: Mapping[str, automation.OutputValue]
    ) -> Result:
        return Result(
            changes=changes,
            outputs={key: output.value for key, output in outputs.items()},
            secret_outputs=sorted(key for key, output in outputs.items() if output.secret),
            overrides=self._overrides(),
        )

    @property
    def _is_own(self) -> bool:
        """Whether state, passphrase and overrides of the stack are ours to keep."""
        return stack_settings(self.stack_name)[f"{PROJECT['name']}:protectData"] == "false"

    @property
    def _folder(self) -> Path:
        return state_folder() / "pulumi"

    @property
    def _copy(self) -> Path:
        return self._folder / f"Pulumi.{self.stack_name}.yaml"

    def _environment(self) -> dict[str, str]:
        """Where a dev stack's user has chosen no backend and passphrase, both are files here."""
        environment = {"PULUMI_SKIP_UPDATE_CHECK": "true"}
        if self.kubeconfig is not None:
            environment["KUBECONFIG"] = str(self.kubeconfig)
        if not self._is_own:
            return environment
        if "PULUMI_BACKEND_URL" not in os.environ:
            (self._folder / "backend").mkdir(parents=True, exist_ok=True)
            environment["PULUMI_BACKEND_URL"] = (self._folder / "backend").as_uri()
        if not os.environ.keys() & {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"}:
            file = self._folder / "passphrase"
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch(mode=0o600)
                file.write_text(secrets.token_urlsafe())
            environment["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(file)
        return environment

    def _workspace(self) -> automation.LocalWorkspace:
        return automation.LocalWorkspace(
            work_dir=str(ROOT),
            env_vars=self._environment(),
            pulumi_command=automation.PulumiCommand(root=str(self.program.parent.parent)),
        )

    def _stack(self) -> automation.Stack:
        workspace = self._workspace()
        if not self._is_own or self._exists(workspace):
            return automation.Stack.select(self.stack_name, workspace)
        committed = ROOT / self._copy.name
        before = committed.read_bytes()
        try:
            return automation.Stack.create(self.stack_name, workspace)
        finally:
            committed.write_bytes(before)  # it has written a salt

    def _unlocked(self) -> automation.Stack:
        """The stack, without the lock of a run that was killed on this machine."""
        stack = self._stack()
        backend = self._environment() | dict(os.environ)
        if self._is_own and pulumi_repair.has_dead_lock(
            backend.get("PULUMI_BACKEND_URL", ""), PROJECT["name"], self.stack_name
        ):
            stack.cancel()
        return stack

    def _exists(self, workspace: automation.LocalWorkspace) -> bool:
        return self.stack_name in {stack.name for stack in workspace.list_stacks()}

    def _overrides(self) -> dict[str, str]:
        """Keys of the copy that the committed file does not have."""
        if not self._copy.exists():
            return {}
        committed, used = _read(ROOT / self._copy.name), _read(self._copy)
        return {
            key.removeprefix(PREFIX): value if isinstance(value, str) else json.dumps(value)
            for key, value in used["config"].items()
            if committed["config"].get(key) != value
        }

    def config_file(self, overrides: Mapping[str, str]) -> str | None:
        """A copy of the stack file, because the CLI writes a salt into the one that it uses."""
        if not self._is_own:
            return None
        settings = _read(ROOT / self._copy.name)
        settings["config"] |= {f"{PREFIX}{k}": _typed(k, v) for k, v in overrides.items()}
        if self._copy.exists():
            settings = _read(self._copy) | settings
        self._copy.parent.mkdir(parents=True, exist_ok=True)
        self._copy.write_text(yaml.safe_dump(settings))
        return str(self._copy)


@contextmanager
def _plain_errors() -> Generator[None]:
    """The CLI's complaint without the frame that the Automation API puts around it."""
    try:
        yield
    except automation.CommandError as error:
        raise RuntimeError(str(error).rpartition("stderr:")[2].strip()) from error


class _Progress:
    """Shows which resources the engine is at; keeps what it complains about."""

    def __init__(self, shown: Step) -> None:
        self._shown, self._open = shown, dict[str, str]()

    def __call__(self, event: EngineEvent) -> None:
        if event.resource_pre_event and event.resource_pre_event.metadata.op != OpType.SAME:
            metadata = event.resource_pre_event.metadata
            self._open[metadata.urn] = f"{metadata.op.value} {metadata.urn.rsplit('::', 1)[1]}"
        for ended in (event.res_outputs_event, event.res_op_failed_event):
            if ended:
                self._open.pop(ended.metadata.urn, None)
        if event.diagnostic_event and event.diagnostic_event.severity == "error":
            console.print(plain_text(event.diagnostic_event.message), markup=False)
        self._shown.update(detail=", ".join(list(self._open.values())[:3]))


def _typed(key: str, value: str) -> Any:
    """The value as the key's type asks for it: the engine refuses a list that is a text."""
    is_text = PROJECT["config"][key]["type"] == "string"
    return value if is_text else json.loads(value)


def plain_text(message: str) -> str:
    """The engine's message without its colour tags."""
    return COLOUR.sub("", message).strip()


def _read(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text())
