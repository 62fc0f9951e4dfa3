"""Augmentation and conversion of image pairs and their flow.

Sample transforms run in the data set, on one sample: ``transform(data, rng) -> data`` with a
``numpy.random.Generator`` as the only source of randomness. Batch transforms run on the device, on
a collated batch, without randomness: ``transform(batch) -> batch``.
"""

from hat.data.transforms.affine import SegRandomAffine
from hat.data.transforms.crop_flip import CenterCrop, RandomCrop, RandomFlip
from hat.data.transforms.erase import RandomErase
from hat.data.transforms.photometric import PhotometricJitter
from hat.data.transforms.scale import Scale
from hat.data.transforms.scale_crop import RandomScaleCrop
from hat.data.transforms.to_tensor import ToTensor
from hat.data.transforms.torchvision_adapter import TorchVisionAdapter
from hat.data.transforms.yuv import BgrToYuv444, board_image, rgb_to_yuv444_uint8
from hat.data.transforms.zoom import FlowRandomAffineScale, Resize

__all__ = [
    "BgrToYuv444",
    "CenterCrop",
    "FlowRandomAffineScale",
    "PhotometricJitter",
    "RandomCrop",
    "RandomErase",
    "RandomFlip",
    "RandomScaleCrop",
    "Resize",
    "Scale",
    "SegRandomAffine",
    "ToTensor",
    "TorchVisionAdapter",
    "board_image",
    "rgb_to_yuv444_uint8",
]
