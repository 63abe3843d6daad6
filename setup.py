"""Package metadata. Tools are configured in pyproject.toml; constraints.txt pins the tested versions."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
(VERSION,) = re.findall(r'__version__ = "(.+)"', (HERE / "prefjax/__init__.py").read_text())

CORE = [
    "absl-py>=2.1",
    "flax>=0.12.8,<0.13; python_version < '3.12'",
    "flax>=0.12.9,<0.13; python_version >= '3.12'",
    "grain>=0.2.18,<0.3",
    "jax>=0.10.2,!=0.11.1,<0.13",  # 0.11.1 copies whole buffers for small updates inside loops
    "jinja2>=3.1",
    "ml-collections>=1.1,<2",
    "numpy>=2.1",
    "optax>=0.2.8,<0.3",
    "orbax-checkpoint>=0.12.8,<1",
    "rich>=13",
    "safetensors>=0.6",
    "scipy>=1.14",
    "tokenizers>=0.22,<0.24",
]
EXTRAS = {
    "hf": ["transformers>=5,<6"],
    "arrow": ["pyarrow>=18"],  # Parquet, and what `datasets` saves
    "tb": ["tensorboard>=2.20,<3"],
    "tfds": ["importlib-resources>=6", "tensorflow-datasets>=4.9.10,<5"],  # which forgets to ask for the former
    "wandb": ["wandb>=0.31,<0.32"],
    "sklearn": ["scikit-learn>=1.5"],  # the classifiers of configs/ppo_sentiment.py and experiments/dpo_frontier
    "plots": ["matplotlib>=3.9,<4"],
    "slurm": ["submitit>=1.5,<2"],  # sweeps as jobs of Slurm
    "ray": ["ray>=2.50,<3"],  # and as tasks of Ray
    "cuda12": ["jax[cuda12]"],
    "cuda13": ["jax[cuda13]"],
    "tpu": ["jax[tpu]"],
}
TEST = ["hypothesis>=6", "pytest>=8", "pytest-xdist>=3"]
_TORCH = ["peft>=0.21,<0.22", "torch==2.13.0"]  # what adapters and models are compared with
EXTRAS["parity"] = [*(f"{name}; python_version < '3.12'" for name in _TORCH), *EXTRAS["hf"], *TEST]
EXTRAS["dev"] = [
    "datasets>=4",
    "ipykernel>=6",
    "krippendorff>=0.8",
    "nbclient>=0.10",
    "nbformat>=5",
    "playwright>=1.50",
    "pre-commit>=4",
    "ruff>=0.12",
    "ty",
    *EXTRAS["arrow"],
    *EXTRAS["hf"],
    *EXTRAS["plots"],
    *EXTRAS["ray"],
    *EXTRAS["sklearn"],
    *EXTRAS["slurm"],
    *EXTRAS["tb"],
    *EXTRAS["tfds"],
    *EXTRAS["wandb"],
    *TEST,
]

setup(
    name="prefjax",
    version=VERSION,
    description="Preference tuning of language models in JAX, exact where it can be exact",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["prefjax", "prefjax.*"]),
    package_data={"prefjax.label": ["page.*"], "prefjax.report": ["page.*"]},
    python_requires=">=3.11",
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["prefjax = prefjax.cli:main"]},
)
