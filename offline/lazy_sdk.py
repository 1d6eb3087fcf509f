"""Imports of the providers' SDKs that load only what a program uses of them, and that faster.

A package of an SDK imports all of its modules, some hundreds, and all of them evaluate annotations
that only type checkers read. Leaves out everything that runs with an engine: there the SDKs are
loaded as they are.
"""

import __future__

import importlib
import re
import sys
from collections.abc import Sequence
from functools import cached_property
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

SDKS = ("pulumi_aws", "pulumi_kubernetes")

# Compiled modules are kept beside Python's own; to be changed with what `_without_types` does.
CACHE_SUFFIX = ".opt-untyped1.pyc"

OTHER_LINE = r"#.*|import builtins as _builtins|from \.+ import _utilities|import typing"
STAR = r"from \.(?!helm )(\w+) import \*"  # written by hand, it does not list what is public
# What a package that only gathers its modules consists of.
GATHERS = re.compile(rf"(?:(?:{OTHER_LINE}|{STAR}|from \. import outputs)?\n)*")
STARS = re.compile(rf"^{STAR}$", re.MULTILINE)
PUBLIC = re.compile(rb"^__all__ = \[(.*?)\]", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"'(\w+)'")
TYPED_DICT = re.compile(rb"^(class \w+\(TypedDict\):\n)((?:[ ].*\n|\n)+)", re.MULTILINE)


class Package(ModuleType):
    """Imports the module that defines a name when the name is asked for."""

    @cached_property
    def _definers(self) -> dict[str, str]:
        """The module of each public name; of several, the last counts, as for Python."""
        folder = Path(self.__path__[0])
        found: dict[str, str] = {}
        for module in STARS.findall((folder / "__init__.py").read_text()):
            names = PUBLIC.search((folder / f"{module}.py").read_bytes())
            if not names:
                raise ImportError(f"{self.__name__}.{module} does not say what is public")
            found |= dict.fromkeys(NAME.findall(names[1].decode()), module)
        return found

    def __getattr__(self, name: str) -> Any:
        if name == "outputs":
            return importlib.import_module(f"{self.__name__}.outputs")
        if name.startswith("__") or name not in self._definers:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"{self.__name__}.{self._definers[name]}")
        value = getattr(module, name)
        super().__setattr__(name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # Python binds an imported module in its package; a class of the same name goes before it.
        if not (isinstance(value, ModuleType) and name in self._definers):
            super().__setattr__(name, value)


class Loader(SourceFileLoader):
    """Loads a module of an SDK without its types, and a package without its modules."""

    def exec_module(self, module: ModuleType) -> None:
        if self.is_package(module.__name__) and GATHERS.fullmatch(Path(self.path).read_text()):
            module.__class__ = Package
        else:
            super().exec_module(module)

    def source_to_code(self, data: Any, path: Any, **_: Any) -> CodeType:
        return _without_types(data, path)

    def get_data(self, path: str) -> bytes:
        return super().get_data(_cached(path))

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        super().set_data(_cached(path), data, _mode=_mode)


class Finder:
    """Finds the modules of the SDKs where Python does."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] not in SDKS:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


def _without_types(source: bytes, path: str) -> CodeType:
    """The code without docstrings; annotations are evaluated where the SDK asks for them.

    Dictionaries keep their name and lose their keys, which nothing reads at run time.
    """
    source = TYPED_DICT.sub(_emptied, source)
    flags = __future__.annotations.compiler_flag
    return compile(source, path, "exec", flags, dont_inherit=True, optimize=2)


def _emptied(found: re.Match[bytes]) -> bytes:
    """As many lines as before: errors name the lines of the file."""
    return found[1] + b"    pass" + b"\n" * found[2].count(b"\n")


def _cached(path: str) -> str:
    return path.removesuffix(".pyc") + CACHE_SUFFIX if path.endswith(".pyc") else path


def install() -> None:
    """Takes effect for the modules that are imported from now on."""
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)
