"""The registry of parts: names, config files, defaults, and parts of other packages."""

import ast
import copy
import dataclasses
import re
import subprocess
import sys
import textwrap
from collections import Counter

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from forgetting import parts
from forgetting.ablation.orderings.basic import Random
from forgetting.errors import RequestError
from forgetting.film.recipe import config_of, read_recipe
from forgetting.film.run_folder import RunFolder
from forgetting.jobs.config_groups import CONFIGS, DREAMS, GROUPS
from forgetting.parts import TARGET, find_part, package_parts, part_fields, part_modules
from helpers import ROOT, THREE_FRAMES, compose_config, part_nodes

SOURCES = sorted((ROOT / "forgetting").rglob("*.py"))

OPTIONS = sorted(
    (path.parent.name, path.stem)
    for path in CONFIGS.glob("*/*.yaml")
    if path.parent.name != "experiment"
)
"""Group and name of every option."""

CHOSEN = {
    "ascent/light": {"iterations", "step", "octaves"},
    "dream/breathe": {"periods"},
    "ordering/sequence": {"take"},
    "schedule/acts": {"name", "until", "share"},
    "schedule/darkness": {"name", "until", "share", "hold"},
    "schedule/keyframes": {"points", "between"},
    **{f"film/{name}": {"format"} for group, name in OPTIONS if group == "film" and name != "mp4"},
    **{
        f"classifier/{name}": {"name"}
        for group, name in OPTIONS
        if group == "classifier" and name not in ("efficientnet-lite2", "file")
    },
    **{f"generator/{name}": {"name"} for name in ("digiface-dcgan", "painted-eyes", "toy")},
}
"""The settings that an option is there to change; all others have the defaults of the class."""


def decorated_classes():
    """Yield the part's name, the module and the class definition of every decorated class."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            for decorator in getattr(node, "decorator_list", ()):
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "part":
                    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                    yield ast.literal_eval(decorator.args[0]), module, node


def is_plain(value):
    """Return whether a setting holds no part."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (str, int, float, bool))


def same_value(a, b):
    """Return whether plain values are equal; lists equal tuples, and no number equals a bool."""
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same_value, a, b))
    return a == b and isinstance(a, bool) == isinstance(b, bool)


# Our own parts


def test_the_index_of_parts_is_that_of_the_decorators():
    decorated = [(name, module) for name, module, _ in decorated_classes()]
    assert len(decorated) > 80
    assert Counter(name for name, _ in decorated).most_common(1)[0][1] == 1, "names are unique"
    assert dict(decorated) == part_modules()


@pytest.mark.parametrize("name", part_modules())
def test_a_name_finds_the_frozen_dataclass_that_is_decorated_with_it(name):
    (definition,) = (node for decorated, _, node in decorated_classes() if decorated == name)
    cls = find_part(name)
    assert (cls.__module__, cls.__name__) == (part_modules()[name], definition.name)
    assert dataclasses.is_dataclass(cls)
    assert cls.__dataclass_params__.frozen


