"""The metric as MMEngine's evaluator uses it."""

from __future__ import annotations

import json
import logging
import tracemalloc
import zipfile

import pytest
from mmdet.evaluation.metrics import YouTubeVISMetric
from mmdet.registry import METRICS
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger

from mmdevis.evaluation import VISFormatError, VISMetric, evaluate_ytvis
from mmdevis.utils.numpy_compat import removed_aliases

ALL_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
ALL_ITEMS += ('AR@1', 'AR@10', 'AR@100', 'AR_s@100', 'AR_m@100', 'AR_l@100')


@pytest.fixture
def make_metric(vis):
    def make(**kwargs) -> VISMetric:
        metric = VISMetric(**kwargs)
        metric.dataset_meta = {'classes': vis.classes}
        return metric

    return make


def one_frame_at_a_time(videos: list[dict]) -> list[dict]:
    return [{'video_data_samples': [f]} for v in videos for f in v['video_data_samples']]


def run(metric, samples: list[dict]) -> dict:
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(len(samples))


@pytest.mark.parametrize('seed', range(4))
def test_equals_mmdetections_metric_under_its_names(vis, make_metric, seed):
    gt, results = vis.random_set(seed)
    samples = vis.to_samples(gt, results, as_rle=False)
    theirs = YouTubeVISMetric(metric_items=list(ALL_ITEMS))
    theirs.dataset_meta = {'classes': vis.classes}
    with removed_aliases():  # that of OpenMMLab's MMDetection 3.3 needs them
        expected = run(theirs, samples)
    actual = run(make_metric(metric_items=ALL_ITEMS), samples)
    assert {k: actual[k] for k in expected} == pytest.approx(expected, abs=1e-9)
    assert len(expected) == 12


@pytest.mark.parametrize('as_rle', [True, False])
@pytest.mark.parametrize('framewise', [True, False])
def test_equals_offline_evaluation(vis, make_metric, as_rle, framewise):
    gt, results = vis.random_set(1)
    samples = vis.to_samples(gt, results, as_rle)
    if framewise:
        samples = one_frame_at_a_time(samples)
    actual = run(make_metric(classwise=True), samples)
    expected = evaluate_ytvis(gt, results, classwise=True)
    assert {k: actual[f'youtube_vis/{k}'] for k in expected} == pytest.approx(expected)
    assert {'AP', 'AP50', 'AP75', 'AR1', 'AR10', 'AP_heavy', 'cat_precision'} <= expected.keys()


def test_default_names(vis, make_metric):
    metrics = run(make_metric(), vis.to_samples(*vis.random_set(1)))
    assert {f'youtube_vis/segm_{item}' for item in ALL_ITEMS[:6]} <= metrics.keys()
    assert 'youtube_vis/segm_AR@1' not in metrics
    assert round(metrics['youtube_vis/AP'], 3) == metrics['youtube_vis/segm_mAP']
    assert all(isinstance(v, float) for v in metrics.values())


def test_built_from_config_and_run_by_the_evaluator(vis):
    evaluator = Evaluator({'type': 'VISMetric', 'prefix': 'val', '_scope_': 'mmdet'})
    assert METRICS.get('VISMetric') is VISMetric
    evaluator.dataset_meta = {'classes': vis.classes}
    gt, results = vis.random_set(1)
    for sample in vis.to_samples(gt, results):
        evaluator.process([sample])
    assert evaluator.evaluate(3)['val/AP'] == pytest.approx(evaluate_ytvis(gt, results)['AP'])


def test_masks_are_kept_as_rle_and_nothing_of_earlier_runs_stays(vis, make_metric):
    gt, results = vis.random_set(1)
    metric = make_metric()
    samples = vis.to_samples(gt, results, as_rle=False)
    first = run(metric, samples)
    assert metric.results == []
    for sample in samples:
        metric.process({}, [sample])
    kept = [s for video in metric.results for r in video['results'] for s in r['segmentations']]
    assert {type(s) for s in kept} <= {dict, type(None)}
    json.dumps(metric.results)  # nothing but plain Python
    assert metric.evaluate(len(samples)) == first


