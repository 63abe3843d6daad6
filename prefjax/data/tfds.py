"""Records as a TensorFlow dataset of array records: prepared once from any source, then read from any place in it.

An example has the texts `prompt`, `chosen`, `rejected` and `response`, empty where the record has none or where it is
not a text, and `rest`, a JSON object of all its other fields. The order is that of the source. Neither the network nor
TensorFlow is used.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prefjax.data.files import expand
from prefjax.data.lines import clean
from prefjax.data.records import Record
from prefjax.errors import ConfigError, DataError

TEXTS = ("prompt", "chosen", "rejected", "response")
_NAME, _VERSION, _SPLIT = "records", "1.0.0", "train"
_CHUNK = 256  # records decoded at a time


def prepare(records: Iterable[Record], out: str | Path, description: str = "") -> Path:
    """Writes records under the folder `out`; returns the folder that `read` takes.

    Raises:
      ConfigError: they are there already, or tensorflow-datasets is missing.
      DataError: a record holds what JSON has no form for, or what reading the records raises.
    """
    tfds = _tfds()
    folder = Path(expand(out)).absolute() / _NAME / _VERSION
    if folder.exists():
        raise ConfigError(f"{folder} is there already: remove it, or name another folder")

    def info(self: Any) -> Any:
        features = tfds.features.FeaturesDict({name: tfds.features.Text() for name in (*TEXTS, "rest")})
        return tfds.core.DatasetInfo(builder=self, features=features, description=description, disable_shuffling=True)

    methods = {
        "VERSION": tfds.core.Version(_VERSION),
        "name": _NAME,
        "pkg_dir_path": folder.parent,  # where a builder's own files would be: it has none
        "_info": info,
        "_split_generators": lambda self, downloads: {_SPLIT: enumerate(map(_example, records))},
        "_generate_examples": lambda self: None,
    }
    with tfds.core.registered.skip_registration():
        builder = type("Records", (tfds.core.GeneratorBasedBuilder,), methods)
    with tempfile.TemporaryDirectory() as downloads:
        builder(data_dir=folder.parents[1], file_format="array_record").download_and_prepare(download_dir=downloads)
    return folder


def read(path: str | Path) -> Iterator[Record]:
    """The records that `prepare` wrote, in their order, a few in memory at a time."""
    folder = expand(path)
    if not (Path(folder) / "features.json").is_file():
        raise DataError(clean(f"{folder}: no TensorFlow dataset: no features.json in it"))
    source = _tfds().builder_from_directory(folder).as_data_source(split=_SPLIT)
    for first in range(0, len(source), _CHUNK):
        for example in source.__getitems__(range(first, min(first + _CHUNK, len(source)))):
            texts = {name: text for name in TEXTS if (text := example[name].decode())}
            yield texts | json.loads(example["rest"])


def _example(record: Record) -> dict[str, str]:
    texts = {name: record[name] if isinstance(record.get(name), str) else "" for name in TEXTS}
    rest = {name: value for name, value in record.items() if not texts.get(name)}
    try:
        return texts | {"rest": json.dumps(rest, ensure_ascii=False, allow_nan=False)}
    except (TypeError, ValueError) as error:
        raise DataError(clean(f"a record's {', '.join(rest)} cannot be written as JSON: {error}")) from None


def _tfds() -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        raise ConfigError("this needs tensorflow-datasets: pip install 'prefjax[tfds]'") from None
    tfds.display_progress_bar(False)
    return tfds
