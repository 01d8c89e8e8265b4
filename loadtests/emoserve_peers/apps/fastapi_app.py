"""FastAPI: the strongest form (raw body, answered in the event loop) and the usual one.

The environment says which work and which form; uvicorn starts it.
https://fastapi.tiangolo.com/deployment/server-workers/, https://fastapi.tiangolo.com/async/
"""

import os

from fastapi import FastAPI, Request, Response, UploadFile

from emoserve_peers.work import work_of_environment

work = work_of_environment()
app = FastAPI()


async def in_the_loop(request: Request) -> Response:
    """Answer at once: one request computes per worker, nothing changes threads."""
    return Response(work([await request.body()])[0], media_type="application/json")


def in_the_pool(request: UploadFile) -> Response:
    """Answer in FastAPI's thread pool, from a form: as its tutorial shows it."""
    return Response(work([request.file.read()])[0], media_type="application/json")


usual = os.environ.get("BENCH_FORM") == "usual"
app.post("/analyze")(in_the_pool if usual else in_the_loop)
