"""Tiny copies of public data sets in the layout in which they are published, for tests.

Every writer returns what it has written, by the name that the reader gives the pair. Images are
random but smooth, flows are small, affine and known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from hat.data.flow_io import write_flo, write_kitti_png, write_pfm
from hat.data.image_io import write_png
from tests.data.raw_chairs import affine_flow, smooth_image

Size = tuple[int, int]
SIZE = (64, 128)


@dataclass
class Written:
    """One pair: images uint8 (H, W, 3), flow (H, W, 2) and masks (H, W) by the sample's keys."""

    image1: np.ndarray
    image2: np.ndarray
    flow: np.ndarray
    masks: dict[str, np.ndarray] = field(default_factory=dict)


def image(seed: int, size: Size = SIZE) -> np.ndarray:
    return smooth_image(np.random.default_rng(seed), *size)


def flow(seed: int, size: Size = SIZE) -> np.ndarray:
    return affine_flow(np.random.default_rng(seed), *size)


def blob(seed: int, size: Size = SIZE, share: float = 0.3) -> np.ndarray:
    """A smooth random mask, uint8 0 or 1."""
    return (smooth_image(np.random.default_rng(seed + 99), *size)[..., 0] < 255 * share).astype(
        "u1"
    )


def picture(path: Path, rgb: np.ndarray) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, rgb)
    return rgb


def mask_file(path: Path, mask: np.ndarray, value: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask * np.uint8(value))


