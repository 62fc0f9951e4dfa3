"""Samplers of every kind, alone and in two processes; loaders' arguments."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from hat.engine import distributed
from hat.engine.data_loading import batches, build_eval_loader, build_train_loader, set_epoch
from hat.errors import InputError
from hat.registry import resolve


class Numbers(Dataset):
    def __init__(self, size=8):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return torch.tensor(index)


class Backwards(Sampler):
    """A user's own, without the arguments of torch's."""

    def __init__(self, dataset):
        self.size = len(dataset)

    def __len__(self):
        return self.size

    def __iter__(self):
        return iter(range(self.size - 1, -1, -1))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))


class Endless(Sampler):
    def __iter__(self):
        return iter(int, 1)


def loader_of(size=8, **arguments):
    arguments = {"batch_size": 1, **arguments}
    dataset = arguments.pop("dataset", {"type": Numbers, "size": size})
    return resolve({"type": DataLoader, "dataset": dataset, **arguments}, "data_loader")


def order(config, monkeypatch, epoch=0, world=1, start=0):
    """The indices of each process in an epoch."""
    found = []
    monkeypatch.setattr(distributed, "world_size", lambda: world)
    for rank in range(world):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        torch.manual_seed(rank)  # processes' own random numbers differ
        loader, sampler = build_train_loader(config, seed=3)
        set_epoch(loader, sampler, epoch, start)
        found.append([int(i) for batch in batches(loader) for i in batch])
        assert start or len(loader) == len(found[-1])
    return found


SAMPLERS = [
    {"type": RandomSampler},
    {"type": SequentialSampler},
    {"type": Backwards},
    {"type": DistributedSampler},
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s["type"].__name__)
def test_two_processes_take_each_sample_once(sampler, monkeypatch):
    config = loader_of(sampler=sampler)
    first, second = order(config, monkeypatch, world=2)
    assert sorted(first + second) == list(range(8))
    assert [first, second] == order(config, monkeypatch, world=2)
    (alone,) = order(config, monkeypatch)
    assert [alone[0::2], alone[1::2]] == [first, second]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s["type"].__name__)
def test_processes_take_as_many_steps_as_each_other(sampler, monkeypatch):
    shares = order(loader_of(7, sampler=sampler), monkeypatch, world=2)
    assert [len(share) for share in shares] == [4, 4]
    assert set(shares[0] + shares[1]) == set(range(7))


def test_the_order_depends_on_seed_and_epoch_alone(monkeypatch):
    config = loader_of(32, sampler={"type": RandomSampler})
    (first,) = order(config, monkeypatch, epoch=1)
    assert order(config, monkeypatch, epoch=1) == [first]
    assert order(config, monkeypatch, epoch=2) != [first]
    assert order(config, monkeypatch, epoch=1, start=5) == [first[5:]]
    before = torch.get_rng_state()
    next(iter(build_train_loader(config, seed=3)[1]))
    assert torch.equal(before, torch.get_rng_state())


def test_weighted_samples_are_the_same_draw_in_all_processes(monkeypatch):
    weights = [0.0] * 7 + [1.0]
    sampler = {"type": WeightedRandomSampler, "weights": weights, "num_samples": 6}
    assert order(loader_of(sampler=sampler), monkeypatch, world=2) == [[7] * 3, [7] * 3]


def test_a_sampler_that_is_an_object_is_shared_as_well(monkeypatch):
    sampler = RandomSampler(range(8), generator=torch.Generator())
    first, second = order(loader_of(sampler=sampler, shuffle=True), monkeypatch, world=2)
    assert sorted(first + second) == list(range(8))


def test_shuffle_goes_to_the_sampler(monkeypatch):
    for sampler in ({}, {"sampler": {"type": DistributedSampler}}):
        assert order(loader_of(**sampler), monkeypatch) == [list(range(8))]
        assert order(loader_of(**sampler, shuffle=True), monkeypatch) != [list(range(8))]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"sampler": {"type": SequentialSampler}, "shuffle": True},
            r"^data_loader\.shuffle: SequentialSampler decides the order; leave shuffle out",
        ),
        ({"sampler": {"type": Endless}}, r"^data_loader\.sampler: Endless has no length"),
        ({"batch_sampler": [[0, 1]]}, r"^data_loader\.batch_sampler: batches come from"),
        ({"dataset": {"type": Stream}}, r"^data_loader\.dataset: Stream is an IterableDataset"),
        ({"num_workers": -1}, r"^data_loader\.num_workers is -1; expected a whole number"),
        ({"num_workers": None}, r"^data_loader\.num_workers is None; expected"),
        (
            {"sampler": {"type": DistributedSampler, "seed": None}},
            "^seed is None; expected a whole number",
        ),
    ],
)
def test_what_a_loader_cannot_do_is_said_in_words(arguments, message):
    with pytest.raises(InputError, match=message):
        build_train_loader(loader_of(**arguments), seed=0)


def eval_order(config, monkeypatch, world):
    found = []
    monkeypatch.setattr(distributed, "world_size", lambda: world)
    for rank in range(world):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        loader = build_eval_loader(config)
        found.append([int(i) for batch in loader for i in batch])
        assert len(loader) == len(found[-1])
    return found


@pytest.mark.parametrize("kind", [DistributedSampler, SequentialSampler, None])
def test_an_evaluation_takes_each_sample_once(kind, monkeypatch):
    config = loader_of(7, **({"sampler": {"type": kind}} if kind else {}))
    assert eval_order(config, monkeypatch, 2) == [[0, 2, 4, 6], [1, 3, 5]]


def test_an_evaluation_keeps_a_sampler_of_the_users(monkeypatch):
    config = loader_of(5, sampler={"type": Backwards})
    assert eval_order(config, monkeypatch, 1) == [[4, 3, 2, 1, 0]]
    assert eval_order(config, monkeypatch, 2) == [[4, 2, 0], [3, 1]]


def test_without_workers_what_is_about_them_is_left_out():
    config = loader_of(num_workers=0, persistent_workers=True, prefetch_factor=4)
    assert build_eval_loader(config).num_workers == 0


class Sizes(Dataset):
    """Pictures of two sizes in turn."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"img": torch.zeros(6, 4, 4 + index % 2), "img_id": index}


def test_an_evaluation_groups_images_by_size():
    config = loader_of(dataset={"type": Sizes}, batch_size=4)
    [parts] = list(build_eval_loader(config, by_size=True))
    assert [part["img_id"].tolist() for part in parts] == [[0, 2], [1, 3]]
    one = loader_of(dataset={"type": Sizes}, batch_size=None)
    assert [batch["img_id"] for batch in build_eval_loader(one, by_size=True)] == [0, 1, 2, 3]
