"""`python -m zenlib.cli`."""

from zenlib.cli.app import main

main()
