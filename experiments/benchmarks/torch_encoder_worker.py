"""The peer of encoders.py, run by the Python of an environment with PyTorch: FILE BATCH RESOLUTION.

It writes a checkpoint of e4e's kind with random weights to FILE and the latents of ramps that it encodes to
FILE.npy, prints a line, then for each line that comes in the seconds of one call. The network is made of PyTorch's own
modules, under the published names.
"""

import argparse
import sys
import time

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

STAGES = (64, 64, 3), (64, 128, 4), (128, 256, 14), (256, 512, 3)
"""Channels in, channels out and units of each stage of IR-SE-50, whose first unit halves the picture."""


class Squeeze(nn.Module):
    def __init__(self, depth: int):
        super().__init__()
        self.fc1 = nn.Conv2d(depth, depth // 16, 1, bias=False)
        self.fc2 = nn.Conv2d(depth // 16, depth, 1, bias=False)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(functional.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class Unit(nn.Module):
    def __init__(self, inputs: int, depth: int, stride: int):
        super().__init__()
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, depth, 3, 1, 1, bias=False),
            nn.PReLU(depth),
            nn.Conv2d(depth, depth, 3, stride, 1, bias=False),
            nn.BatchNorm2d(depth),
            Squeeze(depth),
        )
        projected = nn.Sequential(nn.Conv2d(inputs, depth, 1, stride, bias=False), nn.BatchNorm2d(depth))
        self.shortcut_layer = nn.MaxPool2d(1, stride) if inputs == depth else projected

    def forward(self, x):
        return self.res_layer(x) + self.shortcut_layer(x)


class EqualisedLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(512, 512)), nn.Parameter(torch.zeros(512))

    def forward(self, x):
        return functional.linear(x, self.weight / 512**0.5, self.bias)


class StyleMap(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        layers = [
            layer for _ in range(size.bit_length() - 1) for layer in (nn.Conv2d(512, 512, 3, 2, 1), nn.LeakyReLU())
        ]
        self.convs, self.linear = nn.Sequential(*layers), EqualisedLinear()

    def forward(self, x):
        return self.linear(self.convs(x)[:, :, 0, 0])


class Encoder4Editing(nn.Module):
    def __init__(self, num_ws: int):
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        units = [
            Unit(inputs if i == 0 else depth, depth, 2 if i == 0 else 1)
            for inputs, depth, count in STAGES
            for i in range(count)
        ]
        self.body = nn.Sequential(*units)
        self.styles = nn.ModuleList(StyleMap(16 if i < 3 else 32 if i < 7 else 64) for i in range(num_ws))
        self.latlayer1, self.latlayer2 = nn.Conv2d(256, 512, 1), nn.Conv2d(128, 512, 1)

    def forward(self, x):
        x, maps = self.input_layer(x), []
        for number, unit in enumerate(self.body):
            x = unit(x)
            if number in (6, 20, 23):
                maps.append(x)
        fine, middle, coarse = maps
        middle = self._grown(coarse, middle) + self.latlayer1(middle)
        fine = self._grown(middle, fine) + self.latlayer2(fine)
        read = [coarse if i < 3 else middle if i < 7 else fine for i in range(len(self.styles))]
        codes = torch.stack([style(x) for style, x in zip(self.styles, read, strict=True)], 1)
        return torch.cat([codes[:, :1], codes[:, 1:] + codes[:, :1]], 1)

    def _grown(self, x, like):
        return functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


def main(path: str, batch: int, resolution: int) -> None:
    torch.manual_seed(0)
    encoder = Encoder4Editing(2 * resolution.bit_length() - 4).eval()
    state = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    options = argparse.Namespace(encoder_type="Encoder4Editing", stylegan_size=resolution, start_from_latent_avg=False)
    torch.save({"state_dict": state, "latent_avg": None, "opts": options}, path)
    images = torch.linspace(-1, 1, batch * 3 * 256 * 256).reshape(batch, 3, 256, 256)
    with torch.inference_mode():
        np.save(f"{path}.npy", encoder(images).numpy())
        print("ready", flush=True)
        for _ in sys.stdin:
            began = time.perf_counter()
            encoder(images)
            print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
