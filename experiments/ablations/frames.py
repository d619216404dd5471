"""How many frames should a clip have?

Answer: Few: more frames of fewer clips win a little structure and lose appearance.
"""

CONFIG = "faces64:demo"


def points():
    for frames, clips in ((2, 64), (4, 32), (8, 16), (16, 8)):  # 128 frames a step
        yield f"{frames} frames, {clips} clips", {"clips.num_frames": frames, "train.batch_size": clips}
