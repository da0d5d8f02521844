import pytest

from helpers import SEGMENTED, compose_config, file_hashes, render_config


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """Hashes of the files of a film of 60 frames in six segments that nothing interrupted."""
    folder = tmp_path_factory.mktemp("undisturbed")
    render_config(compose_config(*SEGMENTED, "film.duration=6"), folder)
    return file_hashes(folder)
