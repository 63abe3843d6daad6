"""`prefjax prepare`: a TensorFlow dataset."""

from prefjax.cli.parsers import parser


def main(argv: list[str]) -> None:
    flags = parser("prepare", "Writes the records of a source as a TensorFlow dataset of array records.")
    flags.add_argument("--source", required=True, help="\"hh(path='pairs.jsonl.gz')\", or any other source")
    flags.add_argument("--out", required=True, help="folder to write under")
    options = flags.parse_args(argv)

    from prefjax.data import load, tfds

    folder = tfds.prepare(load.stream(options.source), options.out, description=options.source)
    print(f"{folder}: read it with tfds(path={str(folder)!r})")
