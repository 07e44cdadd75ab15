"""The classifiers of torchvision, with the ImageNet accuracy that is published for each set of weights.

Read from the metadata of the installed torchvision; nothing is downloaded. One row per set of weights, so
that a network trained by two recipes has two rows.

The name of a set of weights does not say how it was trained: `IMAGENET1K_V2` always means torchvision's newer
recipe (label smoothing, mixup, cutmix, TrivialAugment, long cosine schedule, EMA), but `IMAGENET1K_V1` means
"the first we published", which is the plain recipe for a ResNet-50 and the newer one for a ConvNeXt. So each
row also has a `recipe`, by the words of the metadata, in this order:

- "pretrained": the text names SWAG (pretraining on billions of tagged images);
- "new": it names torchvision's "new training recipe";
- "ported": it says that the weights were ported, from the authors or from another framework;
- "plain": all others, which reproduce a paper or were trained by a "simple" recipe.

Differs from a rule by year or by our own judgement: MNASNet 0.75 and 1.3 and ResNeXt-101 64x4d are "new"
although their only weights are called V1, EfficientNetV2-L is "ported" and its smaller sisters are "new"
because the text says so.

Source: torchvision.models, `WeightsEnum.meta`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import torch

FAMILIES: dict[str, tuple[str, str]] = {
    "alexnet": ("AlexNet", "VGG and AlexNet"),
    "vgg": ("VGG", "VGG and AlexNet"),
    "resnet": ("ResNet", "ResNets"),
    "resnext": ("ResNeXt", "ResNets"),
    "wide_resnet": ("Wide ResNet", "ResNets"),
    "mobilenet_v2": ("MobileNetV2", "Mobile nets"),
    "mobilenet_v3": ("MobileNetV3", "Mobile nets"),
    "mnasnet": ("MNASNet", "Mobile nets"),
    "efficientnet_b": ("EfficientNet", "EfficientNets"),
    "efficientnet_v2": ("EfficientNetV2", "EfficientNets"),
    "regnet_x": ("RegNetX", "RegNets"),
    "regnet_y": ("RegNetY", "RegNets"),
    "convnext": ("ConvNeXt", "ConvNeXts"),
    "densenet": ("DenseNet", "Graphs"),
    "googlenet": ("GoogLeNet", "Graphs"),
    "inception": ("Inception", "Graphs"),
    "shufflenet": ("ShuffleNetV2", "Graphs"),
    "squeezenet": ("SqueezeNet", "Graphs"),
}
"""Start of a model's name -> (its family, its line of families); "Graphs" join branches by concatenation."""

TRANSFORMERS = ("vit", "swin", "maxvit")
"""Starts of the names that have no vanilla convolutional network."""


def zoo() -> pd.DataFrame:
    """One row per convolutional classifier and set of ImageNet-1k weights, sorted by model and weights.

    Returns:
        Columns: `model` and `weights` (torchvision's names); `family` and `line` (see `FAMILIES`; AlexNet and
        VGG with and without BatchNorm share a line); `chain` (False where branches are concatenated);
        `recipe` (see above) and `recipe_url`; `top1` and `top5` in percent, measured on images of `crop`
        pixels; `params`; `flops`, multiply-adds for one image of that size.
    """
    from torchvision.models import get_model_weights

    rows = [
        _row(model, weights)
        for model in models()
        for weights in get_model_weights(model)
        if _is_classifier(weights)
    ]
    return pd.DataFrame(rows)


def models(chains_only: bool = False) -> list[str]:
    """Names of torchvision's convolutional classifiers, sorted; chains alone, or all."""
    import torchvision.models

    return sorted(
        name
        for name in torchvision.models.list_models(module=torchvision.models)
        if not name.startswith(TRANSFORMERS) and _prefix(name)
        if not chains_only or family(name)[1] != "Graphs"
    )


def family(model: str) -> tuple[str, str]:
    """The family of a model and its line of families, such as "RegNetX" and "RegNets".

    Raises:
        ValueError: the name is not one of a convolutional classifier.
    """
    start = _prefix(model)
    if start is None:
        raise ValueError(
            f"model: needed the name of a torchvision convolutional classifier, got {model!r}; see "
            "torchvision_zoo.models()"
        )
    return FAMILIES[start]


def build(model: str) -> torch.nn.Module:
    """An untrained classifier on the CPU.

    The meta device would save the memory of the weights, but torchvision computes the widths of RegNets with
    tensors.

    Raises:
        ValueError: the name is not one of a convolutional classifier.
    """
    import torchvision.models

    family(model)
    # These two warn unless told, and their own initialisation takes minutes.
    options = {"init_weights": False} if model in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(model, weights=None, **options)


def recipe(meta: dict[str, Any]) -> str:
    """How weights were trained, by the words of their metadata: "pretrained", "new", "ported" or "plain"."""
    text = meta["_docs"]
    if "SWAG" in text:
        return "pretrained"
    if "new training recipe" in text:
        return "new"
    return "ported" if "ported from" in text else "plain"


def _row(model: str, weights: Any) -> dict[str, Any]:
    meta, (kind, line) = weights.meta, family(model)
    accuracy = meta["_metrics"]["ImageNet-1K"]
    return {
        "model": model,
        "weights": weights.name,
        "family": kind,
        "line": line,
        "chain": line != "Graphs",
        "recipe": recipe(meta),
        "recipe_url": meta["recipe"],
        "top1": accuracy["acc@1"],
        "top5": accuracy["acc@5"],
        "crop": weights.transforms().crop_size[0],
        "params": meta["num_params"],
        "flops": meta["_ops"] * 1e9,
    }


def _is_classifier(weights: Any) -> bool:
    """Whether the weights have an accuracy; VGG-16 also ships features without a classifier, with NaN."""
    accuracy = weights.meta["_metrics"].get("ImageNet-1K", {}).get("acc@1", float("nan"))
    return accuracy == accuracy


def _prefix(model: str) -> str | None:
    return next((start for start in FAMILIES if model.startswith(start)), None)
