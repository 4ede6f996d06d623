"""When a replica's certificates are renewed, and what is checked before an old one goes."""

from __future__ import annotations

import random

import pytest
import structlog
from click.testing import CliRunner
from cryptography import x509

from cli.main import main
from component import pki
from component.env import Env, system_env
from component.files import write_private
from controlplane.bootstrap import api_addresses, api_names, plan_cluster
from controlplane.certificate_loop import REMINDER_SECONDS, CertificateLoop
from controlplane.certificates import OWN, days_left, is_due, renew
from controlplane.config import ServerConfig

DAY = 86_400.0
START = 1_700_000_000.0
API, RAFT = OWN


class Clock:
    """Both clocks of an environment, which stand still until a test moves them."""

    def __init__(self, now: float = START) -> None:
        self.now = now
        self.env = Env(lambda: self.now, lambda: self.now, random.Random(1), lambda: "uid")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(tmp_path, clock):
    """The keys and certificates of a replica made at START."""
    return make_folder(tmp_path, clock.env)


def make_folder(home, env, replica="r1"):
    template = ServerConfig(replica=replica, cluster_uid="c1", replicas={replica: "127.0.0.1"})
    for relative, content in plan_cluster(template, env).replicas[replica].items():
        write_private(home / relative, content)
    return home / "pki"


def serial(path) -> int:
    return x509.load_pem_x509_certificate(path.read_bytes()).serial_number


@pytest.mark.parametrize(
    ("days", "due"), [(-2, True), (0, False), (200, False), (243, False), (244, True), (364, True), (400, True)]
)
def test_a_certificate_is_due_from_two_thirds_of_its_life_on_and_when_it_is_of_a_time_to_come(days, due):
    made = pki.issue(pki.make_ca("ca", START), "x", START)
    assert is_due(made.cert_pem, START + days * DAY) is due


@pytest.mark.parametrize("which", OWN, ids=lambda each: each.name)
@pytest.mark.parametrize("days", [244, 500])
def test_a_renewed_certificate_has_the_same_key_names_and_addresses_and_a_whole_life(folder, which, days):
    now = START + days * DAY
    path = folder / f"{which.name}.crt"
    old = x509.load_pem_x509_certificate(path.read_bytes())
    key = (folder / f"{which.name}.key").read_bytes()
    made = renew(folder, which, now)
    assert path.read_bytes() == made
    new = x509.load_pem_x509_certificate(made)
    assert new.serial_number != old.serial_number
    assert new.subject == old.subject
    for extension in (x509.SubjectAlternativeName, x509.ExtendedKeyUsage, x509.KeyUsage, x509.AuthorityKeyIdentifier):
        assert new.extensions.get_extension_for_class(extension) == old.extensions.get_extension_for_class(extension)
    pki.check_key(made, key)
    pki.check_signed_by(made, (folder / f"{which.authority}.crt").read_bytes())
    assert pki.days_left(made, now) == pytest.approx(365)
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in folder.iterdir() if each.name.startswith(".")) == []


def other_ca(folder):
    made = pki.make_ca("other", START)
    (folder / "ca.crt").write_bytes(made.cert_pem)
    (folder / "ca.key").write_bytes(made.key_pem)


@pytest.mark.parametrize(
    ("spoil", "days", "message"),
    [
        (lambda folder: (folder / "ca.key").unlink(), 300, r"ca\.key is missing: copy it from another replica"),
        (other_ca, 300, "not signed by this cluster's CA"),
        (
            lambda folder: (folder / "ca.key").write_bytes((folder / "raft-ca.key").read_bytes()),
            300,
            "the CA's key does not fit its certificate",
        ),
        (
            lambda folder: (folder / "api.key").write_bytes((folder / "raft.key").read_bytes()),
            300,
            r"api\.crt: the certificate is for another key",
        ),
        (lambda folder: (folder / "ca.key").write_text("nonsense"), 300, "not a private key"),
        (lambda folder: None, 4000, "the CA itself has expired"),
        (lambda folder: None, -3, "this machine's clock stands before the day on which the CA was made"),
    ],
)
def test_the_old_certificate_stays_when_a_new_one_cannot_be_had(folder, spoil, days, message):
    spoil(folder)
    before = (folder / "api.crt").read_bytes()
    with pytest.raises(pki.CertificateProblem, match=message):
        renew(folder, API, START + days * DAY)
    assert (folder / "api.crt").read_bytes() == before


