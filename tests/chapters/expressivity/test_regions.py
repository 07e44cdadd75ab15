from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from experiments.chapters.expressivity.theory.regions import (
    arrangement_bound,
    log10_region_bound,
    neurons,
    random_slice,
    region_map,
    slice_regions,
)
from tests.chapters.expressivity.networks import branched, plain, pooled
from zenlib.errors import ConversionError
from zenlib.scores.forward import draw_images, draw_weights, forward


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sliced(depth: int, width: int, resolution: int, extent: float = 1.0, seed: int = 0):
    vcnn, source = plain(depth, width, resolution), generator(seed)
    weights, plane = draw_weights(vcnn, source, torch.float64), random_slice(vcnn, source, extent)
    return vcnn, weights, plane, slice_regions(vcnn, weights, plane)


def patterns(vcnn, weights, images) -> torch.Tensor:
    """Which pre-activations are positive, (N, neurons)."""
    signs = []
    forward(vcnn, weights, images, on_conv=lambda _, output: signs.append((output > 0).flatten(1)))
    return torch.cat(signs, dim=1)


def images_of(plane, points: np.ndarray) -> torch.Tensor:
    """The images (N, C, H, W) at the coordinates (u, v) of `points` (N, 2)."""
    u, v = torch.as_tensor(points, dtype=plane.origin.dtype).T[..., None, None, None]
    return plane.origin + u * plane.right + v * plane.up


def centre_of(region) -> np.ndarray:
    return region.corners.mean(0)


def area(corners: np.ndarray) -> float:
    u, v = corners.T
    return 0.5 * abs(u @ np.roll(v, -1) - v @ np.roll(u, -1))


@pytest.mark.parametrize(
    "vcnn",
    [plain(1, 4, 6), plain(5, 6, 6), pooled(), branched()],
    ids=["shallow", "deep", "pooled", "branched"],
)
def test_the_network_is_the_matrix_of_the_region_exactly(vcnn):
    weights = draw_weights(vcnn, generator(), torch.float64)
    for image in draw_images(vcnn, 5, generator(1), torch.float64):
        features = forward(vcnn, weights, image[None]).flatten()
        assert features.norm() > 0
        torch.testing.assert_close(
            region_map(vcnn, weights, image) @ image.flatten(),
            features,
            rtol=1e-12,
            atol=1e-12 * features.norm().item(),
        )


def test_one_matrix_holds_in_the_whole_polygon_and_not_in_the_next_one():
    vcnn, weights, plane, regions = sliced(3, 3, 4)
    region = max(regions, key=lambda region: area(region.corners))
    inside = torch.as_tensor(
        np.vstack([0.98 * region.corners + 0.02 * centre_of(region), centre_of(region)[None]])
    )
    matrix = region_map(vcnn, weights, images_of(plane, centre_of(region)[None])[0])

    def gap(points) -> torch.Tensor:
        images = images_of(plane, points)
        features = forward(vcnn, weights, images).flatten(1)
        return (images.flatten(1) @ matrix.T - features).norm(dim=1) / features.norm(dim=1)

    assert gap(inside).max() < 1e-10
    others = np.array([centre_of(other) for other in regions if other is not region])
    assert gap(others).min() > 1e-10


def test_each_polygon_has_one_activation_pattern_and_no_two_share_one():
    vcnn, weights, plane, regions = sliced(3, 2, 4)
    centres = patterns(vcnn, weights, images_of(plane, np.array([centre_of(region) for region in regions])))
    assert len(torch.unique(centres, dim=0)) == len(regions)
    for region, centre in list(zip(regions, centres, strict=True))[::25]:
        near_corners = 0.999 * region.corners + 0.001 * centre_of(region)
        assert (patterns(vcnn, weights, images_of(plane, near_corners)) == centre).all()


def test_the_polygons_are_convex_and_tile_the_square():
    *_, regions = sliced(4, 2, 4, extent=1.5)
    assert sum(area(region.corners) for region in regions) == pytest.approx(9.0, rel=1e-9)
    for region in regions:
        edges = np.roll(region.corners, -1, 0) - region.corners
        turns = edges[:, 0] * np.roll(edges[:, 1], -1) - edges[:, 1] * np.roll(edges[:, 0], -1)
        assert turns.min() > -1e-12


def test_a_fine_grid_finds_the_same_regions_but_for_the_smallest():
    vcnn, weights, plane, regions = sliced(2, 2, 4)
    step = 0.01
    axis = np.arange(-1 + step / 2, 1, step)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    seen = {row.numpy().tobytes() for row in patterns(vcnn, weights, images_of(plane, grid))}
    exact = {
        row.numpy().tobytes(): region
        for row, region in zip(
            patterns(vcnn, weights, images_of(plane, np.array([centre_of(region) for region in regions]))),
            regions,
            strict=True,
        )
    }
    assert seen <= set(exact)
    missed = [area(region.corners) for pattern, region in exact.items() if pattern not in seen]
    assert len(seen) > len(exact) / 2
    assert max(missed) < 10 * step**2


def test_lines_in_general_position_make_exactly_the_pieces_that_zaslavsky_counts():
    _, _, _, regions = sliced(1, 1, 4, extent=1e6)
    assert len(regions) == arrangement_bound(16, 2) == 1 + 16 + 16 * 15 // 2


def test_the_slope_of_a_region_is_that_of_its_matrix_along_the_slice():
    vcnn, weights, plane, regions = sliced(3, 3, 4)
    directions = torch.stack([plane.right.flatten(), plane.up.flatten()], dim=1)
    for region in regions[::40]:
        matrix = region_map(vcnn, weights, images_of(plane, centre_of(region)[None])[0])
        assert (matrix @ directions).norm().item() == pytest.approx(region.slope, rel=1e-9)


def test_regions_are_cones_because_a_vcnn_has_no_biases():
    vcnn = plain(4, 5, 6)
    weights, images = (
        draw_weights(vcnn, generator(), torch.float64),
        draw_images(vcnn, 3, generator(1), torch.float64),
    )
    assert torch.equal(patterns(vcnn, weights, images), patterns(vcnn, weights, 8 * images))


@pytest.mark.parametrize(("depth", "width"), [(1, 4), (2, 4), (4, 2)])
def test_no_count_exceeds_the_bound(depth, width):
    vcnn, _, _, regions = sliced(depth, width, 4, extent=100.0)
    assert math.log10(len(regions)) <= log10_region_bound(neurons(vcnn), 2)


def test_few_hyperplanes_in_a_large_space_double_the_pieces_each():
    assert [arrangement_bound(n, 100) for n in (0, 1, 5, 10)] == [1, 2, 32, 1024]
    assert [arrangement_bound(n, 2) for n in (1, 2, 3, 4)] == [2, 4, 7, 11]


def test_max_pooling_is_refused_on_a_slice_with_the_reason():
    vcnn = pooled()
    source = generator()
    with pytest.raises(ConversionError, match="max pooling"):
        slice_regions(vcnn, draw_weights(vcnn, source, torch.float64), random_slice(vcnn, source))
