"""metrics.py ENGINE TEXT STATS: the parser of Prometheus reads the text, and finds each number of the statistics once."""

import sys

from prometheus_client.parser import text_string_to_metric_families

engine, text, stats = sys.argv[1:]
with open(text) as file:
    families = list(text_string_to_metric_families(file.read()))
with open(stats) as file:
    expected = {name: float(number) for name, number in map(str.split, file)}

found = {}
names = [family.name for family in families]
assert len(names) == len(set(names)), names
for family in families:
    assert family.documentation.endswith("."), family
    assert family.type == ("counter" if any(s.name.endswith("_total") for s in family.samples) else "gauge"), family
    for sample in family.samples:
        assert sample.name.startswith("iouringnet_"), sample
        if sample.name == "iouringnet_info":
            assert sample.labels["engine"] == engine and sample.value == 1, sample
            continue
        field = sample.name.removeprefix("iouringnet_").removesuffix("_total")
        if "loop" in sample.labels:
            field = sample.labels["loop"] + "_" + field.removeprefix("loop_")
        assert field not in found, sample
        found[field] = sample.value
assert found == expected, (found, expected)
print(f"{engine}: Prometheus reads {len(families)} families of {len(found)} numbers, those of net_stats")
