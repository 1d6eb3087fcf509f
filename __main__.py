"""The nextstack program: reads the configuration, wires the components, exports the contract."""

import pulumi

from components.aws.edge import make_edge
from components.aws.network import make_network
from components.aws.regions import make_regions
from components.aws.services import make_ci_access, make_services
from components.backends import make_backends
from components.cluster import make_cluster
from components.environment import Environment, EnvironmentArgs
from components.generated_secrets import GeneratedSecrets
from components.namespace import Namespace
from components.outputs import computed_variables, stack_outputs
from components.ownership import label_everything
from components.site import make_site
from components.stack import StackConfig
from components.stack_config import load_stack

config = load_stack(StackConfig)
site = config.site
label_everything(site.labels)

regions = make_regions(config)
make_ci_access(config, regions)
cluster = make_cluster(config, regions, make_network(config, regions))
plain = pulumi.ResourceOptions(provider=cluster.provider)
stateful = pulumi.ResourceOptions(provider=cluster.provider, protect=site.protect_data)

secrets = GeneratedSecrets("secrets", config.secrets)
namespace = Namespace("namespace", config.in_namespace, stateful).name
backends = make_backends(config, secrets, namespace, plain, stateful, regions, cluster.network)
environment = Environment(
    "environment",
    EnvironmentArgs(
        config=config.environment,
        namespace=namespace,
        computed=computed_variables(config, backends),
    ),
    plain,
)
edge = make_edge(config, regions)
entrance = make_site(config, backends, environment, namespace, plain, edge)

services = make_services(config, regions, backends.ready, environment.runtime_env, edge, entrance)
for name, value in stack_outputs(config, backends, environment, services).items():
    pulumi.export(name, value)
