"""How many replicas, and how large a pod: computed from the configs and from measurement.

`emoserve k8s target` writes the autoscaler's manifests, `emoserve k8s shm` says how large /dev/shm
must be. Nothing here talks to a cluster.
"""

from emoserve_server.scaling._autoscaler import SYNC_S, Autoscaler, Direction, Limit, Rules
from emoserve_server.scaling._capacity import Capacity, Pipeline, Point, read_capacity
from emoserve_server.scaling._configs import read_configs
from emoserve_server.scaling._manifests import targets_rule
from emoserve_server.scaling._memory import shared_memory_bytes
from emoserve_server.scaling._target import Plan, Policy, plan

__all__ = [
    "SYNC_S",
    "Autoscaler",
    "Capacity",
    "Direction",
    "Limit",
    "Pipeline",
    "Plan",
    "Point",
    "Policy",
    "Rules",
    "plan",
    "read_capacity",
    "read_configs",
    "shared_memory_bytes",
    "targets_rule",
]
