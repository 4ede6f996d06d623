"""What manifests of the Kubernetes documentation do only after a while: probes with their delays, ends by themselves."""

from __future__ import annotations

import json
from datetime import datetime

from tests.e2e.cluster import container_status, restarts


def test_tcp_probes_wait_for_their_initial_delay(docs):
    pod = docs.wait_ready("goproxy", 90)
    assert restarts(pod) == 0
    started, ready = (
        next(each["lastTransitionTime"] for each in pod["status"]["conditions"] if each["type"] == name)
        for name in ("PodScheduled", "Ready")
    )
    assert (datetime.fromisoformat(ready) - datetime.fromisoformat(started)).total_seconds() >= 14


def test_last_words_are_in_the_status(docs):
    def told(pod):
        state = container_status(pod).get("lastState", {}).get("terminated") or {}
        return state.get("message") == "Sleep expired\n"

    docs.wait_pod("termination-demo", told, "left its last words", 120)
    template = json.dumps(docs.pod("termination-demo")["status"])
    assert '"exitCode": 0' in template


def test_liveness_by_a_command_restarts_the_container_that_fails_it(docs):
    docs.wait_pod("liveness-exec", lambda pod: restarts(pod) >= 1, "was restarted", 150)
    docs.wait_event(
        "liveness-exec", "Unhealthy", "Liveness probe failed: cat: can't open '/tmp/healthy': No such file or directory"
    )
    docs.wait_event("liveness-exec", "Killing")
    shown = docs.tim("events", "--for", "pod/liveness-exec").out
    assert "Unhealthy" in shown
    assert "Killing" in shown
