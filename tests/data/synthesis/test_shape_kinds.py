"""Furniture, lattices and wires: thin where they say so, drawn with exact flow."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hat.data.synthesis.affine import similarity_about, translation
from hat.data.synthesis.furniture import LENGTH
from hat.data.synthesis.materials import Material, random_plain_material
from hat.data.synthesis.render import render_pair
from hat.data.synthesis.scene import Layer, Scene, random_scene
from hat.data.synthesis.shape_kinds import PUBLISHED_SHAPES, SHAPES
from hat.data.synthesis.shapes import Part, smooth_curve, strip
from hat.data.synthesis.spectra import spectral_texture
from hat.data.synthesis.textures import procedural_texture
from tests.data.synthesis.test_render import seen_in_both, warp

SIZE = (192, 256)
MIXED = {"furniture": 3.0, "lattice": 1.0, "wires": 1.0}


def drawn(parts: list[Part], side: int = 640) -> np.ndarray:
    canvas = np.zeros((side, side), np.uint8)
    for part in parts:
        outline = np.rint((part.outline + side / 2) * 16).astype(np.int32)
        cv2.fillPoly(canvas, [outline], 0 if part.hole else 1, shift=4)
    return canvas


def thin_share(mask: np.ndarray, width: int = 9) -> float:
    """Share of a shape that is nowhere ``width`` px wide."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    return 1 - float(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc).sum()) / float(mask.sum())


def test_a_strip_has_its_width_and_a_curve_its_points() -> None:
    points = np.array([[0.0, 0.0], [30.0, 0.0], [60.0, 0.0]])
    outline = strip(points, 4.0)
    assert outline[:, 1].tolist() == [2, 2, 2, -2, -2, -2]
    assert cv2.contourArea(outline.astype(np.float32)) == pytest.approx(240)
    bent = np.array([[0.0, 0.0], [10.0, 5.0], [20.0, -5.0], [40.0, 0.0]])
    curve = smooth_curve(bent, 4)
    assert len(curve) == 13
    np.testing.assert_allclose(curve[::4], bent, atol=1e-12)


def test_furniture_is_as_long_as_published_and_partly_thin() -> None:
    rng = np.random.default_rng(0)
    thin, parts_of_a_piece = [], []
    for _ in range(80):
        parts = SHAPES["furniture"].draw(rng)
        every = np.concatenate([part.outline for part in parts])
        assert np.ptp(every, axis=0).max() == pytest.approx(LENGTH)
        assert np.abs(every).max() <= LENGTH / 2 + 1e-9
        assert all(part.tint is not None and max(part.tint) <= 2 for part in parts)
        thin.append(thin_share(drawn(parts)))
        parts_of_a_piece.append(len(parts))
    assert 0.05 < np.median(thin) < 0.6, "legs, besides plain faces"
    assert np.median(parts_of_a_piece) > 8


@pytest.mark.parametrize("name", ["lattice", "wires"])
def test_thin_kinds_are_thin(name: str) -> None:
    rng = np.random.default_rng(1)
    masks = [drawn(SHAPES[name].draw(rng), 900) for _ in range(40)]
    assert np.mean([thin_share(mask, 13) for mask in masks]) > 0.8
    assert min(mask.sum() for mask in masks) > 30


def test_the_published_kinds_draw_what_they_always_drew() -> None:
    before = random_scene(np.random.default_rng(3), SIZE)
    named = random_scene(np.random.default_rng(3), SIZE, shapes=PUBLISHED_SHAPES, plain=0.0)
    for one, other in zip(before.layers, named.layers, strict=True):
        assert np.array_equal(one.motion, other.motion)
        assert len(one.parts) == len(other.parts)
        assert one.material is other.material is None


