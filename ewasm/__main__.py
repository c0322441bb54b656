"""`python -m ewasm`: the command line."""

from node.cli import main

main()
