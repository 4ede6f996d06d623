import socket
import struct

import pytest

from netplugin import dns, resolvers
from netplugin.protocol import DnsRecord, NetworkConfig, ServicePort
from netplugin.zone import ZonePacker

RANGES = ["10.96.0.0/16", "10.244.0.0/16"]
WEB = DnsRecord("web.default.svc.cluster.local", ("10.96.0.10",))
CONFIG = NetworkConfig("n1", "192.0.2.1", "10.244.0.0/16", "10.96.0.0/16", "cluster.local", "/s", "/r")


def packet(name, kind=dns.A, *, flags=0x100, klass=1, edns=None, tail=b""):
    extra = b"" if edns is None else b"\0" + struct.pack("!HHIH", dns.OPT, edns, 0, 0)
    header = struct.pack("!6H", 7, flags, 1, 0, 0, 0 if edns is None else 1)
    return (
        header
        + b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
        + b"\0"
        + struct.pack("!HH", kind, klass)
        + extra
        + tail
    )


def zone(*records, services=()):
    return ZonePacker("cluster.local", RANGES).pack(records, services, 3)


def ask(subject, name, kind=dns.A, *, udp=True, **more):
    return subject.answer(dns.parse(packet(name, kind, **more)), udp=udp)


def code(response):
    return response[3] & 15


def counts(response):
    """Answers and authorities."""
    return struct.unpack_from("!HH", response, 6)


def test_a_service_has_its_address():
    response = ask(zone(WEB), "web.default.svc.cluster.local")
    assert (code(response), counts(response)) == (dns.NO_ERROR, (1, 0))
    assert response[:2] == b"\0\7"
    assert response[2:4] == b"\x85\x80"  # response, authoritative, recursion desired and available
    assert response.endswith(struct.pack("!HHHIH", 0xC00C, dns.A, 1, dns.TTL_SECONDS, 4) + bytes([10, 96, 0, 10]))


def test_names_are_compared_without_case_and_given_back_as_asked():
    response = ask(zone(WEB), "WEB.default.svc.Cluster.Local")
    assert counts(response) == (1, 0)
    assert b"\x03WEB" in response


def test_a_name_without_that_type_is_no_error_with_soa():
    response = ask(zone(WEB), "web.default.svc.cluster.local", dns.AAAA)
    assert (code(response), counts(response)) == (dns.NO_ERROR, (0, 1))


def test_an_unknown_name_of_the_zone_does_not_exist():
    response = ask(zone(WEB), "other.default.svc.cluster.local")
    assert (code(response), counts(response)) == (dns.NO_SUCH_NAME, (0, 1))


