"""`python -m chapkit` is the command `chapkit`."""

from chapkit.cli.main import main

if __name__ == "__main__":
    main(prog_name="chapkit")
