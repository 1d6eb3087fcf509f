"""The environment contract written for its readers: an example, a JSON Schema, a typed module.

Leaves out values, which only a stack has (env.py).
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from commands.deploy import setting
from components.contract import ANY, BOOLEAN, TABLE, Rule, Source, Variable

SCHEMA = "https://json-schema.org/draft/2020-12/schema"
TYPESCRIPT = """\
/**
 * The environment contract, typed: what the image build and the pods get from the platform.
 * Made by: ./nextstack env --format typescript. Leaves out reading and reporting, see config.ts.
 */
import { z } from "zod";

const flag = z.enum(["true", "false"]).transform((text) => text === "true");
const whole = (least: number, most: number) =>
  z
    .string()
    .regex(/^\\d+$/, "must be a whole number")
    .transform(Number)
    .pipe(z.number().min(least).max(most));
const text = (pattern: RegExp, allowed: string) => z.string().regex(pattern, `must be ${allowed}`);
"""


def example(table: Iterable[Variable]) -> str:
    """The contract as a dotenv file without values (EN-2)."""
    head = "# What the platform gives to the application. Made by: ./nextstack env --example\n"
    return head + "".join(_described(variable) for variable in table)


def _described(variable: Variable) -> str:
    words = [variable.source.value, *(["secret"] if variable.credential else [])]
    words += ["also for the image build"] if variable.build else []
    words += [] if variable.required else ["optional"]
    return (
        f"\n# {variable.about} ({', '.join(words)})\n"
        f"# allowed: {variable.rule.allowed}\n"
        f"{variable.name}=\n"
    )


def contract_of(stack_name: str) -> list[Variable]:
    """The contract as one application has it: under its own names, with variables of its own."""
    names, plain, hidden = (
        json.loads(setting(stack_name, key)) for key in ("envNames", "extraEnv", "extraSecretEnv")
    )
    renamed = [
        replace(variable, name=names.get(variable.name, variable.name)) for variable in TABLE
    ]
    return [
        *renamed,
        *(_own(name, Source.PLAIN) for name in plain),
        *(_own(name, Source.SECRET) for name in hidden),
    ]


def _own(name: str, source: Source) -> Variable:
    return Variable(name=name, source=source, about="The application's own", rule=ANY)


def json_schema(table: Iterable[Variable]) -> str:
    """JSON Schema of both sets of variables, whose values are all text."""
    variables = list(table)
    parts = {
        "runtimeEnv": _object(variables, "What the pods run with."),
        "buildEnv": _object([v for v in variables if v.build], "What the image is built with."),
    }
    document: dict[str, Any] = {
        "$schema": SCHEMA,
        "title": "Environment contract of nextstack",
        "$comment": "Made by: ./nextstack env --format schema",
        "$ref": "#/$defs/runtimeEnv",
        "$defs": parts,
    }
    return json.dumps(document, indent=2) + "\n"


def _object(variables: list[Variable], about: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": about,
        "properties": {variable.name: _property(variable) for variable in variables},
        "required": [v.name for v in variables if v.required and v.default is None],
    }


def _property(variable: Variable) -> dict[str, Any]:
    about = f"{variable.about}; allowed: {variable.rule.allowed}"
    default = {} if variable.default is None else {"default": variable.default}
    secret = {"writeOnly": True} if variable.secret else {}
    return {"type": "string", "description": about, **variable.rule.schema, **default, **secret}


def typescript(table: Iterable[Variable]) -> str:
    """A module with a zod schema of each set; whole numbers and flags get their own types."""
    variables = list(table)
    build = [variable for variable in variables if variable.build]
    return (
        TYPESCRIPT
        + _zod_object("runtimeEnvironment", variables, "What the pods run with.")
        + _zod_object("buildEnvironment", build, "What the image is built with.")
        + "\nexport type RuntimeEnvironment = z.infer<typeof runtimeEnvironment>;\n"
        + "export type BuildEnvironment = z.infer<typeof buildEnvironment>;\n"
    )


def _zod_object(name: str, variables: list[Variable], about: str) -> str:
    entries = "".join(
        f"  /** {variable.about}. */\n  {variable.name}: {_zod(variable)},\n"
        for variable in variables
    )
    return f"\n/** {about} */\nexport const {name} = z.object({{\n{entries}}});\n"


def _zod(variable: Variable) -> str:
    optional = "" if variable.required else ".optional()"
    return f"{_type(variable.rule)}{_default(variable)}{optional}"


def _type(rule: Rule) -> str:
    if rule is BOOLEAN:
        return "flag"
    if rule.bounds:
        return f"whole({rule.bounds[0]}, {rule.bounds[1]})"
    if choices := rule.schema.get("enum"):
        return f"z.enum({json.dumps(choices)})"
    if pattern := rule.schema.get("pattern"):
        # A slash would end the expression.
        expression = str(pattern).replace("/", "\\/")
        return f"text(/{expression}/, {json.dumps(rule.allowed)})"
    return "z.string().min(1)"


def _default(variable: Variable) -> str:
    if variable.default is None:
        return ""
    typed = variable.rule is BOOLEAN or variable.rule.bounds
    return f".default({variable.default if typed else json.dumps(variable.default)})"
