"""The models of the census: which they are, and how they are built small and without a download."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from census_families import ROWS, build, families, inputs
from torch import Tensor, nn

RATE = 0.1
"""Drop rate that a library is asked for when its masks are counted."""


@dataclass(frozen=True)
class Model:
    """One model of the census.

    Attributes:
        library: where it comes from.
        family: its group there; for timm, the module that defines it.
        name: of the smallest member.
        build: drop rate -> model; raises TypeError when the model takes no rate.
        inputs: what it may take, by keyword, in this order; the first that it takes is used.
    """

    library: str
    family: str
    name: str
    build: Callable[[float], nn.Module]
    inputs: Callable[[nn.Module], Iterator[dict[str, Tensor]]] = field(repr=False)

    @property
    def key(self) -> str:
        """Return what identifies it in the results."""
        return f"{self.library}/{self.name}"


# The smallest member of every family whose constructor takes `drop_path_rate`.
TIMM = {
    "beit": "beit_base_patch16_224",
    "byoanet": "halonet_h1",
    "byobnet": "mobileone_s1",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convnext": "convnext_zepto_rms",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_patch16_224",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "mobilenetv2_035",
    "efficientvim": "efficientvim_m1",
    "eva": "eva02_tiny_patch14_224",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "gemma4_vit": "gemma4_vit_167m",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "hieradet_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "mambaout_femto",
    "maxxvit": "maxvit_pico_rw_256",
    "metaformer": "poolformerv2_s12",
    "mlp_mixer": "gmlp_ti16_224",
    "mobilenetv3": "mobilenetv3_small_050",
    "mobilenetv5": "mobilenetv5_base",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_parfac_gap",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "nf_regnet_b0",
    "pit": "pit_ti_224",
    "pvt_v2": "pvt_v2_b0",
    "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "resnet10t",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "sequencer": "sequencer2d_s",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window8_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_legacy_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "visformer": "visformer_tiny",
    "vision_transformer": "vit_tiny_patch16_224",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "vit_srelpos_small_patch16_224",
    "vision_transformer_sam": "samvit_base_patch16_224",
    "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}

# The smallest member of every other family.
TIMM_WITHOUT_RATE = {
    "convmixer": "convmixer_768_32",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "ghostnet": "ghostnet_050",
    "hrnet": "hrnet_w18_small",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "nasnet": "nasnetalarge",
    "pnasnet": "pnasnet5large",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "shvit": "shvit_s1",
    "vgg": "vgg11",
    "xception": "legacy_xception",
}

TORCHVISION = {
    "resnet": "resnet18",
    "resnet (bottleneck)": "resnet50",
    "resnext": "resnext50_32x4d",
    "wide resnet": "wide_resnet50_2",
    "regnet x": "regnet_x_400mf",
    "regnet y": "regnet_y_400mf",
    "convnext": "convnext_tiny",
    "efficientnet": "efficientnet_b0",
    "efficientnet v2": "efficientnet_v2_s",
    "mobilenet v2": "mobilenet_v2",
    "mobilenet v3": "mobilenet_v3_small",
    "mnasnet": "mnasnet0_5",
    "swin": "swin_t",
    "swin v2": "swin_v2_t",
    "vit": "vit_b_16",
    "maxvit": "maxvit_t",
}

# Too deep for a census; four blocks are of the same kind as forty.
SHALLOW = {
    name: {"depth": 4}
    for name in (
        "convmixer_768_32",
        "deepseek_vit_412m",
        "gemma4_vit_167m",
        "naflexvit_base_patch16_parfac_gap",
        "qwen3_vit_88m",
        "samvit_base_patch16_224",
    )
}


def models() -> Iterator[Model]:
    """Yield every model of the census."""
    for family, name in (TIMM | TIMM_WITHOUT_RATE).items():
        yield Model(
            "timm", family, name, partial(_timm, name), _images(64, 96, 112, 128, 224, 240, 256)
        )
    for family, name in TORCHVISION.items():
        sizes = (224,) if name == "maxvit_t" else (64, 224)
        yield Model("torchvision", family, name, partial(_torchvision, name), _images(*sizes))
    for family in families():
        yield Model("transformers", family, family, partial(build, family), inputs)


def _images(*sizes: int) -> Callable[[nn.Module], Iterator[dict[str, Tensor]]]:
    def images(net: nn.Module) -> Iterator[dict[str, Tensor]]:
        name = next(iter(inspect.signature(net.forward).parameters))
        yield from ({name: _noise((3, size, size))} for size in sizes)

    return images


def _noise(shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(ROWS, *shape, generator=generator, dtype=torch.float64)


def _timm(name: str, rate: float) -> nn.Module:
    import timm

    given = {"drop_path_rate": rate} if rate else {}
    given |= {"num_classes": 10, **SHALLOW.get(name, {})}
    if name == "crossvit_tiny_240":  # two patch sizes, which few image sizes fit
        return timm.create_model(name, **given)
    try:
        return timm.create_model(name, img_size=_small(name), **given)
    except (TypeError, AssertionError, ValueError, RuntimeError):
        return timm.create_model(name, **given)


def _small(name: str) -> int:
    """Return the side of a small image that patches and windows divide."""
    return 112 if "patch14" in name or "window7" in name else 128 if "swin" in name else 64


def _torchvision(name: str, rate: float) -> nn.Module:
    import torchvision

    given = {"stochastic_depth_prob": rate} if rate else {}
    if name == "vit_b_16":
        given |= {"image_size": 64}
    return torchvision.models.get_model(name, num_classes=10, **given)
