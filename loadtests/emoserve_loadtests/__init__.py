"""Load tests that a serving engineer can trust: Locust users over our client, reports, capacity.

`emoserve bench` is the way in; `loadtests/README.md` says more. Nothing here is imported by what
serves or by the client.
"""
