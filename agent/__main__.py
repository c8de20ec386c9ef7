"""`python -m agent` and the `doorward` command."""


def main() -> None:
    """Start the command line."""


if __name__ == "__main__":
    main()
