from __future__ import annotations

import pandas as pd
import pytest
import torch
import torchvision.models

from experiments.benchmarks import torchvision_zoo


@pytest.fixture(scope="module")
def zoo() -> pd.DataFrame:
    return torchvision_zoo.zoo()


def test_every_classifier_that_torchvision_ships_is_known_or_a_transformer() -> None:
    shipped = set(torchvision.models.list_models(module=torchvision.models))
    transformers = {name for name in shipped if name.startswith(torchvision_zoo.TRANSFORMERS)}
    assert set(torchvision_zoo.models()) == shipped - transformers
    assert len(torchvision_zoo.models()) == 68


def test_fifty_six_networks_are_chains() -> None:
    assert len(torchvision_zoo.models(chains_only=True)) == 56


def test_a_row_repeats_the_metadata(zoo: pd.DataFrame) -> None:
    row = zoo.set_index(["model", "weights"]).loc[("resnet50", "IMAGENET1K_V2")]
    meta = torchvision.models.ResNet50_Weights.IMAGENET1K_V2.meta
    assert row["top1"] == meta["_metrics"]["ImageNet-1K"]["acc@1"]
    assert row["params"] == meta["num_params"]
    assert row["flops"] == pytest.approx(4.089e9)
    assert (row["family"], row["line"], row["crop"], row["recipe"]) == ("ResNet", "ResNets", 224, "new")


def test_rows_are_unique_and_complete(zoo: pd.DataFrame) -> None:
    assert not zoo.duplicated(["model", "weights"]).any()
    assert not zoo.isna().any().any()
    assert set(zoo["model"]) == set(torchvision_zoo.models())


def test_published_counts_are_those_of_the_built_network(zoo: pd.DataFrame) -> None:
    params = zoo.drop_duplicates("model").set_index("model")["params"]
    for model in ("alexnet", "mobilenet_v3_small", "regnet_x_400mf", "squeezenet1_1", "googlenet"):
        built = sum(
            weight.numel()
            for name, weight in torchvision_zoo.build(model).named_parameters()
            if not name.startswith("aux")
        )
        assert built == params[model], model


def test_building_leaves_the_random_state_usable_and_makes_untrained_weights() -> None:
    torch.manual_seed(0)
    one = torchvision_zoo.build("mobilenet_v3_small")
    torch.manual_seed(0)
    other = torchvision_zoo.build("mobilenet_v3_small")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_weights_called_v2_are_all_of_the_new_recipe(zoo: pd.DataFrame) -> None:
    assert set(zoo.loc[zoo["weights"] == "IMAGENET1K_V2", "recipe"]) == {"new"}


@pytest.mark.parametrize(
    ("model", "recipe"),
    [
        ("resnet50", "plain"),
        ("vgg16_bn", "plain"),
        ("mnasnet1_0", "plain"),
        ("mnasnet1_3", "new"),
        ("convnext_tiny", "new"),
        ("resnext101_64x4d", "new"),
        ("efficientnet_b7", "ported"),
        ("densenet121", "ported"),
        ("regnet_y_128gf", "pretrained"),
    ],
)
def test_the_first_weights_of_a_network_have_the_recipe_their_text_says(
    zoo: pd.DataFrame, model: str, recipe: str
) -> None:
    assert zoo[zoo["model"] == model].iloc[0]["recipe"] == recipe


def test_weights_without_a_classifier_have_no_row(zoo: pd.DataFrame) -> None:
    assert list(zoo.loc[zoo["model"] == "vgg16", "weights"]) == ["IMAGENET1K_V1"]


def test_an_unknown_name_is_refused() -> None:
    for call in (torchvision_zoo.family, torchvision_zoo.build):
        with pytest.raises(
            ValueError, match=r"needed the name of a torchvision convolutional classifier, got 'vit_b_16'"
        ):
            call("vit_b_16")
