"""The files that a film depends on: their record in a recipe, and a stranger's recipe."""

import os
import re
import shutil
import signal
import sys
import wave
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from typer.testing import CliRunner

from forgetting.ablation import plan as plans
from forgetting.analysis.measure import MeasureSettings
from forgetting.cli.main import app
from forgetting.errors import RequestError
from forgetting.film import input_files, recipe
from forgetting.jobs import executor, run
from forgetting.jobs.config_groups import CONFIGS
from forgetting.jobs.join import join
from forgetting.models.checkpoints import native
from helpers import compose_config, render_config

pytestmark = pytest.mark.slow

SMALL = [
    "generator=toy",
    "engine=torch",
    "film.preset=ultrafast",
    "film.size=32",
    "film.fps=4",
    "film.duration=1",
    "pacing=units",
]


@pytest.fixture(autouse=True)
def no_hanging():
    """A pipe that is opened would wait for ever."""
    before = signal.signal(
        signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError("it hangs"))
    )
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def sound(path, frequency):
    """Two seconds of a tone."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(
            (9000 * np.sin(np.arange(16000) * frequency / 1300)).astype("<i2").tobytes()
        )
    return path


def edit_recipe(folder, change):
    """Change the recipe of the plan in ``folder``, as a stranger can; its film is not finished."""
    plan = plans.load_plan(folder / "plan.npz")
    tree = OmegaConf.to_container(OmegaConf.create(plan.recipe))
    change(tree)
    plans.save_plan(
        plans.Plan(plan.tracks, OmegaConf.to_yaml(OmegaConf.create(tree))), folder / "plan.npz"
    )
    for path in (*folder.glob("film.*"), folder / "recipe.yaml"):
        path.unlink(missing_ok=True)


def unfinish(folder):
    """Remove the film of a run, as if the run was interrupted at the end."""
    for path in (*folder.glob("film.*"), folder / "recipe.yaml"):
        path.unlink()


def recorded(path):
    return {"sha256": sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}


def test_every_file_of_the_configs_is_known():
    """What a comment calls a PATH is under one of the keys that are recorded."""
    lines = [
        line
        for path in CONFIGS.rglob("*.yaml")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    matches = [re.match(r" *(\w+):[^#]*# .*(PATH|where it is)", line) for line in lines]
    keys = {match[1] for match in matches if match}
    assert keys - {"plan", "recipe"} == set(input_files.FILES)


def test_a_recipe_records_the_files_of_a_film(tmp_path, toy):
    network = tmp_path / "network.safetensors"
    native.write_checkpoint(network, "toy", toy.hyperparameters, toy.state_dict(), "a test")
    scores = tmp_path / "scores.npy"
    np.save(scores, np.arange(52.0))
    song = sound(tmp_path / "song.wav", 3)
    files = [
        "generator=file",
        f"generator.path={network}",
        "ordering=file",
        f"ordering.path={scores}",
        f"film.audio={song}",
    ]
    render_config(compose_config(*SMALL[1:], *files), tmp_path / "run")
    files = OmegaConf.to_container(OmegaConf.load(tmp_path / "run/recipe.yaml"))["files"]
    assert files == {
        "generator.path": recorded(network),
        "ordering.path": recorded(scores),
        "film.audio": recorded(song),
    }


def test_a_recipe_records_the_files_of_a_dream(tmp_path, dream_config, photograph):
    Image.fromarray(np.full((8, 8), 200, np.uint8)).save(tmp_path / "mask.png")
    more = [
        f"ascent.mask={tmp_path / 'mask.png'}",
        "objective=guide",
        f"objective.path={photograph}",
    ]
    settings = dream_config(
        "dream=still", "source=photograph", f"source.path={photograph}", *more, "film.duration=0.5"
    )
    render_config(settings, tmp_path / "run")
    files = OmegaConf.to_container(OmegaConf.load(tmp_path / "run/recipe.yaml"))["files"]
    assert files == {
        "classifier.weights": recorded(Path(settings["classifier"]["weights"])),
        "source.path": recorded(photograph),
        "ascent.mask": recorded(tmp_path / "mask.png"),
        "objective.path": recorded(photograph),
    }


def test_another_soundtrack_is_another_film(tmp_path, caplog):
    caplog.set_level("INFO", logger="forgetting")
    song = sound(tmp_path / "song.wav", 3)
    settings = compose_config(*SMALL, f"film.audio={song}")
    first = render_config(settings, tmp_path / "run").read_bytes()
    caplog.clear()
    assert render_config(settings, tmp_path / "run").read_bytes() == first
    assert "finished already" in caplog.text
    sound(song, 9)
    with pytest.raises(RequestError, match="film.audio is another file"):
        render_config(settings, tmp_path / "run")
    assert render_config(settings, tmp_path / "run", force=True).read_bytes() != first


def write_picture(path, seed):
    """Write a still picture of coarse noise; return its path."""
    noise = np.random.RandomState(seed).randint(0, 255, (6, 8, 3), np.uint8)
    Image.fromarray(noise).resize((96, 72), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.mark.parametrize("key", ["generator.path", "ordering.path"])
def test_another_file_of_the_same_name_is_another_face_film(tmp_path, toy, caplog, key):
    caplog.set_level("INFO", logger="forgetting")
    path = tmp_path / ("scores.npy" if key == "ordering.path" else "network.safetensors")

    def write(number):
        if key == "ordering.path":
            np.save(path, np.roll(np.arange(52.0), number))
        else:
            weights = {name: (1 + number) * value for name, value in toy.state_dict().items()}
            native.write_checkpoint(path, "toy", toy.hyperparameters, weights, "a test")

    write(0)
    settings = [f"{key.split('.')[0]}=file", f"{key}={path}"]
    config = compose_config(*SMALL, *settings)
    folder = tmp_path / "run"
    first, content = render_config(config, folder).read_bytes(), path.read_bytes()
    write(1)
    with pytest.raises(RequestError, match=f"{key} is another file"):
        render_config(config, folder)
    caplog.clear()
    assert render_config(config, folder, force=True).read_bytes() != first
    assert "finished already" not in caplog.text
    path.write_bytes(content)
    assert render_config(config, folder, force=True).read_bytes() == first


@pytest.mark.parametrize("key", ["source.path", "ascent.mask", "objective.path"])
def test_another_picture_of_the_same_name_is_another_dream(tmp_path, dream_config, caplog, key):
    caplog.set_level("INFO", logger="forgetting")
    pictures = {
        "source.path": write_picture(tmp_path / "photograph.png", 1),
        "ascent.mask": write_picture(tmp_path / "mask.png", 2),
        "objective.path": write_picture(tmp_path / "guide.png", 3),
    }
    config = dream_config(
        "dream=still",
        "source=photograph",
        "objective=guide",
        "film.duration=0.5",
        *(f"{name}={path}" for name, path in pictures.items()),
    )
    folder = tmp_path / "run"
    first = render_config(config, folder).read_bytes()
    write_picture(pictures[key], 9)
    with pytest.raises(RequestError, match=f"{key} is another file"):
        render_config(config, folder)
    caplog.clear()
    assert render_config(config, folder, force=True).read_bytes() != first
    assert "finished already" not in caplog.text


def test_parts_with_different_soundtracks_are_not_joined(tmp_path):
    song = sound(tmp_path / "song.wav", 3)
    config = compose_config(*SMALL, "film.segment=2", f"film.audio={song}")
    for k in (1, 2):
        render_config(config | {"render": {"shard": f"{k}/2"}}, tmp_path / str(k))
        sound(song, 9)
    with pytest.raises(RequestError, match="parts of different films: files.film.audio.sha256 was"):
        join([tmp_path / "1", tmp_path / "2"], tmp_path / "joined")


@pytest.mark.parametrize("key", ["film.audio", "generator.path", "ordering.path"])
def test_an_ordinary_run_resumes(tmp_path, toy, key, monkeypatch):
    """With files of the user, named relative to the folder of the command line."""
    monkeypatch.chdir(tmp_path)
    native.write_checkpoint(
        tmp_path / "n.safetensors", "toy", toy.hyperparameters, toy.state_dict(), "a test"
    )
    np.save("scores.npy", np.arange(52.0))
    sound("song.wav", 3)
    files = {
        "film.audio": "song.wav",
        "generator.path": "n.safetensors",
        "ordering.path": "scores.npy",
    }
    group = key.split(".")[0]
    choice = [] if group == "film" else [f"{group}=file"]
    film = render_config(
        compose_config(*SMALL, *choice, f"{key}={files[key]}", "measure.names=plain"),
        tmp_path / "run",
    )
    data = film.read_bytes()
    unfinish(tmp_path / "run")
    assert run.resume(tmp_path / "run").read_bytes() == data
    run.measure(tmp_path / "run", MeasureSettings("plain"))
    assert run.resume(tmp_path / "run").read_bytes() == data


def test_an_ordinary_dream_resumes(tmp_path, dream_config, photograph):
    settings = dream_config(
        "dream=still", "source=photograph", f"source.path={photograph}", "film.duration=0.5"
    )
    data = render_config(settings, tmp_path / "run").read_bytes()
    unfinish(tmp_path / "run")
    assert run.resume(tmp_path / "run").read_bytes() == data


def test_a_dream_over_a_run_folder_records_its_film(tmp_path, dream_config):
    film = render_config(compose_config(*SMALL), tmp_path / "face")
    settings = dream_config(
        "dream=over",
        "source=film",
        f"source.path={tmp_path / 'face'}",
        "film.fps=4",
        "film.duration=0.5",
    )
    render_config(settings, tmp_path / "run")
    assert OmegaConf.load(tmp_path / "run/recipe.yaml")["files"]["source.path"] == recorded(film)
    unfinish(tmp_path / "run")
    assert run.resume(tmp_path / "run").exists()


def run_of_stranger(tmp_path, secret, key="film.audio"):
    """The run of a stranger whose recipe names ``secret``, without a hash."""
    render_config(compose_config(*SMALL), tmp_path / "run")

    def change(tree):
        group, name = key.split(".")
        part = {
            "generator": "generator/file",
            "ordering": "ordering/file",
        }.get(group)
        if part is not None:
            tree["config"][group] = {"_target_": part}
        tree["config"][group][name] = str(secret)

    edit_recipe(tmp_path / "run", change)
    return tmp_path / "run"


def recipe_verbs(folder):
    """Return a function for every verb that reads the recipe in ``folder``."""
    return {
        "resume": lambda: run.resume(folder),
        "measure": lambda: run.measure(folder, MeasureSettings("plain")),
        "join": lambda: join([folder], folder / "joined"),
        "replay": lambda: render_config(
            recipe.config_with_plan(
                compose_config(f"plan={folder / 'plan.npz'}"), ["plan"], "render"
            ),
            folder / "again",
        ),
    }


@pytest.mark.parametrize("verb", ["resume", "measure", "join", "replay"])
def test_a_local_file_that_a_stranger_names_is_not_used(tmp_path, verb):
    secret = sound(tmp_path / "secret.wav", 5)
    folder = run_of_stranger(tmp_path, secret)
    with pytest.raises(RequestError) as caught:
        recipe_verbs(folder)[verb]()
    sentence = str(caught.value)
    assert f"names film.audio={secret}" in sentence
    assert f"run: forgetting render plan={folder / 'plan.npz'} film.audio={secret}" in sentence
    assert len(sentence.splitlines()) == 1
    assert not list(folder.rglob("film.mp4"))


@pytest.mark.parametrize("forged", [{"sha256": "0" * 64, "size": 1}, "0" * 64, [], None])
def test_a_wrong_hash_is_no_permission(tmp_path, forged):
    secret = sound(tmp_path / "secret.wav", 5)
    folder = run_of_stranger(tmp_path, secret)
    edit_recipe(folder, lambda tree: tree.update(files={"film.audio": forged}))
    with pytest.raises(RequestError, match="names film.audio="):
        run.resume(folder)
    edit_recipe(folder, lambda tree: tree.update(files=forged))
    with pytest.raises(RequestError, match="names film.audio="):
        run.resume(folder)


@pytest.mark.parametrize("verb", ["resume", "measure", "replay"])
@pytest.mark.parametrize("key", ["film.audio", "generator.path", "ordering.path"])
@pytest.mark.parametrize("what", ["pipe", "device", "folder"])
def test_only_regular_files_are_opened(tmp_path, verb, key, what):
    path = Path("/dev/zero") if what == "device" else tmp_path / "strange"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    folder = run_of_stranger(tmp_path, path, key)
    with pytest.raises(
        RequestError, match=f"{key}={path} cannot be used: {path} is not a regular file"
    ):
        recipe_verbs(folder)[verb]()


def test_the_command_line_may_name_any_file(tmp_path, monkeypatch):
    """The refusal names a command that works."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["forgetting"])
    monkeypatch.setattr("forgetting.cli.console.err._width", 2000)
    folder = run_of_stranger(tmp_path, sound(tmp_path / "a song.wav", 5))

    def invoke(*arguments):
        return CliRunner().invoke(app, list(arguments))

    refused = invoke("resume", str(folder))
    assert refused.exit_code == 2
    command = re.search(
        r'run: forgetting (render plan=\S+) ("film.audio=.*a song.wav")',
        refused.output.replace("\n", " "),
    )
    assert command, refused.output
    verb, plan = command[1].split()
    chosen = [command[2].strip('"'), "hydra.run.dir=mine", "measure.names=none"]
    made = invoke(verb, plan, *chosen)
    assert made.exit_code == 0, made.output
    assert OmegaConf.load("mine/recipe.yaml")["files"]["film.audio"] == recorded(
        tmp_path / "a song.wav"
    )
    assert invoke("render", plan, "hydra.run.dir=other").exit_code == 2