def test_memory_of_a_set_is_that_of_its_encoded_masks(vis, make_metric):
    """Bool masks of 6 videos of 10 frames at 180 x 320 would take up to 20 MB."""
    gt, results = vis.random_set(0, num_videos=6, num_frames=10, size=(180, 320))
    metric = make_metric()
    tracemalloc.start()
    for i in range(1, 7):
        one = {**gt, 'videos': gt['videos'][i - 1 : i]}
        for video in vis.to_samples(one, results, as_rle=False):
            metric.process({}, [video])
    del video
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    num_masks = sum(len(t['segmentations']) for t in results + gt['annotations'])
    assert num_masks > 300
    assert kept < 2000 * num_masks  # bytes; one bool mask has 57600


def test_predictions_are_not_changed(vis, make_metric):
    samples = vis.to_samples(*vis.random_set(1))
    before = [
        dict(m)
        for v in samples
        for f in v['video_data_samples']
        for m in f.pred_track_instances.masks
    ]
    run(make_metric(), samples)
    after = [
        m for v in samples for f in v['video_data_samples'] for m in f.pred_track_instances.masks
    ]
    assert after == before


def test_objects_numbered_per_video_do_not_collide(vis, make_metric):
    """MMDetection's metric keeps only one of two objects with the same number."""
    gt, results = vis.random_set(2)
    expected = evaluate_ytvis(gt, results)
    samples = vis.to_samples(gt, results)
    for video in samples:
        numbers: dict[int, int] = {}
        for frame in video['video_data_samples']:
            for instance in frame.metainfo['instances']:
                number = numbers.setdefault(instance['instance_id'], len(numbers))
                instance['instance_id'] = number
    assert run(make_metric(), samples)['youtube_vis/AP'] == pytest.approx(expected['AP'])


def test_video_given_twice_counts_once(vis, make_metric):
    samples = vis.to_samples(*vis.random_set(1))
    once = run(make_metric(), samples)
    assert run(make_metric(), samples + samples[:1]) == once


def test_no_predictions_score_zero(vis, make_metric):
    gt, _ = vis.random_set(1)
    for as_rle in (True, False):
        metrics = run(make_metric(), vis.to_samples(gt, [], as_rle))
        assert metrics['youtube_vis/AP'] == metrics['youtube_vis/segm_mAP'] == 0


@pytest.fixture
def log(caplog):
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.INFO)  # commands that ran before may have made it quiet
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)
    logger.setLevel(level)


def test_without_ground_truth_the_submission_is_written(vis, make_metric, tmp_path, log):
    gt, results = vis.random_set(1)
    samples = vis.to_samples(gt | {'annotations': []}, results)
    prefix = tmp_path / 'new' / 'val'
    assert run(make_metric(outfile_prefix=str(prefix)), samples) == {}
    written = json.loads((tmp_path / 'new' / 'val.json').read_text())
    assert len(written) == len(results)
    with zipfile.ZipFile(tmp_path / 'new' / 'val.submission_file.zip') as archive:
        assert archive.namelist() == ['results.json']
        assert json.loads(archive.read('results.json')) == written
    assert 'no ground truth' in log.text and 'val.submission_file.zip' in log.text
    assert sorted(p.name for p in (tmp_path / 'new').iterdir()) == [
        'val.json',
        'val.submission_file.zip',
    ]
    # What was written scores offline as the predictions would have.
    assert evaluate_ytvis(gt, written) == pytest.approx(evaluate_ytvis(gt, results))


def test_null_instances_are_no_ground_truth(vis, make_metric, tmp_path):
    samples = vis.to_samples(*vis.random_set(1))
    for video in samples:
        for frame in video['video_data_samples']:
            frame.set_metainfo({'instances': None})
    assert run(make_metric(outfile_prefix=str(tmp_path / 'x')), samples) == {}
    assert (tmp_path / 'x.submission_file.zip').is_file()


