"""emoserve and its peers side by side: the benchmark behind `make bench`."""
