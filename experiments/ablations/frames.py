"""How many frames should a clip have?

Answer: Two to eight: 16 frames of fewer clips lose 0.4 dB, and mixed faces are read less.
"""

CONFIG = "faces64:demo"


def points():
    for frames, clips in ((2, 64), (4, 32), (8, 16), (16, 8)):  # 128 frames a step
        yield f"{frames} frames, {clips} clips", {"clips.num_frames": frames, "train.batch_size": clips}
