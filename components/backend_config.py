"""Where a stack keeps its data: which backend holds the database, and which the cache.

Leaves out how each of them is set up; backends.py makes what is chosen here.
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


@dataclass(frozen=True, kw_only=True)
class BackendConfig:
    database: DatabaseBackend
    cache: CacheBackend

    @property
    def uses_aws(self) -> bool:
        return self.database is DatabaseBackend.RDS or self.cache is CacheBackend.ELASTICACHE
