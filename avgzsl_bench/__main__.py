"""`python -m avgzsl_bench` is `avgzsl`."""

from avgzsl_bench.cli import main

if __name__ == "__main__":
    main()
