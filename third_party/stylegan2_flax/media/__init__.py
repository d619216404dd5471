"""Reading and writing of images and videos. Images in memory are float32 [..., h, w, c] in [-1, 1], in files uint8.

Functions that write files accept uint8 images too, which need a quarter of the memory.
"""

from stylegan2_flax.media.errors import UnreadableImageError, UnreadableVideoError
from stylegan2_flax.media.images import (
    load_image,
    load_pillow,
    png_bytes,
    save_image,
)
from stylegan2_flax.media.output import (
    CLIP_SUFFIXES,
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    check_clip,
    check_output,
    described,
    require_suffix,
)
from stylegan2_flax.media.pixels import from_rgb, from_uint8, image_grid, resize, to_rgb, to_uint8
from stylegan2_flax.media.reading import Frames, find_photos, read_frames, read_photo
from stylegan2_flax.media.video import VideoWriter, open_video, save_video

__all__ = [
    "CLIP_SUFFIXES",
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Frames",
    "UnreadableImageError",
    "UnreadableVideoError",
    "VideoWriter",
    "check_clip",
    "check_output",
    "described",
    "find_photos",
    "from_rgb",
    "from_uint8",
    "image_grid",
    "load_image",
    "load_pillow",
    "open_video",
    "png_bytes",
    "read_frames",
    "read_photo",
    "require_suffix",
    "resize",
    "save_image",
    "save_video",
    "to_rgb",
    "to_uint8",
]
