"""The verifier learns a size that a photo shows, and nothing where there is nothing to see."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from support.predictors import tiny, usual
from warehouse_classifier.bins.sizes import ATTRIBUTES, VOLUME
from warehouse_classifier.evaluation.arrays import Floats
from warehouse_classifier.evaluation.mismatches import lists
from warehouse_classifier.evaluation.thresholds import Limits
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.verifier import fitting, folder, learning
from warehouse_classifier.verifier.learning import COVERAGE, Bins, VerifierRecipe, learn
from warehouse_classifier.verifier.split import SplitVerifier
from warehouse_classifier.verifier.verifier import Verifier, recorded

QUANTITIES = [1, 2, 3, 4, 5]
RECIPE = VerifierRecipe(
    seed=1, folds=3, ridge=10.0, penalty=10.0, change_penalty=10.0, draws=2, false_alarms=0.1, misses=0.1
)
FEATURES = 12


def drawn(seed: int, photos: int = 400, noise: float = 0.5) -> Bins:
    """Bins of which every second is the one before after a visit; features show the list, and noise."""
    random = np.random.default_rng(seed)
    quantity = random.choice(QUANTITIES, photos)
    quantity[1::2] = (quantity[::2] + random.choice([1, 2, 3, 4], photos // 2) - 1) % 5 + 1
    lists = random.normal(size=(photos, len(ATTRIBUTES)))
    lists[1::2] = lists[::2] + 0.7 * random.normal(size=lists[::2].shape)
    lists[:, 0] = np.log1p(quantity)
    shows = np.random.default_rng(0).normal(size=(len(ATTRIBUTES), FEATURES))
    features = lists @ shows + noise * random.normal(size=(photos, FEATURES))
    groups = (np.arange(photos) // 2).astype(str)
    return Bins(features, lists, quantity, groups, np.arange(photos).reshape(-1, 2))


def asked(verifier: Verifier, bins: Bins) -> SplitVerifier:
    return SplitVerifier(verifier, bins.features, bins.lists)


def auroc(verifier: Verifier, bins: Bins, kind: str) -> float:
    rows = bins.pairs(replace(RECIPE, seed=9, draws=1))[kind]
    photo, other = rows.ravel(), rows[:, ::-1].ravel()
    doubts = [asked(verifier, bins).doubts(photo, its) for its in (photo, other)]
    return float(roc_auc_score(np.repeat([0, 1], len(photo)), np.concatenate(doubts)))


def of_change(verifier: Verifier, bins: Bins) -> Floats:
    """How far each visit's record is doubted, and its opposite."""
    split, (before, after) = asked(verifier, bins), bins.visits.T
    right, wrong = (split.doubts_of_change(*photos, before, after) for photos in ((before, after), (after, before)))
    return np.stack([right, wrong])


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return learn(drawn(1), drawn(2), QUANTITIES, RECIPE)


@pytest.mark.parametrize("kind", ["natural", "alike", "one_more"])
def test_a_size_that_the_photo_shows_is_learned(verifier: Verifier, kind: str) -> None:
    assert auroc(verifier, drawn(3), kind) > 0.9


def test_a_change_that_two_photos_show_is_learned(verifier: Verifier) -> None:
    right, wrong = of_change(verifier, drawn(3))
    assert roc_auc_score(np.repeat([0, 1], len(right)), np.concatenate([right, wrong])) > 0.85


def test_the_opposite_record_is_doubted_as_far_as_the_record_is_believed(verifier: Verifier) -> None:
    """So that neither the photos without an order nor the record alone tell anything."""
    right, wrong = of_change(verifier, drawn(4, noise=5.0))
    assert right + wrong == pytest.approx(1)


def test_what_a_record_says() -> None:
    """By the number, else by the volume; where that is the same or not known, nothing."""
    first = np.zeros((5, len(ATTRIBUTES)))
    second = first.copy()
    second[:3, 0] = [1, -1, 0]
    second[:, VOLUME] = [-1, 1, -1, 0, np.nan]
    assert recorded(first, second).tolist() == [1, -1, -1, 0, 0]
    assert recorded(second, first).tolist() == [-1, 1, 1, 0, 0]


