import torch

from forgetting.models.architectures import stylegan3


def test_the_sampling_of_a_real_stylegan3():
    """Table of the configuration at 1024 x 1024: sizes, as in the names of its layers."""
    with torch.device("meta"):
        network = stylegan3.StyleGAN3()
    sizes = [int(layer.name.split("_")[1]) for layer in network.layers]
    assert sizes == [36, 36, 52, 52, 84, 148, 148, 276, 276, 532, 1044, 1044, 1044, 1024]
    assert sum(layer.channels for layer in network.layers) == 14 * 512
