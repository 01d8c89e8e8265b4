"""The classes that Triton's Python backend loads: each `1/model.py` imports one of them.

A step is `decode -> predict -> encode`; only the outer two know Triton.
Importable only inside Triton's Python backend. Each module is imported by itself: a process of
`face` would carry 4 MB of the others' code, and start 60 ms later.
"""
