"""The client's own subcommands; each module has `main(argv) -> int`."""
