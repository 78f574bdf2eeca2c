"""A tiny data set and model that use every source of randomness that real ones use."""

import random

import numpy as np
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import METRICS
from torch import nn


@DATASETS.register_module()
class ToyDataset(torch.utils.data.Dataset):
    """Noisy copies of `length` fixed rows; `load_count` tells how many were loaded."""

    metainfo = dict(classes=('toy',))

    def __init__(self, length=10, noise=1.0):
        self.length = length
        self.noise = noise
        self.load_count = 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.load_count += 1
        noise = random.random() + np.random.rand() + torch.rand(()).item()
        return dict(inputs=torch.full((3,), float(index)) + self.noise * noise, data_samples=index)


@MODELS.register_module()
class ToyModel(BaseModel):
    """One layer after dropout."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def init_weights(self):
        with torch.no_grad():
            self.layer.weight.fill_(0.1)
            self.layer.bias.zero_()

    def forward(self, inputs, data_samples=None, mode='tensor'):
        inputs = torch.stack(inputs) if isinstance(inputs, list) else inputs
        if mode == 'loss':
            outputs = self.layer(nn.functional.dropout(inputs, 0.5))
            return dict(loss_a=outputs.square().mean() * 0.1, loss_b=outputs.abs().mean() * 0.1)
        return [dict(output=row) for row in self.layer(inputs).tolist()]


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Mean output over the data set."""

    def process(self, data_batch, data_samples):
        self.results.extend(sample['output'][0] for sample in data_samples)

    def compute_metrics(self, results):
        return dict(mean=float(np.mean(results)), count=float(len(results)))
