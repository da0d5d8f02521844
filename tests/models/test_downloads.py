from forgetting import progress
from forgetting.models import downloads


def test_progress_follows_pip():
    other_lines, ticks = [], []
    token = progress.display.set(
        lambda items, what, total: (ticks.append(item) or item for item in items)
    )
    lines = [
        "Collecting x\n",
        "Progress 0 of 200\n",
        "Progress 5 of 200\n",
        "Progress 200 of 200\n",
        "Saved x\n",
    ]
    assert list(progress.track(downloads.pip_progress(iter(lines), other_lines), "x", 100)) == list(
        range(1, 101)
    )
    progress.display.reset(token)
    assert other_lines == ["Collecting x\n", "Saved x\n"]
    assert len(ticks) == 100
