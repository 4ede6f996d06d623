import ssl

import pytest

from component import pki

NOW = 1_800_000_000.0


def test_a_leaf_carries_user_groups_and_names():
    ca = pki.make_ca("cluster-ca", NOW)
    leaf = pki.issue(ca, "system:node:n1", NOW, groups=["system:nodes"], dns_names=["api.timonier.internal"])
    subject = pki.read_subject(leaf.cert_pem)
    assert (subject.common_name, subject.groups) == ("system:node:n1", ("system:nodes",))
    assert subject.dns_names == ("api.timonier.internal",)
    assert subject.not_before == NOW - pki.BACKDATE_SECONDS
    pki.check_signed_by(leaf.cert_pem, ca.cert_pem)


def test_a_certificate_tells_how_long_it_lasts():
    leaf = pki.issue(pki.make_ca("a", NOW), "x", NOW)
    assert pki.days_left(leaf.cert_pem, NOW) == pki.LEAF_DAYS
    assert pki.days_left(leaf.cert_pem, NOW + (pki.LEAF_DAYS + 2) * 86_400) == -2


def test_a_leaf_of_another_ca_is_told_apart():
    leaf = pki.issue(pki.make_ca("a", NOW), "x", NOW)
    with pytest.raises(pki.CertificateProblem, match="not signed by this cluster"):
        pki.check_signed_by(leaf.cert_pem, pki.make_ca("a", NOW).cert_pem)


def test_the_signer_decides_the_identity_of_a_request():
    ca = pki.make_ca("a", NOW)
    request, _key = pki.make_request("system:masters")
    cert = pki.sign_request(ca, request, "system:node:n1", NOW, groups=["system:nodes"])
    assert pki.read_subject(cert).common_name == "system:node:n1"


def test_nonsense_is_refused_as_request():
    with pytest.raises(pki.CertificateProblem, match="not a certificate signing request"):
        pki.sign_request(pki.make_ca("a", NOW), b"nonsense", "x", NOW)


def test_the_hash_pins_the_key_of_the_ca():
    ca = pki.make_ca("a", NOW)
    assert pki.ca_hash(ca.cert_pem) == pki.ca_hash(ca.cert_pem)
    assert pki.ca_hash(ca.cert_pem) != pki.ca_hash(pki.make_ca("a", NOW).cert_pem)


def test_openssl_accepts_what_we_make(tmp_path):
    ca = pki.make_ca("a", NOW)
    leaf = pki.issue(ca, "r1", NOW, dns_names=["api.timonier.internal"])
    (tmp_path / "c").write_bytes(leaf.cert_pem)
    (tmp_path / "k").write_bytes(leaf.key_pem)
    context = ssl.create_default_context(cadata=ca.cert_pem.decode())
    context.load_cert_chain(tmp_path / "c", tmp_path / "k")
    assert len(context.get_ca_certs()) == 1