def test_objects_are_of_the_kinds_asked_for() -> None:
    scene = random_scene(np.random.default_rng(0), SIZE, shapes={"furniture": 1.0}, plain=0.5)
    objects = scene.layers[1:]
    assert all(part.tint is not None for layer in objects for part in layer.parts)
    plain = [layer.material is not None for layer in objects]
    assert 0.1 < np.mean(plain) < 0.9
    # mostly upright: what is lowest are feet, thin and below the middle
    assert SHAPES["furniture"].turn < 0.1


@pytest.mark.parametrize("index", range(6))
def test_warping_image_2_by_the_flow_gives_image_1(index: int) -> None:
    """Paint and plain colours move with their surfaces."""
    rng = np.random.default_rng((21, index))
    scene = random_scene(rng, SIZE, unit=0.7, shapes=MIXED, plain=0.4)
    p = render_pair(scene, procedural_texture)
    seen = seen_in_both(p) & (p.labels1 > 0)
    assert seen.mean() > 0.02
    image1, image2 = p.image1.astype(np.float32), p.image2.astype(np.float32)

    def error(off: tuple[float, float]) -> float:
        return float(np.abs(warp(image2, p.flow + np.float32(off)) - image1)[seen].mean())

    exact = error((0, 0))
    assert exact < 2.5  # grey levels: faces meet in sharp edges
    assert min(error((1.5, 0)), error((-1.5, 0)), error((0, 1.5)), error((0, -1.5))) > 1.2 * exact


def test_tints_are_painted_where_their_parts_are() -> None:
    """Two halves of a square: dark and light, in both frames, whatever the texture's map."""
    left = np.array([[20, 20], [40, 20], [40, 60], [20, 60]], np.float64) - 0.5
    right = left + np.array([20, 0])
    parts = (Part(left, tint=(0.25,) * 3), Part(right, tint=(1.5,) * 3))
    turned = translation(40, 40) @ similarity_about((0, 0), 0.7, 1.1)
    seed = np.random.SeedSequence(0)
    material = Material((100.0, 100.0, 100.0), 0.0)
    layers = (
        Layer((), np.eye(3), np.eye(3), seed),
        Layer(parts, translation(9, 5), turned, seed, material),
    )
    p = render_pair(Scene((96, 112), layers), lambda *_: np.full((64, 64, 3), 30, np.uint8))
    for image, dx, dy in ((p.image1, 0, 0), (p.image2, 9, 5)):
        rows = slice(24 + dy, 56 + dy)
        dark, light = image[rows, 24 + dx : 36 + dx, 0], image[rows, 44 + dx : 56 + dx, 0]
        assert light.mean() > 3 * dark.mean(), "1.5 against 0.25, in uneven light"
    inner = slice(24, 56), slice(24, 56)
    moved = p.image2[29:61, 33:65].astype(int)
    assert np.abs(moved - p.image1[inner]).max() <= 1


def test_plain_surfaces_have_no_texture_and_are_often_dark() -> None:
    rng = np.random.default_rng(0)
    materials = [random_plain_material(rng) for _ in range(300)]
    flat = np.mean([material.contrast < 0.1 for material in materials])
    dark = np.mean([max(material.colour) < 60 for material in materials])
    assert 0.6 < flat < 0.85
    assert 0.35 < dark < 0.7
    assert all(0 <= c <= 255 for material in materials for c in material.colour)


def test_objects_larger_than_the_canvas_are_painted_whole() -> None:
    square = np.array([[-4000, -4000], [4000, -4000], [4000, 4000], [-4000, 4000]], np.float64)
    seed = np.random.SeedSequence(1)
    layers = (
        Layer((), np.eye(3), np.eye(3), seed),
        Layer((Part(square, tint=(0.5,) * 3),), translation(3, 0), np.eye(3), seed),
    )
    p = render_pair(Scene((48, 64), layers), lambda rng, side, _: spectral_texture(rng, 128))
    assert (p.labels1 == 1).all()
    assert np.abs(p.image2[:, 3:].astype(int) - p.image1[:, :-3]).max() <= 2
