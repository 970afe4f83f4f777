"""Small models of every kind that surgery knows, with weights that are nowhere zero."""

from collections.abc import Callable

import timm.models.eva
import timm.models.resnet
import timm.models.vision_transformer
import torch
import torchvision.models as tv
from torch import Tensor, nn

import stochastic_depth as sd


def randomised(model: nn.Module) -> nn.Module:
    """Make weights random that are as good as zero; return in float64 and evaluation mode."""
    noise = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        if weight.abs().max() < 0.01:
            weight.data = 0.3 * torch.randn(weight.shape, generator=noise)
    return model.double().eval()


def torchvision_resnet() -> nn.Module:
    """The first two stages, six bottlenecks of which two have a projection."""
    torch.manual_seed(0)
    resnet = tv.resnet.ResNet(tv.resnet.Bottleneck, [3, 3, 1, 1], num_classes=3, width_per_group=2)
    resnet.layer3 = resnet.layer4 = nn.Identity()
    resnet.fc = nn.Linear(512, 3)
    return randomised(resnet)


def torchvision_vit() -> nn.Module:
    torch.manual_seed(0)
    vit = tv.VisionTransformer(
        image_size=16, patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32,
        num_classes=3,
    )  # fmt: skip
    return randomised(vit)


def torchvision_swin(rate: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    swin = tv.SwinTransformer(
        patch_size=[2, 2], embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=[4, 4],
        stochastic_depth_prob=rate, num_classes=3,
    )  # fmt: skip
    return randomised(swin)


def timm_resnet(rate: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    resnet = timm.models.resnet.ResNet(
        timm.models.resnet.BasicBlock, (2, 2, 1, 1), channels=(8, 8, 16, 16), stem_width=8,
        num_classes=3, drop_path_rate=rate,
    )  # fmt: skip
    return randomised(resnet)


def timm_vit(rate: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    vit = timm.models.vision_transformer.VisionTransformer(
        img_size=16, patch_size=8, embed_dim=16, depth=3, num_heads=2, num_classes=3,
        init_values=0.1, drop_path_rate=rate,
    )  # fmt: skip
    return randomised(vit)


def timm_eva(rate: float = 0.0) -> nn.Module:
    """Blocks that take a second tensor, the rotary embedding, which has no batch dimension."""
    torch.manual_seed(0)
    eva = timm.models.eva.Eva(
        img_size=16, patch_size=8, embed_dim=16, depth=3, num_heads=2, num_classes=3,
        use_rot_pos_emb=True, drop_path_rate=rate,
    )  # fmt: skip
    return randomised(eva)


def own_cifar() -> nn.Module:
    torch.manual_seed(0)
    return randomised(sd.models.CifarResNet(20, num_classes=3, width=4))


def own_vanilla() -> nn.Module:
    torch.manual_seed(0)
    return randomised(sd.models.VanillaResNet(depth=4, width=8, inputs=768, outputs=3))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "torchvision-resnet": torchvision_resnet,
    "torchvision-vit": torchvision_vit,
    "torchvision-swin": torchvision_swin,
    "timm-resnet": timm_resnet,
    "timm-vit": timm_vit,
    "timm-eva": timm_eva,
    "own-cifar": own_cifar,
    "own-vanilla": own_vanilla,
}

WITHOUT_BATCH_STATISTICS = [
    name for name in NETWORKS if name not in ("torchvision-resnet", "timm-resnet", "own-cifar")
]

MASKED: dict[str, Callable[[float], nn.Module]] = {
    "torchvision-swin": torchvision_swin,
    "timm-resnet": timm_resnet,
    "timm-vit": timm_vit,
    "timm-eva": timm_eva,
}
"""Models that mask their branches themselves when built with a drop rate."""


def images(name: str, batch_size: int = 5, seed: int = 1) -> Tensor:
    """Return a batch in float64 that the network of this name takes."""
    noise = torch.Generator().manual_seed(seed)
    shape = (768,) if name == "own-vanilla" else (3, 32, 32) if "resnet" in name else (3, 16, 16)
    return torch.randn(batch_size, *shape, generator=noise, dtype=torch.float64)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Return the gradient of each parameter, zeros where there is none."""
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


def difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Return the largest absolute difference between two dictionaries of tensors."""
    assert a.keys() == b.keys()
    assert a
    return max(float((a[name] - b[name]).abs().max()) for name in a)
