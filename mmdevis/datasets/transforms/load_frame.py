"""Reading the picture of one frame, with errors that name video and frame."""

import io

import mmcv
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS
from mmengine import fileio
from PIL import Image

from ..errors import FrameError, FrameSizeError, describe_frame


@TRANSFORMS.register_module()
class LoadFrame(LoadImageFromFile):
    """Load the image of a frame and check it.

    As mmcv's `LoadImageFromFile`, which this extends in two ways. Missing, truncated and unreadable
    files raise an error that names video, frame and file; OpenCV alone fills the missing part of a
    truncated JPEG with grey. And the image must be of the size that the annotations say (`height`
    and `width`, where given), because masks of another size would be silently wrong.

    Required keys: `img_path`; used where given: `video_id`, `frame_id`, `height`, `width`.
    Added keys: `img` (h, w, 3) uint8 in BGR order, `img_shape`, `ori_shape`.

    Raises:
        FrameError: If the file is missing, truncated or not an image.
        FrameSizeError: If the image is of another size than the annotations say.
    """

    def transform(self, results: dict) -> dict:
        """Add the image to `results` and return them."""
        try:
            data = fileio.get(results['img_path'], backend_args=self.backend_args)
        except FileNotFoundError as error:
            raise FrameError(
                f'{describe_frame(results)} does not exist. Check data_root and '
                'data_prefix["img_path"] of the data set, and whether the archive is complete.'
            ) from error
        self._check_complete(data, results)
        image = None
        if data:
            image = mmcv.imfrombytes(data, flag=self.color_type, backend=self.imdecode_backend)
        if image is None:
            raise FrameError(
                f'{describe_frame(results)} cannot be decoded: {len(data)} bytes that are no '
                'image of a known format. Copy the file again.'
            )
        shape = image.shape[:2]
        expected = tuple(results.get(key) or size for key, size in zip(('height', 'width'), shape))
        if shape != expected:
            raise FrameSizeError(
                f'{describe_frame(results)} is {shape[0]} x {shape[1]} (height x width), but the '
                f'video is {expected[0]} x {expected[1]}. All frames of a video must be of one '
                'size, that of the annotations: resize the frames or the annotations.'
            )
        if self.to_float32:
            image = image.astype('float32')
        results.update(img=image, img_shape=shape, ori_shape=shape)
        return results

    @staticmethod
    def _check_complete(data: bytes, results: dict) -> None:
        # A complete JPEG ends with the marker FF D9, a complete PNG with an IEND chunk. The decoder
        # that checks everything only runs where the cheap test fails (bytes after the end marker).
        if data.startswith(b'\xff\xd8') and not data.endswith(b'\xff\xd9'):
            pass
        elif data.startswith(b'\x89PNG') and b'IEND' not in data[-16:]:
            pass
        else:
            return
        try:
            Image.open(io.BytesIO(data)).load()
        except OSError as error:
            raise FrameError(
                f'{describe_frame(results)} is truncated: only {len(data)} bytes ({error}). '
                'Copy the file again.'
            ) from error
