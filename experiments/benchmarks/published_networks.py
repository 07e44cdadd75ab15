"""What was published about the ZenNets and the networks beside them, and about ZenNets that others trained.

Source: Lin et al. 2021 (arXiv 2102.01063), Tables 6 and 7; Li et al. 2023 (arXiv 2301.11300), Table 9; README
of Adlik/zen_nas.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SIDES = (224, 240, 260, 300, 380, 456, 528, 600)
"""Side of an EfficientNet's images by its number, pixels."""


@dataclass(frozen=True)
class Published:
    """What was published about one network. Sizes are text, because their digits say how exact they are."""

    params: str  # parameters as printed, such as "30.1M"; empty where nothing is printed
    flops: str  # multiply-adds of one image as printed, such as "1.7G"
    top1: dict[str, float]  # accuracy in percent per data set: "imagenet", or "cifar10" and "cifar100"
    v100: float | None = None  # V100 milliseconds per image, fp16, batch 64
    t4: float | None = None  # T4 milliseconds per image, int8, batch 64
    pixel2: float | None = None  # Pixel 2 milliseconds per image, fp32, batch 1
    source: str = "Table 7"  # where in the paper it stands
    # the same names with what the README of the released code prints instead, where the two disagree
    readme: dict[str, float | str] = field(default_factory=dict)


def _imagenet(
    params: str, flops: str, top1: float, v100: float, t4: float, pixel2: float, /, **readme: float | str
) -> Published:
    return Published(params, flops, {"imagenet": top1}, v100, t4, pixel2, readme=readme)


PUBLISHED = {
    "zennet-0.5M": Published("", "", {}, source="released code only; no number of it is in the paper"),
    # Table 1 of the same paper prints 96.2 for CIFAR-10.
    "zennet-1.0M": Published(
        "1.0M", "162M", {"cifar10": 96.5, "cifar100": 80.1}, source="Table 4", readme={"cifar10": 96.2}
    ),
    "zennet-2.0M": Published("2.0M", "487M", {"cifar10": 97.5, "cifar100": 84.4}, source="Table 4"),
    "zennet-0.1ms": _imagenet("30.1M", "1.7G", 77.8, 0.10, 0.08, 181.7),
    "zennet-0.2ms": _imagenet("49.7M", "3.4G", 80.8, 0.20, 0.16, 357.4, t4=0.15),
    "zennet-0.3ms": _imagenet("85.4M", "4.9G", 81.5, 0.30, 0.26, 517.0, t4=0.20, flops="4.8G"),
    "zennet-0.5ms": _imagenet("118M", "8.3G", 82.7, 0.50, 0.41, 798.7, t4=0.30),
    "zennet-0.8ms": _imagenet("183M", "13.9G", 83.0, 0.80, 0.57, 1365.0),
    "zennet-1.2ms": _imagenet("180M", "22.0G", 83.6, 1.20, 0.85, 2051.1),
    "zennet-400M-SE": _imagenet("5.7M", "410M", 78.0, 0.248, 0.39, 87.9),
    "zennet-600M-SE": _imagenet("7.1M", "611M", 79.1, 0.358, 0.52, 128.6),
    "zennet-900M-SE": _imagenet("13.3M", "926M", 80.8, 0.55, 0.55, 215.68, params="19.4M", flops="934M"),
}
"""Published numbers by name."""


@dataclass(frozen=True)
class Listed:
    """One row of Table 7. Sizes are text, because their digits say how exact they are."""

    name: str  # as the paper writes it
    family: str  # one of torchvision's lines of families, or "others"
    params: str  # parameters
    flops: str  # multiply-adds of one image
    top1: float  # ImageNet top-1 accuracy in percent
    v100: float  # V100 milliseconds per image, fp16, batch 64
    # T4 milliseconds per image, int8, batch 64; None where it ran out of memory or is not given
    t4: float | None
    pixel2: float  # Pixel 2 milliseconds per image, fp32, batch 1
    torchvision: str = ""  # torchvision's name of the same network; empty where it has none


