"""`accelerate`: another engine under a model that otherwise stays what it was."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch

import recurra
from recurra import nn
from recurra.errors import UsageError
from recurra.nn import accelerate, accelerate_report, restore

EXACT = {"rtol": 0, "atol": 0}
CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # torch's float32 and ours
PAIRS = [(torch.nn.RNN, nn.RNN), (torch.nn.GRU, nn.GRU), (torch.nn.LSTM, nn.LSTM)]
every_pair = pytest.mark.parametrize(("theirs", "ours"), PAIRS, ids=["RNN", "GRU", "LSTM"])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class Tagger(torch.nn.Module):
    """A small real model."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(10, 4)
        self.recurrent = torch.nn.LSTM(4, 6, 2, batch_first=True, bidirectional=True, dropout=0.2)
        self.head = torch.nn.Linear(12, 3)

    def forward(self, tokens):
        return self.head(self.recurrent(self.embedding(tokens))[0])


def train(model, optimiser, steps=5):
    """Losses of some steps on fixed data, with dropout from a fixed seed."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(10, (8, 7), generator=generator)
    labels = torch.randint(3, (8, 7), generator=generator)
    torch.manual_seed(2)
    losses = []
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), labels.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@every_pair
def test_a_layer_is_swapped_in_place_with_all_that_it_holds(theirs, ours):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ModuleDict({"deep": theirs(3, 4)}))
    layer, weights = model[1]["deep"], [*model.parameters()]
    before = layer(torch.ones(2, 1, 3))
    assert accelerate(model) is model
    assert model[1]["deep"] is layer
    assert type(layer) is ours
    assert type(model[0]) is torch.nn.Linear
    assert all(a is b for a, b in zip(model.parameters(), weights, strict=True))
    torch.testing.assert_close(layer(torch.ones(2, 1, 3)), before, **CLOSE)
    output, _ = layer(torch.ones(2, 1, 3), lengths=[1])
    assert not output[1].any()


def test_the_model_itself_may_be_a_layer():
    layer = torch.nn.GRU(3, 4)
    assert accelerate(layer) is layer
    assert type(layer) is nn.GRU


def test_swapping_twice_is_swapping_once():
    layer = accelerate(accelerate(nn.GRU(3, 4, engine="reference")))
    assert type(layer) is nn.GRU
    assert layer.engine == "reference"


def test_a_layer_in_two_places_stays_one():
    layer = torch.nn.LSTM(3, 3)
    model = accelerate(torch.nn.ModuleList([layer, layer]))
    assert model[0] is model[1] is layer
    assert type(layer) is nn.LSTM


def test_what_a_subclass_computes_is_its_own():
    class Doubled(torch.nn.GRU):
        def forward(self, *args):
            return tuple(2 * result for result in super().forward(*args))

    model = torch.nn.ModuleList([Doubled(3, 4), torch.nn.GRUCell(3, 4)])
    with pytest.warns(
        UserWarning, match=r"accelerate skipped 1 recurrent layer\(s\): '0': Doubled is a subclass of GRU"
    ):
        assert accelerate(model) is model
    assert [type(module) for module in model] == [Doubled, nn.GRUCell]


def test_hooks_stay():
    layer, seen = torch.nn.GRU(3, 4), []
    layer.register_forward_pre_hook(lambda *_: seen.append("before"))
    layer.register_forward_hook(lambda *_: seen.append("after"))
    layer.weight_hh_l0.register_hook(lambda _: seen.append("gradient"))
    accelerate(layer)(torch.ones(2, 1, 3))[0].sum().backward()
    assert seen == ["before", "after", "gradient"]


@pytest.mark.parametrize("engine", ["auto", "builtin", "reference"])
def test_a_model_trains_as_before_and_its_optimiser_goes_on(engine):
    model, twin = Tagger(), Tagger()
    twin.load_state_dict(model.state_dict())
    if engine != "builtin":  # drops other outputs
        model.recurrent.dropout = twin.recurrent.dropout = 0.0
    optimiser, its = (torch.optim.Adam(m.parameters(), lr=0.05) for m in (model, twin))
    assert train(model, optimiser) == train(twin, its)
    accelerate(model).recurrent.engine = engine
    losses = train(model, optimiser)
    assert losses[-1] < losses[0]
    if engine == "builtin":
        assert losses == train(twin, its)
        torch.testing.assert_close(model.state_dict(), twin.state_dict(), **EXACT)
    else:
        assert losses == pytest.approx(train(twin, its), rel=1e-5)


def test_the_weights_go_to_and_fro():
    plain, swapped = torch.nn.LSTM(3, 4, 2), accelerate(torch.nn.LSTM(3, 4, 2))
    file = io.BytesIO()
    torch.save(swapped.state_dict(), file)
    file.seek(0)
    plain.load_state_dict(torch.load(file, weights_only=True))
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(swapped(x), plain(x), **CLOSE)
    for assign in (False, True):
        other = torch.nn.LSTM(3, 4, 2)
        swapped.load_state_dict(other.state_dict(), assign=assign)
        torch.testing.assert_close(swapped(x), other(x), **CLOSE)


def pickled(module):
    return pickle.loads(pickle.dumps(module))  # noqa: S301  (its own bytes)


@every_pair
@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled])
def test_a_copy_has_weights_of_its_own(theirs, ours, duplicate):
    layer = accelerate(theirs(3, 4, 2, bidirectional=True))
    x = torch.randn(5, 2, 3)
    before = layer(x)
    twin = duplicate(layer)
    assert type(twin) is ours
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
    torch.testing.assert_close(twin(x), before, **EXACT)
    twin(x)[0].sum().backward()
    assert all(weight.grad is not None for weight in twin.parameters())
    assert all(weight.grad is None for weight in layer.parameters())


@every_pair
def test_functional_call_uses_the_weights_it_is_given(theirs, ours):
    layer, other = accelerate(theirs(3, 4, 2)), theirs(3, 4, 2)
    assert type(layer) is ours
    given = {name: weight.detach().clone().requires_grad_() for name, weight in other.named_parameters()}
    x = torch.randn(5, 2, 3)
    own = layer(x)
    actual = torch.func.functional_call(layer, given, (x,))
    torch.testing.assert_close(actual, other(x), **CLOSE)
    gradients = torch.autograd.grad(actual[0].sum(), [*given.values()])
    wanted = torch.autograd.grad(other(x)[0].sum(), [*other.parameters()])
    torch.testing.assert_close(gradients, wanted, **CLOSE)
    torch.testing.assert_close(layer(x), own, **EXACT)


def test_a_parametrised_weight_is_computed_anew_at_every_call():
    layer, plain = accelerate(torch.nn.GRU(3, 4)), torch.nn.GRU(3, 4)
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    magnitude, x = layer.parametrizations.weight_hh_l0.original0, torch.randn(5, 2, 3)
    for scale in (1.0, 0.5):
        with torch.no_grad():
            magnitude.mul_(scale)
        plain.load_state_dict({name: getattr(layer, name) for name in plain.state_dict()})
        torch.testing.assert_close(layer(x), plain(x), **CLOSE)
    layer(x)[0].sum().backward()
    assert magnitude.grad.any()


@every_pair
def test_gradients_flow_after_eval(theirs, ours):
    layer = accelerate(theirs(3, 4, 2)).eval()
    x = torch.randn(5, 2, 3, requires_grad=True)
    layer(x)[0].sum().backward()
    assert type(layer) is ours
    assert x.grad.any()
    assert all(weight.grad.any() for weight in layer.parameters())


def test_a_model_moves_to_another_dtype():
    layer = accelerate(torch.nn.LSTM(3, 4))
    output, _ = layer.double()(torch.randn(5, 2, 3, dtype=torch.float64), lengths=[5, 2])
    assert output.dtype == torch.float64


def own(layer):
    """What marks a layer as Recurra's, beside its class."""
    return {"engine", "memory", "precision", "_fast_layers", "_weight_names"} & set(vars(layer))


