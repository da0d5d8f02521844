import pytest
from hydra.errors import MissingConfigException

from forgetting import dependencies
from forgetting.cli import console


@pytest.mark.parametrize(("launcher", "extra"), dependencies.LAUNCHERS.items())
def test_a_launcher_that_is_not_installed_is_told_with_its_extra(launcher, extra):
    """Which it is not where Hydra finds only its own."""
    error = MissingConfigException("", f"hydra/launcher/{launcher}", ["basic"])
    assert f"pip install 'forgetting[{extra}]' brings it" in str(console._explain(error, []))
