"""Random trees of the API's kinds, drawn from the types themselves."""

from hypothesis import strategies as st

from api.required import required_fields
from api.shape import fields

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8)
NAMES = st.sampled_from(["a", "b", "web", "main-1"])
SCALARS = {
    "string": TEXT,
    "time": st.sampled_from(["2030-01-31T12:00:00Z", "2001-02-03T04:05:06.789+01:00"]),
    "boolean": st.booleans(),
    "number": st.one_of(st.integers(-99, 99), st.floats(-9, 9)),
    "quantity": st.one_of(st.sampled_from(["1", "250m", "64Mi"]), st.integers(0, 99), st.floats(0, 9)),
    "integer or string": st.one_of(st.integers(0, 99), TEXT),
    "any": st.one_of(st.none(), st.integers(), st.dictionaries(TEXT, st.integers(), max_size=2)),
}


def of_shape(shape, depth):
    if shape.form == "object":
        return of_type(shape.struct, depth - 1)
    if shape.form == "list":
        return st.lists(of_shape(shape.item, depth), max_size=2)
    if shape.form == "map":
        return st.dictionaries(TEXT, of_shape(shape.item, depth), max_size=2)
    if shape.form == "integer":
        return st.integers(-(1 << shape.bits - 1), (1 << shape.bits - 1) - 1)
    return SCALARS[shape.form]


@st.composite
def of_type(draw, struct, depth=6):
    """A tree with some of the fields of a type: whatever the type can encode, sensible or not.

    Times that cannot be absent are there: a view of a tree without them has "", which is none.
    """
    shapes = fields(struct)
    names = sorted(shapes) if depth > 0 else []
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=5)) if names else []
    needed = [name for name in required_fields(struct) if shapes[name].form == "time" and name not in chosen]
    return {name: draw(of_shape(shapes[name], depth)) for name in [*needed, *chosen]}


PORTS = st.lists(st.integers(1, 65535), unique=True, max_size=2).map(
    lambda numbers: [{"containerPort": number} for number in numbers]
)
PROBES = st.one_of(
    st.builds(lambda port: {"httpGet": {"port": port}}, st.integers(1, 65535)),
    st.builds(lambda port: {"tcpSocket": {"port": port}}, st.integers(1, 65535)),
    st.just({"exec": {"command": ["true"]}, "periodSeconds": 1}),
)


@st.composite
def containers(draw):
    """One to three containers that can be run."""
    found = []
    for name in draw(st.lists(NAMES, unique=True, min_size=1, max_size=3)):
        container = {"name": name, "image": draw(st.sampled_from(["web", "web:1", "reg:5000/a@sha256:0"]))}
        optional = {
            "ports": PORTS,
            "livenessProbe": PROBES,
            "readinessProbe": PROBES,
            "env": st.just([{"name": "A", "value": "x"}]),
            "resources": st.just({"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "100m"}}),
            "args": st.lists(TEXT, max_size=2),
            "volumeMounts": st.just([{"name": "scratch", "mountPath": "/scratch"}]),
        }
        for field, values in optional.items():
            if draw(st.booleans()):
                container[field] = draw(values)
        found.append(container)
    return found


@st.composite
def pod_specs(draw):
    """The spec of a pod that can be run, without what is defaulted."""
    spec = {"containers": draw(containers()), "volumes": [{"name": "scratch"}]}
    ports = [port["containerPort"] for container in spec["containers"] for port in container.get("ports", ())]
    if len(set(ports)) == len(ports) and draw(st.booleans()):  # on the host's network each port can be taken once
        spec["hostNetwork"] = draw(st.booleans())
    if draw(st.booleans()):
        spec["nodeSelector"] = draw(st.dictionaries(NAMES, NAMES, max_size=2))
    return spec


META = st.builds(
    lambda name, labels: {"name": name, "namespace": "default", "labels": labels},
    NAMES,
    st.dictionaries(NAMES, NAMES, max_size=2),
)
PODS = st.builds(lambda meta, spec: {"metadata": meta, "spec": spec}, META, pod_specs())
DEPLOYMENTS = st.builds(
    lambda meta, spec, replicas: {
        "metadata": meta,
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec},
        },
    },
    META,
    pod_specs(),
    st.integers(0, 9),
)
SERVICES = st.builds(
    lambda meta, numbers: {
        "metadata": meta,
        "spec": {
            "selector": {"app": "web"},
            "ports": [{"name": f"p{number}", "port": number} for number in numbers],
        },
    },
    META,
    st.lists(st.integers(1, 65535), unique=True, min_size=1, max_size=3),
)
KINDS = {"pod": PODS, "deployment": DEPLOYMENTS, "service": SERVICES}
VALID = st.one_of(*(st.tuples(st.just(word), trees) for word, trees in KINDS.items()))
PAIRS = st.one_of(*(st.tuples(st.just(word), trees, trees) for word, trees in KINDS.items()))
"""A kind's word and one tree of it, or two."""