def test_what_is_not_there_or_cannot_be_read_has_no_days_left(folder):
    (folder / "raft.crt").unlink()
    (folder / "raft-ca.crt").write_text("nonsense")
    assert [path.name for path in days_left(folder, START)] == ["ca.crt", "api.crt"]


def test_a_replica_that_was_off_for_years_renews_before_it_serves(folder, clock):
    clock.now += 800 * DAY
    before = serial(folder / "raft.crt")
    with structlog.testing.capture_logs() as logs:
        loop = CertificateLoop(folder, clock.env)
    assert [entry["event"] for entry in logs] == ["certificate_renewed"] * 2
    assert loop.tls.cert_pem == (folder / "api.crt").read_bytes()
    assert pki.days_left(loop.tls.cert_pem, clock.now) == pytest.approx(365)
    assert serial(folder / "raft.crt") != before


async def test_only_what_is_due_is_renewed_and_told(folder, clock):
    loop, told = CertificateLoop(folder, clock.env), []
    clock.now += 200 * DAY
    await loop.look(told.append)
    assert not told
    clock.now += 50 * DAY
    before, key = loop.tls.cert_pem, loop.tls.key_pem
    await loop.look(told.append)
    await loop.look(told.append)
    assert told == [loop.tls]
    assert loop.tls.cert_pem == (folder / "api.crt").read_bytes() != before
    assert loop.tls.key_pem == key


async def test_a_certificate_that_was_renewed_offline_is_taken(folder, clock):
    loop, told = CertificateLoop(folder, clock.env), []
    made = renew(folder, API, clock.now)
    await loop.look(told.append)
    assert [each.cert_pem for each in told] == [made]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda folder: b"nonsense", "not a certificate"),
        (lambda folder: (folder / "raft.crt").read_bytes(), "not signed by"),
        (lambda folder: (folder / "ca.crt").read_bytes(), "another key"),
    ],
)
async def test_a_file_that_cannot_be_served_with_is_not_taken_and_that_is_told_once_a_day(
    folder, clock, content, message
):
    loop, told = CertificateLoop(folder, clock.env), []
    before = loop.tls
    (folder / "api.crt").write_bytes(content(folder))
    with structlog.testing.capture_logs() as logs:
        await loop.look(told.append)
        await loop.look(told.append)
        complaints = [entry for entry in logs if entry["event"] == "certificate_not_taken"]
        assert [message in entry["error"] for entry in complaints] == [True]
        clock.now += REMINDER_SECONDS
        await loop.look(told.append)
    assert len([entry for entry in logs if entry["event"] == "certificate_not_taken"]) == 2
    assert not told
    assert loop.tls is before


async def test_another_replicas_certificate_is_not_taken(folder, clock):
    loop, told = CertificateLoop(folder, clock.env), []
    ca = pki.KeyPair((folder / "ca.crt").read_bytes(), (folder / "ca.key").read_bytes())
    other = pki.issue(ca, "system:replica:r2", clock.now, groups=["system:replicas"])
    (folder / "api.crt").write_bytes(other.cert_pem)
    (folder / "api.key").write_bytes(other.key_pem)
    with structlog.testing.capture_logs() as logs:
        await loop.look(told.append)
    assert not told
    assert "it is for 'system:replica:r2', not 'system:replica:r1'" in logs[0]["error"]


def test_a_certificate_that_expired_and_cannot_be_renewed_is_told_with_the_remedy(folder, clock):
    kept = (folder / "raft-ca.key").read_bytes()
    (folder / "raft-ca.key").unlink()
    clock.now += 370 * DAY
    with structlog.testing.capture_logs() as logs:
        CertificateLoop(folder, clock.env)
    told = next(entry for entry in logs if entry["event"] == "certificate_not_renewed")
    assert told["path"] == str(folder / "raft.crt")
    assert told["days_left"] == -5.0
    assert "raft-ca.key is missing" in told["error"]
    assert "tim pki renew --offline" in told["error"]
    assert any(entry["event"] == "certificate_expires" and entry["path"].endswith("raft.crt") for entry in logs)
    write_private(folder / "raft-ca.key", kept)
    before = serial(folder / "raft.crt")
    CertificateLoop(folder, clock.env)
    assert serial(folder / "raft.crt") != before


