"""The verb ``faces``."""

import pytest

pytestmark = pytest.mark.slow

TOY = ("generator=toy", "engine=torch")


def test_faces_are_drawn_into_a_folder_of_their_own(command_line, tmp_path):
    result = command_line("faces", *TOY, "latent.seed=0-3,23", "latent.psi=0.5")
    assert result.exit_code == 0, result.output
    (folder,) = (tmp_path / "outputs/faces").iterdir()
    assert f"{folder.relative_to(tmp_path)}/index.html" in result.output.replace("\n", "")
    assert sorted(path.stem for path in (folder / "faces").iterdir()) == ["0", "1", "2", "23", "3"]
    page = (folder / "index.html").read_text()
    assert "forgetting render generator=toy engine=torch latent.psi=0.5" in page
    assert (folder / "sheet.png").stat().st_size > 1000


def test_faces_in_a_folder_of_choice(command_line, tmp_path):
    for seeds in ("latent.seeds=[3,23]", "latent.seed=4"):
        assert command_line("faces", *TOY, seeds, "hydra.run.dir=mine").exit_code == 0
    assert [path.name for path in (tmp_path / "mine/faces").iterdir()] == ["4.jpg"]
    assert "hydra.run.dir" not in (tmp_path / "mine/index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["latent.seed=9-2"], "the range 9-2 ends before it begins; write latent.seed=2-9"),
        (["latent.seed=0-5000"], "a sheet has at most 1,024 faces"),
        (["latent.seed=many"], "must be a range or a list of seeds"),
        (["latent=walk"], "draws faces that stand still"),
        (["-m"], "draws all seeds on one sheet; leave out -m"),
        (["latent.psi=9"], "latent.psi must lie between -2 and 2, got 9"),
        (["latent.sed=3"], "did you mean 'latent.seed'"),
    ],
)
def test_wrong_requests_get_one_sentence(command_line, tmp_path, arguments, sentence):
    result = command_line("faces", *TOY, *arguments)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())
    assert not (tmp_path / "outputs").exists(), "a wrong request leaves no folder"


def test_help(command_line):
    result = command_line("faces", "--help")
    assert result.exit_code == 0
    assert "latent.seed=64-255" in result.output
