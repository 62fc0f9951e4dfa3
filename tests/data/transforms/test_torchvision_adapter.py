"""Torchvision's transforms on a batch of image pairs."""

from __future__ import annotations

import pytest
import torch

from hat.data.transforms import TorchVisionAdapter
from hat.errors import InputError
from hat.registry import build_from_registry


def test_normalise_by_one_number() -> None:
    image = torch.arange(2 * 6 * 4 * 4).view(2, 6, 4, 4).float()
    batch = {"img": image.clone()}
    out = TorchVisionAdapter("Normalize", mean=128.0, std=128.0)(batch)["img"]
    torch.testing.assert_close(out, (image - 128) / 128, rtol=0, atol=0)
    assert torch.equal(batch["img"], image)


def test_values_per_channel_belong_to_each_image() -> None:
    out = TorchVisionAdapter("Normalize", mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 2.0])(
        {"img": torch.full((2, 6, 3, 3), 5.0)}
    )["img"]
    assert out[1, :, 2, 0].tolist() == [4.0, 3.0, 1.0, 4.0, 3.0, 1.0]


def test_single_images_and_memory_order() -> None:
    transform = TorchVisionAdapter("Grayscale", num_output_channels=3)
    image = torch.rand(2, 5, 7, 3).permute(0, 3, 1, 2)
    assert transform({"img": image})["img"].shape == (2, 3, 5, 7)
    pair = torch.rand(2, 5, 7, 6).permute(0, 3, 1, 2)
    out = transform({"img": pair})["img"]
    torch.testing.assert_close(out[:, 3:], transform({"img": pair[:, 3:]})["img"])


def test_mistakes_in_the_config() -> None:
    def build(**arguments: object) -> object:
        return build_from_registry(dict(type="TorchVisionAdapter", **arguments), "transforms.1")

    with pytest.raises(InputError, match=r"transforms\.1.*did you mean 'Normalize'"):
        build(interface="Normalise", mean=0.0, std=1.0)
    with pytest.raises(InputError, match=r"transforms\.1.*mu"):
        build(interface="Normalize", mu=0.0, std=1.0)
    with pytest.raises(InputError, match="RandomFlip"):
        build(interface="RandomHorizontalFlip")


def test_mistakes_in_the_batch() -> None:
    transform = TorchVisionAdapter("Normalize", mean=128.0, std=128.0)
    with pytest.raises(InputError, match=r"\(6, 4, 4\)"):
        transform({"img": torch.zeros(6, 4, 4)})
    with pytest.raises(InputError, match="uint8"):
        transform({"img": torch.zeros(1, 6, 4, 4, dtype=torch.uint8)})