@every_pair
def test_restore_undoes_accelerate(theirs, ours):
    model = torch.nn.ModuleList([theirs(3, 4), nn.Memoryless(3, 4)])
    layer, x = model[0], torch.randn(5, 2, 3)
    weights, before = [*model.parameters()], layer(x)
    layer(torch.randn(5, 2, 3))
    accelerate(model)[0](x)
    layer.engine = "builtin"
    assert recurra.restore(model) is model
    assert model[0] is layer
    assert type(layer) is theirs
    assert not own(layer)
    assert all(a is b for a, b in zip(model.parameters(), weights, strict=True))
    torch.testing.assert_close(layer(x), before, **EXACT)
    assert type(accelerate(model)[0]) is ours


def test_restore_skips_subclasses_of_our_layers_with_a_warning():
    class Doubled(nn.GRU):
        pass

    with pytest.warns(UserWarning, match=r"restore skipped 1 recurrent layer\(s\): the model itself: Doubled"):
        assert type(restore(Doubled(3, 4))) is Doubled


def test_a_parametrised_layer_is_accelerated_and_restored():
    layer, x = torch.nn.GRU(3, 4), torch.randn(5, 2, 3)
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    with torch.no_grad():  # torch's own layers cannot be copied after a call with gradients
        before = layer(x)
    assert isinstance(accelerate(layer), nn.GRU)
    assert accelerate_report(layer).accelerated == {"": "GRU"}
    torch.testing.assert_close(layer(x), before, **CLOSE)
    layer(x, lengths=[5, 2])[0].sum().backward()
    assert layer.parametrizations.weight_hh_l0.original0.grad.any()
    torch.testing.assert_close(copy.deepcopy(layer)(x), before, **CLOSE)
    assert isinstance(restore(layer), torch.nn.GRU)
    assert not isinstance(layer, nn.GRU)
    torch.testing.assert_close(layer(x), before, **EXACT)
    torch.nn.utils.parametrize.remove_parametrizations(accelerate(layer), "weight_hh_l0")
    assert type(layer) is nn.GRU


