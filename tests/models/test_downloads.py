from forgetting import progress
from forgetting.models import downloads


def test_progress_follows_pip():
    said, seen = [], []
    token = progress.display.set(
        lambda items, what, total: (seen.append(item) or item for item in items)
    )
    lines = [
        "Collecting x\n",
        "Progress 0 of 200\n",
        "Progress 5 of 200\n",
        "Progress 200 of 200\n",
        "Saved x\n",
    ]
    assert list(progress.track(downloads.pip_progress(iter(lines), said), "x", 100)) == list(
        range(1, 101)
    )
    progress.display.reset(token)
    assert said == ["Collecting x\n", "Saved x\n"]
    assert len(seen) == 100
