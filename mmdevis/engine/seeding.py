"""Randomness as a function of where training is, not of what ran before.

A training run draws random numbers in the data pipeline (in worker processes, ahead of time) and in
the model (dropout). Their generators' states cannot all be put into a checkpoint: workers are ahead
by some batches, and only rank 0 writes. So nothing is saved: before each sample and each iteration
the generators are seeded from (seed, rank, epoch or iteration, position). A run that was killed and
resumed then draws the same numbers as one that was not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sized
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset

#: Keep the seeds of samples and of iterations apart.
SAMPLE_STREAM, ITERATION_STREAM = 0, 1


def mix_seed(*parts: int) -> int:
    """Makes one seed of several numbers.

    Args:
        *parts: Non-negative integers. Neighbouring ones give unrelated seeds.

    Returns:
        A seed below 2**32, the same on every machine.
    """
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def seed_generators(seed: int) -> None:
    """Seeds the generators of `random`, numpy and torch (all devices) of this process."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class Draw(NamedTuple):
    """One sample to load: the index that the sampler drew, and the seed to load it with."""

    index: Any
    seed: int


class SeededDataset(Dataset):
    """Loads each sample with generators that are seeded for it; otherwise the data set itself.

    Args:
        dataset: Any map-style data set.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitem__(self, draw: Draw) -> Any:
        seed_generators(draw.seed)
        return self.dataset[draw.index]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        # Hooks ask the loader's data set for its metainfo, pipeline and the like. Not found while
        # a worker unpickles this object, when there is no `dataset` yet.
        if name == 'dataset' or name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.dataset, name)


class SeededBatchSampler(BatchSampler):
    """Adds seeds to the batches of another batch sampler, and can start in the middle of an epoch.

    Args:
        batch_sampler: Sized iterable of lists of indices.
        rank: Rank of this process; other ranks draw other numbers.
    """

    def __init__(self, batch_sampler: BatchSampler, rank: int = 0) -> None:
        self.batch_sampler = batch_sampler
        self.rank = rank
        self.seed = 0
        self.epoch = 0
        self.first_batch = 0

    @property
    def sampler(self) -> Sized:
        """The sampler of indices, which mmengine's hook tells the epoch."""
        return self.batch_sampler.sampler

    @property
    def batch_size(self) -> int:
        """Number of samples in a batch."""
        return self.batch_sampler.batch_size

    @property
    def drop_last(self) -> bool:
        """Whether a smaller last batch is left out."""
        return self.batch_sampler.drop_last

    def start_at(self, seed: int, epoch: int, first_batch: int = 0) -> None:
        """Sets what the next iteration over this sampler yields.

        Args:
            seed: The run's seed.
            epoch: Epoch, from 0.
            first_batch: Batches of the epoch to leave out, because they were trained on already.
        """
        self.seed, self.epoch, self.first_batch = seed, epoch, first_batch

    def __iter__(self) -> Iterator[list[Draw]]:
        for number, batch in enumerate(self.batch_sampler):
            if number < self.first_batch:
                continue  # drawn, so that what follows is the same, but not loaded
            where = (SAMPLE_STREAM, self.seed, self.rank, self.epoch, number)
            yield [Draw(index, mix_seed(*where, slot)) for slot, index in enumerate(batch)]

    def __len__(self) -> int:
        """Number of batches of a whole epoch."""
        return len(self.batch_sampler)


def seeded_loader(loader: DataLoader, rank: int = 0) -> DataLoader:
    """Makes a loader like another one whose samples are seeded one by one.

    Args:
        loader: A loader of a map-style data set with automatic batching.
        rank: Rank of this process.

    Returns:
        The same settings over a `SeededDataset` and a `SeededBatchSampler`.

    Raises:
        TypeError: When the loader has no batch sampler (an iterable data set).
    """
    if loader.batch_sampler is None:
        raise TypeError(
            'The training data loader has no batch sampler, so its batches cannot be counted or '
            'repeated. Give train_dataloader a map-style data set and a batch_size.'
        )
    settings = {}
    if loader.num_workers > 0:  # torch refuses these two without workers
        settings['prefetch_factor'] = loader.prefetch_factor
        settings['persistent_workers'] = loader.persistent_workers
    return DataLoader(
        SeededDataset(loader.dataset),
        batch_sampler=SeededBatchSampler(loader.batch_sampler, rank),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
        **settings,
    )
