import pickle
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler
from toy_project import ToyDataset

from mmdevis.engine.seeding import (
    Draw,
    SeededBatchSampler,
    SeededDataset,
    mix_seed,
    seed_generators,
    seeded_loader,
)


@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=5), st.integers(1, 2**20))
def test_seeds_are_repeatable_and_differ_in_every_part(parts, step):
    assert 0 <= mix_seed(*parts) < 2**32
    assert mix_seed(*parts) == mix_seed(*parts)
    for place in range(len(parts)):
        other = [*parts]
        other[place] += step
        assert mix_seed(*other) != mix_seed(*parts)


def test_seed_generators_sets_all_three():
    def numbers():
        return random.random(), np.random.rand(), torch.rand(()).item()

    seed_generators(5)
    first = numbers()
    numbers()
    seed_generators(5)
    assert numbers() == first


def sampler(length=10, size=3, rank=0):
    return SeededBatchSampler(BatchSampler(SequentialSampler(range(length)), size, False), rank)


@given(st.integers(1, 20), st.integers(1, 5), st.integers(0, 30), st.integers(0, 3))
def test_starting_in_the_middle_yields_the_rest(length, size, first, epoch):
    batches = sampler(length, size)
    batches.start_at(7, epoch)
    whole = list(batches)
    batches.start_at(7, epoch, first)
    assert list(batches) == whole[first:]
    assert len(batches) == len(whole)  # the length stays that of a whole epoch
    assert [draw.index for batch in whole for draw in batch] == list(range(length))


def test_every_sample_of_every_epoch_and_rank_has_its_own_seed():
    seeds = []
    for rank in (0, 1):
        batches = sampler(rank=rank)
        for epoch in (0, 1, 2):
            batches.start_at(7, epoch)
            seeds += [draw.seed for batch in batches for draw in batch]
    assert len(set(seeds)) == len(seeds) == 60


def test_dataset_gives_the_same_sample_for_the_same_draw_and_passes_attributes_on():
    dataset = SeededDataset(ToyDataset())
    first = dataset[Draw(3, 8)]['inputs']
    assert not torch.equal(dataset[Draw(3, 9)]['inputs'], first)
    assert torch.equal(dataset[Draw(3, 8)]['inputs'], first)
    assert dataset.metainfo['classes'] == ('toy',)
    assert len(dataset) == 10
    with pytest.raises(AttributeError):
        _ = dataset.no_such_thing
    assert len(pickle.loads(pickle.dumps(dataset))) == 10


def test_loader_keeps_its_settings():
    loader = DataLoader(
        ToyDataset(), batch_size=4, drop_last=True, num_workers=2, prefetch_factor=5
    )
    seeded = seeded_loader(loader)
    assert len(seeded) == 2
    assert seeded.batch_sampler.batch_size == 4
    assert seeded.batch_sampler.drop_last
    assert (seeded.num_workers, seeded.prefetch_factor) == (2, 5)
    assert seeded.collate_fn is loader.collate_fn


def test_iterable_data_set_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(3))

    with pytest.raises(TypeError, match='map-style'):
        seeded_loader(DataLoader(Stream(), batch_size=None))
