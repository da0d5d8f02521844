import numpy as np
import pytest
import torch

from forgetting.errors import RequestError
from forgetting.models.latents import Breathe, Drift, Seed, Walk, Wander, latent_of_seed, slerp
from helpers import TINY


def test_a_seed_is_that_of_the_original_code(tiny):
    z = torch.from_numpy(np.random.RandomState(42).randn(1, tiny.z_dim)).float()
    assert torch.equal(Seed(42, psi=0.5).sample(tiny), tiny.mapping(z, 0.5))


def test_psi_zero_is_the_average_face(tiny):
    assert torch.equal(Seed(1, psi=0.0).sample(tiny), Seed(2, psi=0.0).sample(tiny))
    assert not torch.equal(Seed(1).sample(tiny), Seed(2).sample(tiny))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"psi": 9.0}, "latent.psi must lie between -2 and 2, got 9"),
        ({"psi": float("nan")}, "got nan"),
        ({"seed": -1}, "got -1"),
        ({"seed": 2**32}, "got 4294967296"),
        ({"seed": "x"}, "got 'x'"),
    ],
)
def test_out_of_range(settings, message):
    with pytest.raises(RequestError, match=message):
        Seed(**settings)


def test_classes():
    conditional, plain = TINY["stylegan2"](), TINY["toy"]()
    assert torch.equal(Seed(1).sample(conditional), Seed(1, label=0).sample(conditional))
    assert not torch.equal(Seed(1).sample(conditional), Seed(1, label=2).sample(conditional))
    with pytest.raises(RequestError, match="latent.label must lie between 0 and 2, got 3"):
        Seed(1, label=3).sample(conditional)
    with pytest.raises(RequestError, match="no classes; leave out latent.label, got 1"):
        Seed(1, label=1).sample(plain)


MOVING = [Walk((3, 4, 5)), Walk((3, 4), loop=False), Drift(3, 4), Wander(3), Breathe(3)]


@pytest.mark.parametrize("latent", MOVING, ids=repr)
def test_a_face_that_moves_does_so_evenly(latent, toy):
    frames = 240
    ws = torch.cat([latent.sample(toy, index, frames) for index in range(frames)])
    assert ws.shape[0] == frames
    steps = (ws[1:] - ws[:-1]).flatten(1).norm(dim=1)
    assert float(steps.max()) > 0
    assert float(steps.max()) < 0.25 * float((ws - ws.mean(0)).flatten(1).norm(dim=1).max()), (
        "it does not jump"
    )
    assert torch.equal(latent.sample(toy, 17, frames), ws[17, None]), (
        "a frame's face depends on its index alone"
    )


@pytest.mark.parametrize("latent", [MOVING[0], *MOVING[3:]], ids=repr)
def test_loops_close(latent, toy):
    """The frame after the last is the first: that step is no larger than the others."""
    frames = 200
    ws = torch.cat([latent.sample(toy, index, frames) for index in range(frames)])
    steps = (ws.roll(-1, 0) - ws).flatten(1).norm(dim=1)
    assert float(steps[-1]) <= 1.5 * float(steps.max())
    assert float(steps[-1]) <= float(steps[:-1].max()) * 1.01


def test_walks_go_through_their_faces(toy):
    walk = Walk((3, 4, 5))
    for number, seed in enumerate((3, 4, 5)):
        torch.testing.assert_close(
            walk.sample(toy, 40 * number, 120), Seed(seed).sample(toy), atol=1e-5, rtol=1e-4
        )
    torch.testing.assert_close(
        Walk((3, 4), loop=False).sample(toy, 9, 10), Seed(4).sample(toy), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(
        Drift(3, 4, share=1.0).sample(toy, 9, 10), Seed(4).sample(toy), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(
        Breathe(3, depth=0.2, breaths=1).sample(toy, 25, 100),
        Seed(3, psi=0.9).sample(toy),
        atol=1e-5,
        rtol=1e-4,
    )


def test_walks_stay_on_the_sphere(toy):
    a, b = latent_of_seed(toy, 1), latent_of_seed(toy, 2)
    lengths = [float(slerp(a, b, share).norm()) for share in (0, 0.25, 0.5, 1)]
    assert lengths == pytest.approx(
        [float(a.norm()) * (1 - s) + float(b.norm()) * s for s in (0, 0.25, 0.5, 1)], rel=1e-5
    )
    torch.testing.assert_close(slerp(a, 2 * a, 0.5), 1.5 * a)
    middle, angle = latent_of_seed(toy, 3), []
    for index in range(4):
        with torch.no_grad():

            class Seen:
                z_dim, labels = toy.z_dim, 0

                def mapping(self, z, psi, label):
                    angle.append(float(torch.nn.functional.cosine_similarity(z, middle)))
                    return z

            Wander(3, radius=20.0).sample(Seen(), index, 4)
    assert angle == pytest.approx([np.cos(np.radians(20))] * 4, abs=1e-5)


def test_the_first_of_several_faces_is_the_face_itself(toy):
    for latent in (Seed(3), *MOVING):
        first, second = latent.of_grid(2)
        assert torch.equal(first.sample(toy, 0, 10), latent.sample(toy, 0, 10))
        assert not torch.equal(second.sample(toy, 0, 10), latent.sample(toy, 0, 10))


@pytest.mark.parametrize("latent", [Seed, Wander, Breathe])
def test_the_faces_of_a_grid_can_be_given(latent, toy):
    faces = latent(3, seeds=(5, 23, 5)).of_grid(3)
    for face, seed in zip(faces, (5, 23, 5), strict=True):
        assert torch.equal(face.sample(toy, 2, 10), latent(seed).sample(toy, 2, 10))
    message = r"latent.seeds names 6 faces and the film shows 4; .* write film.grid=3x2"
    with pytest.raises(RequestError, match=message):
        latent(3, seeds=(1, 2, 3, 4, 5, 6)).of_grid(4)
    for wrong in ("3,4", 7, (), (3, -1), (3, "x"), (3.5,)):
        with pytest.raises(RequestError, match="latent.seeds"):
            latent(3, seeds=wrong)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Walk((1,)), "two faces or more"),
        (lambda: Walk((1, -1)), "latent.seed"),
        (lambda: Drift(share=2), "latent.share must lie between"),
        (lambda: Wander(radius=200), "latent.radius must lie between"),
        (lambda: Wander(turns=0), "latent.turns must lie between"),
        (lambda: Breathe(depth=-1), "latent.depth must lie between"),
    ],
)
def test_impossible_movements(make, message):
    with pytest.raises(RequestError, match=message):
        make()
