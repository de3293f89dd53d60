"""Heat lies where the answer comes from, on networks made by hand whose reasons are known; the picture can be read."""

import io
import warnings
from collections.abc import Iterator
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import convolve1d
from torch import nn

from support.predictors import LEARNED_FROM
from warehouse_classifier.dataset.photo import Pixels
from warehouse_classifier.evaluation.arrays import Floats
from warehouse_classifier.evaluation.calibration import Calibrated, Calibration
from warehouse_classifier.evaluation.counters import AVERAGE
from warehouse_classifier.models import resnet34, vit
from warehouse_classifier.models.folder import BELONGS
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.serving import explanation, heat_maps
from warehouse_classifier.serving.predictor import Predictor

RED, GREEN, BLUE = range(3)
PLACES = {"top left": (0, 0), "top right": (0, 1), "bottom left": (1, 0), "bottom right": (1, 1)}
DOTS, PANEL, GAP, MARGIN = 160, 320, 24, 24  # pixels of the picture


def seeing_colours() -> nn.Module:
    """A ResNet34 whose logits are how much red, green, and blue without green there is; only residual branches carry it."""
    network = resnet34.ResNet34(3).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(float(name.endswith(("bn1.weight", "bn2.weight"))))
        for colour in (RED, GREEN, BLUE):
            network.get_parameter("network.conv1.weight")[colour, colour, 3, 3] = 1
            for layer in ("layer2", "layer3", "layer4"):
                network.get_parameter(f"network.{layer}.0.conv1.weight")[colour, colour] = 1 / 9
                network.get_parameter(f"network.{layer}.0.conv2.weight")[colour, colour, 1, 1] = 1
            network.get_parameter("network.fc.weight")[colour, colour] = 50
        network.get_parameter("network.fc.weight")[BLUE, GREEN] = -50
    return network


def seeing_light() -> nn.Module:
    """A ViT of two layers: in the first, one of two heads takes what is bright to every token; label 0 says it is there."""
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "patch_size": 8,
    }
    network = vit.build("own", None, sizes, 64, (1, 2, 3)).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(float("layernorm" in name and name.endswith("weight")))
        first = "network.vit.layers.0.attention"
        network.get_parameter("network.vit.embeddings.patch_embeddings.projection.weight")[0] = 1 / 192
        network.get_parameter("network.vit.embeddings.cls_token")[0, 0, 1] = 1
        network.get_parameter(f"{first}.q_proj.bias")[0] = 4
        network.get_parameter(f"{first}.k_proj.weight")[0, 0] = 1
        network.get_parameter(f"{first}.v_proj.weight")[0, 0] = 1
        network.get_parameter(f"{first}.o_proj.weight")[2, 0] = 1
        network.get_parameter("network.classifier.weight")[0, 2] = 1
    return network


def counter(name: str, **networks: nn.Module) -> Predictor:
    counted = {key: Calibrated(temperature=1.0, match=0.3, mismatch=0.9) for key in ("resnet34", "vit", AVERAGE)}
    calibrated = Calibration(
        version=3, learned_from=LEARNED_FROM, quantities=[1, 2, 3], side=64, quality=95, precision="fp32", mirror=False, false_alarms=0.05, misses=0.05,
        counters=counted, sha256={network: dict.fromkeys(BELONGS, "") for network in NETWORKS},
    )  # fmt: skip
    return Predictor(name, calibrated, networks, torch.device("cpu"))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """One photo is too little for two, which wait for each other on a machine that has more to do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def both() -> Predictor:
    return counter(AVERAGE, resnet34=seeing_colours(), vit=seeing_light())


@pytest.fixture(scope="module")
def colours(both: Predictor) -> Predictor:
    return counter("resnet34", resnet34=both.networks["resnet34"])


@pytest.fixture(scope="module")
def light(both: Predictor) -> Predictor:
    return counter("vit", vit=both.networks["vit"])


@pytest.fixture
def strict() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def photo(side: int, **squares: tuple[int, int, int]) -> Pixels:
    """A black photo with a square of a colour in the middle of a quadrant: top_left=(255, 0, 0)."""
    pixels = np.zeros((side, side, 3), np.uint8)
    for place, colour in squares.items():
        down, right = PLACES[place.replace("_", " ")]
        top, left = (round(side * (0.15 + 0.5 * i)) for i in (down, right))
        pixels[top : top + side // 5, left : left + side // 5] = colour
    return pixels


def share(hot: Floats, place: str) -> float:
    """Of all heat, what lies in a quadrant."""
    down, right = PLACES[place]
    half = len(hot) // 2
    return float(hot[down * half :, right * half :][:half, :half].sum() / hot.sum())


@pytest.mark.parametrize("side", [32, 64, 112, 224])  # for maps of the first stage, the second and so on
@pytest.mark.parametrize("place", ["top left", "bottom right"])
def test_grad_cam_finds_what_spoke_for_a_quantity_and_nothing_else(colours: Predictor, side: int, place: str) -> None:
    other = {"top left": "bottom_right", "bottom right": "top_left"}[place]
    pixels = photo(side, **{place.replace(" ", "_"): (255, 0, 0), other: (0, 255, 0)})
    red = heat_maps.heat(colours, pixels, RED)["resnet34"]
    assert red.shape == (side, side)
    assert red.dtype == np.float64
    assert (red.min(), red.max()) == (0, 1)
    assert share(red, place) > 0.85
    assert share(heat_maps.heat(colours, pixels, GREEN)["resnet34"], place) < 0.05
    assert not heat_maps.heat(colours, pixels, BLUE)["resnet34"].any()


@pytest.mark.parametrize(("network", "side"), [("resnet34", 64), ("resnet34", 224), ("vit", 64)])
def test_heat_is_not_shifted(both: Predictor, network: str, side: int) -> None:
    """A ResNet's places lie where its paddings put them: taken for the middles of cells they would be 3.5 and 15.5 off."""
    pixels = photo(side, top_left=(255, 255, 255))
    hot = heat_maps.heat(both, pixels, RED)[network]
    centres = [np.average(np.arange(side), weights=heat.sum(1)) for heat in (hot, hot.T)]
    wanted = np.flatnonzero(pixels[..., RED].any(1)).mean()
    assert np.abs(np.array(centres) - wanted).max() < side / 40