def test_lists_of_other_groups_teach_nothing() -> None:
    """Lists shuffled by group: who belongs to whom is chance, and so is what is learned of it."""
    bins = []
    for seed in (1, 2, 3):
        its = drawn(seed, 1200)
        order = np.random.default_rng(seed).permutation(len(its.lists) // 2)
        bins.append(replace(its, lists=its.lists.reshape(len(order), 2, -1)[order].reshape(its.lists.shape)))
    shuffled = learn(bins[0], bins[1], QUANTITIES, RECIPE)
    for kind in ("natural", "alike"):
        assert auroc(shuffled, bins[2], kind) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("left_out", [(), ("one_more",), ("natural",), ("alike", "one_more")])
def test_lists_of_another_visit_weigh_as_much_as_all_others(left_out: tuple[str, ...]) -> None:
    pairs = {kind: rows for kind, rows in drawn(1).pairs(RECIPE).items() if kind not in left_out}
    _, _, weights = learning.questions_of(pairs, lambda photo, _: np.zeros((len(photo), 1)))
    kinds = np.repeat(list(pairs), [4 * len(rows) for rows in pairs.values()])
    sums = {kind: weights[kinds == kind].sum() for kind in pairs}
    others = [total for kind, total in sums.items() if kind != "natural"]
    assert others == pytest.approx([others[0]] * len(others)) if others else sums
    if others and "natural" in sums:
        assert sums["natural"] == pytest.approx(sum(others))


def test_doubts_are_probabilities_where_as_many_lists_are_wrong_as_right(verifier: Verifier) -> None:
    bins = drawn(5, 2000)
    pairs = bins.pairs(replace(RECIPE, seed=3, draws=1))
    doubts, wrong = [], []
    for rows in pairs.values():
        photo, other = rows.ravel(), rows[:, ::-1].ravel()
        doubts += [asked(verifier, bins).doubts(photo, its) for its in (photo, other)]
        wrong += [np.zeros(len(photo)), np.ones(len(photo))]
    every, labels = np.concatenate(doubts), np.concatenate(wrong)
    for low in (0.1, 0.3, 0.5, 0.7):
        near = (every >= low) & (every < low + 0.2)
        assert labels[near].mean() == pytest.approx(every[near].mean(), abs=0.15)


def test_thresholds_promise_false_alarms_and_misses() -> None:
    verifier, bins = (
        learn(drawn(1, noise=4.0), drawn(2, 1200, noise=4.0), QUANTITIES, RECIPE),
        drawn(6, 2000, noise=4.0),
    )
    its, own = asked(verifier, bins), np.arange(2000)
    assert np.mean(its.doubts(own, own) > verifier.of_list.mismatch) == pytest.approx(0.1, abs=0.05)
    photo, other = bins.visits.ravel(), bins.visits[:, ::-1].ravel()
    wrong = its.doubts(photo, other)
    assert np.mean(wrong <= verifier.of_list.match) == pytest.approx(0.1, abs=0.06)
    assert 0 < verifier.of_list.match < verifier.of_list.mismatch < 1


def test_a_photo_looks_like_a_range_of_volumes_that_holds_most_lists(verifier: Verifier) -> None:
    """In cubic inches, and as wide as it has to be: the share is that of other bins."""
    bins = drawn(6, 2000)
    assert asked(verifier, bins).covered() == pytest.approx(COVERAGE, abs=0.06)
    low, high = verifier.volumes(bins.features).T
    assert (low < high).all()
    assert np.corrcoef(np.log(low), bins.lists[:, VOLUME])[0, 1] > 0.8
    nothing = replace(bins, lists=np.full_like(bins.lists, np.nan))
    assert np.isnan(asked(verifier, nothing).covered())


def test_verdicts_are_shares_of_right_lists_and_of_each_kind_of_wrong_ones(verifier: Verifier) -> None:
    bins = drawn(6, 200)
    its, pairs = asked(verifier, bins), bins.pairs(RECIPE)
    table = lists.verdicts(its, 200, lists.verified(its, bins.quantity, pairs), bins.visits).set_index("case")
    assert list(table.index) == ["right", "natural", "alike", "one_more", "right change", "change"]
    for kind, rows in pairs.items():
        photo, other = rows.ravel(), rows[:, ::-1].ravel()
        doubts = its.doubts(photo, other)
        assert table.loc[kind, "judged"] == len(photo)
        assert table.loc[kind, "match"] == np.mean(doubts <= verifier.of_list.match)
        assert table.loc[kind, "mismatch"] == np.mean(doubts > verifier.of_list.mismatch)
    own = its.doubts(np.arange(200), np.arange(200))
    assert table.loc["right", "look"] == np.mean((own > verifier.of_list.match) & (own <= verifier.of_list.mismatch))

    right, _ = of_change(verifier, bins)
    assert table.loc["right change", "judged"] == table.loc["change", "judged"] == len(right)
    assert np.mean(right > verifier.of_record.mismatch) <= table.loc["right change", "mismatch"] < 0.25
    assert table.loc["change", "mismatch"] > 0.5


def test_the_record_decides_but_for_a_list_that_is_a_mismatch_by_itself(verifier: Verifier) -> None:
    """And where the record says nothing, the list does."""
    bins = drawn(6, 40)
    before, after = bins.visits.T
    photos, lists_ = (bins.features[before], bins.features[after]), (bins.lists[before], bins.lists[after])
    limits = {"match": Limits(2, 2), "look": Limits(-1, 2), "mismatch": Limits(-1, -1)}
    for by_list, by_record, says in (
        ("match", "match", "match"), ("match", "look", "look"), ("match", "mismatch", "mismatch"),
        ("look", "match", "match"), ("mismatch", "match", "look"), ("mismatch", "look", "mismatch"),
    ):  # fmt: skip
        its = replace(verifier, of_list=limits[by_list], of_record=limits[by_record])
        assert {*its.verdicts_of_visit(*photos, *lists_)} == {says}
        assert {*its.verdicts_of_visit(*photos, lists_[0], lists_[0])} == {by_list}
        nothing = np.full_like(lists_[1], np.nan)
        nothing[:, 0] = lists_[1][:, 0]
        numbers = recorded(lists_[0], nothing) != 0
        assert {*its.verdicts_of_visit(*photos, lists_[0], nothing)[numbers]} == {by_record}


@settings(max_examples=30)
@given(st.lists(st.booleans(), min_size=len(ATTRIBUTES), max_size=len(ATTRIBUTES)))
def test_what_a_list_does_not_tell_is_no_evidence(verifier: Verifier, missing: list[bool]) -> None:
    """How unlikely a list is beside a photo is then what the two Gaussians say of the rest alone."""
    bins, pattern = drawn(7, 20), np.array(missing)
    lists, readings = verifier.scaled(np.where(pattern, np.nan, bins.lists)), verifier.heads.read(bins.features)
    assert np.isfinite(verifier.doubts(bins.features, np.where(pattern, np.nan, bins.lists))).all()
    rest, scatter = ~pattern, verifier.scatter
    apart, usual = (
        multivariate_normal(np.zeros(rest.sum()), covariance[np.ix_(rest, rest)]).logpdf(values[:, rest])
        if rest.any()
        else np.zeros(20)
        for covariance, values in ((scatter.apart, lists - readings), (scatter.usual, lists))
    )
    off = scatter.unlikelihood(readings, lists) + (apart - usual)
    assert off == pytest.approx(np.full(20, off[0]))  # up to a constant


def test_few_bins_and_nulls_are_learned_from() -> None:
    few, other = drawn(1, 8), drawn(2, 6)
    few.lists[:, 3] = np.nan  # an attribute that nobody knows
    without = replace(few, visits=few.visits[:0])
    for train in (few, without):
        verifier = learn(train, replace(other, visits=other.visits[:0]), QUANTITIES, RECIPE)
        assert np.isfinite(asked(verifier, other).doubts(np.arange(6), np.arange(6))).all()
        assert np.isfinite(of_change(verifier, other)).all()


def test_what_lists_do_not_tell_the_heads_learn_as_what_is_likeliest_beside_the_rest() -> None:
    """Of a bin without sizes the number alone is known, and larger numbers have more of everything here."""
    bins = drawn(1)
    more = bins.lists[:, :1] * 2 + 0.1 * bins.lists
    more[:, 0] = bins.lists[:, 0]
    unknown = np.where((np.arange(400) % 4 == 0)[:, None] & (np.arange(len(ATTRIBUTES)) > 0), np.nan, more)
    shown = replace(bins, features=more @ np.random.default_rng(0).normal(size=(len(ATTRIBUTES), FEATURES)))
    whole, part = (
        learn(replace(shown, lists=its), replace(shown, lists=its), QUANTITIES, RECIPE) for its in (more, unknown)
    )
    read = [its.volumes_read(shown.features) for its in (whole, part)]
    assert np.corrcoef(*read)[0, 1] > 0.99
    assert np.polyfit(*read, 1)[0] == pytest.approx(1, abs=0.1)  # with means in their place it would be 0.75


def test_lists_are_judged_up_to_the_number_that_nearly_all_bins_hold() -> None:
    bins = drawn(1, 1000)
    held = bins.quantity.copy()
    held[:8] = [90, 91, 92, 93, 94, 95, 96, 97]
    assert learn(replace(bins, quantity=held), drawn(2), QUANTITIES, RECIPE).most == 5
    held[:40] = 30
    assert learn(replace(bins, quantity=held), drawn(2), QUANTITIES, RECIPE).most == 30


def test_lists_of_numbers_that_the_networks_do_not_tell_apart_have_thresholds_of_their_own() -> None:
    """Their photos show less here; nothing of that reaches the others."""

    def mixed(seed: int) -> Bins:
        bins, random = drawn(seed, 2000, noise=2.0), np.random.default_rng(seed)
        many = np.repeat(random.random(1000) < 0.3, 2)
        lists = bins.lists.copy()
        lists[many, 0] = np.log1p(bins.quantity[many] + 5)
        features = bins.features + many[:, None] * 6 * random.normal(size=bins.features.shape)
        return replace(bins, quantity=bins.quantity + 5 * many, lists=lists, features=features)

    verifier, bins = learn(mixed(1), mixed(2), QUANTITIES, RECIPE), mixed(3)
    assert verifier.other_list.mismatch > verifier.of_list.mismatch
    few = bins.quantity <= 5
    assert (verifier.among_counted(bins.lists) == few).all()
    its, own = asked(verifier, bins), np.arange(2000)
    verdicts = its.verdicts(its.doubts(own, own), own)
    for part in (few, ~few):
        assert np.mean(verdicts[part] == "mismatch") == pytest.approx(0.1, abs=0.05)
    right, _ = of_change(verifier, bins)
    before, after = bins.visits.T
    said = its.verdicts_of_visit(before, after, before, after)
    known = few[bins.visits].all(axis=1)
    assert {*said[known & (right > verifier.of_record.mismatch)]} == {"mismatch"}
    assert {*said[~known & (right > verifier.other_record.mismatch)]} == {"mismatch"}


def test_with_too_few_of_them_lists_of_other_numbers_want_a_look() -> None:
    bins = drawn(2)
    quantity, lists = bins.quantity.copy(), bins.lists.copy()
    quantity[:6] += 5
    lists[:6, 0] = np.log1p(quantity[:6])
    verifier = learn(drawn(1), replace(bins, quantity=quantity, lists=lists), QUANTITIES, RECIPE)
    assert verifier.other_list.mismatch == 1.0
    assert verifier.other_record == Limits()
    assert verifier.of_list.mismatch < 1


def test_where_all_lists_are_equal_there_is_nothing_to_learn() -> None:
    bins = drawn(1, 20)
    equal = replace(bins, lists=np.zeros_like(bins.lists), visits=bins.visits[:0])
    with pytest.raises(UserError, match="no two bins to learn from have lists that differ"):
        learn(equal, bins, QUANTITIES, RECIPE)
    with pytest.raises(UserError, match="no two bins of the validation split have lists that differ"):
        learn(bins, equal, QUANTITIES, RECIPE)


def test_one_group_alone_is_one_line() -> None:
    bins = drawn(1, 20)
    with pytest.raises(UserError, match="all photos to learn from are of one group; raise max_images"):
        learn(replace(bins, groups=np.full(20, "0")), bins, QUANTITIES, RECIPE)


def test_what_is_wrong_on_the_validation_split_is_not_believed_and_not_turned() -> None:
    """Every doubt is one half, where as many lists are right as wrong."""
    bins, other = drawn(1), drawn(2)
    verifier = learn(bins, replace(other, features=-other.features), QUANTITIES, RECIPE)
    own = np.arange(400)
    assert asked(verifier, other).doubts(own, own) == pytest.approx(np.full(400, 0.5))


@pytest.mark.parametrize("visits", [0, 1, 9, 10])
def test_too_few_visits_to_show_the_misses_that_are_allowed_are_not_gone_by(visits: int) -> None:
    """One of ten lists of another visit may be missed, so twenty are enough to tell; with fewer a single photo would decide."""
    bins = drawn(2)
    few = replace(bins, visits=bins.visits[:visits])
    assert ("natural" in few.pairs(RECIPE)) == (visits == 10)
    verifier = learn(drawn(1), few, QUANTITIES, RECIPE)
    assert verifier.of_list.match > 0


# ---- heads and evidence


def test_heads_that_learn_out_of_fold_never_see_the_photo_they_read() -> None:
    """Pure noise: heads that saw the photo would fit it, the others are at no better than the mean."""
    random = np.random.default_rng(0)
    features, wanted = random.normal(size=(60, 80)), random.normal(size=(60, 2))
    groups = (np.arange(60) // 2).astype(str)
    heads, unseen = fitting.fitted_heads(features, wanted, groups, 5, 1e-3)
    assert np.mean((heads.read(features) - wanted) ** 2) < 0.01
    assert np.mean((unseen - wanted) ** 2) > 0.9 * np.var(wanted)


@settings(max_examples=20)
@given(seed=st.integers(0, 999), far=st.sampled_from([0.0, 1e3]), ridge=st.sampled_from([0.1, 30.0]))
def test_heads_are_scikit_learns_ridge_regression(seed: int, far: float, ridge: float) -> None:
    """Whole and out of fold, in blocks, of float32, and of features that lie far from 0."""
    random = np.random.default_rng(seed)
    features = (far + random.normal(size=(70, 6)) * [0.5, 1, 2, 3, 4, 0]).astype(np.float32)
    wanted, groups = random.normal(size=(70, 3)), random.integers(0, 20, 70).astype(str)

    def theirs(rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
        scaler = StandardScaler().fit(features[rows].astype(float))
        scaler.scale_[5] = 1  # what never varies is left out
        both = (scaler.transform(features[its].astype(float)) * [1, 1, 1, 1, 1, 0] for its in (rows, asked))
        learned, shown = both
        return Ridge(ridge).fit(learned, wanted[rows]).predict(shown)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "BLOCK", 16)
        heads, read = fitting.fitted_heads(features, wanted, groups, 4, ridge)
    every = np.arange(70)
    assert heads.read(features) == pytest.approx(theirs(every, every), abs=1e-5)
    assert heads.weights[5].tolist() == [0, 0, 0]
    for others, own in GroupKFold(4).split(features, groups=groups):
        assert read[own] == pytest.approx(theirs(others, own), abs=1e-5)


@pytest.mark.parametrize("visits", [1, 2, 7])
def test_a_row_with_its_sign_turned_is_what_each_row_is_told_from(visits: int) -> None:
    shown = np.random.default_rng(visits).normal(0.5, 1, (visits, 4))
    scale = np.sqrt((shown**2).mean(axis=0))
    both = LogisticRegression(C=1 / 5.0, fit_intercept=False, max_iter=2000, tol=1e-8)
    both.fit(np.concatenate([shown, -shown]) / scale, np.repeat([1, 0], visits))
    count = 2 if visits == 1 else 1  # one row alone stands twice
    alone = fitting.antisymmetric(shown, 5.0 * count)
    assert alone * scale == pytest.approx(both.coef_[0], abs=1e-3)


# ---- its folder


def test_what_is_saved_is_loaded_and_is_the_same_bytes_twice(verifier: Verifier, tmp_path: Path) -> None:
    models = tiny(tmp_path / "models")
    networks = {network: models / network for network in NETWORKS}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        folder.save(verifier, usual(), networks, tmp_path / name, mirror=False)
    assert {file.name for file in (tmp_path / "one").iterdir()} == {"config.json", "model.safetensors"}
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
    again, bins = folder.load(tmp_path / "one", networks, mirror=False), drawn(8, 10)
    own = np.arange(10)
    one, two = (asked(its, bins).doubts(own, own) for its in (again, verifier))
    assert one.tobytes() == two.tobytes()
    assert of_change(again, bins).tobytes() == of_change(verifier, bins).tobytes()
    assert (again.of_list, again.of_record) == (verifier.of_list, verifier.of_record)


def test_a_verifier_of_other_networks_or_none_is_one_line(verifier: Verifier, tmp_path: Path) -> None:
    models = tiny(tmp_path / "models")
    networks = {network: models / network for network in NETWORKS}
    with pytest.raises(UserError, match=r"its holds no trained verifier .*`dvc repro train_verifier` makes it"):
        folder.load(tmp_path / "its", networks, mirror=False)
    (tmp_path / "its").mkdir()
    folder.save(verifier, usual(), networks, tmp_path / "its", mirror=False)
    weights = networks["vit"] / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(UserError, match=r"its was trained with another ViT than the one in .*train_verifier"):
        folder.load(tmp_path / "its", networks, mirror=False)
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"its was trained with mirror: false, and evaluate has mirror: true; give"):
        folder.load(tmp_path / "its", networks, mirror=True)
    config = tmp_path / "its/config.json"
    config.write_text(config.read_text().replace('"version": 3', '"version": 4'))
    with pytest.raises(UserError, match=r"it is of version 4, this program reads 3"):
        folder.load(tmp_path / "its", networks, mirror=False)
    (tmp_path / "its/model.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match="holds no trained verifier"):
        folder.load(tmp_path / "its", networks, mirror=False)
