"""Packing a whole video for inference without decoding it."""

from collections.abc import Sequence

from mmcv.transforms import BaseTransform, Compose
from mmdet.registry import TRANSFORMS
from mmdet.structures import DetDataSample, TrackDataSample

from ..lazy_video import LazyVideo


@TRANSFORMS.register_module()
class PackLazyVideo(BaseTransform):
    """Pack a whole video as a `LazyVideo` and a `TrackDataSample`, without reading any frame.

    Required keys, each a list over the frames: `img_path`, `img_id`, `frame_id`, `video_id`,
    `height`, `width`, and as far as given `ori_video_length`, `video_length`, `instances`.

    Result: `inputs` (`LazyVideo`: frame i as (3, h, w) uint8) and `data_samples` (`TrackDataSample`
    with one `DetDataSample` per frame that has only metainfo: `ori_shape` (height, width),
    `video_id`, `frame_id`, `img_id`, `img_path`, `ori_video_length`, `instances`).

    Args:
        frame_pipeline (list[dict]): Transforms of one frame, from loading to resizing; without
            random ones. Default: only `LoadFrame`.
        meta_keys (Sequence[str]): Keys that become metainfo of the frames.
    """

    def __init__(
        self,
        frame_pipeline: Sequence[dict] = ({'type': 'LoadFrame'},),
        meta_keys: Sequence[str] = (
            'img_id',
            'img_path',
            'frame_id',
            'video_id',
            'video_length',
            'ori_video_length',
            'instances',
        ),
    ) -> None:
        # Built here and not by Compose, which needs MMEngine's default scope to be set to find
        # MMDetection's transforms.
        self.frame_pipeline = Compose(
            [TRANSFORMS.build(t) if isinstance(t, dict) else t for t in frame_pipeline]
        )
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Return `inputs` and `data_samples`."""
        keys = [key for key in results if key != 'instances']
        frames = [dict(zip(keys, values)) for values in zip(*(results[key] for key in keys))]
        samples = []
        for index, frame in enumerate(frames):
            sample = DetDataSample()
            sample.set_metainfo({'ori_shape': (frame['height'], frame['width'])})
            known = [key for key in self.meta_keys if key in results]
            sample.set_metainfo({key: results[key][index] for key in known})
            samples.append(sample)
        track_sample = TrackDataSample()
        track_sample.video_data_samples = samples
        return {'inputs': LazyVideo(frames, self.frame_pipeline), 'data_samples': track_sample}

    def __repr__(self) -> str:
        return f'{type(self).__name__}(frame_pipeline={self.frame_pipeline})'
