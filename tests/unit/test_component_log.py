import json

import pytest
import structlog

from component.log import configure


@pytest.fixture(autouse=True)
def unconfigured():
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def fail_with(secret):
    try:
        int("boom")
    except ValueError:
        structlog.get_logger().exception("broke")
    return secret


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_never_shows_the_variables_of_its_frames(capsys, log_format):
    configure("test", log_format=log_format)
    fail_with("hunter" * 2)
    told = capsys.readouterr().err
    assert "boom" in told
    assert "hunter" not in told


def test_a_json_line_carries_component_event_and_cause(capsys):
    configure("test", log_format="json")
    fail_with("")
    line = json.loads(capsys.readouterr().err)
    assert (line["component"], line["event"], line["level"]) == ("test", "broke", "error")
    assert line["exception"][0]["exc_type"] == "ValueError"
    assert line["exception"][0]["frames"][-1]["name"] == "fail_with"
