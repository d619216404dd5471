"""Writers of pickles in the layouts of NVIDIA's code, from networks of this package.

They are given the module `writers`, which cannot be imported from here under importlib's import mode.
"""

from collections import OrderedDict
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

import stylegan2_flax as sg2

BUFFERS = ("resample_filter", "noise_const", "w_avg")
SOURCE = "import os\nos.system('touch /this-must-never-exist')\n" + "# a long text\n" * 50


class TorchWriter:
    """Networks in the layout of stylegan2-ada-pytorch."""

    def __init__(self, writers: ModuleType):
        self.writers = writers

    def file(self, networks: Mapping[str, Any], protocol: int = 4) -> bytes:
        """A dictionary of networks under the names G, D and G_ema, or of modules that `module` made."""
        parts = {name: self.network(part) if hasattr(part, "kind") else part for name, part in networks.items()}
        training_set = self.writers.EasyDict(class_name="training.dataset.ImageFolderDataset", max_size=np.float64(7))
        return self.writers.pickled({"training_set_kwargs": training_set, **parts, "augment_pipe": None}, protocol)

    def network(self, network: sg2.Generator | sg2.Discriminator, **changes: Any) -> Any:
        """The module of a whole network. changes: other attributes of it, such as _init_kwargs."""
        attributes = {"_init_args": (), "_init_kwargs": self.writers.EasyDict(network.init_kwargs), **changes}
        return self.nested(type(network).__name__, sg2.to_state_dict(network), attributes)

    def nested(self, class_name: str, arrays: Mapping[str, Any], attributes: Mapping[str, Any]) -> Any:
        """A module with these arrays, in modules of its own where their names have dots."""
        children: dict[str, dict[str, Any]] = {}
        own: dict[str, Any] = {}
        for name, array in arrays.items():
            head, _, rest = name.partition(".")
            (children.setdefault(head, {}) if rest else own)[rest or head] = array
        modules = OrderedDict((name, self.nested("Layer", child, {})) for name, child in children.items())
        return self.module(class_name, own, modules, attributes)

    def module(
        self, class_name: str, arrays: Mapping[str, Any], modules: Mapping[str, Any], attributes: Mapping[str, Any]
    ) -> Any:
        w = self.writers
        tensors = {
            name: self.tensor(array) if isinstance(array, np.ndarray) else array for name, array in arrays.items()
        }
        parameters = OrderedDict((name, self.parameter(t)) for name, t in tensors.items() if name not in BUFFERS)
        if "weight" in parameters and "bias" not in parameters:
            parameters["bias"] = None
        state = {
            "training": False,
            "_parameters": parameters,
            "_buffers": OrderedDict((name, t) for name, t in tensors.items() if name in BUFFERS),
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": OrderedDict(),
            "_is_full_backward_hook": None,
            "_modules": OrderedDict(modules),
            "weight_gain": np.float64(0.5),
            "_init_args": (),
            "_init_kwargs": w.EasyDict(),
            **attributes,
        }
        meta = w.EasyDict(type="class", version=6, module_src=SOURCE, class_name=class_name, state=state)
        return w.Called(w.named("torch_utils.persistence", "_reconstruct_persistent_obj"), (meta,))

    def parameter(self, tensor: Any) -> Any:
        w = self.writers
        return (
            None
            if tensor is None
            else w.Called(w.named("torch._utils", "_rebuild_parameter"), (tensor, False, OrderedDict()))
        )

    def tensor(self, array: np.ndarray) -> Any:
        w, rebuilt = self.writers, self.writers.tensor(array)
        return w.Called(rebuilt.function, (self.storage(rebuilt.args[0]), *rebuilt.args[1:]))

    def storage(self, storage: Any) -> Any:
        w = self.writers
        return w.Called(w.named("torch.storage", "_load_from_bytes"), (w.torch_legacy(storage),))


class SavedWriter(TorchWriter):
    """The same networks, as torch.save writes them: their tensors lie beside the pickle."""

    def tensor(self, array: np.ndarray) -> Any:
        return self.writers.tensor(array)


