"""Where a stack runs and keeps its data: which backend holds the database, the cache, the pods.

Leaves out how each of them is set up; backends.py and cluster.py make what is chosen here.
"""

from dataclasses import dataclass
from enum import StrEnum


class DatabaseBackend(StrEnum):
    CLUSTER = "cluster"
    RDS = "rds"
    EXTERNAL = "external"


class CacheBackend(StrEnum):
    CLUSTER = "cluster"
    ELASTICACHE = "elasticache"
    EXTERNAL = "external"


class ClusterSource(StrEnum):
    KUBECONFIG = "kubeconfig"
    EKS = "eks"


class NetworkSource(StrEnum):
    EXISTING = "existing"
    CREATED = "created"


@dataclass(frozen=True, kw_only=True)
class BackendConfig:
    database: DatabaseBackend
    cache: CacheBackend
    cluster_source: ClusterSource
    aws_network: NetworkSource

    @property
    def servers_on_aws(self) -> bool:
        """Whether AWS runs the database or the cache."""
        return self.database is DatabaseBackend.RDS or self.cache is CacheBackend.ELASTICACHE

    @property
    def runs_on_eks(self) -> bool:
        return self.cluster_source is ClusterSource.EKS

    @property
    def uses_aws(self) -> bool:
        created = self.aws_network is NetworkSource.CREATED
        return self.servers_on_aws or self.runs_on_eks or created
