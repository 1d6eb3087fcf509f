"""A certificate that AWS issues and renews by itself, as long as its DNS records stay (DT-2).

Leaves out who serves it, and the alarm before it ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import acm, route53

VALIDATION_TTL_S = 300


@dataclass(frozen=True, kw_only=True)
class IssuedCertificateArgs:
    names: tuple[str, ...]
    """Hosts that it is for, all of one zone."""
    zone_id: pulumi.Input[str]
    proofs: Sequence[pulumi.Input[str]] = ()
    """Names of records that already prove these hosts, from a certificate of another region: they
    are the same in one account. By default it makes its own."""


class IssuedCertificate(pulumi.ComponentResource):
    arn: pulumi.Output[str]
    """Known once it is issued."""
    proofs: Sequence[pulumi.Input[str]]
    """Names of the records that prove its hosts."""

    def __init__(
        self, name: str, args: IssuedCertificateArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("nextstack:index:IssuedCertificate", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        certificate = acm.Certificate(
            name,
            domain_name=args.names[0],
            subject_alternative_names=list(args.names[1:]),
            validation_method="DNS",
            key_algorithm="EC_prime256v1",
            options={
                "certificate_transparency_logging_preference": "ENABLED",
                "export": "DISABLED",
            },
            tags={"nextstack/component": name},
            opts=child,
        )
        self.proofs = args.proofs or [
            _proof(f"{name}-{host}", host, certificate, args.zone_id, child) for host in args.names
        ]
        issued = acm.CertificateValidation(
            name,
            certificate_arn=certificate.arn,
            validation_record_fqdns=self.proofs,
            opts=child,
        )
        self.arn = issued.certificate_arn
        self.register_outputs({"arn": self.arn})


def _proof(
    name: str,
    host: str,
    certificate: acm.Certificate,
    zone_id: pulumi.Input[str],
    child: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """Name of the record that proves `host`; AWS lists them in no particular order."""
    option = certificate.domain_validation_options.apply(
        lambda options: next(o for o in options if o.domain_name == host)
    )
    record = route53.Record(
        name,
        zone_id=zone_id,
        name=option.apply(lambda o: str(o.resource_record_name)),
        type=option.apply(lambda o: str(o.resource_record_type)),
        records=[option.apply(lambda o: str(o.resource_record_value))],
        ttl=VALIDATION_TTL_S,
        allow_overwrite=False,
        opts=child,
    )
    return record.fqdn