class TFWriter:
    """Networks in the layout of stylegan2-ada and stylegan2 for TensorFlow."""

    def __init__(self, writers: ModuleType):
        self.writers = writers

    def file(
        self, generator: sg2.Generator, discriminator: sg2.Discriminator, average: sg2.Generator, protocol: int = 3
    ) -> bytes:
        networks = (self.generator(generator), self.discriminator(discriminator), self.generator(average))
        return self.old_names(self.writers.pickled(networks, protocol))

    @staticmethod
    def old_names(data: bytes) -> bytes:
        """NumPy's modules as they were called before version 2: the same length of line does not matter to a pickle."""
        return data.replace(b"cnumpy._core.", b"cnumpy.core.")

    def network(
        self, function: str, variables: Mapping[str, np.ndarray], arguments: Mapping[str, Any], **changes: Any
    ) -> Any:
        w = self.writers
        state = {
            "version": 4,
            "name": function.partition("_")[0],
            "static_kwargs": w.EasyDict(arguments),
            "components": w.EasyDict(),
            "build_module_src": SOURCE,
            "build_func_name": function,
            "variables": list(variables.items()),
            **changes,
        }
        return w.Called(w.named("dnnlib.tflib.network", "Network"), (), state)

    def generator(self, network: sg2.Generator, function: str = "G_main", original: bool = False, **more: Any) -> Any:
        """original: as the stylegan2 repository writes it, not ADA.

        more: further arguments, or others in place of the network's.
        Variables without dimensions are NumPy scalars, because TensorFlow's sessions give them as such.
        """
        parts: dict[str, dict[str, np.ndarray]] = {"": {}, "mapping": {}, "synthesis": {}}
        for name, array in sg2.to_state_dict(network).items():
            if not name.endswith("resample_filter"):
                part, place = generator_place(name, network)
                parts[part][place] = tf_layout(name, array, flips=name.rpartition(".")[0].endswith(("conv0", "skip")))
        if original:
            as_original(parts)
        kwargs = network.init_kwargs
        mapping, synthesis = kwargs["mapping_kwargs"], kwargs["synthesis_kwargs"]
        arguments = {
            "func_name": f"training.networks.{function}",
            "latent_size": network.z_dim,
            "label_size": network.c_dim,
            "dlatent_size": network.w_dim,
            "resolution": network.img_resolution,
            "num_channels": network.img_channels,
            **renamed(mapping, {"num_layers": "mapping_layers", "lr_multiplier": "mapping_lrmul"}),
            **renamed(
                synthesis,
                {"channel_max": "fmap_max", "resample_filter": "resample_kernel", "activation": "nonlinearity"},
            ),
            **renamed(synthesis, dict.fromkeys(("num_fp16_res", "conv_clamp", "architecture", "use_noise"))),
            "fmap_base": synthesis["channel_base"] // 2,
            **more,
        }
        components = {part: self.network(f"G_{part}", parts[part], arguments) for part in ("mapping", "synthesis")}
        return self.network(function, parts[""], arguments, components=self.writers.EasyDict(components))

    def discriminator(self, network: sg2.Discriminator, function: str = "D_main", **more: Any) -> Any:
        variables = {
            discriminator_place(name): tf_layout(name, array, flips=False)
            for name, array in sg2.to_state_dict(network).items()
            if not name.endswith("resample_filter")
        }
        kwargs = network.init_kwargs
        arguments = {
            "func_name": f"training.networks.{function}",
            "label_size": network.c_dim,
            "resolution": network.img_resolution,
            "num_channels": network.img_channels,
            "fmap_base": kwargs["channel_base"] // 2,
            "fmap_max": kwargs["channel_max"],
            "num_fp16_res": kwargs["num_fp16_res"],
            "conv_clamp": kwargs["conv_clamp"],
            **renamed(kwargs["block_kwargs"], {"resample_filter": "resample_kernel"}),
            **renamed(
                {"num_layers": 8, "lr_multiplier": 0.01, **kwargs["mapping_kwargs"]},
                {"num_layers": "mapping_layers", "lr_multiplier": "mapping_lrmul"},
            ),
            **renamed(
                {"mbstd_group_size": 4, **kwargs["epilogue_kwargs"]},
                {"mbstd_group_size": None, "mbstd_num_channels": "mbstd_num_features"},
            ),
            **more,
        }
        return self.network(function, variables, arguments)


def as_original(parts: dict[str, dict[str, Any]]) -> None:
    """Two variables that only growing networks use, and labels that are multiplied by a plain matrix."""
    parts[""]["lod"] = parts["synthesis"]["lod"] = np.float32(0)
    mapping = parts["mapping"]
    if "LabelEmbed/weight" in mapping:
        assert not mapping.pop("LabelEmbed/bias").any()
        weight = mapping.pop("LabelEmbed/weight")
        mapping["LabelConcat/weight"] = weight / np.sqrt(np.float32(len(weight)))


def renamed(given: Mapping[str, Any], names: Mapping[str, str | None]) -> dict[str, Any]:
    return {new or old: given[old] for old, new in names.items() if old in given}


def generator_place(name: str, network: sg2.Generator) -> tuple[str, str]:
    """Part and name of a generator's variable."""
    if name == "mapping.w_avg":
        return "", "dlatent_avg"
    part, *path = name.split(".")
    if part == "mapping":
        layer = "LabelEmbed" if path[0] == "embed" else path[0].replace("fc", "Dense")
        return part, f"{layer}/{path[1]}"
    resolution = int(path[0][1:])
    if path[1] == "const":
        return part, "4x4/Const/const"
    if path[-1] == "noise_const":
        return part, f"noise{2 * resolution.bit_length() - (7 if path[1] == 'conv0' else 6)}"
    layer = {"conv0": "Conv0_up", "conv1": "Conv1", "torgb": "ToRGB", "skip": "Skip"}[path[1]]
    scope = f"{resolution}x{resolution}/{'Conv' if resolution == 4 and layer == 'Conv1' else layer}"
    if layer == "ToRGB" and network.init_kwargs["synthesis_kwargs"].get("architecture") == "orig":
        scope = "ToRGB_lod0"
    leaf = {"affine.weight": "mod_weight", "affine.bias": "mod_bias"}.get(".".join(path[2:]), path[2])
    return part, f"{scope}/{leaf}"


def discriminator_place(name: str) -> str:
    block, *path = name.split(".")
    if block == "mapping":
        return f"{'LabelEmbed' if path[0] == 'embed' else path[0].replace('fc', 'Mapping')}/{path[1]}"
    names = {
        "fromrgb": "FromRGB",
        "conv0": "Conv0",
        "conv1": "Conv1_down",
        "skip": "Skip",
        "conv": "Conv",
        "fc": "Dense0",
    }
    return f"Output/{path[1]}" if path[0] == "out" else f"{block[1:]}x{block[1:]}/{names[path[0]]}/{path[1]}"


def tf_layout(name: str, array: np.ndarray, flips: bool) -> np.ndarray:
    if name.endswith("noise_const"):
        return array[None, None]
    if name.endswith("const"):
        return array[None]
    if name.endswith("affine.bias"):
        return array - 1
    if array.ndim == 4:
        kernel = array.transpose(2, 3, 1, 0)
        return np.array(kernel[::-1, ::-1] if flips else kernel, order="C")
    return np.array(array.T, order="C") if array.ndim else array[()]
