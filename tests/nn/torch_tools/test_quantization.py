"""How torch.ao.quantization is opened to our layers, on a stand-in for its module."""

from __future__ import annotations

import pytest

from recurra.nn.torch_tools import quantization


class Ours:
    pass


class Heir(Ours):
    pass


class Theirs:
    pass


class Quantize:
    """Stands for the module of torch that quantizes."""

    def __init__(self):
        self.swapped = []
        self.type_before_parametrizations = type

    def propagate_qconfig_(self, module, qconfig_dict=None, prepare=None):
        self.propagated = (module, qconfig_dict, prepare)

    def swap_module(self, mod, mapping, extra=None, *, option=None):
        self.swapped.append((type(mod), mapping, extra, option))
        return "swapped"


@pytest.mark.parametrize(
    ("kind", "qconfig", "mapping", "restored"),
    [
        (Ours, "a", {Theirs: 1}, True),
        (Ours, None, {Theirs: 1}, False),  # not to be quantized
        (Ours, "a", {Heir: 1}, False),  # its kind is not
        (Theirs, "a", {Theirs: 1}, False),  # torch's own
        (Heir, "a", {Theirs: 1, Heir: 1}, False),  # another kind of ours
    ],
)
def test_a_layer_of_ours_is_restored_where_torch_would_quantize_it(kind, qconfig, mapping, restored):
    quantize, found = Quantize(), []
    quantization._patch(quantize, {Ours: Theirs}, found.append)
    module = kind()
    if qconfig:
        module.qconfig = qconfig
    assert quantize.type_before_parametrizations(module) is (Theirs if kind is Ours else kind)
    assert quantize.swap_module(module, mapping, 5, option=6) == "swapped"
    assert quantize.swapped == [(kind, mapping, 5, 6)]
    assert found == [module] * restored


@pytest.mark.parametrize(
    ("given", "expected"), [({Ours: 1, Heir: 2, "a.b": 3}, {Theirs: 1, Heir: 2, "a.b": 3}), (None, {})]
)
def test_our_types_may_be_given_instead_of_torchs(given, expected):
    quantize = Quantize()
    quantization._patch(quantize, {Ours: Theirs}, lambda module: None)
    quantize.propagate_qconfig_("model", given, prepare=5)
    assert quantize.propagated == ("model", expected, 5)