def test_the_authorities_own_end_is_told_in_time(folder, clock):
    clock.now += 3630 * DAY
    with structlog.testing.capture_logs() as logs:
        CertificateLoop(folder, clock.env)
    ending = {entry["path"] for entry in logs if entry["event"] == "certificate_expires"}
    assert ending == {str(folder / "ca.crt"), str(folder / "raft-ca.crt")}


def test_a_file_that_is_no_certificate_is_named(folder, clock):
    (folder / "api.crt").write_text("nonsense")
    with pytest.raises(pki.CertificateProblem, match=r"api\.crt: not a certificate"):
        CertificateLoop(folder, clock.env)


def tim(*words):
    return CliRunner().invoke(main, words)


def aged_folder(home, days):
    """As if the cluster had been made so many days ago."""
    real = system_env()
    return make_folder(home, Env(real.monotonic, lambda: real.now() - days * DAY, real.rng, real.new_uid))


def test_tim_shows_whose_certificates_there_are_and_for_how_long(tmp_path):
    shown = tim("pki", "show", "--pki-dir", str(aged_folder(tmp_path / "old", 300)))
    rows = [line.split() for line in shown.output.splitlines()]
    assert rows[0] == ["FILE", "SUBJECT", "EXPIRES", "LEFT", "RENEWAL"]
    assert [(row[0], row[1], row[3], row[4]) for row in rows[1:]] == [
        ("api.crt", "system:replica:r1", "65d", "due"),
        ("ca.crt", "timonier-ca", "3350d", "-"),
        ("raft-ca.crt", "timonier-raft-ca", "3350d", "-"),
        ("raft.crt", "raft:r1", "65d", "due"),
    ]
    expired = tim("pki", "show", "--pki-dir", str(aged_folder(tmp_path / "older", 400)))
    assert "expired 35d ago" in expired.output


def test_tim_renews_expired_certificates_without_a_cluster(tmp_path):
    folder = aged_folder(tmp_path, 500)
    done = tim("pki", "renew", "--offline", "--pki-dir", str(folder))
    assert done.exit_code == 0, done.output
    assert [line.split(":")[0] for line in done.output.splitlines()] == [
        str(folder / "api.crt"),
        str(folder / "raft.crt"),
    ]
    now = system_env().now()
    assert [364 < pki.days_left((folder / f"{each.name}.crt").read_bytes(), now) < 366 for each in OWN] == [True, True]


def test_tim_renews_what_it_can_and_says_what_it_could_not(tmp_path):
    folder = aged_folder(tmp_path, 300)
    (folder / "raft-ca.key").unlink()
    done = tim("pki", "renew", "--offline", "--pki-dir", str(folder))
    assert done.exit_code == 1
    assert f"{folder}/api.crt: renewed" in done.output
    assert "raft-ca.key is missing" in done.output


def test_tim_renews_nothing_where_there_is_no_replica_or_it_was_not_told_to(tmp_path):
    assert "run this on a replica" in tim("pki", "renew", "--offline", "--pki-dir", str(tmp_path)).output
    assert "holds no certificates" in tim("pki", "show", "--pki-dir", str(tmp_path)).output
    (tmp_path / "x.crt").write_text("nonsense")
    assert "x.crt: not a certificate" in tim("pki", "show", "--pki-dir", str(tmp_path)).output
    folder = aged_folder(tmp_path, 300)
    before = serial(folder / "api.crt")
    assert "say --offline" in tim("pki", "renew", "--pki-dir", str(folder)).output
    assert serial(folder / "api.crt") == before


@pytest.mark.parametrize(
    ("host", "names", "addresses"),
    [
        ("10.0.0.1", [], ["10.96.0.1", "10.0.0.1"]),
        ("r1.example.com", ["r1.example.com"], ["10.96.0.1"]),
        ("r2.replica.timonier.internal", [], ["10.96.0.1"]),  # a name of ours makes nobody another replica
    ],
)
def test_a_replicas_certificate_names_its_host_for_clients_that_know_no_other_name(host, names, addresses):
    assert api_names("r1", "cluster.local", host) == [*api_names("r1", "cluster.local"), *names]
    assert api_addresses(host, "10.96.0.0/16") == addresses