@pytest.mark.parametrize("name", ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"])
def test_names_above_known_ones_exist_without_addresses(name):
    response = ask(zone(WEB), name)
    assert (code(response), counts(response)) == (dns.NO_ERROR, (0, 1))


def test_a_service_without_addresses_exists_without_answers():
    response = ask(zone(DnsRecord("db.default.svc.cluster.local", ())), "db.default.svc.cluster.local")
    assert (code(response), counts(response)) == (dns.NO_ERROR, (0, 1))


def test_other_names_are_somebody_elses():
    for name in ("example.org", "local", "xcluster.local", "8.8.8.8.in-addr.arpa"):
        assert ask(zone(WEB), name) is None


def test_a_label_that_contains_the_zones_bytes_is_not_in_the_zone():
    label = b"a\x07cluster"
    wire = bytes([len(label)]) + label + b"\x05local\0"
    assert not zone().owns(wire)


def test_addresses_have_names_and_unknown_ones_of_our_ranges_do_not_exist():
    subject = zone(WEB)
    assert dns.to_wire(WEB.name) in ask(subject, "10.0.96.10.in-addr.arpa", dns.PTR)
    assert code(ask(subject, "11.0.96.10.in-addr.arpa", dns.PTR)) == dns.NO_SUCH_NAME


def test_named_ports_have_srv_records():
    port = ServicePort("default", "web", "http", "10.96.0.10", "tcp", 80, ())
    response = ask(zone(WEB, services=(port,)), "_http._tcp.web.default.svc.cluster.local", dns.SRV)
    assert counts(response) == (1, 0)
    assert struct.pack("!HHH", 0, 100, 80) + dns.to_wire(WEB.name) in response


def test_the_zone_tells_its_version_and_authority():
    assert b"\x051.1.0" in ask(zone(), "dns-version.cluster.local", dns.TXT)
    assert counts(ask(zone(), "cluster.local", dns.SOA)) == (1, 0)
    assert counts(ask(zone(), "cluster.local", dns.NS)) == (1, 0)


def test_any_asks_for_addresses():
    assert counts(ask(zone(WEB), WEB.name, dns.ANY)) == (1, 0)


def test_a_large_answer_is_truncated_by_the_clients_limit_and_whole_over_tcp():
    many = DnsRecord("db.default.svc.cluster.local", tuple(f"10.244.0.{number}" for number in range(60)))
    subject = zone(many)
    plain = ask(subject, many.name)
    assert plain[2] & 2
    assert counts(plain) == (0, 0)
    assert counts(ask(subject, many.name, edns=1232))[0] == 60
    assert counts(ask(subject, many.name, udp=False))[0] == 60
    huge = DnsRecord(many.name, tuple(f"10.244.1.{number}" for number in range(200)))
    assert ask(zone(huge), many.name, edns=65535)[2] & 2


def test_a_response_to_edns_speaks_edns():
    response = ask(zone(WEB), WEB.name, edns=4096)
    assert response[10:12] == b"\0\1"
    assert response.endswith(b"\0" + struct.pack("!HHIH", dns.OPT, dns.EDNS_LIMIT_BYTES, 0, 0))


def test_before_the_first_inputs_names_fail_instead_of_being_absent():
    subject = ZonePacker("cluster.local", RANGES).empty()
    assert code(ask(subject, WEB.name)) == dns.SERVER_FAILURE
    assert ask(subject, "example.org") is None


def test_other_operations_and_classes_are_declined():
    assert code(ask(zone(), "cluster.local", flags=0x2800)) == dns.NOT_IMPLEMENTED
    assert code(ask(zone(), "cluster.local", klass=3)) == dns.REFUSED


def test_bad_records_are_left_out_and_the_rest_stays():
    bad = [
        DnsRecord("a..b", ("10.0.0.1",)),
        DnsRecord("x" * 64, ("10.0.0.1",)),
        DnsRecord("ok.cluster.local", ("fd00::1",)),
    ]
    subject = zone(*bad, DnsRecord("odd.cluster.local", ("nowhere",)), WEB)
    assert counts(ask(subject, WEB.name)) == (1, 0)
    assert code(ask(subject, "odd.cluster.local")) == dns.NO_SUCH_NAME


def test_the_next_zone_has_the_next_names_only():
    packer = ZonePacker("cluster.local", RANGES)
    first = packer.pack([WEB], (), 1)
    second = packer.pack([DnsRecord(WEB.name, ("10.96.0.11",))], (), 2)
    third = packer.pack([], (), 3)
    assert ask(first, WEB.name).endswith(socket.inet_aton("10.96.0.10"))
    assert ask(second, WEB.name).endswith(socket.inet_aton("10.96.0.11"))
    assert code(ask(third, WEB.name)) == dns.NO_SUCH_NAME


def test_responses_and_stumps_are_not_answered():
    assert dns.parse(b"") is None
    assert dns.parse(packet("a", flags=0x8000)) is None


@pytest.mark.parametrize(
    "broken",
    [
        packet("a")[:14],
        packet("a")[:4] + b"\0\2" + packet("a")[6:],
        packet("a")[:12] + b"\xc0\x0c\0\1\0\1",
        packet("a")[:12] + b"\x05ab",
        packet("a")[:12] + b"\x3f" * 300 + b"\0" * 5,
    ],
)
def test_unreadable_questions_are_malformed(broken):
    with pytest.raises(dns.Malformed):
        dns.parse(broken)
    assert code(dns.refuse_malformed(broken)) == dns.FORMAT_ERROR


def test_names_that_are_too_long_are_refused():
    with pytest.raises(ValueError, match="longer"):
        dns.to_wire(".".join(["a" * 60] * 5))


def test_upstreams_are_the_nameservers_of_resolv_conf():
    text = "search x\nnameserver 192.0.2.53\nnameserver fd00::1\nnameserver 192.0.2.53\nnameserver 192.0.2.54 # two\n"
    assert resolvers.upstreams(CONFIG, lambda path: text) == (["192.0.2.53", "192.0.2.54"], [])


def test_the_stub_of_systemd_is_passed_by():
    texts = {"/etc/resolv.conf": "nameserver 127.0.0.53\n", resolvers.SYSTEMD_UPSTREAMS: "nameserver 192.0.2.53\n"}
    assert resolvers.upstreams(CONFIG, texts.get) == (["192.0.2.53"], [])
    del texts[resolvers.SYSTEMD_UPSTREAMS]
    assert resolvers.upstreams(CONFIG, texts.get) == (["127.0.0.53"], [])


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "there is no /etc/resolv.conf"), ("", "names no IPv4 nameserver"), ("nameserver 169.254.20.10", "a loop")],
)
def test_an_upstream_that_cannot_work_is_a_problem_with_its_reason(text, message):
    servers, problems = resolvers.upstreams(CONFIG, lambda path: text)
    assert servers == []
    assert message in problems[0]


def test_our_own_address_among_others_is_passed_by():
    assert resolvers.upstreams(CONFIG, lambda path: "nameserver 169.254.20.10\nnameserver 192.0.2.53") == (
        ["192.0.2.53"],
        [],
    )