TABLE7 = (
    Listed("RegNetY-200MF", "RegNets", "3.2M", "200M", 70.4, 0.22, 0.12, 118.17),
    Listed("RegNetY-400MF", "RegNets", "4.3M", "400M", 74.1, 0.44, 0.17, 181.09, "regnet_y_400mf"),
    Listed("RegNetY-600MF", "RegNets", "6.1M", "600M", 75.5, 0.25, 0.21, 173.19),
    Listed("RegNetY-800MF", "RegNets", "6.3M", "800M", 76.3, 0.31, 0.22, 202.66, "regnet_y_800mf"),
    Listed("ResNet-18", "ResNets", "11.7M", "1.8G", 70.9, 0.13, 0.06, 158.70, "resnet18"),
    Listed("ResNet-34", "ResNets", "21.8M", "3.6G", 74.4, 0.22, 0.11, 280.44, "resnet34"),
    Listed("ResNet-50", "ResNets", "25.6M", "4.1G", 77.4, 0.40, 0.20, 502.43, "resnet50"),
    Listed("ResNet-101", "ResNets", "44.5M", "7.8G", 78.3, 0.66, 0.32, 937.11, "resnet101"),
    Listed("ResNet-152", "ResNets", "60.2M", "11.5G", 79.2, 0.94, 0.46, 1261.97, "resnet152"),
    Listed("EfficientNet-B0", "EfficientNets", "5.3M", "390M", 76.3, 0.35, 0.62, 160.72, "efficientnet_b0"),
    Listed("EfficientNet-B1", "EfficientNets", "7.8M", "700M", 78.8, 0.55, 1.02, 254.26, "efficientnet_b1"),
    Listed("EfficientNet-B2", "EfficientNets", "9.2M", "1.0G", 79.8, 0.64, 1.21, 321.45, "efficientnet_b2"),
    Listed("EfficientNet-B3", "EfficientNets", "12M", "1.8G", 81.1, 1.12, 1.86, 569.30, "efficientnet_b3"),
    Listed("EfficientNet-B4", "EfficientNets", "19M", "4.2G", 82.6, 2.33, 3.66, 1252.79, "efficientnet_b4"),
    Listed("EfficientNet-B5", "EfficientNets", "30M", "9.9G", 83.3, 4.49, 6.99, 2580.25, "efficientnet_b5"),
    Listed("EfficientNet-B6", "EfficientNets", "43M", "19G", 84.0, 7.64, 12.36, 4287.81, "efficientnet_b6"),
    Listed("EfficientNet-B7", "EfficientNets", "66M", "37G", 84.4, 13.73, None, 8615.92, "efficientnet_b7"),
    Listed("MobileNetV2-0.25", "Mobile nets", "1.5M", "44M", 51.8, 0.08, 0.04, 16.71),
    Listed("MobileNetV2-0.5", "Mobile nets", "2.0M", "108M", 64.4, 0.10, 0.05, 26.99),
    Listed("MobileNetV2-0.75", "Mobile nets", "2.6M", "226M", 69.4, 0.15, 0.08, 49.78),
    Listed("MobileNetV2-1.0", "Mobile nets", "3.5M", "320M", 72.0, 0.17, 0.08, 65.59, "mobilenet_v2"),
    Listed("MobileNetV2-1.4", "Mobile nets", "6.1M", "610M", 74.7, 0.24, 0.12, 110.70),
    Listed("MnasNet-1.0", "Mobile nets", "4.4M", "330M", 74.2, 0.17, 0.11, 65.50, "mnasnet1_0"),
    Listed("DNANet-a", "others", "4.2M", "348M", 77.1, 0.29, 0.60, 157.94),
    Listed("DNANet-b", "others", "4.9M", "406M", 77.5, 0.37, 0.77, 173.66),
    Listed("DNANet-c", "others", "5.3M", "466M", 77.8, 0.37, 0.81, 194.27),
    Listed("DNANet-d", "others", "6.4M", "611M", 78.4, 0.54, 1.10, 248.08),
    Listed("DFNet-1", "others", "8.5M", "746M", 69.8, 0.07, 0.04, 82.87),
    Listed("DFNet-2", "others", "18M", "1.8G", 73.9, 0.12, 0.07, 168.04),
    Listed("DFNet-2a", "others", "18.1M", "2.0G", 76.0, 0.19, 0.09, 223.20),
    # The larger three were cut from a trained supernet; from scratch they reach 76.3, 78.8 and 79.8 %.
    Listed("OFANet-9ms", "others", "5.2M", "313M", 75.3, 0.14, 0.13, 82.69),
    Listed("OFANet-11ms", "others", "6.2M", "352M", 76.1, 0.17, 0.19, 94.17),
    Listed("OFANet-389M", "others", "8.4M", "389M", 79.1, 0.26, 0.49, 116.34),
    Listed("OFANet-482M", "others", "9.1M", "482M", 79.6, 0.33, 0.57, 142.76),
    Listed("OFANet-595M", "others", "9.1M", "595M", 80.0, 0.41, 0.61, 150.83),
    Listed("DenseNet-121", "others", "8.0M", "2.9G", 74.7, 0.53, 0.43, 395.51, "densenet121"),
    Listed("DenseNet-161", "others", "28.7M", "7.8G", 77.7, 1.06, 0.50, 991.61, "densenet161"),
    Listed("DenseNet-169", "others", "14.1M", "3.4G", 76.0, 0.69, 0.65, 490.24, "densenet169"),
    Listed("DenseNet-201", "others", "20M", "4.3G", 77.2, 0.89, 1.10, 642.98, "densenet201"),
    Listed("ResNeSt-50", "ResNets", "27.5M", "5.4G", 81.1, 0.76, None, 615.77),
    Listed("ResNeSt-101", "ResNets", "48.3M", "10.2G", 82.3, 1.40, None, 1130.59),
)
"""Table 7 without the ZenNets, whose rows stand in `PUBLISHED`."""


