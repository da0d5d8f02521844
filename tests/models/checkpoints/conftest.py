import faulthandler

import pytest


@pytest.fixture(autouse=True)
def watchdog(request):
    """End the process with a traceback where a hostile file makes a test hang."""
    seconds = 3 * 3600 if request.node.get_closest_marker("soak") else 240
    faulthandler.dump_traceback_later(seconds, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
