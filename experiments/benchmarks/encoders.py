"""Speed of the published encoders, compared with PyTorch.

    python experiments/benchmarks/encoders.py --peer=peer/bin/python

`--peer` is the Python of an environment with PyTorch: python -m venv peer && peer/bin/pip install torch numpy. The peer
makes e4e's encoder of 256 px with random weights and writes its checkpoint; ours is read from that file and must give
the same latents. Then calls of both alternate. Results are in README.md.
"""

import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from peer import Peer

from disentangle_jax.inversion import load_encoder
from stylegan2_flax import command

FLAGS = flags.FlagValues()
PEER = flags.DEFINE_string("peer", None, "the Python of an environment with PyTorch", required=True, flag_values=FLAGS)
BATCH = flags.DEFINE_integer("batch", 4, "images in a batch", 1, flag_values=FLAGS)
RESOLUTION = flags.DEFINE_integer("resolution", 1024, "pixels of the generator's images", 4, flag_values=FLAGS)
ROUNDS = flags.DEFINE_integer("rounds", 7, "timed calls of each", 1, flag_values=FLAGS)

_PROGRAM = Path(__file__).with_name("torch_encoder_worker.py")
_SIZE = 256


def main() -> None:
    n = BATCH.value
    images = jnp.linspace(-1.0, 1.0, n * 3 * _SIZE**2).reshape(n, 3, _SIZE, _SIZE).transpose(0, 2, 3, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.pt"
        with closing(Peer(PEER.value, _PROGRAM, path, n, RESOLUTION.value, needs="PyTorch")) as peer:
            encoder, theirs = load_encoder(path), np.load(f"{path}.npy")
            error = np.abs(np.asarray(encoder(images)) - theirs).max() / np.abs(theirs).max()
            print(f"largest difference of the latents: {error:.1e} of the largest value")
            if error > 1e-4:
                raise FloatingPointError("the latents are not PyTorch's: there is nothing to compare")
            seconds, of_peer = [], []
            for _ in range(ROUNDS.value):
                began = time.perf_counter()
                jax.block_until_ready(encoder(images))
                seconds.append(time.perf_counter() - began)
                of_peer.append(peer.run())
    ratios = sorted(ours / theirs for ours, theirs in zip(seconds, of_peer, strict=True))
    print(f"{'batch':>5} {'ours':>8} {'PyTorch':>8} images/s (fastest)   ratio of seconds: median (least, most)")
    print(
        f"{n:5} {n / min(seconds):8.2f} {n / min(of_peer):8.2f}{'':21}"
        f"{median(ratios):.2f} ({ratios[0]:.2f}, {ratios[-1]:.2f})"
    )


if __name__ == "__main__":
    command.run(main, FLAGS)
