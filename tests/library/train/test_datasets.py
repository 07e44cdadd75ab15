"""Data sets: what is read from real files, and what a user is told where they are missing or damaged."""

from __future__ import annotations

import gzip
import pickle
import struct

import numpy as np
import pytest
from PIL import Image

from zenlib.errors import DataMissing
from zenlib.train.datasets import DATASETS, DEBIAN_FASHION_MNIST, load_data

HAS_FASHION_MNIST = DEBIAN_FASHION_MNIST.is_dir()


def test_digits_are_split_into_parts_that_share_no_image():
    training, test = load_data("digits", None, True), load_data("digits", None, False)
    assert (len(training), len(test)) == (1438, 359)
    assert training[0][0].size == (8, 8)
    assert np.bincount(test.labels).min() > 20


@pytest.mark.skipif(not HAS_FASHION_MNIST, reason="needs Debian's dataset-fashion-mnist")
def test_fashion_mnist_is_found_where_debian_puts_it():
    training, test = load_data("fashion-mnist", None, True), load_data("fashion-mnist", None, False)
    assert (len(training), len(test)) == (60_000, 10_000)
    assert training[0][0].size == (28, 28)
    assert np.bincount(training.labels).tolist() == [6000] * 10


@pytest.mark.parametrize("name", ["digits", "fashion-mnist"])
def test_the_normalisation_is_that_of_the_training_images(name):
    if name == "fashion-mnist" and not HAS_FASHION_MNIST:
        pytest.skip("needs Debian's dataset-fashion-mnist")
    pixels = load_data(name, None, True).pixels / 255
    assert pixels.mean() == pytest.approx(DATASETS[name].mean[0], abs=2e-4)
    assert pixels.std() == pytest.approx(DATASETS[name].std[0], abs=2e-4)


@pytest.mark.parametrize(
    ("name", "words"),
    [("cifar10", "cifar-10-batches-py"), ("imagenet", "/train"), ("fashion-mnist", "apt-get install")],
)
def test_missing_files_are_named_with_the_way_to_fetch_them(name, words, tmp_path):
    for root in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataMissing) as caught:
            load_data(name, root, True)
        assert str(root) in str(caught.value)
        assert words in str(caught.value)


@pytest.mark.parametrize("name", ["cifar100", "imagenet"])
def test_a_data_set_without_a_folder_asks_for_one(name):
    with pytest.raises(
        DataMissing, match=r"got no folder; say where with --root FOLDER or ZENLIB_IMAGES=FOLDER"
    ):
        load_data(name, None, True)


@pytest.mark.parametrize("name", ["cifar100", "imagenet"])
def test_a_data_set_is_looked_for_in_the_folder_that_the_environment_names(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_IMAGES", str(tmp_path / "pictures"))
    with pytest.raises(DataMissing, match=f"in {tmp_path / 'pictures'}"):
        load_data(name, None, True)


def test_an_unknown_data_set_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"needed one of cifar10, .* got 'mnist'"):
        load_data("mnist", None, True)


def write_idx(path, array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def fashion_mnist_in(folder, images, labels):
    folder.mkdir(parents=True, exist_ok=True)
    write_idx(folder / "train-images-idx3-ubyte.gz", images)
    write_idx(folder / "train-labels-idx1-ubyte.gz", labels)
    return folder


IMAGES = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)


@pytest.mark.parametrize("inside", [".", "FashionMNIST/raw"])
def test_fashion_mnist_is_read_where_a_user_or_torchvision_puts_it(inside, tmp_path):
    fashion_mnist_in(tmp_path / inside, IMAGES, np.array([3, 1, 2], dtype=np.uint8))
    images = load_data("fashion-mnist", tmp_path, True)
    assert [label for _, label in images] == [3, 1, 2]
    assert np.array_equal(np.asarray(images[1][0]), IMAGES[1])


def test_a_truncated_file_of_fashion_mnist_is_named(tmp_path):
    fashion_mnist_in(tmp_path, IMAGES, np.array([3, 1, 2], dtype=np.uint8))
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataMissing, match=r"train-images-idx3-ubyte\.gz, which is truncated"):
        load_data("fashion-mnist", tmp_path, True)


def test_labels_that_do_not_belong_to_the_images_are_refused(tmp_path):
    fashion_mnist_in(tmp_path, IMAGES, np.zeros(2, dtype=np.uint8))
    with pytest.raises(ValueError, match=r"needed one per image \(3\), got 2"):
        load_data("fashion-mnist", tmp_path, True)


def test_an_image_folder_has_to_have_imagenets_classes(tmp_path):
    (tmp_path / "train" / "n0").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "train" / "n0" / "a.JPEG")
    with pytest.raises(DataMissing, match=r"1,000 folders.* got 1 folders of classes"):
        load_data("imagenet", tmp_path, True)


def test_an_image_folder_with_a_thousand_classes_is_imagenet(tmp_path):
    for number in range(1000):
        (tmp_path / "val" / f"n{number:04}").mkdir(parents=True)
        Image.new("RGB", (9, 7), (number % 256, 0, 0)).save(tmp_path / "val" / f"n{number:04}" / "a.png")
    images = load_data("imagenet", tmp_path, False)
    assert (len(images), images[517][1]) == (1000, 517)


def test_cifar_is_read_from_the_files_that_its_makers_give(tmp_path, monkeypatch):
    """Files in the published format, small.

    Torchvision's check of their digests is switched off, since they are ours.
    """
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, digest=None: True)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rows = np.arange(2 * 3072, dtype=np.uint32).reshape(2, 3072).astype(np.uint8)
    for name in [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]:
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": [7, 4]}))
    (folder / "batches.meta").write_bytes(
        pickle.dumps({"label_names": [str(number) for number in range(10)]})
    )
    images = load_data("cifar10", tmp_path, True)
    assert (len(images), images[1][1], images[0][0].size) == (10, 4, (32, 32))
    assert np.asarray(images[0][0])[0, 5].tolist() == [rows[0, 5], rows[0, 1024 + 5], rows[0, 2048 + 5]]
