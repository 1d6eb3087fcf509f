"""The rules as a policy pack: translates what the engine sends into what the rules read.

Leaves out which values are secret, which the engine does not tell: generated ones are recognised,
once they exist, by comparison.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import pulumi
from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from policies.catalogue import RULES
from policies.rule import UNKNOWN, Context, Resource, Rule
from policies.verdicts import problems
from policies.waivers import waivers

GENERATED = {
    "random:index/randomPassword:RandomPassword": "result",
    "random:index/randomBytes:RandomBytes": "base64",
}

asked: dict[str, Resource] = {}
"""What the program asks for, by URN. At the end the engine sends outputs instead, to which the
cluster has added its defaults."""


def known(get: Callable[[], Any]) -> Any:
    """A value without the package's wrapping; a word for what only `up` finds out."""
    try:
        value = get()
    except UnknownValueError:
        return UNKNOWN
    if isinstance(value, float) and value.is_integer():
        return int(value)  # the wire knows only floats
    if isinstance(value, Mapping):
        return {key: known(lambda k=key: value[k]) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [known(lambda i=index: value[i]) for index in range(len(value))]
    return value


def translated(given: ResourceValidationArgs | PolicyResource, needs: Sequence[str]) -> Resource:
    inputs = known(lambda: given.props)
    metadata = inputs.get("metadata", {}) if given.resource_type.startswith("kubernetes:") else {}
    return Resource(
        type=given.resource_type,
        name=given.name,
        urn=given.urn,
        parent=given.opts.parent or "",
        protect=given.opts.protect,
        depends_on=tuple(needs),
        inputs=inputs,
        object_name=metadata.get("name", ""),
    )


def context(
    resources: tuple[Resource, ...] = (), generated: frozenset[str] = frozenset()
) -> Context:
    config = pulumi.Config("nextstack")
    return Context(
        stage=config.require("stage"),
        protect_data=config.require_bool("protectData"),
        resources=resources,
        generated=generated,
    )


def report(rule: Rule, resource: Resource, context: Context, say: ReportViolation) -> None:
    for problem in problems(rule, resource, context):
        waived = [w for w in waivers() if w.covers(rule.id, pulumi.get_stack(), resource.name)]
        if not any(not waiver.expired(date.today()) for waiver in waived):
            say(f"{problem}; {rule.fix}", resource.urn)


def one(rule: Rule) -> ResourceValidationPolicy:
    """A rule that judges a resource before it is made."""

    def validate(args: ResourceValidationArgs, say: ReportViolation) -> None:
        asked[args.urn] = translated(args, ())
        report(rule, asked[args.urn], context(), say)

    return ResourceValidationPolicy(validate=validate, **described(rule))


def across(rule: Rule) -> StackValidationPolicy:
    """A rule that needs the whole stack."""

    def validate(args: StackValidationArgs, say: ReportViolation) -> None:
        resources = tuple(requested(resource) for resource in args.resources)
        whole = context(resources, generated(args.resources))
        for resource in resources:
            report(rule, resource, whole, say)

    return StackValidationPolicy(validate=validate, **described(rule))


def generated(resources: Sequence[PolicyResource]) -> frozenset[str]:
    """The values of generated secrets; none in the first preview, when there are none yet."""
    found = (
        translated(resource, ()).inputs.get(GENERATED[resource.resource_type])
        for resource in resources
        if resource.resource_type in GENERATED
    )
    return frozenset(value for value in found if value and value != UNKNOWN)


def requested(resource: PolicyResource) -> Resource:
    needs = [dependency.urn for dependency in resource.dependencies]
    found = translated(resource, needs)
    if resource.urn not in asked:
        return found
    first = asked[resource.urn]
    return Resource(**{**vars(first), "depends_on": found.depends_on})


def described(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.id,
        "description": f"{rule.id.replace('-', ' ')} ({', '.join(rule.controls) or 'own rule'})",
        "severity": Severity(rule.severity),
        "remediation_steps": rule.fix,
    }


def unexpired(args: StackValidationArgs, say: ReportViolation) -> None:
    for waiver in waivers():
        if waiver.expired(date.today()):
            say(f"the waiver of {waiver.rule} ended on {waiver.expires}; renew or remove it")


PolicyPack(
    name="nextstack",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[
        *(across(rule) if rule.across else one(rule) for rule in RULES),
        StackValidationPolicy(
            name="waivers-have-not-ended",
            description="every waiver is still in force",
            validate=unexpired,
        ),
    ],
)