def flo_file(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_flo(path, values)


def write_sintel(root: Path, size: Size = SIZE) -> dict[str, Written]:
    """``training`` with two scenes in two passes, ``test`` with one scene."""
    written: dict[str, Written] = {}
    for number, scene in enumerate(("alley_1", "temple_2")):
        for name in ("clean", "final"):
            folder = root / "training" / name / scene
            images = [
                picture(folder / f"frame_{i + 1:04d}.png", image(10 * number + i, size) // 2 * 2)
                if name == "clean"
                else picture(folder / f"frame_{i + 1:04d}.png", image(50 + i, size))
                for i in range(3)
            ]
            for i in range(2):
                seed = 10 * number + i
                hidden, unknown = blob(seed, size), blob(seed + 1, size, 0.1)
                written[f"{name}/{scene}/frame_{i + 1:04d}"] = Written(
                    images[i],
                    images[i + 1],
                    flow(seed, size),
                    {"gt_occlusion": hidden, "gt_valid": 1 - unknown},
                )
        for i in range(3):
            seed, stem = 10 * number + i, f"{scene}/frame_{i + 1:04d}"
            mask_file(root / f"training/invalid/{stem}.png", blob(seed + 1, size, 0.1))
            if i < 2:
                flo_file(root / f"training/flow/{stem}.flo", flow(seed, size))
                mask_file(root / f"training/occlusions/{stem}.png", blob(seed, size))
    for name in ("clean", "final"):
        for i in range(3):
            picture(root / f"test/{name}/ambush_1/frame_{i + 1:04d}.png", image(70 + i, size))
    return written


def write_kitti(root: Path, year: int, largest: Size = SIZE) -> dict[str, Written]:
    """Pairs of different sizes, as KITTI's are; sparse flow, less of it in ``flow_noc``."""
    images = {2012: "colored_0", 2015: "image_2"}[year]
    written: dict[str, Written] = {}
    for i in range(2):
        size = (largest[0] - 3 * i, largest[1] - 5 * i)
        name = f"{i:06d}_10"
        rng = np.random.default_rng(i)
        known = (rng.random(size) < 0.5).astype(np.uint8)
        seen, moving = known & (1 - blob(i, size)), blob(i + 1, size)
        # the format's step is 1/64 px
        values = np.round(flow(i, size) * 64) / np.float32(64)
        written[name] = Written(
            picture(root / f"training/{images}/{name}.png", image(i, size)),
            picture(root / f"training/{images}/{i:06d}_11.png", image(i + 40, size)),
            values * known[..., None],
            {"gt_valid": known, "gt_noc": seen},
        )
        for folder, valid in (("flow_occ", known), ("flow_noc", seen)):
            path = root / f"training/{folder}/{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_kitti_png(path, values, valid)
        if year == 2015:
            written[name].masks["gt_object"] = moving
            mask_file(root / f"training/obj_map/{name}.png", moving, value=1 + i)
        for second in ("10", "11"):
            picture(root / f"testing/{images}/{i:06d}_{second}.png", image(i + int(second), size))
    # of the longer sequences that some installations have
    picture(root / f"training/{images}/000000_12.png", image(3))
    return written


def write_hd1k(root: Path, size: Size = SIZE) -> dict[str, Written]:
    written: dict[str, Written] = {}
    for sequence, count in ((0, 3), (7, 2)):
        images = [
            picture(
                root / f"hd1k_input/image_2/{sequence:06d}_{10 * i:04d}.png",
                image(sequence + i, size),
            )
            for i in range(count)
        ]
        for i in range(count):
            name = f"{sequence:06d}_{10 * i:04d}"
            values = np.round(flow(sequence + i, size) * 64) / np.float32(64)
            known = blob(sequence + i, size, share=0.6)
            path = root / f"hd1k_flow_gt/flow_occ/{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_kitti_png(path, values, known)
            if i < count - 1:
                masks = {"gt_valid": known}
                written[name] = Written(images[i], images[i + 1], values * known[..., None], masks)
    for i in range(2):
        picture(root / f"hd1k_challenge/image_2/000100_{i:04d}.png", image(60 + i, size))
    return written


def write_things(root: Path, size: Size = SIZE) -> dict[str, Written]:
    """The whole FlyingThings3D: scenes of three frames, both passes, directions and cameras."""
    _write_things(root, "TEST", size)
    return _write_things(root, "TRAIN", size)


def _write_things(root: Path, split: str, size: Size) -> dict[str, Written]:
    written: dict[str, Written] = {}
    for eye, camera in enumerate(("left", "right")):
        for name in ("clean", "final"):
            folder = root / f"frames_{name}pass/{split}/A/0000/{camera}"
            images = {
                i: picture(folder / f"{i:04d}.png", image(i + 10 * eye + (name == "final"), size))
                for i in (6, 7, 8)
            }
            for folder_name, step in (("into_future", 1), ("into_past", -1)):
                for i in images:
                    if i + step in images:
                        written[f"{name}/A/0000/{camera}/{folder_name}/{i:04d}"] = Written(
                            images[i], images[i + step], flow(i * step % 97 + 20 * eye, size)
                        )
        for kind, step in (("Future", 1), ("Past", -1)):
            for i in (6, 7, 8):
                path = root / (
                    f"optical_flow/{split}/A/0000/into_{kind.lower()}/{camera}/"
                    f"OpticalFlowInto{kind}_{i:04d}_{camera[0].upper()}.pfm"
                )
                path.parent.mkdir(parents=True, exist_ok=True)
                write_pfm(path, flow(i * step % 97 + 20 * eye, size))
    return written


def write_things_subset(root: Path, size: Size = SIZE) -> dict[str, Written]:
    """The subset: two scenes of two frames in one numbering."""
    written: dict[str, Written] = {}
    for split, first in (("train", 0), ("val", 5)):
        images = {
            i: picture(root / f"{split}/image_clean/left/{i:07d}.png", image(i, size))
            for i in range(first, first + 4)
        }
        for i in (first, first + 2):  # the second frame of a scene has no flow into the future
            name = f"left/into_future/{i:07d}"
            flo_file(root / f"{split}/flow/{name}.flo", flow(i, size))
            mask_file(root / f"{split}/flow_occlusions/{name}.png", blob(i, size))
            if split == "train":
                masks = {"gt_occlusion": blob(i, size)}
                written[f"clean/{name}"] = Written(images[i], images[i + 1], flow(i, size), masks)
    return written


def write_middlebury(root: Path, size: Size = SIZE) -> dict[str, Written]:
    written: dict[str, Written] = {}
    for number, scene in enumerate(("Venus", "Urban2", "Walking")):
        images = [
            picture(root / f"other-data/{scene}/frame{i}.png", image(number + i, size))
            for i in (10, 11)
        ]
        if scene == "Walking":  # has no published flow
            continue
        values, unknown = flow(number, size), blob(number, size, share=0.15)
        stored = np.where(unknown[..., None] > 0, np.float32(1.6666667e9), values)
        flo_file(root / f"other-gt-flow/{scene}/flow10.flo", stored)
        masks = {"gt_valid": 1 - unknown}
        written[scene] = Written(*images, values, masks)
    for i in (10, 11):
        picture(root / f"eval-data/Army/frame{i}.png", image(80 + i, size))
    return written


def write_chairs2(root: Path, size: Size = SIZE) -> dict[str, Written]:
    written: dict[str, Written] = {}
    for split in ("train", "val"):
        for i in range(2):
            stem = root / split / f"{i:07d}"
            images = [picture(Path(f"{stem}-img_{k}.png"), image(10 * i + k, size)) for k in (0, 1)]
            for one, two in ((0, 1), (1, 0)):
                flo_file(Path(f"{stem}-flow_{one}{two}.flo"), flow(7 * i + one, size))
                mask_file(Path(f"{stem}-occ_{one}{two}.png"), blob(7 * i + one, size))
                mask_file(Path(f"{stem}-mb_{one}{two}.png"), blob(i, size))
                if split == "train":
                    masks = {"gt_occlusion": blob(7 * i + one, size)}
                    written[f"{i:07d}-{one}{two}"] = Written(
                        images[one], images[two], flow(7 * i + one, size), masks
                    )
    return written


def write_spring(root: Path, size: Size = SIZE) -> dict[str, Written]:
    """Flow of twice the size of the images, NaN where unknown; needs h5py."""
    for i in (1, 2, 3):
        picture(root / f"test/0003/frame_left/frame_left_{i:04d}.png", image(i + 30, size))
    return {**_write_spring(root, "0001", size), **_write_spring(root, "0041", size)}


def _write_spring(root: Path, scene: str, size: Size) -> dict[str, Written]:
    import h5py

    written: dict[str, Written] = {}
    for i in (1, 2, 3):
        picture(root / f"train/{scene}/frame_left/frame_left_{i:04d}.png", image(i, size))
    for short, step in (("FW", 1), ("BW", -1)):
        for i in (1, 2, 3):
            if not 1 <= i + step <= 3:
                continue
            unknown = blob(i, size, share=0.1)
            values = np.where(
                unknown[..., None] > 0, np.float32(np.nan), flow(10 + i + 5 * step, size)
            )
            large = np.repeat(np.repeat(values, 2, axis=0), 2, axis=1)
            path = root / f"train/{scene}/flow_{short}_left/flow_{short}_left_{i:04d}.flo5"
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file.create_dataset("flow", data=large, compression="gzip", compression_opts=5)
            masks = {"gt_valid": 1 - unknown}
            written[f"{scene}/left/{short}/{i:04d}"] = Written(
                image(i, size), image(i + step, size), np.nan_to_num(values), masks
            )
    return written


def write_folder(root: Path, size: Size = SIZE) -> dict[str, Written]:
    """A folder of someone's own: ``city/9_a.png``, ``city/9_b.png``, ``city/9_flow.flo``."""
    written: dict[str, Written] = {}
    for place, numbers in (("city", (9, 10)), ("park", (1,))):
        for i in numbers:
            stem = root / place / str(i)
            one = picture(Path(f"{stem}_a.png"), image(i, size))
            two = picture(Path(f"{stem}_b.png"), image(i + 20, size))
            flo_file(Path(f"{stem}_flow.flo"), flow(i, size))
            written[f"{place}/{i}"] = Written(one, two, flow(i, size))
    return written
