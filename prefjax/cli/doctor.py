"""`prefjax doctor`: versions, devices and a smoke step."""

from prefjax.cli.parsers import parser


def main(argv: list[str]) -> int:
    parser("doctor", "Prints versions and devices, and takes one step of training.").parse_args(argv)
    from prefjax import plan

    text, ok = plan.doctor()
    print(text)
    return 0 if ok else 1