@pytest.mark.parametrize("side", [64, 72, 100, 112])  # it was made for 64; 100 is no multiple of its patches
@pytest.mark.parametrize("place", PLACES)
def test_rollout_finds_where_the_network_looked(light: Predictor, side: int, place: str) -> None:
    pixels = photo(side, **{place.replace(" ", "_"): (255, 255, 255)})
    hot = heat_maps.heat(light, pixels, 0)["vit"]
    assert hot.shape == (side, side)
    assert hot.max() == 1
    assert share(hot, place) > 0.85
    np.testing.assert_array_equal(hot, heat_maps.heat(light, pixels, 2)["vit"])


def test_rollout_is_the_product_of_all_layers() -> None:
    """Against the attentions that transformers tells of itself, at patches of one pixel."""
    torch.manual_seed(3)
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "patch_size": 1,
    }
    network = vit.build("own", None, sizes, 8, (1, 2, 3)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.7)  # of new weights every attention is as good as even
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    hot = heat_maps.heat(counter("vit", vit=network), pixels, 0)["vit"]
    network.network.set_attn_implementation("eager")
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.inference_mode():
        first, second, third = (
            (0.5 * attention[0].mean(0) + 0.5 * torch.eye(65)).double().numpy()
            for attention in network.network(images, output_attentions=True).attentions
        )
    wanted = (third @ second @ first)[0, 1:].reshape(8, 8)
    wanted -= wanted.min()
    for axis in (0, 1):  # what a cubic B-spline does to its values
        wanted = convolve1d(wanted, [1 / 6, 4 / 6, 1 / 6], axis=axis, mode="nearest")
    np.testing.assert_allclose(hot, wanted / wanted.max(), atol=1e-4)


@pytest.mark.parametrize(("network", "colour"), [("resnet34", (255, 80, 80)), ("vit", (255, 255, 255))])
def test_what_is_hot_is_what_the_answer_needs(both: Predictor, network: str, colour: tuple[int, int, int]) -> None:
    alone = counter(network, **{network: both.networks[network]})
    pixels = photo(64, bottom_left=colour)
    before = alone.probabilities(pixels[None])[0, 0]
    hot = heat_maps.heat(alone, pixels, 0)[network]
    order = np.argsort(hot, axis=None)
    without = {}
    for name, gone in (("hottest", order[-1024:]), ("coldest", order[:1024])):
        erased = pixels.copy()
        erased.reshape(-1, 3)[gone] = 0
        without[name] = alone.probabilities(erased[None])[0, 0]
    assert before > 0.6
    assert without["coldest"] == pytest.approx(before, abs=1e-6)
    assert without["hottest"] < before - 0.2


def state(predictor: Predictor) -> list[object]:
    """What an explanation might leave behind."""
    network = predictor.networks["vit"].network
    assert isinstance(network, nn.Module)
    modules = [module for each in predictor.networks.values() for module in each.modules()]
    hooks = [[*module._forward_hooks, *module._backward_hooks, *module._forward_pre_hooks] for module in modules]  # noqa: SLF001
    weights = [
        (parameter.requires_grad, parameter.grad, parameter._version)  # noqa: SLF001
        for module in modules
        for parameter in module.parameters()
    ]
    training = [module.training for module in modules]
    return [hooks, weights, training, network.config._attn_implementation, torch.is_grad_enabled()]  # type: ignore[union-attr]  # noqa: SLF001


def test_nothing_of_the_counter_changes(both: Predictor) -> None:
    photos = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8)
    before, was = both.probabilities(photos), state(both)
    assert was[3] == "sdpa"
    heat_maps.heat(both, photos[0], 1)
    assert state(both) == was
    with pytest.raises(IndexError):
        heat_maps.heat(both, photos[0], 3)  # which no network has
    assert state(both) == was
    np.testing.assert_array_equal(both.probabilities(photos), before)