def test_no_plan_names_a_cluster(tmp_path, monkeypatch):
    """Nor another plan to open; connecting and opening are noticed."""
    render_config(compose_config(*SMALL), tmp_path / "run")
    os.mkfifo(tmp_path / "pipe.npz")

    def change(tree):
        tree["config"]["cluster"] = {
            "_target_": "cluster/ray",
            "address": "ray://192.0.2.1:10001",
        }
        tree["config"]["plan"] = str(tmp_path / "pipe.npz")

    edit_recipe(tmp_path / "run", change)
    connected = []
    monkeypatch.setattr(executor, "import_extra", lambda *names: connected.append(names) or 1 / 0)
    read = recipe.config_of(recipe.read_recipe(plans.load_plan(tmp_path / "run/plan.npz"), "here"))
    assert "cluster" not in read
    assert read["plan"] is None
    assert run.resume(tmp_path / "run").exists()
    assert connected == []


def test_a_recipe_holds_plain_values(tmp_path, monkeypatch):
    """An interpolation would bring a secret of this machine into the film."""
    monkeypatch.setenv("SECRET", "a secret of mine")
    render_config(compose_config(*SMALL), tmp_path / "run")
    plain = plans.load_plan(tmp_path / "run/plan.npz")
    laughs = "a0: &a0 [x]\n" + "".join(
        f"a{k + 1}: &a{k + 1} [{', '.join([f'*a{k}'] * 10)}]\n" for k in range(9)
    )
    hostile = [
        plain.recipe.replace("title: null", "title: ${oc.env:SECRET}"),
        plain.recipe.replace("precision: float32", "precision: ${oc.env:SECRET}"),
        plain.recipe + laughs,
        "[" * 20_000,
        plain.recipe + "z: !!python/object/apply:os.system [true]\n",
    ]
    for text in hostile:
        assert text != plain.recipe
        plans.save_plan(plans.Plan(plain.tracks, text), tmp_path / "run/plan.npz")
        with pytest.raises(RequestError, match="the recipe in plan") as caught:
            run.resume(tmp_path / "run")
        assert "a secret of mine" not in str(caught.value)
        assert len(str(caught.value)) < 500


def test_a_run_folder_may_move(tmp_path):
    """What is written for a run is named relative to its folder."""
    data = render_config(compose_config(*SMALL), tmp_path / "run").read_bytes()
    assert str(tmp_path) not in (tmp_path / "run/recipe.yaml").read_text()
    unfinish(tmp_path / "run")
    shutil.move(tmp_path / "run", tmp_path / "moved")
    film = run.resume(tmp_path / "moved")
    assert film == tmp_path / "moved/film.mp4"
    assert film.read_bytes() == data
    assert not (tmp_path / "run").exists()
