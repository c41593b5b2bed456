"""``python -m sequentia`` is the ``sequentia`` command."""

from .cli import main

if __name__ == "__main__":
    main()
