"""`python -m alpharl` is `alpharl`."""

from alpharl.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
