"""Choosing faces: the sheet, its page, and the commands that the page shows."""

import shlex
from dataclasses import replace

import numpy as np
import pytest

from forgetting.errors import RequestError
from forgetting.film.images import read_still
from forgetting.jobs.faces import draw_faces
from forgetting.jobs.job import parse_job
from helpers import accessibility_violations, compose_config, render_config

pytestmark = pytest.mark.slow

WORDS = ["generator=toy", "latent.psi=0.5", 'film.title=it\'s </p> a "test"']
"""What a user set, besides the seeds."""

TOY = ("generator=toy", "engine=torch")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """The folder of seven faces."""
    folder = tmp_path_factory.mktemp("faces") / "sheet"
    job = parse_job(compose_config(*TOY, "latent.psi=0.5"))
    words = ["generator=toy", "latent.psi=0.5", 'film.title=it\'s </p> a "test"']
    assert draw_faces(job, [0, 1, 2, 3, 4, 23, 41], folder, words) == folder / "index.html"
    return folder


def test_a_face_is_the_first_picture_of_its_film(faces, tmp_path):
    film = ("film=png", "film.fps=2", "film.duration=1", "film.size=32", "pacing=units")
    render_config(compose_config(*TOY, *film, "latent.psi=0.5", "latent.seed=23"), tmp_path)
    first = read_still(tmp_path / "film" / "00000.png").astype(float)

    def distance(seed):
        return float(np.abs(read_still(faces / "faces" / f"{seed}.jpg") - first).mean())

    assert min((0, 1, 2, 3, 4, 23, 41), key=distance) == 23
    assert distance(23) < 4


def test_the_files(faces):
    assert {path.name for path in faces.iterdir()} == {
        "sheet.png",
        "index.html",
        "style.css",
        "faces.css",
        "faces.js",
        "faces",
    }
    assert sorted(int(path.stem) for path in (faces / "faces").iterdir()) == [
        0, 1, 2, 3, 4, 23, 41,
    ]  # fmt: skip
    for path in faces.glob("*.*"):
        if path.suffix != ".png":
            assert "http" not in path.read_text()


def test_one_engine_renders_all_faces_and_keeps_none(tmp_path, monkeypatch):
    """Faces are asked for one after another, as they are drawn."""
    job = parse_job(compose_config(*TOY))
    starts, asked, drawn = [], [], []

    class Watched:
        def choose(self, task, sample):
            starts.append(task)
            engine, why = job.engine.choose(task, sample)

            class Engine:
                def render(self, requests):
                    for request in requests:
                        asked.append(len(drawn))
                        yield from engine.render([request])

            return Engine(), why

    from forgetting.analysis.faces.sheet import FaceSheet

    draw = FaceSheet.draw
    monkeypatch.setattr(FaceSheet, "draw", lambda *a: (drawn.append(1), draw(*a))[1])
    draw_faces(replace(job, engine=Watched()), range(9), tmp_path / "faces", [])
    assert len(starts) == 1
    assert asked == list(range(9))


def test_what_is_there_is_not_replaced_unless_it_is_a_sheet(tmp_path):
    job = parse_job(compose_config(*TOY))
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RequestError, match=r"holds something else; name another .*run\.dir"):
        draw_faces(job, [1], tmp_path, [])
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RequestError, match="holds something else"):
        draw_faces(job, [1], tmp_path / "link", [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "thesis.tex"]
    draw_faces(job, [1, 2], tmp_path / "new", [])
    draw_faces(job, [3], tmp_path / "new", [])
    assert [path.name for path in (tmp_path / "new" / "faces").iterdir()] == ["3.jpg"]


def test_a_face_that_moves_is_refused(tmp_path):
    job = parse_job(compose_config(*TOY, "latent=walk"))
    with pytest.raises(RequestError, match="draws faces that stand still"):
        draw_faces(job, [1], tmp_path / "faces", [])
    assert not (tmp_path / "faces").exists()


# --- the page ---


@pytest.fixture
def page(browser, faces):
    """The page on a wide screen, which loads nothing from elsewhere and has no errors."""
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    page, problems = context.new_page(), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: problems.append(request.url) if request.url[:5] != "file:" else None,
    )
    page.set_default_timeout(20_000)
    page.goto((faces / "index.html").as_uri())
    yield page
    context.close()
    assert [url for url in problems if not url.startswith("data:")] == []


def command(page):
    return shlex.split(page.inner_text("#command"))


SAME = ["forgetting", "render", *WORDS]


def test_a_click_shows_the_command_of_a_film(page):
    assert page.inner_text("#command") == "Click on a face."
    assert page.locator("#copy").is_disabled()
    page.click(".face[value='23']")
    assert command(page) == [*SAME, "latent.seed=23"]
    page.click(".face[value='3']")
    assert command(page) == [*SAME, "latent.seeds=[23,3]", "film.grid=2x1"]
    page.click(".face[value='41']")
    page.click(".face[value='0']")
    assert command(page)[-2:] == ["latent.seeds=[23,3,41,0]", "film.grid=2x2"]
    parse_job(compose_config("generator=toy", *command(page)[-2:]))  # a wall that can be made
    page.reload()
    assert command(page)[-1] == "film.grid=2x2", "the address holds the choice"
    page.click(".face[value='23']")
    assert command(page)[-1] == "film.grid=3x1"
    page.click("#clear")
    assert page.inner_text("#command") == "Click on a face."
    assert page.locator(".face[aria-pressed='true']").count() == 0


def test_the_command_is_copied(page):
    page.click(".face[value='23']")
    page.click("#copy")
    page.wait_for_function("/copied|selected/.test(document.querySelector('#copy').textContent)")


def test_faces_are_chosen_by_the_keyboard(page):
    page.locator(".face").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.value") == "1"
    assert command(page)[-2] == "latent.seeds=[1,2]"
    columns = page.evaluate(
        "[...document.querySelectorAll('.face')].filter((face, n, all) =>"
        " face.offsetTop === all[0].offsetTop).length"
    )
    page.locator(".face").first.focus()
    page.keyboard.press("ArrowDown")
    faces = [0, 1, 2, 3, 4, 23, 41]
    assert page.evaluate("document.activeElement.value") == str(faces[columns])


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_accessible_and_fits_a_phone(page, width):
    page.set_viewport_size({"width": width, "height": 844})
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        small = page.evaluate(
            """[...document.querySelectorAll('button')].map(one => one.getBoundingClientRect())
            .filter(box => box.height < 44 || box.width < 44).length"""
        )
        assert small == 0
        assert accessibility_violations(page) == []
        page.click(".face[value='41']")
