"""`python -m recurra` is the command line."""

from .cli import main

main()
