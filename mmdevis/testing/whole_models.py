"""DeVIS and its peers in MMDetection as whole models with random weights, to measure.

Each offers the same steps on the same uint8 frames:

- ``network``: pixels to class scores, boxes and masks at the network's own resolution;
- ``clip``: the same, with masks at the size of the original frames;
- ``video``: a whole video with tracking, masks at the original size.
"""

import copy
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.config import Config
from torch import Tensor, nn

from mmdevis.structures import Track
from mmdevis.utils.memory_format import lay_out_for_inference

__all__ = [
    'CONFIGS',
    'DeVISRunner',
    'Mask2FormerRunner',
    'MaskTrackRunner',
    'Runner',
    'make_runner',
]

_PEER = 'mmdet::{0}/{1}_r50{2}_youtubevis2019.py'

#: Config of each model; those of the peers are read from the installed MMDetection.
CONFIGS = {
    'devis': 'configs/devis/devis_r50_4xb1-9e_youtubevis2019.py',
    'mask2former-vis': _PEER.format('mask2former_vis', 'mask2former', '_8xb2-8e'),
    'masktrack-rcnn': _PEER.format('masktrack_rcnn', 'masktrack-rcnn_mask-rcnn', '_fpn_8xb1-12e'),
}


def load_config(path: str) -> Config:
    """Read a config file, or with ``mmdet::`` one of the installed MMDetection.

    Args:
        path: Path, relative to this repository unless absolute.
    """
    if path.startswith('mmdet::'):
        return Config.fromstring(f"_base_ = '{path}'", '.py')
    return Config.fromfile(Path(__file__).parents[2] / path)


def _drop_pretrained(cfg: dict) -> None:
    """Remove everything that would download weights."""
    if cfg.get('init_cfg') and 'checkpoint' in str(cfg['init_cfg']):
        cfg['init_cfg'] = None
    for part in cfg.values():
        if isinstance(part, dict):
            _drop_pretrained(part)


def build_random(cfg: dict, seed: int = 0) -> nn.Module:
    """Build a model for inference with random weights.

    Args:
        cfg: ``cfg.model``; stays as it is.
        seed: Of the weights.
    """
    cfg = copy.deepcopy(cfg)
    _drop_pretrained(cfg)
    torch.manual_seed(seed)
    model = MODELS.build(cfg)
    # MMEngine reports every parameter that it initialises, which takes longer than doing so.
    logging.disable(logging.WARNING)
    try:
        model.init_weights()
    finally:
        logging.disable(logging.NOTSET)
    return model.eval()


class Runner:
    """One model and the frames of one video.

    Args:
        model: What ``cfg.model`` of one of :data:`CONFIGS` builds.
        frames: (L, 3, h, w) uint8, resized as the test pipeline would.
        original_size: (H, W) wanted for the masks.
        clip_length: Frames of ``network`` and ``clip``.
    """

    #: Parts of the model that ``torch.compile`` is applied to.
    compiled_parts: tuple[str, ...] = ()

    def __init__(
        self, model: nn.Module, frames: Tensor, original_size: tuple[int, int], clip_length: int
    ) -> None:
        self.model = model
        self.frames = frames
        self.original_size = original_size
        self.clip_length = clip_length

    def compile(self) -> None:
        """Compile the parts of the model that do nearly all of the work."""
        for name in self.compiled_parts:
            self.model.get_submodule(name).compile()

    def prepare(self, frames: Tensor) -> tuple[Tensor, TrackDataSample]:
        """Normalise and pad, as the model's own preprocessor does.

        Args:
            frames: (L, 3, h, w) uint8.

        Returns:
            (1, L, 3, H, W), and the sample of the video.
        """
        size = tuple(frames.shape[-2:])
        scale = tuple(size[i] / self.original_size[i] for i in (1, 0))
        samples = []
        for index in range(len(frames)):
            meta = dict(ori_shape=self.original_size, img_shape=size, scale_factor=scale)
            samples.append(DetDataSample(metainfo=dict(meta, frame_id=index)))
        data = dict(inputs=[frames], data_samples=[TrackDataSample(video_data_samples=samples)])
        data = self.model.data_preprocessor(data, False)
        return data['inputs'], data['data_samples'][0]

    def network(self) -> object:
        """Pixels of one clip to class scores, boxes and masks as the network leaves them."""
        raise NotImplementedError

    def clip(self) -> object:
        """One clip with masks at the original size, without tracking where it can be left out."""
        raise NotImplementedError

    def video(self) -> object:
        """The whole video with tracking, masks at the original size."""
        raise NotImplementedError


