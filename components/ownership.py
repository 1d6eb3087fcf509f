"""Who owns and pays for what: labels on every Kubernetes object (PL-9).

Leaves out AWS, where the provider's default tags do the same.
"""

from typing import Any, cast

import pulumi


def label_everything(labels: dict[str, str]) -> None:
    """Adds `labels` to the metadata of every Kubernetes object that the program registers."""

    def transform(
        args: pulumi.ResourceTransformationArgs,
    ) -> pulumi.ResourceTransformationResult | None:
        if not args.type_.startswith("kubernetes:"):
            return None
        component = args.name.split("-")[0]
        metadata = cast(dict[str, Any], args.props.get("metadata") or {})
        own = labels | {"app.kubernetes.io/component": component} | metadata.get("labels", {})
        return pulumi.ResourceTransformationResult(
            {**args.props, "metadata": {**metadata, "labels": own}}, args.opts
        )

    pulumi.runtime.register_stack_transformation(transform)
