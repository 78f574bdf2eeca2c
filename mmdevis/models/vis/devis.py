"""DeVIS, the video model (arXiv 2207.11103)."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample, TrackSampleList
from torch import Tensor

from mmdevis.apis.streaming import VideoStream
from mmdevis.structures import ClipPrediction
from mmdevis.utils.losses import check_finite
from mmdevis.utils.pieces import is_watched
from mmdevis.utils.precision import autocast_dtype, in_autocast, without_autocast

from ..dense_heads.deformable_mask_detr_head import Trajectories
from ..dense_heads.devis_head import to_clip_prediction
from ..detectors.deformable_mask_detr import DeformableMaskDETR, unpadded_samples
from .feature_cache import FeatureCache
from .track_results import add_tracks_to_sample

#: Gives the backbone's maps of frames, perhaps without running it on all of them.
RunBackbone = Callable[[Callable[[Tensor], Sequence[Tensor]], Tensor], Sequence[Tensor]]


@MODELS.register_module()
class DeVIS(DeformableMaskDETR):
    """Near-online video instance segmentation with temporal deformable attention.

    Clips of T frames go through the whole network at once; a tracker joins overlapping clips to
    tracks of any length (paper Sec. 3.5). The model keeps no state between calls.

    Args:
        num_frames: T.
        num_queries: Queries of the whole clip, T times the number of trajectories.
        tracker: Config of the clip tracker.
        test_cfg: ``max_per_clip``, top (trajectory, class) pairs kept for each clip, and
            ``stride``, frames between the starts of consecutive clips (< T; 1 where T is 1).
        **kwargs: Arguments of :class:`DeformableMaskDETR`.

    Raises:
        ValueError: If ``test_cfg.stride`` leaves no overlap between clips.
    """

    def __init__(
        self,
        *args,
        num_frames: int = 6,
        num_queries: int = 60,
        tracker: dict | None = None,
        test_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        test_cfg = dict(max_per_clip=20, stride=4) | dict(test_cfg or {})
        if not 1 <= test_cfg['stride'] <= max(num_frames - 1, 1):
            raise ValueError(
                f'test_cfg.stride={test_cfg["stride"]} must be in 1..{max(num_frames - 1, 1)}: '
                f'consecutive clips of num_frames={num_frames} have to overlap'
            )
        super().__init__(
            *args, num_frames=num_frames, num_queries=num_queries, test_cfg=test_cfg, **kwargs
        )
        self.tracker_cfg = dict(tracker or dict(type='MultiCueClipTracker'))

    def loss(self, inputs: Tensor, data_samples: TrackSampleList) -> dict[str, Tensor]:
        """Losses of annotated clips.

        Args:
            inputs: (B, T, 3, H, W) normalised frames.
            data_samples: B samples of T annotated frames.

        Returns:
            Weighted losses, see :meth:`DeformableMaskDETRHead.loss`.

        Raises:
            NonFiniteLossError: If a loss is not finite; names the loss and the samples.
            ValueError: If a clip has another length than ``num_frames``.
        """
        self._check_clip(inputs)
        clips = [sample.video_data_samples for sample in data_samples]
        frames = [frame for clip in clips for frame in clip]
        outputs = self.forward_clips(inputs.flatten(0, 1), frames)
        outputs.pop('memory')
        losses = self.bbox_head.loss(**outputs, batch_data_samples=clips)
        check_finite(losses, data_samples)
        return losses

    def _forward(
        self, inputs: Tensor, data_samples: TrackSampleList | None = None
    ) -> dict[str, Tensor | list[Tensor]]:
        """Raw outputs of (B, T, 3, H, W) normalised clips, as the image model's."""
        self._check_clip(inputs)
        frames = [f for sample in data_samples or [] for f in sample.video_data_samples]
        inputs = inputs.flatten(0, 1)
        return super()._forward(inputs, frames or unpadded_samples(inputs))

    def predict(
        self,
        inputs: Tensor | Sequence[Sequence[Tensor]],
        data_samples: TrackSampleList,
        rescale: bool = True,
    ) -> TrackSampleList:
        """Segment and track all objects of whole videos.

        Args:
            inputs: (B, L, 3, H, W) normalised videos, or B lazily read videos of uint8 frames.
            data_samples: B samples of L frames; for tensors with ``img_shape`` and ``ori_shape``.
            rescale: Return masks at the original size, otherwise at that of the resized frames.

        Returns:
            The samples, every frame with ``pred_track_instances``: ``instances_id``, ``labels``,
            ``scores`` (of the track), ``bboxes`` (xyxy) and ``masks`` (RLE dicts). Inside
            autocast (``fp16`` of MMEngine's loops) the network runs in its dtype, the tracker
            does not: sums over the pixels of masks must not be rounded.
        """
        device = next(self.parameters()).device.type
        dtype = autocast_dtype(device)
        with without_autocast(device):
            for video, sample in zip(inputs, data_samples):
                normalised = isinstance(video, Tensor)
                # A lazily read video knows its sizes once a frame went through the test pipeline.
                meta = sample.video_data_samples[0].metainfo if normalised else video.metainfo(0)
                img_shape = tuple(meta['img_shape'][:2])
                out_shape = tuple(meta['ori_shape'][:2]) if rescale else img_shape
                with self.open_stream(img_shape, out_shape, normalised, dtype=dtype) as stream:
                    for index in range(len(video)):
                        stream.push(video[index])
                    _, tracks = stream.close()
                add_tracks_to_sample(sample, tracks)
        return data_samples

    def open_stream(
        self,
        img_shape: tuple[int, int],
        out_shape: tuple[int, int],
        normalised: bool = False,
        stride: int | None = None,
        latency: str = 'exact',
        batch_size: int = 1,
        max_instances: int | None = None,
        dtype: torch.dtype | None = None,
        **tracker_overrides,
    ) -> VideoStream:
        """Start tracking one video; the state lives in the returned stream.

        Args:
            img_shape: (H, W) of the frames without padding.
            out_shape: (H, W) wanted for the masks.
            normalised: Frames are normalised and padded float tensors (3, H, W); otherwise
                uint8 tensors that still go through the data preprocessor.
            stride: Frames between clips; None takes ``test_cfg.stride``.
            latency: 'exact' or 'low', see :class:`VideoStream`.
            batch_size: Clips per forward pass.
            max_instances: Top (trajectory, class) pairs per clip; None takes
                ``test_cfg.max_per_clip``.
            dtype: Half precision (autocast), ``torch.bfloat16`` or ``torch.float16``.
            **tracker_overrides: Arguments that replace those of the tracker's config.

        Returns:
            A stream that takes frames and gives what became final.
        """
        if max_instances is not None and max_instances < 1:
            raise ValueError(f'max_instances must be at least 1, got {max_instances}')

        stride = self.test_cfg['stride'] if stride is None else stride
        cache = FeatureCache(stride)

        def predict_clips(
            clips: Sequence[Sequence[Tensor]], indices: Sequence[Sequence[int]]
        ) -> Iterator[ClipPrediction]:
            inputs = [
                torch.stack(list(frames))[None]
                if normalised
                else self.data_preprocessor.clip(frames)
                for frames in clips
            ]
            run_backbone = None if is_watched(self.backbone) else partial(cache.run, clips=clips)
            return self.predict_clips(
                torch.cat(inputs),
                indices,
                img_shape,
                out_shape,
                max_instances,
                dtype,
                run_backbone=run_backbone,
            )

        def predict_clip(frames: Sequence[Tensor], indices: Sequence[int]) -> ClipPrediction:
            return next(predict_clips([frames], [indices]))

        tracker = TASK_UTILS.build({**self.tracker_cfg, **tracker_overrides})
        return VideoStream(
            predict_clip,
            tracker,
            self.num_frames,
            stride,
            latency,
            batch_size,
            predict_clips,
        )

    def predict_clip(
        self,
        clip: Tensor,
        frame_indices: Sequence[int],
        img_shape: tuple[int, int],
        out_shape: tuple[int, int],
    ) -> ClipPrediction:
        """Run one clip, (1, T, 3, H, W) normalised; see :meth:`predict_clips`."""
        return next(self.predict_clips(clip, [frame_indices], img_shape, out_shape))

    def predict_clips(
        self,
        clips: Tensor,
        frame_indices: Sequence[Sequence[int]],
        img_shape: tuple[int, int],
        out_shape: tuple[int, int],
        max_instances: int | None = None,
        dtype: torch.dtype | None = None,
        run_backbone: RunBackbone | None = None,
    ) -> Iterator[ClipPrediction]:
        """Run a batch of clips of one video.

        Args:
            clips: (B, T, 3, H, W) normalised, padded frames.
            frame_indices: For each of the B clips, T frame numbers in the video.
            img_shape: (H, W) of the frames without padding.
            out_shape: (H, W) wanted for the masks.
            max_instances: K; None takes ``test_cfg.max_per_clip``.
            dtype: Half precision for what autocast runs in it; scores, centres and masks are
                float32 all the same. None: that of an autocast around the call, if any.
            run_backbone: Called with the backbone and (B * T, 3, H, W) frames, gives their maps;
                see :class:`FeatureCache`. None: the backbone itself.

        Yields:
            The K best trajectories of each clip. Masks at full size are made one clip at a time.
        """
        shapes = tuple(clips.shape[-2:]), img_shape, out_shape
        selected = self.select_clips(clips, img_shape, max_instances, dtype, run_backbone)
        for numbers, found in zip(frame_indices, selected, strict=True):
            yield to_clip_prediction(found, torch.as_tensor(numbers), *shapes)

    def select_clip(
        self, clip: Tensor, img_shape: tuple[int, int], max_instances: int | None = None
    ) -> Trajectories:
        """Run one clip, (1, T, 3, H, W) normalised; see :meth:`select_clips`."""
        return next(self.select_clips(clip, img_shape, max_instances))

    @torch.no_grad()
    def select_clips(
        self,
        clips: Tensor,
        img_shape: tuple[int, int],
        max_instances: int | None = None,
        dtype: torch.dtype | None = None,
        run_backbone: RunBackbone | None = None,
    ) -> Iterator[Trajectories]:
        """Run a batch of clips, and leave their masks at the size that the mask head gives.

        Args:
            clips: (B, T, 3, H, W) normalised, padded frames.
            img_shape: (H, W) of the frames without padding.
            max_instances: Pairs of trajectory and class to keep; None takes
                ``test_cfg.max_per_clip``.
            dtype: As for :meth:`predict_clips`.
            run_backbone: As for :meth:`predict_clips`.

        Yields:
            The best pairs of each clip; :func:`to_clip_prediction` makes a ``ClipPrediction`` of
            them.
        """
        self._check_clip(clips)
        meta = dict(img_shape=img_shape, batch_input_shape=tuple(clips.shape[-2:]))
        frames = [DetDataSample(metainfo=meta) for _ in range(clips.shape[0] * self.num_frames)]
        # Entered anew for each step: between the steps the caller's code runs.
        autocast = partial(in_autocast, clips.device.type, dtype)
        with autocast():
            inputs, maps = clips.flatten(0, 1), None
            if run_backbone is not None:
                maps = run_backbone(self._run_backbone, inputs)
            outputs = self.forward_clips(inputs, frames, maps)
        outputs.pop('memory')
        for index in range(len(clips)):
            with autocast():
                found = self.bbox_head.select_clip(
                    **outputs, max_instances=max_instances, index=index
                )
            yield found

    def _check_clip(self, clips: Tensor) -> None:
        if clips.dim() != 5 or clips.shape[1] != self.num_frames:
            raise ValueError(
                f'expected clips of shape (B, {self.num_frames}, 3, H, W), got '
                f'{tuple(clips.shape)}; the data pipeline must sample num_frames='
                f'{self.num_frames} frames'
            )
