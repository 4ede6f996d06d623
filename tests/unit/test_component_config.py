import msgspec
import pytest

from component import config


class Sample(msgspec.Struct):
    name: str = "a"
    port: int = 7443
    peers: dict[str, str] = {}


def load(tmp_path, text="", environ=None, **flags):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return config.load(Sample, path, environ or {}, prefix="TIM", flags=flags)


def test_flags_win_over_environment_over_file_over_defaults(tmp_path):
    loaded = load(tmp_path, "name: file\nport: 1", {"TIM_PORT": "2", "TIM_NAME": "env"}, name="flag", port=None)
    assert loaded == Sample("flag", 2, {})


def test_a_numeric_looking_name_stays_text(tmp_path):
    assert load(tmp_path, environ={"TIM_NAME": "12"}).name == "12"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot: 1", "unknown field 'prot'"),
        ("port: x", "Expected `int`"),
        ("- a", "mapping"),
        ("a: [", ":2: while parsing a flow node"),
        ("a: 1\na: 2", ':2: the key "a" is given twice'),
    ],
)
def test_a_bad_file_is_named_with_its_field(tmp_path, text, message):
    with pytest.raises(config.ConfigProblem, match=message) as caught:
        load(tmp_path, text)
    assert "c.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(config.ConfigProblem, match=r"nowhere.yaml: No such file"):
        config.load(Sample, tmp_path / "nowhere.yaml", {}, prefix="TIM")


def test_what_is_written_is_read_back(tmp_path):
    config.write(Sample("x", 5, {"r1": "10.0.0.1"}), tmp_path / "w.yaml")
    assert config.load(Sample, tmp_path / "w.yaml", {}, prefix="TIM") == Sample("x", 5, {"r1": "10.0.0.1"})