@dataclass(frozen=True)
class Trained:
    """An accuracy that somebody else reached, or the same people with another recipe."""

    network: str  # a ZenNet, or torchvision's name of a network
    top1: float  # ImageNet top-1 accuracy in percent
    # "paper" for the recipe of Zen-NAS as its authors or others ran it, "short" for 150 epochs without a
    # teacher
    recipe: str
    source: str  # who trained it


_TABLE6, _ADLIK, _ZICO = "Zen-NAS, Table 6", "Adlik", "ZiCo, Table 9"

TRAINED_ELSEWHERE = (
    Trained("resnet18", 72.1, "paper", _TABLE6),
    Trained("resnet34", 76.3, "paper", _TABLE6),
    Trained("resnet50", 79.0, "paper", _TABLE6),
    Trained("resnet101", 81.0, "paper", _TABLE6),
    Trained("resnet152", 82.3, "paper", _TABLE6),
    Trained("zennet-0.1ms", 77.92, "paper", _ADLIK),
    Trained("zennet-0.8ms", 83.21, "paper", _ADLIK),
    Trained("zennet-400M-SE", 75.6, "short", _ZICO),
    Trained("zennet-600M-SE", 76.1, "short", _ZICO),
    Trained("efficientnet_b0", 76.0, "short", _ZICO),
    Trained("efficientnet_b1", 77.4, "short", _ZICO),
)
"""Accuracies of the same networks under a recipe, to compare with those of Table 7."""


def listed(torchvision: str) -> Listed | None:
    """The row of Table 7 about one of torchvision's networks, or None where it has none."""
    return next((row for row in TABLE7 if row.torchvision == torchvision), None)