def test_frozen_weights_and_a_caller_without_gradients_are_no_hindrance(both: Predictor) -> None:
    pixels = photo(64, top_right=(255, 90, 90))
    wanted = heat_maps.heat(both, pixels, RED)
    frozen = counter(AVERAGE, resnet34=seeing_colours().requires_grad_(requires_grad=False), vit=seeing_light())
    with torch.inference_mode():
        drawn_heat = heat_maps.heat(frozen, pixels, RED)
    for network, hot in wanted.items():
        np.testing.assert_array_equal(drawn_heat[network], hot)


def drawn(predictor: Predictor, pixels: Pixels, expected: int | None) -> tuple[bytes, Pixels]:
    (answer,) = predictor.answers(predictor.probabilities(pixels[None]), [expected])
    body = explanation.picture(predictor, pixels, answer, expected)
    return body, np.array(Image.open(io.BytesIO(body)).convert("RGB"))


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("expected", [None, 1, 3, 0, 10**60])
def test_texts_stay_over_their_panels(both: Predictor, expected: int | None) -> None:
    """Columns between panels, and around all, are white below the lines on top, whatever those are."""
    _, shown = drawn(both, photo(64, top_left=(255, 90, 90)), expected)
    width = 2 * MARGIN + 3 * PANEL + 2 * GAP
    assert abs(shown.shape[1] - width) <= 1
    below = shown[-PANEL - 110 :]
    for left in (0, MARGIN + PANEL, MARGIN + 2 * PANEL + GAP, width - MARGIN):
        assert (below[:, left + 3 : left + GAP - 3] == 255).all()
    assert (shown[:, -6:] == 255).all()
    assert (shown[:6] == 255).all()
    assert (shown[-6:] == 255).all()


def test_a_picture_shows_the_photo_and_brightens_what_spoke(colours: Predictor) -> None:
    pixels = photo(64, bottom_right=(200, 0, 0))
    body, shown = drawn(colours, pixels, 1)
    assert abs(shown.shape[1] - (2 * MARGIN + 2 * PANEL + GAP)) <= 1
    bottom = shown.shape[0] - round(0.15 * DOTS) - round(2.2 * 0.17 * DOTS)
    panels = [shown[bottom - PANEL : bottom, MARGIN + i * (PANEL + GAP) :][:, :PANEL].astype(float) for i in range(2)]
    there, elsewhere = (slice(220, 270),) * 2, (slice(10, 60),) * 2
    assert np.abs(panels[0][there].mean((0, 1)) - (200, 0, 0)).max() < 15
    assert panels[0][elsewhere].max() < 5
    assert panels[1][there].mean() > panels[1][elsewhere].mean() + 80  # in grey as well
    assert Image.open(io.BytesIO(body)).info.keys() <= {"dpi"}


@pytest.mark.slow
@pytest.mark.usefixtures("strict")
def test_the_same_bytes_every_time_and_no_trace(both: Predictor) -> None:
    pixels = photo(64, top_right=(255, 255, 90))
    before = dict(mpl.rcParams)
    one, _ = drawn(both, pixels, 2)
    with mpl.rc_context({"font.family": "monospace", "savefig.facecolor": "red"}):  # someone's matplotlibrc
        assert drawn(both, pixels, 2)[0] == one
    assert dict(mpl.rcParams) == before
    assert len({one, drawn(both, pixels, 3)[0], drawn(both, pixels, None)[0]}) == 3


@pytest.mark.usefixtures("strict")
def test_a_network_without_an_explanation_has_no_heat_and_the_picture_says_so(
    both: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = photo(64, top_left=(255, 90, 90))
    explained, before = drawn(both, pixels, 2)
    monkeypatch.setitem(NETWORKS, "vit", replace(NETWORKS["vit"], explanation=None))
    assert list(heat_maps.heat(both, pixels, RED)) == ["resnet34"]
    body, shown = drawn(both, pixels, 2)
    assert shown.shape == before.shape  # with a panel for its answer
    assert body != explained
    left = MARGIN + 2 * (PANEL + GAP)
    assert (shown[:, : left - GAP] == before[:, : left - GAP]).all()
    panel = shown[-PANEL - 60 - MARGIN : -60 - MARGIN, left : left + PANEL].astype(int)
    assert np.ptp(panel, axis=2).max() <= 2  # the photo in grey
    words = [
        words
        for title, words, *_ in explanation._panels(both, pixels, 2, {"resnet34": np.ones((64, 64))})  # noqa: SLF001
        if title.startswith("ViT")
    ]
    assert words == [("this network offers no heat map", "")]


@pytest.mark.usefixtures("strict")
def test_a_photo_of_nothing_has_no_heat_and_a_picture_nevertheless(both: Predictor) -> None:
    nothing = photo(64)
    assert not heat_maps.heat(both, nothing, 0)["resnet34"].any()
    assert not heat_maps.heat(both, nothing, 0)["vit"].any()
    _, shown = drawn(both, nothing, None)
    assert shown.any()
