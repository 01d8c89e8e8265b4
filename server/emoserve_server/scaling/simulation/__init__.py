"""What a deployment would do under a load that no machine here can make: simulated.

Requests, pods, the metric's delay and the autoscaler, in the time of a discrete-event simulation
(SimPy). The autoscaler is the very algorithm of the rehearsal; pods are fitted to what the load
test measured on one.
"""

from emoserve_server.scaling.simulation._cluster import Scenario, Timing, Trace, simulate
from emoserve_server.scaling.simulation._demand import Demand, day, ramp, spike
from emoserve_server.scaling.simulation._outcome import Outcome, outcome
from emoserve_server.scaling.simulation._service import Service, fitted

__all__ = [
    "Demand",
    "Outcome",
    "Scenario",
    "Service",
    "Timing",
    "Trace",
    "day",
    "fitted",
    "outcome",
    "ramp",
    "simulate",
    "spike",
]
