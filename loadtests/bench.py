"""`make bench`: emoserve and its peers side by side. See `python loadtests/bench.py --help`."""

import sys

from emoserve_peers.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
