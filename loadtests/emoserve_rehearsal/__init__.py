"""The rehearsal: what Kubernetes would do with our manifests, done here with real parts.

Several real Tritons with a CPU limit each, a real Prometheus with the manifests' rules, the
autoscaler's algorithm, a rollout, a kill, an outage of the metrics, under a Locust ramp. What a
cluster alone can give is stood in for by the smallest thing that does the same: `Throttle` for the
kernel's CPU quota, a file of addresses for its name server, `Deployment` for its controller.
"""