def test_format_only_writes_where_the_log_is(vis, make_metric, tmp_path, log, monkeypatch):
    logger = MMLogger.get_current_instance()
    handler = logging.FileHandler(tmp_path / 'run.log')
    # Runs of other tests in this process may have left log files of their own.
    others = [h for h in logger.handlers if not isinstance(h, logging.FileHandler)]
    monkeypatch.setattr(logger, 'handlers', [*others, handler])
    try:
        assert run(make_metric(format_only=True), vis.to_samples(*vis.random_set(1))) == {}
    finally:
        handler.close()
    assert (tmp_path / 'vis_results.json').is_file()
    assert (tmp_path / 'vis_results.submission_file.zip').is_file()
    assert 'format_only' in log.text and str(tmp_path) in log.text


def test_outfile_prefix_writes_beside_scoring(vis, make_metric, tmp_path):
    metrics = run(
        make_metric(outfile_prefix=str(tmp_path / 'a')), vis.to_samples(*vis.random_set(1))
    )
    assert metrics['youtube_vis/AP'] > 0
    assert (tmp_path / 'a.json').is_file()


def test_category_ids_of_the_annotation_file(vis, make_metric, tmp_path):
    metric = make_metric(outfile_prefix=str(tmp_path / 'a'))
    metric.dataset_meta = {'classes': vis.classes, 'category_ids': [10, 20, 30]}
    gt, results = vis.random_set(1)
    metrics = run(metric, vis.to_samples(gt, results))
    assert metrics['youtube_vis/AP'] == pytest.approx(evaluate_ytvis(gt, results)['AP'])
    written = json.loads((tmp_path / 'a.json').read_text())
    assert {r['category_id'] for r in written} == {r['category_id'] * 10 for r in results}


def test_table_and_classes_are_logged(vis, make_metric, log):
    run(make_metric(classwise=True), vis.to_samples(*vis.random_set(1)))
    assert 'AP50' in log.text and 'heavily occluded' in log.text and 'owl' in log.text


@pytest.mark.parametrize('key', ['masks', 'scores', 'labels', 'instances_id'])
def test_missing_field_is_named(vis, make_metric, key):
    samples = vis.to_samples(*vis.random_set(1))
    del samples[1]['video_data_samples'][2].pred_track_instances[key]
    with pytest.raises(VISFormatError, match=f'video 2, frame 2.*{key}'):
        run(make_metric(), samples)


def test_prediction_missing_at_all(vis, make_metric):
    samples = vis.to_samples(*vis.random_set(1))
    del samples[0]['video_data_samples'][0].pred_track_instances
    with pytest.raises(VISFormatError, match='video 1, frame 0.*pred_track_instances'):
        run(make_metric(), samples)


@pytest.mark.parametrize('as_rle', [True, False])
def test_masks_of_another_size(vis, make_metric, as_rle):
    samples = vis.to_samples(*vis.random_set(1), as_rle)
    frame = samples[0]['video_data_samples'][3]
    frame.set_metainfo({'ori_shape': (48, 64)})
    with pytest.raises(VISFormatError, match=r'video 1, frame 3: .*\(24, 32\).*\(48, 64\)'):
        run(make_metric(), samples)


def test_ground_truth_without_masks(vis, make_metric):
    samples = vis.to_samples(*vis.random_set(1))
    frame = next(f for v in samples for f in v['video_data_samples'] if f.metainfo['instances'])
    del frame.metainfo['instances'][0]['mask']
    instances = [{k: v for k, v in i.items() if k != 'mask'} for i in frame.metainfo['instances']]
    frame.set_metainfo({'instances': instances})
    with pytest.raises(VISFormatError, match='has no mask'):
        run(make_metric(), samples)


def test_label_beyond_the_classes(vis, make_metric):
    metric = make_metric()
    metric.dataset_meta = {'classes': vis.classes[:1]}
    with pytest.raises(VISFormatError, match='num_classes'):
        run(metric, vis.to_samples(*vis.random_set(1)))


def test_incomplete_video(vis, make_metric):
    metric = make_metric()
    frames = one_frame_at_a_time(vis.to_samples(*vis.random_set(1)))
    with pytest.raises(RuntimeError, match='video 3: only 4 of its 5 frames.*TrackImgSampler'):
        run(metric, frames[:-1])
    run(metric, frames)  # and the next evaluation starts afresh


def test_unknown_metric_item():
    with pytest.raises(KeyError, match='mAP_60'):
        VISMetric(metric_items=['mAP_60'])
