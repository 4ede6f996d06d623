"""`tim` as a process of its own: what it loads, how it ends, and real sockets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from component import kubeconfig

FORBIDDEN = (
    *("numpy", "cryptography", "aiohttp", "structlog", "controlplane", "agent", "netplugin"),
    *("api.pod", "api.jsonpath", "difflib"),
)

pytestmark = pytest.mark.slow


def tim(*words, **options):
    code = "import sys; from cli.start import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False, **options
    )


@pytest.fixture
def unreachable(tmp_path):
    """A configuration of a cluster where nobody listens."""
    path = tmp_path / "config"
    kubeconfig.write(kubeconfig.build("lab", "https://h", ["127.0.0.1:1"], b"ca", "me", b"cert", b"key"), path)
    return path


@pytest.mark.parametrize("words", [["--help"], ["get", "--help"], ["get", "pods"], ["apply", "--help"]])
def test_a_start_loads_nothing_that_it_does_not_need(words):
    code = (
        f"import sys; sys.argv = {['tim', *words]!r}\nfrom cli.main import main\ntry: main()\nexcept SystemExit: pass\n"
        f"print(*(each for each in {FORBIDDEN!r} if each in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1] == ""


def test_help_does_without_grpc_yaml_and_asyncio():
    code = "import sys\nfrom cli.commands import get\nprint(*({'grpc', 'yaml', 'asyncio', 'msgspec'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "\n"


def test_keys_that_are_none_are_one_line(unreachable):
    done = tim("get", "pods", env={**os.environ, "TIMCONFIG": str(unreachable)})
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_a_reader_that_closes_early_sees_no_complaint():
    code = "from cli.start import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "explain", "pods", "--recursive"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), said) == (1, b"")


@pytest.mark.parametrize(
    ("redirection", "code", "said"), [(">&-", 0, ""), (">/dev/full", 1, "No space left on device")]
)
def test_output_that_goes_nowhere_is_no_traceback(redirection, code, said):
    line = f"""exec {sys.executable} -c 'from cli.start import main; main()' explain pods --recursive {redirection}"""
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == (1 if said else 0)


def test_a_word_that_is_no_text_is_one_line(unreachable):
    environment = {**os.environ, "TIMCONFIG": str(unreachable)}
    done = tim("plugin", "list", b"x\xff", env=environment)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    done = tim("config", "rename-context", "me@lab", b"x\xff", env=environment)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "a name that is no text" in done.stderr
    assert kubeconfig.read(unreachable)["current-context"] == "me@lab"


def test_what_has_no_end_is_not_read_to_its_end(unreachable):
    done = tim("apply", "-f", "/dev/zero", env={**os.environ, "TIMCONFIG": str(unreachable)})
    assert (done.returncode, done.stderr) == (1, "Error: Invalid: /dev/zero: more than 64 MiB\n")


def test_ctrl_c_ends_a_command_that_waits_for_what_it_reads(unreachable, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    process = subprocess.Popen(
        [sys.executable, "-c", "from cli.start import main; main()", "apply", "-f", str(tmp_path / "pipe")],
        stderr=subprocess.PIPE,
        env={**os.environ, "TIMCONFIG": str(unreachable)},
        # What runs in the background of a shell without job control, as these tests may, is begun with the signal ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    with (tmp_path / "pipe").open("wb"):  # open once the other side reads, or is about to: then the first one is lost
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert process.poll() == 130
        assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
