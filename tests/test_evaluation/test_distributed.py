"""Evaluation over two real processes equals evaluation over one."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import traceback
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from mmdevis.evaluation import VISMetric


def evaluate(metric: VISMetric, samples: list[dict], size: int) -> dict:
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(size)


def run_rank(rank: int, folder: Path, samples: list[dict], classes: tuple) -> None:
    torch.set_num_threads(1)  # a forked process must not use its parent's thread pool
    os.environ['GLOO_SOCKET_IFNAME'] = 'lo'
    os.chdir(folder)
    try:
        dist.init_process_group(
            'gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2
        )
        metric = VISMetric(outfile_prefix=str(folder / 'two'))
        metric.dataset_meta = {'classes': classes}
        # Each rank takes every second video, as DefaultSampler does: of three videos the first one
        # is repeated to fill rank 1.
        padded = samples + samples[:1]
        outcome = [evaluate(metric, padded[rank::2], len(samples))]
        # A fault that only one rank can see must end both.
        incomplete = [{'video_data_samples': samples[0]['video_data_samples'][:2]}]
        with pytest.raises(RuntimeError) as error:
            evaluate(metric, incomplete if rank else samples, len(samples))
        outcome.append(str(error.value))
        dist.destroy_process_group()
    except BaseException:
        outcome = traceback.format_exc()
    (folder / f'rank{rank}').write_bytes(pickle.dumps(outcome))
    os._exit(0)  # not pytest's own ending


@pytest.mark.slow
def test_two_ranks_equal_one(vis, tmp_path):
    gt, results = vis.random_set(1)
    assert len(gt['videos']) == 3
    samples = vis.to_samples(gt, results)
    context = multiprocessing.get_context('fork')  # imports take longer than the test
    ranks = [
        context.Process(target=run_rank, args=(rank, tmp_path, samples, vis.classes))
        for rank in range(2)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(60)
        rank.kill()
    outcomes = [pickle.loads((tmp_path / f'rank{rank}').read_bytes()) for rank in range(2)]
    assert not any(isinstance(outcome, str) for outcome in outcomes), '\n'.join(map(str, outcomes))

    metric = VISMetric(outfile_prefix=str(tmp_path / 'one'))
    metric.dataset_meta = {'classes': vis.classes}
    single = evaluate(metric, samples, len(samples))
    for metrics, error in outcomes:
        assert metrics == single
        assert error.startswith('video 1: only 2 of its 5 frames')
    # The submission is the same too, whoever predicted which video.
    assert (tmp_path / 'two.json').read_text() == (tmp_path / 'one.json').read_text()
    assert not (tmp_path / '.dist_test').exists()
