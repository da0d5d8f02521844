import numpy as np
import pytest
from PIL import Image

from forgetting.errors import RequestError
from forgetting.film import images


def test_pictures_are_upright_solid_and_no_larger_than_asked(tmp_path):
    stripes = np.zeros((30, 60, 4), np.uint8)
    stripes[:, :30] = (255, 0, 0, 255)
    stripes[:, 30:] = (0, 255, 0, 0)
    turned = Image.fromarray(stripes)
    exif = turned.getexif()
    exif[0x0112] = 6  # lies on its side
    turned.save(tmp_path / "a.png", exif=exif)
    found = images.read_image(tmp_path / "a.png", longest=40)
    assert found.shape == (1, 3, 40, 20)
    assert found[0, :, 5, 10].tolist() == [1, -1, -1]
    assert found[0, :, 35, 10].tolist() == [-1, -1, -1]
    huge = Image.new("1", (15_000, 10_000))
    huge.save(tmp_path / "huge.png")
    with pytest.raises(RequestError, match="claims to be 15000 x 10000"):
        images.read_image(tmp_path / "huge.png")
