"""Which runs a table needs, from its file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mmengine.config import Config


@dataclass(frozen=True)
class RunSpec:
    """One training, or one evaluation of another entry's weights.

    Attributes:
        entry: Key of the entry in the table.
        config: Config file, or `mmdet::...`.
        options: Settings to change in it, by dotted key.
        lr_factor: Factor of the learning rate of the config.
        seed: Seed of weights and data order.
        batch_size: Samples per iteration.
        frames_per_sample: Frames that the model sees of a sample.
        train_frames: Frames to see in all.
        backbone: Config of the backbone.
        backbone_at: Where it belongs in the config.
        weights_of: Folder name of the run whose weights are evaluated; None: train.
        starts_from: Folder name of the run on single frames whose weights training starts from.
        is_stage: Whether this is such a run: it is trained and not evaluated.
    """

    entry: str
    config: str
    options: dict[str, Any] = field(default_factory=dict)
    lr_factor: float = 1.0
    seed: int = 0
    batch_size: int = 4
    frames_per_sample: int = 1
    train_frames: int = 0
    backbone: dict[str, Any] | None = None
    backbone_at: str = 'model.backbone'
    weights_of: str | None = None
    starts_from: str | None = None
    is_stage: bool = False

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f'{self.entry}-lr{self.lr_factor:g}-seed{self.seed}'

    @property
    def iterations(self) -> int:
        """Iterations that see `train_frames` frames, at least one."""
        return max(1, round(self.train_frames / (self.batch_size * self.frames_per_sample)))

    def as_dict(self) -> dict[str, Any]:
        """Plain dict for json."""
        return asdict(self)


def make_spec(table: Config, entry: str, lr_factor: float, seed: int) -> RunSpec:
    """Settings of one run of an entry.

    Args:
        table: The table file.
        entry: Key in `table.entries`.
        lr_factor: Factor of the learning rate.
        seed: The seed.

    Raises:
        KeyError: The entry, or one that it takes weights from, is not in the table.
    """
    if entry not in table.entries:
        raise KeyError(f'{entry!r} is not an entry of the table ({", ".join(table.entries)})')
    settings = table.entries[entry].to_dict()
    source = settings.get('weights_of')
    if source is not None:
        trained = make_spec(table, source, lr_factor, seed)
        base = table.entries[source].to_dict()
        options = {**base.get('options', {}), **settings.get('options', {})}
        settings = {**base, 'options': options}
    stage = settings.get('starts_from')
    backbone = None if table.get('backbone') is None else table.backbone.to_dict()
    if backbone is not None:
        backbone.pop('_delete_', None)  # of a shared file, for configs that replace theirs by it
    return RunSpec(
        entry=entry,
        config=settings['config'],
        options=settings.get('options', {}),
        lr_factor=lr_factor,
        seed=seed,
        batch_size=settings['batch_size'],
        frames_per_sample=settings['frames_per_sample'],
        train_frames=round(settings.get('share', 1.0) * table.train_frames),
        backbone=backbone,
        backbone_at=settings.get('backbone_at', 'model.backbone'),
        weights_of=None if source is None else trained.name,
        starts_from=None if stage is None else make_spec(table, stage, 1.0, seed).name,
        is_stage=settings.get('is_stage', False),
    )


def rows(table: Config) -> dict[str, Any]:
    """Entries that the table shows: all but stages that others start from."""
    return {e: settings for e, settings in table.entries.items() if not settings.get('is_stage')}


def stages(table: Config, seed: int) -> list[RunSpec]:
    """Runs that others start from. Their learning rate is that of their config."""
    return [
        make_spec(table, entry, 1.0, seed)
        for entry, settings in table.entries.items()
        if settings.get('is_stage')
    ]


def first_runs(table: Config) -> list[RunSpec]:
    """Every row with each of its learning rates, at the first seed."""
    return [
        make_spec(table, entry, factor, table.seeds[0])
        for entry, settings in rows(table).items()
        if settings.get('weights_of') is None
        for factor in settings.get('lr_factors', table.lr_factors)
    ]


def final_runs(table: Config, best: dict[str, float]) -> list[RunSpec]:
    """Every row with its best learning rate, at every seed.

    Args:
        table: The table file.
        best: Entry to best factor; entries that are missing are left out.
    """
    runs = []
    for entry, settings in rows(table).items():
        factor = best.get(settings.get('weights_of') or entry)
        if factor is not None:
            runs += [make_spec(table, entry, factor, seed) for seed in table.seeds]
    return runs
