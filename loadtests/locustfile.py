r"""Load tests of the pipelines, for Locust: headless, distributed, or on its web page.

    locust -f loadtests/locustfile.py --host grpc://127.0.0.1:8001            then open its page
    locust -f loadtests/locustfile.py Face --headless --levels 1,8,32         callers, in steps
    locust -f loadtests/locustfile.py Text --headless --loop open --shape ramp --levels 5,100 \
        --stage-seconds 120 --processes 2                                     arrivals, two workers

`emoserve bench run` does the same and starts a server where no --host is given.
"""

from emoserve_loadtests.users import Emotion, Face, Levels, Mix, Speech, Tensors, Text, Video

__all__ = ["Emotion", "Face", "Levels", "Mix", "Speech", "Tensors", "Text", "Video"]
