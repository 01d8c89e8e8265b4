"""On a GPU: see `python loadtests/gpu.py --help` and loadtests/gpu.md."""

import sys

from emoserve_gpu.command import main

if __name__ == "__main__":
    sys.exit(main())
