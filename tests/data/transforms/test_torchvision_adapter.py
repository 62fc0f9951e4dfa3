"""Torchvision's transforms on a batch of image pairs."""

from __future__ import annotations

import pytest
import torch
from torchvision import transforms
from torchvision.transforms import v2

from hat.data.transforms import TorchVisionAdapter
from hat.data.transforms.torchvision_adapter import ALLOWED, without_torchvision
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


# All of these move or mix pixels of the images and know nothing of the flow.
MOVING: list[tuple[str, dict]] = [
    ("RandAugment", {}),
    ("AutoAugment", {}),
    ("TrivialAugmentWide", {}),
    ("AugMix", {}),
    ("RandomErasing", {}),
    ("RandomRotation", {"degrees": 10}),
    ("Lambda", {"lambd": torch.fliplr}),
    ("v2.RandAugment", {}),
    ("v2.RandomHorizontalFlip", {}),
    ("v2.RandomZoomOut", {}),
    ("v2.ScaleJitter", {"target_size": (8, 8)}),
    ("Compose", {"transforms": [transforms.RandomHorizontalFlip()]}),
    ("Compose", {"transforms": [transforms.ColorJitter(), torch.fliplr]}),
    ("RandomApply", {"transforms": [transforms.RandomRotation(5)]}),
    ("RandomChoice", {"transforms": [v2.Identity(), v2.RandomVerticalFlip()]}),
    ("v2.RandomOrder", {"transforms": [v2.Compose([v2.RandomApply([v2.Pad(1)])])]}),
    ("v2.RandomApply", {"transforms": torch.nn.ModuleList([v2.RandomAffine(5)])}),
    ("Compose", {"transforms": [torch.nn.Sequential(v2.RandomCrop(4))]}),
]


@pytest.mark.parametrize(("interface", "arguments"), MOVING)
def test_what_may_move_pixels_is_refused(interface: str, arguments: dict) -> None:
    with pytest.raises(ValueError, match=r"not the flow: .*of your own.*takes .*Normalize"):
        TorchVisionAdapter(interface, **arguments)


def test_refusal_names_the_place_and_what_follows_the_flow() -> None:
    inner = transforms.Compose([transforms.GaussianBlur(3), transforms.RandomHorizontalFlip()])
    with pytest.raises(
        ValueError, match=r"RandomApply\.transforms\[0\]\.transforms\[1\].*use RandomFlip"
    ):
        TorchVisionAdapter("RandomApply", transforms=[inner])


def test_a_class_derived_from_an_allowed_one_is_unknown() -> None:
    class Jitter(transforms.ColorJitter):
        pass

    with pytest.raises(ValueError, match="Jitter"):
        TorchVisionAdapter("Compose", transforms=[Jitter()])


# The arguments of every allowed transform.
ARGUMENTS: dict[str, dict] = {
    "ColorJitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
    "ConvertImageDtype": {"dtype": torch.float32},
    "GaussianBlur": {"kernel_size": 3},
    "GaussianNoise": {"sigma": 0.02},
    "Grayscale": {"num_output_channels": 3},
    "JPEG": {"quality": 90},
    "Normalize": {"mean": [0.5] * 3, "std": [0.5] * 3},
    "RandomAdjustSharpness": {"sharpness_factor": 2, "p": 1.0},
    "RandomPosterize": {"bits": 3, "p": 1.0},
    "RandomSolarize": {"threshold": 128, "p": 1.0},
    "ToDtype": {"dtype": torch.float32, "scale": True},
}
WANT_BYTES = ("JPEG", "RandomEqualize", "RandomPosterize", "RandomSolarize")


@pytest.mark.filterwarnings("ignore:The image decoding and encoding")
@pytest.mark.parametrize("kind", sorted(ALLOWED, key=lambda kind: f"{kind.__module__}.{kind}"))
def test_what_is_allowed_keeps_every_pixel_in_place(kind: type) -> None:
    """A black square on white stays where it is, which no flip, turn or shift would leave."""
    name = ALLOWED[kind]
    prefix = "v2." if kind.__module__.startswith("torchvision.transforms.v2") else ""
    if kind is torch.nn.Identity:
        transform = TorchVisionAdapter("Compose", transforms=[kind()])
    else:
        transform = TorchVisionAdapter(prefix + name, **ARGUMENTS.get(name, {}))
    image = torch.full((1, 6, 32, 32), 0.75)
    image[..., 6:14, 16:26] = 0
    if name in WANT_BYTES:
        image = (image * 255).to(torch.uint8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        out = transform({"img": image})["img"].float()
    levels = out - out.amin()
    assert levels.amax() > 0
    dark = levels < levels.amax() / 2
    expected = image == 0
    if bool(dark[0, 0, 0, 0]):  # inverted or solarised
        dark = ~dark
    assert torch.equal(dark, expected)


def test_lists_of_allowed_transforms() -> None:
    adapter = TorchVisionAdapter(
        "Compose",
        transforms=[
            transforms.RandomApply([transforms.ColorJitter(brightness=(0.5, 0.5))], p=1.0),
            v2.RandomChoice([v2.Identity()]),
            torch.nn.Sequential(torch.nn.Identity()),
        ],
    )
    out = adapter({"img": torch.full((1, 6, 2, 2), 100, dtype=torch.uint8)})["img"]
    assert out.unique().tolist() == [50]


def test_colours_of_yuv_images_and_of_levels_beyond_one_are_refused() -> None:
    """Torchvision takes the channels for RGB and clamps floats to 0..1 without a word."""
    adapter = TorchVisionAdapter("Compose", transforms=[transforms.ColorJitter(brightness=0.1)])
    levels = torch.full((1, 6, 2, 2), 100.0)
    with pytest.raises(InputError, match=r"ColorJitter.*from 100 to 100.*before BgrToYuv444"):
        adapter({"img": levels})
    with pytest.raises(InputError, match=r"ColorJitter.*yuv444.*before BgrToYuv444"):
        adapter({"img": levels / 255, "color_space": ["yuv444"]})
    normalise = TorchVisionAdapter("Normalize", mean=128.0, std=128.0)
    assert normalise({"img": levels, "color_space": ["yuv444"]})["img"].shape == (1, 6, 2, 2)


def test_a_result_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"Grayscale.*num_output_channels=3"):
        TorchVisionAdapter("Grayscale")({"img": torch.rand(1, 6, 4, 4)})


def test_torchvision_without_the_adapter_is_refused() -> None:
    """Its second version would flip the images of a batch and leave the flow."""
    flip = v2.RandomHorizontalFlip(p=1.0)
    with pytest.raises(InputError, match=r"RandomHorizontalFlip.*TorchVisionAdapter"):
        build_from_registry(
            {"type": "MultiBatchProcessor", "need_grad_update": False, "batch_transforms": [flip]},
            "val_batch_processor",
        )
    with pytest.raises(ValueError, match=r"\[1\].*RandomHorizontalFlip.*TorchVisionAdapter"):
        without_torchvision([len, flip], "give it to TorchVisionAdapter by its name")