class DeVISRunner(Runner):
    """Near-online: clips of T frames, every S frames, joined by the tracker."""

    compiled_parts = ('backbone', 'neck', 'encoder', 'decoder', 'bbox_head.mask_head')

    def network(self) -> Tensor:
        """Masks (trajectories, T, H / 4, W / 4)."""
        inputs, sample = self.prepare(self.frames[: self.clip_length])
        outputs = self.model.forward_clips(inputs[0], sample.video_data_samples)
        outputs.pop('memory')
        head = self.model.bbox_head
        states, boxes = outputs['hidden_states'][-1], outputs['references'][-1]
        top = self.model.test_cfg['max_per_clip']
        return head.select(
            states, head.cls_branches[-1](states), boxes, outputs['mask_features'], 0, top
        ).masks

    def clip(self) -> Tensor:
        """Masks (trajectories, T, *original_size), probabilities."""
        frames = self.frames[: self.clip_length]
        clip = self.model.data_preprocessor.clip(list(frames))
        size = tuple(frames.shape[-2:])
        return self.model.predict_clip(clip, range(len(frames)), size, self.original_size).masks

    def video(self) -> list[Track]:
        """Tracks with run-length masks."""
        size = tuple(self.frames.shape[-2:])
        with self.model.open_stream(size, self.original_size) as stream:
            for frame in self.frames:
                stream.push(frame)
            return stream.close()[1]


class Mask2FormerRunner(Runner):
    """Offline: the frames of a clip or of the whole video at once; tracks are its queries."""

    compiled_parts = ('backbone', 'track_head.pixel_decoder')

    def network(self) -> Tensor:
        """Masks (1, queries, T, H / 4, W / 4)."""
        inputs, sample = self.prepare(self.frames[: self.clip_length])
        return self.model.track_head(self.model.backbone(inputs[0]), sample)[1][-1]

    def _predict(self, frames: Tensor) -> list[TrackDataSample]:
        inputs, sample = self.prepare(frames)
        return self.model.predict(inputs, [sample])

    def clip(self) -> list[TrackDataSample]:
        """Tracks of the clip."""
        return self._predict(self.frames[: self.clip_length])

    def video(self) -> list[TrackDataSample]:
        """Tracks of the video."""
        return self._predict(self.frames)


class MaskTrackRunner(Runner):
    """Online: one frame after the other."""

    compiled_parts = ('detector.backbone', 'detector.neck')

    def network(self) -> list[Tensor]:
        """Masks (detections, classes, 28, 28) of each frame."""
        inputs, sample = self.prepare(self.frames[: self.clip_length])
        detector, masks = self.model.detector, []
        for image, frame in zip(inputs[0], sample.video_data_samples):
            features = detector.extract_feat(image[None])
            proposals = detector.rpn_head.predict(features, [frame])
            (found,) = detector.roi_head.predict_bbox(
                features, [frame.metainfo], proposals, detector.roi_head.test_cfg
            )
            if len(found):
                rois = bbox2roi([found.bboxes])
                masks.append(detector.roi_head._mask_forward(features, rois)['mask_preds'])
        return masks

    def clip(self) -> list:
        """Detections of each frame."""
        inputs, sample = self.prepare(self.frames[: self.clip_length])
        return [
            self.model.detector.predict(image[None], [frame])
            for image, frame in zip(inputs[0], sample.video_data_samples)
        ]

    def video(self) -> list[TrackDataSample]:
        """Tracks of the video."""
        inputs, sample = self.prepare(self.frames)
        return self.model.predict(inputs, [sample])


_RUNNERS: dict[str, type[Runner]] = {
    'devis': DeVISRunner,
    'mask2former-vis': Mask2FormerRunner,
    'masktrack-rcnn': MaskTrackRunner,
}


def random_frames(length: int, size: Sequence[int], seed: int = 0) -> Tensor:
    """(L, 3, h, w) uint8 frames: smooth noise that moves, rather than noise in every pixel."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 9, 16, generator=generator)
    height, width = size
    wide = nn.functional.interpolate(coarse, (height, width + 8 * length), mode='bicubic')[0]
    moved = [wide[..., 8 * i : 8 * i + width] for i in range(length)]
    return (torch.stack(moved).clamp(0, 1) * 255).to(torch.uint8)


def make_runner(
    name: str,
    size: tuple[int, int],
    original_size: tuple[int, int],
    clip_length: int,
    video_length: int = 0,
    device: str = 'cpu',
) -> Runner:
    """Build a model and its video.

    Args:
        name: A key of :data:`CONFIGS`.
        size: (h, w) of the frames that the network sees.
        original_size: (H, W) of the masks.
        clip_length: Frames of a clip.
        video_length: Frames of the video, at least those of a clip.
        device: Where the model lies.
    """
    cfg = load_config(CONFIGS[name]).model
    if name == 'devis':
        trajectories = cfg.num_queries // cfg.num_frames
        cfg.num_frames, cfg.num_queries = clip_length, trajectories * clip_length
        # Of 6 frames, the paper's clips share 2.
        cfg.test_cfg.stride = max(clip_length - 2, 1)
    frames = random_frames(max(video_length, clip_length), size)
    model = build_random(cfg).to(device)
    lay_out_for_inference(model)  # as the programs do
    return _RUNNERS[name](model, frames.to(device), original_size, clip_length)
