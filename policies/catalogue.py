"""All rules, and the controls of the standards that no rule implements, each with its reason.

Leaves out running them (verdicts.py).
"""

from policies import (
    aws_backup,
    aws_database,
    aws_edge,
    aws_eks,
    aws_monitoring,
    aws_network,
    aws_platform,
    aws_storage,
    data,
    network,
    pod_security,
    workloads,
)
from policies.rule import Rule

RULES: tuple[Rule, ...] = tuple(
    found
    for module in (
        pod_security,
        workloads,
        network,
        data,
        aws_database,
        aws_edge,
        aws_monitoring,
        aws_platform,
        aws_storage,
        aws_backup,
        aws_network,
        aws_eks,
    )
    for found in vars(module).values()
    if isinstance(found, Rule)
)

AURORA = "for Aurora or Multi-AZ clusters; the program makes instances"
OTHER_ENGINE = "for an engine other than PostgreSQL"
CALLER = "of the account, the network or the cluster, which the stack is given"
NO_VPN = "of joined networks, which are made elsewhere"
NAT = (
    "AWS's services are reached over TLS through the NAT gateways; awsInterfaceEndpoints adds "
    "endpoints where they pay"
)
BUCKET_ORIGIN = "for origins that are buckets; the origin is nginx"
CLASSIC_WAF = "for the WAF of before 2019"
OTHER_BALANCER = "for classic and application load balancers; nginx's is a network one"
NOT_IMPLEMENTED: dict[str, str] = {
    "FSBP CloudFront.1": BUCKET_ORIGIN,
    "FSBP CloudFront.4": "there is one origin: a second one would be another region (DT-4)",
    "FSBP CloudFront.12": BUCKET_ORIGIN,
    "FSBP CloudFront.13": BUCKET_ORIGIN,
    "FSBP CloudFront.16": "for origins that are Lambda functions; the origin is nginx",
    "FSBP WAF.1": CLASSIC_WAF,
    "FSBP WAF.2": CLASSIC_WAF,
    "FSBP WAF.3": CLASSIC_WAF,
    "FSBP WAF.4": CLASSIC_WAF,
    "FSBP WAF.6": CLASSIC_WAF,
    "FSBP WAF.7": CLASSIC_WAF,
    "FSBP WAF.8": CLASSIC_WAF,
    "FSBP ELB.1": OTHER_BALANCER,
    "FSBP ELB.2": OTHER_BALANCER,
    "FSBP ELB.4": OTHER_BALANCER,
    "FSBP ELB.5": OTHER_BALANCER,
    "FSBP ELB.6": "the cluster makes the balancer for nginx's Service, and takes it away with it; "
    "its controller knows no such setting",
    "FSBP ELB.7": OTHER_BALANCER,
    "FSBP ELB.8": OTHER_BALANCER,
    "FSBP ELB.10": OTHER_BALANCER,
    "FSBP ELB.12": OTHER_BALANCER,
    "FSBP ELB.13": "the cluster gives the balancer all of its public subnets",
    "FSBP ELB.14": OTHER_BALANCER,
    "CIS Kubernetes 5.1.7": CALLER,
    "CIS Kubernetes 5.1.9": CALLER,
    "CIS Kubernetes 5.1.10": CALLER,
    "CIS Kubernetes 5.1.11": CALLER,
    "CIS Kubernetes 5.1.12": CALLER,
    "CIS Kubernetes 5.1.13": CALLER,
    "CIS Kubernetes 5.3.1": CALLER,
    "CIS Kubernetes 5.4.1": "Next.js reads its secrets from variables; those come from a Secret",
    "CIS Kubernetes 5.4.2": "secrets are generated into the stack's encrypted state",
    "CIS Kubernetes 5.5.1": CALLER,
    "FSBP RDS.4": "of snapshots; they take the encryption of their instance (RDS.3)",
    "FSBP RDS.7": AURORA,
    "FSBP RDS.10": "PgBouncer holds connections longer than the 15 minutes of an IAM token; "
    "it logs in with SCRAM over TLS and a generated password",
    "FSBP RDS.12": AURORA,
    "FSBP RDS.14": AURORA,
    "FSBP RDS.15": AURORA,
    "FSBP RDS.16": AURORA,
    "FSBP RDS.19": AURORA,
    "FSBP RDS.22": "of DB security groups, which only EC2-Classic had",
    "FSBP RDS.23": "another port hides nothing from who can scan; the security group "
    "lets only the pool in",
    "FSBP RDS.24": AURORA,
    "FSBP RDS.27": AURORA,
    "FSBP RDS.34": AURORA,
    "FSBP RDS.35": AURORA,
    "FSBP RDS.37": AURORA,
    "FSBP RDS.40": OTHER_ENGINE,
    "FSBP RDS.41": OTHER_ENGINE,
    "FSBP RDS.42": OTHER_ENGINE,
    "FSBP RDS.43": "PgBouncer is the proxy; there is no RDS Proxy",
    "FSBP RDS.44": OTHER_ENGINE,
    "FSBP RDS.45": AURORA,
    "FSBP RDS.46": CALLER,
    "FSBP StepFunctions.1": "the one machine waits and deletes a snapshot; each execution keeps "
    "its own history for 90 days, longer than the snapshot lives",
    **{f"Security Hub CloudWatch.{number}": CALLER for number in range(1, 15)},
    "FSBP EC2.1": "of EBS snapshots, which the program does not make",
    "FSBP EC2.4": "nodes are made and removed by their group, and never stopped",
    "FSBP EC2.7": CALLER,
    "FSBP EC2.17": "pods have addresses of their node's further interfaces",
    "FSBP EC2.20": NO_VPN,
    "FSBP EC2.21": "network ACLs keep no state: NAT gateways take replies on every port from 1024 "
    "on, RDP's 3389 among them; what gets in is up to security groups (EC2.18, EC2.19)",
    "FSBP EC2.23": NO_VPN,
    "FSBP EC2.24": "EKS has no image for them",
    "FSBP EC2.51": NO_VPN,
    "FSBP EC2.171": NO_VPN,
    "FSBP EC2.172": "of the account; visitors come in through the public subnets' gateway",
    "FSBP EC2.173": "there is no Spot Fleet",
    "FSBP EC2.180": "of interfaces, which AWS makes with its own resources",
    **{f"FSBP EC2.{number}": NAT for number in (10, 55, 56, 57, 58, 60)},
    "FSBP S3.1": CALLER,
    "FSBP S3.6": "rights go to no other account: everybody is refused (S3.2)",
    "FSBP S3.9": "AWS's own log of calls (CloudTrail data events) is the account's",
    "FSBP S3.19": "there is no access point",
    "FSBP S3.24": "there is no multi-region access point",
    "FSBP S3.25": "there is no directory bucket",
    "FSBP SecretsManager.1": "secrets rotate by generation numbers, with both values valid; this "
    "is a copy of them",
    "FSBP SecretsManager.2": "nothing rotates by itself, so nothing fails to",
    "FSBP SecretsManager.3": "the copy is for emergencies: that nobody reads it is as it should be",
    "FSBP SecretsManager.4": "secrets rotate by generation numbers",
}


def implemented() -> dict[str, list[Rule]]:
    """The rules of each control that has any."""
    found: dict[str, list[Rule]] = {}
    for rule in RULES:
        for control in rule.controls:
            found.setdefault(control, []).append(rule)
    return found
