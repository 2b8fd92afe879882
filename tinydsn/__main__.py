"""``python -m tinydsn``: the command line without its script."""

from tinydsn.cli import main

if __name__ == "__main__":
    main()
