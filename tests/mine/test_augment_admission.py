"""Only operations that help on held-out real cases come in, few that do nothing do, and evidence is remembered."""

import numpy as np

from flywheel.mine.augment import Operation, Trial, choose, decide, weigh
from flywheel.records import Example

TYPING = Operation(name="typing", kind="text", share=0.3)


def cases(n, failing=0):
    return [Example(id=f"e{i}", input="", label="a", failure=i < failing) for i in range(n)]


def test_paired_answers_are_counted_by_what_the_operation_is_about():
    without = {f"e{i}": i >= 4 for i in range(10)}
    with_it = {**without, "e0": True, "e1": True, "e5": False, "e9": False}
    synthetic = Example(id="e9", input="", label="a", origin="synthetic")
    sides = [{key: (right, None) for key, right in side.items()} for side in (without, with_it)]
    trial = weigh([*cases(9, failing=3), synthetic], {"e0", "e1", "e2", "e5"}, *sides)
    assert trial == Trial(cases=4, gained=2, lost=1, rest=5, failures=3, fixed=2)


def test_a_clear_gain_comes_in_and_a_clear_loss_elsewhere_keeps_it_out():
    good = decide(TYPING, Trial(cases=60, gained=9, lost=1, rest=300, rest_gained=3, rest_lost=4), {}, cases=60, spin=4)
    assert good["admitted"]
    assert "9 become right and 1 wrong" in good["line"]
    harm = decide(TYPING, Trial(cases=60, gained=9, lost=1, rest=300, rest_gained=0, rest_lost=6), {}, cases=60, spin=4)
    assert not harm["admitted"]
    few = decide(TYPING, Trial(cases=60, gained=2, lost=0, rest=300), {}, cases=60, spin=4)
    assert not few["admitted"]


def noisy(gain, seed, n=40, rest=200):
    """Probabilities of the labels with and without an operation that adds `gain` to their log on its cases."""
    rng = np.random.default_rng(seed)
    low = rng.normal(-1, 0.5, n + rest)
    high = low + rng.normal(0, 0.3, n + rest) + np.where(np.arange(n + rest) < n, gain, 0.0)
    sides = [{f"e{i}": (bool(p > -0.7), float(np.exp(p))) for i, p in enumerate(np.minimum(x, 0))} for x in (low, high)]
    return weigh(cases(n + rest), {f"e{i}" for i in range(n)}, *sides)


def test_probabilities_tell_what_right_and_wrong_alone_do_not():
    helps = [decide(TYPING, noisy(0.2, seed), {}, cases=40, spin=1)["admitted"] for seed in range(60)]
    nothing = [decide(TYPING, noisy(0.0, seed), {}, cases=40, spin=1)["admitted"] for seed in range(300)]
    assert np.mean(helps) > 0.5
    assert np.mean(nothing) < 0.08


def test_being_surer_of_everything_is_no_help():
    surer = Trial(cases=220, gained=0, lost=0, rest=600, rest_gained=1, p=6e-05, p_rest=1.0)
    assert not decide(TYPING, surer, {}, cases=220, spin=7)["admitted"]


def test_many_operations_share_the_chance():
    trial = Trial(cases=60, gained=7, lost=1)  # p = 0.035
    assert decide(TYPING, trial, {}, cases=60, spin=1)["admitted"]
    others = {f"o{i}": {"admitted": False, "looks": 1} for i in range(3)}
    assert not decide(TYPING, trial, others, cases=60, spin=1)["admitted"]


def test_one_that_is_in_stays_until_it_breaks_more_than_it_fixes():
    known = {"typing": decide(TYPING, Trial(cases=50, gained=9), {}, cases=50, spin=1)}
    assert decide(TYPING, Trial(cases=80, gained=3, lost=2), known, cases=80, spin=2)["admitted"]
    assert not decide(TYPING, Trial(cases=80, gained=3, lost=4), known, cases=80, spin=2)["admitted"]


def test_refused_ones_wait_for_news_and_admitted_ones_are_looked_at_again():
    other = Operation(name="cutting", kind="text", share=0.1)
    refused = decide(TYPING, Trial(cases=20, gained=3, lost=2), {}, cases=20, spin=1)
    assert choose([TYPING, other], {}, {"typing": 20, "cutting": 20}) == "typing"
    assert choose([TYPING, other], {"typing": refused}, {"typing": 22, "cutting": 20}) == "cutting"
    assert choose([TYPING], {"typing": refused}, {"typing": 22}) is None
    assert choose([TYPING], {"typing": refused}, {"typing": 25}) == "typing"
    assert choose([TYPING], {}, {"typing": 7}) is None
    inside = decide(other, Trial(cases=20, gained=9), {}, cases=20, spin=1)
    assert choose([TYPING], {"typing": refused, "cutting": inside}, {"typing": 22}) == "cutting"


def stream(seed, gain, loss, spins=10, per_spin=20):
    """Ten spins of one operation that is looked at whenever there is news; was it ever admitted?"""
    rng = np.random.default_rng(seed)
    known, gained, lost, n = {}, 0, 0, 0
    for spin in range(1, spins + 1):
        n += per_spin
        gained, lost = gained + rng.binomial(per_spin, gain), lost + rng.binomial(per_spin, loss)
        if choose([TYPING], known, {"typing": n}) != "typing":
            continue
        trial = Trial(cases=n, gained=int(gained), lost=int(lost))
        known = {"typing": decide(TYPING, trial, known, cases=n, spin=spin)}
        if known["typing"]["admitted"]:
            return True
    return False


def test_what_does_nothing_seldom_comes_in_over_ten_spins():
    # Alpha is 0.1 a look; looks at the same growing evidence hang together.
    assert np.mean([stream(seed, 0.06, 0.06) for seed in range(400)]) < 0.2
    assert np.mean([stream(seed, 0.03, 0.08) for seed in range(400)]) < 0.03


def test_what_helps_comes_in_as_evidence_grows():
    assert np.mean([stream(seed, 0.15, 0.05) for seed in range(200)]) > 0.85
