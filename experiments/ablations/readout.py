"""How good must the latent readout be that moves the clips?

A model learns no more than its clips show, and these are moved by what a small network has learnt of a scorer's
readings.

Answer: As good as there is time for. 2,048 faces cost 0.15 of structure; that half of the faces are posed by a first
readout gives 0.01 and 0.6 dB; with 32,768 faces and a network twice as wide, which take four times as long to learn,
the demo's 2,000 steps come as far as the full run.
"""

CONFIG = "faces64:demo"


def points():
    yield "2,048 faces", {"readout.num_samples": 2048}
    yield "6,144 faces", {}
    yield "6,144 faces, none of them posed", {"readout.posed": 0.0}
    full = {"readout.num_samples": 32768, "readout.hidden": 256, "readout.batch_size": 1024}
    yield "32,768 faces, 256 units, batches of 1,024", full
