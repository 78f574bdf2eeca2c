"""YouTube-VIS 2019 and 2021, and OVIS: `VISClipDataset` with the published classes."""

from mmdet.datasets import YouTubeVISDataset
from mmdet.registry import DATASETS

from .vis_clip_dataset import VISClipDataset

OVIS_CLASSES = (
    'Person',
    'Bird',
    'Cat',
    'Dog',
    'Horse',
    'Sheep',
    'Cow',
    'Elephant',
    'Bear',
    'Zebra',
    'Giraffe',
    'Poultry',
    'Giant_panda',
    'Lizard',
    'Parrot',
    'Monkey',
    'Rabbit',
    'Tiger',
    'Fish',
    'Turtle',
    'Bicycle',
    'Motorcycle',
    'Airplane',
    'Boat',
    'Vehicle',
)


def youtube_vis_classes(version: str) -> tuple[str, ...]:
    """The 40 class names of a YouTube-VIS version, in the order of the category ids.

    Args:
        version (str): '2019' or '2021'.

    Returns:
        tuple[str, ...]: The names, from MMDetection.

    Raises:
        ValueError: For another version.
    """

    # MMDetection's data set writes the names onto the class it is asked through. A throw-away class
    # takes them here, so that no other data set sees them.
    class Names(YouTubeVISDataset):
        pass

    try:
        Names.set_dataset_classes(str(version))
    except NotImplementedError as error:
        raise ValueError(
            f"dataset_version must be '2019', '2021' or None (classes of the file), not {version!r}"
        ) from error
    return tuple(Names.METAINFO['classes'])


@DATASETS.register_module()
class YouTubeVISClipDataset(VISClipDataset):
    """YouTube-VIS as a data set of clips.

    Args:
        dataset_version (str, optional): '2019' or '2021'. Default: the classes of the file.
        metainfo (dict, optional): Its `classes` override those of the version.
        **kwargs: Of `VISClipDataset`.

    Raises:
        ValueError: For another version.
    """

    def __init__(
        self, dataset_version: str | None = None, metainfo: dict | None = None, **kwargs
    ) -> None:
        if dataset_version is not None:
            metainfo = dict({'classes': youtube_vis_classes(dataset_version)}, **(metainfo or {}))
        super().__init__(metainfo=metainfo, **kwargs)


@DATASETS.register_module()
class OVISClipDataset(VISClipDataset):
    """OVIS as a data set of clips.

    The public validation and test files have `"annotations": null`: use them with `test_mode=True`.

    Args:
        metainfo (dict, optional): Its `classes` override the 25 classes of OVIS.
        **kwargs: Of `VISClipDataset`.
    """

    def __init__(self, metainfo: dict | None = None, **kwargs) -> None:
        super().__init__(metainfo=dict({'classes': OVIS_CLASSES}, **(metainfo or {})), **kwargs)