@pytest.mark.parametrize("used", [None, torch.no_grad, torch.enable_grad], ids=["new", "inferred", "trained"])
@every_pair
def test_a_layer_that_was_used_and_then_parametrised_can_be_copied(theirs, ours, used):
    layer, x = ours(3, 4), torch.randn(5, 2, 3)
    if used:
        with used():
            layer(x)
            layer.step(x[0])
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    before = layer(x)
    twin = copy.deepcopy(layer)
    torch.testing.assert_close(twin(x), before, **EXACT)
    with torch.no_grad():
        layer.parametrizations.weight_hh_l0.original0.zero_()
    torch.testing.assert_close(twin(x), before, **EXACT)
    torch.nn.utils.parametrize.remove_parametrizations(twin, "weight_hh_l0")
    torch.testing.assert_close(twin(x), before, **CLOSE)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")
def test_the_report_names_every_recurrent_layer():
    class Doubled(torch.nn.GRU):
        pass

    parts = {"ours": accelerate(torch.nn.LSTM(3, 4)), "plain": torch.nn.RNN(3, 4), "own": Doubled(3, 4)}
    parts["quantized"] = torch.ao.nn.quantized.dynamic.LSTM(3, 4)
    parts["scripted"] = torch.jit.script(torch.nn.GRU(3, 4))
    report = accelerate_report(torch.nn.ModuleDict({**parts, "linear": torch.nn.Linear(3, 4)}))
    assert report.accelerated == {"ours": "LSTM"}
    assert set(report.skipped) == {"plain", "own", "quantized", "scripted"}
    assert "accelerated 'ours': LSTM" in str(report)
    assert "skipped 'own': Doubled is a subclass of GRU, which may compute something else" in str(report)
    assert str(accelerate_report(torch.nn.Linear(3, 4))) == "no recurrent layers"


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("spec", [None, {torch.nn.LSTM, torch.nn.GRU}], ids=["default", "by type"])
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(("theirs", "ours"), PAIRS[1:], ids=["GRU", "LSTM"])
def test_an_accelerated_layer_is_quantized_as_torchs_own(theirs, ours, spec, inplace):
    model = torch.nn.ModuleList([theirs(4, 8)]).eval()
    twin, x = copy.deepcopy(model), torch.randn(5, 2, 4)
    accelerate(model)
    with torch.no_grad():
        model[0](x)
    quantize = torch.ao.quantization.quantize_dynamic
    found, expected = (quantize(m, spec, inplace=inplace) for m in (model, twin))
    assert type(found[0]) is type(expected[0])
    assert type(found[0]).__module__.startswith("torch.ao.nn.quantized")
    torch.testing.assert_close(found[0](x), expected[0](x), **EXACT)
    assert inplace or type(model[0]) is ours


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantizing_other_layers_leaves_ours_alone():
    model = torch.nn.ModuleList([accelerate(torch.nn.LSTM(4, 8)), torch.nn.Linear(8, 2)])
    found = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear})
    assert type(found[0]) is nn.LSTM
    assert type(found[1]) is not torch.nn.Linear


def test_a_graph_of_torch_fx_has_one_node_for_a_layer():
    model = accelerate(Tagger()).eval()
    graph = torch.fx.symbolic_trace(model)
    calls = [node.target for node in graph.graph.nodes if node.op == "call_module"]
    assert calls == ["embedding", "recurrent", "head"]
    tokens = torch.randint(10, (2, 7))
    torch.testing.assert_close(graph(tokens), model(tokens), **EXACT)
    assert accelerate_report(graph).accelerated == {"recurrent": "LSTM"}


def test_a_graph_keeps_state_and_lengths():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.GRU(3, 4)

        def forward(self, x, state, lengths):
            return self.layer(x, state, lengths)[0] + self.layer(x)[0]

    model, arguments = Model(), (torch.randn(5, 2, 3), torch.randn(1, 2, 4), torch.tensor([5, 2]))
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(*arguments), model(*arguments), **EXACT)


@pytest.mark.parametrize("change", [recurra.accelerate, recurra.restore, recurra.nn.accelerate_report])
@pytest.mark.parametrize(
    ("model", "kind"), [(None, "NoneType"), ([torch.nn.LSTM(2, 3)], "list"), (torch.nn.LSTM, "the class LSTM")]
)
def test_only_modules_are_taken(change, model, kind):
    with pytest.raises(UsageError, match=f"takes a torch.nn.Module, not {kind}"):
        change(model)
