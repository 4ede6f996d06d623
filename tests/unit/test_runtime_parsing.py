"""Reading what Podman, conmon and the kernel say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime import cgroups
from agent.runtime.containers import from_inspect, from_list, instant
from agent.runtime.containers_conf import PodmanSettings, containers_conf, permitted_limit
from agent.runtime.exec import without_podmans_words
from agent.runtime.images import candidates
from agent.runtime.oci import runtime_of
from agent.runtime.protocol import RuntimeFailure

LABELS = {
    "timonier.pod-uid": "uid-1",
    "timonier.container": "main",
    "timonier.attempt": "2",
    "timonier.spec-hash": "abc",
    "timonier.log-path": "/logs/2.log",
}


def inspected(status, **state):
    return from_inspect(
        {
            "Id": "id-1",
            "Created": "2025-01-15T08:30:00.5Z",
            "Image": "image-1",
            "ImageName": "localhost/busybox:1",
            "StaticDir": "/static",
            "State": {"Status": status, "Pid": 7, "ConmonPid": 6, "ExitCode": 0, **state},
            "Config": {"Labels": LABELS},
            "HostConfig": {"CgroupParent": "/pods/a"},
        }
    )


@pytest.mark.parametrize(
    ("shown", "number"), [(3, 3), ("SIGQUIT", 3), ("3", 3), (None, 0), ("", 0), ("SIGNONSENSE", 0)]
)
def test_the_stop_signal_of_an_image_is_a_number_or_a_name(shown, number):
    tree = {"Id": "i", "State": {"Status": "running"}, "Config": {"Labels": LABELS, "StopSignal": shown}}
    assert from_inspect(tree).container.stop_signal == number


def test_a_running_container_is_read_with_its_identity_and_processes():
    found = inspected("running", StartedAt="2025-01-15T08:30:01.25Z", FinishedAt="0001-01-01T00:00:00Z")
    container = found.container
    assert (found.conmon_pid, found.static_dir, found.cgroup_parent) == (6, "/static", "/pods/a")
    assert (container.pod_uid, container.name, container.attempt, container.spec_hash) == ("uid-1", "main", 2, "abc")
    assert (container.state, container.pid, container.log_path) == ("running", 7, "/logs/2.log")
    assert container.started_time - container.created_time == 0.75
    assert container.finished_time == 0.0


def test_an_exited_container_has_no_pid_and_never_ends_before_its_start():
    times = {"StartedAt": "2025-01-15T08:30:01.25Z", "FinishedAt": "2025-01-15T08:30:01.248Z"}
    container = inspected("exited", ExitCode=3, **times).container
    assert (container.state, container.exit_code, container.pid) == ("exited", 3, 0)
    assert container.finished_time == container.started_time


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("configured", "created"),
        ("initialized", "created"),
        ("paused", "running"),
        ("stopped", "exited"),
        ("removing", "unknown"),
    ],
)
def test_podmans_states_are_mapped(status, state):
    assert inspected(status).container.state == state


def test_a_list_entry_without_labels_belongs_to_no_pod():
    container = from_list({"Id": "x", "State": "created", "Labels": None, "StartedAt": -62135596800})
    assert (container.pod_uid, container.attempt, container.started_time) == ("", 0, 0.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0.0),
        ("0001-01-01T00:00:00Z", 0.0),
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T01:00:01.123456789+01:00", 1.123456789),
        ("1969-12-31T19:00:00.25-05:00", 0.25),
    ],
)
def test_go_timestamps_of_any_precision_are_read(text, seconds):
    assert instant(text) == pytest.approx(seconds, abs=1e-9)


# --- image names


@pytest.mark.parametrize(
    ("reference", "names"),
    [
        ("nginx", ["localhost/nginx:latest", "docker.io/library/nginx:latest"]),
        ("nginx:1.25", ["localhost/nginx:1.25", "docker.io/library/nginx:1.25"]),
        ("team/app", ["localhost/team/app:latest", "docker.io/team/app:latest"]),
        ("localhost/app:1", ["localhost/app:1"]),
        ("docker.io/nginx", ["docker.io/library/nginx:latest"]),
        ("docker.io/team/app:2", ["docker.io/team/app:2"]),
        ("registry.example.com:5000/a/b:c", ["registry.example.com:5000/a/b:c"]),
        ("10.0.0.1:5000/app", ["10.0.0.1:5000/app:latest"]),
        ("registry:5000/app", ["registry:5000/app:latest"]),
        ("app@sha256:" + "a" * 64, [f"localhost/app@sha256:{'a' * 64}", f"docker.io/library/app@sha256:{'a' * 64}"]),
        ("sha256:" + "b" * 64, ["b" * 64]),
        ("c" * 64, ["c" * 64]),
    ],
)
def test_image_names_are_normalised_and_localhost_wins(reference, names):
    assert candidates(reference) == names


@pytest.mark.parametrize(
    "reference", ["", " ", "Nginx", "a//b", "/a", "a:", "a:b:c", "a b", "a@sha256:12", "-a", "a/", "x" * 300, "a\n"]
)
def test_malformed_image_names_are_refused(reference):
    with pytest.raises(RuntimeFailure, match="valid reference") as failure:
        candidates(reference)
    assert (failure.value.reason, failure.value.temporary) == ("InvalidImageName", False)


@given(st.text(max_size=80))
def test_any_text_is_either_normalised_or_refused(reference):
    try:
        names = candidates(reference)
    except RuntimeFailure:
        return
    assert names
    assert all(candidates(name) == [name] for name in names)


# --- cgroups

V1 = """\
30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
"""
V2 = "29 25 0:26 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = V1 + "33 30 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"


def test_the_oom_counter_of_version_1_is_in_the_memory_hierarchy():
    trees = cgroups.hierarchies(V1)
    assert cgroups.oom_counter("/p", "id", trees) == "/sys/fs/cgroup/memory/p/libpod-id/memory.oom_control"


def test_the_oom_counter_of_version_2_is_in_memory_events():
    trees = cgroups.hierarchies(V2)
    assert cgroups.oom_counter("/p", "id", trees) == "/sys/fs/cgroup/p/libpod-id/memory.events"


def test_in_a_hybrid_system_version_1_accounts_for_memory():
    trees = cgroups.hierarchies(HYBRID)
    assert len(trees) == 3
    assert cgroups.oom_counter("/p", "id", trees).endswith("/memory/p/libpod-id/memory.oom_control")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3),
        ("low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n", 1),
        ("oom_kill 0\n", 0),
        ("", 0),
    ],
)
def test_oom_kills_are_read_in_both_formats(tmp_path, text, count):
    path = tmp_path / "counter"
    path.write_text(text)
    assert cgroups.oom_kills(str(path)) == count


def test_a_counter_that_is_gone_counts_nothing(tmp_path):
    assert cgroups.oom_kills(str(tmp_path / "gone")) == 0


@pytest.mark.parametrize(
    ("listing", "is_of_it"),
    [
        ("4:memory:/pods/uid/libpod-c1\n0::/init\n", True),
        ("0::/pods/uid/libpod-c1/container\n", True),
        ("0::/pods/uid/libpod-c10\n", False),
        ("4:memory:/machine/1dc8a130d3c1aa93\n0::/c1\n", False),
        ("", False),
    ],
)
def test_a_process_is_of_a_container_by_a_whole_component_of_its_cgroups_path(listing, is_of_it):
    assert cgroups.belongs(listing, "c1") is is_of_it


def test_the_root_cgroup_is_never_removed():
    with pytest.raises(ValueError, match="root cgroup"):
        cgroups.remove("/", [])


# --- conmon's command line


def test_the_oci_runtime_and_its_options_are_read_from_conmons_command_line():
    arguments = ["/usr/bin/conmon", "-c", "id", "-r", "/usr/bin/crun", "--runtime-arg", "--log-format=json"]
    arguments += ["--runtime-arg", "--log", "--runtime-arg=/run/oci-log", "--runtime-arg", "--root"]
    arguments += ["--runtime-arg", "/state", "--exit-dir", "/exits", ""]
    runtime = runtime_of(arguments)
    assert (runtime.path, runtime.options) == ("/usr/bin/crun", ("--root", "/state"))


def test_without_conmon_no_runtime_is_known():
    assert not runtime_of([]).knows("id")


# --- containers.conf


def test_limits_above_ones_own_are_only_given_by_who_may_raise_them():
    assert permitted_limit(1000, 500, may_raise=False) == 500
    assert permitted_limit(1000, 500, may_raise=True) == 1000
    assert permitted_limit(1000, 5000, may_raise=False) == 1000
    assert permitted_limit(1000, -1, may_raise=False) == 1000


def test_the_configuration_is_valid_toml_with_the_hosts_values():
    import tomllib  # noqa: PLC0415 - for this test only

    settings = PodmanSettings(runtime="crun", network_config_dir='/a "b"', nofile_limit=20000, nproc_limit=99)
    tree = tomllib.loads(containers_conf(settings))
    assert tree["containers"]["default_ulimits"] == ["nofile=20000:20000", "nproc=99:99"]
    assert tree["engine"]["runtime"] == "crun"
    assert tree["engine"]["exit_command_delay"] == 10
    assert tree["network"]["network_config_dir"] == '/a "b"'


@pytest.mark.parametrize(
    ("piece", "told"),
    [
        (
            b"Error: crun: executable file `x` not found in $PATH: OCI runtime attempted to invoke what is not there\n",
            b"Error: executable file `x` not found in $PATH\n",
        ),
        (
            b"Error: crun: open executable: Permission denied: OCI permission denied\r\n",
            b"Error: open executable: Permission denied\r\n",
        ),
        (b"Error: read unixpacket @->/proc/self/fd/13/attach: read: connection reset by peer\n", b""),
        (b"Error: read tcp 10.0.0.1:80: read: connection reset by peer\n", None),
        (b"Error: the command's own\n", None),
        (b"first\nError: crun: x: OCI y\n", None),
    ],
)
def test_of_podmans_lines_about_a_command_that_cannot_start_one_is_shown(piece, told):
    assert without_podmans_words(piece) == (piece if told is None else told)