def test_class_names_have_one_meaning_in_the_whole_package():
    defined = [
        (node.name, path.name)
        for path in SOURCES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    several = {name for name, count in Counter(name for name, _ in defined).items() if count > 1}
    assert not {(name, path) for name, path in defined if name in several}


def test_looking_up_a_part_imports_its_module_alone():
    """What that module needs itself is imported too; no other module of the group is."""
    script = """
        import sys
        from forgetting.parts import find_part, part_modules
        part_modules()
        assert not [name for name in sys.modules if name.startswith("forgetting.ablation")]
        assert find_part("ordering/random").__name__ == "Random"
        imported = {name for name in part_modules().values() if name in sys.modules}
        assert imported == {"forgetting.ablation.orderings.basic"}, imported
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, cwd=ROOT)


# Config files


def test_every_target_in_a_config_is_a_part():
    targets = [
        (str(path.relative_to(CONFIGS)), target.strip("\"'"))
        for path in CONFIGS.rglob("*.yaml")
        for target in re.findall(r"_target_:\s*([^\s,}#]+)", path.read_text())
    ]
    assert len(targets) > 80
    unknown = [(path, target) for path, target in targets if target not in part_modules()]
    assert not unknown


def test_every_part_of_a_group_with_config_files_has_one():
    """An option of that group names it, so it can be chosen."""
    groups = {group for group, _ in OPTIONS}
    assert groups == (set(GROUPS) | set(DREAMS)) - {"experiment"}
    for group in groups:
        text = "".join(path.read_text() for path in (CONFIGS / group).glob("*.yaml"))
        named = set(re.findall(rf"_target_: ({group}/\w+)", text))
        assert named == {name for name in part_modules() if name.startswith(f"{group}/")}


@pytest.mark.filterwarnings("ignore:.*Defaults list is missing `_self_`")
@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=["/".join(option) for option in OPTIONS])
def test_config_files_show_the_defaults_of_the_classes(group, option):
    if group == "dream":  # such options also choose options of other groups
        config = compose_config(f"dream={option}", root="dream")[group]
    else:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            config = OmegaConf.to_container(compose(f"{group}/{option}"), resolve=False)
    changed = {}
    for node in part_nodes(config):
        defaults = {field.name: field.default for field in part_fields(find_part(node[TARGET]))}
        settings = {name: value for name, value in node.items() if name != TARGET}
        assert settings.keys() <= defaults.keys()
        changed |= {
            name: (node[TARGET], value, defaults[name])
            for name, value in settings.items()
            if is_plain(value) and not same_value(value, defaults[name])
        }
    assert changed.keys() == CHOSEN.get(f"{group}/{option}", set()), changed


# Parts of other packages

MODULE = """
from dataclasses import dataclass
import torch
from forgetting.models.units import Units

@dataclass(frozen=True)
class Greenest:
    seed: int = 0
    layers: str = "*"

    def rank(self, request):
        count = len(request.units)
        return ((torch.arange(count) + self.seed) % count + 0.5) / count

@dataclass(frozen=True)
class Shadow:
    seed: int = 0

def not_a_dataclass():
    return None
"""

EXPERIMENT = "# @package _global_\ndefaults: [{override /ordering: my_parts.greenest}]\n"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install the distribution ``my-parts``, whose module is ``parts_of_others``."""
    folder = tmp_path / "site"
    info = folder / "my_parts-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[forgetting.parts]\n"
        "ordering/greenest = parts_of_others:Greenest\n"
        "ordering/random = parts_of_others:Shadow\n"
        "ordering/function = parts_of_others:not_a_dataclass\n"
    )
    (folder / "parts_of_others.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    Plugins.instance()  # they add configs of their own once a process
    store = ConfigStore.instance()
    monkeypatch.setattr(store, "repo", copy.deepcopy(store.repo))
    yield folder
    sys.modules.pop("parts_of_others", None)


def was_imported():
    return "parts_of_others" in sys.modules


def film(folder, *arguments):
    """Return the command of a film of three frames; options of the command come first."""
    return ("render", *arguments, *THREE_FRAMES, "measure.names=none", f"hydra.run.dir={folder}")


def test_parts_of_packages_are_named_after_them(installed):
    names = {name for name, _ in package_parts() if name.startswith("ordering/my_parts.")}
    assert names == {f"ordering/my_parts.{name}" for name in ("greenest", "random", "function")}
    assert find_part("ordering/random") is Random
    assert not was_imported()
    shadow = find_part("ordering/my_parts.random", trusted={"my_parts"})
    assert shadow.__name__ == "Shadow"
    assert find_part("ordering/random") is Random


@pytest.mark.parametrize("name", ["My-Parts", "my.parts", "my_parts", "my-.parts"])
def test_the_name_of_a_package_is_normalised(installed, name):
    """A dot in it would otherwise end the package's name, and another one would be trusted."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    (installed / "my_parts-1.0.dist-info/METADATA").write_text(metadata)
    assert "ordering/my_parts.greenest" in dict(package_parts())


def test_a_part_that_is_not_trusted_is_refused_before_its_import(installed):
    with pytest.raises(
        RequestError,
        match="^ordering names ordering/my_parts.greenest, which runs code of the package "
        "my_parts; if you trust it, add trust=my_parts to the command line$",
    ):
        find_part("ordering/my_parts.greenest", "ordering", {"other_parts"})
    assert not was_imported()


def test_unknown_parts_of_packages_list_those_that_are_installed(installed):
    with pytest.raises(
        RequestError,
        match="no part 'ordering/my_parts.greener' .did you mean 'ordering/my_parts.greenest'.*; "
        "installed are .*ordering/my_parts.random",
    ):
        find_part("ordering/my_parts.greener", "ordering", {"my_parts"})


def test_a_part_must_be_a_dataclass(installed):
    with pytest.raises(
        RequestError, match="the part ordering/my_parts.function must be a dataclas"
    ):
        find_part("ordering/my_parts.function", "ordering", {"my_parts"})


@pytest.mark.parametrize("verb", ["render", "dream"])
def test_help_lists_parts_of_packages_without_importing_them(installed, command_line, verb):
    output = command_line(verb, "--help").output
    assert re.search(r"ordering=my_parts\.greenest +of the package my_parts", output)
    assert not was_imported()


@pytest.mark.slow
def test_the_command_line_chooses_a_part_of_a_package_and_its_settings(
    installed, command_line, tmp_path
):
    for seed in (0, 3):
        result = command_line(
            *film(f"run{seed}", "ordering=my_parts.greenest", f"ordering.seed={seed}")
        )
        assert result.exit_code == 0, result.output
    plans = [RunFolder(tmp_path / f"run{seed}").required_plan() for seed in (0, 3)]
    recorded = config_of(read_recipe(plans[1], "plan"))
    assert recorded["ordering"] == {TARGET: "ordering/my_parts.greenest", "seed": 3, "layers": "*"}
    assert "trust" not in recorded
    ranks = [plan.tracks[0].rank.numpy() for plan in plans]
    assert np.array_equal(np.roll(ranks[0], -3), ranks[1])
    result = command_line(*film("wrong", "ordering=my_parts.greenest", "ordering.sed=3"))
    assert result.exit_code == 2
    assert "ordering.seed" in result.output


@pytest.mark.slow
def test_a_sweep_chooses_a_part_of_a_package(installed, command_line, tmp_path):
    result = command_line(
        *film("unused", "-m", "ordering=random,my_parts.greenest", "hydra.sweep.dir=sweep"),
    )
    assert result.exit_code == 0, result.output
    plans = [RunFolder(path.parent).required_plan() for path in tmp_path.rglob("plan.npz")]
    targets = {config_of(read_recipe(plan, "plan"))["ordering"][TARGET] for plan in plans}
    assert targets == {"ordering/random", "ordering/my_parts.greenest"}


def refused(result, folder):
    """Assert that a command was refused for want of trust, and that nothing was imported."""
    assert result.exit_code == 2, result.output
    assert "if you trust it, add trust=my_parts to the command line" in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not (folder / "film.mp4").exists()
    assert not was_imported()


@pytest.mark.slow
def test_an_experiment_may_name_a_part_only_of_a_trusted_package(installed, command_line, tmp_path):
    path = tmp_path / "theirs/experiment/theirs.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(EXPERIMENT)
    arguments = film("run", "--config-dir", "theirs", "experiment=theirs")
    refused(command_line(*arguments), tmp_path / "run")
    refused(command_line(*arguments, "trust=other_parts"), tmp_path / "run")
    result = command_line(*arguments, "trust=[other_parts,my_parts]")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run/film.mp4").exists()


def test_an_experiment_may_trust_nobody(installed, command_line, tmp_path):
    path = tmp_path / "theirs/experiment/theirs.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(EXPERIMENT + "trust: my_parts\n")
    result = command_line(*film("run", "--config-dir", "theirs", "experiment=theirs"))
    assert result.exit_code == 2
    assert "sets 'trust', and only the command line may" in result.output
    assert not was_imported()


@pytest.fixture
def finished_run(installed, command_line, tmp_path):
    """The folder of a run whose ordering is of a package that is not imported any more."""
    result = command_line(*film("run", "ordering=my_parts.greenest", "ordering.seed=3"))
    assert result.exit_code == 0, result.output
    del sys.modules["parts_of_others"]
    ConfigStore.instance().repo["ordering"].pop("my_parts.greenest.yaml")
    return tmp_path / "run"


@pytest.mark.slow
def test_a_plan_may_name_a_part_only_of_a_trusted_package(finished_run, command_line, tmp_path):
    """The recipe in the plan names it."""
    arguments = ("render", f"plan={finished_run}/plan.npz", "hydra.run.dir=again")
    refused(command_line(*arguments), tmp_path / "again")
    result = command_line(*arguments, "trust=my_parts")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "again/film.mp4").exists()


def test_a_film_is_measured_only_where_its_packages_are_trusted(finished_run, command_line):
    arguments = ("measure", str(finished_run), "--names", "structure")
    result = command_line(*arguments)
    assert result.exit_code == 2, result.output
    assert "ordering names ordering/my_parts.greenest" in result.output
    assert not was_imported()
    result = command_line(*arguments, "--trust", "my_parts")
    assert result.exit_code == 0, result.output


def test_a_run_is_resumed_only_where_its_packages_are_trusted(finished_run, command_line):
    (finished_run / "film.mp4").unlink()
    for trust in ([], ["--trust", "other_parts"]):
        result = command_line("resume", str(finished_run), *trust)
        assert result.exit_code == 2, result.output
        assert "ordering names ordering/my_parts.greenest" in result.output
        assert not was_imported()
        assert not (finished_run / "film.mp4").exists()
    result = command_line("resume", str(finished_run), "--trust", "my_parts")
    assert result.exit_code == 0, result.output
    assert (finished_run / "film.mp4").exists()


def test_the_names_of_decorators_are_what_the_index_reads():
    """A decorator that the index does not read, such as one in other quotes, would be lost."""
    for path in SOURCES:
        for line in path.read_text().splitlines():
            if re.match(r"\s*@(parts\.)?part\(", line):
                assert parts._DECORATED.match(line), f"{path.name}: {line}"
