"""The pipelines and networks on a GPU against plain torch, on a machine that reaches no registry.

`python loadtests/gpu.py` is the way in; `loadtests/gpu.md` says more.
"""
