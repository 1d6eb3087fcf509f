"""The nextstack program: reads the configuration, wires the components, exports the contract."""

import pulumi
import pulumi_kubernetes as k8s

from components.backups import ClusterBackups, ClusterBackupsArgs
from components.environment import Environment, EnvironmentArgs
from components.generated_secrets import GeneratedSecrets
from components.namespace import Namespace, NamespaceArgs
from components.nginx import Nginx, NginxArgs
from components.outputs import Backends, computed_variables, stack_outputs
from components.ownership import label_everything
from components.pgbouncer import PgBouncer, PgBouncerArgs
from components.postgres import ClusterPostgres, ClusterPostgresArgs
from components.redis import RedisReplicaSet, RedisReplicaSetArgs
from components.stack import StackConfig
from components.stack_config import load_stack
from components.web import WebApp, WebAppArgs

config = load_stack(StackConfig)
site = config.site
label_everything(site.labels)

# Without an identifier any kubeconfig change replaces every resource (pulumi-kubernetes#4019).
cluster = k8s.Provider(
    "cluster", context=site.kube_context or None, cluster_identifier=site.cluster_identifier
)
plain = pulumi.ResourceOptions(provider=cluster)
stateful = pulumi.ResourceOptions(provider=cluster, protect=site.protect_data)

secrets = GeneratedSecrets("secrets", config.secrets)
namespace = Namespace("namespace", NamespaceArgs(name=site.namespace), stateful).name
